"""Figures: what became of mails, counted from rows, beside what big receivers bear."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

from attrs import define, field, frozen
from sqlalchemy import Select, and_, bindparam, case, func, or_, select

from crmcore import Crm, payload_text
from crmcore.errors import NotFoundError, nearest
from crmcore_email_link.reading import broadcast, identifier, interaction, message
from crmcore_email_link.tables import Whole, Words

COMPLAINTS_WANTED: Final = 0.001
COMPLAINTS_BORNE: Final = 0.003
"""
Of mails that arrived, the share that Gmail and Yahoo want complained of at most, and the one from
which on they stop taking mail.
"""

DAYS: Final = 28
_DAY: Final = 86_400_000_000
_MOST_TROUBLES: Final = 50_000
_FEEDBACK: Final = {
    "message.bounced": "bounced",
    "message.complained": "complained",
    "consent.withdrawn": "unsubscribed",
    "email_link.blocked": "blocked",
}

Verdict = Literal["good", "high", "too high", "none"]
_m, _b, _i = message.c, broadcast.c, interaction.c
_of_broadcast: Final = and_(_m.plugin == _b.plugin, _m.message_key == _b.message_key)
_named: Final = func.coalesce(_b.message_key, "")
_key: Final = bindparam("wanted", type_=Words)
_one: Final = or_(_key == "", _m.message_key == _key)
_since: Final = bindparam("since", type_=Whole)


@define
class Line:
    """
    What became of the mails of one key, or of all that were planned one by one for a purpose.

    Attributes:
        key: The broadcast's; empty: they were planned one by one.
        plugin: Whose they are; empty: the shop's own.
        purpose: What they are for.
        audience: For how many a broadcast was planned; None: it is none.
        standing: Of a broadcast: `stopped`, `paused`, or empty.
        planned_at: When the latest of them was planned, in microseconds.
        states: How many stand in which state.
        gates: Of those withheld, how many by which gate.
        hard, soft, blocked, complained, unsubscribed: How many customers of them.
    """

    key: str
    plugin: str
    purpose: str
    audience: int | None = None
    standing: str = ""
    planned_at: int = 0
    states: Counter[str] = field(factory=Counter)
    gates: Counter[str] = field(factory=Counter)
    hard: int = 0
    soft: int = 0
    blocked: int = 0
    complained: int = 0
    unsubscribed: int = 0

    @property
    def total(self) -> int:
        """How many there are, whatever became of them."""
        return sum(self.states.values())

    @property
    def to_come(self) -> int:
        """How many may still go."""
        return sum(self.states[each] for each in ("planned", "claimed", "handed", "deferred"))

    @property
    def arrived(self) -> int:
        """How many were taken, less those that came back for good."""
        return max(self.states["accepted"] - self.hard, 0)

    @property
    def complaint_rate(self) -> float | None:
        """Of those that arrived, the share that somebody complained of; None: none arrived."""
        return self.complained / self.arrived if self.arrived else None

    @property
    def verdict(self) -> Verdict:
        """How that stands beside what Gmail and Yahoo bear."""
        rate = self.complaint_rate
        if rate is None:
            return "none"
        if rate >= COMPLAINTS_BORNE:
            return "too high"
        return "high" if rate >= COMPLAINTS_WANTED else "good"


@frozen
class Trouble:
    """
    Mails that were not taken, or not yet.

    Attributes:
        domain: Where they were to go.
        state: `deferred`, `failed` or `unknown`.
        count: How many.
        reason: What is said of most of them.
    """

    domain: str
    state: str
    count: int
    reason: str


@frozen(kw_only=True)
class Figures:
    """
    What became of mails.

    Attributes:
        latest: All that were handed over lately, or planned and not handed over, as one line.
        days: How many days that is; 0: all there ever were.
        broadcasts: Newest first.
        single: Those planned one by one, by purpose.
        troubles: Those that were not taken, the most first.
    """

    latest: Line
    days: int
    broadcasts: Sequence[Line]
    single: Sequence[Line]
    troubles: Sequence[Trouble]


def _sums(*conditions: Any) -> Select[Any]:
    gate = case((_m.state == "withheld", func.coalesce(_m.gate, "")), else_="")
    rows = (
        select(
            _named.label("key"),
            _m.plugin,
            _m.purpose,
            _m.state,
            gate.label("gate"),
            _m.planned_at,
        )
        .select_from(message.outerjoin(broadcast, _of_broadcast))
        .where(_m.channel == "email", _one, *conditions)
        .subquery()
    )
    groups = [rows.c[name] for name in ("key", "plugin", "purpose", "state", "gate")]
    return select(*groups, func.count(), func.max(rows.c.planned_at)).group_by(*groups)


def _come_back(*conditions: Any) -> Select[Any]:
    """What came back, by the message that it is about; each message once."""
    told = case(
        (_i.kind == "consent.withdrawn", payload_text(_i.payload, "reason")),
        else_=payload_text(_i.payload, "message"),
    )
    how = case((_i.kind == "message.bounced", payload_text(_i.payload, "bounce")), else_="")
    rows = (
        select(
            _named.label("key"),
            _m.plugin,
            _m.purpose,
            _i.kind,
            how.label("how"),
            _m.message_id,
        )
        .select_from(
            interaction.join(
                message, and_(_m.customer_id == _i.customer_id, _m.message_key == told)
            ).outerjoin(broadcast, _of_broadcast)
        )
        .where(
            _i.kind.in_(tuple(_FEEDBACK)),
            or_(_i.kind != "consent.withdrawn", _i.source == "email_link"),
            _m.channel == "email",
            _one,
            *conditions,
        )
        .subquery()
    )
    groups = [rows.c[name] for name in ("key", "plugin", "purpose", "kind", "how")]
    return select(*groups, func.count(func.distinct(rows.c.message_id))).group_by(*groups)


_ALL: Final = (_sums(), _come_back())
_late: Final = func.coalesce(_m.handed_at, _m.planned_at) >= _since
_LATELY: Final = (_sums(_late), _come_back(_late))
_broadcasts: Final = select(
    _b.plugin, _b.message_key, _b.purpose, _b.audience, _b.planned_at, _b.stopped_at, _b.paused_at
).where(_b.channel == "email", or_(_key == "", _b.message_key == _key))
_troubles: Final = (
    select(_m.state, _m.reason, identifier.c.identifier_value)
    .select_from(
        message.outerjoin(
            identifier,
            and_(identifier.c.customer_id == _m.customer_id, identifier.c.point == _m.point),
        )
    )
    .where(
        _m.channel == "email",
        or_(_m.state.in_(("failed", "unknown")), and_(_m.state == "deferred", _m.attempt > 0)),
        _one,
    )
    .order_by(_m.message_id.desc())
    .limit(_MOST_TROUBLES)
)
_keys: Final = select(_m.message_key).where(_m.channel == "email").distinct()

Execute = Callable[..., Sequence[tuple[Any, ...]]]


def figures_of(crm: Crm, key: str | None = None, *, days: int = DAYS) -> Figures:
    """
    Return what became of mails, of one key or of all.

    Args:
        crm: The shop.
        key: A broadcast's, or that of messages that were planned one by one; None: all.
        days: How far back the sum of what went lately reaches; 0: to the first.

    Raises:
        NotFoundError: If no mail has that key.
    """
    since = crm.runtime.clock.now() - days * _DAY if days else 0
    with crm.begin() as tx:
        execute: Execute = tx.connection.execute
        lines = _lines(execute, _ALL, wanted=key or "")
        for plugin, name, purpose, audience, planned, stopped, paused in execute(
            _broadcasts, wanted=key or ""
        ):
            line = lines.setdefault((name, plugin, purpose), Line(name, plugin, purpose))
            line.audience, line.planned_at = audience, planned
            line.standing = "stopped" if stopped else "paused" if paused else ""
        if key is not None and not lines:
            known = [row[0] for row in execute(_keys)]
            raise NotFoundError(f"no mail has the key {key!r}{nearest(key, known)}")
        latest = _added(_lines(execute, _LATELY, wanted=key or "", since=since).values())
        troubles = _counted(execute(_troubles, wanted=key or ""))
    return Figures(
        latest=latest,
        days=days,
        broadcasts=sorted(
            (each for each in lines.values() if each.key),
            key=lambda each: (-each.planned_at, each.key, each.plugin),
        ),
        single=sorted(
            (each for each in lines.values() if not each.key),
            key=lambda each: (each.purpose, each.plugin),
        ),
        troubles=troubles,
    )


def _lines(
    execute: Execute, statements: tuple[Select[Any], Select[Any]], **values: Any
) -> dict[tuple[str, str, str], Line]:
    sums, back = statements
    found: dict[tuple[str, str, str], Line] = {}
    for key, plugin, purpose, state, gate, count, planned in execute(sums, **values):
        line = found.setdefault((key, plugin, purpose), Line(key, plugin, purpose))
        line.states[state] += count
        if gate:
            line.gates[gate] += count
        line.planned_at = max(line.planned_at, planned)
    for key, plugin, purpose, kind, how, count in execute(back, **values):
        line = found.setdefault((key, plugin, purpose), Line(key, plugin, purpose))
        name = _FEEDBACK[kind]
        name = how if name == "bounced" and how == "soft" else "hard" if name == "bounced" else name
        setattr(line, name, getattr(line, name) + count)
    return found


def _added(lines: Iterable[Line]) -> Line:
    whole = Line("", "", "")
    for each in lines:
        whole.states += each.states
        for name in ("hard", "soft", "blocked", "complained", "unsubscribed"):
            setattr(whole, name, getattr(whole, name) + getattr(each, name))
    return whole


def _counted(rows: Iterable[tuple[Any, ...]]) -> list[Trouble]:
    """Return what was not taken, by domain and state, with the reason that most have."""
    reasons: dict[tuple[str, str], Counter[str]] = {}
    for state, reason, address in rows:
        domain = (address or "").rpartition("@")[2] or "an address that is gone"
        told = (reason or "no reason is on record").replace(address or "\0", "the address")
        reasons.setdefault((domain, state), Counter())[told] += 1
    found = [
        Trouble(domain, state, counts.total(), counts.most_common(1)[0][0])
        for (domain, state), counts in reasons.items()
    ]
    return sorted(found, key=lambda each: (-each.count, each.domain, each.state))


def line_json(line: Line) -> Mapping[str, Any]:
    """Return a line as JSON."""
    return {
        "key": line.key or None,
        "plugin": line.plugin,
        "purpose": line.purpose or None,
        "audience": line.audience,
        "standing": line.standing or None,
        "states": dict(sorted(line.states.items())),
        "withheld_by": dict(sorted(line.gates.items())),
        "hard": line.hard,
        "soft": line.soft,
        "blocked": line.blocked,
        "complained": line.complained,
        "unsubscribed": line.unsubscribed,
        "complaint_rate": line.complaint_rate,
        "complaints": line.verdict,
    }
