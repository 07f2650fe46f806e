"""Pages for the public names of `crmcore`, those that belong together on one page."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

import crmcore
from crmcore import Crm
from docs.reference.docstrings import Docstring, below
from docs.reference.members import members
from docs.reference.subjects import members_of, modules_of, public_names
from docs.reference.writing import Page, Writer, joined, signature

PAGES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "crm": ("Crm", ("crmcore.app",)),
    "transaction": ("Transaction", ("crmcore.services.transaction",)),
    "plugin": (
        "Plugin",
        (
            "crmcore.hooks",
            "crmcore.domain.settings",
            "crmcore.domain.trait",
            "crmcore.domain.timer",
        ),
    ),
    "ledger": ("Interactions", ("crmcore.domain.interaction", "crmcore.domain.kind")),
    "customers": (
        "Customers",
        ("crmcore.domain.customer", "crmcore.domain.identity", "crmcore.services.merging"),
    ),
    "lifecycles": ("Lifecycles", ("crmcore.domain.lifecycle", "crmcore.domain.relationship")),
    "segments": ("Segments", ("crmcore.domain.segments", "crmcore.services.segments")),
    "messages": (
        "Messages and consent",
        (
            "crmcore.domain.message",
            "crmcore.domain.gate",
            "crmcore.domain.quiet",
            "crmcore.services.messaging",
        ),
    ),
    "staff": ("Staff", ("crmcore.app.desk", "crmcore.domain.role", "crmcore.domain.task")),
    "privacy": (
        "Privacy",
        ("crmcore.domain.privacy", "crmcore.domain.retention", "crmcore.domain.structuring"),
    ),
    "time": ("Time and money", ("crmcore.domain.clock", "crmcore.domain.money")),
    "database": ("Database and worker", ("crmcore.persistence", "crmcore.services", "crmcore")),
}
"""By name of the page: its title, and the modules whose names stand on it; the nearest counts."""


def homes(described: Mapping[str, str]) -> dict[str, str]:
    """Return where each public name is described that is not *described* elsewhere."""
    found = {
        name: f"reference/api/{_page_of(name)}.md#{name}"
        for name in public_names()
        if name not in described
    }
    page = found["Crm"].partition("#")[0]
    return {**{f"crm.{name}": f"{page}#Crm.{name}" for name in members_of(Crm)}, **found}


def pages(homes_of: Mapping[str, str]) -> Iterator[Page]:
    """Yield the pages, each with its names in the order of the alphabet."""
    for slug, (title, _) in PAGES.items():
        writer = Writer(f"reference/api/{slug}.md", homes_of)
        names = [name for name in public_names() if homes_of[name].partition("#")[0] == writer.path]
        if slug == "crm":
            text = joined(["# Crm { #Crm }", *_class(writer, Crm, level=2)])
        else:
            parts = [f"# {title}"]
            for name in sorted(names, key=str.casefold):
                parts += [f"## {name} {{ #{name} }}", *_thing(writer, name)]
            text = joined(parts)
        yield Page(path=writer.path, title=title, text=text)


def _page_of(name: str) -> str:
    home = crmcore._HOME_OF[name]
    fitting = [
        (len(module), slug)
        for slug, (_, modules) in PAGES.items()
        for module in modules
        if home == module or home.startswith(f"{module}.")
    ]
    return max(fitting)[1]


def _thing(writer: Writer, name: str) -> list[str]:
    thing = public_names()[name]
    if isinstance(thing, type):
        return _class(writer, thing, level=3)
    if inspect.isfunction(thing):
        doc = Docstring.of(thing)
        return [signature(thing), writer.prose(doc), *writer.sections(doc)]
    return [writer.linked(_said_of(name))]


def _class(writer: Writer, cls: type[Any], *, level: int) -> list[str]:
    doc, made = Docstring.of(cls), Docstring.of(cls.__init__)
    parts = [writer.prose(doc)]
    if attrs.has(cls):
        parts.append(writer.fields(cls))
    elif "__init__" in vars(cls) and not getattr(cls, "_is_protocol", False):
        parts += [signature(cls.__init__, cls.__name__), writer.prose(made), *writer.sections(made)]
    else:
        parts += writer.sections(doc)
    return [*parts, members(writer, cls, level=level)]


def _said_of(name: str) -> str:
    texts = (below(module).get(name, "") for module in modules_of(name))
    return next(filter(None, texts), "")
