"""Random segments, and random histories that they are asked about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from attrs import define
from hypothesis import strategies as st
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Float,
    Integer,
    MetaData,
    Table,
    Text,
    case,
)
from typing_extensions import override

from crmcore import Draft, Identifier, Line, Money, Plugin, PluginTable, Trait, hookimpl
from crmcore.domain.clock import DAY
from crmcore.domain.segments.oracle import Fact, FactLine
from crmcore.domain.segments.tree import (
    AllOf,
    Amount,
    AnyOf,
    Condition,
    Count,
    DaysSince,
    Duration,
    Everyone,
    FactsOf,
    Filter,
    InSegment,
    NotOf,
    Sum,
    TraitIs,
    When,
)
from crmcore.domain.segments.tree import Sequence as Following
from tests.support.histories import START, instant

Whole = BigInteger().with_variant(Integer(), "sqlite")
card = Table(
    "crm_profile_card",
    MetaData(),
    Column("customer_id", Whole, primary_key=True, autoincrement=False),
    Column("vip", Whole, nullable=False),
    Column("score", Float, nullable=False),
    Column("city", Text, nullable=False),
    Column("grown_at", Whole, nullable=False),
)


def _is_grown(now: ColumnElement[int]) -> ColumnElement[Any]:
    return case((card.c.grown_at <= now, 1), else_=0)


@define(eq=False)
class Profile(Plugin):
    """Keeps traits of every type, one of which changes with time alone."""

    name: ClassVar[str] = "profile"
    version: ClassVar[str] = "1"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(card, derived=False, merge="keep_both", erase="delete"),
    )

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        columns = card.c
        return [
            Trait(
                "profile.is_vip", type=bool, default=False, table=card, value=lambda _: columns.vip
            ),
            Trait(
                "profile.score", type=float, default=0.5, table=card, value=lambda _: columns.score
            ),
            Trait(
                "profile.city", type=str, default="none", table=card, value=lambda _: columns.city
            ),
            Trait("profile.is_grown", type=bool, default=True, table=card, value=_is_grown),
        ]


# -- histories ---------------------------------------------------------------------------------

CUSTOMERS = 4
KINDS = {
    "order.placed": 6,
    "order.cancelled": 1,
    "order.refunded": 1,
    "product.viewed": 3,
    "cart.changed": 2,
    "message.opened": 2,
    "service.opened": 1,
}
_SIGNS = {"order.placed": 1, "order.cancelled": -1, "order.refunded": -1}
_PAYLOADS = {
    "product.viewed": {"product": "p"},
    "cart.changed": {"cart": "c"},
    "service.opened": {"case": "s"},
}
LAST_DAY = 120


def accounts() -> list[Identifier]:
    """Return the accounts of the customers there are."""
    return [Identifier("account", f"c{number}") for number in range(CUSTOMERS)]


@st.composite
def happenings(draw: st.DrawFn) -> tuple[int, Fact]:
    """Draw what happens to one customer, by number, at an instant that others often share."""
    kind = draw(st.sampled_from([name for name, often in KINDS.items() for _ in range(often)]))
    day = draw(st.sampled_from((0, 0, 1, 2, 7, 8, 30, 31, 60, 90, 97, 119, LAST_DAY)))
    seconds = draw(st.sampled_from((0, 0, 0, 3600, 86_399)))
    lines: tuple[FactLine, ...] = ()
    amount = None
    if kind in _SIGNS:
        lines = tuple(
            FactLine(product, variant, category)
            for product, variant, category in draw(
                st.lists(
                    st.tuples(
                        st.sampled_from("abc"),
                        st.sampled_from((None, "red")),
                        st.sampled_from((None, "tea", "größer")),
                    ),
                    max_size=2,
                )
            )
        )
        amount = _SIGNS[kind] * draw(st.sampled_from((0, 500, 990, 5000, 12_345)))
        if lines:
            amount = _SIGNS[kind] * 250 * len(lines)
    fact = Fact(
        kind,
        instant(START) + day * DAY + seconds * 1_000_000,
        channel=draw(st.sampled_from((None, "email", "web"))),
        source=draw(st.sampled_from(("shop", "till"))),
        amount_base_minor=amount,
        lines=lines,
    )
    return draw(st.integers(0, CUSTOMERS - 1)), fact


def draft_of(number: int, customer: int, fact: Fact) -> Draft:
    """Return what a shop records where such a thing happens; amounts are what it reports."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=fact.occurred_at)
    amount = fact.amount_base_minor
    return Draft(
        fact.kind,
        identifiers=(accounts()[customer],),
        occurred_at=at,
        channel=fact.channel,
        source=fact.source,
        source_key=f"k{number}",
        amount=None if amount is None else Money(abs(amount), "EUR"),
        lines=tuple(
            Line(
                product=line.product,
                variant=line.variant,
                category=line.category,
                quantity=1,
                amount_minor=250,
            )
            for line in fact.lines
        ),
        payload=_PAYLOADS.get(fact.kind),
    )


