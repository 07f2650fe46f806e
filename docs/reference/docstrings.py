"""Docstrings: what they say, in parts, and what the source says below a name."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from types import ModuleType
from typing import Any, Final

from attrs import field, frozen

NAMED: Final = ("Args", "Attributes", "Raises")
"""Sections of names, each with what is said of it."""

_SECTION: Final = re.compile(r"(Args|Attributes|Raises|Returns|Yields|Source):$")
_NAMES: Final = re.compile(r"(\*{0,2}\w+(?:, \*{0,2}\w+)*): (.*)")


@frozen(kw_only=True)
class Docstring:
    """
    What a docstring says.

    Attributes:
        text: All that is in no section, as it stands.
        named: By section, and by name: what is said of arguments, attributes and errors.
        other: By section: the text of `Returns`, `Yields` and `Source`.
    """

    text: str
    named: Mapping[str, Mapping[str, str]] = field(factory=dict)
    other: Mapping[str, str] = field(factory=dict)

    @classmethod
    def of(cls, thing: Any) -> Docstring:
        """Return what is said of a class, a function or a hook; empty where nothing is."""
        return cls.parsed(own_docstring(thing))

    @classmethod
    def parsed(cls, text: str) -> Docstring:
        """Take the text of a docstring apart."""
        body: list[str] = []
        sections: dict[str, list[str]] = {}
        into = body
        for line in inspect.cleandoc(text).splitlines():
            begun = _SECTION.fullmatch(line)
            if begun:
                into = sections.setdefault(begun[1], [])
                continue
            if line and not line.startswith(" "):
                into = body
            into.append(line)
        return cls(
            text="\n".join(body).strip(),
            named={name: _by_name(sections[name]) for name in NAMED if name in sections},
            other={
                name: textwrap.dedent("\n".join(lines)).strip()
                for name, lines in sections.items()
                if name not in NAMED
            },
        )

    @property
    def summary(self) -> str:
        """The first paragraph, on one line."""
        return " ".join(self.text.partition("\n\n")[0].split())

    def says(self, section: str, name: str) -> str:
        """Return what a section says of a name; nothing if it does not mention it."""
        return self.named.get(section, {}).get(name, "")


def own_docstring(thing: Any) -> str:
    """Return the docstring that stands at *thing* itself, not at a base class or its type."""
    found = thing.fget.__doc__ if isinstance(thing, property) else getattr(thing, "__doc__", None)
    if found is None or (not isinstance(thing, type) and found == type(thing).__doc__):
        return ""
    return inspect.cleandoc(str(found))


def below(owner: type | ModuleType) -> Mapping[str, str]:
    """Return the texts that stand below the names of a class or module, by name."""
    try:
        source = textwrap.dedent(inspect.getsource(owner))
    except (OSError, TypeError):
        return {}
    return _below(source, isinstance(owner, type))


@cache
def _below(source: str, is_class: bool) -> Mapping[str, str]:
    tree = ast.parse(source)
    body = tree.body[0].body if is_class and isinstance(tree.body[0], ast.ClassDef) else tree.body
    return dict(_texts(body))


def _texts(body: Sequence[ast.stmt]) -> Iterator[tuple[str, str]]:
    for statement, after in pairwise(body):
        if not (
            isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            continue
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        for target in targets:
            if isinstance(target, ast.Name):
                yield target.id, inspect.cleandoc(after.value.value)


def _by_name(lines: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    names: list[str] = []
    for line in lines:
        begun = _NAMES.match(line.strip()) if len(line) - len(line.lstrip()) == 4 else None
        if begun:
            names = [name.lstrip("*") for name in begun[1].split(", ")]
            found.update(dict.fromkeys(names, begun[2]))
        elif line.strip():
            for name in names:
                found[name] += " " + line.strip()
    return found
