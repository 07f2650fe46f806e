"""Predicted: customers graded by what they are expected to bring, as models see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from attrs import asdict, frozen
from sqlalchemy import FromClause, Select, and_, case, cast, func, select

from crmcore import Context
from crmcore.errors import ConfigurationError, InputError
from crmcore_tiering.domain import UNGRADED, Forecast
from crmcore_tiering.grading import Grading
from crmcore_tiering.tables import Whole
from crmcore_tiering.tiers import Borders
from crmcore_tiering.totals import CANCELLED, PLACED, with_purchase

Model = Literal["bg_nbd", "pareto_nbd"]

DAY: Final = 86_400_000_000  # microseconds
_DIGITS: Final = 9
VERSION: Final = "0.1"


def check_extra() -> None:
    """Refuse the scheme where the extra is missing; raises a `ConfigurationError` that names it."""
    try:
        import crmcore_tiering.btyd  # noqa: F401 - only this scheme needs it
    except ImportError as error:
        raise ConfigurationError(
            "scheme is 'predicted', which needs numpy and scipy; install crmcore-tiering[predict]"
        ) from error


class Summary(NamedTuple):
    """What is known of a customer's buying; instants in microseconds, amounts in minor units."""

    customer_id: int
    purchases: int
    first_at: int
    last_at: int
    repeats_minor: int


def summaries_of(interactions: FromClause) -> Select[Any]:
    """
    Return the rows of `Summary`, one for each customer with a purchase.

    A purchase is an instant at which orders were placed that were not called off as a whole: what
    is bought at once is one. The first one counts as the begin, and is worth nothing here.
    """
    row = interactions.c
    off = interactions.alias()
    called_off = (
        select(off.c.customer_id, off.c.subject)
        .where(off.c.kind == CANCELLED, off.c.subject.is_not(None))
        .distinct()
        .subquery("called_off")
    )
    bought = (
        select(
            row.customer_id,
            row.occurred_at,
            func.coalesce(row.amount_base_minor, 0).label("amount_minor"),
            func.min(row.occurred_at).over(partition_by=row.customer_id).label("first_at"),
        )
        .select_from(
            interactions.outerjoin(
                called_off,
                and_(
                    called_off.c.customer_id == row.customer_id,
                    called_off.c.subject == row.subject,
                ),
            )
        )
        .where(row.kind == PLACED, called_off.c.customer_id.is_(None))
        .subquery("bought")
    )
    each = bought.c
    return select(
        each.customer_id,
        func.count(each.occurred_at.distinct()),
        func.min(each.first_at),
        func.max(each.occurred_at),
        cast(func.sum(case((each.occurred_at > each.first_at, each.amount_minor), else_=0)), Whole),
    ).group_by(each.customer_id)


@frozen
class Expected:
    """What is expected of a customer within the horizon."""

    purchases: float
    value_minor: float

    @property
    def worth_minor(self) -> int:
        """What it comes to, in whole minor units, so that shares of it are exact."""
        return round(self.purchases * self.value_minor)


@frozen
class Outlook:
    """What the models expect of everyone, and what they were."""

    expected: Mapping[int, Expected]
    parameters: Mapping[str, float]


def outlook_of(
    summaries: Sequence[Summary], at: int, *, model: Model, horizon_days: int
) -> Outlook:
    """
    Return what is expected of customers, by models fitted to just these.

    Never by how probable it is that they are alive: by BG/NBD everyone who bought once is.

    Raises:
        InputError: If they are too few, or do not settle the models.
    """
    from crmcore_tiering.btyd import BgNbd, GammaGamma, ParetoNbd

    # By values, not by ids: sums of floats depend on their order.
    rows = sorted(summaries, key=lambda row: (row[1:], row.customer_id))
    told: dict[str, list[float]] = {
        "frequency": [row.purchases - 1 for row in rows],
        "recency": [(row.last_at - row.first_at) / DAY for row in rows],
        "age": [max(at - row.first_at, row.last_at - row.first_at) / DAY for row in rows],
    }
    values: dict[str, list[float]] = {
        "frequency": told["frequency"],
        "monetary_value": [max(0, row.repeats_minor) / max(1, row.purchases - 1) for row in rows],
    }
    fitted: Any = BgNbd if model == "bg_nbd" else ParetoNbd
    buying = fitted.fit(**told)
    spending = GammaGamma.fit(**values)
    if not spending.params.q > 1:
        raise InputError(
            f"the value of purchases varies too much to have a mean: q is {spending.params.q:.3g}"
        )
    purchases = buying.expected_purchases(horizon_days, **told)
    worth = spending.expected_value(**values)
    parameters = {**asdict(buying.params), **asdict(spending.params)}
    return Outlook(
        {
            row.customer_id: Expected(_short(float(often)), _short(float(value)))
            for row, often, value in zip(rows, purchases, worth, strict=True)
        },
        {name: _short(value) for name, value in parameters.items()},
    )


