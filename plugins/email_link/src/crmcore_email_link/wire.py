"""
The wire: what is wrong with a mail, found in the very octets that would be sent.

It knows nothing of how they came about, so that it also finds what a server, a library or a later
version of ours has done to a mail.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, Literal

from attrs import frozen

from crmcore_email_link.canonical import OVERSIGNED, Field, canonical_body, split
from crmcore_email_link.headers import LONGEST_ENCODED_LINE, LONGEST_LINE
from crmcore_email_link.parts import faults_of_parts
from crmcore_email_link.tokens import LONGEST_URL

Severity = Literal["error", "warning"]

_REQUIRED: Final = (b"date", b"from", b"to", b"subject", b"message-id", b"mime-version")
_ONCE: Final = frozenset(
    {
        *_REQUIRED,
        b"cc",
        b"sender",
        b"reply-to",
        b"references",
        b"in-reply-to",
        b"content-type",
        b"content-transfer-encoding",
        b"list-id",
        b"list-unsubscribe",
        b"list-unsubscribe-post",
    }
)
"""Headers of which a second is read by some and not by others (RFC 5322, section 3.6)."""

_FREE: Final = frozenset({b"subject", b"comments", b"keywords"})
_OF_MAILBOXES: Final = frozenset({b"from", b"to", b"cc", b"reply-to", b"sender"})

_NAME: Final = re.compile(rb"[!-9;-~]+")
_ENCODED_WORD: Final = re.compile(rb"=\?[^?\s]+\?[BbQq]\?([^?\s]*)\?=")
_IN_ANGLES: Final = re.compile(rb"<[^<>]*>")
_QUOTED: Final = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\Z)', re.DOTALL)
_ONE_CLICK: Final = b"List-Unsubscribe=One-Click"


@frozen
class Finding:
    """
    Something wrong with a mail.

    Attributes:
        code: What it is, such as `one-click`; the same for ever.
        message: In a sentence, with what was found and what is expected.
        severity: An error: it must not go. A warning: somebody should look.
    """

    code: str
    message: str
    severity: Severity = "error"


def check(raw: bytes, *, signed: bool = True) -> list[Finding]:
    """
    Return what is wrong with a mail as it would be sent; an empty list: nothing is known to be.

    It raises for no octets whatever.

    Args:
        raw: The mail.
        signed: Whether a signature is expected; False where a provider puts its own on it later.
    """
    fields, body = split(raw)
    return [
        *_faults_of_lines(raw),
        *_faults_of_headers(raw, fields),
        *_faults_of_encoding(fields),
        *_faults_of_signatures(fields, body, expected=signed),
        *_faults_of_unsubscribing(fields),
        *(Finding(*each) for each in faults_of_parts(raw)),
    ]


def _faults_of_lines(raw: bytes) -> Iterator[Finding]:
    bare = len(re.findall(rb"\r(?!\n)|(?<!\r)\n", raw))
    if bare:
        yield Finding(
            "bare-newline",
            f"{bare} CR or LF stand alone; CRLF is expected (RFC 5321, section 2.3.8), as servers "
            "differ on what else ends a line, and even a mail",
        )
    if b"\0" in raw:
        yield Finding("nul", "it holds NUL, which no mail may (RFC 5322, section 3.5)")
    longest = max(map(len, re.split(rb"\r\n|\r|\n", raw)))
    if longest > LONGEST_LINE:
        yield Finding(
            "line-length",
            f"a line has {longest} octets; at most {LONGEST_LINE} are expected "
            "(RFC 5322, section 2.1.1)",
        )
    head = raw.partition(b"\r\n\r\n")[0]
    if not head.isascii():
        yield Finding(
            "smtputf8",
            "a header holds UTF-8, which only servers with SMTPUTF8 take (RFC 6531)",
            "warning",
        )


def _faults_of_headers(raw: bytes, fields: list[Field]) -> Iterator[Finding]:
    head, end, _ = raw.partition(b"\r\n\r\n")
    if not end:
        yield Finding("no-body", "no empty line ends the headers; one is expected")
    for line in re.split(rb"\r\n(?![ \t])", head):
        name, colon, _ = line.partition(b":")
        if line and not (colon and _NAME.fullmatch(name)):
            yield Finding("header", f"{line[:60]!r} is no header; a name and a colon are expected")
    found = Counter(field.name for field in fields)
    for name in _REQUIRED:
        if not found[name]:
            yield Finding("header-missing", f"it has no {_shown(name)}, which every mail needs")
    for name, count in found.items():
        if count > 1 and name in _ONCE:
            yield Finding("header-twice", f"it has {_shown(name)} {count} times; one is expected")


def _faults_of_encoding(fields: list[Field]) -> Iterator[Finding]:
    """Find encoded words where no machine reads them, and those that readers drop."""
    for name, raw in fields:
        if b"=?" not in raw:
            continue
        if name in _OF_MAILBOXES:
            forbidden = b"".join((*_IN_ANGLES.findall(raw), *_QUOTED.findall(raw)))
        else:
            forbidden = b"" if name in _FREE or name.startswith(b"x-") else raw
        if b"=?" in forbidden:
            yield Finding(
                "encoded-word",
                f"{_shown(name)} holds an encoded word where none may be (RFC 2047, section 5), "
                f"so that machines do not find what they look for: {raw[:80]!r}",
            )
        if any(not text for text in _ENCODED_WORD.findall(raw)):
            yield Finding("encoded-word-empty", f"{_shown(name)} holds an empty encoded word")
        for line in raw.split(b"\r\n"):
            if len(line) > LONGEST_ENCODED_LINE and _ENCODED_WORD.search(line):
                yield Finding(
                    "encoded-line",
                    f"a line of {_shown(name)} has {len(line)} octets; at most "
                    f"{LONGEST_ENCODED_LINE} are expected beside an encoded word (RFC 2047, 2)",
                )


def _faults_of_signatures(fields: list[Field], body: bytes, *, expected: bool) -> Iterator[Finding]:
    signatures = [_tags(field.raw) for field in fields if field.name == b"dkim-signature"]
    if not signatures:
        if expected:
            yield Finding("dkim-missing", "it is not signed; a DKIM signature is expected")
        return
    found = Counter(field.name for field in fields)
    hashed = b64encode(hashlib.sha256(canonical_body(body)).digest())
    for tags in signatures:
        yield from _faults_of_signature(tags, found, hashed)
    sender = next((field.raw for field in fields if field.name == b"from"), b"")
    host = sender.rpartition(b"@")[2].strip(b"> \t\r\n").lower()
    if not any(_are_aligned(tags.get(b"d", b"").lower(), host) for tags in signatures):
        signers = ", ".join(_shown(tags.get(b"d", b"")) for tags in signatures)
        yield Finding(
            "dkim-alignment",
            f"it is from {_shown(host)} and signed by {signers}; DMARC expects one domain",
            "warning",
        )


def _faults_of_signature(
    tags: Mapping[bytes, bytes], found: Counter[bytes], hashed: bytes
) -> Iterator[Finding]:
    who = f"the signature of {_shown(tags.get(b'd', b''))}"
    if b"l" in tags:
        yield Finding(
            "dkim-length", f"{who} has l=, so that anything can be appended; none is expected"
        )
    if tags.get(b"c") != b"relaxed/relaxed":
        yield Finding(
            "dkim-form", f"{who} has c={_shown(tags.get(b'c', b''))}; relaxed/relaxed is expected"
        )
    elif tags.get(b"bh") != hashed:
        yield Finding("dkim-body", f"{who} does not fit the body, which has changed since")
    signed = Counter(name.strip().lower() for name in tags.get(b"h", b"").split(b":"))
    for name in OVERSIGNED:
        wire = name.lower().encode()
        if found[wire] > signed[wire]:
            yield Finding(
                "dkim-coverage", f"{who} does not cover {name}, so that it can be changed"
            )
        elif signed[wire] <= found[wire] > 0:
            yield Finding(
                "dkim-oversigning",
                f"{who} names {name} {signed[wire]} times; {found[wire] + 1} are expected, so that "
                "another one breaks it (RFC 6376, section 8.15)",
            )


def _tags(raw: bytes) -> dict[bytes, bytes]:
    """Return the tags of a signature without the blanks in them (RFC 6376, section 3.2)."""
    value = re.sub(rb"\s+", b"", raw.partition(b":")[2])
    pairs = (each.partition(b"=") for each in value.split(b";"))
    return {name: text for name, equals, text in pairs if equals}


def _are_aligned(one: bytes, other: bytes) -> bool:
    """Return whether one domain is the other, or above it: what can be told without the DNS."""
    return bool(one and other) and (
        one == other or one.endswith(b"." + other) or other.endswith(b"." + one)
    )


def _faults_of_unsubscribing(fields: list[Field]) -> Iterator[Finding]:
    """Find what keeps one click from ending it (RFC 8058), and where none belongs."""
    found = {field.name: _unfolded(field.raw) for field in reversed(fields)}
    way, post = found.get(b"list-unsubscribe"), found.get(b"list-unsubscribe-post")
    if b"list-id" not in found and found.get(b"precedence", b"").lower() != b"bulk":
        if post is not None:
            yield Finding("one-click", "it is no bulk mail and offers one click; none is expected")
        return
    if post != _ONE_CLICK:
        says = "has no" if post is None else f"has {post[:40]!r} as its"
        yield Finding(
            "one-click",
            f"a bulk mail {says} List-Unsubscribe-Post; {_ONE_CLICK.decode()} is expected "
            "(RFC 8058, section 3.1)",
        )
    ways = [each[1:-1] for each in _IN_ANGLES.findall(way or b"")]
    urls = [each for each in ways if each.lower().startswith(b"https://")]
    if len(urls) != 1:
        yield Finding(
            "one-click",
            f"a bulk mail has {len(urls)} https links in List-Unsubscribe; one is expected "
            "(RFC 8058, section 3.1)",
        )
    if not any(each.lower().startswith(b"mailto:") for each in ways):
        yield Finding(
            "unsubscribe-mailto",
            "a bulk mail has no mailto in List-Unsubscribe; some readers know no other way",
            "warning",
        )
    for each in ways:
        if len(each) > LONGEST_URL:
            yield Finding(
                "unsubscribe-length",
                f"a way to unsubscribe has {len(each)} octets; at most {LONGEST_URL} are "
                f"expected, as some servers break longer ones: {each[:40]!r}",
            )


def _unfolded(raw: bytes) -> bytes:
    return raw.partition(b":")[2].replace(b"\r\n", b"").strip(b" \t")


def _shown(octets: bytes) -> str:
    """Return a name for people: headers as they are usually written."""
    return octets[:80].decode("ascii", "backslashreplace")
