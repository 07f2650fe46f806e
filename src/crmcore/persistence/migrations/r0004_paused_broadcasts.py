"""Broadcasts can be paused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Column, Integer

if TYPE_CHECKING:
    from alembic.operations import Operations

_WHOLE = BigInteger().with_variant(Integer(), "sqlite")


def upgrade(op: Operations) -> None:
    op.add_column("crm_broadcast", Column("paused_at", _WHOLE, nullable=True))
