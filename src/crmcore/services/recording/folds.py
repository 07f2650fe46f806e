"""Folds compiled for each way of choosing facts: a batch, a list, some customers, everyone."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import ColumnElement, Executable, Table, bindparam, case, delete, or_, select

from crmcore.domain.shadow import PLUGIN, is_shadow, plugin_of
from crmcore.hooks import CustomerList, Everyone, Facts, Fold, IdList, IdRange, Selection
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import customer
from crmcore.persistence.ledger import in_shadow, interaction, line
from crmcore.persistence.portable import Portable, json_list

Way = Literal["range", "list", "customers", "everyone"]

_NO_END = 2**63 - 1


def own_source(plugin: str) -> str:
    """Return the source of what a plugin decides, which acts under this name."""
    return plugin if is_shadow(plugin) else PLUGIN + plugin


def seen_by(plugin: str) -> ColumnElement[bool]:
    """Return the condition on facts that a plugin, acting under this name, sees."""
    if is_shadow(plugin):
        return or_(~in_shadow, interaction.c.source == plugin)
    return ~in_shadow


class Folds:
    """Compiles each fold once for each way, and runs it."""

    def __init__(self, portable: Portable) -> None:
        self._portable = portable
        self._made: dict[tuple[int, Way, str], tuple[object, Executable]] = {}

    def run(self, connection: Connection, fold: Fold, selection: Selection, plugin: str) -> int:
        """
        Run *fold* over *selection*, as *plugin* sees it; returns the rows written.

        *plugin* is the name under which it acts. Portions of the ledger that were chosen by id
        hold nothing that was decided in shadow.
        """
        own = plugin if is_shadow(plugin) else ""
        match selection:
            case IdRange(low, high):
                return connection.change(self._statement(fold, "range", own), low=low, high=high)
            case IdList(ids):
                return connection.change(self._statement(fold, "list", own), ids=json_list(ids))
            case CustomerList(customers, until):
                return connection.change(
                    self._statement(fold, "customers", own),
                    customers=json_list(customers),
                    until=_NO_END if until is None else until,
                    own=own_source(plugin),
                )
            case Everyone():
                return connection.change(self._statement(fold, "everyone", own))

    def clear(self, connection: Connection, table: Table, selection: Selection) -> None:
        """Delete the rows of the selected customers."""
        match selection:
            case CustomerList(customers, _):
                statement = connection.database.once(
                    f"clear {table.name}",
                    lambda: delete(table).where(
                        self._portable.is_in(table.c.customer_id, "customers")
                    ),
                )
                connection.change(statement, customers=json_list(customers))
            case Everyone():
                connection.change(
                    connection.database.once(f"empty {table.name}", lambda: delete(table))
                )
            case _:
                raise TypeError(f"rows are cleared by customer, not by {selection!r}")

    def _statement(self, fold: Fold, way: Way, own: str) -> Executable:
        found = self._made.get((id(fold), way, own))
        if found is None:
            statement: Executable = fold.build(self._facts_for(way, own), self._portable.insert)
            # The fold is kept too, so that no other object can take over its id.
            found = self._made[id(fold), way, own] = (fold, statement)
        return found[1]

    def _facts_for(self, way: Way, own: str) -> Facts:
        columns = interaction.c
        conditions: dict[Way, ColumnElement[bool]] = {
            "range": columns.interaction_id.between(bindparam("low"), bindparam("high")),
            "list": self._portable.is_in(columns.interaction_id, "ids"),
            "customers": self._portable.is_in(columns.customer_id, "customers")
            & or_(columns.interaction_id < bindparam("until"), columns.source == bindparam("own"))
            & seen_by(own),
            "everyone": seen_by(own),
        }
        return _facts_where(conditions[way], own)


def _facts_where(chosen: ColumnElement[bool], own: str = "") -> Facts:
    columns: list[ColumnElement[Any]] = list(interaction.columns)
    if own:
        # A plugin knows its own decisions by their source, which it has no other name for.
        source = interaction.c.source
        live = case((source == own, PLUGIN + plugin_of(own)), else_=source).label(source.name)
        columns = [live if each is source else each for each in columns]
    facts = select(*columns).where(chosen).subquery("facts")
    ids = select(interaction.c.interaction_id).where(chosen)
    lines = select(*line.columns).where(line.c.interaction_id.in_(ids)).subquery("lines")
    return Facts(facts, lines)


def facts_recorded_before(instant: int, plugin: str) -> Facts:
    """
    Return the facts that had been recorded before *instant*, as *plugin* sees them.

    Those of customers who were erased since are left out, as they are in derived tables: what
    compares customers knows them no more, and decides nothing about them.
    """
    own = plugin if is_shadow(plugin) else ""
    forgotten = select(customer.c.customer_id).where(customer.c.erased_at.is_not(None))
    before = (interaction.c.recorded_at < instant) & interaction.c.customer_id.not_in(forgotten)
    return _facts_where(before & seen_by(own), own)
