"""Customers have tags."""

from __future__ import annotations

from alembic.operations import Operations
from sqlalchemy import BigInteger, Column, Integer, PrimaryKeyConstraint, Text, inspect

Whole = BigInteger().with_variant(Integer(), "sqlite")
Words = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade(op: Operations) -> None:
    """Make the table where the plugin of version 0 did not."""
    if inspect(op.get_bind()).has_table("crm_tags_tag"):
        return
    op.create_table(
        "crm_tags_tag",
        Column("customer_id", Whole, nullable=False),
        Column("word", Words, nullable=False),
        PrimaryKeyConstraint("customer_id", "word"),
    )
