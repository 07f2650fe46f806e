"""Wording: what servers say in words, brought to one form and compared with tables."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final, NamedTuple

from crmcore_email_link.bounces.report import Kind

LONGEST_COMPARED: Final = 3000

_SPACE: Final = re.compile(r"\s+")
_SAID: Final = re.compile(r"\bhost \S{1,255}(?: ?[\[(][^\])]{1,80}[\])])? (?:said|says):")
# IronPort wraps what the other server said in the sentence of the status it chose.
_WRAPPED: Final = re.compile(
    r"[45]\.[0-9]\.[0-9] - (?:unknown address error|other mail system problem|bad destination host)"
)
# What notices say to everybody, whatever the reason.
_ANYWAY: Final = re.compile(
    r"it was rejected by the (?:server for the )?recipient domain"
    r"|i've given up|giving up on \S{1,80}"
    r"|did not reach the following|action on incorrect addresses"
    r"|verify (?:that )?the (?:recipient )?address(?: is correct)?"
    r"|please check the (?:above )?address\S*|try (?:sending|to send|resending) (?:it|the message"
    r"|your message) again(?: later)?"
)
# What we said, and what was agreed to, in the transcripts of some.
_TRANSCRIPT: Final = re.compile(
    r"^[ \t]*(?:<<< )?(?:[23]\d\d[- ]|(?:>>> )?(?:ehlo|helo|mail from|rcpt to|quit|data\b)).*$",
    re.M,
)
_LINE: Final = re.compile(r"(?<=\s)([245]\d\d)-(?:[245]\.\d{1,3}\.\d{1,3} )?")
_ADDRESS: Final = re.compile(
    r"[<\[]?[^\s<>@\"'()\[\],;:]{1,64}@(?:\[[0-9a-f.:ipv]{3,60}\]"
    r"|[^\W_][\w-]{0,62}(?:\.[\w-]{1,63}){0,9})[>\]]?"
)
_URL: Final = re.compile(r"\b(?:https?://|www\.)[^\s<>]{1,500}")
_HOST: Final = re.compile(r"\b[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63}){1,8}\.[a-z][a-z-]{1,62}\b")
_QUOTES: Final = str.maketrans({"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"'})


class Wording(NamedTuple):
    """
    One row of a table: words that decide.

    Attributes:
        pattern: A regular expression over what `Said` made of the words.
        kind: What they mean.
        source: Who says so.
        raw: Whether URLs and names of hosts are looked at, too.
    """

    pattern: str
    kind: Kind
    source: str
    raw: bool = False


class Said:
    """
    What a server said, in the one form that tables are written for.

    Lower case, one space between words, `@` for every address; `plain` lacks URLs and the names of
    hosts, too, as `spamfilter.example.com` says nothing about spam.
    """

    def __init__(self, text: str) -> None:
        text = unicodedata.normalize("NFKC", text[:LONGEST_COMPARED]).translate(_QUOTES).lower()
        text = _SPACE.sub(" ", _TRANSCRIPT.sub("", text))
        text = _WRAPPED.sub("", _LINE.sub("", _SAID.sub("", _ANYWAY.sub("", text))))
        self.raw = _ADDRESS.sub("@", text)
        self.plain = _HOST.sub("host", _URL.sub("", self.raw))


class Found(NamedTuple):
    """A row that fits, and the words it was found in."""

    wording: Wording
    words: str


class Table:
    """Rows of wordings, of which the first that fits decides."""

    def __init__(self, *rows: Iterable[Wording]) -> None:
        self.rows = tuple(row for each in rows for row in each)
        self._compiled = [(row, re.compile(row.pattern)) for row in self.rows]

    def find(self, said: Said) -> Found | None:
        """Return the first row that fits, or None."""
        for row, pattern in self._compiled:
            if match := pattern.search(said.raw if row.raw else said.plain):
                return Found(row, match[0][:200])
        return None
