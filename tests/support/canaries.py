"""Canaries: texts that stand nowhere else, planted wherever a personal value can stand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import attrs
from attrs import define, field, frozen
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    insert,
)
from typing_extensions import override

from crmcore import (
    Content,
    Context,
    Crm,
    CustomerErased,
    CustomerExported,
    CustomersRecompute,
    Draft,
    Erasure,
    Identifier,
    InteractionsRecorded,
    Keep,
    Kind,
    Line,
    MessageDraft,
    Plugin,
    PluginTable,
    hookimpl,
)
from crmcore.domain.kind import personal
from crmcore.domain.structuring import Erased
from crmcore.persistence.faults import fault
from crmcore.persistence.merges import match, merge, relation
from crmcore.persistence.privacy import access
from crmcore.persistence.timers import timer
from tests.support.merging import put

Whole = BigInteger().with_variant(Integer(), "sqlite")

WHY = "the law wants invoices kept"


@frozen(kw_only=True)
class Letter:
    """A payload with a personal value of each sort."""

    about: str | None = None
    name: str | Erased | None = personal(default=None)
    lines: list[str] | Erased | None = personal(default=None)
    parts: dict[str, str] | Erased | None = personal(default=None)


class Drawers:
    """The tables of `Vault`: one of each policy."""

    def __init__(self) -> None:
        metadata = MetaData()

        def made(noun: str, *more: Column[Any]) -> Table:
            return Table(
                f"crm_vault_{noun}",
                metadata,
                Column("customer_id", Whole, nullable=False),
                Column("item", Text, nullable=False),
                Column("words", Text),
                Column("count", Whole, nullable=False),
                *more,
                PrimaryKeyConstraint("customer_id", "item"),
            )

        self.derived = made("derived")
        self.faded = made("faded")  # derived, and anonymised
        self.gone = made("gone", Column("picture", LargeBinary))
        self.numbers = made("number", Column("picture", LargeBinary, nullable=False))
        self.invoice = made("invoice")
        self.secret = made("secret")

    def policies(self) -> tuple[PluginTable, ...]:
        return (
            PluginTable(self.derived, derived=True, merge="recompute", erase="delete"),
            PluginTable(self.faded, derived=True, merge="recompute", erase="anonymise"),
            PluginTable(self.gone, derived=False, merge="move", erase="delete"),
            PluginTable(self.numbers, derived=False, merge="move", erase="anonymise"),
            PluginTable(self.invoice, derived=False, merge="move", erase=Keep(WHY)),
            PluginTable(self.secret, derived=False, merge="move", erase="delete", export=False),
        )


@define(eq=False)
class Vault(Plugin):
    """
    Keeps something of every customer in a table of each policy, and a file.

    Attributes:
        folder: Where its files are; each is named for a customer's number.
        fails: The hook that is to raise.
    """

    name: ClassVar[str] = "vault"
    drawers: ClassVar[Drawers] = Drawers()
    tables: ClassVar[tuple[PluginTable, ...]] = drawers.policies()

    folder: Path | None = None
    fails: str = ""
    asked: list[tuple[int, bool]] = field(factory=list)

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        return [Kind("vault.written", payload=Letter), Kind("vault.bounced", follows=True)]

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        self._derive(ctx, [(each.customer_id, each.source_key) for each in event])

    def _derive(self, ctx: Context, facts: list[tuple[int, str | None]]) -> None:
        rows = [
            {"customer_id": who, "item": f"{key}", "words": f"words about {key}", "count": 1}
            for who, key in facts
        ]
        ctx.write(self.drawers.derived, rows)
        ctx.write(self.drawers.faded, rows)

    @hookimpl
    @override
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        from crmcore.hooks import CustomerList
        from crmcore.persistence.ledger import interaction

        chosen = interaction.select().with_only_columns(
            interaction.c.customer_id, interaction.c.source_key, interaction.c.interaction_id
        )
        until = None
        if isinstance(event.selection, CustomerList):
            chosen = chosen.where(interaction.c.customer_id.in_(event.selection.customers))
            until = event.selection.until
        for table in (self.drawers.derived, self.drawers.faded):
            ctx.clear(table, event)
        rows = ctx.execute(chosen)
        self._derive(ctx, [(r[0], r[1]) for r in rows if until is None or r[2] < until])

    @hookimpl
    @override
    def export_customer(self, ctx: Context, event: CustomerExported) -> Mapping[str, Any] | None:
        if self.fails == "export_customer":
            raise ValueError("told to fail")
        file = self._file(event.customer_id)
        return {"file": file.read_text()} if file is not None and file.exists() else None

    @hookimpl
    @override
    def erase_customer(self, ctx: Context, event: CustomerErased) -> Iterable[Erasure] | None:
        self.asked.append((event.customer_id, event.planned))
        if self.fails == "erase_customer":
            raise ValueError("told to fail")
        file = self._file(event.customer_id)
        if file is None or not file.exists():
            return []
        if not event.planned:
            file.unlink()
        assert self.folder is not None
        return [Erasure("files in the vault", count=1, files=(self.folder,))]

    def _file(self, customer: int) -> Path | None:
        return None if self.folder is None else self.folder / f"{customer}.txt"


class Canaries:
    """Makes texts that stand nowhere else; each says where it was planted."""

    def __init__(self, person: str) -> None:
        self.person = person
        self.planted: list[str] = []

    def text(self, where: str) -> str:
        made = f"Canary {self.person} {len(self.planted)} in {where}"
        self.planted.append(made)
        return made

    def word(self, where: str) -> str:
        """Return one without spaces, for what has a form."""
        made = f"canary{self.person}{len(self.planted)}{where}".lower()
        self.planted.append(made)
        return made

    def spelled(self) -> Iterator[bytes]:
        for each in self.planted:
            yield each.encode()
            yield each.replace(" ", "%20").encode()


IDENTIFIERS = ("account", "card", "cookie", "email", "guest_email", "handle")


def names(canaries: Canaries) -> list[Identifier]:
    """Return an identifier of every scheme but phones, whose numbers say where they are from."""
    made = []
    for scheme in IDENTIFIERS:
        word = canaries.word(scheme.replace("_", ""))
        mail = scheme in ("email", "guest_email")
        made.append(Identifier(scheme, f"{word}@example.com" if mail else word))
    return made


def payload(kind: Kind, canaries: Canaries, address: str) -> dict[str, Any]:
    """Return a payload of a kind with a canary in each of its personal fields."""
    made: dict[str, Any] = {}
    for each in attrs.fields(attrs.resolve_types(kind.payload)):
        told = str(each.type)
        where = f"{kind.name} {each.name}"
        if each.name in kind.personal_fields:
            if "list" in told:
                made[each.name] = [canaries.text(where)]
            elif "dict" in told:
                made[each.name] = {"part": canaries.text(where)}
            elif each.name in ("point", "address"):
                made[each.name] = address  # which has to be the customer's, and is a canary, too
            else:
                made[each.name] = canaries.text(where)
        elif each.default is attrs.NOTHING:
            made[each.name] = _VALUES.get(each.name, _plain(told))
    return made


_VALUES: dict[str, Any] = {
    "purpose": "news",
    "channel": "email",
    "zone": "Europe/Berlin",
    "operation": "added",
    "brake": "mourning",
    "reasons": [],
    "tier": "A",
    "until": "2026-12-31",
}


def _plain(told: str) -> Any:
    return 1 if "int" in told and "str" not in told else [] if "list" in told else "plain"


def plant(crm: Crm, canaries: Canaries, *, channel: str | None = "email") -> int:
    """Plant canaries of one person wherever something of theirs can stand; returns their id."""
    person = canaries.person.lower()
    email = Identifier("email", f"{canaries.word('email')}@example.com")
    first = crm.record(
        Draft(
            "order.placed",
            identifiers=(email, *names(canaries)),
            source_key=f"{person}/{email.value}",
            subject=f"order:{person}:{email.value}",
            thread=f"<{canaries.word('thread')}.{email.value}>",
            touch=f"mail to {email.value}",
            actor=f"customer:{email.value}",
            payload={"note": canaries.text("note"), "order": f"for {email.value}"},
            lines=(
                Line(
                    product=f"cup for {email.value}",
                    variant=f"with {email.value}",
                    category=f"of {email.value}",
                ),
            ),
        )
    ).customer_id
    for number, kind in enumerate(crm.runtime.assembly.kinds):
        if kind.personal_fields or kind.name.startswith("consent."):
            crm.record(
                kind.name,
                customer=first,
                payload=payload(kind, canaries, email.value),
                source_key=f"{person}-{number}",
            )
    if channel is not None:
        crm.send(
            MessageDraft(
                key=f"hello/{email.value}",
                customer=first,
                purpose="service",
                channel=channel,
                content=Content(
                    subject=canaries.text("subject"),
                    text=canaries.text("text"),
                    html=f"<p>{canaries.text('html')}</p>",
                    data={"deep": [canaries.text("data")]},
                ),
            )
        )
    note = canaries.text("task note")
    crm.add_task(first, canaries.text("title"), note=note, key=f"call/{person}")
    mail = crm.add_task(first, canaries.text("another title"), key=f"mail/{person}")
    crm.finish_task(mail.id, canaries.text("outcome"), actor=f"customer:{email.value}")
    office = Identifier("email", f"office-of-{person}@example.com")
    crm.withhold(office, actor=f"customer:{email.value}")
    _plant_rows(crm, first, canaries, email.value)
    return first


def _plant_rows(crm: Crm, who: int, canaries: Canaries, address: str) -> None:
    """Plant what nothing of ours writes by itself: in rows of the core, and of plugins."""
    number = who * 1000
    put(crm, timer, [("vault", canaries.text("timer"), who, 2**60, 2**60, 0, None, "late", None)])
    fault_row = (number, "vault", "on", 5, "ValueError", f"no: {address}", f"trace {address}")
    put(crm, fault, [fault_row])
    seen = (number, 5, "staff:grace", "clerk", "read", "allowed", who, who, "email")
    put(crm, access, [(*seen, canaries.text("access"))])
    shelved = json.dumps({"relations": [], "tables": {"t": canaries.text("shelved")}})
    nobody = who + 500_000
    actors = f"customer:{address}", f"by {address}"
    put(
        crm,
        merge,
        [(number, who, nobody, 5, actors[0], canaries.text("merge"), shelved, 6, actors[1])],
    )
    put(crm, match, [(who, nobody, "open", '{"email": 1}', 5, None, None)])
    put(crm, relation, [(who, "child_of", nobody, 5)])
    drawers = Vault.drawers
    owner, text = who, canaries.text
    with crm.begin() as tx:
        insert_rows = tx.connection.insert_rows
        insert_rows(
            insert(drawers.gone), [(owner, text("gone"), text("words"), 3, text("bytes").encode())]
        )
        # What an anonymised row is called by may hold an address; the core knows it by that.
        insert_rows(
            insert(drawers.numbers),
            [(owner, f"item {address}", text("words"), 7, text("bytes").encode())],
        )
        insert_rows(insert(drawers.secret), [(owner, text("secret"), text("words, secret"), 3)])
        insert_rows(insert(drawers.invoice), [(owner, "invoice 1", "for a lamp", 3)])
