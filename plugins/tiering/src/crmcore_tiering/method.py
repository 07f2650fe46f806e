"""Method: how a review finds who changes tier, given the totals and the tiers of a moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from attrs import field, frozen
from sqlalchemy import FromClause, Select, func

from crmcore import Calendar, Context, Facts
from crmcore_tiering.demotions import Demotions
from crmcore_tiering.domain import Basis, Cuts, Rules, Scheme
from crmcore_tiering.gap import pareto_gaps, rfm_gaps
from crmcore_tiering.grading import Grading
from crmcore_tiering.margin import with_margin
from crmcore_tiering.pareto import pareto_changes
from crmcore_tiering.predicted import Predictor
from crmcore_tiering.rfm import as_cuts, cuts_of, rfm_changes
from crmcore_tiering.tables import tier, total
from crmcore_tiering.tiers import Borders
from crmcore_tiering.totals import COUNTED_FROM, totals_of, totals_within

DEFAULTS: Final = {
    "pareto": Rules(tiers=["A", "B", "C"], borders=[80, 95], band=2),
    "rfm": Rules(tiers=["A", "B", "C"], borders=[13, 8], band=1),
}
"""The rules that a decision does not name."""


@frozen
class Moment:
    """
    What a review sees.

    Attributes:
        facts: What had been recorded by then.
        totals: Everyone's totals, with the columns of the table of totals.
        tiers: Everyone's tiers, with the columns of the table of tiers.
        at: The instant it is for.
        counted_from: From when on orders count.
        decided: What tells of tiers and warnings; None where the plugin's tables do.
    """

    facts: Facts
    totals: FromClause
    tiers: FromClause
    at: int
    counted_from: int
    decided: FromClause | None = None

    def values(self) -> dict[str, int]:
        """Return the parameters that statements over it may have."""
        return {"at": self.at, COUNTED_FROM: self.counted_from}


@frozen(kw_only=True)
class Method:
    """
    Grades all customers by one scheme. Its usual statement is built, and so compiled, once.

    Attributes:
        basis: What is counted: revenue, or the margin.
        period_days: Over how many civil days it is counted; 0: over all time.
        predictor: Of the scheme `predicted`.
    """

    scheme: Scheme
    borders: Borders
    basis: Basis = "revenue"
    period_days: int = 0
    predictor: Predictor | None = None
    _usual: Select[Any] | None = field(init=False, default=None, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.scheme != "predicted":
            object.__setattr__(self, "_usual", self.changes(total))

    @property
    def is_usual(self) -> bool:
        """Whether what counts is what the table of totals holds."""
        return self.basis == "revenue" and not self.period_days

    def rules(self, demotions: Demotions) -> Rules:
        """Return what goes on record of it."""
        return Rules(
            tiers=list(self.borders.tiers),
            borders=list(self.borders.plain),
            band=abs(self.borders.lenience),
            basis=self.basis,
            period_days=self.period_days,
            dwell_days=demotions.dwell_days,
            grace_days=demotions.grace_days,
        )

    def counted_from(self, calendar: Calendar, at: int) -> int:
        """Return from when on orders count in a review at an instant."""
        if not self.period_days:
            return -(2**62)
        return calendar.start_of(calendar.day_of(at) - timedelta(days=self.period_days))

    def totals(self, facts: Facts) -> Select[Any]:
        """Return everyone's totals, from the ledger, as this method counts them."""
        if self.basis == "margin":
            rows = with_margin(facts)
            return totals_within(rows, rows.c.margin_minor)
        if self.period_days:
            amount = func.coalesce(facts.interactions.c.amount_base_minor, 0)
            return totals_within(facts.interactions, amount)
        return totals_of(facts.interactions)

    def changes(self, totals: FromClause, tiers: FromClause = tier) -> Select[Any]:
        """Return the statement that finds who changes tier, given everyone's totals and tiers."""
        build = pareto_changes if self.scheme == "pareto" else rfm_changes
        return build(totals, tiers, self.borders)

    def gradings(self, ctx: Context, moment: Moment) -> list[Grading]:
        """Return who changes tier."""
        if self.predictor is not None:
            facts = moment.facts.interactions
            return self.predictor.changes(
                ctx, facts, moment.totals, moment.tiers, **moment.values()
            )
        usual = moment.totals is total and moment.tiers is tier
        statement = self._usual if usual else self.changes(moment.totals, moment.tiers)
        assert statement is not None
        return [Grading.of(row) for row in ctx.execute(statement, **moment.values())]

    def cuts(self, ctx: Context, moment: Moment) -> Cuts | None:
        """Return where the quintiles begin; None where there are none."""
        if self.scheme != "rfm":
            return None
        (row,) = ctx.execute(cuts_of(moment.totals), **moment.values())
        return None if row[0] is None else as_cuts(row)

    def gaps(self, ctx: Context, moment: Moment) -> dict[int, int | None]:
        """Return what everyone who would fall needs to keep their tier."""
        if self.predictor is not None:
            return {}
        build = pareto_gaps if self.scheme == "pareto" else rfm_gaps
        rows: Sequence[Any] = ctx.execute(
            build(moment.totals, moment.tiers, self.borders), **moment.values()
        )
        return dict(rows)
