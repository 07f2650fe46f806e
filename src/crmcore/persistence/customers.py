"""Tables of customers and the identifiers they are known by."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Index, PrimaryKeyConstraint, Table

from crmcore.persistence.schema import ids, metadata, text, whole

customer_ids: Final = ids("customer")

customer = Table(
    "crm_customer",
    metadata,
    whole("customer_id", primary_key=True, autoincrement=False),
    whole("recorded_at"),
    # A keyed hash of the identifier they were first known by: names them in keys of decisions.
    text("reference"),
    # The customer they turned out to be; NULL: nobody else.
    whole("merged_into", nullable=True),
    # Goes up whenever identifiers move to or from them: who looked before has to look again.
    whole("revision", server_default="0"),
    # A number below `crmcore.domain.holdout.PRIME` that follows from the reference; NULL: from
    # an older crmcore, until the shop is first started with this one.
    whole("bucket", nullable=True),
    # When the shop forgot who they are.
    whole("erased_at", nullable=True),
)

# Keyed by its own value, so that everything else can be partitioned by customer.
identifier = Table(
    "crm_identifier",
    metadata,
    text("scheme"),
    text("identifier_value"),
    whole("customer_id"),
    # Whose it was when it was recorded; a merge leaves it, so that it can be undone.
    whole("recorded_for"),
    whole("recorded_at"),
    # Its keyed hash, by which consent knows it; NULL as with a customer's bucket.
    text("point", nullable=True),
    PrimaryKeyConstraint("scheme", "identifier_value"),
    Index("crm_identifier_customer", "customer_id"),
    # What is said of a point concerns whoever has it.
    Index("crm_identifier_point", "point"),
    sqlite_with_rowid=False,
)
