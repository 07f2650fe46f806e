"""The pool: conversations that are kept, and how a new one comes about."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Final

from attrs import define, field

from crmcore_email_link.transports.conversation import (
    Conversation,
    Relay,
    Unreachable,
)

_DOWN_FOR: Final = 60.0  # seconds for which a server that did not answer is tried last

Talk = tuple[Relay, Conversation]


@define(eq=False)
class Pool:
    """
    Conversations that nobody uses just now, of one event loop.

    Attributes:
        hello: The name of this machine, as the servers are told; None: what the system says.
        idle_seconds: How long an unused conversation is kept.
    """

    hello: str | None = None
    idle_seconds: float = 30.0
    _idle: list[tuple[float, Relay, Conversation]] = field(factory=list, init=False)
    _down: dict[Relay, float] = field(factory=dict, init=False)

    async def connect(self, relays: Sequence[Relay]) -> Talk:
        """Return a conversation with one of *relays*, kept or new; the best first."""
        from crmcore_email_link.transports.opening import converse

        kept = self._kept(relays)
        if kept is not None:
            return kept
        now = asyncio.get_running_loop().time()
        if self.hello is None:
            self.hello = socket.getfqdn()
        fault = Unreachable("nobody takes mails for it")
        # The sort is stable: among those that answered, or did not, the best comes first.
        for relay in sorted(relays, key=lambda each: self._down.get(each, 0.0) > now):
            try:
                found = await converse(relay, self.hello)
            except Unreachable as error:
                fault, self._down[relay] = error, now + _DOWN_FOR
            else:
                self._down.pop(relay, None)
                return relay, found
        raise fault

    def keep(self, relay: Relay, conversation: Conversation) -> None:
        """Keep a conversation that may be used again."""
        if conversation.is_quiet:
            now = asyncio.get_running_loop().time()
            self._idle.append((now + self.idle_seconds, relay, conversation))

    async def tidy(self) -> None:
        """Hear what was said since, and take leave of those unused for long."""
        # Twice: what came in is read in the turn of the loop after the one that finds it.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        now, idle = asyncio.get_running_loop().time(), self._idle
        self._idle = [each for each in idle if each[0] > now and each[2].is_quiet]
        for until, _, conversation in idle:
            if not conversation.is_quiet:
                conversation.abort("said something nobody asked for")
            elif until <= now:
                await conversation.quit()

    async def leave(self) -> None:
        """Take leave of all."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(conversation.quit() for _, _, conversation in idle))
        await asyncio.sleep(0)  # a connection is closed in the loop's next turn

    def _kept(self, relays: Sequence[Relay]) -> Talk | None:
        for place, (_, relay, conversation) in enumerate(self._idle):
            if relay in relays and conversation.is_quiet:
                del self._idle[place]
                conversation.is_rested = True
                return relay, conversation
        return None
