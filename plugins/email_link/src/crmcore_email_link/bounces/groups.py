"""Groups: the fields of a delivery report, one group for the message and one per recipient."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from attrs import frozen

from crmcore_email_link.bounces.parts import Part, decoded_words, headers_of
from crmcore_email_link.bounces.replies import is_daemon
from crmcore_email_link.bounces.returned import MARKERS

DELIVERY: Final = frozenset({"message/delivery-status", "message/global-delivery-status"})
DISPOSITION: Final = frozenset(
    {"message/disposition-notification", "message/global-disposition-notification"}
)
MOST_RECIPIENTS: Final = 64
LONGEST_DIAGNOSTIC: Final = 1500
_LONGEST_TEXT: Final = 16_000

_BARE: Final = re.compile(r"^(?:reporting-mta|(?:final|original)-recipient):", re.I | re.M)
_NEXT_REPORT: Final = re.compile(r"^reporting-mta:", re.I | re.M)
_TELLING: Final = re.compile(r"^final-recipient:(?:.*\n){1,12}?(?:action|status):", re.I | re.M)
_STATUS: Final = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})")
_XTEXT: Final = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")
_HEX: Final = re.compile(r"\+([0-9A-F]{2})")


@frozen(kw_only=True)
class Group:
    """
    What a report says about one recipient (RFC 3464, 2.3).

    Attributes:
        final: The address that the mail ended at; None: it is not told.
        original: The address that we gave, as the report has it; None: it is not told.
        action: In lower case and without what some write after it; None: it is not told.
        status: The enhanced status code; None: it is not told.
        diagnostic: What the server said, without the type before it; empty: nothing.
    """

    final: str | None
    original: str | None
    action: str | None
    status: str | None
    diagnostic: str


@frozen(kw_only=True)
class Report:
    """
    All groups of a report.

    Attributes:
        groups: Those of recipients, in their order; at most `MOST_RECIPIENTS`.
        envelope_id: The ENVID (RFC 3464, 2.2.1); None: it is not told.
        message_id: The Message-ID that a disposition notification names (RFC 8098, 3.2.5).
        disposition: Such as `displayed`, of a disposition notification; None: it is none.
    """

    groups: tuple[Group, ...]
    envelope_id: str | None = None
    message_id: str | None = None
    disposition: str | None = None


def read(parts: Sequence[Part]) -> Report | None:
    """Return what the report among *parts* says; None: there is none."""
    found = next((each for each in parts if each.kind in DELIVERY | DISPOSITION), None)
    text = "\n\n".join(_alike(parts, found)) if found else _bare(parts)
    blocks = [fields for block in _blocks(text) if (fields := headers_of(block))]
    if not blocks:
        return None
    whole: dict[str, tuple[str, ...]] = {}
    for fields in blocks:
        for name, values in fields.items():
            whole.setdefault(name, values)
    named = [each for each in blocks if "final-recipient" in each or "original-recipient" in each]
    told = named or [each for each in blocks if "action" in each or "status" in each]
    envelope_id = _first(whole, "original-envelope-id")
    is_disposition = found is not None and found.kind in DISPOSITION
    disposition = _first(whole, "disposition") if is_disposition else None
    return Report(
        # Boxbe gives the action once, with the message, so that it holds for every recipient.
        groups=tuple(_group(fields, _first(whole, "action")) for fields in told[:MOST_RECIPIENTS]),
        envelope_id=_HEX.sub(_character, envelope_id) if envelope_id else None,
        message_id=_first(whole, "original-message-id"),
        disposition=disposition.partition(";")[2].strip().lower() if disposition else None,
    )


def _alike(parts: Sequence[Part], found: Part) -> list[str]:
    """
    Return the texts of a report and of what is called one beside it.

    InterMail sends what it says to people as a report, too, before the report itself. What stands
    elsewhere, such as in the mail that came back, is none of this report.
    """
    return [each.text for each in parts if (each.kind, each.within) == (found.kind, found.within)][
        :4
    ]


def _bare(parts: Sequence[Part]) -> str:
    """
    Return the fields of a report that has no part of its own.

    Forwarding makes such reports, by taking the boundaries away, and Amazon WorkMail writes its
    report into the text for people. Fields that follow a copy of the mail belong to that.
    """
    mail = parts[0]
    if mail.kind.startswith("multipart/report") and len(parts) == 1:
        text = mail.text
        begun = _BARE.search(text)
        return text[begun.start() :] if begun else ""
    if not is_daemon(mail):
        return ""
    written = (each for each in parts if each.kind == "text/plain" and not _is_returned(each))
    text = next((each.text[:_LONGEST_TEXT] for each in written), "")
    begun = _BARE.search(text)
    mark = MARKERS.search(text)
    if begun is None or (mark and mark.start() < begun.start()):
        return ""
    whole = text[begun.start() :]
    second = _NEXT_REPORT.search(whole, 1)
    whole = whole[: second.start()] if second else whole
    return whole if _TELLING.search(whole) else ""


def _is_returned(part: Part) -> bool:
    """Tell whether a part is of the mail that came back."""
    return any(each.startswith("message/") for each in part.within)


def _blocks(text: str) -> list[str]:
    """
    Return the groups of a report.

    They are parted by empty lines; where a system forgot them, a second Final-Recipient in the
    same group begins another one.
    """
    found: list[str] = []
    for block in re.split(r"\n(?:[ \t]*\n)+", text):
        lines = block.split("\n")
        begun = [n for n, line in enumerate(lines) if line[:16].lower() == "final-recipient:"]
        if len(begun) < 2:
            found.append(block)
            continue
        # What stands before a later recipient's field belongs to the one before it, except for
        # the original recipient, which most systems write first.
        at = [0, *(n - _is_original(lines[n - 1]) for n in begun[1:]), len(lines)]
        found.extend("\n".join(lines[a:b]) for a, b in pairwise(at))
    return found


def _is_original(line: str) -> bool:
    """Tell whether a line names the original recipient."""
    return line[:19].lower() == "original-recipient:"


def _first(fields: dict[str, tuple[str, ...]], name: str) -> str | None:
    """Return the first value of a field that says anything, or None."""
    return next((value for value in fields.get(name, ()) if value), None)


def _group(fields: dict[str, tuple[str, ...]], action_of_all: str | None) -> Group:
    """Return what the fields of one recipient say."""
    action = re.match(r"[a-z-]+", (_first(fields, "action") or action_of_all or "").lower())
    status_text = _first(fields, "status") or ""
    status = _STATUS.search(status_text)
    said, _, diagnostic = (_first(fields, "diagnostic-code") or "").partition(";")
    if not diagnostic:
        # Some leave the type out, and some write the reason after the status, as a comment.
        diagnostic = said or status_text[status.end() if status else 0 :].strip(" ()")
    return Group(
        final=address_of(_first(fields, "final-recipient")),
        original=address_of(_first(fields, "original-recipient")),
        action=action[0] if action else None,
        status=status[0] if status else None,
        diagnostic=decoded_words(diagnostic.strip())[:LONGEST_DIAGNOSTIC],
    )


def address_of(value: str | None) -> str | None:
    r"""
    Return the address in a field such as `rfc822; ada@example.com`, or None.

    An internationalised address (RFC 6533, 3) may be written with `\x{...}` for what is not
    ASCII, and the type may be missing. What holds no `@`, or could not stand in a header, is none.
    """
    if not value:
        return None
    kind, _, address = value[:1000].partition(";")
    address = (address or kind).strip()
    if address.startswith("<") and ">" in address:
        address = address[1 : address.rindex(">")]
    address = _XTEXT.sub(_character, address).strip()
    if "@" not in address[1:-1] or len(address) > 320 or not address.isprintable():
        return None
    return address


def _character(match: re.Match[str]) -> str:
    """Return the character that hexadecimal digits stand for."""
    code = int(match[1], 16)
    return chr(code) if 32 <= code < 0xD800 or 0xE000 <= code < 0x110000 else ""
