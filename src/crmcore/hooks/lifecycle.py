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
    """A guard's refusal, with the reason that goes on record."""

    reason: str


@frozen(kw_only=True)
class StageChangeProposed:
    """A customer is about to change stage; *effective_at* is in microseconds."""

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
    """A customer's present stage differs from the one last announced."""

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
    """The changes of one batch, each customer and subject at most once."""

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
