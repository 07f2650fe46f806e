"""Revisions: the modules that change tables, and the ledger of those applied to a database."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import decode_source, find_spec
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, Final

from attrs import frozen
from sqlalchemy import bindparam, insert, inspect, select

from crmcore.persistence.catalogue import revision as applied
from crmcore.persistence.connection import Connection

CORE: Final = "crmcore"
MIGRATIONS: Final = "crmcore.persistence.migrations"

_MODULE = re.compile(r"r(\d{4})_[a-z0-9_]+\Z")
_numbers = select(applied.c.revision).where(applied.c.component == bindparam("wanted"))
_checksums = _numbers.add_columns(applied.c.checksum)
_add = insert(applied)


@frozen
class Revision:
    """
    One step from an older shape of a component's tables to a newer one.

    Attributes:
        component: `crmcore`, or the name of a plugin.
        number: Its place in the order; revisions count from 1.
        module: The full name of the module that holds it.
    """

    component: str
    number: int
    module: str

    @property
    def checksum(self) -> str:
        """A hash of the module's source, whatever its line ends; empty if there is no source."""
        spec = _spec_of(self.module)
        if spec.origin is None or not spec.origin.endswith(".py"):
            return ""
        # Not all loaders have get_source: that of pytest, which loads what brings a plugin of its.
        loader: Any = spec.loader
        source = decode_source(loader.get_data(spec.origin))
        return hashlib.sha256(source.encode()).hexdigest()

    @property
    def title(self) -> str:
        """The first line of the module's docstring."""
        return (self.load().__doc__ or self.module).strip().splitlines()[0]

    def load(self) -> ModuleType:
        """Import the module."""
        return import_module(self.module)


def find_revisions(component: str, package: str) -> Sequence[Revision]:
    """
    Return the revisions in *package*, in their order; their modules are not imported.

    Raises:
        ValueError: If the package is not there, or a number is missing or there twice.
    """
    try:
        spec = find_spec(package)
    except ImportError as error:
        raise ValueError(f"the package {package!r} cannot be imported: {error}") from error
    if spec is None or spec.submodule_search_locations is None:
        raise ValueError(f"there is no package {package!r}")
    found = []
    for info in iter_modules(spec.submodule_search_locations):
        named = _MODULE.match(info.name)
        if named:
            found.append(Revision(component, int(named[1]), f"{package}.{info.name}"))
    found.sort(key=lambda each: each.number)
    for number, each in enumerate(found, start=1):
        if each.number != number:
            name = each.module.rpartition(".")[2]
            raise ValueError(
                f"{package!r} has {name} where a module r{number:04}_<what>.py is expected"
            )
    return found


def applied_revisions(connection: Connection, component: str) -> set[int]:
    """Return the numbers of a component's revisions that the database has."""
    return {number for (number,) in connection.execute(_numbers, wanted=component)}


def applied_checksums(connection: Connection, component: str) -> dict[int, str]:
    """Return the checksums that a component's revisions had when they were applied, by number."""
    return dict(connection.execute(_checksums, wanted=component))


def note_applied(connection: Connection, revisions: Collection[Revision], now: int) -> None:
    """Note in the ledger that the database has these revisions."""
    rows = [(each.component, each.number, each.checksum, now) for each in revisions]
    connection.insert_rows(_add, rows)


def has_ledger(connection: Connection) -> bool:
    """Return whether the database has a ledger of revisions: an empty one has not."""
    return applied.name in inspect(connection.sqlalchemy).get_table_names()


def _spec_of(module: str) -> ModuleSpec:
    spec = find_spec(module)
    if spec is None:
        raise ModuleNotFoundError(f"there is no module {module!r}")
    return spec
