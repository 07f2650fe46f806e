"""Snapshot: what a copy of a database's tables says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

from attrs import field, frozen

FORMAT: Final = 1
"""Of the manifest; a higher one is from a newer crmcore."""


def file_of(table: str) -> str:
    """Return the name of a table's file."""
    return f"{table}.parquet"


@frozen(kw_only=True)
class SnapshotTable:
    """
    A table as a snapshot has it.

    Attributes:
        name: As in the database; its file is called so, too.
        plugin: Whose it is; None: the core's.
        rows: How many there are.
        columns: Those that are there, in order.
        left_out: Those that are not, as they may hold personal values.
    """

    name: str = field(kw_only=False)
    plugin: str | None = None
    rows: int
    columns: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """The name of its file."""
        return file_of(self.name)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "name": self.name,
            "plugin": self.plugin,
            "rows": self.rows,
            "columns": list(self.columns),
            "left_out": list(self.left_out),
        }


@frozen(kw_only=True)
class PluginNoted:
    """
    A plugin that was switched on when a snapshot was taken.

    Attributes:
        derives: The version of what it derives, as `Plugin.version`.
        revision: The last revision applied to what it owns; 0: none.
        distribution: The package that brought it, with its version, such as
            `crmcore-tiering 0.1.0`; None: the shop's own.
    """

    derives: str
    revision: int = 0
    distribution: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "derives": self.derives,
            "revision": self.revision,
            "distribution": self.distribution,
        }


@frozen(kw_only=True)
class SnapshotManifest:
    """
    What a snapshot says of itself, in its manifest.json.

    Attributes:
        taken_at: The instant whose state it has, in microseconds.
        crmcore: The version that took it.
        revision: Of the core's tables.
        currency: The shop's own, which base amounts are in.
        with_personal: Whether columns that may hold personal values are there, too.
        plugins: Those that were switched on, by name.
        tables: All tables, by name.
    """

    taken_at: int
    crmcore: str
    revision: int
    currency: str
    with_personal: bool
    plugins: Mapping[str, PluginNoted]
    tables: Mapping[str, SnapshotTable]

    @property
    def rows(self) -> int:
        """How many rows all tables have."""
        return sum(each.rows for each in self.tables.values())

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "format": FORMAT,
            "taken_at": self.taken_at,
            "crmcore": self.crmcore,
            "revision": self.revision,
            "currency": self.currency,
            "with_personal": self.with_personal,
            "plugins": {name: each.as_json() for name, each in self.plugins.items()},
            "tables": [each.as_json() for each in self.tables.values()],
        }

    @classmethod
    def from_json(cls, told: Any) -> Self:
        """
        Return what `as_json` told.

        Raises:
            ValueError, KeyError, TypeError: If it is nothing of the kind.
        """
        if told["format"] != FORMAT:
            raise ValueError(f"its format is {told['format']!r}, and {FORMAT} is expected")
        tables = [
            SnapshotTable(
                each["name"],
                plugin=each["plugin"],
                rows=each["rows"],
                columns=tuple(each["columns"]),
                left_out=tuple(each["left_out"]),
            )
            for each in told["tables"]
        ]
        return cls(
            taken_at=told["taken_at"],
            crmcore=told["crmcore"],
            revision=told["revision"],
            currency=told["currency"],
            with_personal=told["with_personal"],
            plugins={name: PluginNoted(**each) for name, each in told["plugins"].items()},
            tables={each.name: each for each in tables},
        )
