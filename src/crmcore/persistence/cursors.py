"""Tables of how far plugins have come with what was committed, and the order of commits."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    PrimaryKeyConstraint,
    Select,
    Table,
    bindparam,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy import text as sql

from crmcore.persistence.ledger import interaction
from crmcore.persistence.portable import Portable
from crmcore.persistence.schema import Whole, metadata, text, whole

END: Final = 2**63 - 1
"""Beyond every id."""

# A position is a transaction and an id, in the order of commits; on SQLite the transaction is 0.
cursor = Table(
    "crm_cursor",
    metadata,
    text("plugin"),
    text("hook"),
    whole("position_xid"),
    whole("position_id"),
    text("lease", nullable=True),
    whole("leased_until", nullable=True),
    PrimaryKeyConstraint("plugin", "hook"),
    sqlite_with_rowid=False,
)

# A customer whose rows a plugin failed with: they wait from this position on, nobody else does.
backlog = Table(
    "crm_backlog",
    metadata,
    text("plugin"),
    text("hook"),
    whole("customer_id"),
    whole("position_xid"),
    whole("position_id"),
    whole("attempt"),
    whole("run_at"),
    whole("parked_at", nullable=True),
    PrimaryKeyConstraint("plugin", "hook", "customer_id"),
    sqlite_with_rowid=False,
)

# Whose they were when they were recorded counts, too: a merge may come in between.
_THEIRS: Final = or_(
    interaction.c.customer_id == bindparam("customer"),
    interaction.c.recorded_for == bindparam("customer"),
)


class Commits:
    """
    The ledger in the order of commits, as far as no earlier one can still come.

    On PostgreSQL ids are given before the commit, so a lower one may come after a higher one;
    rows are read by transaction and id instead, below the oldest transaction that still writes.
    On SQLite ids are given under the write lock: they are that order, and the transaction is 0.
    """

    def __init__(self, portable: Portable) -> None:
        self._on_sqlite = portable.is_sqlite
        at = "CAST(CAST(crm_interaction.xid AS text) AS bigint)"
        xid: ColumnElement[int] = literal_column("0" if self._on_sqlite else at, Whole)
        order: list[Any] = [interaction.c.interaction_id]
        if not self._on_sqlite:
            order.insert(0, literal_column("crm_interaction.xid"))
        rows = select(*interaction.columns, xid.label("position_xid")).order_by(*order)
        seen: list[Any] = [self._is(">", "beyond")]
        if not self._on_sqlite:
            seen.append(sql("crm_interaction.xid < pg_snapshot_xmin(pg_current_snapshot())"))
        self.following = rows.where(*seen).limit(bindparam("most"))
        """Rows after the position `beyond_xid`, `beyond_id`, at most `most` of them."""
        self.any_following: Select[Any] = (
            select(literal_column("1")).select_from(interaction).where(*seen).limit(1)
        )
        self.count_following = select(func.count()).select_from(interaction).where(*seen)
        """How many rows there are after the position `beyond_xid`, `beyond_id`."""
        self.waiting = rows.where(
            _THEIRS,
            self._is(">=", "first"),
            self._is("<=", "last"),
        ).limit(bindparam("most"))
        """Rows of `customer` from the position `first_` up to `last_`."""
        lowest = select(func.min(interaction.c.interaction_id))
        self.lowest_following = lowest.where(self._is(">", "beyond"))
        self.lowest_waiting = lowest.where(_THEIRS, self._is(">=", "first"))

    def _is(self, compared: str, name: str) -> Any:
        if self._on_sqlite:
            return interaction.c.interaction_id.op(compared)(bindparam(f"{name}_id", type_=Whole))
        return sql(
            f"(crm_interaction.xid, crm_interaction.interaction_id) {compared} "
            f"(CAST(CAST(:{name}_xid AS text) AS xid8), CAST(:{name}_id AS bigint))"
        )

    @property
    def end(self) -> Select[Any]:
        """The position behind all that is committed; what is still open comes after it."""
        position: list[Any]
        if self._on_sqlite:
            position = [
                literal_column("0"),
                func.coalesce(func.max(interaction.c.interaction_id), 0),
            ]
        else:
            oldest = "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)"
            position = [literal_column(f"{oldest} - 1"), literal_column(str(END))]
        return select(*position)