def _short(value: float) -> float:
    """Return a number as it goes on record: no more digits than a fit settles."""
    return float(f"{value:.{_DIGITS}g}")


class Standing(NamedTuple):
    """A customer to be graded, with the tier they have."""

    customer_id: int
    orders: int
    net_minor: int
    tier: str | None
    since: int | None


def standings_of(totals: FromClause, tiers: FromClause) -> Select[Any]:
    """Return the rows of `Standing`: everyone with a purchase."""
    return (
        select(
            totals.c.customer_id, totals.c.orders, totals.c.net_minor, tiers.c.tier, tiers.c.since
        )
        .outerjoin_from(totals, tiers, tiers.c.customer_id == totals.c.customer_id)
        .where(with_purchase(totals))
        .order_by(totals.c.customer_id)
    )


def graded_by_worth(
    standings: Iterable[Standing], worth: Mapping[int, int], borders: Borders
) -> dict[int, tuple[str, int, int]]:
    """
    Return each customer's tier to come, what those of whom more is expected bring, and all.

    As `pareto_changes` has it, by what is expected in the place of the revenue.
    """
    people = list(standings)
    amounts = sorted((worth.get(p.customer_id, 0) for p in people), reverse=True)
    total, reached = sum(amounts), 0
    above: dict[int, int] = {}
    for amount in amounts:
        above.setdefault(amount, reached)
        reached += amount

    def within(amount: int, percent: int) -> bool:
        return above[amount] * 100 < total * percent

    found = {}
    for person in people:
        mine = worth.get(person.customer_id, 0)
        numbers = range(len(borders.plain))
        place = next(
            (n for n in numbers if within(mine, borders.met(person.tier, n))), len(borders.plain)
        )
        found[person.customer_id] = (borders.tiers[place], above[mine], total)
    return found


@frozen(kw_only=True)
class Predictor:
    """Grades by what is expected, where the models can be fitted."""

    model: Model
    horizon_days: int
    borders: Borders

    def outlook(self, ctx: Context, interactions: FromClause, at: int) -> Outlook:
        """Return what is expected of everyone; raises `InputError` if no model settles."""
        rows = [Summary(*map(int, row)) for row in ctx.execute(summaries_of(interactions))]
        return outlook_of(rows, at, model=self.model, horizon_days=self.horizon_days)

    def told(self, ctx: Context) -> dict[str, Any]:
        """Return what the models find now, as a report tells it, or why they do not settle."""
        now = ctx.clock.now()
        try:
            outlook = self.outlook(ctx, ctx.facts_until(now + 1).interactions, now)
        except InputError as error:
            return {"model": self.model, "refused": str(error)}
        expected = sum(each.purchases for each in outlook.expected.values())
        return {
            "model": self.model,
            "parameters": dict(outlook.parameters),
            "expected_purchases": _short(expected),
        }

    def changes(
        self,
        ctx: Context,
        interactions: FromClause,
        totals: FromClause,
        tiers: FromClause,
        **values: int,
    ) -> list[Grading]:
        """Return who changes tier at the instant `at`; nobody where the models do not settle."""
        at = values["at"]
        people = [Standing(*row) for row in ctx.execute(standings_of(totals, tiers), **values)]
        try:
            outlook = self.outlook(ctx, interactions, at)
        except InputError:
            return []  # the report says why; everyone keeps their tier
        worth = {who: each.worth_minor for who, each in outlook.expected.items()}
        graded = graded_by_worth(people, worth, self.borders)
        return [
            self._grading(person, len(people), graded[person.customer_id], outlook)
            for person in people
            if graded[person.customer_id][0] != (person.tier or UNGRADED)
            and (person.since is None or person.since < at)
        ]

    def _grading(
        self,
        person: Standing,
        customers: int,
        graded: tuple[str, int, int],
        outlook: Outlook,
    ) -> Grading:
        to_tier, above, total = graded
        expected = outlook.expected.get(person.customer_id, Expected(0.0, 0.0))
        return Grading(
            customer_id=person.customer_id,
            from_tier=person.tier or UNGRADED,
            to_tier=to_tier,
            orders=person.orders,
            net_minor=person.net_minor,
            customers=customers,
            above_minor=above,
            revenue_minor=total,
            a_from_minor=None,
            b_from_minor=None,
            recency=None,
            frequency=None,
            monetary=None,
            since=person.since,
            forecast=Forecast(
                model=self.model,
                version=VERSION,
                horizon_days=self.horizon_days,
                purchases=expected.purchases,
                value_minor=expected.value_minor,
                parameters=dict(outlook.parameters),
            ),
        )
