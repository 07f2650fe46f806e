"""Withholding: contact points that nobody writes to, whoever has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from attrs import frozen
from sqlalchemy import bindparam, case, func, null, or_, select, update

from crmcore.domain.consent import ANY, WIDENING
from crmcore.persistence.connection import Connection
from crmcore.persistence.consent import consent, withheld
from crmcore.persistence.customers import identifier
from crmcore.persistence.portable import json_hashes
from crmcore.persistence.schema import Whole

UNSOLICITED: Final = "unsolicited"
"""Stands for every purpose of which nobody is owed a message."""

UNDELIVERABLE: Final = "undeliverable"
BLOCKED: Final = "blocked"
COMPLAINT: Final = "complaint"
WITHDRAWN: Final = "withdrawn"
ERASED: Final = "erased"
TRUMPED: Final = (ERASED, WITHDRAWN)
"""What a later consent for the point, given here, goes before; imported ones never do."""

WIDTH: Final = {
    UNDELIVERABLE: ANY,
    BLOCKED: ANY,
    COMPLAINT: UNSOLICITED,
    WITHDRAWN: UNSOLICITED,
    ERASED: UNSOLICITED,
}
"""Of which purposes nothing goes, for each reason."""

_select = select(*withheld.columns).order_by(*withheld.primary_key.columns)
_standing = _select.where(
    withheld.c.lifted_at.is_(None),
    or_(withheld.c.until.is_(None), withheld.c.until > bindparam("at", type_=Whole)),
)
_of_point = _select.where(withheld.c.point == bindparam("about"))
_lift = (
    update(withheld)
    .where(
        withheld.c.point == bindparam("about"),
        withheld.c.lifted_at.is_(None),
        or_(bindparam("every", type_=Whole) == 1, withheld.c.reason == bindparam("why")),
    )
    .values(lifted_at=bindparam("at"), lifted_by=bindparam("by"))
)


@frozen(kw_only=True)
class Withheld:
    """
    A contact point that nobody writes to; instants in microseconds.

    Attributes:
        point: Its keyed hash: the list tells nobody's address.
        channel: On which; `*`: on all.
        purpose: Of which messages; `*`: of all, `unsolicited`: of those that nobody is owed.
        reason: `undeliverable`, `blocked`, `complaint`, `withdrawn` or `erased`.
        since: From when on.
        until: When it ends by itself; None: never.
        actor: Who decided it, where the shop said so.
        lifted_at: When it was lifted; None: it holds.
        lifted_by: Who lifted it.
        customers: Who has it now, by proof or as a guest; nobody, where it is empty.
    """

    point: str
    channel: str
    purpose: str
    reason: str
    since: int
    until: int | None
    actor: str | None
    lifted_at: int | None
    lifted_by: str | None
    customers: Sequence[int] = ()


def withhold(
    connection: Connection,
    points: Iterable[str],
    *,
    reason: str,
    since: int,
    channel: str = ANY,
    purpose: str | None = None,
    until: int | None = None,
    actor: str | None = None,
) -> None:
    """
    Note that nobody writes to these contact points; the later of two such notes stands.

    Whoever calls this has the customers locked whose points they are, and judges their messages
    anew; see `crmcore.services.messaging.consent.ConsentService.withhold`.
    """
    rows = [
        entry(point, reason, since, channel=channel, purpose=purpose, until=until, actor=actor)
        for point in sorted({*points})
    ]
    write(connection, rows)


def entry(
    point: str,
    reason: str,
    since: int,
    *,
    channel: str = ANY,
    purpose: str | None = None,
    until: int | None = None,
    actor: str | None = None,
) -> tuple[Any, ...]:
    """Return a row for `write`; without a purpose it is as wide as its reason."""
    wide = WIDTH[reason] if purpose is None else purpose
    return (point, channel, wide, reason, since, until, actor, None, None)


def since_grants(connection: Connection, points: Iterable[str], now: int) -> int:
    """Return from when on nothing goes to points: after every grant there has been for them."""

    def build() -> Any:
        return select(func.max(consent.c.occurred_at)).where(
            connection.database.portable.is_hash(consent.c.point, "points"),
            consent.c.effect.in_(sorted(WIDENING)),
        )

    statement = connection.database.once("grants of points", build)
    found = connection.execute(statement, points=json_hashes(points))[0][0]
    return max(now, found or now)


def write(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write whole rows; of two with the same key the later *since* and *until* stand, unlifted."""
    database = connection.database

    def build() -> Any:
        statement = database.portable.insert(withheld)
        greatest = func.max if database.portable.is_sqlite else func.greatest
        new = statement.excluded
        # Of two that stand the one that ends later; what ended, or was lifted, begins anew.
        over = (withheld.c.lifted_at.is_not(None)) | (withheld.c.until <= new.since)
        endless = withheld.c.until.is_(None) | new.until.is_(None)
        until = case(
            (over, new.until), (endless, null()), else_=greatest(withheld.c.until, new.until)
        )
        return statement.on_conflict_do_update(
            index_elements=list(withheld.primary_key.columns.keys()),
            set_={
                "since": greatest(withheld.c.since, new.since),
                "until": until,
                "actor": new.actor,
                "lifted_at": None,
                "lifted_by": None,
            },
        )

    statement = database.once("withhold", build)
    names = list(withheld.columns.keys())
    connection.change_many(statement, [dict(zip(names, row, strict=True)) for row in rows])


def lift(
    connection: Connection, point: str, *, reason: str | None, now: int, actor: str | None
) -> int:
    """Let a point be written to again; returns how many entries were lifted."""
    return connection.change(
        _lift, about=point, every=int(reason is None), why=reason or "", at=now, by=actor
    )


def standing(connection: Connection, now: int) -> list[Withheld]:
    """Return what is withheld, by point."""
    return _with_owners(connection, connection.execute(_standing, at=now))


def of_point(connection: Connection, point: str) -> list[Withheld]:
    """Return everything that was ever noted of a point, what was lifted among it."""
    return _with_owners(connection, connection.execute(_of_point, about=point))


def _with_owners(connection: Connection, rows: Sequence[Sequence[Any]]) -> list[Withheld]:
    def build() -> Any:
        return (
            select(identifier.c.point, identifier.c.customer_id)
            .where(connection.database.portable.is_hash(identifier.c.point, "points"))
            .distinct()
            .order_by(identifier.c.customer_id)
        )

    names = list(withheld.columns.keys())
    place = names.index("point")
    owners: dict[str, list[int]] = {}
    if rows:
        statement = connection.database.once("owners of each point", build)
        points = json_hashes({row[place] for row in rows})
        for point, customer in connection.execute(statement, points=points):
            owners.setdefault(point, []).append(customer)
    return [
        Withheld(**dict(zip(names, row, strict=True)), customers=tuple(owners.get(row[place], ())))
        for row in rows
    ]
