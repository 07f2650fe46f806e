"""Sources: the modules that a plugin is written in, found without importing them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from attrs import field, frozen

from crmcore.configuration import GROUP


@frozen(eq=False)
class Source:
    """
    A module as it is written.

    Attributes:
        module: Its full name.
        path: Where it stands.
        tree: What it says.
        imports: The full names that its own names stand for, such as `now` for `time.time`.
    """

    module: str
    path: Path
    tree: ast.Module
    imports: Mapping[str, str] = field(factory=dict)

    @classmethod
    def read(cls, module: str, path: Path) -> Source:
        """Read a module."""
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        named = {}
        for node in ast.walk(tree):
            for name, full in imported(node, package):
                named[name] = full
        return cls(module, path, tree, named)

    @property
    def package(self) -> str:
        """The package it stands in; itself, if it is one."""
        return self.module if self.path.name == "__init__.py" else self.module.rpartition(".")[0]

    def where(self, node: ast.AST) -> str:
        """Return the file and line of something, as an editor opens it."""
        return f"{self.path.name}:{getattr(node, 'lineno', 1)}"

    def full_name(self, node: ast.AST) -> str:
        """Return a dotted name with what is imported written out; nothing if it is no name."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        parts.append(self.imports.get(node.id, node.id))
        return ".".join(reversed(parts))


def imported(node: ast.AST, package: str) -> Iterator[tuple[str, str]]:
    """Yield what an import statement makes known: the name here, and the full name."""
    if isinstance(node, ast.Import):
        for each in node.names:
            if each.asname:
                yield each.asname, each.name
            else:
                yield each.name.partition(".")[0], each.name.partition(".")[0]
    elif isinstance(node, ast.ImportFrom):
        home = absolute(node, package)
        for each in node.names:
            yield each.asname or each.name, f"{home}.{each.name}"


def absolute(node: ast.ImportFrom, package: str) -> str:
    """Return the full name of the module that an import is from, be it relative."""
    if not node.level:
        return node.module or ""
    parents = package.split(".")
    home = parents[: len(parents) - node.level + 1]
    return ".".join([*home, *([node.module] if node.module else [])])


@cache
def sources_of(module: str, package: str) -> tuple[Source, ...]:
    """
    Return all modules of a plugin's package, or its *module* and those it imports beside it.

    A package is the plugin's own if it is named `crmcore_...` or an entry point of plugins leads
    into it; else the plugin is one of several things in a package, such as one of tests.
    """
    if package != "crmcore" and (package.startswith("crmcore_") or package in _with_plugins()):
        return tuple(_all_of(package))
    return tuple(_beside(module))


def _with_plugins() -> set[str]:
    return {point.module.partition(".")[0] for point in entry_points(group=GROUP)}


def _all_of(package: str) -> Iterator[Source]:
    spec = _found(package)
    if spec is None or spec.submodule_search_locations is None:
        yield from _beside(package)
        return
    for place in spec.submodule_search_locations:
        for path in sorted(Path(place).rglob("*.py")):
            parts = [package, *path.relative_to(place).with_suffix("").parts]
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            yield Source.read(name, path)


def _beside(module: str) -> Iterator[Source]:
    """Yield a module, and those of the same folder that it needs."""
    folder = module.rpartition(".")[0]
    waiting, seen = [module], set()
    while waiting:
        name = waiting.pop()
        path = _path_of(name)
        if name in seen or path is None:
            continue
        seen.add(name)
        source = Source.read(name, path)
        yield source
        if folder:
            for full in source.imports.values():
                for candidate in (full, full.rpartition(".")[0]):
                    if candidate.startswith(f"{folder}."):
                        waiting.append(candidate)


def _path_of(module: str) -> Path | None:
    there = sys.modules.get(module)
    name = getattr(there, "__file__", None)
    if name is None:
        spec = _found(module)
        name = spec.origin if spec is not None and spec.has_location else None
    return Path(name) if name is not None and name.endswith(".py") else None


def _found(module: str) -> ModuleSpec | None:
    try:
        return find_spec(module)
    except (ImportError, ValueError):
        return None
