"""Where plugins take part in what is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from attrs import field, frozen

from crmcore.domain.interaction import Draft, Interaction
from crmcore.hooks.markers import hookspec
from crmcore.hooks.selection import Selection

if TYPE_CHECKING:
    from crmcore.hooks.context import Context

Outline = tuple[str, int, int, int]
"""Of an interaction: kind, customer's id, and when it occurred and was recorded."""


@frozen
class InteractionDrafted:
    """
    A draft is about to be recorded.

    Attributes:
        draft: As the shop gave it, or as the plugin before returned it.
    """

    draft: Draft


@frozen(kw_only=True)
class InteractionsRecorded:
    """
    A batch of interactions is in the ledger; in `on_` hooks it is not committed yet.

    Iterating builds `Interaction` objects, in the order of their ids. A set-based plugin passes
    the event to `ctx.fold` and builds none.

    Attributes:
        kinds: The kinds that occur in the batch, so that a plugin can look away at once.
        size: How many interactions there are.
        selection: Which facts these are, for `ctx.fold`.
    """

    kinds: frozenset[str]
    size: int
    selection: Selection
    _load: Callable[[], Sequence[Interaction]] = field(repr=False, eq=False)
    _outline: Callable[[], Iterable[Outline]] | None = field(default=None, repr=False, eq=False)

    def outlines(self) -> Iterable[Outline]:
        """
        Return of each the kind, the customer's id, and when it occurred and was recorded.

        In the order of their ids; no `Interaction` is built for that.
        """
        if self._outline is not None:
            return self._outline()
        return [
            (each.kind, each.customer_id, each.occurred_instant, each.recorded_instant)
            for each in self._load()
        ]

    def __iter__(self) -> Iterator[Interaction]:
        return iter(self._load())

    def __len__(self) -> int:
        return self.size


class InteractionHooks:
    """Where plugins take part in what is recorded."""

    @hookspec
    def prepare_interaction(self, ctx: Context, event: InteractionDrafted) -> Draft | None:
        """
        Change a draft before it is written, by returning a new one; None leaves it.

        Called once for each draft, in the transaction, before its customer is resolved. Plugins
        are asked in order, each given what the one before returned. If the plugin raises, the
        draft stays as it was.
        """

    @hookspec
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        """
        Take a batch of interactions into the plugin's tables, in their transaction.

        Called for every batch of every size; the sizes must not change any result, so compare
        customers with each other only in `on_timers_due`. If the plugin raises, the interactions
        stay and the plugin has debt with their customers.
        """

    @hookspec
    def after_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        """
        Tell others what has been recorded: a file, a mail, another system.

        Called by a worker after the commit, outside any transaction, so it may take its time and
        use the network. Every interaction comes at least once, a customer's in the order of their
        commits; the plugin's own decisions do not come, nor does what was recorded before it was
        first there. It comes again where a process ended in between, so what is told has to bear
        being told twice: the interaction's id tells.

        `ctx` reads at once; what it records or sets is done, in one transaction, when the hook
        has returned. If the plugin raises for a batch, it is called customer by customer; the
        rows of those it raises for wait and are tried again, with growing delays, and parked after
        8 attempts, while those of all others go on. Starting anew tries parked ones again.
        """
