"""Counting: how many opened a message and followed its links, machines told from humans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, Final

from attrs import frozen
from sqlalchemy import bindparam, func, select

from crmcore import payload_text
from crmcore_email_link.reading import Execute, interaction, message
from crmcore_email_link.tables import Whole, Words
from crmcore_email_link.tracking.callers import SEEN_AS, SeenAs
from crmcore_email_link.tracking.consents import stands
from crmcore_email_link.tracking.sweeps import Hit, without_sweeps
from crmcore_email_link.tracking.tables import hit, said

_WENT: Final = ("accepted", "unknown")
_AT_ONCE: Final = 5000  # customers whose hits are read by one statement


@frozen(kw_only=True)
class Counts:
    """
    How many recipients did something, each counted once, as the surest of what they are seen as.

    Attributes:
        human: Nothing speaks against a human.
        unknown: It cannot be told, as where a proxy asked.
        machine: None but machines.
    """

    human: int = 0
    unknown: int = 0
    machine: int = 0


@frozen(kw_only=True)
class Tracked:
    """
    What became of a message that many got, of those who allowed to see it.

    Attributes:
        key: What it is, such as `news-2026-11`.
        recipients: To how many it went.
        tracked: How many of them had allowed it when it went; rates are of these.
        opened: How many loaded its pixel.
        clicked: How many followed a link.
        links: The same by link, in the order of their names.
    """

    key: str
    recipients: int
    tracked: int
    opened: Counts
    clicked: Counts
    links: Mapping[str, Counts]


_m, _h, _i = message.c, hit.c, interaction.c
_key: Final = bindparam("key", type_=Words)
_whose: Final = bindparam("whose", type_=Words)
_sent: Final = (_m.message_key == _key, _m.plugin == _whose, _m.state.in_(_WENT))
_recipients: Final = select(func.count(_m.customer_id.distinct())).where(*_sent)
_allowing: Final = (
    select(_m.customer_id)
    .select_from(message.join(said, said.c.customer_id == _m.customer_id))
    .where(*_sent, said.c.at <= _m.handed_at)
    .group_by(_m.message_id, _m.customer_id, _m.handed_at)
    .having(stands(_m.handed_at))
)
_allowed: Final = _allowing.subquery("allowing")
_tracked: Final = select(func.count(_allowed.c.customer_id.distinct()))
_chosen: Final = (
    select(_h.customer_id)
    .where(
        _h.message_key == _key,
        _h.plugin == _whose,
        _h.customer_id > bindparam("after", type_=Whole),
    )
    .group_by(_h.customer_id)
    .order_by(_h.customer_id)
    .limit(_AT_ONCE)
)
_hits: Final = (
    select(_h.customer_id, _h.what, _h.at, _h.place, _h.links, _h.seen_as, _h.link)
    .where(_h.message_key == _key, _h.plugin == _whose, _h.customer_id.in_(_chosen))
    .order_by(_h.customer_id)
)
_arrived: Final = (
    select(_i.customer_id, func.min(_i.occurred_at))
    .where(
        _i.customer_id.in_(_chosen),
        _i.kind == "message.delivered",
        payload_text(_i.payload, "message") == _key,
    )
    .group_by(_i.customer_id)
)


def tracked(execute: Execute, key: str, *, plugin: str = "", pause: int, sweep: int) -> Tracked:
    """
    Return what became of a message; see `EmailLink.tracked`.

    Args:
        execute: Runs statements.
        key: What it is.
        plugin: Whose it is; empty: the shop's own.
        pause: Microseconds after its arrival within which nobody can have read it.
        sweep: Microseconds within which a human does not follow all links.
    """
    opened, clicked = _Tally(), _Tally()
    links: dict[str, _Tally] = {}
    for hits in _by_customer(execute, key, plugin, pause, sweep):
        opened.add(hit.seen_as for hit in hits if hit.what == "opened")
        clicked.add(hit.seen_as for hit in hits if hit.what == "clicked")
        followed = sorted((hit.link, hit.seen_as) for hit in hits if hit.what == "clicked")
        for link, group in groupby(followed, key=lambda each: each[0]):
            if link:
                links.setdefault(link, _Tally()).add(seen_as for _, seen_as in group)
    return Tracked(
        key=key,
        recipients=execute(_recipients, key=key, whose=plugin)[0][0],
        tracked=execute(_tracked, key=key, whose=plugin)[0][0],
        opened=opened.counts,
        clicked=clicked.counts,
        links={link: links[link].counts for link in sorted(links)},
    )


def _by_customer(
    execute: Execute, key: str, plugin: str, pause: int, sweep: int
) -> Iterator[list[Hit]]:
    """Go through what each recipient did, by what is known of it by now."""
    after = -1
    while rows := execute(_hits, key=key, whose=plugin, after=after):
        arrivals: dict[int, int] = dict(execute(_arrived, key=key, whose=plugin, after=after))
        for owner, group in groupby(rows, key=lambda row: row[0]):
            yield _judged(group, arrivals.get(owner), pause, sweep)
            after = owner


def _judged(
    rows: Iterable[tuple[Any, ...]], arrived: int | None, pause: int, sweep: int
) -> list[Hit]:
    hits = []
    for _, what, at, place, links, seen_as, link in rows:
        is_early = arrived is not None and at < arrived + pause
        seen: SeenAs = "machine" if is_early else seen_as
        hits.append(Hit(what=what, at=at, place=place, links=links, seen_as=seen, link=link))
    return without_sweeps(hits, sweep)


class _Tally:
    """Counts recipients, each as the surest of what they are seen as."""

    def __init__(self) -> None:
        self._counts: dict[SeenAs, int] = dict.fromkeys(SEEN_AS, 0)

    def add(self, seen: Iterable[SeenAs]) -> None:
        """Count one recipient, if they did anything."""
        found = set(seen)
        best = next((each for each in SEEN_AS if each in found), None)
        if best is not None:
            self._counts[best] += 1

    @property
    def counts(self) -> Counts:
        return Counts(**self._counts)
