"""The tables a plugin keeps, and what becomes of their rows in a merge, an export, an erasure."""

from __future__ import annotations

from typing import Any, Literal

from attrs import field, frozen
from sqlalchemy import Table

Merge = Literal["move", "recompute", "keep_both"]
Erase = Literal["delete", "anonymise"]


@frozen
class Keep:
    """
    An erasure leaves the rows.

    Attributes:
        reason: Why, as the customer is told.
    """

    reason: str


@frozen(kw_only=True)
class PluginTable:
    """
    A table of a plugin, with its policies. No policy, no start.

    Attributes:
        table: Named after the plugin, `crm_<plugin>_<noun>`, with `customer_id` in its key.
        derived: True when the rows follow from the ledger: such a table is rebuilt, never
            migrated. False when the plugin owns facts that stand nowhere else.
        merge: What becomes of the rows when two customers turn out to be one.
        export: Whether the rows belong in what a customer may ask for.
        erase: What an erasure does to the rows.
    """

    table: Table = field(kw_only=False)
    derived: bool
    merge: Merge
    erase: Erase | Keep
    export: bool = True

    @table.validator
    def _has_customer(self, _: Any, table: Table) -> None:
        if "customer_id" not in table.primary_key.columns:
            key = ", ".join(map(repr, table.primary_key.columns.keys())) or "no column"
            raise ValueError(
                f"table {table.name!r} has no customer_id in its primary key, but {key}; whose a "
                "row is has to be part of its key"
            )
