"""Assembly: plugins checked, put in order, and their hooks compiled into tuples of functions."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import pluggy
from attrs import frozen
from sqlalchemy import Table

from crmcore.domain.identity import SCHEMES, IdentitySettings, Scheme, SchemeRegistry
from crmcore.domain.kind import Kind, KindRegistry
from crmcore.domain.kinds import CORE_KINDS
from crmcore.domain.lifecycle import Lifecycle
from crmcore.domain.message import Channel
from crmcore.domain.shadow import SHADOW_KINDS
from crmcore.domain.trait import Trait
from crmcore.errors import ConfigurationError, PluginError, nearest
from crmcore.hooks import SPECS, NamedSegment, Plugin, PluginTable, Report
from crmcore.persistence.tables import metadata
from crmcore.services.privacy.personal_rows import PersonalTable
from crmcore.services.starting.promises import check_promise

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
N = TypeVar("N", Lifecycle, Trait[Any], Report, Scheme, Channel, NamedSegment)

_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
RESERVED = frozenset(
    {"shop", "core", "crm", "crmcore", "relationship", "database", "consent", "lifecycles"}
)


@frozen
class Compiled(Generic[P, R]):
    """One hook's implementations, in plugin order, each with its plugin."""

    name: str
    implementations: tuple[tuple[Plugin, Callable[P, R]], ...]

    def __bool__(self) -> bool:
        return bool(self.implementations)

    def __iter__(self) -> Iterator[tuple[Plugin, Callable[P, R]]]:
        return iter(self.implementations)


def hook_names() -> list[str]:
    """Return the names of all hooks, theme by theme."""
    return list(_specs())


def _specs() -> dict[str, Callable[..., Any]]:
    return {
        name: member
        for spec in SPECS
        for name, member in vars(spec).items()
        if getattr(member, "crmcore_spec", None) is not None
    }


