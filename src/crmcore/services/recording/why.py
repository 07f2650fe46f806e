"""Why: the walk from a decision or a stage back to what caused it."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen
from sqlalchemy import bindparam, select

from crmcore.domain.interaction import Interaction
from crmcore.hooks import IdList
from crmcore.persistence.connection import Connection
from crmcore.persistence.ledger import interaction
from crmcore.persistence.stages import change
from crmcore.services.recording.ledger import Ledger

_FURTHEST = 50

_steps = (
    select(
        change.c.lifecycle,
        change.c.subject,
        change.c.from_stage,
        change.c.to_stage,
        change.c.effective_at,
        change.c.reason,
        change.c.caused_by,
    )
    .where(change.c.customer_id == bindparam("customer"))
    .order_by(change.c.effective_at, change.c.lifecycle, change.c.subject, change.c.step)
)
_decisions = (
    select(*interaction.columns)
    .where(interaction.c.customer_id == bindparam("customer"), interaction.c.origin == "decided")
    .order_by(interaction.c.occurred_at, interaction.c.interaction_id)
)


@frozen(kw_only=True)
class StageStep:
    """A change of stage, with its reason and the interactions that led to it, nearest first."""

    lifecycle: str
    subject: str
    from_stage: str
    to_stage: str
    effective_at: int
    reason: str
    because: Sequence[Interaction]


@frozen(kw_only=True)
class Decision:
    """What a plugin decided, and the interactions that led to it, nearest first."""

    interaction: Interaction
    because: Sequence[Interaction]


class WhyService:
    """Answers why a customer is treated as they are."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def stages(self, connection: Connection, customer_id: int) -> list[StageStep]:
        """Return the customer's way through the stages, oldest step first."""
        rows = connection.execute(_steps, customer=customer_id)
        causes = self._walks(connection, [row[6] for row in rows])
        return [
            StageStep(
                lifecycle=lifecycle,
                subject=subject,
                from_stage=before,
                to_stage=after,
                effective_at=at,
                reason=reason,
                because=causes.get(cause, ()),
            )
            for lifecycle, subject, before, after, at, reason, cause in rows
        ]

    def decisions(self, connection: Connection, customer_id: int) -> list[Decision]:
        """Return what was decided about the customer, oldest first."""
        rows = connection.execute(_decisions, customer=customer_id)
        decided = [self._ledger.as_interaction(row) for row in rows]
        causes = self._walks(connection, [item.caused_by for item in decided])
        return [
            Decision(interaction=item, because=causes.get(item.caused_by, ())) for item in decided
        ]

    def _walks(
        self, connection: Connection, starts: Sequence[int | None]
    ) -> dict[int | None, tuple[Interaction, ...]]:
        """Return each start's chain of causes; one query for each link of the longest chain."""
        known: dict[int, Interaction] = {}
        wanted = {start for start in starts if start is not None}
        while wanted:
            found = self._ledger.read(connection, IdList(tuple(sorted(wanted))))
            known |= {item.id: item for item in found}
            causes = {item.caused_by for item in found if item.caused_by is not None}
            wanted = causes - known.keys()
        return {start: tuple(_chain(start, known)) for start in set(starts) if start is not None}


def _chain(start: int, known: dict[int, Interaction]) -> list[Interaction]:
    chain: list[Interaction] = []
    at: int | None = start
    while at is not None and at in known and len(chain) < _FURTHEST:
        chain.append(known[at])
        at = known[at].caused_by
    return chain
