"""Mails: what one says and to whom, and the very bytes that go over the wire."""

from __future__ import annotations

import hashlib
import re
from binascii import b2a_base64, b2a_qp
from collections.abc import Iterable, Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import Final, NamedTuple

from attrs import Attribute, field, frozen

from crmcore.errors import InputError
from crmcore_email_link.headers import (
    LONGEST_ENCODED_LINE,
    check_name,
    check_text,
    mailbox,
    structured,
    unstructured,
)
from crmcore_email_link.tokens import LONGEST_URL

_LONGEST_LOCAL: Final = 64  # octets: RFC 5321, section 4.5.3.1.1
_LONGEST_ADDRESS: Final = 254  # RFC 5321, section 4.5.3.1.3, less the brackets
_LONGEST_PLAIN_LINE: Final = 78  # RFC 5322, section 2.1.1: what a line should not exceed
_LONGEST_LIST_ID: Final = 255  # RFC 2919, section 2

_DOMAIN: Final = (
    r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
)
_BLANKS: Final = re.compile(r"[ \t]+")
_ADDRESS: Final = re.compile(rf'([^\s\x00-\x1f\x7f-\x9f\ud800-\udfff<>()\[\]\\,;:"@]+)@{_DOMAIN}')
_MESSAGE_ID: Final = re.compile(r"<[\w!#$%&'*+/=^`{|}~.-]+@[\w.-]+>", re.ASCII)
_LIKE_MESSAGE_ID: Final = ("<4711@shop.example>", 250)  # an example, and octets at most
_LIST_ID: Final = re.compile(r"[\w-]+(?:\.[\w-]+)+", re.ASCII)
_FEEDBACK_ID: Final = re.compile(r"(?:[!-9;->@-~]*:){0,3}[!-9;->@-~]{5,15}")
_URL: Final = re.compile(r"https://[!#-+\--;=?-~]+")
_MAILTO: Final = re.compile(r"mailto:[!#-+\--;=?-~]+@[!#-+\--;=?-~]+")
_IMAGE_TYPE: Final = re.compile(r"image/[a-z0-9][a-z0-9.+-]*")
_CID: Final = re.compile(r"[\w.+-]+(?:@[\w.-]+)?", re.ASCII)

_FREE: Final = frozenset({"comments", "keywords"})
"""Headers for people; with `Subject` and those that begin with X- they may hold any character."""

_OF_FIELDS: Final = frozenset(
    "bcc cc date dkim-signature feedback-id from list-id list-unsubscribe list-unsubscribe-post "
    "message-id mime-version precedence auto-submitted received reply-to return-path sender "
    "subject to".split()
)
"""Headers that a mail has by its fields or by who carries it, and never by name."""


class _Part(NamedTuple):
    """A part of a mail: its headers, and its body with CRLF at its end."""

    head: str
    body: bytes


def _in_single_blanks(name: object) -> object:
    """Return a name as readers show it: some keep several blanks, others do not."""
    return _BLANKS.sub(" ", name).strip(" ") if isinstance(name, str) else name


def _is_display_name(_: object, __: Attribute[str], value: object) -> None:
    check_text("a display name", value)


def _is_address(_: object, __: Attribute[str], value: object) -> None:
    found = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise InputError(
            f"{value!r} is no address that a header can hold; name@host is expected, its host in "
            "ASCII, as addresses.parse gives it"
        )
    if len(found[1].encode()) > _LONGEST_LOCAL or len(found[0].encode()) > _LONGEST_ADDRESS:
        raise InputError(
            f"the address {value!r} is too long: at most {_LONGEST_LOCAL} octets before the @ "
            f"and {_LONGEST_ADDRESS} in all are expected"
        )


@frozen
class Mailbox:
    """
    Who a mail is from or for.

    Attributes:
        address: Its host as A-labels; what stands before it may be in any script.
        name: What people call them, with single blanks between its words; may be empty.
    """

    address: str = field(validator=_is_address)
    name: str = field(default="", converter=_in_single_blanks, validator=_is_display_name)


