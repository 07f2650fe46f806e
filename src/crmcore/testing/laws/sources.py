"""Laws of sources: what a plugin's modules may import, reach into, and ask."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from typing import Final

from crmcore.cli.installed import COMMANDS
from crmcore.configuration import GROUP
from crmcore.persistence.tables import metadata
from crmcore.testing.laws.answers import CLOCK_OR_CHANCE
from crmcore.testing.laws.base import Laws
from crmcore.testing.shop import Shop
from crmcore.testing.sources import Source, absolute, sources_of

PUBLIC: Final = ("crmcore.errors", "crmcore.hooks", "crmcore.testing", "crmcore.cli.shell")
"""What plugins may import of the core, beside the names in `crmcore` itself."""

_CLOCK: Final = re.compile(
    r"(datetime\.)*(datetime\.(now|utcnow|today)|date\.today)\Z"
    r"|time\.(time|time_ns|localtime|gmtime|ctime)\Z"
)
_CHANCE: Final = re.compile(
    r"(random|secrets|numpy\.random)\.\w+(\.\w+)*\Z|uuid\.uuid[14]\Z|os\.u?random\Z"
    r"|(crmcore\.)?SystemClock\Z"
)
_SEEDED: Final = frozenset({"random.Random", "numpy.random.default_rng"})
_OUTSIDE: Final = re.compile(r"deliver_messages\Z|after_|prepare_message\Z")
_WRITES: Final = re.compile(
    r"\b(INSERT\s+(OR\s+\w+\s+)?INTO|REPLACE\s+INTO|UPDATE|DELETE\s+FROM|DROP\s+TABLE|ALTER\s+TABLE"
    r"|TRUNCATE(\s+TABLE)?|MERGE\s+INTO)\s+[\"`]?(\w+)",
    re.IGNORECASE,
)
_SQL: Final = frozenset({"text", "execute", "exec_driver_sql", "executemany", "executescript"})


class SourceLaws(Laws):
    """The plugin knows the public core, no other plugin, no private parts, no clock, no chance."""

    def test_imports_no_private_core(self, any_shop: Shop) -> None:
        """Of the core it imports what is public: `crmcore`, its hooks, errors and testing."""
        if any_shop.subject.package == "crmcore":  # a channel that comes with the core
            return
        for source in _sources(any_shop):
            for node, full in _imports(source):
                if not is_public(full):
                    home = ".".join(full.split(".")[:3])
                    raise any_shop.broken(
                        f"{source.where(node)} imports {full}, a private part of the core that may "
                        f"change at any time ({home}); import from crmcore, crmcore.hooks or "
                        "crmcore.errors, and in commands crmcore.cli.shell"
                    )

    def test_imports_no_other_plugin(self, any_shop: Shop) -> None:
        """It imports no other plugin: they talk through the ledger, and can be removed alone."""
        own = any_shop.subject.package
        for source in _sources(any_shop):
            for node, full in _imports(source):
                package = full.partition(".")[0]
                if package != own and (package.startswith("crmcore_") or package in _others()):
                    raise any_shop.broken(
                        f"{source.where(node)} imports {full}, another plugin; plugins never "
                        "import each other, so react to what it records in the ledger, or read "
                        "its traits by name"
                    )

    def test_reaches_into_nothing(self, any_shop: Shop) -> None:
        """It uses no private attribute of what the core gives it."""
        for source in _sources(any_shop):
            for node in ast.walk(source.tree):
                if not isinstance(node, ast.Attribute) or not _is_private(node.attr):
                    continue
                name = _root_of(node.value)
                if name in ("ctx", "context", "event", "crm", "tx", "transaction"):
                    raise any_shop.broken(
                        f"{source.where(node)} reaches into {ast.unparse(node)}, which is private "
                        "to the core; use what the Context and the event offer"
                    )

    def test_asks_no_clock_and_no_chance(self, any_shop: Shop) -> None:
        """It asks neither the machine's clock nor chance, where anything is derived or decided."""
        for source in _sources(any_shop):
            if source.module.rpartition(".")[2] == "commands":  # what people run by hand
                continue
            for node in _inside(source.tree):
                full = source.full_name(node)
                if _CLOCK.match(full):
                    raise any_shop.broken(
                        f"{source.where(node)} asks the machine's clock ({full}), so that no "
                        "replay gives the same; use ctx.clock.now(), or the event's instants"
                    )
                if _CHANCE.match(full) and full not in _SEEDED:
                    raise any_shop.broken(
                        f"{source.where(node)} asks chance ({full}), so that no replay gives the "
                        "same; derive it from the customer and a key, as by a hash"
                    )

    def test_sql_is_its_own(self, any_shop: Shop) -> None:
        """No raw SQL writes tables of others, and no SQL asks the database's clock or chance."""
        shop = any_shop
        for source in _sources(shop):
            for node in ast.walk(source.tree):
                if not isinstance(node, ast.Call):
                    continue
                name = source.full_name(node.func)
                if ".func." in f".{name}" and _asks_database(name, node):
                    raise shop.broken(
                        f"{source.where(node)} lets SQL ask for {ast.unparse(node)}, so that no "
                        "replay gives the same; bind ctx.clock.now() as a value"
                    )
                _check_sql(shop, source, node)


