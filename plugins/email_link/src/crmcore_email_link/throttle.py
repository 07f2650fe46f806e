"""Pace: how much goes to one receiver at once, so that none is pressed and none holds up others."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from math import ceil, isfinite
from typing import Final, Generic, Literal, TypeVar

from attrs import Factory, define, field, frozen

from crmcore.errors import ConfigurationError

T = TypeVar("T")

Told = Literal["good", "slowed", "lost"]
"""What became of a mail, as far as the pace goes: taken or refused as any other; asked to slow
down; or nobody answered, or hung up."""

LOWEST_SHARE: Final = 1 / 64
STEP: Final = 1 / 8
STEADY: Final = 20
"""After as many mails in a row without a complaint, a slowed destination gets a step faster."""

LOSSES: Final = 3
"""After as many connections lost in a row a destination rests; at once, if it never answered."""

WORTH: Final = 5
"""Mails that have to wait for each connection already open before another one is opened."""

_KNOWN: Final = 10_000
"""Beyond as many destinations, those of which there is nothing to remember are forgotten."""

_ALMOST: Final = 1 - 1e-9  # of a token: what is waited for exactly is there, whatever rounding does


@frozen(kw_only=True)
class Limits:
    """
    What one destination is given at most.

    Attributes:
        connections: At once.
        rate: Mails a second; None: as many as it takes.
        burst: Mails that may go at once after a rest, where there is a rate.
        mails_per_connection: After as many a connection is closed, and another one opened.
        pause: Seconds of rest after it asked to slow down; twice as many each further time.
        longest_pause: Seconds beyond which a rest does not grow.
    """

    connections: int = 5
    rate: float | None = None
    burst: int = 10
    mails_per_connection: int = 100
    pause: float = 15.0
    longest_pause: float = 900.0

    def __attrs_post_init__(self) -> None:
        """Refuse limits under which nothing would ever go."""
        for name in ("connections", "burst", "mails_per_connection"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; 1 or more is expected")
        if self.rate is not None and not (self.rate > 0 and isfinite(self.rate)):
            raise ConfigurationError(f"rate is {self.rate}; more than 0 mails a second is expected")
        if not 0 < self.pause <= self.longest_pause:
            raise ConfigurationError(
                f"pause is {self.pause}; more than 0 seconds and at most longest_pause, "
                f"{self.longest_pause}, is expected"
            )


class Providers:
    """
    Which receiver stands behind a domain, by its mail servers: asked once, and remembered.

    Domains of one provider share its limits, as it counts what it gets and not what names say.
    What is not known is a receiver of its own. At most *size* domains are remembered.
    """

    def __init__(
        self,
        resolve: Callable[[str], str | None],
        *,
        clock: Callable[[], float] = time.monotonic,
        seconds: float = 3600.0,
        size: int = 10_000,
    ) -> None:
        self._resolve = resolve
        self._clock = clock
        self._seconds = seconds
        self._size = size
        self._known: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def __call__(self, domain: str) -> str:
        """Return the name of the receiver."""
        domain, now = domain.lower().rstrip("."), self._clock()
        found = self._known.get(domain)
        if found is None or found[0] <= now:
            found = (now + self._seconds, self._resolve(domain) or domain)
            self._known.pop(domain, None)
            self._known[domain] = found
            if len(self._known) > self._size:
                self._known.popitem(last=False)
        return found[1]


@define
class _Queue(Generic[T]):
    """Items of several campaigns, which take turns; within a campaign the first comes first."""

    of: dict[str, deque[T]] = Factory(dict)
    turns: deque[str] = Factory(deque)
    size: int = 0

    def add(self, campaign: str, item: T) -> None:
        found = self.of.get(campaign)
        if found is None:
            found = self.of[campaign] = deque()
            self.turns.append(campaign)
        found.append(item)
        self.size += 1

    def pop(self) -> T:
        campaign = self.turns.popleft()
        found = self.of[campaign]
        item = found.popleft()
        if found:
            self.turns.append(campaign)
        else:
            del self.of[campaign]
        self.size -= 1
        return item


@define
class _Destination(Generic[T]):
    """Where one receiver stands."""

    limits: Limits
    tokens: float
    filled_at: float
    queue: _Queue[T] = Factory(_Queue)
    open: int = 0
    share: float = 1.0
    pause: float = 0.0
    paused_until: float = float("-inf")
    streak: int = 0
    losses: int = 0
    is_proven: bool = False

    def refill(self, now: float) -> None:
        if self.limits.rate is not None:
            gained = max(0.0, now - self.filled_at) * self.limits.rate * self.share
            self.tokens = min(float(self.limits.burst), self.tokens + gained)
        self.filled_at = now

    def allowed(self, now: float) -> int:
        """Return how many connections it may have; one until somebody has answered there."""
        if now < self.paused_until:
            return 0
        return max(1, int(self.limits.connections * self.share)) if self.is_proven else 1

    def is_forgettable(self, now: float) -> bool:
        """Return whether a destination met for the first time would be treated no worse."""
        if self.open or self.queue.size or now < self.paused_until or self.share < 1:
            return False
        self.refill(now)
        return self.losses == 0 and self.tokens >= self.limits.burst

    def wait(self, now: float) -> float:
        """Return the seconds until the next may go; 0: now."""
        rest = max(0.0, self.paused_until - now)
        if self.limits.rate is None or self.tokens >= _ALMOST:
            return rest
        return max(rest, (1 - self.tokens) / (self.limits.rate * self.share))


@define(kw_only=True)
class Throttle(Generic[T]):
    """
    Decides what goes to whom next, and how many connections there are; it sends nothing itself.

    Each destination has a queue of its own, so one that is slow or dead takes only its own
    connections: one, as long as nobody has answered there. Campaigns take turns in each. Who asks
    to slow down (421, or 451 4.7.x) rests, longer each time, and gets half as many connections and
    half the rate, and a step more after every 20 mails that went well. It is kept in this process:
    several workers each keep a pace of their own, so give each a part of the limits.

    Attributes:
        limits: For destinations that have none of their own.
        own: Limits by destination.
        group: Returns the destination of a domain, such as `Providers`.
        connections: At once, to all destinations together.
        clock: Seconds that never run backwards.
    """

    limits: Limits = Factory(Limits)
    own: Mapping[str, Limits] = Factory(dict)
    group: Callable[[str], str] = field(default=str)
    connections: int = 20
    clock: Callable[[], float] = field(default=time.monotonic)

    _known: dict[str, _Destination[T]] = field(factory=dict, init=False)
    _turns: deque[str] = field(factory=deque, init=False)
    _open: int = field(default=0, init=False)

    def add(self, item: T, *, domain: str, campaign: str = "") -> str:
        """Put *item* at the end of its campaign's queue, and return its destination."""
        name = self.group(domain)
        found = self._known.get(name) or self._make(name)
        if found.queue.size == 0:
            self._turns.append(name)
        found.queue.add(campaign, item)
        return name

    def open(self) -> str | None:
        """Return the destination that is to have one more connection, now open; None: none."""
        if self._open >= self.connections:
            return None
        now = self.clock()
        for _ in range(len(self._turns)):
            name = self._turns[0]
            self._turns.rotate(-1)
            found = self._known[name]
            if found.open < min(found.allowed(now), ceil(found.queue.size / WORTH)):
                found.open += 1
                self._open += 1
                return name
        return None

    def close(self, destination: str) -> None:
        """Note that one of its connections is no longer used."""
        self._known[destination].open -= 1
        self._open -= 1

    def keeps(self, destination: str) -> bool:
        """Return whether it may keep as many connections as it has."""
        found = self._known[destination]
        return found.open <= found.allowed(self.clock())

    def take(self, destination: str) -> T | None:
        """Return what goes there next; None: nothing waits, or it has to rest first."""
        found = self._known[destination]
        if found.queue.size == 0:
            return None
        now = self.clock()
        found.refill(now)
        if found.wait(now) > 0:
            return None
        if found.limits.rate is not None:
            found.tokens = max(0.0, found.tokens - 1)
        item = found.queue.pop()
        if found.queue.size == 0:
            self._turns.remove(destination)
        return item

    def ready_in(self, destination: str) -> float | None:
        """Return the seconds until something may go there; None: nothing waits."""
        found = self._known[destination]
        return self.rest(destination) if found.queue.size else None

    def rest(self, destination: str) -> float:
        """Return the seconds until something might go there, whether anything waits or not."""
        found, now = self._known[destination], self.clock()
        found.refill(now)
        return found.wait(now)

    def settle(self, destination: str, told: Told, *, retry_after: float | None = None) -> None:
        """
        Note what became of a mail, which makes the destination faster or slower.

        What is told while it rests already counts once: connections at work then hear the same.
        """
        found, now = self._known[destination], self.clock()
        if told == "good":
            found.is_proven, found.losses = True, 0
            found.streak += 1
            if found.streak % STEADY == 0:
                found.refill(now)
                found.share, found.pause = min(1.0, found.share + STEP), 0.0
            return
        found.streak = 0
        if told == "lost":
            found.losses += 1
            if found.is_proven and found.losses < LOSSES:
                return
            found.is_proven = False
        if now < found.paused_until:
            return
        found.refill(now)
        limits = found.limits
        found.share = max(LOWEST_SHARE, found.share / 2)
        found.pause = min(limits.longest_pause, max(limits.pause, found.pause * 2))
        rest = max(found.pause, min(retry_after or 0.0, limits.longest_pause))
        found.paused_until = now + rest

    def drain(self, destination: str | None = None) -> Iterator[tuple[str, T]]:
        """Take out all that still waits, with its destination; of one destination, or of all."""
        for name in [*self._turns] if destination is None else [destination]:
            found = self._known[name]
            while found.queue.size:
                yield name, found.queue.pop()
            if name in self._turns:
                self._turns.remove(name)

    def mails_per_connection(self, destination: str) -> int:
        """Return after how many mails a connection to it is closed."""
        return self._known[destination].limits.mails_per_connection

    def _make(self, name: str) -> _Destination[T]:
        now = self.clock()
        if len(self._known) >= _KNOWN:
            resting = [each for each, it in self._known.items() if it.is_forgettable(now)]
            for each in resting:
                del self._known[each]
        limits = self.own.get(name, self.limits)
        found: _Destination[T] = _Destination(limits, float(limits.burst), now)
        self._known[name] = found
        return found
