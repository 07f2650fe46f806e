"""Where plugins take part in the stages customers go through."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import frozen

from crmcore.hooks.markers import hookspec

if TYPE_CHECKING:
    from crmcore.hooks.context import Context


@frozen
class Refuse:
    """
    A guard's refusal.

    Attributes:
        reason: In words; it goes on record, and `crm why` tells it.
    """

    reason: str


@frozen(kw_only=True)
class StageChangeProposed:
    """
    A customer is about to change stage.

    Attributes:
        customer_id: Who.
        lifecycle: Of which lifecycle, such as `relationship`.
        subject: What of theirs has the stage, such as `order:1042`; empty: they themself.
        from_stage: The stage they are in.
        to_stage: The stage they are about to enter.
        reason: That of the edge, such as `placed an order`.
        effective_at: When it happens in the shop's world, in microseconds.
        caused_by: The id of the interaction that led to it; None: it was the clock.
    """

    customer_id: int
    lifecycle: str
    subject: str
    from_stage: str
    to_stage: str
    reason: str
    effective_at: int
    caused_by: int | None


@frozen(kw_only=True)
class StageChanged:
    """
    A customer's present stage differs from the one last announced.

    Attributes:
        customer_id: Who.
        lifecycle: Of which lifecycle, such as `relationship`.
        subject: What of theirs has the stage, such as `order:1042`; empty: they themself.
        from_stage: The stage that was announced last.
        to_stage: The stage they are in now.
        reason: Of the last step on the way, such as `placed an order`.
        effective_at: When they entered the present stage, in microseconds.
        caused_by: The id of the interaction that led to it; None: it was the clock.
    """

    customer_id: int
    lifecycle: str
    subject: str
    from_stage: str
    to_stage: str
    reason: str
    effective_at: int
    caused_by: int | None


@frozen
class StagesChanged:
    """
    The changes of one batch; iterating gives them, too.

    Attributes:
        changes: Each lifecycle, customer and subject at most once.
    """

    changes: tuple[StageChanged, ...]

    def __iter__(self) -> Iterator[StageChanged]:
        return iter(self.changes)

    def __len__(self) -> int:
        return len(self.changes)


class LifecycleHooks:
    """Where plugins take part in the stages customers go through."""

    @hookspec
    def guard_stage_change(self, ctx: Context, event: StageChangeProposed) -> Refuse | None:
        """
        Refuse a change of stage; None lets it pass.

        Called in the transaction, once for each step, never while rebuilding. All guards are
        asked and all their reasons recorded. If the plugin raises, the change is refused.
        """

    @hookspec
    def on_stages_changed(self, ctx: Context, event: StagesChanged) -> None:
        """
        Act on customers whose stage has changed, in the transaction.

        Called once a batch, only where the present stage differs from the one last announced:
        steps that a late fact puts into the past are not announced, nor those that the rest of
        the batch leads away from again. So what is decided here may depend on how interactions
        came in batches. If the plugin raises, it has debt with these customers and is called
        again when the debt is paid.
        """
