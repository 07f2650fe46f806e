"""What every law is given: the plugin, and shops to try it in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from crmcore.hooks import Plugin
from crmcore.testing.databases import KINDS, lacking
from crmcore.testing.shop import Shop
from crmcore.testing.subject import Subject


class Laws:
    """
    The plugin under test, and how the kit comes to know what it reacts to.

    Attributes:
        plugin: The class of the plugin.
        settings: Its settings, as they stand in crm.toml; by default none.
        beside: Plugins it cannot do without: classes, or functions that return a new object.
        recorded: Kinds of its own that the shop records, rather than the plugin.
        payloads: Examples of payloads by kind, where types alone do not tell what fits.
        unreached: Tables, kinds and traits that no history of the kit can reach, each with the
            reason; a law fails where there are others.
        held: Attributes of the plugin's object and modules, folders it writes to, tables that are
            not exported, and tables whose policy is `Keep`, that may hold something of customers,
            each with the reason, such as that somebody else empties the folder, or that a law
            wants names on invoices.
        options: Arguments of `Crm` for all shops, such as `{"gate": GateSettings(...)}`.
        examples: How many histories each law is tried on; a quarter of them on PostgreSQL.
        shrinks: Whether a history that breaks a law is made as short as can be.
        databases: The kinds of databases to run on.
    """

    plugin: ClassVar[type[Plugin]]
    settings: ClassVar[Mapping[str, Any]] = {}
    beside: ClassVar[Sequence[Any]] = ()
    recorded: ClassVar[Sequence[str]] = ()
    payloads: ClassVar[Mapping[str, Sequence[Mapping[str, Any]]]] = {}
    unreached: ClassVar[Mapping[str, str]] = {}
    held: ClassVar[Mapping[str, str]] = {}
    options: ClassVar[Mapping[str, Any]] = {}
    examples: ClassVar[int] = 12
    shrinks: ClassVar[bool] = True
    databases: ClassVar[Sequence[str]] = KINDS

    @classmethod
    def subject(cls) -> Subject:
        """Return the plugin under test."""
        return Subject(
            cls=cls.plugin,
            settings=cls.settings,
            beside=lambda: [make() for make in cls.beside],
            recorded=cls.recorded,
            payloads=cls.payloads,
            unreached=cls.unreached,
            options=cls.options,
        )

    @pytest.fixture(params=KINDS)
    def shop(self, request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
        """Shops with the plugin, on each kind of database."""
        kind = request.param
        if kind not in self.databases:
            pytest.skip(f"{kind} is not among the contract's databases")
        missing = lacking(kind)
        if missing is not None:
            pytest.skip(missing)
        return self._shop(kind, tmp_path)

    @pytest.fixture
    def any_shop(self, tmp_path: Path) -> Shop:
        """Shops with the plugin on SQLite, for laws that no database has a part in."""
        return self._shop("sqlite", tmp_path)

    def _shop(self, kind: str, folder: Path) -> Shop:
        return Shop(self.subject(), kind, folder, examples=self.examples, shrinks=self.shrinks)