@frozen
class Image:
    """
    An image that a mail brings along; made once for a campaign, as it is encoded then.

    Attributes:
        cid: By which the HTML names it: `<img src="cid:logo">`.
        content: Its octets.
        media_type: Such as `image/png`.
        part: The part of a mail that it is.
    """

    cid: str
    content: bytes = field(repr=False)
    media_type: str
    part: _Part = field(init=False, eq=False, repr=False)

    @part.default
    def _encoded(self) -> _Part:
        _expect("an image's cid", self.cid, _CID, "logo")
        _expect("an image's type", self.media_type, _IMAGE_TYPE, "image/png")
        content: object = self.content
        if not isinstance(content, bytes) or not content:
            raise InputError(f"the image {self.cid} has no octets; what is in its file is expected")
        head = (
            f"Content-Type: {self.media_type}\r\n"
            "Content-Transfer-Encoding: base64\r\n"
            f"Content-ID: <{self.cid}>\r\n"
            "Content-Disposition: inline"
        )
        return _Part(head, _base64(self.content))


def _in_order(images: Iterable[Image]) -> tuple[Image, ...]:
    return tuple(images)


@frozen(kw_only=True)
class Mail:
    """
    A mail to one recipient.

    Attributes:
        sender: Whom it is from.
        recipient: Whom it is for.
        subject: What it is about, in one line.
        text: What it says in plain text.
        html: The same in HTML; None: it has the text only.
        images: Those that the HTML names.
        message_id: Its name in angle brackets, the same in every attempt; `message_id` makes one.
        date: When it was written: an aware instant, the same in every attempt.
        reply_to: Whom an answer goes to; None: the sender.
        bulk: Whether it goes to many, who can each say that they want no more of it. Then it
            has the three that follow; any other mail has none, as nobody is to unsubscribe from
            what they ordered (RFC 8058, section 3.1), and says that a machine wrote it.
        list_id: What list it belongs to, such as `news.shop.example` (RFC 2919).
        unsubscribe_url: Where one POST ends it: https, at most 70 octets.
        unsubscribe_mailto: Where a mail ends it, such as `mailto:u+token@shop.example`; may be
            None.
        feedback_id: By which Gmail counts complaints: `campaign:part:kind:sender`; may be None.
        headers: More of them, by name: for people those that begin with `X-`, all others in ASCII.
    """

    sender: Mailbox
    recipient: Mailbox
    subject: str
    text: str
    html: str | None = None
    images: tuple[Image, ...] = field(default=(), converter=_in_order)
    message_id: str
    date: datetime
    reply_to: Mailbox | None = None
    bulk: bool = False
    list_id: str | None = None
    unsubscribe_url: str | None = None
    unsubscribe_mailto: str | None = None
    feedback_id: str | None = None
    headers: Mapping[str, str] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        """Refuse what cannot be sent, before anything is."""
        if not check_text("the subject", self.subject).strip():
            raise InputError("the subject is empty; a few words are expected")
        if self.date.utcoffset() is None:
            raise InputError(f"the date {self.date} has no zone; an aware datetime is expected")
        _expect("the message id", self.message_id, _MESSAGE_ID, *_LIKE_MESSAGE_ID)
        _check_bodies(self)
        _check_terms(self)
        for name, value in self.headers.items():
            check_name(name)
            check_text(name, value)
            if name.lower() in _OF_FIELDS or name.lower().startswith("content-"):
                raise InputError(f"the header {name} cannot be given by name; a field has it")

    @property
    def is_international(self) -> bool:
        """Whether only a server that offers SMTPUTF8 can take it (RFC 6531)."""
        found = (self.sender, self.recipient, self.reply_to)
        return not all(each.address.isascii() for each in found if each is not None)


