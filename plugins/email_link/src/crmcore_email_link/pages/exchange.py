"""Exchange: what a browser, or a mail program, asks of a page, and what it is answered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email import message_from_bytes
from typing import Final
from urllib.parse import parse_qs

from attrs import field, frozen

LONGEST_BODY: Final = 65_536
"""Octets of a body; no form of ours has so many."""

_MOST_FIELDS: Final = 100
_BOUNDARY: Final = re.compile(r"boundary=\"?([\w'()+,./:=? -]{1,70})", re.ASCII)

_SAFE: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
    "Cache-Control": "no-store",
}


@frozen(kw_only=True)
class Request:
    """
    What is asked.

    Attributes:
        method: Such as `GET`, in capitals.
        path: Below where the pages are mounted, such as `/u/TOKEN`.
        headers: By name in lower case.
        body: As it came, at most `LONGEST_BODY` octets.
        address: Of the network, of who asks, as the server knows it; empty: it does not say.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes = field(default=b"", repr=False)
    address: str = ""

    @property
    def form(self) -> Mapping[str, list[str]] | None:
        """The fields of a form, by name; None: the body is none that can be read."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            if kind == "application/x-www-form-urlencoded":
                text = self.body.decode("utf-8")
                return parse_qs(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
            if kind == "multipart/form-data":
                return _multipart(self.headers["content-type"], self.body)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None
        return None


@frozen(kw_only=True)
class Response:
    """
    What is answered.

    Attributes:
        status: Such as 200; to what is posted never one that leads elsewhere (RFC 8058, section
            3.1).
        body: The page.
        headers: By name.
    """

    status: int
    body: bytes
    headers: Mapping[str, str] = field(factory=lambda: dict(_SAFE))


def _multipart(kind: str, body: bytes) -> Mapping[str, list[str]] | None:
    found = _BOUNDARY.search(kind)
    if found is None:
        return None
    head = f'Content-Type: multipart/form-data; boundary="{found[1]}"\r\n\r\n'
    mail = message_from_bytes(head.encode() + body)
    parts = mail.get_payload()
    if not isinstance(parts, list) or len(parts) > _MOST_FIELDS:
        return None
    form: dict[str, list[str]] = {}
    for part in parts:
        if isinstance(part, str):
            continue
        name = part.get_param("name", header="content-disposition")
        value = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(value, bytes):
            form.setdefault(name, []).append(value.decode("utf-8"))
    return form
