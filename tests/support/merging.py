"""Plugins that own tables of each policy, random histories, and all that a database holds."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from attrs import define, field
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    insert,
)
from typing_extensions import override

from crmcore import (
    Context,
    Crm,
    Draft,
    Identifier,
    InteractionsRecorded,
    Line,
    Money,
    Plugin,
    PluginTable,
    StagesChanged,
    TimersDue,
    hookimpl,
)
from crmcore.domain.clock import DAY
from tests.support.databases import making, shop_file
from tests.support.histories import START
from tests.support.plugins import Books

Whole = BigInteger().with_variant(Integer(), "sqlite")


class Kept:
    """The tables of `Notes`."""

    def __init__(self) -> None:
        metadata = MetaData()
        # Many rows of a customer, of which two customers may have the same keys.
        self.note = Table(
            "crm_notes_note",
            metadata,
            Column("customer_id", Whole, nullable=False),
            Column("about", Text, nullable=False),
            Column("body", LargeBinary, nullable=False),
            PrimaryKeyConstraint("customer_id", "about"),
        )
        # One row of a customer.
        self.card = Table(
            "crm_notes_card",
            metadata,
            Column("customer_id", Whole, primary_key=True, autoincrement=False),
            Column("number", Text),
        )
        # Keys never collide, but another group of columns may.
        self.seat = Table(
            "crm_notes_seat",
            metadata,
            Column("customer_id", Whole, nullable=False),
            Column("seat", Whole, nullable=False),
            Column("place", Text),
            PrimaryKeyConstraint("customer_id", "seat"),
            UniqueConstraint("customer_id", "place"),
        )
        self.stamp = Table(
            "crm_notes_stamp",
            metadata,
            Column("customer_id", Whole, nullable=False),
            Column("stamped_at", Whole, nullable=False),
            PrimaryKeyConstraint("customer_id", "stamped_at"),
        )
        self.told = Table(
            "crm_notes_told",
            metadata,
            Column("customer_id", Whole, nullable=False),
            Column("number", Whole, nullable=False),
            PrimaryKeyConstraint("customer_id", "number"),
        )

    def policies(self) -> tuple[PluginTable, ...]:
        return (
            *(
                PluginTable(table, derived=False, merge="move", erase="delete")
                for table in (self.note, self.card, self.seat)
            ),
            *(
                PluginTable(table, derived=False, merge="keep_both", erase="delete")
                for table in (self.stamp, self.told)
            ),
        )


@define(eq=False)
class Notes(Plugin):
    """Owns a table of each policy, keeps a timer of each customer, and listens to stages."""

    name: ClassVar[str] = "notes"
    kept: ClassVar[Kept] = Kept()
    tables: ClassVar[tuple[PluginTable, ...]] = kept.policies()

    heard: list[str] = field(factory=list)

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        for item in event:
            customer, day = item.customer_id, item.occurred_instant // DAY
            about = f"{item.kind}/{day % 3}"
            body = f"{item.source_key}".encode()
            ctx.write(self.kept.note, [{"customer_id": customer, "about": about, "body": body}])
            if item.kind == "order.placed":
                number = f"{customer}-{day}" if day % 2 else None
                ctx.write(self.kept.card, [{"customer_id": customer, "number": number}])
                ctx.write(self.kept.stamp, [{"customer_id": customer, "stamped_at": item.id}])
                place = f"p{day % 4}" if day % 4 else None
                seat = {"customer_id": customer, "seat": item.id, "place": place}
                if place is None or not self._is_seated(ctx, customer, place):
                    ctx.write(self.kept.seat, [seat])
                ctx.set_timer(f"again:{day % 2}", item.occurred_instant + 10 * DAY, customer)

    def _is_seated(self, ctx: Context, customer: int, place: str) -> bool:
        seat = self.kept.seat
        found = ctx.execute(
            seat.select().where(seat.c.customer_id == customer, seat.c.place == place)
        )
        return bool(found)

    @hookimpl
    @override
    def on_stages_changed(self, ctx: Context, event: StagesChanged) -> None:
        for change in event.changes:
            self.heard.append(f"{change.customer_id}: {change.from_stage} to {change.to_stage}")

    @hookimpl
    @override
    def on_timers_due(self, ctx: Context, event: TimersDue) -> None:
        for timer in event.timers:
            self.heard.append(f"{timer.customer_id}: {timer.key}")


@define(eq=False)
class Forgetful(Books):
    """Books that now and then miss a batch, and then owe work for its customers."""

    chance: random.Random = field(factory=lambda: random.Random(0))
    reviews: bool = False

    @override
    def may_fail(self, ctx: Context, hook: str) -> None:
        if hook == "on_interactions_recorded" and self.chance.random() < 0.15:
            raise ValueError("told to fail")


_KINDS = (
    "product.viewed",
    "order.placed",
    "order.placed",
    "order.delivered",
    "order.refunded",
    "order.returned",
    "account.registered",
    "payment.failed",
)
_PAYLOADS: dict[str, dict[str, Any]] = {
    "product.viewed": {"product": "p1"},
    "payment.failed": {"order": "o1"},
}
_QUIETING = (
    "consent.given",
    "consent.given",
    "consent.confirmed",
    "consent.imported",
    "consent.withdrawn",
    "consent.refused",
    "brake.set",
    "brake.lifted",
    "customer.zone_changed",
)


@define
class Shop:
    """A shop whose history is made up as it goes; the same seed makes the same history."""

    chance: random.Random
    customers: int = 6
    day: int = 0
    number: int = 0
    ids: dict[int, int] = field(factory=dict)

    def draft(self, *, by_id: bool = False) -> Draft:
        """Return the next thing that happens."""
        self.number += 1
        self.day += self.chance.choice((0, 0, 1, 1, 3, 9))
        who = self.chance.randint(1, self.customers)
        kind = self.chance.choice((*_KINDS, *_QUIETING))
        amount = None
        lines: tuple[Line, ...] = ()
        if kind in {"order.placed", "order.refunded"}:
            minor = self.chance.randint(1, 90) * 100
            amount = Money(minor, "EUR")
            lines = (Line(product=self.chance.choice("abc"), amount_minor=minor),)
        named: dict[str, Any] = {"identifiers": tuple(self._identifiers(who))}
        if by_id and who in self.ids:
            named = {"customer": self.ids[who]}
        late = self.chance.choice((0, 0, 0, 2, 20))
        return Draft(
            kind,
            occurred_at=START + timedelta(days=self.day - late + 30),
            amount=amount,
            lines=lines,
            payload=self._quieting(kind, who) or _PAYLOADS.get(kind),
            source_key=f"k{self.number}",
            subject=self.chance.choice((None, f"order:{who}/1", "order:shared"))
            if kind in _KINDS
            else None,
            **named,
        )

    def _quieting(self, kind: str, who: int) -> dict[str, Any] | None:
        """Return what is said of consent, of addresses that two may have; of brakes and zones."""
        choice = self.chance.choice
        if kind == "customer.zone_changed":
            return {"zone": choice(("Europe/Paris", "Asia/Tokyo", "America/Havana"))}
        if kind.startswith("brake."):
            until = {"until": "2024-06-01"} if kind == "brake.set" and choice((True, False)) else {}
            return {"brake": choice(("complaint", "mourning")), **until}
        if not kind.startswith("consent."):
            return None
        said = {"point": choice((f"c{who}x@example.com", "shared@example.com"))}
        said |= {"purpose": choice(("promotion", "news")), "channel": "email"}
        if kind in ("consent.withdrawn", "consent.refused"):
            for name in list(said):
                if choice((True, False)):
                    del said[name]
        return said

    def _identifiers(self, who: int) -> Iterator[Identifier]:
        """Yield the account first; a mail address or a handle comes to be known now and then."""
        yield Identifier("account", f"a{who}")
        if self.chance.random() < 0.3:
            yield Identifier("email", f"c{who}{self.chance.choice('xy')}@example.com")
        if self.chance.random() < 0.2:
            yield Identifier("handle", f"h{who}{self.number % 3}")

    def learn(self, crm: Crm) -> None:
        """Note which id each customer has."""
        for who in range(1, self.customers + 1):
            found = crm.find_customer(Identifier("account", f"a{who}"))
            if found is not None and who not in self.ids:
                self.ids[who] = found


def put(crm: Crm, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
    """Write rows of a table of the core, a value for every column."""
    with crm.begin() as tx:
        tx.connection.insert_rows(insert(table), list(rows))


@contextmanager
def database_of(kind: str, folder: Path) -> Iterator[str]:
    """Give the URL of an empty database of a kind."""
    with making(kind):
        yield shop_file(folder)
