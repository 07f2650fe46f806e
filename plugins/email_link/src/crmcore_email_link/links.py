"""Links: the addresses in a mail by which its recipient answers it."""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from crmcore_email_link.tokens import DAY, LENGTH, Purpose, Tokens, link

PATHS: Final[dict[Purpose, str]] = {
    "unsubscribe": "u/",
    "confirm": "c/",
    "preferences": "p/",
    "archive": "a/",
    "tracking": "t/",
    "open": "o/",
    "click": "l/",
}
"""Where each kind of token leads, below the base; one letter, as a header's link is short."""

WHY: Final = "w/"
"""Where it is told why a mail came; by the token of the preferences."""

UNSUBSCRIBE_BOX: Final = "u+"
"""What the mailbox begins with that a mail ends it by, before the token."""


def bound(at: int) -> bytes:
    """
    Return what a message's tokens are bound to: when in a day it was planned, by the microsecond.

    After a database was restored, ids are given again. By this a link, or a bounce, of a mail that
    went before is not taken for one of the message that has its id now. *at* is when it was
    planned, or whole days later.
    """
    return (at % DAY).to_bytes(5)


@frozen
class Links:
    """
    Makes the links of one message, each with a token that is good for that alone.

    *at* is when the message was planned, or whole days later.

    Attributes:
        base: Where the pages are, such as `https://shop.example/m/`; at most 42 octets.
        tokens: What proves that we made them.
        mail_domain: Of the mailboxes that bounces and mails to unsubscribe come to.
    """

    base: str = field()
    tokens: Tokens
    mail_domain: str

    def __attrs_post_init__(self) -> None:
        """Refuse a base that no header could hold, before any mail goes."""
        link(self.base + PATHS["unsubscribe"], "x" * LENGTH)

    def of(self, purpose: Purpose, message_id: int, at: int) -> str:
        """Return the link of a message for a purpose."""
        token = self.tokens.make(purpose, message_id, at=at, bound=bound(at))
        return link(self.base + PATHS[purpose], token)

    def why(self, message_id: int, at: int) -> str:
        """Return the link that tells why a message came."""
        token = self.tokens.make("preferences", message_id, at=at, bound=bound(at))
        return link(self.base + WHY, token)

    def mailto(self, message_id: int, at: int) -> str:
        """Return the address of a mail that unsubscribes (RFC 2369, 3.2)."""
        token = self.tokens.make_for_mailbox("unsubscribe", message_id, at=at, bound=bound(at))
        return f"mailto:{UNSUBSCRIBE_BOX}{token}@{self.mail_domain}"

    def return_path(self, message_id: int, at: int) -> str:
        """Return the address that a message's bounces come back to (VERP)."""
        return self.tokens.return_path(message_id, self.mail_domain, at=at, bound=bound(at))

    def report_id(self, message_id: int, at: int) -> str:
        """Return the token of the return path, as what tells of a message repeats it."""
        return self.tokens.make_for_mailbox("verp", message_id, at=at, bound=bound(at))

    def variables(self, message_id: int, at: int) -> dict[str, str]:
        """Return what templates may use, by name."""
        return {
            "unsubscribe_url": self.of("unsubscribe", message_id, at),
            "preferences_url": self.of("preferences", message_id, at),
            "archive_url": self.of("archive", message_id, at),
            "why_url": self.why(message_id, at),
            "tracking_url": self.of("tracking", message_id, at),
        }