class Assembly:
    """The plugins of one application, in order, and everything they contribute at start."""

    def __init__(
        self,
        plugins: Iterable[Plugin],
        lifecycles: Iterable[Lifecycle] = (),
        identity: IdentitySettings | None = None,
    ) -> None:
        plugins = list(plugins)
        for plugin in plugins:
            _check(plugin)
        self.plugins = _in_order(plugins)
        self._manager = pluggy.PluginManager("crmcore")
        for spec in SPECS:
            self._manager.add_hookspecs(spec)
        for plugin in self.plugins:
            try:
                self._manager.register(plugin, plugin.name)
                self._manager.check_pending()
            except pluggy.PluginValidationError as error:
                raise PluginError(plugin.name, str(error).replace("\n", " ")) from error
        self.kinds = KindRegistry((*CORE_KINDS, *SHADOW_KINDS))
        self._collect_kinds()
        self.lifecycles, owners = self._collect(Plugin.register_lifecycles, Lifecycle, lifecycles)
        self.lifecycle_owners = owners
        """The plugin that brings each lifecycle; those of the core are not there."""
        self.traits, _ = self._collect(Plugin.register_traits, Trait)
        schemes, _ = self._collect(Plugin.register_identifiers, Scheme, SCHEMES.values())
        self.schemes = SchemeRegistry(schemes.values(), identity)
        self.reports, _ = self._collect(Plugin.register_reports, Report)
        self.segments, self.segment_owners = self._collect(Plugin.register_segments, NamedSegment)
        """The segments that plugins bring, and the plugin that brings each."""
        self.channels, carriers = self._collect(Plugin.register_channels, Channel)
        by_name = {plugin.name: plugin for plugin in self.plugins}
        self.carriers = {channel: by_name[name] for channel, name in carriers.items()}
        """The plugin that delivers on each channel."""
        self._check_tables()
        self._check_lifecycles(owners)
        self._check_channels()

    def __iter__(self) -> Iterator[Plugin]:
        return iter(self.plugins)

    def of(self, spec: Callable[Concatenate[Any, P], R]) -> Compiled[P, R]:
        """Return the implementations of a hook, named by its spec, such as `Plugin.on_started`."""
        name = spec.__name__
        found = tuple(
            (plugin, getattr(plugin, name))
            for plugin in self.plugins
            if _implements(type(plugin), name)
        )
        return Compiled(name, found)

    def _collect_kinds(self) -> None:
        owners: dict[str, str] = {}
        for plugin, register in self.of(Plugin.register_kinds):
            for kind in _listed(plugin, register, Kind):
                taken = {name: self.kinds.names().get(name) for name in (kind.name, *kind.aliases)}
                for name, other in taken.items():
                    if other is not None:
                        raise _clash(plugin.name, owners.get(other.name), "the kind", name)
                try:
                    self.kinds.add(kind)
                except ValueError as error:
                    raise PluginError(plugin.name, f"{register.__name__}: {error}") from error
                owners[kind.name] = plugin.name

    def _collect(
        self, spec: Callable[[Any], Iterable[N]], wanted: type[N], first: Iterable[N] = ()
    ) -> tuple[dict[str, N], dict[str, str]]:
        """Return what plugins register, by name, and for each name the plugin it is from."""
        found = {item.name: item for item in first}
        owners: dict[str, str] = {}
        for plugin, register in self.of(spec):
            for item in _listed(plugin, register, wanted):
                if item.name in found:
                    what = f"the {_in_words(wanted)}"
                    raise _clash(plugin.name, owners.get(item.name), what, item.name)
                found[item.name], owners[item.name] = item, plugin.name
        return found, owners

    def _check_tables(self) -> None:
        for plugin in self.plugins:
            for table in plugin.tables:
                if not table.table.name.startswith(f"crm_{plugin.name}_"):
                    raise PluginError(
                        plugin.name,
                        f"table {table.table.name!r} must be named crm_{plugin.name}_<noun>",
                    )
                _check_foreign_keys(plugin, table.table)
                _check_erasure(plugin, table)

    def _check_channels(self) -> None:
        for name, channel in self.channels.items():
            plugin = self.carriers[name]
            if not _implements(type(plugin), "deliver_messages"):
                raise PluginError(
                    plugin.name,
                    f"registers the channel {name!r}, so it must implement deliver_messages",
                )
            if channel.scheme not in self.schemes:
                raise PluginError(
                    plugin.name,
                    f"the channel {name!r} reaches identifiers of the unknown scheme "
                    f"{channel.scheme!r}"
                    f"{nearest(channel.scheme, [each.name for each in self.schemes])}",
                )
            if type(channel.at_once) is not int or channel.at_once < 1:
                raise PluginError(
                    plugin.name,
                    f"the channel {name!r} takes {channel.at_once!r} messages at once; a whole "
                    "number of at least 1 is expected",
                )

    def _check_lifecycles(self, owners: Mapping[str, str]) -> None:
        for lifecycle in self.lifecycles.values():
            for kind in sorted(lifecycle.kinds):
                if kind not in self.kinds:
                    problem = (
                        f"lifecycle {lifecycle.name!r} listens to the unknown kind {kind!r}"
                        f"{nearest(kind, self.kinds.names())}"
                    )
                    if lifecycle.name in owners:
                        raise PluginError(owners[lifecycle.name], problem)
                    raise ConfigurationError(problem)


def _check_foreign_keys(plugin: Plugin, table: Table) -> None:
    """Refuse keys to what may be gone one day: tables of other plugins, and of the shop."""
    for key in table.foreign_keys:
        target = key.target_fullname.rpartition(".")[0]
        if target in metadata.tables:
            # Named by a text, it is found in the plugin's own metadata only.
            if target not in table.metadata.tables:
                metadata.tables[target].to_metadata(table.metadata)
        elif not target.startswith(f"crm_{plugin.name}_"):
            raise PluginError(
                plugin.name,
                f"column {key.parent.name!r} of table {table.name!r} has a foreign key to table "
                f"{target!r}; only tables of the "
                f"core and its own, named crm_{plugin.name}_<noun>, are expected",
            )


def _check_erasure(plugin: Plugin, kept: PluginTable) -> None:
    """Refuse to anonymise what can hold nothing: nobody of whom it has rows could be erased."""
    table = PersonalTable.of(kept.table)
    for wrong in table.unforgettable if kept.erase == "anonymise" else ():
        of = kept.table.columns[wrong]
        unique = "unique, " if wrong in table.unique else ""
        raise PluginError(
            plugin.name,
            f"column {of.name!r} of table {kept.table.name!r}, {unique}NOT NULL and of type "
            f"{type(of.type).__name__}, cannot be anonymised; nullable=True, or erase='delete', "
            "is expected",
        )


def _in_words(cls: type) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", cls.__name__).lower()


def _clash(plugin: str, other: str | None, what: str, name: str) -> PluginError:
    if other == plugin:
        return PluginError(plugin, f"registers {what} {name!r} twice")
    owner = "the core" if other is None else f"plugin {other!r}"
    return PluginError(plugin, f"registers {what} {name!r}, which {owner} registers, too")


