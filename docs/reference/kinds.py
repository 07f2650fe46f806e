"""Pages for kinds of interactions and for errors: what can be recorded, and what can be raised."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import attrs

from crmcore import errors
from crmcore.domain.kind import Kind
from crmcore.domain.relationship import RelationshipSettings, relationship
from crmcore.services.starting.assembly import Assembly
from docs.reference.docstrings import Docstring
from docs.reference.members import members
from docs.reference.subjects import members_of
from docs.reference.writing import Page, Writer, joined, plain_type, table

_SIGNS = {1: "adds to revenue", -1: "takes from revenue", 0: ""}


def pages(homes_of: Mapping[str, str]) -> Iterator[Page]:
    """Yield the page of the core's kinds, and that of the errors."""
    kinds = list(Assembly([], [relationship(RelationshipSettings())]).kinds)
    parts = [
        "# Kinds of interactions",
        "What the core knows; plugins bring more, and their pages say which. "
        "A field in bold has to be there; one marked as personal is emptied when the customer "
        "is erased.",
        kinds_table(kinds),
    ]
    yield Page(path="reference/kinds.md", title="Kinds", text=joined(parts))
    writer = Writer("reference/errors.md", homes_of)
    tree = Docstring.of(errors).text
    parts = ["# Errors", writer.prose(Docstring.parsed(tree))]
    for name, cls in errors_by_name().items():
        parts += [f"## {name} {{ #{name} }}", writer.prose(Docstring.of(cls))]
        if members_of(cls):
            parts.append(members(writer, cls, level=3))
    yield Page(path=writer.path, title="Errors", text=joined(parts))


def errors_by_name() -> dict[str, type]:
    """Return the errors that crmcore raises on purpose, in the order of their module."""
    return {
        name: thing
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and issubclass(thing, errors.CrmError)
    }


def kinds_table(kinds: Iterable[Kind]) -> str:
    """Return a table of kinds with the fields of their payloads; of none, nothing."""
    rows = [
        (
            f"`{kind.name}`",
            joined_sentences(kind),
            "<br>".join(_fields(kind)),
        )
        for kind in kinds
    ]
    return table(["Kind", "Meaning", "Fields of the payload"], rows)


def joined_sentences(kind: Kind) -> str:
    """Return what a kind means, what its amount does, and its other names."""
    sign = _SIGNS[kind.sign]
    known = f"Also known as {', '.join(f'`{each}`' for each in kind.aliases)}."
    return " ".join(
        [
            kind.description,
            f"Its amount {sign}." if sign and "amount" not in kind.description else "",
            known if kind.aliases else "",
        ]
    )


def _fields(kind: Kind) -> Iterator[str]:
    for each in attrs.fields(kind.payload):
        name = f"**`{each.name}`**" if each.default is attrs.NOTHING else f"`{each.name}`"
        personal = ", personal" if each.name in kind.personal_fields else ""
        yield f"{name}: {plain_type(each.type, each.type)}{personal}"
