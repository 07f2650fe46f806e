"""Previewing: a mail in a browser, as it is sent, or as anybody may see it."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final

from crmcore_email_link.templates.needs import needs_of, stand_ins
from crmcore_email_link.templates.template import MailTemplate, Rendered

_CID: Final = re.compile(r"""(?<=["'(=])cid:([^"')\s>]+)""", re.IGNORECASE)

HEADERS: Final[Mapping[str, str]] = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        "default-src 'none'; img-src https: data:; style-src 'unsafe-inline'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'self'; sandbox allow-popups"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
    "Cache-Control": "private, no-store",
}
"""What a page that shows a mail is served with: nothing in it runs, and it is in no search."""


def anonymous(template: MailTemplate, known: Mapping[str, Any]) -> Rendered:
    """
    Return the mail for nobody in particular, by the same function as everybody's.

    Args:
        template: The mail's.
        known: Variables that are the same for all, such as the shop's name. What else it uses is
            called by its name, so nothing of a customer gets in, and no link unsubscribes one.

    Raises:
        RenderError: If it wants something that a name cannot stand for, such as a number; it is
            to be among what is known.
    """
    needs = needs_of(each.tree for each in template.programs.values())
    return template.render(stand_ins(needs.paths, known))


def content_ids(html: str) -> tuple[str, ...]:
    """Return the ids of those images that a mail has to bring along, as they come, each once."""
    return tuple(dict.fromkeys(_CID.findall(html)))


def page(html: str, images: Mapping[str, tuple[str, bytes]]) -> str:
    """
    Return a mail's HTML for a browser, with the images that it brings along put into it.

    Args:
        html: As it is sent.
        images: By content id: type, such as `image/png`, and what it is.
    """

    def put(found: re.Match[str]) -> str:
        image = images.get(found[1])
        if image is None:
            return found[0]
        return f"data:{image[0]};base64,{b64encode(image[1]).decode('ascii')}"

    return _CID.sub(put, html)
