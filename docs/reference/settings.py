"""Pages for what can be set and what plugins bring: crm.toml, and each installed plugin."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from importlib.metadata import distribution
from typing import Any, Final

import attrs

from crmcore.cli.settings import settings_of
from crmcore.configuration import installed_plugins
from crmcore.domain.retention import RetentionSettings
from crmcore.hooks import Plugin
from crmcore.hooks.tables import Keep, PluginTable
from docs.reference.docstrings import Docstring, below
from docs.reference.kinds import kinds_table
from docs.reference.subjects import CORE_SETTINGS, plugins
from docs.reference.writing import Page, Writer, code, hints_of, joined, plain_type, table

FOLDER: Final = "reference/plugins"
_NAMED_OTHERWISE: Final = {(RetentionSettings, "keep"): "<kind>"}


def pages(homes_of: Mapping[str, str]) -> Iterator[Page]:
    """Yield the page of crm.toml, and one for each plugin."""
    yield _core(homes_of)
    for name, cls in plugins().items():
        yield _plugin(name, cls, homes_of)


def _core(homes_of: Mapping[str, str]) -> Page:
    writer = Writer("reference/settings.md", homes_of)
    parts = [
        "# Settings",
        "What the core reads from a crm.toml. `crm init` writes one with every setting there is, "
        "and a misspelt one is an error that names the nearest right one.",
        "The settings of plugins stand under `[plugins.<name>]`, beside `enabled`, which is "
        "`true` unless it is said otherwise; each plugin has a page of its own. "
        "From code, the same settings are arguments of `Crm` and of the plugins' classes.",
    ]
    for heading, cls in CORE_SETTINGS.items():
        # The name of a role, or of a member of staff, stands in the heading.
        hidden = {"name"} if "<name>]" in heading else set()
        parts += [f"## `{heading}`", writer.prose(Docstring.of(cls)), _table(writer, cls, hidden)]
    return Page(path=writer.path, title="Settings", text=joined(map(writer.linked, parts)))


def _plugin(name: str, cls: type[Plugin], homes_of: Mapping[str, str]) -> Page:
    writer = Writer(f"{FOLDER}/{name}.md", homes_of)
    point = installed_plugins()[name]
    assert point.dist is not None, name
    package = distribution(point.dist.name)
    default = _made(cls)
    kinds = [] if default is None else list(default.register_kinds() or ())
    traits = [] if default is None else list(default.register_traits() or ())
    parts = [
        f"# {name}",
        writer.prose(Docstring.of(cls)),
        f"It comes with `{package.metadata['Name']}` {package.version}, as "
        f"`{cls.__module__}.{cls.__name__}`.",
        f"## Settings: `[plugins.{name}]`",
        _table(writer, cls) or "There is nothing to set.",
        "## Kinds" if kinds else "",
        kinds_table(kinds),
        "## Traits" if traits else "",
        table(
            ["Trait", "Meaning", "Default"],
            [(f"`{each.name}`", each.description, code(repr(each.default))) for each in traits],
        ),
        "## Tables" if cls.tables else "",
        table(
            ["Table", "Rows", "Merge", "Export", "Erasure"],
            [_policies(each) for each in cls.tables],
        ),
    ]
    return Page(path=writer.path, title=name, text=joined(parts))


def _made(cls: type[Plugin]) -> Plugin | None:
    """Return the plugin with its defaults; None where some setting has none."""
    try:
        return cls()
    except Exception:
        return None


def _policies(each: PluginTable) -> tuple[str, ...]:
    return (
        f"`{each.table.name}`",
        "derived from the ledger" if each.derived else "owned",
        each.merge,
        "yes" if each.export else "no",
        f"kept: {each.erase.reason}" if isinstance(each.erase, Keep) else each.erase,
    )


def _table(writer: Writer, cls: type[Any], hidden: Collection[str] = ()) -> str:
    texts, hints = below(cls), hints_of(cls)
    attributes = {each.alias or each.name: each for each in attrs.fields(cls)}
    rows = [
        (
            f"`{_NAMED_OTHERWISE.get((cls, each.name), each.name)}`",
            plain_type(hints.get(each.name), attributes[each.name].type),
            "needed" if each.is_needed else code(each.default or ""),
            writer.linked(each.help or " ".join(texts.get(each.name, "").split())),
        )
        for each in settings_of(cls)
        if each.name not in hidden
    ]
    return table(["Setting", "Type", "Default", "Meaning"], rows)
