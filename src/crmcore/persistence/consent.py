"""Tables of what customers agreed to, and of what else keeps the shop from writing to them."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Index, PrimaryKeyConstraint, Table

from crmcore.persistence.schema import metadata, text, whole

ANY: Final = "*"
"""Stands for every channel, purpose or contact point."""

# One row for each interaction that says something of consent, and one for each conflict that a
# merge settled to the narrower side. Derived from the ledger, but for those of merges.
consent = Table(
    "crm_consent",
    metadata,
    whole("customer_id"),
    whole("interaction_id"),
    # The merge that found it the narrower of two; 0: it was recorded so.
    whole("merge_id"),
    text("point"),  # the keyed hash of an identifier, or ANY
    text("channel"),  # or ANY
    text("purpose"),  # or ANY
    text("effect"),
    whole("occurred_at"),
    whole("recorded_at"),
    PrimaryKeyConstraint(
        "customer_id", "interaction_id", "merge_id", "point", "channel", "purpose"
    ),
    # What somebody said of a point goes for whoever has it.
    Index("crm_consent_point", "point"),
    sqlite_with_rowid=False,
)

# Contact points that nobody writes to, whoever has them: keyed by their own hash, so that it
# outlives the customer.
withheld = Table(
    "crm_withheld",
    metadata,
    text("point"),
    text("channel"),  # or ANY
    text("purpose"),  # or ANY, or `unsolicited`: all that nobody has to be sent
    text("reason"),
    whole("since"),
    whole("until", nullable=True),
    text("actor", nullable=True),
    whole("lifted_at", nullable=True),
    text("lifted_by", nullable=True),
    PrimaryKeyConstraint("point", "channel", "purpose", "reason"),
    sqlite_with_rowid=False,
)

# What makes it improper to write to somebody for a while: an open complaint, mourning. Derived
# from the ledger, but for what stays on through a merge though the other's was lifted.
brake = Table(
    "crm_brake",
    metadata,
    whole("customer_id"),
    whole("interaction_id"),
    whole("merge_id"),  # as with consent
    text("brake"),
    whole("is_set"),
    whole("occurred_at"),
    whole("until", nullable=True),
    PrimaryKeyConstraint("customer_id", "interaction_id", "merge_id"),
    sqlite_with_rowid=False,
)

# Where a customer's clock stands on the wall. Derived.
zone = Table(
    "crm_zone",
    metadata,
    whole("customer_id"),
    text("zone"),
    whole("occurred_at"),
    whole("caused_by"),
    PrimaryKeyConstraint("customer_id"),
    sqlite_with_rowid=False,
)
