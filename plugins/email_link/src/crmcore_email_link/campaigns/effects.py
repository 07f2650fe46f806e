"""Effects: what a campaign brought about, beside those held out of it, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Float, Select, and_, bindparam, case, cast, func, literal, or_, select, true

from crmcore_email_link.campaigns.arms import HELD_OUT, Split
from crmcore_email_link.campaigns.holding import REASON
from crmcore_email_link.campaigns.intervals import (
    FEWEST,
    Counted,
    Interval,
    Summed,
    difference_of_means,
    difference_of_shares,
)
from crmcore_email_link.reading import Execute, attempt, customer, interaction, merge, message
from crmcore_email_link.tables import Whole, Words

DAY: Final = 86_400_000_000

_m, _c, _i, _a, _g = message.c, customer.c, interaction.c, attempt.c, merge.c
_key: Final = bindparam("key_of", type_=Words)
_since: Final = bindparam("since", type_=Whole)
_until: Final = bindparam("until", type_=Whole)
_is_held_out: Final = and_(
    _m.state == "withheld",
    _m.gate == "guard",
    func.substr(_m.reason, 1, len(f"email_link: {REASON}")) == f"email_link: {REASON}",
)
_was_tried: Final = select(_a.message_id).where(_a.message_id == _m.message_id).exists()

# Of whom another customer became a part since, nobody can say any more which arm their orders
# belong to.
_is_another: Final = (
    select(_g.survivor_id)
    .where(_g.survivor_id == _m.customer_id, _g.recorded_at >= _since, _g.undone_at.is_(None))
    .exists()
)

# Orders as segments and tiers count them: placed less cancelled; money less refunds as well.
_COUNTED: Final = {"order.placed": 1, "order.cancelled": -1}
_SUMMED: Final = (*_COUNTED, "order.refunded")


@frozen(kw_only=True)
class ArmOutcome:
    """
    What became of the customers of one arm.

    Attributes:
        name: A variant's, or `held out`.
        size: How many there are; whom every gate let go, or all it was planned for.
        ordered: How many of them ordered, less those who cancelled all of it.
        revenue_minor: What they brought less refunds, in minor units of the shop's currency.
        squares: The squares of what each brought together, of which the interval follows.
    """

    name: str
    size: int
    ordered: int
    revenue_minor: int
    squares: float

    @property
    def counted(self) -> Counted:
        """How many of them ordered."""
        return Counted(self.ordered, self.size)

    @property
    def summed(self) -> Summed:
        """What they brought."""
        return Summed(self.size, float(self.revenue_minor), self.squares)


@frozen(kw_only=True)
class Comparison:
    """
    How an arm stands beside another; differences are the first's less the second's.

    Attributes:
        arm: The first.
        beside: The second.
        orders: The difference of the shares that ordered.
        revenue_minor: The difference of what a customer brought, in minor units; None: too few
            ordered to tell.
    """

    arm: ArmOutcome
    beside: ArmOutcome
    orders: Interval
    revenue_minor: Interval | None


@frozen(kw_only=True)
class Effect:
    """
    What a campaign brought about.

    Attributes:
        key: The campaign's.
        days: Within how many days of its start orders count.
        planned_days: The number that was laid down before it started.
        since: When it started, in microseconds.
        is_over: Whether these days are over, and nothing is to come of it.
        level: Of confidence.
        is_whole: Whether arms are all whom it was planned for, and not whom every gate let go.
        arms: Of each variant, and of those held out if there are any.
        comparisons: Each variant beside those held out, and beside the first variant; all
            variants together beside those held out come first.
        left_out: How many customers are in no arm, as others turned out to be them.
    """

    key: str
    days: int
    planned_days: int
    since: int
    is_over: bool
    level: float
    is_whole: bool
    arms: Sequence[ArmOutcome]
    comparisons: Sequence[Comparison]
    left_out: int


def outcomes(
    execute: Execute, key: str, split: Split, since: int, days: int, *, is_whole: bool = False
) -> tuple[dict[str, ArmOutcome], int]:
    """
    Return what became of each arm of a campaign, and how many customers are in none.

    An arm is all those whom every gate let go, whether or not their mail arrived: those held out
    were asked about by the same gates at the same point, and a mail that bounced tells of nobody
    who would not have ordered. Where the arms had campaigns before, gates no longer ask alike, as
    some left because of these; then an arm is all whom it was planned for. One statement, whatever
    the audience.

    Args:
        execute: Runs it.
        key: The campaign's.
        split: How its customers are parted.
        since: When it started, in microseconds.
        days: Orders within so many days of that count.
        is_whole: Whether an arm is all whom it was planned for.
    """
    values = {"key_of": key, "since": since, "until": since + days * DAY}
    found = {}
    for name, size, ordered, revenue, squares in execute(
        _outcomes(split, is_whole=is_whole), **values
    ):
        found[name] = ArmOutcome(
            name=name,
            size=size,
            ordered=int(ordered),
            revenue_minor=int(revenue),
            squares=float(squares),
        )
    left = found.pop("", None)
    names = [name for name, _ in split.weights]
    if split.holdout or HELD_OUT in found:
        names.append(HELD_OUT)
    return {each: found.get(each) or _nobody(each) for each in names}, left.size if left else 0


def compared(arms: Mapping[str, ArmOutcome], *, level: float = 0.95) -> list[Comparison]:
    """Return how the arms stand beside those held out, and beside the first variant."""
    variants = [each for name, each in arms.items() if name != HELD_OUT]
    pairs = []
    held = arms.get(HELD_OUT)
    if held is not None:
        if len(variants) > 1:
            pairs.append((_together(variants), held))
        pairs += [(each, held) for each in variants]
    pairs += [(each, variants[0]) for each in variants[1:]]
    return [
        Comparison(
            arm=one,
            beside=other,
            orders=difference_of_shares(one.counted, other.counted, level=level),
            revenue_minor=_revenue(one, other, level),
        )
        for one, other in pairs
        if one.size and other.size
    ]


def _revenue(one: ArmOutcome, other: ArmOutcome, level: float) -> Interval | None:
    """
    Return how much more a customer of one arm brought; None: too few ordered to tell.

    Most customers bring nothing, so a mean is far from normal however large its arm is, until
    enough of it ordered: of 100 customers of whom two do, the interval misses one time in four.
    """
    if min(one.ordered, other.ordered) < FEWEST:
        return None
    return difference_of_means(one.summed, other.summed, level=level)


def _outcomes(split: Split, *, is_whole: bool) -> Select[Any]:
    bucket = func.coalesce(_c.bucket, 0)
    arm = case(
        (_is_another, literal("", Words)),
        (split.is_held_out(bucket) if is_whole else _is_held_out, literal(HELD_OUT, Words)),
        else_=split.variant(bucket),
    )
    those = (
        select(_m.customer_id, arm.label("arm"))
        .join(customer, _c.customer_id == _m.customer_id)
        .where(
            _m.plugin == literal("email_link", Words),
            _m.message_key == _key,
            true() if is_whole else or_(_is_held_out, _was_tried),
        )
        .cte("those")
    )
    counts = case(*((_i.kind == kind, count) for kind, count in _COUNTED.items()), else_=0)
    bought = (
        select(
            _i.customer_id,
            func.sum(counts).label("orders"),
            func.sum(func.coalesce(_i.amount_base_minor, 0)).label("revenue"),
        )
        .join(those, those.c.customer_id == _i.customer_id)
        .where(_i.kind.in_(_SUMMED), _i.occurred_at > _since, _i.occurred_at <= _until)
        .group_by(_i.customer_id)
        .cte("bought")
    )
    revenue = func.coalesce(bought.c.revenue, 0)
    # As a float, as the squares of many amounts fit in no integer.
    square = cast(revenue, Float) * cast(revenue, Float)
    return (
        select(
            those.c.arm,
            func.count(those.c.customer_id.distinct()),
            func.sum(case((bought.c.orders > 0, 1), else_=0)),
            func.sum(revenue),
            func.sum(square),
        )
        .select_from(those.outerjoin(bought, bought.c.customer_id == those.c.customer_id))
        .group_by(those.c.arm)
    )


def _together(arms: Sequence[ArmOutcome]) -> ArmOutcome:
    return ArmOutcome(
        name=" + ".join(each.name for each in arms),
        size=sum(each.size for each in arms),
        ordered=sum(each.ordered for each in arms),
        revenue_minor=sum(each.revenue_minor for each in arms),
        squares=sum(each.squares for each in arms),
    )


def _nobody(name: str) -> ArmOutcome:
    return ArmOutcome(name=name, size=0, ordered=0, revenue_minor=0, squares=0.0)
