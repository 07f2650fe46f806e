"""Knowing: what the oracle is told of one customer, read from the ledger and the traits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Select, bindparam, literal_column, null, select

from crmcore.domain.segments.dependencies import Dependencies
from crmcore.domain.segments.names import Names
from crmcore.domain.segments.oracle import Fact, FactLine, Known
from crmcore.persistence.connection import Connection
from crmcore.persistence.ledger import interaction, line
from crmcore.services.segments.measures import NOW, is_live

_i = interaction.c
_facts: Final = select(
    _i.interaction_id, _i.kind, _i.occurred_at, _i.channel, _i.source, _i.amount_base_minor
).where(_i.customer_id == bindparam("customer"), is_live(interaction))
_lines: Final = (
    select(line.c.interaction_id, line.c.product, line.c.variant, line.c.category)
    .join(interaction, _i.interaction_id == line.c.interaction_id)
    .where(_i.customer_id == bindparam("customer"), line.c.customer_id == _i.customer_id)
)


def known_of(
    connection: Connection, names: Names, asked: Dependencies, customer_id: int, now: int
) -> Known:
    """Return what a customer's facts of the kinds asked for are, and their traits."""
    lines: dict[int, list[FactLine]] = {}
    for interaction_id, *of_line in connection.execute(_lines, customer=customer_id):
        lines.setdefault(interaction_id, []).append(FactLine(*of_line))
    facts = [
        Fact(
            kind,
            at,
            channel=channel,
            source=source,
            amount_base_minor=amount,
            lines=tuple(lines.get(interaction_id, ())),
        )
        for interaction_id, kind, at, channel, source, amount in connection.execute(
            _facts, customer=customer_id
        )
        if kind in asked.kinds
    ]
    return Known(facts, _traits(connection, names, sorted(asked.traits), customer_id, now))


def _traits(
    connection: Connection, names: Names, asked: Iterable[str], customer_id: int, now: int
) -> dict[str, Any]:
    traits = [names.traits[name] for name in asked]
    if not traits:
        return {}
    columns = [
        select(trait.column(NOW))
        .where(trait.table.c.customer_id == bindparam("customer"))
        .limit(literal_column("1"))
        .scalar_subquery()
        for trait in traits
    ]
    # Made anew each time, as nobody asks why a thousand times a second.
    statement: Select[Any] = select(*columns, null())
    (row,) = connection.execute(statement, customer=customer_id, now=now)
    return {
        trait.name: trait.default if value is None else trait.type(value)
        for trait, value in zip(traits, row, strict=False)
    }
