"""Importing: what a plugin imports while its hooks run, by names that no reader of it sees."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final

_BOOTSTRAP: Final[Any] = import_module("importlib._bootstrap")
_MACHINERY: Final = ("importlib", "crmcore.testing.importing")


@contextmanager
def imports_told(tell: Callable[[str], None], package: str) -> Iterator[None]:
    """Tell the full names of modules that code of *package* asks for."""
    gcd_import, plain_import = _BOOTSTRAP._gcd_import, builtins.__import__

    def told(name: str, *rest: Any) -> Any:
        if _asks(package):
            tell(_BOOTSTRAP._resolve_name(name, *rest) if rest and rest[-1] else name)
        return gcd_import(name, *rest)

    def plainly(name: str, *rest: Any, **named: Any) -> Any:
        level = named.get("level", rest[3] if len(rest) > 3 else 0)
        if not level and _asks(package):
            tell(name)
        return plain_import(name, *rest, **named)

    # `importlib.import_module` looks it up at each call, by whatever name it is known.
    _BOOTSTRAP._gcd_import = told
    builtins.__import__ = plainly
    try:
        yield
    finally:
        _BOOTSTRAP._gcd_import = gcd_import
        builtins.__import__ = plain_import


def _asks(package: str) -> bool:
    """Return whether it is code of the package that imports, and not what it calls."""
    frame = sys._getframe(2)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith(_MACHINERY):
        frame = frame.f_back
    name = str(frame.f_globals.get("__name__"))
    return name == package or name.startswith(f"{package}.")
