"""The tables a plugin keeps, and what becomes of their rows in a merge, an export, an erasure."""

from __future__ import annotations

from typing import Any, Literal, get_args

from attrs import field, frozen
from attrs.converters import optional
from sqlalchemy import Table

from crmcore.errors import ConfigurationError, nearest

Merge = Literal["move", "recompute", "keep_both"]
"""
What becomes of the rows of who is merged into somebody.

`move`: they become the other's; of two with one key the other's stays, and this one is put away
until the merge is undone. `recompute`: both customers' rows are made anew of the ledger, which is
for derived tables. `keep_both`: they stay under the id they have, and the plugin reads both.
"""

Erase = Literal["delete", "anonymise"]
"""
What an erasure does: `delete` removes the rows, `anonymise` empties all but keys and numbers.

The third choice is `Keep(reason)`.
"""


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
        merge: What becomes of the rows when two customers turn out to be one: `move`, `recompute`
            or `keep_both`, as `Merge` says.
        export: Whether the rows belong in what a customer may ask for.
        erase: What an erasure does to the rows: `delete`, `anonymise`, or `Keep(reason)`.
        personal: The columns that hold personal values, such as a name, which a snapshot leaves
            out unless it is asked for them. None: all columns but numbers may.
    """

    table: Table = field(kw_only=False)
    derived: bool
    merge: Merge = field()
    erase: Erase | Keep = field()
    export: bool = True
    personal: tuple[str, ...] | None = field(default=None, converter=optional(tuple))

    @merge.validator
    def _is_merge(self, _: Any, merge: object) -> None:
        self._check("merge", merge, get_args(Merge), "'move', 'recompute' or 'keep_both' is")

    @erase.validator
    def _is_erase(self, _: Any, erase: object) -> None:
        if not isinstance(erase, Keep):
            expected = "'delete', 'anonymise' or Keep(reason) is"
            self._check("erase", erase, get_args(Erase), expected)

    def _check(self, name: str, policy: object, known: tuple[str, ...], expected: str) -> None:
        if policy not in known:
            raise ConfigurationError(
                f"table {self.table.name!r}: {name} is {policy!r}{nearest(str(policy), known)}; "
                f"{expected} expected"
            )

    @personal.validator
    def _has_columns(self, _: Any, personal: tuple[str, ...] | None) -> None:
        for name in personal or ():
            if name not in self.table.columns:
                raise ValueError(
                    f"table {self.table.name!r} has no column {name!r}"
                    f"{nearest(name, self.table.columns.keys())} to be personal"
                )

    @table.validator
    def _has_customer(self, _: Any, table: Table) -> None:
        if "customer_id" not in table.primary_key.columns:
            key = ", ".join(map(repr, table.primary_key.columns.keys())) or "no column"
            raise ValueError(
                f"table {table.name!r} has no customer_id in its primary key, but {key}; whose a "
                "row is has to be part of its key"
            )
