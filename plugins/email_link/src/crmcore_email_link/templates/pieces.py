"""Pieces: the text of a template apart from what Jinja reads in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from attrs import evolve, frozen
from jinja2 import TemplateSyntaxError

from crmcore.errors import nearest
from crmcore_email_link.templates.errors import TemplateError
from crmcore_email_link.templates.sandbox import Sandbox

LARGEST: Final = 1_000_000
"""Characters of a template with all its parts."""

_DEEPEST: Final = 50
"""Blocks within one another; Jinja goes through them by calling itself."""

_BLOCKS: Final = frozenset("if for with macro call filter".split())
_INCLUDE: Final = re.compile(r"""include\s+(["'])([^"']+)\1\s*$""")
_WORD: Final = re.compile(r"\w+")
_OPENS: Final = re.compile(r"\{(?=[{%#]|\Z)")
RESERVED: Final = re.compile("[\ue000-\ue0ff]")
"""Characters of a private use area, by which we mark things while a mail is made."""

_lexer: Final = Sandbox(autoescape=True)


@frozen
class Place:
    """
    Where in what an author wrote something stands.

    Attributes:
        template: The template's name, or that of a part it includes.
        line: Of it, from 1.
    """

    template: str
    line: int


@frozen
class Piece:
    """
    A piece of a template.

    Attributes:
        kind: `text`; `put`, an expression that is put out; or `do`, a statement.
        source: The text; or what stands between the braces.
        place: Where it begins.
    """

    kind: Literal["text", "put", "do"]
    source: str
    place: Place

    @property
    def word(self) -> str:
        """The first word of a statement, such as `for`."""
        found = _WORD.search(self.source) if self.kind == "do" else None
        return found[0] if found else ""


def read(source: str, *, name: str, parts: Mapping[str, str] | None = None) -> list[Piece]:
    """
    Return the pieces of a template, in order, with the parts it includes in their place.

    A part reads as if it stood where it is included, so it sees all variables there. Comments, and
    the whitespace that `{%-` takes away, are gone.

    Args:
        source: As its author wrote it.
        name: Of the template, for errors.
        parts: What `{% include "name" %}` may name.

    Raises:
        TemplateError: If Jinja cannot read it, or a part is missing or includes itself.
    """
    pieces = _read(source, name, parts or {}, (name,))
    if sum(len(each.source) for each in pieces) > LARGEST:
        raise TemplateError(f"it has more than {LARGEST:,} characters", template=name)
    depth = 0
    for each in pieces:
        depth += (each.word in _BLOCKS) - (each.word[3:] in _BLOCKS and each.word[:3] == "end")
        if depth > _DEEPEST:
            raise TemplateError(
                f"its blocks are within one another more than {_DEEPEST} deep",
                template=each.place.template,
                line=each.place.line,
            )
    return pieces


def _read(source: str, name: str, parts: Mapping[str, str], within: tuple[str, ...]) -> list[Piece]:
    if len(source) > LARGEST:
        raise TemplateError(f"it has more than {LARGEST:,} characters", template=name)
    found: list[Piece] = []
    size = 0
    for piece in _lexed(source, name):
        if piece.word != "include":
            found.append(piece)
            continue
        part = _part_of(piece, parts, within)
        read_part = _read(parts[part], part, parts, (*within, part))
        found.extend(read_part)
        size += sum(len(each.source) for each in read_part)
        if size > LARGEST:
            raise TemplateError(f"its parts have more than {LARGEST:,} characters", template=name)
    return found


def _part_of(piece: Piece, parts: Mapping[str, str], within: tuple[str, ...]) -> str:
    found = _INCLUDE.search(piece.source)
    place = piece.place
    if found is None:
        problem = "an include names one part in quotes, and nothing else"
    elif found[2] in within:
        problem = f"the part {found[2]!r} includes itself"
    elif found[2] not in parts:
        problem = f"there is no part {found[2]!r}{nearest(found[2], parts)}"
    else:
        return found[2]
    raise TemplateError(problem, template=place.template, line=place.line)


def _lexed(source: str, name: str) -> Iterable[Piece]:
    if found := RESERVED.search(source):
        line = source.count("\n", 0, found.start()) + 1
        raise TemplateError(
            f"it has the character U+{ord(found[0]):04X}, which is for private use; remove it",
            template=name,
            line=line,
        )
    try:
        tokens = list(_lexer.lex(source, name))
    except TemplateSyntaxError as error:
        problem = (error.message or "syntax error").rstrip(".")
        raise TemplateError(problem, template=name, line=error.lineno) from None
    inside: list[str] = []
    line = 1
    for number, kind, value in tokens:
        if kind == "data":
            yield Piece("text", value, Place(name, number))
        elif kind in ("variable_begin", "block_begin"):
            inside, line = [], number
        elif kind in ("variable_end", "block_end"):
            text = "".join(inside)
            lead = len(text) - len(text.lstrip())
            line += text[:lead].count("\n")
            yield Piece("put" if kind == "variable_end" else "do", text.strip(), Place(name, line))
        elif not kind.startswith(("comment", "raw")):
            inside.append(value)


def write(pieces: Iterable[Piece]) -> tuple[str, Mapping[int, Place]]:
    """
    Return the source that Jinja compiles, and where each of its lines was written.

    What stands in braces begins a line of its own there, so that an error's line names it.
    """
    out: list[str] = []
    places: dict[int, Place] = {}
    line = 1
    for piece in pieces:
        if piece.kind == "text":
            text = _OPENS.sub("{{ '{' }}", piece.source)
        else:
            opening, closing = ("{{", "}}") if piece.kind == "put" else ("{%", "%}")
            text = f"{opening}\n{piece.source} {closing}"
            for more in range(piece.source.count("\n") + 1):
                places[line + 1 + more] = evolve(piece.place, line=piece.place.line + more)
        line += text.count("\n")
        out.append(text)
    return "".join(out), places


PLAIN_BLOCKS: Final = ("if", "for", "with")
"""Blocks that only choose or repeat what stands in them."""


@frozen
class Block:
    """
    A block and what stands in its branches.

    Attributes:
        opening: The index of the piece that opens it.
        word: `if`, `for` or `with`.
        branches: Of each, the index of the piece that begins it, and what is in it.
        closing: The index of the piece that ends it.
    """

    opening: int
    word: str
    branches: Sequence[tuple[int, Sequence[int | Block]]]
    closing: int

    @property
    def marks(self) -> tuple[int, ...]:
        """The indices of all its own pieces."""
        return (*(start for start, _ in self.branches), self.closing)

    @property
    def is_exhaustive(self) -> bool:
        """Whether one of the branches is always taken, once."""
        return self.word == "with"


class UnplainError(Exception):
    """A statement does more than choose or repeat; says which, and where."""

    def __init__(self, piece: Piece) -> None:
        super().__init__(f"{{% {piece.word} %}} in line {piece.place.line}")


def tree_of(pieces: Sequence[Piece]) -> list[int | Block]:
    """Return what stands where, by index; raises `UnplainError` for any other statement."""
    position = 0

    def level(ends: tuple[str, ...]) -> list[int | Block]:
        nonlocal position
        found: list[int | Block] = []
        while position < len(pieces):
            piece = pieces[position]
            if piece.word in ends:
                return found
            if piece.word in PLAIN_BLOCKS:
                found.append(block(piece))
            elif piece.kind != "do" or (piece.word == "set" and "=" in piece.source):
                found.append(position)
                position += 1
            else:
                raise UnplainError(piece)
        return found

    def block(piece: Piece) -> Block:
        nonlocal position
        if re.search(r"\brecursive\s*$", piece.source):
            raise UnplainError(piece)
        opening, end = position, f"end{piece.word}"
        branches: list[tuple[int, Sequence[int | Block]]] = []
        while pieces[position].word != end:
            start = position
            position += 1
            branches.append((start, level((end, "else", "elif"))))
            if position == len(pieces):
                raise UnplainError(piece)
        position += 1
        return Block(opening, piece.word, branches, position - 1)

    return level(())
