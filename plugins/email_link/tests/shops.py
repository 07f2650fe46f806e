"""A shop that writes mails into an outbox, for the tests beside this file."""

from __future__ import annotations

from email import message_from_bytes, policy
from typing import Any

from crmcore_email_link import EmailLink
from crmcore_email_link.outbox import Outbox
from crmcore_email_link.tokens import Key, KeyRing

from crmcore import Content, Crm, MessageDraft, VirtualClock
from tests.support.databases import scratch

DAY = 86_400_000_000
START = 1_704_103_200_000_000  # 2024-01-01 10:00 UTC
RING = KeyRing([Key(b"k" * 32, since=0)])
SETTINGS: dict[str, Any] = {
    "sender": "shop@shop.example",
    "sender_name": "The Shop",
    "postal_address": "1 High Street, Ambleside",
    "base_url": "https://shop.example/m/",
    "ring": RING,
}


def plugin(**settings: Any) -> EmailLink:
    """Return the plugin with an outbox, and settings beside the usual ones."""
    return EmailLink(**{"carrier": Outbox(), **SETTINGS, **settings})


def shop(made: EmailLink | None = None, **arguments: Any) -> Crm:
    """Return an open shop with the plugin, on the kind of database under test."""
    arguments = {"clock": VirtualClock(START), "durable": False, **arguments}
    return Crm(arguments.pop("url", None) or scratch(), plugins=[made or plugin()], **arguments)


def envelopes(crm: Crm) -> list[Any]:
    """Return what was handed over, in order."""
    found: list[Any] = crm.plugin(EmailLink).carrier.envelopes
    return found


def mails(crm: Crm) -> list[Any]:
    """Return what was handed over, as the standard library reads it."""
    return [message_from_bytes(each.raw, policy=policy.default) for each in envelopes(crm)]


def draft(customer: Any, key: str = "news-1", purpose: Any = "news", **values: Any) -> MessageDraft:
    """Return a message; what it says are the values, or a line."""
    said = values or {"subject": "What is new", "text": "A new thing."}
    return MessageDraft(
        key=key, customer=customer, purpose=purpose, channel="email", content=Content(**said)
    )


def member(crm: Crm, name: str = "ada", *purposes: str) -> int:
    """Return a customer who agreed to mail for these purposes, by default news and promotions."""
    email = f"{name}@example.com"
    known = crm.record("account.registered", account=name, email=email).customer_id
    for purpose in purposes or ("news", "promotion"):
        said = {"purpose": purpose, "channel": "email", "point": email}
        crm.record("consent.given", customer=known, payload=said)
    return known
