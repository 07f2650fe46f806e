"""Runs: a history replayed through plugins, and what the database holds then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from crmcore import Crm, Draft, Plugin, VirtualClock
from crmcore.domain.clock import DAY
from crmcore.replay.replayer import Replayer
from crmcore.testing.snapshots import Snapshot, snapshot
from tests.support.databases import scratch
from tests.support.histories import START, instant

SECRET = "the same in all runs, so that hashes compare equal"


@contextmanager
def opened(
    plugins: Iterable[Plugin] = (), *, url: str | None = None, at: int | None = None, **options: Any
) -> Iterator[tuple[Crm, VirtualClock]]:
    """Open a database whose clock stands at *at*, by default where made histories start."""
    clock = VirtualClock(instant(START) if at is None else at)
    url = scratch() if url is None else url
    with Crm(url, plugins=plugins, clock=clock, secret=SECRET, durable=False, **options) as crm:
        yield crm, clock


def replayed(
    drafts: Sequence[Draft],
    plugins: Iterable[Plugin] = (),
    *,
    batch_size: int | None = None,
    until: int | None = None,
    start: int | None = None,
    then: Callable[[Crm], object] = lambda crm: None,
    **options: Any,
) -> Snapshot:
    """Replay *drafts* into an empty database, and time up to *until*."""
    with opened(plugins, at=start, **options) as (crm, clock):
        Replayer(crm, clock, batch_size).run(drafts, until=until)
        then(crm)
        return snapshot(crm)


def stretches(
    drafts: Sequence[Draft],
    plugins: Iterable[Plugin] = (),
    *,
    start: int | None = None,
    **options: Any,
) -> list[list[Draft]]:
    """Replay *drafts* one by one, and return them as stretches between which something fell due."""
    found: list[list[Draft]] = [[]]
    with opened(plugins, at=start, **options) as (crm, clock):
        for draft in drafts:
            assert draft.occurred_at is not None
            now = instant(draft.occurred_at)
            while (due := crm.next_due()) is not None and due <= now:
                clock.advance_to(due)
                crm.run_due()
                if found[-1]:
                    found.append([])
            clock.advance_to(now)
            crm.record(draft)
            found[-1].append(draft)
    return found


def end_of(drafts: Sequence[Draft], *, days: int = 200) -> int:
    """Return an instant *days* after the last of *drafts*, for what time alone brings about."""
    return max(instant(d.occurred_at) for d in drafts if d.occurred_at) + days * DAY
