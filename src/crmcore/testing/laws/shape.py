"""Laws of shape: hooks, names, and tables are what the core and its databases expect."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from typing import Any, Final, get_args

import attrs
from hypothesis import HealthCheck, given, settings
from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS
from sqlalchemy.dialects.sqlite.base import SQLiteIdentifierPreparer

from crmcore.configuration import GROUP
from crmcore.domain.kind import Kind, KindRegistry
from crmcore.domain.kinds import CORE_KINDS
from crmcore.domain.structuring import Erased
from crmcore.errors import CrmError, PayloadError, nearest
from crmcore.hooks import SPECS, Plugin
from crmcore.services.starting.assembly import RESERVED, hook_names
from crmcore.testing.laws.base import Laws
from crmcore.testing.shop import Shop
from crmcore.testing.strategies import payloads

_LIKE_A_HOOK: Final = re.compile(
    r"(on|after|guard|prepare|register|choose|describe|deliver|export|erase|recompute|merge)_"
)
_NOUN: Final = r"[a-z][a-z0-9_.]*\Z"
_OF_SQLITE: Final = frozenset({"INTEGER", "TEXT", "BLOB"})
_OF_POSTGRESQL: Final = frozenset({"BIGINT", "INTEGER", "SMALLINT", "TEXT", "BYTEA"})
_WIDE: Final = re.compile(r".*(_id|_at|_until|_instant|_minor)\Z|since\Z|until\Z")
# Of DuckDB and Spark, beside those that SQLAlchemy knows of the two databases.
_RESERVED: Final = frozenset(
    {"anti", "describe", "lambda", "lateral", "minus", "pivot", "qualify", "show", "summarize"}
    | {"semi", "unpivot", "window", *RESERVED_WORDS, *SQLiteIdentifierPreparer.reserved_words}
)


class ShapeLaws(Laws):
    """The plugin starts; its hooks are called, and its names and tables are its own."""

    def test_it_starts(self, shop: Shop) -> None:
        """A shop with the plugin opens over an empty database, and closes."""
        try:
            with shop.opened():
                pass
        except CrmError as error:
            raise shop.broken(f"it does not start; mend what the core says: {error}") from error

    def test_methods_named_like_hooks(self, any_shop: Shop) -> None:
        """No method is named like a hook that there is not: nobody would ever call it."""
        cls, hooks = any_shop.subject.cls, hook_names()
        for base in cls.__mro__:
            if base in (Plugin, *SPECS):
                continue
            for name, member in vars(base).items():
                if callable(member) and _LIKE_A_HOOK.match(name) and name not in hooks:
                    raise any_shop.broken(
                        f"method {name!r} is named like a hook, and there is no such hook, so "
                        f"nothing calls it{nearest(name, hooks)}; give it the hook's name and "
                        "@hookimpl, or another name if it is called by the shop"
                    )

    def test_hooks_are_marked(self, any_shop: Shop) -> None:
        """Every hook the plugin implements is marked with @hookimpl, and called as specified."""
        cls = any_shop.subject.cls
        for name in hook_names():
            if not any_shop.subject.implements(name):
                continue
            if getattr(getattr(cls, name), "crmcore_impl", None) is None:
                raise any_shop.broken(
                    f"hook {name!r} is not marked with @hookimpl, so nothing calls it; put "
                    "@hookimpl above it"
                )

    def test_its_own_name(self, any_shop: Shop) -> None:
        """The plugin's name is its own, and its entry point has the same."""
        shop = any_shop
        name, cls = shop.subject.name, shop.subject.cls
        if name in RESERVED:
            raise shop.broken(f"the name {name!r} is the core's own; choose another")
        for point in entry_points(group=GROUP):
            if point.value == f"{cls.__module__}:{cls.__qualname__}" and point.name != name:
                raise shop.broken(
                    f"its entry point is called {point.name!r} and the plugin {name!r}; give both "
                    "one name, as [plugins.<name>] in crm.toml goes by the first"
                )

    def test_names_begin_with_the_plugin(self, any_shop: Shop) -> None:
        """Tables, kinds, traits, lifecycles and reports are named after the plugin."""
        shop = any_shop
        name, plugin = shop.subject.name, shop.subject.make()
        named: list[tuple[str, str, str]] = [
            *(("table", table, f"crm_{name}_") for table in shop.subject.tables),
            *(
                ("kind", kind.name, f"{name}.")
                for kind in shop.subject.kinds
                if not _of_one_stem(kind.name.partition(".")[0], name)
            ),
            *(("trait", trait.name, f"{name}.") for trait in shop.subject.traits),
            *(("lifecycle", each.name, name) for each in plugin.register_lifecycles() or ()),
            *(("report", each.name, name) for each in plugin.register_reports() or ()),
        ]
        for what, found, begins in named:
            rest = r"([._-]|\Z)" if begins == name else _NOUN
            if not re.match(re.escape(begins) + rest, found):
                wanted = f"{begins}<noun>" if begins != name else f"{name}, or {name}.<noun>"
                raise shop.broken(
                    f"{what} {found!r} is not named after the plugin; call it {wanted}, in lower "
                    "case, so that no other plugin's is taken for it"
                )

    def test_columns(self, any_shop: Shop) -> None:
        """Columns are of types that are the same everywhere, and no reserved words."""
        for kept in any_shop.subject.cls.tables:
            for column in kept.table.columns:
                for wrong in _wrong_with(column):
                    raise any_shop.broken(
                        f"column {column.name!r} of table {kept.table.name!r} {wrong}"
                    )

    def test_every_table_has_a_policy(self, any_shop: Shop) -> None:
        """Every table that is defined is declared in `tables`, with its policies."""
        shop = any_shop
        for table in _defined(shop):
            if table.name not in shop.subject.tables:
                raise shop.broken(
                    f"table {table.name!r} is defined and not declared, so it is never made, and "
                    "no merge and no erasure knows of it; put PluginTable(...) with its policies "
                    "into `tables`"
                )

    def test_kinds_can_be_recorded(self, any_shop: Shop) -> None:
        """A payload of every kind can be encoded and read again, with what is personal erased."""
        shop = any_shop
        registry = KindRegistry(CORE_KINDS)
        for kind in shop.subject.kinds:
            try:
                registry.add(kind)
            except ValueError as error:
                raise shop.broken(f"kind {kind.name!r} is not right: {error}") from error
            _check_personal(shop, kind)
            _check_payloads(shop, kind, registry)


