"""
The first tables: customers, ledger, lifecycles, timers, faults and the catalogue.

What a revision makes stands here in full, and does not follow today's tables: it has to stay
what it was. Revision 1 only ever ran on SQLite. On PostgreSQL it makes the types and keys that
revision 2 has, so that nothing has to be converted there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Column, Integer, PrimaryKeyConstraint, Text
from sqlalchemy import text as sql

if TYPE_CHECKING:
    from alembic.operations import Operations

_WHOLE = BigInteger().with_variant(Integer(), "sqlite")
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade(op: Operations) -> None:
    _catalogue(op)
    _customers(op)
    _ledger(op)
    _lifecycles(op)
    _plugins_work(op)


def _whole(name: str, **options: Any) -> Column[int]:
    return Column(name, _WHOLE, **{"nullable": False, **options})


def _text(name: str, **options: Any) -> Column[str]:
    return Column(name, _TEXT, **{"nullable": False, **options})


def _catalogue(op: Operations) -> None:
    op.create_table("crm_setting", _text("setting", primary_key=True), _text("setting_value"))
    op.create_table(
        "crm_revision",
        _text("component", primary_key=True),
        _whole("revision"),
        _text("checksum"),
        _whole("applied_at"),
    )
    op.create_table(
        "crm_plugin_table",
        _text("plugin"),
        _text("table_name"),
        _whole("derived"),
        _text("merge_policy"),
        _text("export_policy"),
        _text("erase_policy"),
        _text("shape"),
        PrimaryKeyConstraint("plugin", "table_name"),
    )


def _customers(op: Operations) -> None:
    op.create_table(
        "crm_customer",
        _whole("customer_id", primary_key=True, autoincrement=False),
        _whole("recorded_at"),
        _text("reference"),
    )
    op.create_table(
        "crm_identifier",
        _text("scheme"),
        _text("identifier_value"),
        _whole("customer_id"),
        _whole("recorded_at"),
        PrimaryKeyConstraint("scheme", "identifier_value"),
        sqlite_with_rowid=False,
    )
    op.create_index("crm_identifier_customer", "crm_identifier", ["customer_id"])


def _ledger(op: Operations) -> None:
    op.create_table(
        "crm_interaction",
        _whole("interaction_id", primary_key=True, autoincrement=False),
        _text("kind"),
        _whole("kind_version"),
        _whole("customer_id"),
        _whole("recorded_for"),
        _whole("occurred_at"),
        _whole("recorded_at"),
        _text("origin"),
        _text("source"),
        _text("source_key", nullable=True),
        _text("channel", nullable=True),
        _text("actor", nullable=True),
        _text("subject", nullable=True),
        _text("thread", nullable=True),
        _text("touch", nullable=True),
        _whole("amount_minor", nullable=True),
        _text("currency", nullable=True),
        _whole("amount_base_minor", nullable=True),
        _whole("caused_by", nullable=True),
        _text("payload"),
        _text("personal", nullable=True),
    )
    op.create_index("crm_interaction_customer", "crm_interaction", ["customer_id", "occurred_at"])
    op.create_table(
        "crm_line",
        _whole("interaction_id"),
        _whole("line_number"),
        _whole("customer_id"),
        _text("line_key", nullable=True),
        _text("undoes", nullable=True),
        _text("product"),
        _text("variant", nullable=True),
        _text("category", nullable=True),
        _whole("sign"),
        _whole("quantity"),
        _whole("amount_minor"),
        _whole("amount_base_minor", nullable=True),
        _whole("cost_minor", nullable=True),
        PrimaryKeyConstraint("interaction_id", "line_number", "customer_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "crm_dedupe",
        _text("source"),
        _text("source_key"),
        _whole("interaction_id"),
        PrimaryKeyConstraint("source", "source_key"),
        sqlite_with_rowid=False,
    )


def _lifecycles(op: Operations) -> None:
    op.create_table(
        "crm_stage",
        _whole("customer_id"),
        _text("lifecycle"),
        _text("subject"),
        _text("stage"),
        _whole("entered_at", nullable=True),
        _text("before_phase", nullable=True),
        _text("reason", nullable=True),
        _whole("caused_by", nullable=True),
        _text("counts"),
        _whole("last_at"),
        _whole("last_rank"),
        _text("last_source"),
        _text("last_source_key"),
        _whole("last_interaction_id"),
        _whole("changes"),
        _whole("next_at", nullable=True),
        _text("announced"),
        PrimaryKeyConstraint("customer_id", "lifecycle", "subject"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "crm_stage_next",
        "crm_stage",
        ["next_at"],
        sqlite_where=sql("next_at IS NOT NULL"),
        postgresql_where=sql("next_at IS NOT NULL"),
    )
    op.create_table(
        "crm_stage_change",
        _whole("customer_id"),
        _text("lifecycle"),
        _text("subject"),
        _whole("step"),
        _text("from_stage"),
        _text("to_stage"),
        _whole("effective_at"),
        _whole("recorded_at"),
        _text("reason"),
        _whole("caused_by", nullable=True),
        _text("evidence"),
        PrimaryKeyConstraint("customer_id", "lifecycle", "subject", "step"),
        sqlite_with_rowid=False,
    )


def _plugins_work(op: Operations) -> None:
    op.create_table(
        "crm_fault",
        _whole("fault_id", primary_key=True, autoincrement=False),
        _text("plugin"),
        _text("hook"),
        _whole("recorded_at"),
        _text("error"),
        _text("message"),
        _text("trace"),
    )
    op.create_table(
        "crm_debt",
        _text("plugin"),
        _whole("customer_id"),
        _whole("first_interaction_id"),
        _text("missed_stages", nullable=True),
        PrimaryKeyConstraint("plugin", "customer_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "crm_timer",
        _text("plugin"),
        _text("timer_key"),
        _whole("customer_id"),
        _whole("due_at"),
        _whole("run_at"),
        _whole("attempt"),
        _whole("parked_at", nullable=True),
        PrimaryKeyConstraint("plugin", "timer_key", "customer_id"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "crm_timer_run",
        "crm_timer",
        ["plugin", "run_at"],
        sqlite_where=sql("parked_at IS NULL"),
        postgresql_where=sql("parked_at IS NULL"),
    )
