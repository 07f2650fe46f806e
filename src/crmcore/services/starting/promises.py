"""Promises: who implements a hook that goes away is warned, and told once it is gone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from crmcore.errors import PluginError
from crmcore.hooks import Plugin
from crmcore.hooks.markers import Promise, promise_of


def present_version() -> str:
    """Return the numbers of crmcore's version, without what marks one that is not released."""
    numbers: list[str] = []
    for part in version("crmcore").split("."):
        if not part.isdecimal():
            break
        numbers.append(part)
    return ".".join(numbers)


def check_promise(plugin: Plugin, spec: Callable[..., Any]) -> None:
    """
    Warn of a deprecated hook that a plugin implements.

    Raises:
        PluginError: If the hook is not there any more; says what replaced it.
    """
    promise, name = promise_of(spec), spec.__name__
    if promise.deprecated_in is None:
        return
    present = present_version()
    if promise.is_removed(present):
        raise PluginError(
            plugin.name,
            f"implements {name}, which crmcore {promise.removed_in} has removed; use "
            f"{promise.use} instead",
        )
    if promise.is_deprecated(present):
        warnings.warn(warning_of(plugin.name, name, promise), DeprecationWarning, stacklevel=2)


def warning_of(plugin: str, hook: str, promise: Promise) -> str:
    """Return what whoever runs a plugin is told of a hook that goes away."""
    goes = f"goes in {promise.removed_in}" if promise.removed_in else "will go"
    return (
        f"plugin {plugin!r} implements {hook}, which is deprecated since crmcore "
        f"{promise.deprecated_in} and {goes}; use {promise.use} instead"
    )
