"""The plugin under test, and what it says of itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from inspect import signature
from types import ModuleType
from typing import Any

from attrs import field, frozen

from crmcore.channels.recording import Recording
from crmcore.domain.kind import Kind
from crmcore.domain.trait import Trait
from crmcore.errors import ConfigurationError, nearest
from crmcore.hooks import Plugin


@frozen(kw_only=True, slots=False, eq=False)
class Subject:
    """
    The plugin under test.

    Attributes:
        cls: Its class.
        settings: As they stand in crm.toml.
        beside: Returns new objects of the plugins it cannot do without.
        recorded: Kinds of its own that the shop records, rather than the plugin.
        payloads: Examples of payloads by kind, where the kit cannot make them up.
        unreached: Tables, kinds and traits that no history of the kit can reach, and why.
        options: Arguments of `Crm`, such as its gate.
    """

    cls: type[Plugin]
    settings: Mapping[str, Any] = field(factory=dict)
    beside: Callable[[], Sequence[Plugin]] = list
    recorded: Sequence[str] = ()
    payloads: Mapping[str, Sequence[Mapping[str, Any]]] = field(factory=dict)
    unreached: Mapping[str, str] = field(factory=dict)
    options: Mapping[str, Any] = field(factory=dict)

    @property
    def name(self) -> str:
        return self.cls.name

    def make(self) -> Plugin:
        """
        Return a new object with the settings.

        Raises:
            ConfigurationError: If the plugin has no such setting.
        """
        known = list(signature(self.cls).parameters)
        for name in self.settings:
            if name not in known:
                raise ConfigurationError(
                    f"the contract's settings have {name!r}{nearest(name, known)}; "
                    f"{self.cls.__name__} has {', '.join(known) or 'none'}"
                )
        return self.cls(**self.settings)

    def all(self, *others: Plugin) -> list[Plugin]:
        """Return new objects of everything a shop with the plugin needs."""
        return [*self.without(*others), self.make()]

    def without(self, *others: Plugin) -> list[Plugin]:
        """Return what stands beside the plugin: what it requires, and a channel for its mail."""
        beside = [*self.beside(), *others]
        taken = {channel.name for each in [*beside, self.make()] for channel in _channels(each)}
        mail = [] if "email" in taken or self.name == "recording" else [Recording()]
        return [*beside, *mail]

    @cached_property
    def tables(self) -> Sequence[str]:
        """The names of its tables."""
        return [each.table.name for each in self.cls.tables]

    @cached_property
    def derived(self) -> Sequence[str]:
        """The names of those that follow from the ledger."""
        return [each.table.name for each in self.cls.tables if each.derived]

    @cached_property
    def kinds(self) -> Sequence[Kind]:
        """The kinds it registers."""
        return list(self.make().register_kinds() or ())

    @cached_property
    def traits(self) -> Sequence[Trait[Any]]:
        """The traits it registers."""
        return list(self.make().register_traits() or ())

    def implements(self, hook: str) -> bool:
        """Return whether the plugin has a hook of that name."""
        return getattr(self.cls, hook) is not getattr(Plugin, hook)

    @property
    def package(self) -> str:
        """The name of the package, or the module, it is written in."""
        return self.cls.__module__.partition(".")[0]

    def modules(self) -> Iterable[ModuleType]:
        """Yield the modules of its package that are imported."""
        for name, module in sorted(sys.modules.items()):
            if name == self.package or name.startswith(f"{self.package}."):
                yield module


def _channels(plugin: Plugin) -> Iterable[Any]:
    return list(plugin.register_channels() or ())
