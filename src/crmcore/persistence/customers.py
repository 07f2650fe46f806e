"""Tables of customers and the identifiers they are known by."""

from __future__ import annotations

from sqlalchemy import Index, PrimaryKeyConstraint, Table

from crmcore.persistence.schema import metadata, text, whole

customer = Table(
    "crm_customer",
    metadata,
    whole("customer_id", primary_key=True, autoincrement=False),
    whole("recorded_at"),
    # A keyed hash of the identifier they were first known by: names them in keys of decisions.
    text("reference"),
)

# Keyed by its own value, so that everything else can be partitioned by customer.
identifier = Table(
    "crm_identifier",
    metadata,
    text("scheme"),
    text("identifier_value"),
    whole("customer_id"),
    whole("recorded_at"),
    PrimaryKeyConstraint("scheme", "identifier_value"),
    Index("crm_identifier_customer", "customer_id"),
    sqlite_with_rowid=False,
)
