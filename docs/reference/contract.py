"""Pages for what core and plugins say to each other: the hooks, theme by theme, and the context."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from crmcore import Context
from crmcore.hooks import SPECS
from crmcore.hooks.markers import promise_of
from crmcore.hooks.phases import phase_of
from docs.reference.docstrings import Docstring
from docs.reference.members import members
from docs.reference.subjects import Hook, fields_of, hooks_of, parts_of, plugins
from docs.reference.writing import Page, Writer, joined, signature, table

FOLDER = "reference/hooks"


def theme_of(spec: type) -> str:
    """Return the name of a theme, such as `interaction`."""
    return spec.__name__.removesuffix("Hooks").lower()


def homes() -> dict[str, str]:
    """Return where each hook, event and answer is described."""
    found: dict[str, str] = {"Context": "reference/context.md#context"}
    for spec in SPECS:
        page = f"{FOLDER}/{theme_of(spec)}.md"
        for name, hook in hooks_of(spec).items():
            found[name] = f"{page}#{name}"
            for part in parts_of(hook):
                found.setdefault(part.__name__, f"{page}#{part.__name__}")
    return found


def pages(homes_of: Mapping[str, str]) -> Iterator[Page]:
    """Yield the list of hooks, a page for each theme, and that of the context."""
    users = _users()
    yield _list(homes_of)
    for spec in SPECS:
        yield _theme(spec, homes_of, users)
    path = "reference/context.md"
    writer = Writer(path, homes_of)
    text = joined(["# Context { #Context }", writer.prose(Docstring.of(Context))])
    yield Page(path=path, title="Context", text=text + "\n" + members(writer, Context))


def _list(homes_of: Mapping[str, str]) -> Page:
    writer = Writer(f"{FOLDER}/index.md", homes_of)
    parts = [
        "# Hooks",
        "A plugin joins in by overriding hooks of `Plugin`, each marked with `@hookimpl`.",
        "The first word of a name tells when a hook is called, what becomes of its answer, and of "
        "an exception.",
    ]
    for spec in SPECS:
        parts.append(f"## {theme_of(spec).capitalize()}")
        parts.append(Docstring.of(spec).text)
        rows = [
            (writer.link(name), phase_of(name).when, writer.linked(Docstring.of(hook).summary))
            for name, hook in hooks_of(spec).items()
        ]
        parts.append(table(["Hook", "When", "What for"], rows))
    return Page(path=writer.path, title="All hooks", text=joined(map(writer.linked, parts)))


def _theme(spec: type, homes_of: Mapping[str, str], users: Mapping[str, list[str]]) -> Page:
    theme = theme_of(spec)
    writer = Writer(f"{FOLDER}/{theme}.md", homes_of)
    parts = [f"# {theme.capitalize()}", Docstring.of(spec).text]
    for name, hook in hooks_of(spec).items():
        parts += [f"## {name} {{ #{name} }}", *_hook(writer, name, hook, users.get(name, []))]
        # What several hooks share is described where it is needed first.
        parts += [
            part
            for each in parts_of(hook)
            if homes_of[each.__name__] == f"{writer.path}#{each.__name__}"
            and f"### {each.__name__} {{ #{each.__name__} }}" not in parts
            for part in _value(writer, each)
        ]
    return Page(path=writer.path, title=theme.capitalize(), text=joined(parts))


def _hook(writer: Writer, name: str, hook: Hook, users: list[str]) -> list[str]:
    phase, promise = phase_of(name), promise_of(hook)
    doc = Docstring.of(hook)
    rows = [
        ("When", phase.when),
        ("What is returned", phase.results),
        ("If the plugin raises", phase.exception),
        ("Since", promise.since),
        ("Used by", ", ".join(users) or "no plugin that is installed here"),
    ]
    gone = ""
    if promise.deprecated_in is not None:
        until = f", and goes in {promise.removed_in}" if promise.removed_in else ""
        gone = f"**Deprecated** since {promise.deprecated_in}{until}; use {promise.use}."
    shown = signature(hook, f"def {name}")
    return [gone, shown, table(["", ""], rows), writer.prose(doc), *writer.sections(doc)]


def _value(writer: Writer, cls: type) -> list[str]:
    name = cls.__name__
    iterates = "Iterating it gives what it is about." if hasattr(cls, "__iter__") else ""
    shown = [] if fields_of(cls) else ["It has no fields."]
    return [
        f"### {name} {{ #{name} }}",
        writer.prose(Docstring.of(cls)),
        iterates,
        writer.fields(cls),
        *shown,
    ]


def _users() -> dict[str, list[str]]:
    """Return the plugins that implement each hook, by the hook's name."""
    found: dict[str, list[str]] = {}
    for name, cls in plugins().items():
        for hook in (hook for spec in SPECS for hook in hooks_of(spec)):
            member: Any = getattr(cls, hook)
            if getattr(member, "crmcore_impl", None) is not None:
                found.setdefault(hook, []).append(name)
    return found
