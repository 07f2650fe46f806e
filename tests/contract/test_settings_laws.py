"""The laws of settings find what is wrong with them, and let what is right pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from attrs import define, field, frozen

from crmcore import Plugin, choice, whole
from crmcore.errors import ConfigurationError
from crmcore.testing.laws.settings import SettingsLaws
from crmcore.testing.subject import Subject
from tests.contract.support import breaks, shop_with

LAWS = [name for name in vars(SettingsLaws) if name.startswith("test_")]


@frozen
class Step:
    """A step of a stair, as crm.toml nests it."""

    at: int
    name: str = "step"


@define(eq=False)
class Good(Plugin):
    """
    Has a setting of every sort.

    Attributes:
        days: How many.
        rate: From 0 to 1.
        mode: `soft` or `hard`.
        way: One of two.
        names: Some.
        stair: Its steps.
        label: A text, or none.
        partner: From code only.
    """

    name: ClassVar[str] = "good"
    days: int = field(default=30, validator=whole(least=0))
    rate: float = 0.5
    mode: str = field(default="soft", validator=choice("soft", "hard"))
    way: Literal["up", "down"] = "up"
    names: list[str] = field(factory=list)
    stair: list[Step] = field(factory=list)
    label: str | None = None
    partner: Any = None
    _made: int = field(default=0, init=False)


@pytest.mark.parametrize("law", LAWS)
def test_good_settings_keep_every_law(law, tmp_path):
    """Settings of every sort that crm.toml knows pass all laws."""
    settings = {"names": ["a", "ü\n"], "stair": [Step(3, 'b"')], "label": "x"}
    getattr(SettingsLaws(), law)(shop_with(Good, tmp_path, settings=settings))


def test_no_attrs_class(tmp_path):
    """A class that is no attrs class is told to become one."""

    class Plain(Plugin):
        name = "plain"

    told = breaks(SettingsLaws().test_settings_are_an_attrs_class, shop_with(Plain, tmp_path))

    assert "Plain is not an attrs class" in told
    assert "@define(eq=False)" in told


def test_no_default(tmp_path):
    """A setting without a default is named, unless the contract gives it a value."""

    @define(eq=False)
    class Needy(Plugin):
        name: ClassVar[str] = "needy"
        days: int

    law = SettingsLaws().test_settings_have_defaults

    assert "setting 'days' has no default" in breaks(law, shop_with(Needy, tmp_path))
    law(shop_with(Needy, tmp_path, settings={"days": 3}))


def test_a_value_that_changes(tmp_path):
    """A setting that does not come back as it was is named."""

    @define(eq=False)
    class Counting(Plugin):
        name: ClassVar[str] = "counting"
        days: int = 30

        def __attrs_post_init__(self):
            self.days += 1

    told = breaks(SettingsLaws().test_settings_round_trip, shop_with(Counting, tmp_path))

    assert "setting 'days' is 31 at first, and 32" in told


def test_a_value_that_toml_cannot_say(tmp_path):
    """A setting that no crm.toml can hold is named."""

    @define(eq=False)
    class Odd(Plugin):
        name: ClassVar[str] = "odd"
        place: dict[int, int] = field(factory=lambda: {1: 2})

    told = breaks(SettingsLaws().test_settings_round_trip, shop_with(Odd, tmp_path))

    assert "setting 'place' holds" in told


def test_a_type_that_is_not_there(tmp_path):
    """A setting whose annotation lets anything pass is named, with what it took."""

    @define(eq=False)
    class Loose(Plugin):
        name: ClassVar[str] = "loose"
        days: Any = 30

    told = breaks(
        SettingsLaws().test_settings_of_another_type_are_refused, shop_with(Loose, tmp_path)
    )

    assert "setting 'days' takes text ('text')" in told


def test_a_crash(tmp_path):
    """A value that ends in another error than a sentence about the setting is named."""

    @define(eq=False)
    class Brittle(Plugin):
        name: ClassVar[str] = "brittle"
        per_day: int = 4

        def __attrs_post_init__(self):
            self.per_day = 24 // self.per_day

    told = breaks(
        SettingsLaws().test_settings_of_another_type_are_refused, shop_with(Brittle, tmp_path)
    )

    assert "setting 'per_day' crashes on zero (0) with ZeroDivisionError" in told


def test_a_refusal_without_a_name(tmp_path):
    """A refusal that does not say which setting it is about is not enough."""

    @define(eq=False)
    class Terse(Plugin):
        name: ClassVar[str] = "terse"
        days: int = 4

        def __attrs_post_init__(self):
            if self.days < 1:
                raise ConfigurationError("wrong")

    told = breaks(
        SettingsLaws().test_settings_of_another_type_are_refused, shop_with(Terse, tmp_path)
    )

    assert "setting 'days' refuses zero (0) without being named" in told


def test_a_shared_list(tmp_path):
    """A list that all objects share is named."""

    @define(eq=False)
    class Sharing(Plugin):
        name: ClassVar[str] = "sharing"
        names: list[str] = []  # noqa: RUF008 - what is to be found

    told = breaks(SettingsLaws().test_objects_share_no_settings, shop_with(Sharing, tmp_path))

    assert "setting 'names' is one list that all objects share" in told


def test_an_undocumented_setting(tmp_path):
    """A setting of which the docstring says nothing is named."""

    @define(eq=False)
    class Silent(Plugin):
        """
        Does nothing.

        Attributes:
            days: How many.

        Source:
            hours: by somebody.
        """

        name: ClassVar[str] = "silent"
        days: int = 4
        hours: int = 3

    told = breaks(SettingsLaws().test_settings_are_documented, shop_with(Silent, tmp_path))

    assert "setting 'hours' is not documented" in told


def test_folder_is_unused(tmp_path):
    """Laws of settings write nothing."""
    SettingsLaws().test_settings_round_trip(shop_with(Good, tmp_path))

    assert [] == list(Path(tmp_path).iterdir())


def test_a_contract_with_a_setting_that_is_not_there():
    """A misspelt setting of a contract is named, with the nearest right one."""
    subject = Subject(cls=Good, settings={"dais": 3})

    with pytest.raises(ConfigurationError, match=r"have 'dais' \(did you mean 'days'\?\)"):
        subject.make()
