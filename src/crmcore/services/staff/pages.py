"""Pages: what a member of staff is shown of customers, personal values masked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import evolve, frozen
from sqlalchemy import Select, bindparam, case, func, literal_column, or_, select

from crmcore.domain.clock import to_datetime
from crmcore.domain.interaction import Interaction
from crmcore.domain.mask import HIDDEN, masked
from crmcore.domain.money import Money
from crmcore.domain.task import DONE, DROPPED, MERGED, Task
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import customer, identifier
from crmcore.persistence.ledger import in_shadow, interaction
from crmcore.persistence.merges import relation
from crmcore.persistence.portable import Portable, json_list
from crmcore.persistence.schema import Whole
from crmcore.persistence.stages import stage
from crmcore.persistence.tasks import task
from crmcore.services.customers import CustomerService
from crmcore.services.identities.relations import Relation
from crmcore.services.runtime import Runtime
from crmcore.services.staff import tasks
from crmcore.services.unit import Unit

Values = dict[int, dict[str, Any]]


@frozen(kw_only=True)
class SeenFact:
    """An interaction as staff see it; *texts* are the personal part of its payload, masked."""

    id: int
    kind: str
    occurred_at: datetime
    channel: str | None
    amount: Money | None
    payload: Mapping[str, Any]
    texts: Mapping[str, Any]


@frozen(kw_only=True)
class Page:
    """
    A customer as a member of staff sees them.

    Attributes:
        values: By field. Identifiers are there by scheme, each a tuple of masked values.
        fields: Which fields the member's roles give, whether or not there is a value.
        is_masked: Whether personal values are masked; in an export they are not.
    """

    customer_id: int
    values: Mapping[str, Any]
    fields: frozenset[str]
    is_masked: bool = True

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


@frozen(kw_only=True)
class SeenTask:
    """A task as a member of staff sees it; its texts are hidden unless it is theirs."""

    task: Task
    latest: Sequence[SeenFact] = ()


def seen_task(each: Task, *, plain: bool) -> Task:
    """Return a task with its texts hidden, unless they may be read as they are."""
    if plain:
        return each
    plainly = (None, DONE, DROPPED, MERGED)
    return evolve(
        each,
        outcome=each.outcome if each.outcome in plainly else HIDDEN,
        title=HIDDEN,
        note=None if each.note is None else HIDDEN,
        reason=None if each.reason is None else HIDDEN,
    )


class Pages:
    """Reads what is shown of customers, in a number of statements that is not theirs."""

    def __init__(self, runtime: Runtime, customers: CustomerService) -> None:
        self.runtime = runtime
        self._customers = customers
        portable = runtime.database.portable
        self.schemes = tuple(scheme.name for scheme in runtime.identity.schemes)
        self._identifiers = _of(portable, identifier, "scheme", "identifier_value")
        self._stages = _of(portable, stage, "lifecycle", "subject", "stage")
        self._tasks = (
            select(*task.columns)
            .where(portable.is_in(task.c.customer_id, "customers"), task.c.done_at.is_(None))
            .order_by(task.c.due_at.asc().nulls_last(), task.c.task_id)
        )
        self._relations = select(*relation.columns).where(
            or_(
                portable.is_in(relation.c.customer_id, "customers"),
                portable.is_in(relation.c.other_id, "customers"),
            )
        )
        self._totals = _totals(portable, (k.name for k in runtime.assembly.kinds if k.sign))
        self._traits = self._trait_select()
        self._readers: Mapping[str, Callable[[Unit, Sequence[int]], Mapping[int, Any]]] = {
            "stages": self._stages_of,
            "traits": self._traits_of,
            "revenue": self._revenue_of,
            "relations": self._relations_of,
            "descriptions": self._descriptions_of,
        }

    def read(
        self,
        unit: Unit,
        fields: Mapping[int, frozenset[str]],
        *,
        most: int,
        plain: bool = False,
        described: bool = True,
    ) -> list[Page]:
        """
        Return the pages of customers, each with the fields that are given for them.

        Args:
            most: How many of the latest interactions of each.
            plain: True: personal values are not masked.
            described: False: plugins are not asked to describe them, which they do one by one.
        """
        found: Values = {customer_id: {} for customer_id in fields}
        self._read_identifiers(unit.connection, fields, found, plain)
        for name, read in self._readers.items():
            asked = described or name != "descriptions"
            whose = [c for c, names in fields.items() if asked and name in names]
            for customer_id, value in (read(unit, whose) if whose else {}).items():
                found[customer_id][name] = value
        self._read_facts(unit.connection, fields, found, most, plain)
        self._read_tasks(unit.connection, fields, found, plain)
        return [
            Page(customer_id=c, values=values, fields=fields[c], is_masked=not plain)
            for c, values in found.items()
        ]

    def reveal(self, unit: Unit, customer_id: int, name: str) -> tuple[str, ...]:
        """Return the values of one personal field of a customer, as they are."""
        found = self.read(
            unit,
            {customer_id: frozenset({name, "interactions", "tasks"})},
            most=tasks.AT_MOST,
            plain=True,
            described=False,
        )[0].values
        if name == "texts":
            return tuple(
                str(value) for fact in found["interactions"] for value in fact.texts.values()
            )
        if name == "task_texts":
            texts = ((each.title, each.note) for each in found["tasks"])
            return tuple(text for pair in texts for text in pair if text is not None)
        return tuple(found.get(name, ()))

    def facts(self, latest: Iterable[Interaction], *, texts: bool, plain: bool) -> list[SeenFact]:
        """Return interactions as they are shown."""
        return [
            SeenFact(
                id=each.id,
                kind=each.kind,
                occurred_at=each.occurred_at,
                channel=each.channel,
                amount=each.amount,
                payload=json.loads(each.payload_json),
                texts={
                    name: value if plain else HIDDEN
                    for name, value in json.loads(each.personal_json or "{}").items()
                    if texts
                },
            )
            for each in latest
        ]

    # -- fields ------------------------------------------------------------------------------

    def _read_identifiers(
        self,
        connection: Connection,
        fields: Mapping[int, frozenset[str]],
        found: Values,
        plain: bool,
    ) -> None:
        whose = [c for c, names in fields.items() if not names.isdisjoint(self.schemes)]
        if not whose:
            return
        for c, scheme, value in connection.execute(self._identifiers, customers=json_list(whose)):
            if scheme in fields[c]:
                shown = value if plain else masked(scheme, value)
                found[c][scheme] = (*found[c].get(scheme, ()), shown)

    def _read_facts(
        self,
        connection: Connection,
        fields: Mapping[int, frozenset[str]],
        found: Values,
        most: int,
        plain: bool,
    ) -> None:
        whose = [c for c, names in fields.items() if "interactions" in names]
        latest = tasks.latest_of(self.runtime, connection, whose, most)
        for c in whose:
            texts = "texts" in fields[c]
            found[c]["interactions"] = self.facts(latest.get(c, ()), texts=texts, plain=plain)

    def _read_tasks(
        self,
        connection: Connection,
        fields: Mapping[int, frozenset[str]],
        found: Values,
        plain: bool,
    ) -> None:
        whose = [c for c, names in fields.items() if "tasks" in names]
        if not whose:
            return
        for c in whose:
            found[c]["tasks"] = []
        for row in connection.execute(self._tasks, customers=json_list(whose)):
            each = tasks.as_task(row)
            shown = plain and "task_texts" in fields[each.customer_id]
            found[each.customer_id]["tasks"].append(seen_task(each, plain=shown))

    def _stages_of(self, unit: Unit, customers: Sequence[int]) -> Mapping[int, Any]:
        found: Values = {c: {} for c in customers}
        rows = unit.connection.execute(self._stages, customers=json_list(customers))
        for c, lifecycle, subject, at in rows:
            found[c][f"{lifecycle}/{subject}" if subject else lifecycle] = at
        return found

    def _trait_select(self) -> Select[Any] | None:
        traits = self.runtime.assembly.traits.values()
        now = bindparam("now", type_=Whole)
        values = [
            select(trait.column(now))
            .where(trait.table.c.customer_id == customer.c.customer_id)
            .limit(literal_column("1"))
            .correlate(customer)
            .scalar_subquery()
            for trait in traits
        ]
        among = self.runtime.database.portable.is_in(customer.c.customer_id, "customers")
        return select(customer.c.customer_id, *values).where(among) if values else None

    def _traits_of(self, unit: Unit, customers: Sequence[int]) -> Mapping[int, Any]:
        if self._traits is None:
            return {c: {} for c in customers}
        traits = self.runtime.assembly.traits
        listed = json_list(customers)
        rows = unit.connection.execute(self._traits, customers=listed, now=unit.now)
        return {
            c: {
                name: trait.default if value is None else trait.type(value)
                for (name, trait), value in zip(traits.items(), values, strict=True)
            }
            for c, *values in rows
        }

    def _revenue_of(self, unit: Unit, customers: Sequence[int]) -> Mapping[int, Any]:
        currency = self.runtime.currency
        nothing = {"interactions": 0, "first_at": None, "last_at": None, "net": Money(0, currency)}
        rows = unit.connection.execute(self._totals, customers=json_list(customers))
        return {c: dict(nothing) for c in customers} | {
            c: {
                "interactions": count,
                "first_at": to_datetime(first),
                "last_at": to_datetime(last),
                "net": Money(int(net), currency),  # PostgreSQL adds up to numeric
            }
            for c, count, first, last, net in rows
        }

    def _relations_of(self, unit: Unit, customers: Sequence[int]) -> Mapping[int, Any]:
        found: dict[int, list[Relation]] = {c: [] for c in customers}
        for row in unit.connection.execute(self._relations, customers=json_list(customers)):
            each = Relation(customer=row[0], relation=row[1], other=row[2], recorded_at=row[3])
            for end in {each.customer, each.other} & found.keys():
                found[end].append(each)
        return found

    def _descriptions_of(self, unit: Unit, customers: Sequence[int]) -> Mapping[int, Any]:
        return {c: self._customers.view(unit, c, most=0).descriptions for c in customers}


def _of(portable: Portable, table: Any, *names: str) -> Select[Any]:
    columns = [table.c.customer_id, *(table.c[name] for name in names)]
    among = portable.is_in(table.c.customer_id, "customers")
    return select(*columns).where(among).order_by(*columns)


def _totals(portable: Portable, counted: Iterable[str]) -> Select[Any]:
    sells = interaction.c.kind.in_(sorted(counted))
    return (
        select(
            interaction.c.customer_id,
            func.count(),
            func.min(interaction.c.occurred_at),
            func.max(interaction.c.occurred_at),
            func.coalesce(func.sum(case((sells, interaction.c.amount_base_minor))), 0),
        )
        .where(portable.is_in(interaction.c.customer_id, "customers"), ~in_shadow)
        .group_by(interaction.c.customer_id)
    )
