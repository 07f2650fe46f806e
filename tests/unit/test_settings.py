"""What plugins check their settings with."""

from collections.abc import Mapping

import pytest
from attrs import define, field

from crmcore import RelationshipSettings, choice, whole
from crmcore.domain.structuring import strict_converter, structuring_problems
from crmcore.errors import ConfigurationError


@define
class Settings:
    size: int = field(default=3, validator=whole(least=1, most=9))
    least: int = field(default=1, validator=whole(least=1))
    most: int = field(default=1, validator=whole(most=9))
    every: int = field(default=1, validator=whole())
    colour: str = field(default="red", validator=choice("red", "green", "blue"))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"size": 0}, "size is 0; a whole number from 1 to 9 is expected"),
        ({"size": 10}, "size is 10; a whole number from 1 to 9 is expected"),
        ({"size": "3"}, "size is '3'; a whole number from 1 to 9 is expected"),
        ({"least": 0}, "least is 0; a whole number of at least 1 is expected"),
        ({"most": 10}, "most is 10; a whole number of at most 9 is expected"),
        ({"every": True}, "every is True; a whole number is expected"),
        (
            {"colour": "Green"},
            "colour is 'Green' (did you mean 'green'?); 'red' or 'green' or 'blue' is expected",
        ),
        ({"colour": None}, "colour is None; 'red' or 'green' or 'blue' is expected"),
    ],
)
def test_refused(settings, sentence):
    """What is found, expected and nearest is in one sentence of an error that is a ValueError."""
    with pytest.raises(ConfigurationError) as caught:
        Settings(**settings)

    assert sentence == str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_accepted():
    """The bounds themselves, and each of the options, are."""
    assert [1, 9] == [Settings(size=size).size for size in (1, 9)]
    colours = ["red", "green", "blue"]
    assert colours == [Settings(colour=colour).colour for colour in colours]
    assert -5 == Settings(most=-5).most


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"at_risk_quiet_days": 0}, "at_risk_quiet_days is 0; a whole number of at least 1"),
        ({"loyal_from_orders": 1}, "loyal_from_orders is 1; a whole number of at least 2"),
        ({"cart_quiet_days": "7"}, "cart_quiet_days is '7'; a whole number of at least 1"),
        ({"engaged_after_views": True}, "engaged_after_views is True; a whole number"),
    ],
)
def test_the_numbers_of_the_default_lifecycle(settings, said):
    """Given in code they are refused with the same sentence as in crm.toml."""
    with pytest.raises(ConfigurationError, match=said):
        RelationshipSettings(**settings)


@define
class Listed:
    names: list[str] = field(factory=list)
    pairs: tuple[int, ...] = ()
    chosen: frozenset[str] = frozenset()
    maybe: list[int] | None = None


def test_lists_are_taken():
    """As TOML has them, for each sort of collection."""
    given = {"names": ["a", "b"], "pairs": [1, 2], "chosen": ["x"], "maybe": [3]}

    assert Listed(["a", "b"], (1, 2), frozenset("x"), [3]) == strict_converter().structure(
        given, Listed
    )


@pytest.mark.parametrize("value", ["text", {"a": 1}, 5, True])
@pytest.mark.parametrize("name", ["names", "pairs", "chosen", "maybe"])
def test_what_is_no_list(name, value):
    """A text is not taken apart into its letters, nor a table into its names."""
    with pytest.raises(Exception, match=r"structuring|Listed") as caught:
        strict_converter().structure({name: value}, Listed)

    assert [f"field {name!r}: {value!r} is not a list"] == structuring_problems(caught.value)


@define
class Tabled:
    prices: dict[str, int] = field(factory=dict)
    read: Mapping[str, str] = field(factory=dict)


@pytest.mark.parametrize("value", ["text", [1], 5, True])
@pytest.mark.parametrize("name", ["prices", "read"])
def test_what_is_no_table(name, value):
    """What is not a table is told to be none, as no crash of the converter's would tell."""
    with pytest.raises(Exception, match=r"structuring|Tabled") as caught:
        strict_converter().structure({name: value}, Tabled)

    assert [f"field {name!r}: {value!r} is not a table"] == structuring_problems(caught.value)


def test_tables_are_taken():
    """A table of values is taken as TOML has it, and what is wrong within it is told."""
    given = {"prices": {"a": 1}, "read": {"b": "c"}}

    assert Tabled({"a": 1}, {"b": "c"}) == strict_converter().structure(given, Tabled)
    with pytest.raises(Exception, match="Tabled") as caught:
        strict_converter().structure({"prices": {"a": "b"}}, Tabled)
    assert ["field 'prices[a]': 'b' is not a whole number"] == structuring_problems(caught.value)
