"""SMTP: to a relay, or to the receivers' own servers, over connections that are kept."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

from attrs import define, field

from crmcore import Deferred, Failed, Outcome
from crmcore.errors import ConfigurationError
from crmcore_email_link.throttle import Throttle
from crmcore_email_link.transports.batch import Batch
from crmcore_email_link.transports.conversation import Relay
from crmcore_email_link.transports.envelope import Envelope
from crmcore_email_link.transports.pool import Pool
from crmcore_email_link.transports.transaction import Job

__all__ = ["Relay", "Smtp"]

Route = Callable[[str], Sequence[Relay]]


@define(eq=False, kw_only=True)
class Smtp:
    """
    Carries mails by SMTP, many through one connection, and over several at once.

    It is called from ordinary code and returns when each mail has its outcome. What would have to
    wait longer than *patience* for its turn is deferred instead, with the seconds until then. Some
    connections stay open between calls; `close`, or leaving its `with` block, ends them. It knows
    no mail again: one that was lost behind its final dot is `Unknown` (RFC 1047), and one that was
    lost before was not taken, so it is `Deferred`.

    Attributes:
        relay: Who takes all mails; None: whoever *route* names.
        route: Returns the servers that take mails for a domain, the best first, such as `by_mx`;
            none says that there is no such domain or that it takes no mail (RFC 7505), so that the
            address is undeliverable. What it raises puts the mail off.
        throttle: Who gets how much at once.
        by_receiver: Whether each receiver has a pace of its own even if a relay takes all mails;
            with a route each has.
        hello: The name of this machine, as the servers are told; None: what the system says.
        seconds: After as many, no mail is begun, and the rest is deferred. A mail that was begun
            may take as long as its relay's `dot_seconds`.
        patience: How many seconds a mail waits for its turn.
        idle_seconds: How long an unused connection is kept.
    """

    relay: Relay | None = None
    route: Route | None = None
    throttle: Throttle[Job] = field(factory=lambda: Throttle[Job]())
    by_receiver: bool = False
    hello: str | None = None
    seconds: float = 45.0
    patience: float = 1.0
    idle_seconds: float = 30.0

    idempotent: bool = field(default=False, init=False)
    _loop: asyncio.AbstractEventLoop | None = field(default=None, init=False, repr=False)
    _pool: Pool = field(factory=Pool, init=False, repr=False)
    _owner: int = field(default=0, init=False, repr=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Refuse to be told neither whom to hand mails to, nor who would know."""
        if (self.relay is None) == (self.route is None):
            raise ConfigurationError("a relay or a route is expected, and not both")

    def send(self, envelopes: Sequence[Envelope]) -> Sequence[Outcome]:
        """Hand mails over, and return one outcome for each, in their order."""
        if not envelopes:
            return []
        with self._lock:
            is_ours = self.relay is not None
            batch = Batch(self._ready(), self.throttle, self.seconds, self.patience, is_ours)
            for index, envelope in enumerate(envelopes):
                self._enqueue(batch, index, envelope)
            self._run(batch.carry)
        return [batch.outcomes[index] for index in range(len(envelopes))]

    def close(self) -> None:
        """Take leave of all servers; another `send` connects anew."""
        with self._lock:
            loop = self._loop
            if loop is None:
                return
            if self._owner == os.getpid():
                self._run(self._pool.leave)
                self._run(loop.shutdown_default_executor)
            loop.close()
            self._loop = None

    def __enter__(self) -> Smtp:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _enqueue(self, batch: Batch, index: int, envelope: Envelope) -> None:
        relays: tuple[Relay, ...]
        name = domain = envelope.domain
        if self.relay is not None:
            relays = (self.relay,)
            name = domain if self.by_receiver else self.relay.host
        else:
            try:
                relays = tuple(self.route(domain)) if self.route is not None else ()
            except Exception as error:  # the shop's own function, and about this domain alone
                said = f"it is not known who takes mails for {domain}: {error}"
                batch.outcomes[index] = Deferred(said)
                return
            if not relays:
                said = f"nobody takes mail for {domain}, or there is no such domain"
                batch.outcomes[index] = Failed(said, undeliverable=True)
                return
        job = Job(index, envelope, "", relays)
        job.destination = self.throttle.add(job, domain=name, campaign=envelope.campaign)

    def _ready(self) -> Pool:
        """Return the pool of this process and its loop."""
        if self._loop is None or self._owner != os.getpid():
            # A copy of a process has the same sockets: what it said there, both would have said.
            self._loop, self._owner = asyncio.new_event_loop(), os.getpid()
            self._pool = Pool(self.hello, self.idle_seconds)
        return self._pool

    def _run(self, start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a coroutine to its end, wherever this is called from."""
        loop = self._loop
        assert loop is not None
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            _run_in(loop, start)
        else:
            with ThreadPoolExecutor(1) as thread:  # a loop cannot run inside another one
                thread.submit(_run_in, loop, start).result()


def _run_in(
    loop: asyncio.AbstractEventLoop, start: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    try:
        loop.run_until_complete(start())
    except BaseException:  # interrupted: nothing of it may go on in the next call
        left = asyncio.all_tasks(loop)
        for each in left:
            each.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        raise
