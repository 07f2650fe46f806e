"""Nothing that somebody else builds on goes without its documentation."""

from inspect import signature
from typing import Any, Protocol

import attrs
import click
import pytest
from attrs import field, frozen

import crmcore
from crmcore import Context
from docs.reference import undocumented
from docs.reference.subjects import (
    all_hooks,
    commands,
    contract_values,
    event_of,
    modules_of,
    parts_of,
    public_names,
    settings_classes,
)

COMMANDS = dict(commands())
VALUES = {
    **contract_values(),
    **{
        name: thing
        for name, thing in public_names().items()
        if isinstance(thing, type) and attrs.has(thing)
    },
}


@pytest.mark.parametrize("name", all_hooks())
def test_hook(name):
    """A hook says when it is called, and what happens if the plugin raises."""
    assert [] == [*undocumented.of_hook(all_hooks()[name])]


@pytest.mark.parametrize("name", VALUES)
def test_value(name):
    """Every field of an event, an answer and any other public value is described."""
    assert [] == [*undocumented.of_values(VALUES[name])]


def test_events_are_all_seen():
    """Whatever a hook is given, or answers with, is among what is looked at."""
    hooks = all_hooks()
    parts = {part.__name__ for hook in hooks.values() for part in parts_of(hook)}
    given = {name for name, hook in hooks.items() if "event" in signature(hook).parameters}

    assert {"InteractionsRecorded", "MessageClaimed", "StageChanged", "Hold"} <= parts
    assert parts <= set(contract_values())
    assert given == {name for name, hook in hooks.items() if event_of(hook) is not None}


@pytest.mark.parametrize("heading", settings_classes())
def test_setting(heading):
    """Every setting of the core and of the plugins that are installed is described."""
    assert [] == [*undocumented.of_values(settings_classes()[heading])]


@pytest.mark.parametrize(
    "name", [name for name, thing in public_names().items() if isinstance(thing, type)]
)
def test_methods(name):
    """Every public method has a docstring, and where it lists arguments it lists them all."""
    cls = public_names()[name]

    assert [] == [*undocumented.of_members(cls), *undocumented.of_arguments(cls.__init__)]


@pytest.mark.parametrize("words", COMMANDS)
def test_command(words):
    """Every command has help, and so has each of its options."""
    assert [] == [*undocumented.of_command(words, COMMANDS[words])]


@pytest.mark.parametrize("name", crmcore.__all__)
def test_public_name(name):
    """Something is said of every public name."""
    assert [] == [*undocumented.of_name(name, public_names()[name], modules_of(name))]


# -- the checks themselves, on a contract that somebody wrote in a hurry ---------------------


@frozen
class BasketLeft:
    """
    A basket was left behind.

    Attributes:
        basket: Whose number it is.
        value_minor: What was in it, which nobody kept.
    """

    basket: str
    left_at: int
    _load: Any = field(default=None)


@frozen
class Nameless:
    size: int = 0
    colour: str = "red"
    """What it looks like."""


class HastyHooks:
    def on_baskets_left(self, ctx: Context, event: BasketLeft) -> None: ...

    def choose_greeting(self, ctx: Context, event: BasketLeft) -> str | None:
        """Say hello."""

    def guard_basket(self, ctx: Context, event: BasketLeft) -> None:
        """Called when a basket is left; if the plugin raises, it is kept."""


class Till(Protocol):
    """Where baskets are paid."""

    @property
    def is_open(self) -> bool: ...

    def pay(self, basket: str, tip: int, *, actor: str) -> None:
        """
        Pay a basket, and give a *tip*.

        Args:
            basket: Its number.
            voucher: What takes something off.
        """

    def shut(self, reason: str) -> None:
        """Close it."""


@click.command
@click.option("--most", type=int)
@click.option("--least", type=int, help="At least.")
@click.option("--secret", hidden=True)
def hasty() -> None: ...


def test_hooks_without_docs_are_found():
    """A hook is told of for what its docstring lacks, and only for that."""
    found = [
        [*undocumented.of_hook(hook)]
        for name, hook in vars(HastyHooks).items()
        if not name.startswith("_")
    ]

    assert [
        ["HastyHooks.on_baskets_left has no docstring"],
        [
            "HastyHooks.choose_greeting does not say when it is called",
            "HastyHooks.choose_greeting does not say what happens if the plugin raises",
        ],
        [],
    ] == found


def test_fields_without_docs_are_found():
    """A field nobody described is named, and so is one that is described and not there."""
    assert [
        "BasketLeft.left_at is not described",
        "BasketLeft describes value_minor, which it does not have",
    ] == [*undocumented.of_values(BasketLeft)]
    assert ["Nameless has no docstring", "Nameless.size is not described"] == [
        *undocumented.of_values(Nameless)
    ]


def test_methods_without_docs_are_found():
    """A method without a docstring is named, and arguments that its list leaves out or invents."""
    assert [
        "Till.is_open has no docstring",
        "Till.pay does not say what actor is",
        "Till.pay describes voucher, which it does not take",
    ] == [*undocumented.of_members(Till)]


def test_options_without_help_are_found():
    """A command and an option without help are named; what is hidden needs none."""
    assert ["crm hasty has no help", "crm hasty --most has no help"] == [
        *undocumented.of_command("crm hasty", hasty)
    ]


def test_names_without_docs_are_found():
    """A class lent its base's words, a function and a constant are named if nothing is said."""

    class Sundays(dict[str, int]):
        pass

    def closed():
        pass

    names = {"Sundays": Sundays, "closed": closed, "CLOSED": 7, "BasketLeft": BasketLeft}

    assert [
        "Sundays is public, and nothing is said of it",
        "closed is public, and nothing is said of it",
        "CLOSED is public, and nothing is said of it",
    ] == [each for name, thing in names.items() for each in undocumented.of_name(name, thing, [])]
