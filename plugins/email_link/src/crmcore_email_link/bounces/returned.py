"""Returned: the mail that came back, and which of ours it was."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from attrs import frozen

from crmcore_email_link.bounces.parts import Part, headers_of

# The return path of what we send is `b+TOKEN@`; a forwarder that rewrites it (SRS) keeps it inside.
_TOKEN: Final = re.compile(r"(?:^|[<\s=+,;:])b\+([A-Za-z0-9_-]{8,64})@", re.IGNORECASE)
_MESSAGE_ID: Final = re.compile(r"<([^<>\s]{1,500})>|^\s*([^<>\s]{1,250}@[^<>\s]{1,250})\s*$")
_SENT_TO: Final = ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "to")
_INSIDE: Final = ("return-path", "x-return-path", "errors-to", "sender", "x-envelope-from")
_TYPES: Final = frozenset(
    {"text/rfc822-headers", "message/global-headers", "message/rfc822-headers"}
)

# No two repetitions of a pattern may match the same dashes: thousands of them would be tried in
# every division.
MARKERS: Final = re.compile(
    r"^[ \t>|*]{0,20}(?:-{3,80}[ \t]{0,4}(?:this is a copy|original message|message header"
    r"|unsent message|the (?:body|header)|start of|header|returned message|forwarded|attachment is"
    r"|enclosed|undelivered)|-{0,80}[ \t]{0,4}(?:below this line is a copy"
    r"|original message (?:follows|headers?|as received|details)|the original message (?:follows"
    r"|headers?)|message headers? follow|the header and top|(?:here is|below is|this is|included is"
    r"|following is) a copy of|your (?:original )?(?:message|mail) (?:reads|follows|headers)"
    r"|old message:|message text follows|the (?:original|following) (?:message|mail) follows"
    r"|original mail\b|message contents?:|(?:start|beginning) of (?:the )?(?:returned|original"
    r"|message)|original message\s*-{3}|copy of your (?:message|mail)|ursprüngliche nachricht"
    r"|message d'origine|mensaje original|(?:原邮件|原始邮件|原信)(?:内容|如下|信头))"
    r"|={5,80}[ \t]*\n>?(?:return-path|received)|(?:return-path|received|delivered-to|mime-version"
    r"|dkim-signature|reporting-mta):|x-[a-z-]{2,40}:[ \t])",
    re.IGNORECASE | re.MULTILINE,
)
_OWN_ID: Final = re.compile(r"^[ \t>|]{0,8}message-id:\s{0,20}<([^<>\s]{1,500})>", re.I | re.M)


@frozen(kw_only=True)
class Returned:
    """
    Which of our mails came back; None for what cannot be told.

    Attributes:
        message_id: Its Message-ID.
        token: The token of its return path.
        headers: Of the returned part, by name in lower case, as far as they came back.
    """

    message_id: str | None
    token: str | None
    headers: dict[str, tuple[str, ...]]


def find(parts: Sequence[Part], text: str, named: str | None = None) -> Returned:
    """
    Return which mail it was.

    Args:
        parts: All of the bounce.
        text: What it says to people, with the copy of the mail that some put below it.
        named: The Message-ID that a report names.
    """
    headers = _headers(parts)
    if not headers and (mark := MARKERS.search(text)):
        headers = headers_of(text[mark.start() :].replace("\n>", "\n"))
    outer = parts[0]
    ids = (
        *_ids(headers.get("message-id", ())),
        *_ids((f"<{named.strip('<> ')}>",) if named else ()),
        *(found[1] for found in _OWN_ID.finditer(text)),
        *_ids(outer.headers.get("x-original-message-id", ())),
        *_ids(outer.headers.get("in-reply-to", ())),
        *reversed(list(_ids(outer.headers.get("references", ())))),
    )
    tokens = (
        *_tokens(outer, _SENT_TO),
        *(found for name in _INSIDE for value in headers.get(name, ()) for found in _all(value)),
    )
    return Returned(
        message_id=next(iter(ids), None), token=next(iter(tokens), None), headers=headers
    )


def token_in(value: str) -> str | None:
    """Return the token in a return path, or None."""
    return next(_all(value), None)


def before(text: str) -> str:
    """Return what stands before the copy of our mail, which decides nothing."""
    mark = MARKERS.search(text)
    return text[: mark.start()] if mark and text[: mark.start()].strip() else text


def _headers(parts: Sequence[Part]) -> dict[str, tuple[str, ...]]:
    """Return the headers of the mail within, wherever the bounce holds them."""
    for part in parts[1:]:
        if part.within and part.within[-1] in ("message/rfc822", "message/global"):
            if "message-id" in part.headers or "from" in part.headers:
                return dict(part.headers)
        elif part.kind in _TYPES:
            return headers_of(part.text.lstrip("\n"))
        elif part.kind in ("message/rfc822", "message/global"):
            return headers_of(part.text.lstrip("\n").partition("\n\n")[0])
    return {}


def _ids(values: Sequence[str]) -> Iterator[str]:
    """Yield the Message-IDs in header values."""
    for value in values:
        for found in _MESSAGE_ID.finditer(value[:4000]):
            yield found[1] or found[2]


def _tokens(part: Part, names: Sequence[str]) -> Iterator[str]:
    """Yield the tokens in the addresses that a mail was sent to."""
    for name in names:
        for value in part.headers.get(name, ()):
            yield from _all(value)


def _all(value: str) -> Iterator[str]:
    """Yield the tokens in one value."""
    for found in _TOKEN.finditer(value[:4000]):
        yield found[1]
