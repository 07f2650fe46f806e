from decimal import Decimal
from typing import Any

import pytest

from crmcore import Crm
from crmcore.domain.clock import DAY
from crmcore.domain.segments.dependencies import dependencies
from crmcore.domain.segments.flips import next_flip
from crmcore.domain.segments.forms import from_json, to_json
from crmcore.domain.segments.names import Names
from crmcore.domain.segments.oracle import Fact, FactLine, Known, Oracle
from crmcore.domain.segments.parser import parse
from crmcore.domain.segments.tree import (
    AllOf,
    Amount,
    Count,
    Duration,
    FactsOf,
    NotOf,
    Sum,
    TraitIs,
)
from crmcore.domain.segments.types import check
from crmcore.errors import ConfigurationError, InputError, SegmentError
from tests.support.segments import Profile

KINDS = ("order.placed", "order.cancelled", "order.refunded", "product.viewed", "message.opened")
NAMES = Names(
    kinds={name: name for name in KINDS} | {"Order Completed": "order.placed"},
    traits={trait.name: trait for trait in Profile().register_traits()},
    choices={"profile.city": ("Rome", "Köln")},
    segments={"buyers": parse("orders.count >= 1")},
)
NOW = 1_000 * DAY


def problem(text):
    """Return what is said of a text that is not right."""
    with pytest.raises(SegmentError) as caught:
        check(parse(text), NAMES, text)
    return str(caught.value)


def holds(text, *facts, traits=None, now=NOW):
    return Oracle(NAMES, Known(facts, traits or {}), now).holds(check(parse(text), NAMES, text))


def test_tree():
    """A text is parsed into the tree that somebody would write by hand."""
    tree = parse(
        'orders(days=90).count >= 3 and not orders(weeks=2).sum < 10.50 EUR and city == "Rome"'
    )

    assert tree == AllOf(
        (
            Count(FactsOf("orders", Duration(90, "days")), ">=", 3),
            NotOf(
                Sum(FactsOf("orders", Duration(2, "weeks")), "<", Amount(Decimal("10.50"), "EUR"))
            ),
            TraitIs("city", "==", "Rome"),
        )
    )


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("orders", "orders.count >= 1"),
        ("(orders(days = 1))", "orders(days=1).count >= 1"),
        ("in buyers", 'segment("buyers")'),
        ("not in buyers", 'not segment("buyers")'),
        ("is_vip", "profile.is_vip == true"),
        ('city not in ("Rome",)', 'profile.city not in ("Rome")'),
        ("orders.sum>=5", "orders.sum >= 5 EUR"),
        ('facts("Order Completed").count > 1', "order.placed.count > 1"),
        ("orders.last before 1 day ago", "orders.last before 1 day ago"),
        ("everyone  # all\n and (is_vip or orders)", None),
    ],
)
def test_canonical(text, canonical):
    """A checked tree has every name in full, and its text is understood again."""
    checked = check(parse(text), NAMES, text)

    assert repr(checked) == (
        canonical or "everyone and (profile.is_vip == true or orders.count >= 1)"
    )
    assert checked == check(parse(repr(checked)), NAMES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "",
            "line 1, column 1: the end found; a condition such as 'orders.count >= 3' is expected",
        ),
        (
            "orders AND is_vip",
            "line 1, column 8: 'AND' found (did you mean 'and'?); 'and', 'or' or",
        ),
        ("orders.count = 3", "line 1, column 14: '=' found; '==' is expected"),
        ("city == 'Rome'", 'line 1, column 9: "\'" found; text in double quotes is expected'),
        ('city == "Rome', "line 1, column 9: the text that begins here does not end in its line"),
        ("orders &", "line 1, column 8: '&' found; 'and' or 'or' is expected"),
        (
            "orders(dayz=3)",
            "line 1, column 8: 'dayz' found (did you mean 'days'?); one of minutes,",
        ),
        ("orders(days=0)", "line 1, column 13: '0' found; a whole number of days is expected"),
        ("orders(days=3, days=4)", "line 1, column 16: 'days' found; there is a window already"),
        ("orders.last < 3", "line 1, column 13: '<' found; 'before' or 'after' is expected"),
        ("orders.last after 2026-02-30", "line 1, column 19: 2026-02-30 is no date"),
        ("orders then views", "line 1, column 18: the end found; 'within' or 'then' is expected"),
        (
            "orders then views within 7 dayz",
            "line 1, column 28: 'dayz' found (did you mean 'days'?)",
        ),
        ("a then not b then c within 1 day", "line 1, column 19: 'then not' is the last step"),
        (
            "days_since(orders) > 3",
            "line 1, column 12: days_since has orders; its first or last is",
        ),
        ("(" * 60, "line 1, column 52: more than 50 brackets stand within each other"),
        ("orders.count > 99999999999999999999", "line 1, column 16: 99999999999999999999 does not"),
        (
            "orders\n  and ordrs",
            "line 2, column 7: nothing is named 'ordrs' (did you mean 'orders'?)",
        ),
        (
            "in buyer",
            "line 1, column 1: unknown segment 'buyer' (did you mean 'buyers'?); there are",
        ),
        (
            "ordr.placed.count > 1",
            "line 1, column 1: unknown facts 'ordr.placed' (did you mean 'ord",
        ),
        (
            "scor > 1",
            "line 1, column 1: unknown trait 'scor' (did you mean 'score'?); there are: pro",
        ),
        ("orders > 1", "line 1, column 1: 'orders' are facts; orders.count, orders.sum or such is"),
        ("score == true", "line 1, column 10: true found; profile.score is a number, and such a"),
        ('is_vip == "yes"', 'line 1, column 11: "yes" found; profile.is_vip is true or false, and'),
        ('city > "Rome"', "line 1, column 1: profile.city is text, which has no order; ==, !=, in"),
        (
            'city == "Rom"',
            "line 1, column 9: profile.city is never 'Rom' (did you mean 'Rome'?); it",
        ),
        (
            "orders.count > 2.5",
            "line 1, column 16: 2.5 found; orders.count is compared with a whole",
        ),
        (
            "orders.sum > 3 USD",
            "line 1, column 14: 3 USD found; the shop counts in EUR, and an amou",
        ),
        (
            "orders.sum > 0.001",
            "line 1, column 14: '0.001' EUR is finer than the currency's 2 decima",
        ),
        (
            'orders(amount > "x")',
            'line 1, column 8: "x" found; an amount such as 100.50 EUR is exp',
        ),
        (
            "days_since(orders.last) > 99999",
            "line 1, column 27: 99999 found; a number of days from",
        ),
    ],
)
def test_errors(text, said):
    """What is not right is said with its place, what was found, and what is expected."""
    assert problem(text).startswith(said)