def cards() -> st.SearchStrategy[tuple[int, float, str, int]]:
    """Return a strategy for what Profile keeps of a customer, but for the id."""
    days = st.sampled_from((-10_000, 8, 60, 10_000)).map(lambda day: instant(START) + day * DAY)
    return st.tuples(
        st.integers(0, 1),
        st.sampled_from((0.0, 0.5, 2.25)),
        st.sampled_from(("Rome", "Köln")),
        days,
    )


# -- segments ----------------------------------------------------------------------------------

operators = st.sampled_from(("==", "!=", "<", "<=", ">", ">="))
windows = st.sampled_from(
    (Duration(7, "days"), Duration(30, "days"), Duration(12, "weeks"), Duration(1, "hours"))
)
amounts = st.sampled_from((Decimal("0"), Decimal("2.50"), Decimal("50"), Decimal("-9.90"))).map(
    lambda number: Amount(number, "EUR")
)
NAMES = (
    "orders",
    "orders",
    "orders",
    "product.viewed",
    "emails.opened",
    "refunds",
    "carts",
    "visits",
)
FAMILIES = {"visits": ["product.viewed", "cart.changed"]}


def _texts(name: str, values: Sequence[str]) -> st.SearchStrategy[Filter]:
    some = st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True).map(tuple)
    return st.one_of(
        st.builds(Filter, st.just(name), st.just("=="), st.sampled_from(values)),
        st.builds(Filter, st.just(name), st.just("in"), some),
    )


filters = st.one_of(
    _texts("product", "abz"),
    _texts("variant", ("red", "blue")),
    _texts("category", ("tea", "größer")),
    _texts("channel", ("email", "web")),
    _texts("source", ("shop", "till")),
    st.builds(Filter, st.just("amount"), operators, amounts),
)
facts = st.builds(
    FactsOf,
    st.sampled_from(NAMES),
    st.one_of(st.none(), windows),
    st.one_of(st.just(()), st.lists(filters, min_size=1, max_size=2).map(tuple)),
)
plain_facts = st.sampled_from(("orders", "views", "carts")).map(FactsOf)
which = st.sampled_from(("first", "last"))
leaves = st.one_of(
    st.builds(Count, facts, operators, st.integers(-1, 3)),
    st.builds(Sum, facts, operators, amounts),
    st.builds(
        When,
        facts,
        which,
        st.sampled_from(("before", "after")),
        st.one_of(windows, st.sampled_from((date(2024, 1, 9), date(2024, 3, 31)))),
    ),
    st.builds(DaysSince, facts, which, operators, st.sampled_from((0, 1, 7, 30, 90))),
    st.builds(
        Following,
        st.lists(st.one_of(facts, plain_facts), min_size=2, max_size=3).map(tuple),
        windows,
        st.booleans(),
    ),
    st.builds(TraitIs, st.just("profile.is_vip"), st.sampled_from(("==", "!=")), st.booleans()),
    st.builds(TraitIs, st.just("profile.is_grown"), st.just("=="), st.booleans()),
    st.builds(
        TraitIs, st.just("profile.score"), operators, st.sampled_from((0, 2, Decimal("0.5")))
    ),
    st.builds(
        TraitIs,
        st.just("profile.city"),
        st.sampled_from(("in", "not in")),
        st.sampled_from((("Rome",), ("Köln", "none"))),
    ),
    st.builds(TraitIs, st.just("tiering.orders"), operators, st.integers(-1, 3)),
    st.builds(TraitIs, st.just("stage.relationship"), st.just("!="), st.just("known")),
    st.just(InSegment("named")),
    st.just(Everyone()),
)


def segments() -> st.SearchStrategy[Condition]:
    """Return a strategy for trees that can be checked."""

    def larger(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
        some = st.lists(inner, min_size=2, max_size=3).map(tuple)
        return st.one_of(st.builds(AllOf, some), st.builds(AnyOf, some), st.builds(NotOf, inner))

    return st.recursive(leaves, larger, max_leaves=6)
