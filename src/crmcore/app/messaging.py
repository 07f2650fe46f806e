"""Messaging: what the shop says, to whom, and what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Unpack

from crmcore.app.opened import Opened
from crmcore.domain.arguments import check_text, check_whole
from crmcore.domain.identity import Known
from crmcore.domain.message import (
    Broadcast,
    BroadcastFields,
    Content,
    Message,
    MessageDraft,
    check_key,
)
from crmcore.hooks import Audience
from crmcore.services.messaging.reconcile import Difference, differences


class Messaging(Opened):
    """The part of `Crm` that says something."""

    def send(self, draft: MessageDraft, *, actor: str | None = None) -> Message:
        """
        Plan a message for one customer, in a transaction of its own, and return it.

        The gate judges it at once, so what is returned may be withheld, or wait; see its `gate`
        and `reason`. What may go is delivered by a worker, or by `deliver`. Of one key a customer
        has one message: sending it again returns the first.

        Raises:
            CustomerNotFoundError: If there is no such customer.
            InputError: If a value is not right; nothing is written.
        """
        return self.run_transaction(lambda tx: tx.send(draft), actor=actor)

    def broadcast(
        self,
        key: str,
        audience: Audience,
        *,
        not_before: datetime | int | None = None,
        not_after: datetime | int | None = None,
        actor: str | None = None,
        **values: Unpack[BroadcastFields],
    ) -> Broadcast:
        """
        Plan a message for many, in one transaction of its own; whom it is for is frozen by it.

        Args:
            key: What it is, such as `news-2026-11`; planning it again returns the first.
            audience: A Core select of ids of customers, such ids, or `"everyone"`.
            not_before: When it may go at the earliest: an aware datetime, or microseconds.
            not_after: When nobody wants it any more.
            actor: Who does it, such as `staff:grace`.
            values: `purpose`, `channel`, `content`, and perhaps `asks` and `priority`.

        Raises:
            CustomerNotFoundError: If an id is no customer's.
            InputError: If a value is not right; nothing is written.
        """
        return self.run_transaction(
            lambda tx: tx.broadcast(
                key, audience, not_before=not_before, not_after=not_after, **values
            ),
            actor=actor,
        )

    def stop_broadcast(self, key: str, *, actor: str | None = None) -> Broadcast:
        """
        Call a broadcast off: what of it was not handed over yet is withheld.

        Raises:
            NotFoundError: If there is no such broadcast.
        """
        return self.run_transaction(lambda tx: tx.stop_broadcast(key), actor=actor)

    def pause_broadcast(self, key: str, *, actor: str | None = None) -> Broadcast:
        """
        Let nothing more of a broadcast be handed over until it is resumed.

        What a worker is handing over at this moment still goes.

        Raises:
            InputError: If it was called off.
            NotFoundError: If there is no such broadcast.
        """
        return self.run_transaction(lambda tx: tx.pause_broadcast(key), actor=actor)

    def resume_broadcast(self, key: str, *, actor: str | None = None) -> Broadcast:
        """
        Let a paused broadcast go on with whom it has not reached.

        What nobody wants any more, as its `not_after` has passed, is withheld. One that is not
        paused stays as it is.

        Raises:
            InputError: If it was called off.
            NotFoundError: If there is no such broadcast.
        """
        return self.run_transaction(lambda tx: tx.resume_broadcast(key), actor=actor)

    def edit_broadcast(self, key: str, content: Content, *, actor: str | None = None) -> Broadcast:
        """
        Say something else to those whom a paused broadcast has not reached.

        Raises:
            InputError: If it is not paused, or was called off, or the content cannot be kept.
            NotFoundError: If there is no such broadcast.
        """
        return self.run_transaction(lambda tx: tx.edit_broadcast(key, content), actor=actor)

    def find_broadcast(self, key: str) -> Broadcast:
        """Return a broadcast of the shop's own; raises `NotFoundError` if there is none."""
        check_key(key)
        with self._read() as unit:
            return self._parts.messages.broadcasts.find(unit.connection, key)

    def messages(
        self, known: Known | None = None, *, key: str | None = None, most: int = 50
    ) -> list[Message]:
        """Return the *most* latest messages, to a customer, or of a key, or both; newest first."""
        check_text("key", key)
        check_whole("most", most, least=0)
        customer_id = None if known is None else self._id_of(known)
        with self._read() as unit:
            return self._parts.messages.find(unit.connection, customer_id, key, most)

    def find_message(self, known: Known, key: str, *, plugin: str = "") -> Message | None:
        """Return a customer's message of a key, the shop's own or a plugin's; None: it has none."""
        check_key(key)
        check_text("plugin", plugin)
        with self._read() as unit:
            customer_id = self._parts.people.id_of(unit, known)
            return self._parts.messages.find_one(unit.connection, customer_id, key, plugin)

    def deliver(self, *, put_off: bool = False) -> Mapping[str, int]:
        """
        Deliver all messages that are due, as a worker would; for scripts without one.

        Args:
            put_off: What its channel deferred is tried at once, too, such as after an outbox was
                mended; and what waits for quiet hours or a cap is judged anew, as these may have
                been set otherwise.

        Returns how many were `accepted` by their channels, and how many `others` were looked at:
        withheld, deferred, failed, or of an unknown fate.
        """
        if put_off:
            self._retrying(self._parts.messages.hasten_put_off)
        done: Counter[str] = Counter(accepted=0, others=0)
        for portion in self._parts.delivering.work():
            is_carried = portion.due is None and portion.plugin is not None
            done["accepted"] += portion.done if is_carried else 0
            done["others"] += portion.failed + (0 if is_carried else portion.done)
        return dict(done)

    def rehearse(self) -> None:
        """Let nothing leave the house from now on: what would go is taken as accepted."""
        self._parts.delivering.rehearses = True

    def reconcile(self) -> list[Difference]:
        """
        Return where messages, broadcasts and attempts do not fit together; nothing if all do.

        Nothing is changed. It is for finding mistakes: of the shop's, or of ours.
        """
        with self._read() as unit:
            return differences(unit.connection, self._runtime.assembly, unit.now)