def test_caret():
    """The line is shown with a mark below what is wrong."""
    assert problem("orders\n  and ordrs").splitlines()[1:] == ["    and ordrs", "        ^"]


def test_trees_by_hand():
    """A tree that nobody could have written as text is refused, too."""
    trees: tuple[Any, ...] = (
        Count(FactsOf("orders"), "=>", 3),  # type: ignore[arg-type]
        Count(FactsOf("orders"), ">", True),
        TraitIs("profile.city", "in", ()),
        TraitIs("profile.city", "==", "\0"),
        "orders",
    )
    for tree in trees:
        with pytest.raises(SegmentError):
            check(tree, NAMES)
    with pytest.raises(InputError):
        Duration(0, "days")
    with pytest.raises(SegmentError):
        AllOf((NotOf(parse("orders")),))


def test_window_ends():
    """A window has its end in it, and its start not; what is yet to come does not count."""
    for at, counted in ((NOW - 7 * DAY, 0), (NOW - 7 * DAY + 1, 1), (NOW, 1), (NOW + 1, 0)):
        assert holds(f"orders(days=7).count == {counted}", Fact("order.placed", at))


def test_orders_are_net():
    """A cancelled order is none, and takes its money back; a refund takes money only."""
    placed = Fact("order.placed", NOW, amount_base_minor=5000)
    other = Fact("order.placed", NOW, amount_base_minor=2000)
    cancelled = Fact("order.cancelled", NOW, amount_base_minor=-2000)
    refunded = Fact("order.refunded", NOW, amount_base_minor=-500)

    assert holds("orders.count == 1", placed, other, cancelled, refunded)
    assert holds("orders.sum == 45 EUR", placed, other, cancelled, refunded)
    assert not holds("orders", other, cancelled)


def test_nothing_is_nothing():
    """Without facts, counts and sums are 0, and no comparison with an instant holds."""
    assert holds("orders.count == 0 and orders.sum == 0")
    assert not holds("orders.last before 9 days ago or orders.last after 9 days ago")
    assert not holds("days_since(orders.last) != 3")
    assert holds("not orders.last before 9 days ago")


def test_filters_of_lines():
    """Conditions on a line are about one line."""
    fact = Fact("order.placed", NOW, lines=(FactLine("a", None, "tea"), FactLine("b", "red", None)))

    assert holds('orders(product="a", category="tea")', fact)
    assert not holds('orders(product="a", variant="red")', fact)
    assert holds('orders(product in ("x", "b"))', fact)


