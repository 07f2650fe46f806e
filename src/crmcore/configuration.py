"""Configuration: crm.toml read, checked, and plugins found by entry point."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

import attrs
from attrs import field, frozen

from crmcore.domain.clock import Calendar
from crmcore.domain.gate import GateSettings
from crmcore.domain.identity import IdentitySettings
from crmcore.domain.money import check_currency
from crmcore.domain.relationship import RelationshipSettings
from crmcore.domain.retention import RetentionSettings
from crmcore.domain.role import Role, Staff
from crmcore.domain.settings import not_among
from crmcore.domain.structuring import strict_converter, structuring_problems
from crmcore.errors import (
    ConfigurationError,
    CrmError,
    MoneyError,
    PluginError,
    PluginNotFoundError,
    nearest,
)
from crmcore.hooks import Plugin

T = TypeVar("T")
PluginT = TypeVar("PluginT", bound=Plugin)

GROUP: Final = "crmcore.plugins"
_TABLES = (
    "crm",
    "families",
    "gate",
    "identity",
    "plugins",
    "relationship",
    "retention",
    "roles",
    "segments",
    "staff",
)


@frozen(kw_only=True)
class ShopSettings:
    """
    `[crm]` in crm.toml: the shop and its database.

    Attributes:
        database: Where it is, as SQLAlchemy writes it; a relative path begins at this file.
        currency: The shop's own, in which everything is counted. Fixed with the first use.
        zone: The shop's time zone: its days begin at midnight there.
        critical: Plugins whose exceptions are to abort what the shop does.
    """

    database: str = "sqlite:///crm.db"
    currency: str = "EUR"
    zone: str = "UTC"
    critical: list[str] = field(factory=list)


@frozen(kw_only=True)
class Configuration:
    """A crm.toml, checked; plugins are made, and not started."""

    path: Path
    shop: ShopSettings
    relationship: RelationshipSettings
    plugins: tuple[Plugin, ...]
    shadow: frozenset[str] = frozenset()
    identity: IdentitySettings = field(factory=IdentitySettings)
    gate: GateSettings = field(factory=GateSettings)
    roles: tuple[Role, ...] = ()
    staff: tuple[Staff, ...] = ()
    retention: RetentionSettings = field(factory=RetentionSettings)
    segments: Mapping[str, str] = field(factory=dict)
    families: Mapping[str, list[str]] = field(factory=dict)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `Crm`."""
        return {
            "url": _beside(self.path, self.shop.database),
            "plugins": self.plugins,
            "currency": self.shop.currency,
            "zone": self.shop.zone,
            "critical": self.shop.critical,
            "shadow": sorted(self.shadow),
            "relationship_settings": self.relationship,
            "identity": self.identity,
            "gate": self.gate,
            "roles": self.roles,
            "staff": self.staff,
            "retention": self.retention,
            "segments": self.segments,
            "families": self.families,
        }


def installed_plugins() -> dict[str, EntryPoint]:
    """Return the plugins that are installed, by name; none of them is imported."""
    return {point.name: point for point in sorted(entry_points(group=GROUP))}


