"""Reviews: from time to time all customers are graded, and who moved goes on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from attrs import define
from sqlalchemy import ColumnElement, FromClause, Select, bindparam, literal, or_, select

from crmcore import Calendar, Context, Draft
from crmcore_tiering.demotions import Demotions, Open, Outcome
from crmcore_tiering.domain import TIER_CHANGED
from crmcore_tiering.explaining import Explaining
from crmcore_tiering.history import present_tiers
from crmcore_tiering.method import Method, Moment
from crmcore_tiering.overrides import OVERRIDE_KINDS, Overridden, in_force, present_overrides
from crmcore_tiering.tables import Whole, override, tier, tier_change, total, warning
from crmcore_tiering.totals import ORDER_KINDS
from crmcore_tiering.warned import TIER_KEPT, TIER_WARNED, open_warnings, present_warnings

TIMER: Final = "review"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EVER: Final = 2**63 - 1

_AT: Final = bindparam("at", type_=Whole)
_MOVED_SINCE: Final = select(tier.c.customer_id).where(tier.c.since >= _AT)
_MOVED_THEN: Final = select(tier_change.c.customer_id).where(tier_change.c.since == _AT)
_IN_FORCE: Final = in_force(override, tier, total)
_OPEN: Final = open_warnings(warning, tier)


@define(eq=False)
class Reviews:
    """Grades all customers by one method, and decides what becomes of them."""

    method: Method
    demotions: Demotions

    def changes(self, totals: FromClause, tiers: FromClause = tier) -> Select[Any]:
        """Return the statement that finds who changes tier, given everyone's totals and tiers."""
        return self.method.changes(totals, tiers)

    def moment(
        self,
        ctx: Context,
        at: int,
        *,
        recorded_before: int,
        late: bool = True,
        as_of: bool = False,
    ) -> Moment:
        """
        Return what a review sees.

        Args:
            ctx: The transaction.
            at: The instant it is for.
            recorded_before: Only what was recorded before this instant counts.
            late: Whether anything may have been recorded since. Then the ledger is asked, and not
                the plugin's tables.
            as_of: Whether tiers given at *at* or later are left out, as for a look back.
        """
        facts = ctx.facts_until(recorded_before)
        totals: FromClause = total
        if late or not self.method.is_usual:
            totals = self.method.totals(facts).subquery("totals")
        counted_from = self.method.counted_from(ctx.calendar, at)
        if not late:
            return Moment(facts, totals, tier, at, counted_from)
        decided = _decided(ctx, recorded_before, before=at if as_of else None)
        tiers = present_tiers(decided).subquery("tiers")
        return Moment(facts, totals, tiers, at, counted_from, decided)

    def outcome(self, ctx: Context, moment: Moment, by_staff: Sequence[Overridden]) -> Outcome:
        """Return what becomes of everyone but those whose tier staff gave."""
        return self.demotions.sorted(
            self.method.gradings(ctx, moment),
            self._warnings(ctx, moment),
            borders=self.method.borders,
            calendar=ctx.calendar,
            at=moment.at,
            overridden={each.customer_id for each in by_staff},
        )

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
        late = late or ctx.has_debt
        moment = self.moment(ctx, at, recorded_before=recorded_before, late=late)
        by_staff = self.overridden(ctx, moment)
        outcome = self.outcome(ctx, moment, by_staff)
        causes = self._causes(ctx, outcome, recorded_before if late else None)
        explaining = Explaining(self.method, self.demotions, moment)
        moved = explaining.moves(ctx, outcome.moves, causes)
        moved += explaining.misplaced(each for each in by_staff if each.is_misplaced(at))
        self._decide(ctx, at, moved, late=late)
        self._warn(ctx, at, explaining, outcome, causes)
        return len(moved)

    # -- what is asked -----------------------------------------------------------------------

    def overridden(self, ctx: Context, moment: Moment) -> list[Overridden]:
        """Return whose tier staff gave, as it holds at a moment."""
        statement = _IN_FORCE
        if moment.tiers is not tier or moment.totals is not total:
            overrides: FromClause = override
            if moment.tiers is not tier:
                overrides = present_overrides(moment.facts.interactions).subquery("overrides")
            statement = in_force(overrides, moment.tiers, moment.totals)
        day = str(ctx.calendar.day_of(moment.at))
        return [Overridden(*row) for row in ctx.execute(statement, day=day, **moment.values())]

    def _warnings(self, ctx: Context, moment: Moment) -> Mapping[int, Open]:
        if not self.demotions.grace_days:
            return {}
        statement = _OPEN
        if moment.decided is not None:
            # They are all decided, though with debt some may be missing from their table.
            told = present_warnings(moment.decided).subquery("warnings")
            statement = open_warnings(told, moment.tiers)
        return {row[0]: Open(*row) for row in ctx.execute(statement)}

    @staticmethod
    def _causes(ctx: Context, outcome: Outcome, recorded_before: int | None) -> Mapping[int, int]:
        everyone = [each.customer_id for each in (*outcome.moves, *outcome.warned)]
        everyone += [each.customer_id for each in outcome.kept]
        return ctx.latest(everyone, ORDER_KINDS, recorded_before=recorded_before)

    # -- what is decided ---------------------------------------------------------------------

    @staticmethod
    def _decide(ctx: Context, at: int, moved: Sequence[Any], *, late: bool) -> None:
        if not moved:
            return
        key = source_key(ctx.calendar, at)
        ctx.record(*(_draft(TIER_CHANGED, at, key, each) for each in moved))
        # What came later stays, as it does when the tables are made anew.
        since = {who for (who,) in ctx.execute(_MOVED_SINCE, at=at)} if late else set()
        then = {who for (who,) in ctx.execute(_MOVED_THEN, at=at)} if late else set()
        # The plugin is not shown its own decisions, so it takes them into its tables here.
        rows = [each.row(at) for each in moved]
        tiers, changes = tier.c.keys(), tier_change.c.keys()
        ctx.write(
            tier,
            [{n: row[n] for n in tiers} for row in rows if row["customer_id"] not in since],
        )
        ctx.write(
            tier_change,
            [{n: row[n] for n in changes} for row in rows if row["customer_id"] not in then],
        )

    def _warn(
        self,
        ctx: Context,
        at: int,
        explaining: Explaining,
        outcome: Outcome,
        causes: Mapping[int, int],
    ) -> None:
        warned = explaining.warned(ctx, outcome.warned, causes)
        kept = explaining.kept(outcome.kept, causes)
        if not warned and not kept:
            return
        key = source_key(ctx.calendar, at)
        ctx.record(
            *(_draft(TIER_WARNED, at, f"warned:{key}", each) for each in warned),
            *(_draft(TIER_KEPT, at, f"kept:{key}", each) for each in kept),
        )
        ctx.write(warning, [each.warning(at) for each in (*warned, *kept)])


def _decided(ctx: Context, recorded_before: int, *, before: int | None) -> FromClause:
    """Return what tells of tiers: all that reviews decided, and what staff had said by then."""
    ever = ctx.facts_until(_EVER).interactions
    known: ColumnElement[bool] = or_(
        ever.c.kind.not_in(OVERRIDE_KINDS), ever.c.recorded_at < literal(recorded_before, Whole)
    )
    rows = select(ever).where(known)
    if before is not None:
        rows = rows.where(ever.c.occurred_at < literal(before, Whole))
    return rows.subquery("decided_by_then")


def _draft(kind: str, at: int, key: str, told: Any) -> Draft:
    return Draft(
        kind,
        customer=told.customer_id,
        occurred_at=_EPOCH + timedelta(microseconds=at),
        source_key=key,
        payload=told.payload,
        caused_by=told.caused_by,
    )


def source_key(calendar: Calendar, at: int) -> str:
    """Return what a review is called: after its day, or after its instant."""
    day = calendar.day_of(at)
    if calendar.start_of(day) == at:
        return f"review:{day}"
    return f"review:{(_EPOCH + timedelta(microseconds=at)).isoformat()}"
