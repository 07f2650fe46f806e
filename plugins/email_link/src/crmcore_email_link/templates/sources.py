"""Sources: the addresses of links and images, which must be whole and harmless in a mail."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from attrs import evolve
from jinja2 import pass_context

from crmcore_email_link.templates.errors import RefusedError, TemplateError
from crmcore_email_link.templates.markup import MARK, Spot, mark, spots
from crmcore_email_link.templates.operators import text_of
from crmcore_email_link.templates.pieces import Piece

LINKS: Final = frozenset({"href", "action"})
"""Attributes that hold the address of a link."""

IMAGES: Final = frozenset({"src", "background", "background-url", "poster", "srcset"})
"""Attributes that hold the address of an image; in MJML too."""

IMAGE: Final = re.compile(r"(?:https://|cid:)\S+\Z", re.IGNORECASE)
LINK: Final = re.compile(r"(?:(?:https?://|mailto:|tel:|sms:)\S|#)", re.IGNORECASE)


@pass_context
def check_link(context: Any, value: Any) -> str:
    """Return a link's address; raises unless mail programs open it, as no `javascript:` is."""
    if type(value) is str and LINK.match(value):
        return value
    found = text_of(context.budget, value).strip()
    if not LINK.match(found):
        raise RefusedError(
            f"a link goes to {found[:40]!r}; an address that begins with https://, mailto: or "
            "tel: is expected"
        )
    return found


@pass_context
def check_image(context: Any, value: Any) -> str:
    """Return an image's address; raises unless it is absolute and https, or within the mail."""
    if type(value) is str and IMAGE.match(value):
        return value
    found = text_of(context.budget, value).strip()
    if not IMAGE.match(found):
        raise RefusedError(
            f"an image is at {found[:40]!r}; an address that begins with https:// or cid: is "
            "expected"
        )
    return found


CHECKS: Final = {"link": check_link, "image": check_image}
"""Filters that every value is sent through that begins the address of a link or an image."""


def with_checks(pieces: Sequence[Piece]) -> list[Piece]:
    """
    Return the template with each value that begins an address sent through its check.

    Raises:
        TemplateError: If a value stands in a tag without quotes around it: escaping does not keep
            it from being another attribute then.
    """
    whole = "".join(
        each.source if each.kind == "text" else mark(number) for number, each in enumerate(pieces)
    )
    found = list(pieces)
    for number, places in spots(whole).items():
        piece = pieces[number]
        if piece.kind != "put":
            continue
        for spot in places:
            if spot.kind == "tag":
                raise TemplateError(
                    f"{{{{ {piece.source[:40]} }}}} stands in the tag <{spot.element}> without "
                    'quotes; write name="{{ … }}"',
                    template=piece.place.template,
                    line=piece.place.line,
                )
            check = _check(spot, pieces)
            if check is not None and not found[number].source.endswith(f")|{check}"):
                found[number] = evolve(piece, source=f"({piece.source})|{check}")
    return found


def _check(spot: Spot, pieces: Sequence[Piece]) -> str | None:
    if spot.kind != "value" or MARK.sub("", spot.before).strip():
        return None
    if any(pieces[int(each[1])].kind == "put" for each in MARK.finditer(spot.before)):
        return None
    if spot.attribute in LINKS:
        return "link"
    return "image" if spot.attribute in IMAGES else None
