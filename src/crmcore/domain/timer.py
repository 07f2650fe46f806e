"""Timers: instants at which a plugin wants to be called."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from crmcore.domain.clock import to_datetime


@frozen(kw_only=True)
class Timer:
    """One timer, unique by plugin, key and customer; `customer_id` is None for the whole shop's."""

    key: str
    due_instant: int
    customer_id: int | None = None
    attempt: int = 0

    @property
    def due_at(self) -> datetime:
        return to_datetime(self.due_instant)
