"""Channels for tests: what they answer is up to the test, and what they were handed is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from attrs import define, field
from typing_extensions import override

from crmcore import Context, Crm, Draft, Identifier, Plugin, hookimpl
from crmcore.domain.consent import Purpose
from crmcore.domain.message import (
    Accepted,
    Channel,
    Content,
    Delivery,
    MessageDraft,
    OnUnknown,
    Outcome,
)
from crmcore.hooks import MessagesClaimed
from tests.support.making import rows

Answer = Callable[[Delivery], Any]


def _accepted(delivery: Delivery) -> Outcome:
    return Accepted(f"ref-{delivery.message.key}")


@define(eq=False)
class Post(Plugin):
    """A channel that keeps what it was handed, and answers as it is told."""

    name: ClassVar[str] = "post"

    answer: Answer = _accepted
    whole: Callable[[Sequence[Delivery]], Any] | None = None
    channel: str = "email"
    scheme: str = "email"
    idempotent: bool = False
    at_once: int = 10
    on_unknown: dict[Purpose, OnUnknown] = field(factory=dict)
    handed: list[Delivery] = field(factory=list, init=False)

    @hookimpl
    @override
    def register_channels(self) -> Iterable[Channel]:
        return [
            Channel(
                self.channel,
                scheme=self.scheme,
                idempotent=self.idempotent,
                at_once=self.at_once,
                on_unknown=self.on_unknown,
            )
        ]

    @hookimpl
    @override
    def deliver_messages(self, ctx: Context, event: MessagesClaimed) -> Sequence[Outcome]:
        self.handed += event.deliveries
        if self.whole is not None:
            found: Sequence[Outcome] = self.whole(event.deliveries)
            return found
        return [self.answer(each) for each in event.deliveries]

    @property
    def addresses(self) -> Counter[str]:
        """How often each address was handed something."""
        return Counter(each.address for each in self.handed)


def message(customer: Any, key: str = "hello", **values: Any) -> MessageDraft:
    """Return a message that has to be told."""
    given = {"purpose": "service", "channel": "email", "content": Content(text="Hello")}
    return MessageDraft(key=key, customer=customer, **{**given, **values})


BROADCAST: dict[str, Any] = {
    "purpose": "service",
    "channel": "email",
    "content": Content(text="Hello all"),
}


def people(crm: Crm, count: int, *, start: int = 0) -> list[int]:
    """Register so many customers, each with an email, and return their ids."""
    names = [Identifier("email", f"p{n}@example.com") for n in range(start, start + count)]
    crm.record_many([Draft("account.registered", identifiers=(name,)) for name in names])
    found = [crm.find_customer(name) for name in names]
    return [each for each in found if each is not None]


def states(crm: Crm, key: str | None = None) -> Counter[str]:
    """Return how many messages are in which state, read by plain SQL."""
    where = "" if key is None else f" WHERE message_key = '{key}'"
    sql = f"SELECT state, count(*) FROM crm_message{where} GROUP BY state"
    return Counter(dict(rows(crm, sql)))


def assert_sums(crm: Crm) -> None:
    """Assert that every broadcast's states add up to its audience, and all fits together."""
    sums = rows(
        crm,
        "SELECT b.message_key, b.audience, count(m.message_id) FROM crm_broadcast b "
        "LEFT JOIN crm_message m ON m.message_key = b.message_key AND m.plugin = b.plugin "
        "GROUP BY b.message_key, b.audience",
    )
    assert [each for each in sums if each[1] != each[2]] == []
    assert [str(each) for each in crm.reconcile()] == []
