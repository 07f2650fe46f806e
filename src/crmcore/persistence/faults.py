"""Tables of what went wrong in plugins, and of the customers they still owe work for."""

from __future__ import annotations

from typing import Final

from sqlalchemy import PrimaryKeyConstraint, Table

from crmcore.persistence.schema import ids, metadata, text, whole

fault_ids: Final = ids("fault")

fault = Table(
    "crm_fault",
    metadata,
    whole("fault_id", primary_key=True, autoincrement=False),
    text("plugin"),
    text("hook"),
    whole("recorded_at"),
    text("error"),
    text("message"),
    text("trace"),
)

debt = Table(
    "crm_debt",
    metadata,
    text("plugin"),
    whole("customer_id"),
    # The first interaction the plugin missed. What came before it is only folded anew.
    whole("first_interaction_id"),
    # The changes of stage it missed, as a JSON list; NULL: none.
    text("missed_stages", nullable=True),
    whole("attempt", server_default="0"),
    whole("run_at", server_default="0"),  # not paid before; later after a failure
    PrimaryKeyConstraint("plugin", "customer_id"),
    sqlite_with_rowid=False,
)
