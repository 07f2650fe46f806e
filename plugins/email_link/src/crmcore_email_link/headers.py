"""
Headers: names and values as the lines of a mail, folded, and encoded where that is allowed.

They are written here and not by the standard library, which encodes the URL of a long
`List-Unsubscribe` so that no receiver finds it, and loses the space between two encoded words or
the quotes of a name (python/cpython issues 85725, 121284, 136052 and 144156).

Source:
    RFC 5322, sections 2.1.1 and 2.2.3 (lines and folding), RFC 2047 (encoded words).
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from typing import Final

from crmcore.errors import InputError

LONGEST_LINE: Final = 998  # octets, without CRLF: RFC 5322, section 2.1.1
LONGEST_ENCODED_LINE: Final = 76  # RFC 2047, section 2, and RFC 2045, section 6.7
LONGEST_TEXT: Final = 998
"""Characters of a subject or a display name; no reader of mail shows so many."""

_LONGEST_WORD: Final = 75  # RFC 2047, section 2
_FRAME: Final = len("=?utf-8?q??=")
_LONGEST_PLAIN_NAME: Final = 60  # so that the line of any header has room for it
_LONGEST_HEADER: Final = 40  # so that the first line of any has room for an encoded word
_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*")

_UNFIT: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PLAIN: Final = re.compile(r"[!-~]+(?: [!-~]+)*")
_ATOMS: Final = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?: [\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)

# What an encoded word of the Q encoding may hold as it is, even in a phrase: RFC 2047, 5 (3).
_AS_IT_IS: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
_Q: Final = tuple(
    chr(octet) if octet in _AS_IT_IS else "_" if octet == 0x20 else f"={octet:02X}"
    for octet in range(256)
)


def check_text(what: str, value: object) -> str:
    """
    Return a text that a header may say.

    Raises:
        InputError: If it holds what ends a header's line, or what is no character at all; with
            the first, whoever chose it could write headers of their own.
    """
    if not isinstance(value, str):
        raise InputError(f"{what} is {value!r}; text is expected")
    if found := _UNFIT.search(value):
        raise InputError(
            f"{what} holds {found[0]!r} at {found.start()}, which no header may; text in one "
            f"line is expected: {value[:LONGEST_ENCODED_LINE]!r}"
        )
    if len(value) > LONGEST_TEXT:
        raise InputError(f"{what} has {len(value)} characters; at most {LONGEST_TEXT} are expected")
    return value


def check_name(name: object) -> None:
    """Raise `InputError` unless a header can be called so."""
    if not isinstance(name, str) or not _HEADER.fullmatch(name) or len(name) > _LONGEST_HEADER:
        raise InputError(
            f"no header can be called {name!r}; letters, digits and hyphens, at most "
            f"{_LONGEST_HEADER} of them, are expected"
        )


def unstructured(name: str, value: str) -> str:
    """Return a header whose value is text for people, such as `Subject`, without its last CRLF."""
    check_text(name, value)
    room = LONGEST_ENCODED_LINE - len(name) - len(": ")
    if "=?" not in value and _PLAIN.fullmatch(value):
        words = value.split(" ")
        if len(words[0]) <= room and max(map(len, words)) < LONGEST_ENCODED_LINE:
            return _folded(name, words)
    return f"{name}: " + "\r\n ".join(_encoded_words(value, room))


def structured(name: str, value: str) -> str:
    """
    Return a header whose value is read by machines, folded at its spaces and never encoded.

    Raises:
        InputError: If it could only be written with encoded words, which RFC 2047 (section 5)
            forbids there, or looks like one, or has a word longer than a line.
    """
    check_text(name, value)
    if "=?" in value or not _PLAIN.fullmatch(value):
        raise InputError(
            f"{name} is {value!r}, and cannot be encoded; ASCII words with single spaces between "
            "them, and no '=?', are expected"
        )
    line = _folded(name, value.split(" "))
    if max(map(len, line.split("\r\n"))) > LONGEST_LINE:
        raise InputError(
            f"{name} has a word longer than a line, which is {LONGEST_LINE} octets: {value[:60]!r}"
        )
    return line


def mailbox(name: str, display_name: str, address: str) -> str:
    """Return a header that names one mailbox, such as `From`; its display name may be empty."""
    if not display_name:
        return f"{name}: {address}"
    room = LONGEST_ENCODED_LINE - len(name) - len(": ")
    start = f"{name}: {_phrase(display_name, room)}"
    last = len(start) - start.rfind("\n") - 1
    if last + len(address.encode()) + len(" <>") > LONGEST_ENCODED_LINE:
        return f"{start}\r\n <{address}>"
    return f"{start} <{address}>"


def _phrase(text: str, room: int) -> str:
    """Return a display name as RFC 5322 wants it: as it is, in quotes, or as encoded words."""
    if len(text) <= _LONGEST_PLAIN_NAME and "=?" not in text and _PLAIN.fullmatch(text):
        if _ATOMS.fullmatch(text):
            return text
        # Readers disagree about what is escaped in quotes, and about nothing in encoded words.
        if not {'"', "\\"}.intersection(text):
            return f'"{text}"'
    return "\r\n ".join(_encoded_words(text, room))


def _folded(name: str, words: list[str]) -> str:
    """Return a header with as many words in each line as fit; the first stays with its name."""
    lines: list[str] = []
    line = f"{name}: {words[0]}"
    for word in words[1:]:
        if len(line) + 1 + len(word) > LONGEST_ENCODED_LINE:
            lines.append(line)
            line = ""
        line += f" {word}"
    lines.append(line)
    return "\r\n".join(lines)


def _encoded_words(text: str, room: int) -> list[str]:
    """Return text as encoded words of whole characters, the first within *room* characters."""
    data = text.encode()
    in_q = "".join(map(_Q.__getitem__, data))
    in_base64 = (len(data) + 2) // 3 * 4
    return _in_q(in_q, room) if len(in_q) <= in_base64 else _in_base64(data, room)


def _in_q(text: str, room: int) -> list[str]:
    words: list[str] = []
    start, room = 0, min(room, _LONGEST_WORD)
    while start < len(text):
        end = start + room - _FRAME
        if end < len(text):
            end -= 1 if text[end - 1] == "=" else 2 if text[end - 2] == "=" else 0
            # An encoded word holds whole characters (RFC 2047, section 5): none is cut.
            while text[end] == "=" and text[end + 1] in "89AB":
                end -= 3
        words.append(f"=?utf-8?q?{text[start:end]}?=")
        start, room = end, _LONGEST_WORD
    return words


def _in_base64(data: bytes, room: int) -> list[str]:
    words: list[str] = []
    start, room = 0, min(room, _LONGEST_WORD)
    while start < len(data):
        end = start + (room - _FRAME) // 4 * 3
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        words.append(f"=?utf-8?b?{b2a_base64(data[start:end], newline=False).decode()}?=")
        start, room = end, _LONGEST_WORD
    return words
