"""The report: how far a few customers carry the shop, and how the tiers have moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import attrs
from sqlalchemy import Executable, FromClause, case, distinct, func, select

from crmcore import Context, Curve, Report, ReportResult
from crmcore_tiering.domain import OVERRIDE, UNGRADED
from crmcore_tiering.margin import uncosted
from crmcore_tiering.reviews import Reviews
from crmcore_tiering.tables import tier, tier_change, total, warning
from crmcore_tiering.tiers import LETTERS, Tier
from crmcore_tiering.totals import with_purchase, worth
from crmcore_tiering.warned import open_warnings

POINTS: Final = 100
A_PERCENT: Final = 80
_HALF: Final = 2**20


class Stretch(NamedTuple):
    """
    A hundredth of the customers, largest first, all sums exact.

    A place counts from 0 within the stretch. Amounts weighted by it do not fit in 64 bits for a
    large shop, so they come in two parts: of the amounts' multiples of 2**20, and of the rest.
    """

    customers: int
    net_minor: int
    worth_minor: int
    weighted_high: int
    weighted_low: int
    top_fifth_minor: int
    a_customers: int

    @property
    def weighted_minor(self) -> int:
        return self.weighted_high * _HALF + self.weighted_low


def concentration(totals: FromClause, *, stretches: int = POINTS) -> Executable:
    """
    Return the shop's customers with a purchase in *stretches*, as rows of `Stretch`.

    Exact up to a revenue of 9e16 minor units and 4e8 customers.
    """
    customer = (
        select(totals.c.customer_id, totals.c.net_minor, worth(totals).label("worth"))
        .where(with_purchase(totals))
        .subquery("customer")
    )
    largest_first = (customer.c.worth.desc(), customer.c.customer_id)
    placed = select(
        customer.c.net_minor,
        customer.c.worth,
        (func.row_number().over(order_by=largest_first) - 1).label("place"),
        func.sum(customer.c.worth).over(order_by=largest_first, rows=(None, 0)).label("reached"),
        func.sum(customer.c.worth).over().label("revenue"),
        func.count().over().label("customers"),
    ).subquery("placed")
    row = placed.c
    number = (row.place * stretches // row.customers).label("stretch")
    numbered = select(placed, number).subquery("numbered")
    row = numbered.c
    first = (row.stretch * row.customers + stretches - 1) // stretches  # place where it begins
    before = row.reached - row.worth
    return (
        select(
            func.count(),
            func.sum(row.net_minor),
            func.sum(row.worth),
            func.sum((row.place - first) * (row.worth // _HALF)),
            func.sum((row.place - first) * (row.worth % _HALF)),
            func.sum(case((row.place < (row.customers + 4) // 5, row.worth), else_=0)),
            func.sum(case((before * 100 < row.revenue * A_PERCENT, 1), else_=0)),
        )
        .group_by(row.stretch)
        .order_by(row.stretch)
    )


_CONCENTRATION: Final = concentration(total)
_TIERS: Final = select(tier.c.tier, func.count()).group_by(tier.c.tier)
_MOVES: Final = select(
    func.count(),
    func.count(case((tier_change.c.from_tier == UNGRADED, 1))),
    func.count(distinct(tier_change.c.since)),
).where(tier_change.c.scheme != OVERRIDE)
_WARNED: Final = open_warnings(warning, tier)


def gini(stretches: Sequence[Stretch]) -> float | None:
    """
    Return the Gini coefficient of net revenue, from 0 (all alike) to nearly 1 (one brings all).

    2 * sum(i * x) / (n * sum x) - (n + 1) / n over ascending x, from exact integers and without
    correction for small samples; None where there is no revenue to share.

    Source:
        C. Gini (1912), "Variabilità e mutabilità"; the form for sorted values is that of
        G. J. Glasser (1962), JASA 57(299), 648-654.
    """
    customers = sum(s.customers for s in stretches)
    revenue = sum(s.worth_minor for s in stretches)
    if revenue == 0:
        return None
    weighted = passed = 0  # by the place among all, 1 for the smallest
    for stretch in stretches:
        weighted += (customers - passed) * stretch.worth_minor - stretch.weighted_minor
        passed += stretch.customers
    return (2 * weighted - (customers + 1) * revenue) / (customers * revenue)


def concentration_curve(stretches: Sequence[Stretch]) -> Curve | None:
    """Return the share of the revenue that the best share of customers brings."""
    customers = sum(s.customers for s in stretches)
    revenue = sum(s.worth_minor for s in stretches)
    if revenue == 0:
        return None
    points = [(0.0, 0.0)]
    passed = reached = 0
    for stretch in stretches:
        passed += stretch.customers
        reached += stretch.worth_minor
        points.append((passed / customers, reached / revenue))
    return Curve(
        title="How much of the revenue the best customers bring",
        points=tuple(points),
        x_label="share of customers, best first",
        y_label="share of net revenue",
    )


CAPTIONS: Final = {
    "customers": "customers with a purchase",
    "revenue_minor": "net revenue, in minor units",
    "currency": "currency",
    "share_of_top_20_percent": "share of the revenue that the best 20 % of customers bring",
    "gini": "Gini coefficient of revenue (0: all alike, 1: one brings all)",
    "a_customers": "fewest customers who bring 80 % of the revenue",
    "tiers": "customers in each tier",
    "reviews": "reviews that moved or graded anybody",
    "first_gradings": "customers graded for the first time",
    "tier_changes": "moves from one tier to another",
}
_CAPTIONS_OF_MORE: Final = {
    "cost_minor": "cost of what was bought, where it is known, in minor units",
    "without_cost_minor": "net revenue of which no cost is known, in minor units",
    "warned": "customers who are warned of losing their tier",
    "models": "what the models found, or why they did not settle",
}


def _headline(figures: Mapping[str, Any]) -> str:
    best, gini = figures["share_of_top_20_percent"], figures["gini"]
    if best is None:
        return "No customer has brought any revenue yet."
    enough = figures["a_customers"] / figures["customers"]
    return (
        f"The best 20 % of customers brought {100 * best:.1f} % of the revenue, and the best "
        f"{100 * enough:.1f} % of them 80 %: a Gini coefficient of {gini:.2f}."
    )


def _run(ctx: Context, names: Sequence[str] = LETTERS) -> ReportResult:
    # PostgreSQL adds 64-bit integers up to numeric, hence int().
    stretches = [Stretch(*map(int, row)) for row in ctx.execute(_CONCENTRATION)]
    revenue = sum(s.worth_minor for s in stretches)
    tiers: dict[str, int] = dict(tuple(row) for row in ctx.execute(_TIERS))
    ((changes, gradings, reviews),) = ctx.execute(_MOVES)
    curve = concentration_curve(stretches)
    figures = {
        "customers": sum(s.customers for s in stretches),
        "revenue_minor": sum(s.net_minor for s in stretches),
        "currency": ctx.currency,
        "share_of_top_20_percent": (
            sum(s.top_fifth_minor for s in stretches) / revenue if revenue else None
        ),
        "gini": gini(stretches),
        "a_customers": sum(s.a_customers for s in stretches),
        "tiers": {name: tiers.get(name, 0) for name in names},
        "reviews": reviews,
        "first_gradings": gradings,
        "tier_changes": changes - gradings,
    }
    return ReportResult(
        figures=figures,
        curves=(curve,) if curve else (),
        captions=CAPTIONS,
        headline=_headline(figures),
    )


def _more(ctx: Context, reviews: Reviews) -> dict[str, Any]:
    """Return the figures of what the shop has set beyond the defaults."""
    method, figures = reviews.method, dict[str, Any]()
    if method.basis == "margin":
        facts = ctx.facts_until(ctx.clock.now() + 1)
        ((cost, unknown),) = ctx.execute(uncosted(facts))
        figures |= {"cost_minor": int(cost), "without_cost_minor": int(unknown)}
    if reviews.demotions.grace_days:
        figures["warned"] = len(ctx.execute(_WARNED))
    if method.predictor is not None:
        figures["models"] = method.predictor.told(ctx)
    return figures


def report_of(reviews: Reviews, tiers: Mapping[str, Tier]) -> Report:
    """Return the report of a shop with these tiers and rules."""

    def run(ctx: Context) -> ReportResult:
        found = _run(ctx, list(tiers))
        more = _more(ctx, reviews)
        captions = {**CAPTIONS, **{name: _CAPTIONS_OF_MORE[name] for name in more}}
        return attrs.evolve(found, figures={**found.figures, **more}, captions=captions)

    return attrs.evolve(REPORT, run=run)


REPORT: Final = Report(
    "tiering",
    description="How far a few customers carry the shop, and how many are in each tier.",
    run=_run,
)
