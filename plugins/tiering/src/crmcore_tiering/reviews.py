"""Reviews: from time to time all customers are graded, and who moved goes on record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from attrs import define, field
from sqlalchemy import FromClause, Select

from crmcore import Calendar, Context, Draft
from crmcore_tiering.domain import MILLION, TIER_CHANGED, Borders, Scheme, TierChanged
from crmcore_tiering.grading import Grading
from crmcore_tiering.history import present_tiers
from crmcore_tiering.pareto import pareto_changes
from crmcore_tiering.rfm import rfm_changes
from crmcore_tiering.tables import tier, tier_change, total
from crmcore_tiering.totals import ORDER_KINDS, totals_of

TIMER: Final = "review"
FIRST_DAY: Final = date(1970, 1, 1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EVER: Final = 2**63 - 1


def next_review(calendar: Calendar, instant: int, *, every_days: int) -> int:
    """
    Return the first review after *instant*: the start of a civil day.

    Days are counted from 1970-01-01, so that reviews do not depend on when a shop started.
    """
    passed = (calendar.day_of(instant) - FIRST_DAY).days // every_days
    return calendar.start_of(FIRST_DAY + timedelta(days=(passed + 1) * every_days))


@define(eq=False)
class Reviews:
    """Grades all customers by one scheme. The statement is built once, and so compiled once."""

    scheme: Scheme
    borders: Borders
    _changes: Select[Any] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._changes = self.changes(total)

    def changes(self, totals: FromClause, tiers: FromClause = tier) -> Select[Any]:
        """Return the statement that finds who changes tier, given everyone's totals and tiers."""
        build = pareto_changes if self.scheme == "pareto" else rfm_changes
        return build(totals, tiers, self.borders)

    def run(self, ctx: Context, at: int, *, recorded_before: int, late: bool) -> int:
        """
        Grade everyone with a purchase, and return how many changed tier.

        Args:
            ctx: The transaction.
            at: The instant the review is for, in microseconds.
            recorded_before: Only what was recorded before this instant counts.
            late: Whether anything may have been recorded since. Then the ledger is asked, and
                not the table of totals; as it is where the plugin has debt.
        """
        if late or ctx.has_debt:
            gradings, orders = self._by_the_ledger(ctx, at, recorded_before)
        else:
            gradings = [Grading(*row) for row in ctx.execute(self._changes, at=at)]
            orders = ctx.latest([g.customer_id for g in gradings], ORDER_KINDS)
        self._decide(ctx, at, gradings, orders)
        return len(gradings)

    def _by_the_ledger(
        self, ctx: Context, at: int, recorded_before: int
    ) -> tuple[list[Grading], Mapping[int, int]]:
        facts = ctx.facts_until(recorded_before).interactions
        totals = totals_of(facts).subquery("totals")
        # With debt, tiers may be missing from their table; decided they all are.
        decided = present_tiers(ctx.facts_until(_EVER).interactions).subquery("tiers")
        changes = self.changes(totals, decided if ctx.has_debt else tier)
        gradings = [Grading(*row) for row in ctx.execute(changes, at=at)]
        moved = [grading.customer_id for grading in gradings]
        return gradings, ctx.latest(moved, ORDER_KINDS, recorded_before=recorded_before)

    def _decide(
        self, ctx: Context, at: int, gradings: Iterable[Grading], orders: Mapping[int, int]
    ) -> None:
        occurred_at, key = _moment(at), _source_key(ctx.calendar, at)
        drafts, tiers, changes = [], [], []
        for grading in gradings:
            customer, caused_by = grading.customer_id, orders.get(grading.customer_id)
            payload = self._explain(grading, at)
            drafts.append(
                Draft(
                    TIER_CHANGED,
                    customer=customer,
                    occurred_at=occurred_at,
                    source_key=key,
                    payload=payload,
                    caused_by=caused_by,
                )
            )
            row = {
                "customer_id": customer,
                "since": at,
                "tier": payload.to_tier,
                "scheme": payload.scheme,
                "position": payload.position,
                "caused_by": caused_by,
            }
            tiers.append(row)
            changes.append(
                row
                | {
                    "from_tier": payload.from_tier,
                    "a_from_minor": payload.a_from_minor,
                    "b_from_minor": payload.b_from_minor,
                }
            )
        if drafts:
            ctx.record(*drafts)
            # The plugin is not shown its own decisions, so it takes them into its tables here.
            ctx.write(tier, tiers)
            ctx.write(tier_change, changes)

    def _explain(self, grading: Grading, at: int) -> TierChanged:
        evidence = grading._asdict()
        del evidence["customer_id"]
        return TierChanged(
            scheme=self.scheme,
            position=_position(grading),
            border=self.borders.passed(grading.from_tier, grading.to_tier),
            reviewed_at=at,
            **evidence,
        )


def _position(grading: Grading) -> int:
    if grading.above_minor is None or grading.revenue_minor is None:
        return (grading.recency or 0) + (grading.frequency or 0) + (grading.monetary or 0)
    if grading.revenue_minor == 0:
        return MILLION
    return grading.above_minor * MILLION // grading.revenue_minor


def _moment(at: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at)


def _source_key(calendar: Calendar, at: int) -> str:
    day = calendar.day_of(at)
    if calendar.start_of(day) == at:
        return f"review:{day}"
    return f"review:{_moment(at).isoformat()}"