def message_id(key: str, domain: str) -> str:
    """
    Return the name of the message with an idempotency key: the same in every attempt.

    >>> message_id("2f9c", "shop.example")
    '<ed64bac70289ea028ff8afa85fe93466@shop.example>'
    """
    digest = hashlib.sha256(b"crmcore email_link message " + key.encode()).hexdigest()
    return _expect("the message id", f"<{digest[:32]}@{domain}>", _MESSAGE_ID, *_LIKE_MESSAGE_ID)


def compose(mail: Mail) -> bytes:
    """
    Return a mail as it goes over the wire, unsigned.

    It follows from the mail alone, so that an attempt that is made again sends the same octets.
    """
    part = _content(mail)
    head = "\r\n".join((*_lines(mail), "MIME-Version: 1.0", part.head))
    return b"".join((head.encode(), b"\r\n\r\n", part.body))


def _check_bodies(mail: Mail) -> None:
    bodies: dict[str, object] = {"text": mail.text}
    if mail.html is not None:
        bodies["html"] = mail.html
    for what, body in bodies.items():
        if not isinstance(body, str) or not body.strip():
            raise InputError(f"the mail's {what} is {body!r}; something to read is expected")
    if mail.images and mail.html is None:
        raise InputError("the mail has images and no html that shows them; html is expected")
    cids = [image.cid for image in mail.images]
    if len(set(cids)) < len(cids):
        raise InputError(f"two images of a mail have one cid; one each is expected: {cids}")


def _check_terms(mail: Mail) -> None:
    """Raise `InputError` unless a mail to many can be refused, and no other has such headers."""
    if mail.feedback_id is not None:
        _expect("the feedback id", mail.feedback_id, _FEEDBACK_ID, "news-2026-11:::shop1")
    found = {
        "list_id": mail.list_id,
        "unsubscribe_url": mail.unsubscribe_url,
        "unsubscribe_mailto": mail.unsubscribe_mailto,
    }
    if not mail.bulk:
        for name, value in found.items():
            if value is not None:
                raise InputError(f"a mail that is not bulk has {name} {value!r}; none is expected")
        return
    _expect("a bulk mail's list_id", mail.list_id, _LIST_ID, "news.shop.example", _LONGEST_LIST_ID)
    _expect("a bulk mail's unsubscribe_url", mail.unsubscribe_url, _URL, "https://shop.example/u/t")
    if mail.unsubscribe_mailto is not None:
        to = mail.unsubscribe_mailto
        _expect("a bulk mail's unsubscribe_mailto", to, _MAILTO, "mailto:u+token@shop.example")


def _expect(
    what: str, value: object, pattern: re.Pattern[str], example: str, longest: int = LONGEST_URL
) -> str:
    """Return a value that a header can hold as it is; raises `InputError` that shows how."""
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise InputError(f"{what} is {value!r}; one such as {example!r} is expected")
    if len(value) > longest:
        raise InputError(
            f"{what} has {len(value)} octets; at most {longest} are expected: {value!r}"
        )
    return value


def _lines(mail: Mail) -> Iterable[str]:
    """Yield the headers that say whom it is from and for, what it is about, and how to stop it."""
    yield mailbox("From", mail.sender.name, mail.sender.address)
    yield mailbox("To", mail.recipient.name, mail.recipient.address)
    if mail.reply_to is not None:
        yield mailbox("Reply-To", mail.reply_to.name, mail.reply_to.address)
    yield unstructured("Subject", mail.subject)
    yield f"Date: {format_datetime(mail.date)}"
    yield f"Message-ID: {mail.message_id}"
    if mail.bulk:
        to = f", <{mail.unsubscribe_mailto}>" if mail.unsubscribe_mailto else ""
        yield f"List-Id: <{mail.list_id}>"
        yield structured("List-Unsubscribe", f"<{mail.unsubscribe_url}>{to}")
        yield "List-Unsubscribe-Post: List-Unsubscribe=One-Click"
        yield "Precedence: bulk"
    else:
        yield "Auto-Submitted: auto-generated"  # RFC 3834, section 5: nobody's vacation answers
    if mail.feedback_id is not None:
        yield f"Feedback-ID: {mail.feedback_id}"
    for name, value in mail.headers.items():
        is_free = name.lower() in _FREE or name.lower().startswith("x-")
        yield (unstructured if is_free else structured)(name, value)


