"""
Once: converting a template before the personal values are put in, where that is right.

What Jinja reads is replaced by comments and words, the rest is converted, and what was replaced is
put back. That is right only if converting each mail by itself would give the same, so what could
tell them apart is looked for, and then tried: each branch of the template taken, each loop run
never, once and twice, with values that are empty, a word, and full of special characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from attrs import frozen
from markupsafe import escape

from crmcore_email_link.templates.converting import Syntax, from_mjml, inline, normal
from crmcore_email_link.templates.errors import TemplateError
from crmcore_email_link.templates.markup import (
    MARK,
    Spot,
    mark,
    spots,
    tokens,
    with_bodies,
    with_body,
)
from crmcore_email_link.templates.pieces import Block, Piece, UnplainError, tree_of

_STAND_IN: Final = re.compile(r"<!--zj(\d+)jz-->|zj(\d+)jz")
_VALUES: Final = ("", "word", "a \"quoted\" 'word' & <b>护肤 \u00e9")
_MOST_WORK: Final = 30_000_000
"""Characters converted to try a template out; about three seconds."""

_ROWS: Final = frozenset("table tbody thead tfoot tr colgroup select head html frameset".split())
_LITERAL: Final = frozenset("pre textarea listing".split())
_OUTSIDE: Final = frozenset("html head body title base link style".split())
_STRUCTURAL: Final = re.compile(r":(?:first|last|only|nth|empty|has|not|is|where|root)\b")
_SELECTOR: Final = re.compile(r"([^{}]+)\{")
_BY_ATTRIBUTE: Final = re.compile(r"\[\s*([\w-]+)")
_STYLE: Final = re.compile(
    r"<style.*?</style>\s*|<!--\[if !mso\]><!--><!--<!\[endif\]-->", re.DOTALL
)
_HALF: Final = re.compile(r"(?:</?|&#?)[\w:-]*\Z")


class EachError(Exception):
    """Each mail has to be converted by itself; says why."""


@frozen
class Once:
    """
    A template that was converted once.

    Attributes:
        pieces: The same template, with the styles at its elements.
    """

    pieces: Sequence[Piece]


def convert_once(pieces: Sequence[Piece], syntax: Syntax, *, name: str) -> Once:
    """
    Return the template converted before its values are put in.

    Raises:
        EachError: If that would not give what converting each mail gives.
        TemplateError: If it cannot be converted at all.
    """
    try:
        tree = tree_of(pieces)
    except UnplainError as error:
        raise EachError(f"it has {error}") from None
    whole = "".join(_marked(pieces, range(len(pieces))))
    if _STAND_IN.search(whole):
        raise EachError("it has a word such as zj1jz, which we need")
    _check_styles(whole, pieces)
    html = whole
    if syntax == "mjml":
        html = _restored(from_mjml(_with_stand_ins(whole), name=name))
    _check_text(html)
    converted = _restored(inline(_with_stand_ins(html), name=name))
    _check_places(converted, pieces, tree)
    found = _split(converted, pieces)
    _try_out(pieces, tree, found, syntax, name)
    return Once(found)


def _marked(pieces: Sequence[Piece], which: Sequence[int]) -> Iterator[str]:
    for number in which:
        yield pieces[number].source if pieces[number].kind == "text" else mark(number)


def _with_stand_ins(markup: str) -> str:
    """Return markup with each mark as a comment where elements stand, and a word elsewhere."""
    out: list[str] = []
    for token in tokens(markup):
        text = markup[token.start : token.end]
        form = "<!--zj\\1jz-->" if token.kind == "text" else "zj\\1jz"
        out.append(MARK.sub(form, text))
    return "".join(out)


def _restored(markup: str) -> str:
    return _STAND_IN.sub(lambda found: mark(int(found[1] or found[2])), markup)


def _check_styles(whole: str, pieces: Sequence[Piece]) -> None:
    """Raise if which styles an element gets depends on what is put in."""
    sheet = ""
    for token in tokens(whole):
        if token.kind == "raw" and token.name in ("style", "mj-style"):
            if MARK.search(token.text):
                raise EachError("a stylesheet has values in it")
            sheet += token.text
    plain = re.sub(r"/\*.*?\*/", "", sheet, flags=re.DOTALL)
    selectors = [each for each in _SELECTOR.findall(plain) if not each.strip().startswith("@")]
    has_marks = any(each.kind != "text" for each in pieces)
    for selector in selectors if has_marks else ():
        outside = re.sub(r"\[[^\]]*\]", "", selector)
        if _STRUCTURAL.search(outside) or re.search(r"[+~]", outside):
            raise EachError(f"{selector.strip()!r} depends on what stands beside an element")
    named = {each.lower() for selector in selectors for each in _BY_ATTRIBUTE.findall(selector)}
    for number, places in spots(whole).items():
        for spot in places:
            if spot.kind == "tag":
                raise EachError(f"a tag has {_shown(pieces[number])} outside of quotes")
            if spot.kind == "value" and spot.attribute in named | {"class", "id", "style"}:
                raise EachError(f"{spot.attribute}= has {_shown(pieces[number])} in it")


def _shown(piece: Piece) -> str:
    opening, closing = ("{{", "}}") if piece.kind == "put" else ("{%", "%}")
    return f"{opening} {piece.source[:40]} {closing}"


def _check_text(markup: str) -> None:
    """Raise if a value and the text before it would be read together, as in `&{{ name }}`."""
    for number, places in spots(markup).items():
        for spot in places:
            before = MARK.sub("", spot.before)
            if spot.kind != "comment" and _HALF.search(before):
                raise EachError(f"the text before the value {number} is half a tag or character")


def _check_places(markup: str, pieces: Sequence[Piece], tree: Sequence[int | Block]) -> None:
    """Raise if values or blocks stand where a parser would move or split them."""
    found = spots(markup)
    for number, piece in enumerate(pieces):
        if piece.kind == "text":
            continue
        places = found.get(number, ())
        if not places:
            raise EachError(f"{_shown(piece)} stands where converting removes it")
        if piece.kind == "do" and len(places) > 1:
            raise EachError(f"{_shown(piece)} stands where converting repeats it")
        for spot in places:
            _check_spot(spot, piece)
    _check_blocks(found, markup, pieces, tree)


def _check_spot(spot: Spot, piece: Piece) -> None:
    if spot.kind == "tag" or (spot.kind == "value" and spot.attribute in ("class", "id", "style")):
        raise EachError(f"{_shown(piece)} decides how an element looks")
    if spot.kind == "raw" and spot.element not in ("title", "textarea"):
        raise EachError(f"{_shown(piece)} stands in <{spot.element}>")
    if spot.kind == "content" and piece.kind == "put":
        if spot.element in _ROWS or not spot.element:
            raise EachError(f"{_shown(piece)} stands where HTML allows no text")
        if spot.element in _LITERAL:
            raise EachError(f"{_shown(piece)} stands in <{spot.element}>")


def _check_blocks(
    found: Mapping[int, Sequence[Spot]],
    markup: str,
    pieces: Sequence[Piece],
    tree: Sequence[int | Block],
) -> None:
    position = [int(each[1]) for each in MARK.finditer(markup)]
    statements = [each for each in position if pieces[each].kind == "do"]
    if statements != sorted(statements):
        raise EachError("converting changes the order of its blocks")
    for block in _blocks(tree):
        marks = [found[each][0] for each in block.marks]
        first = marks[0]
        if any((each.kind, each.within) != (first.kind, first.within) for each in marks):
            raise EachError(
                f"{_shown(pieces[block.opening])} begins in another element than it ends in"
            )
        start, end = (markup.index(mark(each)) for each in (block.opening, block.closing))
        inside = {each.name for each in tokens(markup[start:end]) if each.kind == "open"}
        if outside := sorted(inside & _OUTSIDE):
            raise EachError(f"{_shown(pieces[block.opening])} has <{outside[0]}> in it")


def _blocks(tree: Sequence[int | Block]) -> Iterator[Block]:
    for each in tree:
        if isinstance(each, Block):
            yield each
            for _, inner in each.branches:
                yield from _blocks(inner)


def _split(converted: str, pieces: Sequence[Piece]) -> list[Piece]:
    found: list[Piece] = []
    place = pieces[0].place if pieces else None
    for index, text in enumerate(MARK.split(converted)):
        if index % 2:
            found.append(pieces[int(text)])
            place = pieces[int(text)].place
        elif text:
            assert place is not None
            found.append(Piece("text", text, place))
    return found


_Taken = Mapping[int, Sequence[int]]
"""Of some blocks, by the index of what opens them, which branches are taken, one after another."""


def _expanded(
    pieces: Sequence[Piece], tree: Sequence[int | Block], taken: _Taken, value: str
) -> str:
    """Return what the template would give if its blocks went so, and each value were *value*."""
    out: list[str] = []
    for each in tree:
        if isinstance(each, Block):
            for branch in taken.get(each.opening, (0,)):
                out.append(_expanded(pieces, each.branches[branch][1], taken, value))
        elif pieces[each].kind == "text":
            out.append(pieces[each].source)
        elif pieces[each].kind == "put":
            out.append(str(escape(value)))
    return "".join(out)


def _ways(tree: Sequence[int | Block], above: _Taken | None = None) -> Iterator[_Taken]:
    """Go through the ways to take: each block in each of its ways, with all around it taken."""
    above = above or {}
    for block in tree:
        if not isinstance(block, Block):
            continue
        every: list[tuple[int, ...]] = [(each,) for each in range(len(block.branches))]
        if block.word != "with":
            every.append(())
        if block.word == "for":
            every.append((0, 0))
        for way in every[1:]:
            yield {**above, block.opening: way}
        for index, (_, inner) in enumerate(block.branches):
            yield from _ways(inner, {**above, block.opening: (index,)})


def _ways_together(tree: Sequence[int | Block]) -> Iterator[_Taken]:
    """Go through ways that many blocks go at once: none of them, the last branch, each twice."""
    blocks = list(_blocks(tree))
    if len(blocks) > 1:
        yield {each.opening: () if each.word != "with" else (0,) for each in blocks}
        yield {each.opening: (len(each.branches) - 1,) for each in blocks}
        yield {each.opening: (0, 0) if each.word == "for" else (0,) for each in blocks}


def _try_out(
    pieces: Sequence[Piece],
    tree: Sequence[int | Block],
    once: Sequence[Piece],
    syntax: Syntax,
    name: str,
) -> None:
    """Raise unless converting before and after gives the same, in each way there is."""
    ways: list[tuple[_Taken, str]] = [({}, each) for each in _VALUES]
    ways += [(way, _VALUES[1]) for way in (*_ways(tree), *_ways_together(tree))]
    size = sum(len(each.source) for each in (*pieces, *once))
    if size * len(ways) > _MOST_WORK:
        raise EachError(f"it is too large to try all {len(ways)} ways it may go")
    later = tree_of(once)
    numbers = _renumbered(tree, later)
    for way, value in ways:
        source = _expanded(pieces, tree, way, value)
        try:
            html = from_mjml(source, name=name) if syntax == "mjml" else source
            each = normal(inline(html, name=name))
        except TemplateError as error:
            raise EachError(f"one way it may go cannot be converted: {error.problem}") from None
        taken = {numbers[opening]: branches for opening, branches in way.items()}
        if not is_same(each, normal(_expanded(once, later, taken, value)), syntax):
            raise EachError(f"{_way_shown(way, pieces)} it looks different")


def is_same(each: str, once: str, syntax: Syntax) -> bool:
    """
    Return whether two mails are the same to whoever reads them.

    MJML writes rules into the head for those columns and fonts that there are, so what was
    converted once may have rules there for elements that one mail has not.
    """
    if syntax == "mjml":
        each, once = _STYLE.sub("", each), _STYLE.sub("", once)
    return each == once


def _renumbered(before: Sequence[int | Block], after: Sequence[int | Block]) -> dict[int, int]:
    """Return where each block opens after converting, by where it opened."""
    pairs = zip(_blocks(before), _blocks(after), strict=True)
    return {old.opening: new.opening for old, new in pairs}


def _way_shown(way: _Taken, pieces: Sequence[Piece]) -> str:
    if not way:
        return "with other values"
    opening, branches = list(way.items())[-1]
    times = {(): "is left out", (0, 0): "runs twice"}.get(tuple(branches), "goes another way")
    return f"when {_shown(pieces[opening])} {times}"


def with_implied_tags(pieces: Sequence[Piece]) -> list[Piece]:
    """Return the template with those tags that HTML adds by itself; see `with_bodies`."""
    return _split(with_bodies(with_body("".join(_marked(pieces, range(len(pieces)))))), pieces)
