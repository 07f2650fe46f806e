"""Parts: a mail taken apart within bounds, whatever is thrown at us."""

from __future__ import annotations

import binascii
import quopri
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

from attrs import frozen

# The parser of the standard library recurses with the nesting and asks every enclosing boundary
# about every line; 10,000 nested parts end it. This one keeps one buffer and works on offsets.
DEEPEST: Final = 12
MOST_PARTS: Final = 64
MOST_HEADER_BYTES: Final = 64 * 1024
MOST_TEXT_BYTES: Final = 128 * 1024
_MOST_LOOKED_AT: Final = 10_000  # lines that begin as a boundary does

_END_OF_HEADERS: Final = re.compile(rb"\n[ \t]*(?=\n)")
_FIELD: Final = re.compile(r"([!-9;-~]{1,100})[ \t]*:(.*)", re.DOTALL)
_FOLD: Final = re.compile(r"\n[ \t]+")
_PARAMETER: Final = re.compile(r""";\s*([\w*-]{1,40})\s*=\s*(?:"([^"]{0,300})"|([^\s;"]{1,300}))""")
_ENCODED_WORD: Final = re.compile(r"=\?([\w.:-]{1,60})(?:\*[\w-]*)?\?([bBqQ])\?([^?\s]{0,400})\?=")
_BETWEEN_WORDS: Final = re.compile(r"(\?=)\s+(?==\?)")
# Python also knows codecs that are slow (`punycode`) or warn (`unicode_escape`).
_CHARSET: Final = re.compile(
    r"(?:utf|ucs|iso|windows|cp|koi|gb|big|euc|shift|sjis|hz|mac|latin|ks_c|tis|ibm|johab)[\w.:-]{0,20}"
)
_CHARSETS: Final = {
    "unicode-1-1-utf-7": "utf-7",  # as Exchange 2000 and 2003 wrote it
    "gb2312": "gb18030",  # senders label GBK so; GB18030 contains both
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "ks_c_5601-1987": "cp949",
    "iso-8859-8-i": "iso-8859-8",
    "x-sjis": "cp932",
    "shift_jis": "cp932",
    "us-ascii": "",
    "unknown-8bit": "",
    "x-unknown": "",
}


@frozen(kw_only=True)
class Part:
    """
    A leaf of a mail's tree, or a mail within it.

    Attributes:
        kind: Its media type in lower case, such as `message/delivery-status`.
        headers: By name in lower case, each with all its values, unfolded.
        parameters: Of its Content-Type, by name in lower case.
        within: The media types that it lies in, the outermost first.
        body: Its bytes, not yet decoded and at most `MOST_TEXT_BYTES`; lines end with LF.
    """

    kind: str
    headers: Mapping[str, tuple[str, ...]]
    parameters: Mapping[str, str]
    within: tuple[str, ...]
    body: bytes

    def header(self, name: str) -> str:
        """Return the first value of a header, with encoded words decoded; empty: it is missing."""
        return decoded_words(next(iter(self.headers.get(name, ())), ""))

    @property
    def text(self) -> str:
        """What the body says."""
        return decoded(self.body, self.header("content-transfer-encoding"), self.charset)

    @property
    def charset(self) -> str:
        """The character set that it claims."""
        return self.parameters.get("charset", "")


def with_lf(raw: bytes) -> bytes:
    """Return the mail with lines that end with LF, whether they ended with LF, CRLF or CR."""
    return raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in raw else raw


def decoded_words(value: str) -> str:
    """Return a header's value with its encoded words (RFC 2047) decoded, as far as they are."""
    if "=?" not in value:
        return value

    def word(match: re.Match[str]) -> str:
        charset, encoding, text = match.groups()
        if encoding in "qQ":
            return decoded(text.replace("_", " ").encode("latin-1", "replace"), "q", charset)
        return decoded(text.encode("latin-1", "replace"), "base64", charset)

    return _ENCODED_WORD.sub(word, _BETWEEN_WORDS.sub(r"\1", value))


def decoded(body: bytes, encoding: str, charset: str) -> str:
    """Return what bytes say; those of a broken encoding or character set are told as well."""
    encoding = encoding.strip().lower()
    if encoding == "base64":
        body = _from_base64(body)
    elif encoding in ("quoted-printable", "q"):
        body = quopri.decodestring(body)
    charset = charset.strip("\"' ").lower()
    charset = _CHARSETS.get(charset, charset if _CHARSET.fullmatch(charset) else "")
    # Many declare nothing, or US-ASCII, and write UTF-8, or GBK as Chinese systems do.
    for name in (charset, "utf-8", "gb18030"):
        try:
            return body.decode(name) if name else body.decode("ascii")
        except (LookupError, ValueError):
            continue
    return body.decode("latin-1")


def _from_base64(body: bytes) -> bytes:
    """Return the bytes that base64 stands for, up to where it breaks off."""
    body = re.sub(rb"[^A-Za-z0-9+/]", b"", body)
    usable = len(body) - (1 if len(body) % 4 == 1 else 0)
    try:
        return binascii.a2b_base64(body[:usable] + b"=" * (-usable % 4))
    except binascii.Error:
        return b""