def load_plugin(name: str) -> type[Plugin]:
    """
    Import the class of an installed plugin.

    Raises:
        PluginNotFoundError: Names those that are installed.
        PluginError: If its module cannot be imported, or it is no plugin.
    """
    installed = installed_plugins()
    if name not in installed:
        raise PluginNotFoundError(name, installed)
    try:
        found = installed[name].load()
    except Exception as error:
        raise PluginError(name, f"its import raised {type(error).__name__}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Plugin)):
        raise PluginError(name, f"its entry point gives {found!r}, a subclass of Plugin expected")
    return found


def make_plugin(path: Path, cls: type[PluginT], settings: Mapping[str, Any]) -> PluginT:
    """
    Return a plugin made from its settings, as they stand in the crm.toml at *path*.

    Raises:
        PluginError: If its class is not an attrs class.
        ConfigurationError: Names the setting and the nearest right one.
    """
    made: PluginT = _structure(path, f"plugins.{cls.name}", dict(settings), cls)
    return made


def load_configuration(path: Path) -> Configuration:
    """
    Read a crm.toml.

    Raises:
        ConfigurationError: One sentence that names the file, the setting and the nearest right one.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path} is not there; `crm init` writes one") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    for table in values:
        if table not in _TABLES:
            raise ConfigurationError(
                f"{path}: unknown table [{table}]{nearest(table, _TABLES)}; "
                "there are [crm], [families], [gate], [identity], [relationship], "
                "[plugins.<name>], [retention], [roles.<name>], [segments] and [staff.<name>]"
            )
    shop: ShopSettings = _structure(path, "crm", values.get("crm", {}), ShopSettings)
    try:
        Calendar.named(shop.zone)
        check_currency(shop.currency)
    except (ConfigurationError, MoneyError) as error:
        raise ConfigurationError(f"{path}, [crm]: {error}") from error
    plugins, shadow = _plugins(path, values.get("plugins", {}))
    return Configuration(
        path=path,
        shop=shop,
        gate=_structure(path, "gate", values.get("gate", {}), GateSettings),
        identity=_structure(path, "identity", values.get("identity", {}), IdentitySettings),
        relationship=_structure(
            path, "relationship", values.get("relationship", {}), RelationshipSettings
        ),
        plugins=tuple(plugins),
        shadow=shadow,
        roles=_named(path, "roles", values.get("roles", {}), Role),
        staff=_named(path, "staff", values.get("staff", {}), Staff),
        retention=_retention(path, values.get("retention", {})),
        segments=_structure_table(path, "segments", values.get("segments", {}), str),
        families=_structure_table(path, "families", values.get("families", {}), list[str]),
    )


def _retention(path: Path, values: Any) -> RetentionSettings:
    """Return `[retention]`, whose settings are named for kinds."""
    try:
        return RetentionSettings(values)
    except CrmError as error:
        raise ConfigurationError(f"{path}, [retention]: {error}") from error


def _structure_table(path: Path, table: str, values: object, wanted: Any) -> Any:
    """Return a table of values of one type, each by a name of the shop's own."""
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"{path}: a table [{table}] expected, {values!r} found")
    try:
        return strict_converter().structure(values, dict[str, wanted])
    except Exception as error:
        problems = "; ".join(structuring_problems(error))
        raise ConfigurationError(f"{path}, [{table}]: {problems}") from error


def _named(path: Path, table: str, values: object, cls: type[T]) -> tuple[T, ...]:
    """Return one object for each of the tables `[table.<name>]`."""
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"{path}: [{table}.<name>] tables expected, {values!r} found")
    made = []
    for name, settings in values.items():
        if not isinstance(settings, Mapping) or "name" in settings:
            raise ConfigurationError(
                f"{path}: {table}.{name} is {settings!r}, a table without a name expected"
            )
        made.append(_structure(path, f"{table}.{name}", {"name": name, **settings}, cls))
    return tuple(made)


def _plugins(path: Path, tables: object) -> tuple[list[Plugin], frozenset[str]]:
    """Return the plugins that are switched on, and the names of those that are in shadow."""
    if not isinstance(tables, Mapping):
        raise ConfigurationError(f"{path}: [plugins.<name>] tables expected, {tables!r} found")
    made = []
    shadow = set()
    for name, settings in tables.items():
        if not isinstance(settings, Mapping):
            raise ConfigurationError(f"{path}: plugins.{name} is {settings!r}, a table expected")
        values = dict(settings)
        if _is_in_shadow(path, name, values.pop("shadow", False)):
            shadow.add(name)
        if values.pop("enabled", True) is True:
            try:
                cls = load_plugin(name)
            except PluginNotFoundError as error:
                raise ConfigurationError(f"{path}: {error}") from error
            made.append(_structure(path, f"plugins.{name}", values, cls))
    return made, frozenset(shadow) & {plugin.name for plugin in made}


def _is_in_shadow(path: Path, name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigurationError(
            f"{path}, [plugins.{name}]: 'shadow' is {value!r}; true or false is expected"
        )
    return value


def _structure(path: Path, table: str, values: object, cls: type[Any]) -> Any:
    if not attrs.has(cls):
        raise PluginError(table.removeprefix("plugins."), "its class is not an attrs class")
    converter = strict_converter()
    converter.register_structure_hook_func(_is_literal, _one_of)
    try:
        return converter.structure(values, cls)
    except Exception as error:
        problems = "; ".join(
            line.replace("unknown field", "unknown setting").replace("fields:", "settings:")
            for line in structuring_problems(error)
        )
        raise ConfigurationError(f"{path}, [{table}]: {problems}") from error


def _is_literal(wanted: Any) -> bool:
    return get_origin(wanted) is Literal


def _one_of(value: object, wanted: Any) -> object:
    options = get_args(wanted)
    if not any(value == each and type(value) is type(each) for each in options):
        raise ValueError(not_among(value, options))
    return value


def _beside(path: Path, url: str) -> str:
    """Return *url* with a relative SQLite path made relative to the folder of *path*."""
    prefix = "sqlite:///"
    if not url.startswith(prefix) or url.startswith((prefix + "/", prefix + ":")):
        return url
    return prefix + str((path.parent / url.removeprefix(prefix)).resolve())
