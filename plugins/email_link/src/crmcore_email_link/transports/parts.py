"""The parts of a composed mail, for providers that take fields and write the mail themselves."""

from __future__ import annotations

from collections.abc import Sequence
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Final

from attrs import frozen

# What the provider writes itself. A signature would be of bytes that nobody gets to see.
_WRITTEN: Final = frozenset(
    "from to cc bcc subject date mime-version dkim-signature return-path received reply-to".split()
)


@frozen(kw_only=True)
class Attachment:
    """
    A file in a mail.

    Attributes:
        name: Of the file.
        kind: Its media type, such as `image/png`.
        content: Its octets.
        content_id: By which the HTML shows it, without brackets; None: it stands beside.
    """

    name: str
    kind: str
    content: bytes
    content_id: str | None


@frozen(kw_only=True)
class Parts:
    """What a mail is made of; `headers` are those that a provider passes on."""

    sender: str
    reply_to: str | None
    subject: str
    text: str | None
    html: str | None
    headers: Sequence[tuple[str, str]]
    attachments: Sequence[Attachment]


def parts_of(raw: bytes) -> Parts:
    """Return the parts of a mail; raises `ValueError` if it has none that can be given."""
    mail = message_from_bytes(raw, policy=default)
    assert isinstance(mail, EmailMessage)
    if mail["From"] is None:
        raise ValueError("it has no From")
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    if text is None and html is None:
        raise ValueError("it has neither text nor HTML")
    bodies = [each for each in (text, html) if each is not None]
    attachments = [
        _attachment(part, number)
        for number, part in enumerate(mail.walk())
        if not part.is_multipart() and not any(part is each for each in bodies)
    ]
    reply_to = mail["Reply-To"]
    return Parts(
        sender=str(mail["From"]),
        reply_to=str(reply_to) if reply_to is not None else None,
        subject=str(mail["Subject"] or ""),
        text=str(text.get_content()) if text is not None else None,
        html=str(html.get_content()) if html is not None else None,
        headers=[
            (name, str(value))
            for name, value in mail.items()
            if name.lower() not in _WRITTEN and not name.lower().startswith("content-")
        ],
        attachments=attachments,
    )


def _attachment(part: object, number: int) -> Attachment:
    assert isinstance(part, EmailMessage)
    content_id = part["Content-ID"]
    content = part.get_payload(decode=True)
    return Attachment(
        name=part.get_filename() or f"part-{number}",
        kind=part.get_content_type(),
        content=content if isinstance(content, bytes) else b"",
        content_id=str(content_id).strip().strip("<>") if content_id is not None else None,
    )
