"""Newsletters: campaigns on a schedule, with what is new since the one before."""

from __future__ import annotations

import json
from calendar import monthrange
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, Final, NoReturn

from attrs import define, evolve, field, frozen

from crmcore import Calendar, Context, TimersDue, to_instant
from crmcore.errors import ConfigurationError, InputError, NotFoundError, nearest
from crmcore_email_link.campaigns.campaign import Campaign, variant_of
from crmcore_email_link.campaigns.deciding import start
from crmcore_email_link.campaigns.fitting import LARGEST, check_table
from crmcore_email_link.campaigns.keeping import Kept, find_kept, take_turn
from crmcore_email_link.composing import Composer

TIMER: Final = "newsletter/"
NEWS: Final = "news"
"""The variable that templates find the items in."""

WEEKDAYS: Final = (
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
)
EVERY: Final = ("day", "week", "month")
LAST: Final = "last"

MOST_ITEMS: Final = 500
"""Items that may wait for an issue; whoever adds more has forgotten to send one."""

_MOST_FAILURES: Final = 7
"""After so many an issue is left out; the eighth would be the last that is tried."""

_LARGEST: Final = LARGEST // 2  # so that an issue has room for what else it is made with
_HOUR: Final = 3_600_000_000
_ONE: Final = timedelta(days=1)

Source = Callable[[str, int, int], Iterable[Mapping[str, Any]]]
"""Returns what is new for a newsletter since one instant and before another, in microseconds."""


@define(kw_only=True)
class NewsletterSettings:
    """
    `[plugins.email_link.newsletters.NAME]` in crm.toml.

    Attributes:
        template: The one it is written with; its variable `news` has the items.
        variants: Several, in place of a template: tables with `name`, `template`, and perhaps
            `variables` and `weight`.
        segment: Whom it is for, asked anew for each issue.
        purpose: What it is for: `news`, `promotion`, `survey` or `care`.
        every: `day`, `week` or `month`.
        on: Of a week the day, such as `tuesday`; of a month its number, or `last`.
        time: When on that day, in the shop's zone, such as `09:00`.
        empty: Whether an issue without news is left out (`skip`) or goes all the same (`send`).
        variables: What the template may use beside, for everybody.
        personal: The same for each one; see `Campaign`.
        holdout: The share that does not get it; the same customers each time.
        late_hours: For how long after its time an issue may still go.
        effect_days: Within how many days an order counts for its effect.
        enabled: False stops it.
    """

    template: str = ""
    variants: list[dict[str, Any]] = field(factory=list)
    segment: str = "everyone"
    purpose: str = "news"
    every: str = "week"
    on: str = ""
    time: str = "09:00"
    empty: str = "skip"
    variables: dict[str, Any] = field(factory=dict)
    personal: dict[str, str] = field(factory=dict)
    holdout: float = 0.0
    late_hours: int = 12
    effect_days: int = 14
    enabled: bool = True