def _listed(plugin: Plugin, register: Callable[[], Iterable[T]], wanted: type[T]) -> Sequence[T]:
    try:
        items = list(register())
    except Exception as error:
        raise PluginError(
            plugin.name, f"{register.__name__} raised {type(error).__name__}: {error}"
        ) from error
    for item in items:
        if not isinstance(item, wanted):
            raise PluginError(
                plugin.name, f"{register.__name__} gave {item!r}, {wanted.__name__} expected"
            )
        name = getattr(item, "name", None)
        if not isinstance(name, str) or not name:
            raise PluginError(
                plugin.name,
                f"{register.__name__} gave a {wanted.__name__} named {name!r}, text expected",
            )
    return items


def _implements(cls: type, name: str) -> bool:
    owner = next(base for base in cls.__mro__ if name in vars(base))
    return owner not in SPECS and owner is not Plugin


def _check(plugin: object) -> None:
    """Refuse what pluggy would pass over in silence."""
    cls = type(plugin)
    name = getattr(plugin, "name", None)
    if isinstance(plugin, type) and issubclass(plugin, Plugin):
        raise PluginError(
            str(name), f"the class was given, an object of it is expected: {plugin.__name__}()"
        )
    if not isinstance(plugin, Plugin):
        raise PluginError(str(name or cls.__name__), "is not a subclass of crmcore.Plugin")
    if not isinstance(name, str) or not _NAME.match(name):
        raise PluginError(
            cls.__name__, f"its name {name!r} is not lower-case letters, digits and underscores"
        )
    hooks = _specs()
    for attribute in sorted(
        {a for base in cls.__mro__ if base not in (Plugin, *SPECS) for a in vars(base)}
    ):
        member = getattr(cls, attribute, None)
        marked = getattr(member, "crmcore_impl", None)
        if attribute in hooks:
            _check_hook(name, attribute, member, marked)
            check_promise(plugin, hooks[attribute])
        elif marked is not None:
            raise PluginError(name, f"there is no hook {attribute!r}{nearest(attribute, hooks)}")
        elif callable(member) and not attribute.startswith("_"):
            hint = nearest(attribute, hooks)
            if hint and re.match(r"(on|after|guard|prepare|choose|register|recompute)_", attribute):
                raise PluginError(name, f"{attribute!r} is no hook{hint}")
    derived = any(table.derived for table in plugin.tables)
    if derived and not _implements(cls, "recompute_customers"):
        raise PluginError(name, "keeps derived tables, so it must implement recompute_customers")


def _check_hook(plugin: str, hook: str, member: Any, marked: Any) -> None:
    if marked is None:
        raise PluginError(plugin, f"{hook} is a hook, but is not marked with @hookimpl")
    if marked.get("hookwrapper") or marked.get("wrapper"):
        raise PluginError(plugin, f"{hook} is a wrapper; a hook returns its own answer only")
    expected = ["self"] if hook.startswith("register_") else ["self", "ctx", "event"]
    found = list(inspect.signature(member).parameters)
    if found != expected:
        raise PluginError(
            plugin, f"{hook}({', '.join(found)}) found, {hook}({', '.join(expected)}) expected"
        )


def _in_order(plugins: Sequence[Plugin]) -> tuple[Plugin, ...]:
    """Return one topological order from `requires` and `after`, alphabetical within it."""
    by_name: dict[str, Plugin] = {}
    for plugin in plugins:
        if plugin.name in by_name:
            raise PluginError(plugin.name, "is there twice")
        by_name[plugin.name] = plugin
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name in sorted(by_name):
        plugin = by_name[name]
        for needed in plugin.requires:
            if needed not in by_name:
                raise PluginError(
                    name,
                    f"requires the plugin {needed!r}, which is not there{nearest(needed, by_name)}",
                )
        sorter.add(name, *sorted({*plugin.requires, *plugin.after} & set(by_name)))
    try:
        sorter.prepare()
    except CycleError as error:
        cycle = " after ".join(error.args[1])
        raise PluginError(error.args[1][0], f"the order has a cycle: {cycle}") from error
    ordered: list[Plugin] = []
    waiting: list[str] = []
    while sorter.is_active():
        waiting = sorted([*waiting, *sorter.get_ready()])
        name = waiting.pop(0)
        ordered.append(by_name[name])
        sorter.done(name)
    return tuple(ordered)
