"""Single: one interaction at a time, each in a transaction of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import frozen
from crmcore_tiering import Tiering
from typing_extensions import override

from bench.application import assembled
from bench.bare import Portion, Source, opened
from bench.count import Count, count
from bench.history import History, advance, load
from bench.sample import Comparison, compare, timed
from bench.sizes import Sizes
from bench.table import Line
from crmcore import (
    Clock,
    Context,
    Crm,
    Draft,
    InteractionsRecorded,
    Kind,
    Plugin,
    hookimpl,
)

GOAL = 9.0
NEWEST = "SELECT max(interaction_id) FROM crm_interaction"


class Noting(Plugin):
    """Decides one thing for each order, to show what a decision costs."""

    name = "noting"

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        return [Kind("order.noted")]

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        ctx.record(
            *(
                Draft(
                    "order.noted",
                    customer=each.customer_id,
                    source_key=f"noted:{each.source_key}",
                    caused_by=each.id,
                )
                for each in event
            )
        )


@frozen(kw_only=True)
class Case:
    """What is recorded by whom, and beside what; *only* is the one table the driver writes."""

    title: str
    plugins: tuple[type[Plugin], ...] = (Tiering,)
    newcomers: bool = False
    only: str | None = None
    goal: float | None = None
    durable: bool = False

    @property
    def beside(self) -> str:
        return "all core rows" if self.only is None else "the interaction's row alone"

    def crm(self, path: Path, clock: Clock) -> Crm:
        return assembled(path, self.plugins, clock, durable=self.durable)


CASES = (
    Case(title="single, no plugin", plugins=()),
    Case(title="single, tiering", goal=GOAL),
    Case(title="single, tiering", only="crm_interaction"),
    Case(title="single, tiering, durable", durable=True),
    Case(title="single, tiering, new customers", newcomers=True, goal=GOAL),
    Case(title="single, tiering and a decision", plugins=(Tiering, Noting), goal=GOAL),
)


@frozen
class Orders:
    """A ledger that is there already, and the orders that come next, a list for each round."""

    case: Case
    ledger: Path
    following: History
    drafts: Sequence[Sequence[Draft]]
    """Those that follow, a list for each round."""

    def beforehand(self) -> tuple[list[Portion], Count]:
        """Record all in a copy; return the core's rows of each commit, and what was done."""
        path, clock, ends = self._copy("source"), self.following.clock(), list[int]()
        with (
            self.case.crm(path, clock) as crm,
            opened(path, durable=self.case.durable) as connection,
        ):

            def work() -> None:
                for drafts in self.drafts:
                    for draft in drafts:
                        advance(clock, [draft])
                        crm.record(draft)
                        ends.append(connection.execute(NEWEST).fetchall()[0][0])

            source = Source(connection)
            source.take(connection.execute(NEWEST).fetchall()[0][0])
            done = count(crm, work)
            return [source.take(end) for end in ends], done

    def compared(self, portions: Sequence[Portion]) -> Comparison:
        """Compare `crm.record` with the driver, which writes *portions*, one a commit."""
        clock, durable = self.following.clock(), self.case.durable
        with (
            opened(self._copy("bare"), durable=durable) as connection,
            self.case.crm(self._copy("crm"), clock) as crm,
        ):

            def bare(number: int) -> float:
                first, length = number * len(self.drafts[number]), len(self.drafts[number])
                commits = [p.statements() for p in portions[first : first + length]]

                def work() -> None:
                    execute = connection.execute
                    for statements in commits:
                        execute("BEGIN IMMEDIATE")
                        for sql, row in statements:
                            execute(sql, row)
                        execute("COMMIT")

                return timed(work)

            def library(number: int) -> float:
                drafts = self.drafts[number]

                def work() -> None:
                    for draft in drafts:
                        advance(clock, [draft])
                        crm.record(draft)

                return timed(work)

            return compare(len(self.drafts), bare, library)

    def empty(self) -> Comparison:
        """Compare a transaction in which nothing happens, with its connection from the pool."""
        often = len(self.drafts[0])
        with (
            opened(self._copy("bare")) as connection,
            self.case.crm(self._copy("crm"), self.following.clock()) as crm,
        ):

            def bare() -> None:
                for _ in range(often):
                    connection.execute("BEGIN IMMEDIATE")
                    connection.execute("COMMIT")

            def library() -> None:
                for _ in range(often):
                    with crm.begin():
                        pass

            return compare(len(self.drafts), lambda _: timed(bare), lambda _: timed(library))

    def _copy(self, name: str) -> Path:
        path = self.ledger.with_name(f"{name}.db")
        path.unlink(missing_ok=True)
        shutil.copy(self.ledger, path)
        return path


def _loaded(path: Path, past: History, plugins: Iterable[type[Plugin]]) -> Path:
    clock = past.clock()
    with assembled(path, plugins, clock) as crm:
        load(crm, clock, past)
    return path


def measure(sizes: Sizes) -> Iterator[Line]:
    """Yield a line for each case, and one for what a transaction costs by itself."""
    customers, interactions = sizes.single
    past = History(customers=customers, interactions=interactions)
    commits = sizes.rounds * sizes.commits
    with TemporaryDirectory() as folder:
        plain = _loaded(Path(folder, "plain.db"), past, ())
        tiered = _loaded(Path(folder, "tiered.db"), past, (Tiering,))
        for case in CASES:
            following = past.following(commits, newcomers=case.newcomers)
            ledger = tiered if Tiering in case.plugins else plain
            drafts = list(following.batches(sizes.commits))
            orders = Orders(case, ledger, following, drafts)
            portions, done = orders.beforehand()
            if case.only is not None:
                portions = [portion.only(case.only) for portion in portions]
            rows = sum(portion.size for portion in portions) / commits
            yield Line(
                title=case.title,
                beside=case.beside,
                items=sizes.commits,
                comparison=orders.compared(portions),
                goal=case.goal,
                rows=(rows, done.rows / commits),
                statements=(rows + 2, done.statements / commits),
            )
        yield Line(
            title="single, an empty transaction",
            beside="BEGIN and COMMIT",
            items=sizes.commits,
            comparison=orders.empty(),
        )