def headers_of(text: str) -> dict[str, tuple[str, ...]]:
    """Return the header fields of *text* by name in lower case, unfolded; other lines are left."""
    found: dict[str, list[str]] = {}
    for line in _FOLD.sub(" ", text).split("\n"):
        if field := _FIELD.match(line):
            found.setdefault(field[1].lower(), []).append(field[2].strip())
    return {name: tuple(values) for name, values in found.items()}


def media_type(value: str) -> tuple[str, dict[str, str]]:
    """Return the media type that a Content-Type names, in lower case, and its parameters."""
    kind = value.partition(";")[0].strip().lower()
    found = {
        name.lower().rstrip("*"): quoted or plain
        for name, quoted, plain in _PARAMETER.findall(value[:4000])
    }
    return (kind if re.fullmatch(r"[\w.+-]{1,80}/[\w.+-]{1,80}", kind) else "text/plain"), found


def parts_of(raw: bytes) -> list[Part]:
    """
    Return the mail itself, then each leaf and each mail within it, in the order of the bytes.

    The body of one that has parts is only what stands before them. `MOST_PARTS` are told of, and
    nothing that lies deeper than `DEEPEST`.
    """
    data = with_lf(raw).lstrip(b"\n")
    # An mbox's first line (RFC 4155) is no header.
    start = data.find(b"\n") + 1 if data.startswith((b"From ", b">From ")) else 0
    found: list[Part] = []
    waiting: list[tuple[int, int, tuple[str, ...]]] = [(start, len(data), ())]
    while waiting and len(found) < MOST_PARTS:
        start, end, within = waiting.pop()
        part, inner = _part(data, start, end, within)
        if not inner or not within or within[-1].startswith("message/"):
            found.append(part)
        if len(within) < DEEPEST:
            waiting.extend(reversed([(*each, (*within, part.kind)) for each in inner]))
    return found


def _part(
    data: bytes, start: int, end: int, within: tuple[str, ...]
) -> tuple[Part, list[tuple[int, int]]]:
    """Return the part between two offsets, and the offsets of the parts in it."""
    body = _body_at(data, start, end)
    head = data[start : min(body, start + MOST_HEADER_BYTES)]
    headers = headers_of(_unencoded(head))
    kind, parameters = media_type(next(iter(headers.get("content-type", ())), ""))
    if within and within[-1] == "multipart/digest" and "content-type" not in headers:
        kind = "message/rfc822"
    inner: list[tuple[int, int]] = []
    if kind.startswith("multipart/") and (boundary := parameters.get("boundary")):
        inner = list(_between(data, body, end, boundary.encode("utf-8", "replace")))
    elif kind in ("message/rfc822", "message/global") and not _is_encoded(headers):
        inner = [(_past_empty_lines(data, body, end), end)]
    part = Part(
        kind=kind,
        headers=headers,
        parameters=parameters,
        within=within,
        body=data[body : min(inner[0][0] if inner else end, body + MOST_TEXT_BYTES)],
    )
    return part, inner


def _unencoded(head: bytes) -> str:
    """Return a head as text: UTF-8 (RFC 6532), or Latin-1 so that every byte is kept."""
    try:
        return head.decode("utf-8")
    except ValueError:
        return head.decode("latin-1")


def _is_encoded(headers: Mapping[str, tuple[str, ...]]) -> bool:
    """Tell whether a body is encoded as a whole."""
    encoding = next(iter(headers.get("content-transfer-encoding", ())), "").strip().lower()
    return encoding in ("base64", "quoted-printable")


def _body_at(data: bytes, start: int, end: int) -> int:
    """Return where the body starts: after the first empty line, or at once if that comes first."""
    if data.startswith(b"\n", start, end):
        return start + 1
    found = _END_OF_HEADERS.search(data, start, min(end, start + MOST_HEADER_BYTES))
    return min(found.end() + 1, end) if found else end


def _past_empty_lines(data: bytes, start: int, end: int) -> int:
    """Return where the first line that is not empty starts."""
    while start < end and data[start] == 10:  # a line feed
        start += 1
    return start


def _between(data: bytes, start: int, end: int, boundary: bytes) -> Iterator[tuple[int, int]]:
    """Yield the offsets of what lies between boundaries; the closing one may be missing."""
    opened: int | None = None
    # The line feed before a boundary belongs to it (RFC 2046, 5.1.1).
    for begins, ends, closes in islice(_boundaries(data, start, end, boundary), MOST_PARTS + 1):
        if opened is not None:
            yield opened, max(opened, begins - 1)
        opened = None if closes else ends
        if closes:
            return
    if opened is not None:
        yield opened, end


def _boundaries(
    data: bytes, start: int, end: int, boundary: bytes
) -> Iterator[tuple[int, int, bool]]:
    """Yield each boundary's first offset, that after its line, and whether it is the last."""
    wanted = b"\n--" + boundary
    at = start - 1
    for _ in range(_MOST_LOOKED_AT):
        at = data.find(wanted, at, end)
        if at < 0:
            return
        after = at + len(wanted)
        newline = data.find(b"\n", after, end)
        newline = end if newline < 0 else newline
        rest = data[after : min(newline, after + 80)].strip()
        if rest in (b"", b"--"):
            yield at + 1, min(newline + 1, end), rest == b"--"
        at = newline
