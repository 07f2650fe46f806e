"""Memory: what a plugin's object and its modules hold, which is to be nothing of customers."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from crmcore.hooks import Plugin
from crmcore.testing.canaries import within

_DEEPEST: Final = 6
_MOST: Final = 50_000
_CHANGING: Final = (dict, list, set, deque, bytearray)


def roots_of(plugin: Plugin) -> dict[str, Any]:
    """Return by name the plugin's object, and what its modules hold of their own."""
    home = type(plugin).__module__
    above = home.rpartition(".")[0] or home
    modules = {
        name: module
        for name, module in sys.modules.items()
        if name == home or name.startswith(f"{above}.")
    }
    roots: dict[str, Any] = {object_name(plugin): plugin}
    for name, module in modules.items():
        for attribute, value in vars(module).items():
            told = getattr(value, "__module__", None)
            if not attribute.startswith("__") and (told is None or told in modules):
                roots[f"{name}.{attribute}"] = value
    return roots


def object_name(plugin: Plugin) -> str:
    """Return what the plugin's object is called in messages."""
    return f"{type(plugin).__name__}'s object"


def contents_of(plugin: Plugin) -> Mapping[str, object]:
    """Return by name what can change in memory: numbers and words in it, and its sizes."""
    waiting: deque[tuple[str, Any, int]] = deque((n, v, 0) for n, v in roots_of(plugin).items())
    seen: set[int] = set()
    found: dict[str, list[object]] = {}
    while waiting and len(seen) < _MOST:
        name, each, depth = waiting.popleft()
        if isinstance(each, str | bytes | int | float | None):
            found.setdefault(name, []).append(each)
            continue
        if id(each) in seen or (callable(each) and not isinstance(each, type)):
            continue
        seen.add(id(each))
        if isinstance(each, _CHANGING):
            found.setdefault(name, []).append(len(each))
        if depth < _DEEPEST:
            waiting.extend((inner, value, depth + 1) for inner, value in within(name, each))
    return {name: sorted(map(repr, values)) for name, values in found.items()}
