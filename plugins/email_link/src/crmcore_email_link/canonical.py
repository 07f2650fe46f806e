"""
The canonical form: a mail's headers and body as its signature covers them (RFC 6376, section 3.4).

Apart from the signer, so that a mail can be judged where nothing signs and no keys are installed.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

OVERSIGNED: Final = (
    "From",
    "To",
    "Cc",
    "Reply-To",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Subscribe",
    "List-Post",
    "List-Owner",
    "List-Help",
    "List-Archive",
    "Feedback-ID",
)
"""Headers of which none can be added: signed also where a mail does not have them."""

_FIELD_END: Final = re.compile(rb"\r\n(?![ \t])")
_BLANKS: Final = re.compile(rb"[ \t\r\n]+")
_RUN: Final = re.compile(rb"  +")


class Field(NamedTuple):
    """A header as it stands in a mail: its name in lower case, and all of it without CRLF."""

    name: bytes
    raw: bytes


def split(raw: bytes) -> tuple[list[Field], bytes]:
    """Return the headers of a mail, from the top, and its body; what is no header is left out."""
    head, _, body = raw.partition(b"\r\n\r\n") if raw[:2] != b"\r\n" else (b"", b"", raw[2:])
    found = []
    for each in _FIELD_END.split(head):
        name, colon, _ = each.partition(b":")
        if colon:
            found.append(Field(name.rstrip(b" \t").lower(), each))
    return found, body


def canonical_header(raw: bytes) -> bytes:
    r"""
    Return a header in the relaxed form, without CRLF (RFC 6376, section 3.4.2).

    >>> canonical_header(b"SUBJect \t:  Hello \r\n  world ")
    b'subject:Hello world'
    """
    name, _, value = raw.partition(b":")
    return name.rstrip(b" \t").lower() + b":" + _BLANKS.sub(b" ", value).strip(b" ")


def canonical_body(body: bytes) -> bytes:
    r"""
    Return a body in the relaxed form (RFC 6376, section 3.4.4).

    >>> canonical_body(b" C \r\nD \t E\r\n\r\n\r\n")
    b' C\r\nD E\r\n'
    """
    if b"\t" in body:
        body = body.replace(b"\t", b" ")
    if b"  " in body:
        body = _RUN.sub(b" ", body)
    if b" \r\n" in body:
        body = body.replace(b" \r\n", b"\r\n")
    if body.endswith(b" "):
        body = body[:-1]
    end = len(body)
    while body.endswith(b"\r\n", 0, end):
        end -= 2
    return body[:end] + b"\r\n" if end else b""
