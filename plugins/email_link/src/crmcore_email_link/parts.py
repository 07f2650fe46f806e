"""Parts: what a reader of mail finds in the parts of a mail, and what it misses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from typing import Final, Literal
from urllib.parse import unquote

from attrs import define, field

from crmcore_email_link.headers import LONGEST_ENCODED_LINE

CLIPPED_AT: Final = 102_000
"""Octets of HTML after which Gmail shows a link to the rest, with the way out in it: 102 kB."""

# The standard library's parser of HTML takes a minute for some of what is no HTML.
_IMAGE: Final = re.compile(r"""<img\b(?:[^<>"']|"[^"]*"|'[^']*')*+""", re.IGNORECASE)
_VALUE: Final = re.compile(r""""[^"]*"|'[^']*'""")
_ALT: Final = re.compile(r"(?<![\w=-])alt(?![\w-])", re.IGNORECASE)

# In an attribute or a style, also in the comments that only Outlook reads.
_CID: Final = re.compile(r"""[=(]\s*(?:["']|&quot;|&\#39;)?cid:([^\s"'()<>&]+)""", re.IGNORECASE)

_MOST_MULTIPARTS: Final = 200

Fault = tuple[str, str, Literal["error", "warning"]]


@define
class _Seen:
    """What the parts of a mail hold, in order."""

    kinds: list[str] = field(factory=list)
    cids: set[str] = field(factory=set)
    html: list[str] = field(factory=list)
    faults: list[Fault] = field(factory=list)


def faults_of_parts(raw: bytes) -> Iterator[Fault]:
    """Yield what is wrong with the parts of a mail: a code, a sentence, and how bad it is."""
    seen = _Seen()
    if (count := raw.lower().count(b"multipart/")) > _MOST_MULTIPARTS:
        # Each would be read by a function within that of the one around it.
        yield "unreadable", f"it names {count} multiparts; we write two at most", "error"
        return
    try:
        for part in message_from_bytes(raw).walk():
            if not part.is_multipart():
                _look_at(part, seen)
    except Exception as error:
        # The standard library's parser has many ways to fail at what is no mail.
        problem = str(error) or type(error).__name__
        yield "unreadable", f"its parts cannot be read: {problem}", "error"
        return
    yield from seen.faults
    yield from _faults_of_kinds(seen.kinds)
    yield from _faults_of_images(seen)


def _look_at(part: Message, seen: _Seen) -> None:
    kind = part.get_content_type()
    seen.kinds.append(kind)
    encoding = str(part.get("Content-Transfer-Encoding", "7bit")).strip().lower()
    written = part.get_payload()
    data = part.get_payload(decode=True)
    if not isinstance(written, str) or not isinstance(data, bytes):
        return
    longest = max(map(len, re.split(r"\r\n|\r|\n", written)))
    if encoding in ("quoted-printable", "base64") and longest > LONGEST_ENCODED_LINE:
        seen.faults.append(
            (
                "encoded-line",
                f"a line of the {kind} part has {longest} octets; at most "
                f"{LONGEST_ENCODED_LINE} are expected in {encoding} (RFC 2045, section 6)",
                "error",
            )
        )
    if encoding not in ("8bit", "binary") and not written.isascii():
        seen.faults.append(
            ("8bit", f"the {kind} part is said to be {encoding} and holds other octets", "error")
        )
    cid = str(part.get("Content-ID", "")).strip().strip("<>")
    if cid and kind.startswith("image/"):
        seen.cids.add(cid)
    if kind == "text/plain" and not data.strip():
        seen.faults.append(("text-missing", "its text part is empty; words are expected", "error"))
    if kind == "text/html":
        _look_at_html(data, seen)


def _look_at_html(data: bytes, seen: _Seen) -> None:
    seen.html.append(data.decode("utf-8", "replace"))
    if len(data) > CLIPPED_AT:
        seen.faults.append(
            (
                "clipped",
                f"its HTML has {len(data)} octets; Gmail shows {CLIPPED_AT} of them, and the way "
                "to unsubscribe is mostly in the rest",
                "warning",
            )
        )


def _faults_of_kinds(kinds: list[str]) -> Iterator[Fault]:
    if "text/html" not in kinds:
        if "text/plain" not in kinds:
            yield "text-missing", "it has nothing to read; a text part is expected", "error"
    elif "text/plain" not in kinds:
        yield "text-missing", "it has HTML and no text part; one is expected before it", "error"
    elif kinds.index("text/plain") > kinds.index("text/html"):
        yield (
            "text-order",
            "its text part follows the HTML, so that readers show the text; the other order is "
            "expected (RFC 2046, section 5.1.4)",
            "error",
        )


def _faults_of_images(seen: _Seen) -> Iterator[Fault]:
    mute = [tag for html in seen.html for tag in _IMAGE.findall(html) if not _has_alt(tag)]
    if mute:
        many = "1 image has" if len(mute) == 1 else f"{len(mute)} images have"
        yield (
            "alt-text",
            f"{many} no alt text, which is read where no image is shown; alt, if "
            f"only an empty one, is expected: {mute[0][:60]!r}",
            "warning",
        )
    shown = {unquote(cid) for html in seen.html for cid in _CID.findall(html)}
    for cid in sorted(shown - seen.cids):
        yield "cid-missing", f"its HTML shows the image cid:{cid}, which it does not bring", "error"
    for cid in sorted(seen.cids - shown):
        yield "cid-unused", f"it brings the image {cid}, which its HTML does not show", "warning"


def _has_alt(tag: str) -> bool:
    return _ALT.search(_VALUE.sub('""', tag)) is not None