def _asks_database(name: str, call: ast.Call) -> bool:
    """Return whether a function of SQL asks the database's clock, or lets it draw lots."""
    given = [each.value for each in call.args if isinstance(each, ast.Constant)]
    told = f"{name.rpartition('.')[2]}({')' if not call.args else ''}"
    return "now" in given or CLOCK_OR_CHANCE.search(told) is not None


def _check_sql(shop: Shop, source: Source, node: ast.Call) -> None:
    """Look at raw SQL: text("...") and what goes to a driver."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if isinstance(node.func, ast.Name):
        name = source.full_name(node.func).rpartition(".")[2]
    if name not in _SQL:
        return
    for each in (part for argument in node.args for part in ast.walk(argument)):
        if not (isinstance(each, ast.Constant) and isinstance(each.value, str)):
            continue
        for written in _WRITES.finditer(each.value):
            table = written[4]
            if table in metadata.tables or (
                table.startswith("crm_") and table not in shop.subject.tables
            ):
                raise shop.broken(
                    f"{source.where(each)} writes table {table!r} by raw SQL, which is not its "
                    "own; record a decision, and keep what it needs in tables of its own"
                )
        clock = CLOCK_OR_CHANCE.search(each.value)
        if clock:
            raise shop.broken(
                f"{source.where(each)} lets SQL ask for {clock[0].rstrip(' (')}, so that no replay "
                "gives the same; bind ctx.clock.now() as a value"
            )


def _sources(shop: Shop) -> tuple[Source, ...]:
    try:
        return sources_of(shop.subject.cls.__module__, shop.subject.package)
    except SyntaxError as error:
        raise shop.broken(
            f"{error.filename}:{error.lineno} is no Python: {error.msg}; mend it, or take it out "
            "of the package"
        ) from error


def _imports(source: Source) -> Iterator[tuple[ast.AST, str]]:
    """Yield everything that is imported, with full names, by a call with a literal, too."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node, each.name) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            home = absolute(node, source.package)
            yield from ((node, f"{home}.{each.name}") for each in node.names)
        elif isinstance(node, ast.Call) and node.args:
            called, first = source.full_name(node.func), node.args[0]
            is_import = called in ("importlib.import_module", "__import__", "builtins.__import__")
            if is_import and isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield node, first.value


def is_public(full: str) -> bool:
    """Return whether a plugin may import what has this full name."""
    if full.partition(".")[0] != "crmcore":
        return True
    if any(full == each or full.startswith(f"{each}.") for each in PUBLIC):
        return True
    parts = full.split(".")
    if len(parts) == 1 or full == "crmcore.*":
        return True
    import crmcore

    return len(parts) == 2 and (parts[1] in crmcore.__all__ or parts[1].startswith("__"))


@cache
def _others() -> set[str]:
    """Return the packages of the plugins that are installed, less the core's channels."""
    points = [*entry_points(group=GROUP), *entry_points(group=COMMANDS)]
    return {point.module.partition(".")[0] for point in points} - {"crmcore"}


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def _root_of(node: ast.AST) -> str:
    """Return the name that a chain of attributes begins with, less `self`."""
    while isinstance(node, ast.Attribute):
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            return node.attr.lstrip("_")
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _inside(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield everything but what stands in hooks that run outside of transactions."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef) and _OUTSIDE.match(node.name):
            continue
        yield node
        if not isinstance(node, ast.Attribute):  # of a dotted name the whole is looked at
            waiting += ast.iter_child_nodes(node)
        elif not isinstance(node.value, ast.Name | ast.Attribute):
            waiting.append(node.value)