def _content(mail: Mail) -> _Part:
    """Return what a mail says: its text first, as readers show the last they can (RFC 2046)."""
    text = _text_part("plain", mail.text)
    if mail.html is None:
        return text
    # Of the message, so that it is the same in every attempt; and with an underscore, which no
    # encoded body has behind an equals sign (RFC 2045, section 6.7).
    name = hashlib.sha256(mail.message_id.encode()).hexdigest()[:24]
    html = _text_part("html", mail.html)
    if mail.images:
        parts = [html, *(image.part for image in mail.images)]
        html = _multipart('related; type="text/html"', f"=_r{name}", parts)
    return _multipart("alternative", f"=_a{name}", [text, html])


def _multipart(kind: str, boundary: str, parts: Iterable[_Part]) -> _Part:
    pieces: list[bytes] = []
    for part in parts:
        pieces += (f"--{boundary}\r\n{part.head}\r\n\r\n".encode(), part.body)
    pieces.append(f"--{boundary}--\r\n".encode())
    head = f'Content-Type: multipart/{kind};\r\n boundary="{boundary}"'
    return _Part(head, b"".join(pieces))


_UNSAFE_AS_IT_IS: Final = re.compile(rb"^From |^\.$|[ \t]$|=_|[^\t\n -~]", re.MULTILINE)
_NEW_MAIL: Final = re.compile(rb"^From ", re.MULTILINE)
_LAST_BLANK: Final = re.compile(rb"^(.{74,75})(=20|=09)$", re.MULTILINE)
_ASCII: Final = bytes(range(128))


def _text_part(kind: str, text: str) -> _Part:
    """Return a body as a part, encoded in the way that takes the least room."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        data = (text if text.endswith("\n") else text + "\n").encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"the mail's {kind} text has no character at {error.start}, but half of one; text "
            "that UTF-8 can hold is expected"
        ) from error
    high = len(data.translate(None, _ASCII))
    if not high and _is_safe_as_it_is(data):
        encoding, body = "7bit", data.replace(b"\n", b"\r\n")
    elif high * 6 <= len(data):  # three octets for each of them against a third more for all
        encoding, body = "quoted-printable", _quoted_printable(data)
    else:
        encoding, body = "base64", _base64(data.replace(b"\n", b"\r\n"))
    head = f"Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}"
    return _Part(head, body)


def _is_safe_as_it_is(data: bytes) -> bool:
    longest = max(map(len, data.split(b"\n")))
    return longest <= _LONGEST_PLAIN_LINE and not _UNSAFE_AS_IT_IS.search(data)


def _quoted_printable(data: bytes) -> bytes:
    encoded = b2a_qp(data, istext=True)
    if b"=20\n" in encoded or b"=09\n" in encoded:
        # It counts a blank at a line's end as one octet and writes three: up to 78 in a line.
        encoded = _LAST_BLANK.sub(rb"\1=\n\2", encoded)
    if b"From " in encoded:
        # Some servers put ">" before such a line, and the signature no longer fits.
        encoded = _NEW_MAIL.sub(b"=46rom=\n ", encoded)
    return encoded.replace(b"\n", b"\r\n")


def _base64(data: bytes) -> bytes:
    encoded = b2a_base64(data, newline=False)
    step = LONGEST_ENCODED_LINE
    lines = [encoded[start : start + step] for start in range(0, len(encoded), step)]
    return b"\r\n".join((*lines, b""))
