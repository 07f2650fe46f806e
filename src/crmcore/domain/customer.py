"""Customers: people and organisations the shop deals with, from the first contact on."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from crmcore.domain.clock import to_datetime
from crmcore.domain.identity import Identifier


@frozen(kw_only=True)
class Customer:
    """
    A customer, when they were first recorded, and the names they are known by, oldest first.

    Attributes:
        id: Theirs, for ever.
        recorded_instant: When they were first recorded, in microseconds.
        identifiers: What they are known by, oldest first.
        erased_instant: When they were forgotten, in microseconds; None if they were not.
    """

    id: int
    recorded_instant: int
    identifiers: tuple[Identifier, ...] = ()
    erased_instant: int | None = None

    @property
    def recorded_at(self) -> datetime:
        """When they were first recorded, in UTC."""
        return to_datetime(self.recorded_instant)
