"""
Room for PostgreSQL, merges, plugins' cursors, and debts and timers that are tried again.

Ids come from sequences there, and the ledger can be read in the order of commits. Identifiers
remember whose they were, so that a merge can be undone: those there are were never moved. The
ledger of revisions keeps one row for each revision instead of one for each component.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)

if TYPE_CHECKING:
    from alembic.operations import Operations

_WHOLE = BigInteger().with_variant(Integer(), "sqlite")
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade(op: Operations) -> None:
    on_postgresql = op.get_context().dialect.name == "postgresql"
    _revisions(op, on_postgresql)
    _customers(op)
    _merges(op)
    _plugins_work(op)
    _cursors(op)
    if on_postgresql:
        _order_of_commits(op)
        _sequences(op)


def _whole(name: str, **options: Any) -> Column[int]:
    return Column(name, _WHOLE, **{"nullable": False, **options})


def _text(name: str, **options: Any) -> Column[str]:
    return Column(name, _TEXT, **{"nullable": False, **options})


def _revisions(op: Operations, on_postgresql: bool) -> None:
    # What was kept for revision 1 was made from its tables, not from this package's module.
    op.execute("UPDATE crm_revision SET checksum = '' WHERE component = 'crmcore'")
    if on_postgresql:
        op.drop_constraint("crm_revision_pkey", "crm_revision", type_="primary")
        op.create_primary_key("crm_revision_pkey", "crm_revision", ["component", "revision"])
        return
    wanted = Table(
        "crm_revision",
        MetaData(),
        _text("component"),
        _whole("revision"),
        _text("checksum"),
        _whole("applied_at"),
        PrimaryKeyConstraint("component", "revision"),
    )
    # SQLite cannot change a key, so the table is copied into one that has it.
    with op.batch_alter_table("crm_revision", copy_from=wanted, recreate="always"):
        pass


def _customers(op: Operations) -> None:
    op.add_column("crm_customer", _whole("merged_into", nullable=True))
    op.add_column("crm_customer", _whole("revision", server_default="0"))
    op.add_column("crm_identifier", _whole("recorded_for", nullable=True))
    op.execute("UPDATE crm_identifier SET recorded_for = customer_id")
    present = Table(
        "crm_identifier",
        MetaData(),
        _text("scheme"),
        _text("identifier_value"),
        _whole("customer_id"),
        _whole("recorded_for", nullable=True),
        _whole("recorded_at"),
        PrimaryKeyConstraint("scheme", "identifier_value"),
        Index("crm_identifier_customer", "customer_id"),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("crm_identifier", copy_from=present) as batch:
        batch.alter_column("recorded_for", existing_type=_WHOLE, nullable=False)


def _merges(op: Operations) -> None:
    op.create_table(
        "crm_merge",
        _whole("merge_id", primary_key=True, autoincrement=False),
        _whole("survivor_id"),
        _whole("merged_id"),
        _whole("recorded_at"),
        _text("actor", nullable=True),
        _text("reason", nullable=True),
        _text("shelved"),
        _whole("undone_at", nullable=True),
        _text("undone_by", nullable=True),
    )
    op.create_index("crm_merge_survivor", "crm_merge", ["survivor_id"])
    op.create_index("crm_merge_merged", "crm_merge", ["merged_id"])
    op.create_table(
        "crm_moved",
        _whole("merge_id"),
        _whole("interaction_id"),
        _whole("customer_id"),
        _text("how"),
        PrimaryKeyConstraint("merge_id", "interaction_id", "customer_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "crm_match",
        _whole("customer_id"),
        _whole("other_id"),
        _text("status"),
        _text("evidence"),
        _whole("recorded_at"),
        _whole("decided_at", nullable=True),
        _text("actor", nullable=True),
        PrimaryKeyConstraint("customer_id", "other_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("crm_match_other", "crm_match", ["other_id"])
    op.create_table(
        "crm_relation",
        _whole("customer_id"),
        _text("relation"),
        _whole("other_id"),
        _whole("recorded_at"),
        PrimaryKeyConstraint("customer_id", "relation", "other_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("crm_relation_other", "crm_relation", ["other_id"])


def _plugins_work(op: Operations) -> None:
    op.add_column("crm_debt", _whole("attempt", server_default="0"))
    op.add_column("crm_debt", _whole("run_at", server_default="0"))
    op.add_column("crm_timer", _text("catch_up", server_default="late"))
    op.add_column("crm_timer", _whole("skip_after", nullable=True))


def _cursors(op: Operations) -> None:
    op.create_table(
        "crm_cursor",
        _text("plugin"),
        _text("hook"),
        _whole("position_xid"),
        _whole("position_id"),
        _text("lease", nullable=True),
        _whole("leased_until", nullable=True),
        PrimaryKeyConstraint("plugin", "hook"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "crm_backlog",
        _text("plugin"),
        _text("hook"),
        _whole("customer_id"),
        _whole("position_xid"),
        _whole("position_id"),
        _whole("attempt"),
        _whole("run_at"),
        _whole("parked_at", nullable=True),
        PrimaryKeyConstraint("plugin", "hook", "customer_id"),
        sqlite_with_rowid=False,
    )


def _order_of_commits(op: Operations) -> None:
    op.execute(
        "ALTER TABLE crm_interaction ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id()"
    )
    op.execute("CREATE INDEX crm_interaction_commit ON crm_interaction (xid, interaction_id)")
    op.execute("CREATE INDEX crm_interaction_recorded ON crm_interaction USING brin (recorded_at)")


def _sequences(op: Operations) -> None:
    """Make the sequences of ids, each going on behind the highest id there is."""
    for noun in ("customer", "interaction", "fault", "merge"):
        op.execute(f"CREATE SEQUENCE crm_{noun}_id")
        op.execute(
            f"SELECT setval('crm_{noun}_id', coalesce(max({noun}_id), 0) + 1, false) "
            f"FROM crm_{noun}"
        )