@frozen(kw_only=True)
class Newsletter:
    """
    A newsletter with all that is set of it; see `NewsletterSettings`.

    Attributes:
        name: Its own; its issues are called after it and their day.
        at: When on its days, in the shop's zone.
    """

    name: str
    settings: NewsletterSettings
    at: time = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "at", self._time())
        settings = self.settings
        for what, options in (("every", EVERY), ("empty", ("skip", "send"))):
            found = getattr(settings, what)
            if found not in options:
                self._refuse(what, found, " or ".join(map(repr, options)), options)
        if settings.every == "week" and settings.on not in ("", *WEEKDAYS):
            self._refuse("on", settings.on, "a day of the week, such as 'tuesday',", WEEKDAYS)
        if settings.every == "month" and not _is_day_of_month(settings.on):
            self._refuse("on", settings.on, "a day from '1' to '31', or 'last',", (LAST,))
        if settings.every == "day" and settings.on:
            self._refuse("on", settings.on, "nothing, as it comes every day,", ())
        try:
            self.issue(date(2024, 1, 1), [])
        except InputError as error:
            raise ConfigurationError(f"newsletters.{self.name}: {error}") from error

    def issue(self, day: date, news: Sequence[Mapping[str, Any]]) -> Campaign:
        """Return the campaign that goes on a day, with what is new."""
        settings = self.settings
        return Campaign(
            f"{self.name}-{day.isoformat()}",
            template=settings.template,
            variants=tuple(map(variant_of, settings.variants)),
            segment=settings.segment,
            purpose=settings.purpose,
            variables={**settings.variables, NEWS: [dict(each) for each in news]},
            personal=settings.personal,
            holdout=settings.holdout,
            experiment=f"newsletter/{self.name}",
            late_hours=settings.late_hours,
            effect_days=settings.effect_days,
        )

    def next_after(self, instant: int, calendar: Calendar) -> int:
        """
        Return the first instant after *instant* at which an issue is due.

        Where the clock on the wall skips its time, it comes as much later; where it shows it twice,
        the first time.
        """
        day = calendar.day_of(instant)
        while True:
            if self._is_day(day):
                due = _instant_of(day, self.at, calendar)
                if due > instant:
                    return due
            day += _ONE

    def _is_day(self, day: date) -> bool:
        every, on = self.settings.every, self.settings.on
        if every == "day":
            return True
        if every == "week":
            return WEEKDAYS[day.weekday()] == (on or WEEKDAYS[0])
        last = monthrange(day.year, day.month)[1]
        # The 31st of a month of thirty days is its last.
        return day.day == (last if on == LAST else min(int(on or 1), last))

    def _time(self) -> time:
        try:
            found = time.fromisoformat(self.settings.time)
        except (TypeError, ValueError):
            found = None
        if found is None or found.tzinfo is not None:
            wanted = "a time of the day without a zone, such as '09:00',"
            self._refuse("time", self.settings.time, wanted, ())
        return found

    def _refuse(self, what: str, found: object, wanted: str, options: Sequence[str]) -> NoReturn:
        hint = nearest(found, options) if isinstance(found, str) else ""
        raise ConfigurationError(
            f"newsletters.{self.name}.{what} is {found!r}{hint}; {wanted} is expected"
        )


def newsletters_of(settings: Mapping[str, NewsletterSettings]) -> dict[str, Newsletter]:
    """Return those switched on, by name; raises `ConfigurationError` if one is not right."""
    found = {}
    for name, each in settings.items():
        if not isinstance(each, NewsletterSettings):
            raise ConfigurationError(
                f"newsletters.{name} is {each!r}; NewsletterSettings(...) is expected"
            )
        made = Newsletter(name=name, settings=each)
        if each.enabled:
            found[name] = made
    return found


def see_to_issues(ctx: Context, newsletters: Iterable[Newsletter]) -> None:
    """Set when the next issue of each is due; another schedule than before counts from now on."""
    now = ctx.clock.now()
    for each in newsletters:
        schedule = repr((each.settings.every, each.settings.on, each.settings.time))
        schedule = f"{schedule} {ctx.calendar.zone.key}"
        key = f"{TIMER}{each.name}"
        if ctx.find_timer(key) is None or ctx.find_note(key) != schedule:
            ctx.set_note(key, schedule)
            _set_next(ctx, each, now)


def issue_due(
    ctx: Context,
    event: TimersDue,
    newsletters: Mapping[str, Newsletter],
    composer: Callable[[], Composer],
    source: Source | None,
) -> None:
    """
    Send the issues whose time it is, and see to the next; what is late waits for the next.

    So does what failed again and again, such as a template that is not there: of a timer that is
    given up, nothing would come any more.
    """
    for timer in (*event.timers, *event.skipped):
        if not timer.key.startswith(TIMER):
            continue
        found = newsletters.get(timer.key.removeprefix(TIMER))
        if found is None:
            continue  # it is switched off by now
        if timer in event.timers and timer.attempt < _MOST_FAILURES:
            _issue(ctx, found, event.due, composer(), source)
        _set_next(ctx, found, event.until)


