"""Bulk: a shop's orders recorded in large batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import define, field
from crmcore_tiering import Tiering

from bench.application import assembled
from bench.bare import Portion, Source, opened, write
from bench.count import Count, count
from bench.history import History, advance
from bench.sample import compare_in_turns, timed
from bench.sizes import Sizes
from bench.table import Line
from crmcore import Plugin

GOAL = 5.0


@define
class Bulk:
    """One history, recorded into databases that are empty each time."""

    history: History
    batch: int
    folder: Path
    _databases: int = field(default=0, init=False)

    @property
    def batches(self) -> int:
        return -(-self.history.interactions // self.batch)

    def counted(self, plugins: Sequence[type[Plugin]]) -> tuple[Path, Count]:
        """Record everything once, and return the database and what was done in it."""
        path, clock = self._new(), self.history.clock()
        with assembled(path, plugins, clock) as crm:

            def work() -> None:
                for batch in self.history.batches(self.batch):
                    advance(clock, batch)
                    crm.record_many(batch)

            return path, count(crm, work)

    def portions(self, source: Path) -> Iterator[Portion]:
        """Yield the core's rows of each batch, as they stand in a database filled before."""
        with opened(source) as connection:
            filled = Source(connection)
            for end in range(self.batch, self.batches * self.batch + 1, self.batch):
                yield filled.take(end)

    def in_turns(self, source: Path, plugins: Sequence[type[Plugin]]) -> tuple[float, float]:
        """
        Return the driver's CPU seconds for all of it, and crmcore's; the drafts are the caller's.

        Each batch is written by one and then by the other, each into a database of its own, so
        that both meet the same machine, whatever else it does meanwhile.
        """
        clock, bare, library = self.history.clock(), 0.0, 0.0
        with (
            opened(self._new()) as connection,
            assembled(self._new(), plugins, clock) as crm,
        ):
            batches = self.history.batches(self.batch)
            for portion, batch in zip(self.portions(source), batches, strict=True):
                advance(clock, batch)
                bare += timed(lambda portion=portion: write(connection, portion))  # type: ignore[misc]
                library += timed(lambda batch=batch: crm.record_many(batch))  # type: ignore[misc]
        return bare, library

    def _new(self) -> Path:
        self._databases += 1
        return self.folder / f"bulk-{self._databases}.db"


def measure(sizes: Sizes) -> Iterator[Line]:
    """Yield one line without any plugin and one with tiering."""
    customers, interactions, batch = sizes.bulk
    with TemporaryDirectory() as folder:
        bulk = Bulk(History(customers=customers, interactions=interactions), batch, Path(folder))
        for title, plugins in (("no plugin", ()), ("tiering", (Tiering,))):
            source, done = bulk.counted(plugins)
            portions = [(p.size, p.calls) for p in bulk.portions(source)]
            yield Line(
                title=f"bulk, {title}",
                beside="all core rows",
                items=interactions,
                comparison=compare_in_turns(
                    sizes.rounds,
                    lambda source=source, plugins=plugins: bulk.in_turns(source, plugins),  # type: ignore[misc]
                ),
                goal=GOAL if plugins else None,
                rows=(sum(p[0] for p in portions) / interactions, done.rows / interactions),
                statements=(
                    sum(p[1] for p in portions) / bulk.batches,
                    done.statements / bulk.batches,
                ),
            )
