"""Where plugins answer what they hold about a customer, and let go of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from crmcore.hooks.markers import hookspec

if TYPE_CHECKING:
    from crmcore.hooks.context import Context


@frozen(kw_only=True)
class CustomerExported:
    """
    Somebody wants to know all that the shop holds about them.

    Attributes:
        customer_id: Who; each customer who was merged into them is asked about, too.
    """

    customer_id: int


@frozen(kw_only=True)
class CustomerErased:
    """
    A customer is being forgotten.

    Attributes:
        customer_id: Who.
        planned: True while it is only asked what would become of what: nothing may be written.
    """

    customer_id: int
    planned: bool


@frozen(kw_only=True)
class Erasure:
    """
    What becomes of what a plugin holds beyond the policies of its tables.

    Attributes:
        what: Such as `files in the outbox`.
        outcome: `erased`, or `kept` for a *reason*.
        count: How many there were.
        reason: Why something is kept, as the customer is told; None where it is erased.
        files: Where to look, afterwards, whether anything is left.
        unverified: What could not be reached, such as a folder that is not there, each in a
            sentence that says what helps. The erasure is not complete then, and the plugin is
            asked again when the customer is erased once more.
    """

    what: str = field(kw_only=False)
    outcome: str = "erased"
    count: int = 0
    reason: str | None = None
    files: tuple[Path, ...] = ()
    unverified: tuple[str, ...] = ()


class PrivacyHooks:
    """Where plugins answer what they hold about a customer, and let go of it."""

    @hookspec
    def export_customer(self, ctx: Context, event: CustomerExported) -> Mapping[str, Any] | None:
        """
        Return what the plugin holds about a customer beyond its tables, as JSON can hold it.

        Called when a customer is exported. What stands in its tables is exported by itself, unless
        their policy says otherwise. Leave out what is about other people. If the plugin raises,
        the export fails: an export that lacks something would be untrue.
        """

    @hookspec
    def erase_customer(self, ctx: Context, event: CustomerErased) -> Iterable[Erasure] | None:
        """
        Let go of what the plugin holds about a customer beyond its tables, such as files.

        Rows are treated by their tables' policies, before this is called. If the plugin raises,
        nothing is erased at all, and the error says why. Who was erased while the plugin was not
        there, or could not reach something, is erased once more: it is called again then.
        """
