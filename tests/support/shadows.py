"""A plugin that meddles with everything a plugin can, and one that notices whatever it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from attrs import define, evolve, field
from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, UpdateBase, case, func, select

from crmcore import (
    Crm,
    CustomersRecompute,
    Draft,
    Facts,
    Fold,
    Kind,
    Lifecycle,
    Money,
    Plugin,
    PluginTable,
    Refuse,
    TaskDraft,
    hookimpl,
)
from crmcore.domain.clock import DAY
from crmcore.domain.message import Content
from crmcore.hooks import Hold
from crmcore.testing.snapshots import Snapshot
from tests.support.plugins import CASE
from tests.support.sending import BROADCAST, message

Whole = BigInteger().with_variant(Integer(), "sqlite")


def _tally(name: str) -> Table:
    return Table(
        name,
        MetaData(),
        Column("customer_id", Whole, primary_key=True, autoincrement=False),
        Column("facts", Whole, nullable=False),
        Column("own", Whole, nullable=False),
    )


def _counting(table: Table, source: str) -> Fold:
    """Return a fold that counts facts, and those a plugin decided itself."""

    def build(facts: Facts, insert: Callable[[Any], Any]) -> UpdateBase:
        row = facts.interactions.c
        sums = (
            select(
                row.customer_id,
                func.count(),
                func.sum(case((row.source == source, 1), else_=0)),
            )
            .where(row.kind.is_not(None))
            .group_by(row.customer_id)
        )
        new = insert(table).from_select([c.name for c in table.columns], sums)
        changed: UpdateBase = new.on_conflict_do_update(
            index_elements=[table.c.customer_id],
            set_={name: table.c[name] + new.excluded[name] for name in ("facts", "own")},
        )
        return changed

    return Fold(build)


heard = _tally("crm_listener_heard")
HEARD = _counting(heard, "plugin:listener")


@define(eq=False)
class Listener(Plugin):
    """Notes whatever it is told of, in every way, and decides on it."""

    name: ClassVar[str] = "listener"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(heard, derived=True, merge="recompute", erase="delete"),
    )
    told: Counter[str] = field(factory=Counter, init=False)

    @hookimpl
    def register_kinds(self) -> Iterable[Kind]:
        return [Kind("listener.heard")]

    @hookimpl
    def on_interactions_recorded(self, ctx: Any, event: Any) -> None:
        ctx.fold(HEARD, event)
        self._note(ctx, "on", event)

    @hookimpl
    def after_interactions_recorded(self, ctx: Any, event: Any) -> None:
        self._note(ctx, "after", event)

    def _note(self, ctx: Any, how: str, event: Any) -> None:
        for item in event:
            self.told[f"{how} {item.kind}"] += 1
            key = f"{how}/{item.kind}/{item.source}/{item.source_key}"
            ctx.record(Draft("listener.heard", customer=item.customer_id, source_key=key))

    @hookimpl
    def on_stages_changed(self, ctx: Any, event: Any) -> None:
        for change in event:
            self.told[f"{change.lifecycle} {change.to_stage}"] += 1
            key = f"stage/{change.lifecycle}/{change.to_stage}/{change.effective_at}"
            ctx.record(Draft("listener.heard", customer=change.customer_id, source_key=key))

    @hookimpl
    def guard_stage_change(self, ctx: Any, event: Any) -> Refuse | None:
        self.told[f"guard {event.lifecycle}"] += 1
        return None

    @hookimpl
    def guard_message(self, ctx: Any, event: Any) -> None:
        self.told[f"guard message {event.plugin}"] += 1

    @hookimpl
    def on_deliveries_changed(self, ctx: Any, event: Any) -> None:
        for change in event.changes:
            self.told[f"{change.message.plugin} {change.message.state}"] += 1

    @hookimpl
    def recompute_customers(self, ctx: Any, event: CustomersRecompute) -> None:
        ctx.clear(heard, event)
        ctx.fold(HEARD, event)


seen = _tally("crm_meddler_seen")
SEEN = _counting(seen, "plugin:meddler")
KINDS = (
    "meddler.said",
    "consent.withdrawn",
    "brake.set",
    "customer.zone_changed",
    "order.placed",
    "order.refunded",
)


@define(eq=False)
class Meddler(Plugin):
    """Refuses, changes, says, withdraws, orders and asks for whatever it can."""

    name: ClassVar[str] = "meddler"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(seen, derived=True, merge="recompute", erase="delete"),
    )
    raises: bool = False

    @hookimpl
    def register_kinds(self) -> Iterable[Kind]:
        return [Kind("meddler.said")]

    @hookimpl
    def register_lifecycles(self) -> Iterable[Lifecycle]:
        return [evolve(CASE, name="meddling")]

    @hookimpl
    def prepare_interaction(self, ctx: Any, event: Any) -> Draft:
        draft: Draft = event.draft
        return evolve(draft, channel="meddled")

    @hookimpl
    def choose_exchange_rate(self, ctx: Any, event: Any) -> Decimal:
        return Decimal(7)

    @hookimpl
    def guard_stage_change(self, ctx: Any, event: Any) -> Refuse:
        return Refuse("never")

    @hookimpl
    def guard_message(self, ctx: Any, event: Any) -> list[Hold]:
        return [
            Hold(row[0], reason="never")
            for row in ctx.execute(select(event.customers.c.customer_id))
        ]

    @hookimpl
    def prepare_message(self, ctx: Any, event: Any) -> Content:
        return Content(text="meddled")

    @hookimpl
    def on_interactions_recorded(self, ctx: Any, event: Any) -> None:
        ctx.fold(SEEN, event)
        for item in event:
            self.act(ctx, item.customer_id, str(item.source_key), item.subject)
            ctx.set_timer(f"later {item.source_key}", item.occurred_instant + 3 * DAY)
        if self.raises:
            raise ValueError("told to fail")

    @hookimpl
    def after_interactions_recorded(self, ctx: Any, event: Any) -> None:
        for item in event:
            self.act(ctx, item.customer_id, f"after {item.source_key}", item.subject)

    @hookimpl
    def on_stages_changed(self, ctx: Any, event: Any) -> None:
        for change in event:
            self.act(ctx, change.customer_id, f"stage {change.to_stage}", None)

    @hookimpl
    def on_timers_due(self, ctx: Any, event: Any) -> None:
        ctx.broadcast(f"all {event.due}", "everyone", **BROADCAST)

    @hookimpl
    def recompute_customers(self, ctx: Any, event: CustomersRecompute) -> None:
        ctx.clear(seen, event)
        ctx.fold(SEEN, event)

    def act(self, ctx: Any, customer: int, key: str, subject: str | None) -> None:
        """Do to a customer all that a plugin can do."""
        payloads: dict[str, Any] = {
            "brake.set": {"brake": "meddled"},
            "customer.zone_changed": {"zone": "Asia/Tokyo"},
        }
        money = Money(990, "EUR")
        ctx.record(
            *(
                Draft(
                    kind,
                    customer=customer,
                    source_key=f"{kind} {key}",
                    subject=subject,
                    payload=payloads.get(kind),
                    amount=money if kind.startswith("order.") else None,
                )
                for kind in KINDS
            )
        )
        ctx.send(message(customer, f"hello {key}", priority=9))
        ctx.add_task(TaskDraft(key=f"call {key}", title="Call them", customer=customer))


def beside(found: Snapshot, plugin: str) -> dict[str, list[Any]]:
    """Return what a database holds beside what a plugin has there, in shadow or not."""
    names = {plugin, f"shadow:{plugin}"}
    sources = {f"plugin:{plugin}", f"shadow:{plugin}"}

    def is_its(row: dict[str, Any]) -> bool:
        by_name = row.get("plugin") in names or row.get("lifecycle") == "meddling"
        return by_name or row.get("source") in sources

    return {
        name: sorted(
            str(sorted((c, str(v)) for c, v in row.items() if c not in _NUMBERED))
            for row in found.table(name)
            if not is_its(row)
        )
        for name in found.tables
        # How far somebody was told is a place in the ledger, which is longer now.
        if name != "crm_cursor" and not name.startswith(f"crm_{plugin}_")
    }


_NUMBERED = {"message_id", "task_id"}


def decided(crm: Crm, source: str) -> Counter[str]:
    """Return how much of each kind has been decided by a source."""
    with crm.begin() as tx:
        sql = f"SELECT kind, count(*) FROM crm_interaction WHERE source = '{source}' GROUP BY kind"
        rows: Sequence[Any] = tx.connection.sqlalchemy.exec_driver_sql(sql).fetchall()
    return Counter(dict(map(tuple, rows)))
