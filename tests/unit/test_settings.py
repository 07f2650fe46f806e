"""What plugins check their settings with."""

import pytest
from attrs import define, field

from crmcore import choice, whole
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