def add_news(ctx: Context, newsletters: Mapping[str, Newsletter], name: str, item: object) -> int:
    """
    Keep something for the next issue of a newsletter; returns how many items wait for it.

    Raises:
        InputError: If it is no table that JSON can hold, or too many wait already.
        NotFoundError: If there is no such newsletter.
    """
    _check_there(newsletters, name)
    if not isinstance(item, Mapping) or not item:
        raise InputError(f"the item is {item!r}; a table is expected, such as title and url")
    check_table("the item", item)
    take_turn(ctx, _waiting(name))
    items = _read(ctx, name)
    if len(items) >= MOST_ITEMS:
        raise InputError(
            f"{len(items)} items wait for the next issue of {name!r}; at most {MOST_ITEMS} do"
        )
    items.append(dict(item))
    check_table(f"what waits for the next issue of {name!r}", {NEWS: items}, most=_LARGEST)
    _write(ctx, name, items)
    return len(items)


def waiting_news(
    ctx: Context, newsletters: Mapping[str, Newsletter], name: str
) -> list[dict[str, Any]]:
    """Return the items that wait for the next issue; raises `NotFoundError` as `add_news`."""
    _check_there(newsletters, name)
    return _read(ctx, name)


def next_issue(ctx: Context, name: str) -> int | None:
    """Return when the next issue of a newsletter is due, in microseconds."""
    return ctx.find_timer(f"{TIMER}{name}")


def _issue(
    ctx: Context, newsletter: Newsletter, due: int, composer: Composer, source: Source | None
) -> Kept | None:
    name = newsletter.name
    day = ctx.calendar.day_of(due)
    take_turn(ctx, _waiting(name))
    if find_kept(ctx, newsletter.issue(day, []).key) is not None:
        return None  # its hour was changed on the day: what is new since goes with the next
    news = _read(ctx, name)
    if source is not None:
        news += [dict(each) for each in source(name, _issued_at(ctx, name), due)]
    ctx.set_note(_last(name), str(due))
    if not news and newsletter.settings.empty == "skip":
        return None
    _write(ctx, name, [])
    issue = newsletter.issue(day, news)
    return start(ctx, composer, evolve(issue, at=due))


def _issued_at(ctx: Context, name: str) -> int:
    return int(ctx.find_note(_last(name)) or 0)


def _set_next(ctx: Context, newsletter: Newsletter, after: int) -> None:
    due = newsletter.next_after(after, ctx.calendar)
    grace = newsletter.settings.late_hours * _HOUR
    ctx.set_timer(f"{TIMER}{newsletter.name}", due, catch_up="skip", grace=grace)


def _check_there(newsletters: Mapping[str, Newsletter], name: str) -> None:
    if name not in newsletters:
        known = ", ".join(newsletters) or "none"
        raise NotFoundError(
            f"no newsletter is called {name!r}{nearest(str(name), newsletters)}; there is {known}"
        )


def _waiting(name: str) -> str:
    return f"news/{name}"


def _last(name: str) -> str:
    return f"issued/{name}"


def _read(ctx: Context, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ctx.find_note(_waiting(name)) or "[]")
    return found


def _write(ctx: Context, name: str, items: Sequence[Mapping[str, Any]]) -> None:
    ctx.set_note(_waiting(name), json.dumps(items, ensure_ascii=False))


def _is_day_of_month(text: str) -> bool:
    return text in ("", LAST) or (text.isdecimal() and 1 <= int(text) <= 31)


def _instant_of(day: date, at: time, calendar: Calendar) -> int:
    return to_instant(datetime.combine(day, at, tzinfo=calendar.zone))
