"""Where plugins take part in what the shop says: whether, how, and by whom it is carried."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen
from sqlalchemy import FromClause, Select

from crmcore.domain.consent import Purpose
from crmcore.domain.message import Channel, Content, Delivery, Message, Outcome, State
from crmcore.hooks.markers import hookspec

if TYPE_CHECKING:
    from crmcore.hooks.context import Context


Audience = Select[Any] | Iterable[int] | Literal["everyone"]
"""Whom something is said to: a Core select of ids of customers, such ids, or all there are."""


@frozen(kw_only=True)
class MessagesProposed:
    """
    Messages that are about to be planned or claimed, and that every gate of the core lets go.

    All are of one key's kind: planned together, or claimed together for one channel.

    Attributes:
        customers: A table expression with a row and a column `customer_id` for each customer, to
            join with the plugin's own tables.
        size: How many customers there are.
        key: What the message is, such as `news-2026-11`.
        plugin: Whose it is; empty: the shop's own.
        purpose: What it is for, such as `news`.
        channel: The name of the channel, such as `email`.
        at: The instant it is about, in microseconds.
        asks: Whether they ask the customers for something.
        is_claim: Whether they are about to be handed over; False: they are planned, and asked
            about again.
    """

    customers: FromClause = field(eq=False, repr=False)
    size: int
    key: str | None
    plugin: str | None
    purpose: Purpose
    channel: str
    at: int
    asks: bool = False
    is_claim: bool = True


@frozen(kw_only=True)
class Hold:
    """
    A customer's message may not go.

    Attributes:
        customer_id: Whose, one of those the event is about.
        reason: In words; it goes on record.
        not_before: The instant from which it may go, in microseconds; None: it is withheld.
    """

    customer_id: int = field(kw_only=False)
    reason: str
    not_before: int | None = None


@frozen
class MessageClaimed:
    """
    A message is about to be handed to its channel.

    Attributes:
        message: As it stands.
        content: What it says so far.
    """

    message: Message
    content: Content


@frozen(kw_only=True)
class MessagesClaimed:
    """
    Messages to be delivered now, all of one channel.

    Attributes:
        channel: As the plugin registered it.
        deliveries: At most as many as the channel takes at once.
    """

    channel: Channel
    deliveries: Sequence[Delivery]


@frozen(kw_only=True)
class DeliveryChanged:
    """
    What became of one message.

    Attributes:
        message: As it stands now, with its present state.
        before: The state it was in until then.
    """

    message: Message
    before: State


@frozen
class DeliveriesChanged:
    """
    What became of some messages.

    Attributes:
        changes: One for each message.
    """

    changes: Sequence[DeliveryChanged]


class MessageHooks:
    """Where plugins take part in what the shop says: whether, how, and by whom it is carried."""

    @hookspec
    def register_channels(self) -> Iterable[Channel]:
        """
        Contribute channels that this plugin delivers on.

        Called once, at start. Raising stops the start.
        """

    @hookspec
    def guard_message(self, ctx: Context, event: MessagesProposed) -> Iterable[Hold] | None:
        """
        Name those customers whose message may not go, or not yet; None: all may.

        Called with a batch, when messages are planned and again when they are claimed, so answer
        with one statement. Any hold wins, and of several instants the latest. If the plugin
        raises, none of the batch goes for now: they wait, with the fault as their reason.
        """

    @hookspec
    def prepare_message(self, ctx: Context, event: MessageClaimed) -> Content | None:
        """
        Change what a message says just before it is handed over, by returning it; None leaves it.

        Called in each attempt at a message, outside any transaction: again when it is tried again,
        and when it could not be handed over after all. Plugins are asked in order. If the plugin
        whose message it is raises, the message is deferred, so that nothing half-written goes
        out; if another does, the content stays as it was.
        """

    @hookspec
    def deliver_messages(self, ctx: Context, event: MessagesClaimed) -> Sequence[Outcome]:
        """
        Hand messages to whoever carries them, and return one outcome for each, in their order.

        Called for the plugin that registered the channel only, outside any transaction, after it
        was committed that they are handed over. If the plugin raises, nobody knows what became of
        those that were handed over: they are `unknown`. An outcome that cannot be written down
        makes its own message unknown, and no other.
        """

    @hookspec
    def on_deliveries_changed(self, ctx: Context, event: DeliveriesChanged) -> None:
        """
        Take what became of messages into the plugin's tables, in the transaction that settles it.

        Told is what came of each attempt, and what was refused when it was claimed. Not told is
        what ends without a worker: refused when it was planned, by somebody's no, by a merge, or
        as its broadcast was called off. That stands in the messages themselves.

        If the plugin raises, it leaves a fault, and the outcome stays.
        """
