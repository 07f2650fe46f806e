"""Settings of plugins and of the core, as crm.toml writes and documents them."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final

import attrs
from attrs import frozen

_WIDTH: Final = 92
_ATTRIBUTE: Final = re.compile(r"(\w+): (.+)")


@frozen(kw_only=True)
class Setting:
    """
    One setting of a class.

    Attributes:
        type: As the class writes it.
        default: As TOML writes it; None if there is none that it can write.
        is_needed: Whether it has no default at all.
        help: What the class's docstring says of it.
    """

    name: str
    type: str
    default: str | None
    is_needed: bool
    help: str


def settings_of(cls: type[Any]) -> list[Setting]:
    """Return the settings of an attrs class, in its order."""
    helps = attribute_helps(cls)
    found = []
    for each in attrs.fields(cls):
        if not each.init:
            continue
        default: Any = each.default
        # attrs makes what looks like a class a function, so it can only be told by its parts.
        if hasattr(default, "factory"):
            default = None if default.takes_self else default.factory()
        needed = default is attrs.NOTHING
        found.append(
            Setting(
                name=each.alias or each.name,
                type=type_name(each.type),
                default=None if needed else toml_value(default),
                is_needed=needed,
                help=helps.get(each.name, ""),
            )
        )
    return found


def summary_of(cls: type[Any]) -> str:
    """Return the first sentence of a class's docstring."""
    return (inspect.getdoc(cls) or "").strip().partition("\n\n")[0].replace("\n", " ")


def description_of(cls: type[Any]) -> str:
    """Return what a class's docstring says before its first section, in one paragraph."""
    text, _, _ = (inspect.getdoc(cls) or "").partition("Attributes:\n")
    return " ".join(text.split())


def attribute_helps(cls: type[Any]) -> dict[str, str]:
    """Return what the section `Attributes:` of a class's docstring says, by name."""
    _, _, section = (inspect.getdoc(cls) or "").partition("Attributes:\n")
    helps: dict[str, str] = {}
    name = None
    for line in section.splitlines():
        indent = len(line) - len(line.lstrip())
        if line.strip() and indent == 0:
            break
        begun = _ATTRIBUTE.match(line.strip()) if indent == 4 else None
        if begun:
            name, helps[begun[1]] = begun[1], begun[2]
        elif name is not None and line.strip():
            helps[name] += " " + line.strip()
    return helps


def type_name(annotation: Any) -> str:
    """Return a type as a reader of a settings file understands it."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    if not text or text in ("Literal", "Optional", "Union"):
        text = str(annotation)
    text = text.replace("typing.", "")
    choices = re.fullmatch(r"Literal\[(.*)\]", text)
    if choices:
        return " or ".join(choices[1].replace("'", '"').split(", "))
    known = {"int": "a whole number", "str": "text", "bool": "true or false", "float": "a number"}
    return known.get(text, text)


def toml_value(value: Any) -> str | None:
    """Return *value* as TOML writes it; None if TOML has no form for it."""
    match value:
        case bool():
            return "true" if value else "false"
        case Enum():
            return toml_value(value.value)
        case int() | float():
            return str(value)
        case str():
            # TOML's basic strings escape as JSON's do.
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case list() | tuple():
            items = [toml_value(item) for item in value]
            return None if None in items else "[" + ", ".join(filter(None, items)) + "]"
        case dict():
            pairs = {key: toml_value(item) for key, item in value.items()}
            if None in pairs.values():
                return None
            return "{" + ", ".join(f"{toml_value(key)} = {pairs[key]}" for key in pairs) + "}"
    return None


def toml_table(name: str, cls: type[Any], given: Mapping[str, str]) -> Iterator[str]:
    """
    Yield the lines of a table with every setting of a class, its defaults as comments.

    What is *given* is written as a value.
    """
    yield f"[{name}]"
    for setting in settings_of(cls):
        yield from comment(setting.help)
        if setting.name in given:
            yield f"{setting.name} = {given[setting.name]}"
        elif setting.is_needed:
            yield f"# {setting.name} =   # needed: {setting.type}"
        elif setting.default is not None:
            yield f"# {setting.name} = {setting.default}"
        else:  # it is not set, which TOML has no word for
            yield f"# {setting.name} ="
    yield ""


def comment(text: str) -> list[str]:
    """Return *text* as the lines of a comment."""
    return textwrap.wrap(
        text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )
