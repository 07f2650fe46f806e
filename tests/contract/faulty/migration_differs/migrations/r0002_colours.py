"""Tags have colours."""

from __future__ import annotations

from alembic.operations import Operations
from sqlalchemy import Column, Text

Words = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade(op: Operations) -> None:
    """Add the colour; tags that are there stay as they are."""
    colour = Column("colour", Words, nullable=False, server_default="grey")
    op.add_column("crm_tags_tag", colour)
