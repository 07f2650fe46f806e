"""Members: the methods and properties of a class, each with its signature and what it says."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any

from docs.reference.docstrings import Docstring, below
from docs.reference.subjects import function_of, members_of
from docs.reference.writing import Writer, joined, signature


def members(writer: Writer, cls: type, *, level: int = 2) -> str:
    """Return the public members of a class; those of each of its bases stand together."""
    parts: list[str] = []
    owners = list(dict.fromkeys(owner for owner, _ in members_of(cls).values()))
    for owner in owners:
        deeper = level
        if len(owners) > 1:
            parts += [f"{'#' * level} {_title(owner)}", _about(owner)]
            deeper += 1
        for name, (has, member) in members_of(cls).items():
            if has is owner:
                parts += [f"{'#' * deeper} {name} {{ #{cls.__name__}.{name} }}"]
                parts += _member(writer, owner, name, member)
    return joined(parts)


def _member(writer: Writer, owner: type, name: str, member: Any) -> Iterator[str]:
    doc = Docstring.of(function_of(member))
    yield signature(member, name, is_property=isinstance(member, property))
    yield writer.prose(doc) or writer.linked(below(owner).get(name, ""))
    yield from writer.sections(doc)


def _title(owner: type) -> str:
    about, _, _ = _module_doc(owner).partition(":")
    return about if len(about) < 30 else owner.__name__


def _about(owner: type) -> str:
    _, _, said = _module_doc(owner).partition(":")
    said = said.strip()
    return said[:1].upper() + said[1:] if len(said) > 3 else ""


def _module_doc(owner: type) -> str:
    return (inspect.getdoc(sys.modules[owner.__module__]) or "").partition("\n\n")[0].strip()
