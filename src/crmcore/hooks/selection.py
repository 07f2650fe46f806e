"""Which facts an event is about. Plugins pass it on; only the core looks inside."""

from __future__ import annotations

from typing import Protocol

from attrs import frozen


@frozen
class IdRange:
    """
    All interactions of one contiguous block of ids.

    Attributes:
        low: The first id.
        high: The last id, included.
    """

    low: int
    high: int


@frozen
class IdList:
    """
    Some interactions.

    Attributes:
        ids: Their ids.
    """

    ids: tuple[int, ...]


@frozen
class CustomerList:
    """
    All interactions of some customers, up to one.

    What the plugin itself decided counts whatever its id, as it never gets that again.

    Attributes:
        customers: Their ids.
        until: Interactions with a smaller id count; None: all do.
    """

    customers: tuple[int, ...]
    until: int | None = None


@frozen
class Everyone:
    """All interactions of all customers."""


Selection = IdRange | IdList | CustomerList | Everyone


class Selected(Protocol):
    """An event that is about some part of the ledger."""

    @property
    def selection(self) -> Selection: ...
