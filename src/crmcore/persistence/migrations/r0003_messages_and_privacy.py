"""
Room for consent, messages, tasks, and for who looked at whom.

Contact points get a keyed hash, by which consent knows them. It needs the secret that the shop
gives, so those there are get theirs when the shop next starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    PrimaryKeyConstraint,
    Text,
    UniqueConstraint,
    text,
)

if TYPE_CHECKING:
    from alembic.operations import Operations

_WHOLE = BigInteger().with_variant(Integer(), "sqlite")
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade(op: Operations) -> None:
    _customers(op)
    _consent(op)
    _messages(op)
    _tasks(op)
    _privacy(op)
    if op.get_context().dialect.name == "postgresql":
        for noun in ("message", "task", "access", "erasure"):
            op.execute(f"CREATE SEQUENCE crm_{noun}_id")


def _whole(name: str, **options: Any) -> Column[int]:
    return Column(name, _WHOLE, **{"nullable": False, **options})


def _text(name: str, **options: Any) -> Column[str]:
    return Column(name, _TEXT, **{"nullable": False, **options})


def _index(op: Operations, name: str, table: str, columns: list[Any], where: str) -> None:
    partial = text(where)
    op.create_index(name, table, columns, sqlite_where=partial, postgresql_where=partial)


def _customers(op: Operations) -> None:
    op.add_column("crm_customer", _whole("bucket", nullable=True))
    op.add_column("crm_customer", _whole("erased_at", nullable=True))
    op.add_column("crm_identifier", _text("point", nullable=True))
    op.create_index("crm_identifier_point", "crm_identifier", ["point"])
    op.execute(
        "INSERT INTO crm_setting (setting, setting_value) "
        "SELECT 'points', 'missing' WHERE EXISTS (SELECT 1 FROM crm_customer)"
    )


def _consent(op: Operations) -> None:
    op.create_table(
        "crm_consent",
        _whole("customer_id"),
        _whole("interaction_id"),
        _whole("merge_id"),
        _text("point"),
        _text("channel"),
        _text("purpose"),
        _text("effect"),
        _whole("occurred_at"),
        _whole("recorded_at"),
        PrimaryKeyConstraint(
            "customer_id", "interaction_id", "merge_id", "point", "channel", "purpose"
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("crm_consent_point", "crm_consent", ["point"])
    op.create_table(
        "crm_withheld",
        _text("point"),
        _text("channel"),
        _text("purpose"),
        _text("reason"),
        _whole("since"),
        _whole("until", nullable=True),
        _text("actor", nullable=True),
        _whole("lifted_at", nullable=True),
        _text("lifted_by", nullable=True),
        PrimaryKeyConstraint("point", "channel", "purpose", "reason"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "crm_brake",
        _whole("customer_id"),
        _whole("interaction_id"),
        _whole("merge_id"),
        _text("brake"),
        _whole("is_set"),
        _whole("occurred_at"),
        _whole("until", nullable=True),
        PrimaryKeyConstraint("customer_id", "interaction_id", "merge_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "crm_zone",
        _whole("customer_id"),
        _text("zone"),
        _whole("occurred_at"),
        _whole("caused_by"),
        PrimaryKeyConstraint("customer_id"),
        sqlite_with_rowid=False,
    )


def _messages(op: Operations) -> None:
    op.create_table(
        "crm_message",
        _whole("message_id", primary_key=True, autoincrement=False),
        _whole("customer_id"),
        _whole("recorded_for"),
        _text("plugin"),
        _text("message_key"),
        _text("purpose"),
        _text("channel"),
        _whole("asks"),
        _whole("priority"),
        _text("state"),
        _text("gate", nullable=True),
        _text("reason", nullable=True),
        _whole("planned_at"),
        _whole("not_before"),
        _whole("earliest", nullable=True),
        _whole("not_after", nullable=True),
        _text("point", nullable=True),
        _whole("attempt"),
        _text("lease", nullable=True),
        _whole("leased_until", nullable=True),
        _whole("handed_at", nullable=True),
        _whole("settled_at", nullable=True),
        _text("provider_reference", nullable=True),
        _whole("caused_by", nullable=True),
        _text("content", nullable=True),
        UniqueConstraint("customer_id", "plugin", "message_key", "recorded_for"),
    )
    waiting, leased = "state IN ('planned', 'deferred')", "state IN ('claimed', 'handed')"
    _index(op, "crm_message_waiting", "crm_message", ["channel", "not_before"], waiting)
    ordered: list[Any] = ["channel", text("priority DESC"), "message_id"]
    _index(op, "crm_message_order", "crm_message", ordered, waiting)
    _index(op, "crm_message_leased", "crm_message", ["leased_until"], leased)
    op.create_index("crm_message_customer", "crm_message", ["customer_id", "handed_at"])
    op.create_index("crm_message_key", "crm_message", ["message_key", "plugin"])
    op.create_table(
        "crm_broadcast",
        _text("plugin"),
        _text("message_key"),
        _text("purpose"),
        _text("channel"),
        _whole("audience"),
        _whole("planned_at"),
        _whole("stopped_at", nullable=True),
        _text("actor", nullable=True),
        _text("content"),
        PrimaryKeyConstraint("plugin", "message_key"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "crm_attempt",
        _whole("message_id"),
        _whole("attempt"),
        _whole("customer_id"),
        _text("idempotency_key"),
        _whole("handed_at"),
        _whole("settled_at", nullable=True),
        _text("outcome", nullable=True),
        _text("detail", nullable=True),
        _text("provider_reference", nullable=True),
        PrimaryKeyConstraint("message_id", "attempt", "customer_id"),
        sqlite_with_rowid=False,
    )


def _tasks(op: Operations) -> None:
    op.create_table(
        "crm_task",
        _whole("task_id", primary_key=True, autoincrement=False),
        _whole("customer_id"),
        _whole("recorded_for"),
        _text("plugin"),
        _text("task_key"),
        _text("title"),
        _text("note", nullable=True),
        _text("owner", nullable=True),
        _whole("recorded_at"),
        _whole("due_at", nullable=True),
        _whole("escalate_at", nullable=True),
        _text("escalate_to", nullable=True),
        _whole("escalated_at", nullable=True),
        _whole("done_at", nullable=True),
        _text("done_by", nullable=True),
        _text("outcome", nullable=True),
        _text("reason", nullable=True),
        _whole("caused_by", nullable=True),
        _whole("step"),
        UniqueConstraint("plugin", "task_key", "recorded_for", "customer_id"),
    )
    op.create_index("crm_task_customer", "crm_task", ["customer_id"])
    _index(op, "crm_task_owner", "crm_task", ["owner", "due_at"], "done_at IS NULL")
    escalates = "escalate_at IS NOT NULL AND done_at IS NULL"
    _index(op, "crm_task_escalate", "crm_task", ["escalate_at"], escalates)


def _privacy(op: Operations) -> None:
    op.create_table(
        "crm_access",
        _whole("access_id", primary_key=True, autoincrement=False),
        _whole("recorded_at"),
        _text("actor"),
        _text("role"),
        _text("action"),
        _text("outcome"),
        _whole("customer_id"),
        _whole("recorded_for"),
        _text("fields"),
        _text("reason", nullable=True),
    )
    op.create_index("crm_access_customer", "crm_access", ["customer_id", "recorded_at"])
    op.create_index("crm_access_actor", "crm_access", ["actor", "recorded_at"])
    op.create_table(
        "crm_erasure",
        _whole("erasure_id", primary_key=True, autoincrement=False),
        _whole("customer_id"),
        _whole("recorded_at"),
        _text("actor", nullable=True),
        _text("reason", nullable=True),
        _text("points"),
        _text("outcome"),
        _whole("verified_at", nullable=True),
    )
    op.create_index("crm_erasure_customer", "crm_erasure", ["customer_id"])
    op.create_table(
        "crm_hook_time",
        _text("plugin"),
        _text("hook"),
        _whole("calls"),
        _whole("items"),
        _whole("microseconds"),
        _whole("slowest"),
        PrimaryKeyConstraint("plugin", "hook"),
        sqlite_with_rowid=False,
    )