def test_sequences():
    """What follows is later, and not too late; what did not follow had the time to."""
    viewed, placed = Fact("product.viewed", NOW - 9 * DAY), Fact("order.placed", NOW - 2 * DAY)

    assert holds("views then orders within 7 days", viewed, placed)
    assert not holds("views then orders within 6 days", viewed, placed)
    assert not holds("views then orders within 7 days", viewed, Fact("order.placed", NOW - 9 * DAY))
    assert holds("views then not orders within 6 days", viewed, placed)
    assert not holds("views then not orders within 10 days", viewed)
    assert holds("views then not orders within 9 days", viewed)


def test_flips():
    """The next flip is when a fact leaves its window, or a while is over."""
    known = Known([Fact("order.placed", NOW)])

    def flip(text):
        return next_flip(check(parse(text), NAMES), NAMES, known, NOW)

    assert flip("orders(days=7).count >= 1") == NOW + 7 * DAY
    assert flip("orders.last before 3 days ago") == NOW + 3 * DAY + 1
    assert flip("days_since(orders.last) > 3") == NOW + 4 * DAY
    assert flip("orders then not orders within 2 days") == NOW + 2 * DAY
    assert flip("orders.count >= 1") is None


def test_dependencies():
    """A segment depends on the kinds and traits that it and those within it ask for."""
    found = dependencies(
        check(parse('in buyers and views(days=3) and city == "Rome"'), NAMES), NAMES
    )

    assert found.kinds == {"order.placed", "order.cancelled", "product.viewed"}
    assert found.traits == {"profile.city"}
    assert found.by_time
    assert not dependencies(NAMES.segments["buyers"], NAMES).by_time


def test_json():
    """A form is plain JSON; what is not right is refused with its field."""
    tree = parse("orders(days=90).count >= 3")

    assert to_json(tree) == {
        "is": "count",
        "facts": {"name": "orders", "window": {"number": 90, "unit": "days"}, "where": []},
        "operator": ">=",
        "number": 3,
    }
    with pytest.raises(SegmentError, match="did you mean 'count'"):
        from_json({"is": "cuont"})
    with pytest.raises(SegmentError, match=r"unknown field 'facts\.nme'"):
        from_json({**to_json(tree), "facts": {"name": "orders", "nme": 3}})


@pytest.mark.parametrize(
    ("segments", "said"),
    [
        (
            {"a": "in b", "b": "in c", "c": "orders or in b"},
            "segment 'b' is within itself: b -> c -> b",
        ),
        ({"a": "not in a"}, "segment 'a' is within itself: a -> a"),
        ({"a": "in bb", "b": "orders"}, "segment 'a': line 1, column 1: unknown segment 'bb'"),
        ({"a": "orders and"}, "segment 'a': line 1, column 11: the end found"),
        ({"a b": "orders"}, "a segment is named 'a b'; a letter, and letters"),
    ],
)
def test_named_segments(segments, said):
    """What is wrong with a named segment names it, and of a cycle the way round."""
    with pytest.raises(ConfigurationError) as caught:
        Crm("sqlite://", segments=segments)

    assert str(caught.value).startswith(said)


def test_large_segments():
    """Segments within segments that ask too much of a database are refused by their size."""
    doubled = {"s0": "orders or views"}
    for number in range(1, 12):
        doubled[f"s{number}"] = f"in s{number - 1} or not in s{number - 1}"

    with pytest.raises(ConfigurationError, match=r"segment 's8': it asks 512 things"):
        Crm("sqlite://", segments=doubled)


def test_families():
    """A shop's own families count their kinds; a name that is taken is refused."""
    with Crm("sqlite://", families={"visits": ["product.viewed", "Cart Viewed"]}) as crm:
        crm.record("cart.changed", email="ada@example.com", payload={"cart": "c"})

        assert crm.members("visits.count == 1") == [1]
    with pytest.raises(ConfigurationError, match=r"did you mean 'product\.viewed'"):
        Crm("sqlite://", families={"visits": ["product.veiwed"]})
    with pytest.raises(ConfigurationError, match="a family is named 'orders'"):
        Crm("sqlite://", families={"orders": ["product.viewed"]})


def test_what_moves():
    """A trait that reads the instant is found out, so that what asks for it is asked again."""
    with Crm("sqlite://", plugins=[Profile()]) as crm:
        assert crm.segment("is_grown").dependencies.by_time
        assert not crm.segment("is_vip").dependencies.by_time
        midnight = crm.why_in(
            crm.record("account.registered", email="ada@example.com").customer_id,
            "is_grown",
            at=NOW + 1,
        ).next_flip

    assert NOW + DAY == midnight
