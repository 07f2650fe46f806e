"""Tokens: a text cut into words, numbers, texts and signs, each with its position."""

from __future__ import annotations

import re
from typing import Final, Literal, NoReturn

from attrs import frozen

from crmcore.domain.segments.tree import Position
from crmcore.errors import SegmentError

Sort = Literal["name", "number", "date", "text", "sign", "end"]

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
      | (?P<name>[A-Za-z_]\w*)
      | (?P<date>\d{4}-\d\d-\d\d)
      | (?P<number>\d+(\.\d+)?)
      | (?P<text>"(?:[^"\\\n]|\\.)*")
      | (?P<sign>==|!=|<=|>=|[<>=().,-])""",
    re.ASCII | re.VERBOSE,
)
LONGEST: Final = 20_000
"""Characters of a segment's text."""


@frozen
class Token:
    """
    A piece of a text.

    Attributes:
        text: As it was written.
    """

    sort: Sort
    text: str
    at: Position

    def __str__(self) -> str:
        return "the end" if self.sort == "end" else repr(self.text)


def tokens(source: str) -> list[Token]:
    """
    Return the pieces of *source*, with one for its end.

    Raises:
        SegmentError: At what is no piece of a segment.
    """
    if len(source) > LONGEST:
        raise SegmentError(
            f"a segment has {len(source):,} characters; at most {LONGEST:,} are expected"
        )
    found = []
    place, line, start = 0, 1, 0
    while place < len(source):
        at = Position(line, place - start + 1)
        match = _TOKEN.match(source, place)
        if match is None:
            _refuse(source, place, at)
        if match.lastgroup == "name" and source[match.end() : match.end() + 1].isalnum():
            _refuse(source, match.end(), Position(line, match.end() - start + 1))
        if match.lastgroup != "space":
            found.append(Token(match.lastgroup, match.group(), at))  # type: ignore[arg-type]
        newlines = match.group().count("\n")
        if newlines:
            line, start = line + newlines, source.rindex("\n", 0, match.end()) + 1
        place = match.end()
    return [*found, Token("end", "", Position(line, place - start + 1))]


def _refuse(source: str, place: int, at: Position) -> NoReturn:
    character = source[place]
    if character == '"':
        problem = "the text that begins here does not end in its line"
    elif character in "'‘’“”„":  # noqa: RUF001 - what people paste
        problem = f"{character!r} found; text in double quotes is expected"
    elif character in "&|":
        problem = f"{character!r} found; 'and' or 'or' is expected"
    elif character == "!":
        problem = "'!' found; 'not' or '!=' is expected"
    else:
        problem = f"{character!r} is no part of a segment"
    raise SegmentError(problem, source=source, at=at)
