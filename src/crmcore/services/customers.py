"""The customer view: who somebody is, where they stand, and what happened last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Select, bindparam, case, func, literal_column, null, select

from crmcore.domain.customer import Customer
from crmcore.domain.interaction import Interaction
from crmcore.domain.money import Money
from crmcore.hooks import CustomerAsked, Plugin
from crmcore.persistence.ledger import in_shadow, interaction
from crmcore.persistence.stages import stage
from crmcore.services.dispatcher import Dispatcher
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

MISSING: Final = "missing"

_latest = (
    select(*interaction.columns)
    .where(interaction.c.customer_id == bindparam("customer"), ~in_shadow)
    .order_by(interaction.c.occurred_at.desc(), interaction.c.interaction_id.desc())
    .limit(bindparam("most"))
)
_stages = (
    select(
        stage.c.lifecycle,
        stage.c.subject,
        stage.c.stage,
        stage.c.entered_at,
        stage.c.reason,
        stage.c.caused_by,
    )
    .where(stage.c.customer_id == bindparam("customer"))
    .order_by(stage.c.lifecycle, stage.c.subject)
)


@frozen(kw_only=True)
class StageView:
    """Where a customer stands in one lifecycle; *entered_at* is in microseconds."""

    lifecycle: str
    subject: str
    stage: str
    phase: str
    entered_at: int | None
    reason: str | None
    caused_by: int | None


@frozen(kw_only=True)
class CustomerView:
    """
    All that is known of a customer at a glance.

    Attributes:
        revenue: The net of all amounts of kinds with a sign, in the shop's currency.
        unconverted: How many of these are not in it, as no exchange rate was known.
        traits: By name; every registered trait is there.
        descriptions: By plugin: what it adds, or `"missing: ..."` and why, where it failed.
        latest: Newest first.
    """

    customer: Customer
    interactions: int
    first_at: int | None
    last_at: int | None
    revenue: Money
    unconverted: int
    stages: Sequence[StageView]
    traits: Mapping[str, Any]
    descriptions: Mapping[str, Any]
    latest: Sequence[Interaction]


class CustomerService:
    """Answers what is known of a customer, in a constant number of statements."""

    def __init__(self, runtime: Runtime, dispatcher: Dispatcher) -> None:
        self._runtime = runtime
        self._dispatcher = dispatcher
        self._describe = runtime.assembly.of(Plugin.describe_customer)
        self._traits = runtime.assembly.traits
        self._trait_query = self._one_select()
        self._totals = _totals(kind.name for kind in runtime.assembly.kinds if kind.sign)

    def view(self, unit: Unit, customer_id: int, *, most: int = 50) -> CustomerView:
        """Return the view of a customer with the *most* latest interactions."""
        connection, runtime = unit.connection, self._runtime
        customer = runtime.identity.get(connection, customer_id)
        count, first, last, revenue, unconverted = connection.execute(
            self._totals, customer=customer_id
        )[0]
        rows = connection.execute(_latest, customer=customer_id, most=most)
        return CustomerView(
            customer=customer,
            interactions=count,
            first_at=first,
            last_at=last,
            revenue=Money(int(revenue), runtime.currency),  # PostgreSQL adds up to numeric
            unconverted=unconverted,
            stages=self._stages(unit, customer_id),
            traits=self._trait_values(unit, customer_id),
            descriptions=self._descriptions(unit, customer_id),
            latest=[runtime.ledger.as_interaction(row) for row in rows],
        )

    def _stages(self, unit: Unit, customer_id: int) -> list[StageView]:
        lifecycles = self._runtime.assembly.lifecycles
        return [
            StageView(
                lifecycle=name,
                subject=subject,
                stage=at,
                phase=lifecycles[name].phase_of(at),
                entered_at=entered,
                reason=reason,
                caused_by=caused_by,
            )
            for name, subject, at, entered, reason, caused_by in unit.connection.execute(
                _stages, customer=customer_id
            )
            if name in lifecycles
        ]

    def _one_select(self) -> Select[Any] | None:
        """Return one statement for all traits: each a scalar subquery over its own table."""
        now = bindparam("now", type_=interaction.c.occurred_at.type)
        columns = [
            select(trait.column(now))
            .where(trait.table.c.customer_id == bindparam("customer"))
            .limit(literal_column("1"))
            .scalar_subquery()
            for trait in self._traits.values()
        ]
        return select(*columns, null()) if columns else None

    def _trait_values(self, unit: Unit, customer_id: int) -> dict[str, Any]:
        if self._trait_query is None:
            return {}
        row = unit.connection.execute(self._trait_query, customer=customer_id, now=unit.now)[0]
        return {
            name: trait.default if value is None else trait.type(value)
            for (name, trait), value in zip(self._traits.items(), row, strict=False)
        }

    def _descriptions(self, unit: Unit, customer_id: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for plugin, describe in self._describe:
            try:
                # What one plugin's statement breaks must not end the transaction for the others.
                with unit.connection.savepoint():
                    answer = describe(unit.context(plugin), CustomerAsked(customer_id))
                if answer is not None:
                    found[plugin.name] = _facts(answer)
            except Exception as error:
                # The view only reads: whoever asked notes the fault, in a transaction of its own.
                unit.raised.append((plugin.name, self._describe.name, error))
                found[plugin.name] = f"{MISSING}: {type(error).__name__}: {error}"
        return found


def _facts(answer: object) -> dict[str, Any]:
    if not isinstance(answer, Mapping):
        raise TypeError(f"describe_customer gave {answer!r}, a mapping expected")
    return dict(answer)


def _totals(counted: Iterable[str]) -> Select[Any]:
    """Return the statement of one customer's totals; amounts are counted of some kinds only."""
    columns = interaction.c
    sells = columns.kind.in_(sorted(counted))
    unconverted = columns.amount_minor.is_not(None) & columns.amount_base_minor.is_(None)
    return select(
        func.count(),
        func.min(columns.occurred_at),
        func.max(columns.occurred_at),
        func.coalesce(func.sum(case((sells, columns.amount_base_minor))), 0),
        func.coalesce(func.sum(case((sells & unconverted, literal_column("1")))), 0),
    ).where(columns.customer_id == bindparam("customer"), ~in_shadow)
