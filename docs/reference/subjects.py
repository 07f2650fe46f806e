"""What there is to document: hooks, events, settings, the public names, the command line."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, Final, get_args, get_type_hints

import attrs
import click

import crmcore
from crmcore import hooks
from crmcore.cli.root import crm
from crmcore.configuration import ShopSettings, installed_plugins, load_plugin
from crmcore.domain.gate import Cap, GateSettings, Holdout
from crmcore.domain.identity import IdentitySettings
from crmcore.domain.quiet import QuietHours
from crmcore.domain.relationship import RelationshipSettings
from crmcore.domain.retention import RetentionSettings
from crmcore.domain.role import Grant, Role, Staff
from crmcore.hooks import Plugin

Hook = Callable[..., Any]

CORE_SETTINGS: Final[Mapping[str, type]] = {
    "[crm]": ShopSettings,
    "[gate]": GateSettings,
    "[[gate.caps]]": Cap,
    "[[gate.quiet]]": QuietHours,
    "[[gate.holdouts]]": Holdout,
    "[identity]": IdentitySettings,
    "[relationship]": RelationshipSettings,
    "[retention]": RetentionSettings,
    "[roles.<name>]": Role,
    "[[roles.<name>.grants]]": Grant,
    "[staff.<name>]": Staff,
}
"""The tables of crm.toml that the core reads, with the class of each."""


def hooks_of(spec: type) -> dict[str, Hook]:
    """Return the hooks of one theme, in their order."""
    return {name: hook for name, hook in vars(spec).items() if hasattr(hook, "crmcore_spec")}


def all_hooks() -> dict[str, Hook]:
    """Return all hooks by name, theme by theme."""
    return {name: hook for spec in hooks.SPECS for name, hook in hooks_of(spec).items()}


def event_of(hook: Hook) -> type | None:
    """Return the class of a hook's event; None for hooks that are given nothing."""
    return _hints(hook).get("event")


def parts_of(hook: Hook) -> list[type]:
    """Return the hook's event, and the classes of the contract that it or the answer is made of."""
    hints = _hints(hook)
    found: dict[type, None] = {}
    open_ = [hints.get("event"), hints.get("return")]
    while open_:
        for each in _classes_in(open_.pop(0)):
            if each not in found and attrs.has(each) and each.__module__.startswith(hooks.__name__):
                found[each] = None
                open_ += [_type_of(each, field) for field in fields_of(each)]
    return list(found)


def contract_values() -> dict[str, type]:
    """Return the classes of values that core and plugins hand each other, by name."""
    return {
        name: thing
        for name in hooks.__all__
        if name != "Plugin" and attrs.has(thing := getattr(hooks, name))
    }


def fields_of(cls: type) -> list[attrs.Attribute[Any]]:
    """Return the fields of a class that its users see."""
    return [each for each in attrs.fields(cls) if not each.name.startswith("_")]


def plugins() -> dict[str, type[Plugin]]:
    """Return the plugins that are installed, by name."""
    return {name: load_plugin(name) for name in installed_plugins()}


def settings_classes() -> dict[str, type]:
    """Return the class of every table of crm.toml, by the table's heading."""
    return {**CORE_SETTINGS, **{f"[plugins.{name}]": cls for name, cls in plugins().items()}}


def public_names() -> dict[str, Any]:
    """Return all that `crmcore` promises, by name."""
    return {name: getattr(crmcore, name) for name in crmcore.__all__}


def modules_of(name: str) -> list[ModuleType]:
    """Return the module that a public name is imported from, and those it may come from itself."""
    home = crmcore._HOME_OF[name]
    import_module(home)
    return [
        module
        for path, module in sorted(sys.modules.items())
        if path == home or path.startswith(f"{home}.")
    ]


def members_of(cls: type) -> dict[str, tuple[type, Any]]:
    """Return a class's public methods and properties by name, each with the class that has it."""
    found: dict[str, tuple[type, Any]] = {}
    for owner in cls.__mro__:
        is_foreign = owner.__module__.partition(".")[0] in {"builtins", *sys.stdlib_module_names}
        if is_foreign or owner in (Plugin, *hooks.SPECS):
            continue
        for name, member in vars(owner).items():
            if name.startswith("_") or name in found:
                continue
            if isinstance(member, property | classmethod | staticmethod) or inspect.isfunction(
                member
            ):
                found[name] = owner, member
    return found


def function_of(member: Any) -> Callable[..., Any]:
    """Return the function of a method or property."""
    found: Any = member.fget if isinstance(member, property) else member
    function: Callable[..., Any] = inspect.unwrap(getattr(found, "__func__", found))
    return function


def commands(
    command: click.Command = crm, words: tuple[str, ...] = ("crm",)
) -> Iterator[tuple[str, click.Command]]:
    """Yield every command of the core and of installed plugins, with the words that call it."""
    yield " ".join(words), command
    if isinstance(command, click.Group):
        with click.Context(command, info_name=words[-1]) as context:
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None, name
                yield from commands(found, (*words, name))


def options_of(command: click.Command) -> list[click.Option]:
    """Return the options of a command that a reader is told of; `--help` is everywhere."""
    return [each for each in command.params if isinstance(each, click.Option) and not each.hidden]


def _hints(hook: Hook) -> dict[str, Any]:
    # The context is imported by type checkers only, as it needs the events itself.
    return get_type_hints(hook, localns={"Context": crmcore.Context})


def _type_of(cls: type, field: attrs.Attribute[Any]) -> Any:
    names = {**vars(sys.modules[cls.__module__]), "Context": crmcore.Context}
    # The modules of the contract keep annotations as texts.
    return eval(str(field.type), names)


def _classes_in(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type) and not get_args(annotation):
        yield annotation
    for each in get_args(annotation):
        yield from _classes_in(each)
