"""What becomes of messages, as the ledger tells it: what the core did, and what came back."""

from __future__ import annotations

from typing import Final, Literal

from attrs import frozen

from crmcore.domain.kind import Kind, personal
from crmcore.domain.structuring import Erased

SENT: Final = "message.sent"
FAILED: Final = "message.failed"
UNKNOWN: Final = "message.unknown"
BOUNCED: Final = "message.bounced"
COMPLAINED: Final = "message.complained"


@frozen(kw_only=True)
class MessageSettled:
    """
    What became of a message that was handed over.

    Attributes:
        plugin: Whose it was; empty for the shop's own.
        reference: The provider's own name for it.
        reason: What the provider said, where it did not take it; it may repeat the address.
        asks: Whether it asked the customer for something.
    """

    message: str
    purpose: str
    plugin: str = ""
    reference: str | None = None
    reason: str | Erased | None = personal(default=None)
    asks: bool = False


@frozen(kw_only=True)
class MessageSeen:
    """
    What the provider, or the customer, did with a message.

    Attributes:
        message: Its key, such as `news-2026-11`.
        reference: The provider's own name for it.
        link: Which link of it was followed.
    """

    message: str | None = None
    reference: str | None = None
    link: str | None = None


@frozen(kw_only=True)
class MessageBounced:
    """
    A message came back; `hard` means that nothing will ever arrive there.

    Attributes:
        address: Where it came back from; by default, where the message went.
    """

    message: str | None = None
    reference: str | None = None
    bounce: Literal["hard", "soft"] = "hard"
    reason: str | Erased | None = personal(default=None)
    address: str | Erased | None = personal(default=None)


@frozen(kw_only=True)
class MessageComplained:
    """Somebody called a message spam; *address* as in a bounce."""

    message: str | None = None
    reference: str | None = None
    reason: str | Erased | None = personal(default=None)
    address: str | Erased | None = personal(default=None)


MESSAGE_KINDS: Final = (
    Kind(SENT, payload=MessageSettled, description="A provider took a message."),
    Kind(FAILED, payload=MessageSettled, description="A provider will not take a message."),
    Kind(
        UNKNOWN,
        payload=MessageSettled,
        description="A message was handed over, and nobody can tell whether it was taken.",
    ),
    Kind(
        "message.delivered",
        payload=MessageSeen,
        aliases=("Email Delivered",),
        description="A message arrived.",
    ),
    Kind(
        "message.opened",
        payload=MessageSeen,
        aliases=("Email Opened",),
        description="A message was opened.",
    ),
    Kind(
        "message.clicked",
        payload=MessageSeen,
        aliases=("Email Link Clicked",),
        description="A link in a message was followed.",
    ),
    Kind(
        BOUNCED,
        payload=MessageBounced,
        aliases=("Email Bounced",),
        description="A message came back; after a hard bounce nothing goes there any more.",
    ),
    Kind(
        COMPLAINED,
        payload=MessageComplained,
        aliases=("Email Marked as Spam",),
        description="Somebody called a message spam: nothing unsolicited goes there any more.",
    ),
)