def _of_one_stem(word: str, plugin: str) -> bool:
    """Return whether a kind is named for what the plugin is about, as `tier` is for `tiering`."""
    return len(word) > 2 and (plugin.startswith(word) or word.startswith(plugin))


def _wrong_with(column: Column[Any]) -> Iterator[str]:
    """Yield what is wrong with a column, and what it should be."""
    if column.name.lower() in _RESERVED:
        yield "is named with a word that a database reserves; call it something else"
    on_sqlite = _compiled(column, sqlite.dialect())
    on_postgresql = _compiled(column, postgresql.dialect())  # type: ignore[no-untyped-call]
    if on_sqlite not in _OF_SQLITE or on_postgresql not in _OF_POSTGRESQL:
        yield (
            f"is {on_sqlite} on SQLite and {on_postgresql} on PostgreSQL; use whole numbers, text "
            "or bytes: money in minor units, instants in microseconds, dates as ISO text, true and "
            "false as 1 and 0, BigInteger().with_variant(Integer(), 'sqlite') for all numbers"
        )
    elif on_postgresql in ("INTEGER", "SMALLINT") and _WIDE.match(column.name):
        yield (
            f"is {on_postgresql} on PostgreSQL, too narrow for ids, instants and money; use "
            "BigInteger().with_variant(Integer(), 'sqlite')"
        )


def _compiled(column: Column[Any], dialect: Any) -> str:
    return column.type.compile(dialect).partition(" COLLATE")[0].upper()


def _defined(shop: Shop) -> Iterable[Table]:
    """Return the tables with the plugin's prefix that its module and metadata know."""
    found = {
        each.name: each
        for kept in shop.subject.cls.tables
        for each in kept.table.metadata.tables.values()
    }
    modules = [sys.modules.get(shop.subject.cls.__module__)]
    if shop.subject.package.startswith("crmcore_"):
        modules += shop.subject.modules()
    for module in modules:
        for value in list(vars(module).values()) if module is not None else ():
            if isinstance(value, Table):
                found[value.name] = value
    return [t for name, t in sorted(found.items()) if name.startswith(f"crm_{shop.subject.name}_")]


def _check_personal(shop: Shop, kind: Kind) -> None:
    """Refuse personal fields that could not be read any more once they are erased."""
    if not kind.personal_fields:
        return
    for each in attrs.fields(attrs.resolve_types(kind.payload)):
        if each.name in kind.personal_fields and Erased not in get_args(each.type):
            typed = getattr(each.type, "__name__", each.type)
            raise shop.broken(
                f"personal field {each.name!r} of kind {kind.name!r} is typed {typed}, and reads "
                f"ERASED after an erasure; type it `{typed} | Erased`"
            )


def _check_payloads(shop: Shop, kind: Kind, registry: KindRegistry) -> None:
    given_by_author = list(shop.subject.payloads.get(kind.name, ()))

    def check(payload: Any) -> None:
        try:
            stored, personal = registry.encode(kind, payload)
            registry.decode(kind.name, kind.version, stored, personal)
            if kind.personal_fields:
                registry.decode(kind.name, kind.version, stored, None)
        except PayloadError as error:
            raise shop.broken(
                f"kind {kind.name!r} cannot be recorded with the payload {payload!r}; let the "
                "types of its payload say what fits, or give examples in the contract's "
                f"`payloads`: {error}"
            ) from error

    for each in given_by_author:
        check(each)
    if not given_by_author:
        quiet = [*HealthCheck]

        @settings(
            max_examples=10,
            database=None,
            derandomize=True,
            deadline=None,
            suppress_health_check=quiet,
        )
        @given(payloads(kind))
        def encoded(payload: Any) -> None:
            check(payload)

        encoded()
