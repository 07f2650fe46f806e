"""The batch: the mails of one call, each to its destination, at that destination's pace."""

from __future__ import annotations

import asyncio
from typing import Final

from attrs import define, field

from crmcore import Deferred, Outcome
from crmcore_email_link.throttle import STEADY, Throttle, Told
from crmcore_email_link.transports.conversation import Lost, Relay, Unreachable
from crmcore_email_link.transports.pool import Pool, Talk
from crmcore_email_link.transports.replies import Reply
from crmcore_email_link.transports.transaction import Carrier, Job, Stale

_NOT_YET: Final = "it was not its turn yet: so much goes to its destination at once"


@define(eq=False)
class Batch:
    """
    What is handed over in one call.

    Attributes:
        pool: Where conversations come from.
        throttle: Who gets how much at once.
        seconds: After as many, no mail is begun.
        patience: How many seconds a mail waits for its turn.
        is_ours: Whether all goes to a server of ours: that it cannot be reached, or lets nobody log
            in, says nothing of a mail, and is no attempt at one.
        outcomes: What became of each mail, by its index.
    """

    pool: Pool
    throttle: Throttle[Job]
    seconds: float
    patience: float
    is_ours: bool = False
    outcomes: dict[int, Outcome] = field(factory=dict)
    _ends_at: float = field(default=0.0, init=False)
    _tasks: set[asyncio.Task[None]] = field(factory=set, init=False)
    _aside: dict[str, list[Job]] = field(factory=dict, init=False)
    _answered: set[str] = field(factory=set, init=False)
    _unreached_by: dict[str, Deferred] = field(factory=dict, init=False)

    async def carry(self) -> None:
        """Carry all that waits in the throttle, or put it off."""
        self._ends_at = asyncio.get_running_loop().time() + self.seconds
        await self.pool.tidy()
        self._spread()
        try:
            while self._tasks:
                done, _ = await asyncio.wait(set(self._tasks), return_when=asyncio.FIRST_COMPLETED)
                self._tasks -= done
                for each in done:
                    each.result()
                self._spread()
        finally:
            for each in self._tasks:
                each.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._put_off()

    def _spread(self) -> None:
        """Open as many connections as there may be."""
        while (destination := self.throttle.open()) is not None:
            self._tasks.add(asyncio.ensure_future(self._work(destination)))

    async def _work(self, destination: str) -> None:
        """Carry mails to one destination, through one connection at a time."""
        talk: Talk | None = None
        try:
            while (job := await self._next(destination)) is not None:
                talk = await self._carry(job, talk)
            if talk is not None:
                self.pool.keep(*talk)
                talk = None
        finally:
            if talk is not None:
                talk[1].abort("was left")
            self.throttle.close(destination)

    async def _next(self, destination: str) -> Job | None:
        """Return what goes there next; None: nothing, or not soon enough."""
        while True:
            if aside := self._aside.get(destination):
                return aside.pop()
            if not self.throttle.keeps(destination):
                return None
            if self._is_over():
                self._put_off(destination)
                return None
            job = self.throttle.take(destination)
            if job is not None:
                return job
            wait = self.throttle.ready_in(destination)
            if wait is None:
                return None
            if wait > self.patience:
                self._put_off(destination)
                return None
            await asyncio.sleep(wait)

    async def _carry(self, job: Job, talk: Talk | None) -> Talk | None:
        """Carry *job* and what follows it; return the conversation, if it can be used again."""
        if talk is not None and talk[0] not in job.relays:
            self.pool.keep(*talk)
            talk = None
        if talk is None:
            try:
                talk = await self.pool.connect(job.relays)
            except Unreachable as fault:
                self._unreached(job, fault)
                return None
        relay, conversation = talk
        most = self.throttle.mails_per_connection(job.destination)

        def following() -> Job | None:
            is_used_up = conversation.mails >= most or not conversation.is_open
            return None if is_used_up else self._another(job.destination, relay)

        try:
            await Carrier(conversation, relay, following, self._settle).carry(job)
        except Stale as stale:
            return await self._carry(stale.job, None)
        except Lost:
            self.throttle.settle(job.destination, "lost")
            return None
        except BaseException:
            conversation.abort("was left")
            raise
        if conversation.mails >= most:
            await conversation.quit()
        return talk if conversation.is_open else None

    def _another(self, destination: str, relay: Relay) -> Job | None:
        """Return what can go behind another mail, at once and to the same server."""
        if self._aside.get(destination) or self._is_over():
            return None
        if not self.throttle.keeps(destination):
            return None
        job = self.throttle.take(destination)
        if job is not None and relay not in job.relays:
            self._aside.setdefault(destination, []).append(job)
            return None
        return job

    def _settle(self, job: Job, outcome: Outcome, reply: Reply | None) -> None:
        self.outcomes[job.index] = outcome
        if reply is None:
            return
        self._unreached_by.pop(job.destination, None)
        told: Told = "slowed" if reply.is_slowing else "good"
        self.throttle.settle(
            job.destination, told, retry_after=reply.retry_after if told == "slowed" else None
        )
        if job.destination not in self._answered or len(self.outcomes) % STEADY == 0:
            self._answered.add(job.destination)
            self._spread()

    def _unreached(self, job: Job, fault: Unreachable) -> None:
        reply = fault.reply
        wait = reply.retry_after if reply is not None else None
        outcome = Deferred(str(fault), wait, counts=not self.is_ours)
        self.outcomes[job.index] = outcome
        is_slowed = reply is not None and reply.is_slowing
        self.throttle.settle(job.destination, "slowed" if is_slowed else "lost", retry_after=wait)
        if self.is_ours and not is_slowed:
            # The same goes for all behind it; how long a server stays away nobody can say.
            self._unreached_by[job.destination] = outcome

    def _put_off(self, destination: str | None = None) -> None:
        """Defer all that waits, for one destination or for all, until its turn comes."""
        found: dict[str, Deferred] = {}
        for name, job in self.throttle.drain(destination):
            if name not in found:
                found[name] = self._unreached_by.get(name) or self._not_yet(name)
            self.outcomes[job.index] = found[name]
        for name, jobs in self._aside.items():
            if destination in (None, name):
                for job in jobs:
                    self.outcomes[job.index] = self._not_yet(name)
                jobs.clear()

    def _not_yet(self, destination: str) -> Deferred:
        return Deferred(_NOT_YET, self.throttle.rest(destination), counts=False)

    def _is_over(self) -> bool:
        return asyncio.get_running_loop().time() >= self._ends_at
