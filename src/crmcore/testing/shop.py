"""A shop made for a test: the plugin under test over an empty database, and time that can pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import process_time
from typing import Any, Final

from attrs import define, field
from hypothesis import HealthCheck, Phase, Verbosity, given, settings

from crmcore.app import Crm
from crmcore.domain.clock import DAY, VirtualClock, to_instant
from crmcore.domain.interaction import Draft
from crmcore.hooks import Plugin
from crmcore.replay.replayer import Replayer
from crmcore.testing.breach import ContractBroken
from crmcore.testing.databases import fresh
from crmcore.testing.strategies import START, histories
from crmcore.testing.subject import Subject

SECRET: Final = "the same in all runs, so that hashes compare equal"
LONG: Final = 200
"""Days that pass after each history, so that what waits for time to pass happens."""

_PATIENCE: Final = 15
"""CPU seconds for making a history shorter."""

_SHRUNK = (Phase.explicit, Phase.generate, Phase.shrink)
_AS_FOUND = (Phase.explicit, Phase.generate)


@define(eq=False)
class Shop:
    """
    Opens shops with the plugin under test, and lets histories happen in them.

    Attributes:
        kind: Of the database: `sqlite` or `postgresql`.
        folder: Where databases that are opened several times have their files.
        examples: How many histories each law is tried on.
        shrinks: Whether a history that breaks a law is made as short as can be.
    """

    subject: Subject
    kind: str
    folder: Path
    examples: int = 12
    shrinks: bool = True

    # -- opening -----------------------------------------------------------------------------

    @contextmanager
    def opened(
        self, plugins: Iterable[Plugin] | None = None, *, url: str | None = None, at: int = 0
    ) -> Iterator[Crm]:
        """
        Open a shop: by default with the plugin and what it needs, over an empty database.

        Its clock, a `VirtualClock`, stands at *at*, or where histories begin.
        """
        made = self.subject.all() if plugins is None else list(plugins)
        clock = VirtualClock(at or to_instant(START))
        options: dict[str, Any] = {"secret": SECRET, "durable": False, **self.subject.options}
        if url is not None:
            with Crm(url, plugins=made, clock=clock, **options) as crm:
                yield crm
            return
        with fresh(self.kind) as empty, Crm(empty, plugins=made, clock=clock, **options) as crm:
            yield crm

    @contextmanager
    def database(self) -> Iterator[str]:
        """Give the URL of an empty database that can be opened several times."""
        with fresh(self.kind, self.folder) as url:
            yield url

    # -- letting things happen ---------------------------------------------------------------

    def play(
        self,
        crm: Crm,
        history: Sequence[Draft],
        *,
        size: int | None = None,
        days: int = LONG,
        settled: bool = True,
    ) -> None:
        """
        Let a history happen, in batches of at most *size*, and then let *days* pass.

        In the end everything that waits is done, unless *settled* is False.
        """
        clock = clock_of(crm)
        end = end_of(history, days=days) if days else None
        Replayer(crm, clock, size).run(
            history, until=None if end is None else max(end, clock.now())
        )
        if settled:
            settle(crm)

    def over(
        self,
        check: Callable[[list[Draft]], None],
        *,
        examples: int | None = None,
        least: int = 1,
        longest: int = 20,
        late: bool = True,
    ) -> None:
        """
        Run *check* over histories, the same in every run; a broken contract tells the shortest.

        Raises:
            ContractBroken: With the history it was broken after.
        """
        most = examples or self.examples
        if self.kind != "sqlite":
            most = max(2, most // 4)  # opening one takes ten times as long

        @settings(
            max_examples=most,
            deadline=None,
            database=None,
            derandomize=True,
            phases=_SHRUNK if self.shrinks and self.kind == "sqlite" else _AS_FOUND,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            verbosity=Verbosity.quiet,  # a broken contract tells its history itself
        )
        @given(self.histories(least=least, longest=longest, late=late))
        def law(history: list[Draft]) -> None:
            search.run(history)

        search = _Search(check)
        law()

    def histories(self, **limits: Any) -> Any:
        """Return a strategy for histories in which what the plugin reacts to happens."""
        subject = self.subject
        own = [kind for kind in subject.kinds if kind.name in subject.recorded]
        currency = subject.options.get("currency", "EUR")
        return histories(kinds=own, values=subject.payloads, currency=currency, **limits)

    def broken(self, wrong: str) -> ContractBroken:
        """Return the error that tells what is wrong with the plugin."""
        return ContractBroken(self.subject.name, wrong)


@define
class _Search:
    """
    Looks for the shortest history that breaks a law, for a while.

    After that, histories not seen yet count as kept; those that broke it still break it.
    """

    check: Callable[[list[Draft]], None]
    broken: dict[str, ContractBroken] = field(factory=dict)
    since: float = 0

    def run(self, history: list[Draft]) -> None:
        key = repr(history)
        if self.broken and key not in self.broken and process_time() - self.since > _PATIENCE:
            return
        try:
            self.check(history)
        except ContractBroken as broken:
            self.since = self.since or process_time()
            told = self.broken[key] = ContractBroken(broken.plugin, broken.wrong, history)
            raise told from broken.__cause__


def clock_of(crm: Crm) -> VirtualClock:
    """Return the clock a shop of the kit was opened with."""
    clock = crm.runtime.clock
    assert isinstance(clock, VirtualClock)
    return clock


def settle(crm: Crm) -> None:
    """Do all that waits to be done: debts, messages, and what is told after commits."""
    crm.pay_debts()
    crm.run_due()
    crm.deliver()
    for _ in crm._parts.delivery.work():
        pass


def pass_time(crm: Crm, days: int = LONG) -> None:
    """Let days pass in which nobody does anything, and do all that waits."""
    clock = clock_of(crm)
    Replayer(crm, clock).run([], until=clock.now() + days * DAY)
    settle(crm)


def end_of(history: Sequence[Draft], *, days: int = LONG) -> int:
    """Return the instant *days* after the last thing that happened."""
    instants = [to_instant(each.occurred_at) for each in history if each.occurred_at]
    return max(instants, default=to_instant(START)) + days * DAY
