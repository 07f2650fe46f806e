"""Sixteen threads on one PostgreSQL database, and the same once more by one of them.

What was committed is done again, in the order of the commits that the server kept
(`track_commit_timestamp`), by one thread on an empty schema; all tables are equal then, but for
ids and clocks. So nothing was lost, and no operation saw half of another.
"""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from random import Random
from typing import Any

import psycopg
import pytest
from attrs import define, field, frozen
from crmcore_tiering import Tiering
from typing_extensions import override

from crmcore import (
    Context,
    Crm,
    Draft,
    Identifier,
    InteractionsRecorded,
    Kind,
    Line,
    Money,
    Plugin,
    TimersDue,
    VirtualClock,
    hookimpl,
)
from crmcore.domain.clock import DAY
from crmcore.errors import InputError, NotFoundError, RetryTransaction
from crmcore.services.transaction import Transaction
from tests.support.databases import drop_schema, dsn, new_schema
from tests.support.histories import START, instant
from tests.support.plugins import Books, BrokenError
from tests.support.portraits import differences, portrait

SEED = 20260802
THREADS = 16
NOW = instant(START) + 200 * DAY
SECRET = "the same in both runs, so that hashes compare equal"

# Those who are merged, and those whom timers and debts are about: what is decided about somebody
# belongs to whoever they are when it is decided, which a worker's pace may change.
MERGED, TIMED = range(120), range(200, 300)
TRIES = 4
FAILS, CALLS = "fails", "calls"

paying = threading.local()


@define(eq=False)
class Ledgers(Books):
    """Books that fail with some orders, until their debt is paid."""

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        super().on_interactions_recorded(ctx, event)
        if not getattr(paying, "now", False) and any(each.touch == FAILS for each in event):
            raise BrokenError("told to")


class Calls(Plugin):
    """Calls some customers ten days after an order."""

    name = "calls"

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        return [Kind("calls.made")]

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        for each in event:
            if each.touch == CALLS:
                due = each.occurred_instant + 10 * DAY
                ctx.set_timer(f"call:{each.source_key}", due, each.customer_id)

    @hookimpl
    @override
    def on_timers_due(self, ctx: Context, event: TimersDue) -> None:
        ctx.record(
            *(
                Draft("calls.made", customer=timer.customer_id, source_key=timer.key)
                for timer in event
            )
        )


def email(person: int) -> Identifier:
    return Identifier("email", f"p{person}@example.com")


def draft(random: Random, key: str, people: range, **values: Any) -> Draft:
    person = random.choice(people)
    amount = Money(random.randrange(100, 9000), "EUR")
    given: dict[str, Any] = {
        "kind": "order.placed",
        "identifiers": (email(person),),
        "occurred_at": START + timedelta(days=random.uniform(0, 150)),
        "amount": amount,
        "lines": (
            Line(product=random.choice("abc"), quantity=1, amount_minor=amount.amount_minor),
        ),
        "source_key": key,
        "subject": f"order:{key}",
    }
    return Draft(**(given | values))


@frozen
class Operation:
    """One thing done; what it needs to be done again is in *given*, without any id."""

    number: int
    kind: str
    given: Any


def order(random: Random, number: int) -> Any:
    return draft(random, f"o{number}", MERGED)


def redelivery(random: Random, number: int) -> Any:
    """One of few keys, each time with another amount and customer: the first one counts."""
    return draft(random, f"r{random.randrange(400)}", MERGED)


def batch(random: Random, number: int) -> Any:
    people = (MERGED, TIMED)
    return [draft(random, f"b{number}-{n}", random.choice(people)) for n in range(5)]


def newcomer(random: Random, number: int) -> Any:
    """Somebody nobody knows yet, whom several threads meet at once."""
    return draft(random, f"n{number}", range(1000, 1000 + max(1, number // 4)))


def named(random: Random, number: int) -> Any:
    person = random.choice(MERGED)
    names = (email(person), Identifier("handle", f"h{person}"))
    return draft(random, f"a{number}", MERGED, identifiers=names)


def refund(random: Random, number: int) -> Any:
    return draft(random, f"f{number}", MERGED, kind="order.refunded")


def failing(random: Random, number: int) -> Any:
    return draft(random, f"x{number}", TIMED, touch=FAILS)


def timed(random: Random, number: int) -> Any:
    return draft(random, f"t{number}", TIMED, touch=CALLS)


def merge(random: Random, number: int) -> Any:
    return random.sample(MERGED, 2)


def nothing(random: Random, number: int) -> Any:
    return None


MAKE: dict[str, Callable[[Random, int], Any]] = {
    "order": order,
    "redelivery": redelivery,
    "batch": batch,
    "newcomer": newcomer,
    "named": named,
    "refund": refund,
    "failing": failing,
    "timed": timed,
    "merge": merge,
    "unmerge": nothing,
    "pay": nothing,
    "time": nothing,
}
WEIGHTS = {"pay": 0.4, "time": 0.4}


@frozen
class Done:
    """What became of an operation: the transaction it was committed in, and how to repeat it."""

    operation: Operation
    xid: str
    again: Any


@define
class Tally:
    """Counts by kind, from all threads."""

    committed: Counter[str] = field(factory=Counter)
    retried: Counter[str] = field(factory=Counter)
    refused: Counter[str] = field(factory=Counter)
    done: list[Done] = field(factory=list)
    broken: list[str] = field(factory=list)
    lock: Any = field(factory=threading.Lock)


@contextmanager
def opened(url: str) -> Iterator[Crm]:
    plugins = [Tiering(), Ledgers(reviews=False), Calls()]
    with Crm(url, plugins=plugins, clock=VirtualClock(NOW), secret=SECRET, durable=False) as crm:
        yield crm


def xid(tx: Transaction) -> str:
    found = tx.connection.sqlalchemy.exec_driver_sql("SELECT pg_current_xact_id()::text")
    return str(found.scalar_one())


def ask(tx: Transaction, sql: str) -> list[Any]:
    return list(tx.connection.sqlalchemy.exec_driver_sql(sql))


def reference(tx: Transaction, person: int) -> str:
    ((found,),) = ask(
        tx,
        "SELECT c.reference FROM crm_identifier i JOIN crm_customer c USING (customer_id) "
        f"WHERE scheme = 'email' AND identifier_value = 'p{person}@example.com'",
    ) or [(None,)]
    if found is None:
        raise InputError(f"p{person} is nobody yet")
    return str(found)


def by_reference(tx: Transaction, wanted: str) -> int:
    ((found,),) = ask(tx, f"SELECT customer_id FROM crm_customer WHERE reference = '{wanted}'")
    return int(found)


def do(crm: Crm, operation: Operation, again: Any = None) -> tuple[str, Any]:
    """Do an operation in one transaction; return the transaction, and how to do it again."""
    with crm.begin() as tx:
        match operation.kind:
            case "merge":
                two = again or [reference(tx, person) for person in operation.given]
                tx.merge(*(by_reference(tx, each) for each in two), reason=f"m{operation.number}")
                return xid(tx), two
            case "unmerge":
                rows = ask(
                    tx,
                    "SELECT merge_id, reason FROM crm_merge WHERE undone_at IS NULL "
                    + (f"AND reason = '{again}' " if again else "")
                    + "ORDER BY merge_id DESC LIMIT 6",
                )
                if not rows:
                    raise InputError("nothing to undo")
                merge_id, reason = rows[operation.number % len(rows)]
                tx.unmerge(merge_id)
                return xid(tx), reason
            case "batch":
                tx.record_many(operation.given)
            case _:
                tx.record(operation.given)
        return xid(tx), None


def work(crm: Crm, operation: Operation) -> tuple[str, Any]:
    """Do a worker's share, in transactions of its own; returns one that comes after them."""
    if operation.kind == "pay":
        paying.now = True
        try:
            crm.pay_debts()
        finally:
            paying.now = False
    else:
        crm.run_due()
    with crm.begin() as tx:
        return xid(tx), None


def attempt(crm: Crm, operation: Operation, tally: Tally) -> None:
    for left in reversed(range(TRIES)):
        try:
            act = work if operation.kind in ("pay", "time") else do
            committed, again = act(crm, operation)
        except RetryTransaction:
            with tally.lock:
                tally.retried[operation.kind] += 1
            if not left:
                raise
            time.sleep(0.005 * (TRIES - left))
        except (InputError, NotFoundError):
            with tally.lock:
                tally.refused[operation.kind] += 1
            return
        else:
            with tally.lock:
                tally.committed[operation.kind] += 1
                tally.done.append(Done(operation, committed, again))
            return


def operations(count: int) -> list[Operation]:
    random = Random(SEED)
    kinds = list(MAKE)
    weights = [WEIGHTS.get(kind, 1.0) for kind in kinds]
    found = []
    for number in range(count):
        (kind,) = random.choices(kinds, weights)
        found.append(Operation(number, kind, MAKE[kind](random, number)))
    return found


def race(crm: Crm, every: list[Operation]) -> Tally:
    tally, start = Tally(), threading.Barrier(THREADS)

    def run(place: int) -> None:
        start.wait()
        for operation in every[place::THREADS]:
            try:
                attempt(crm, operation, tally)
            except Exception as error:
                with tally.lock:
                    tally.broken.append(f"{operation.kind}: {type(error).__name__}: {error}")

    threads = [threading.Thread(target=run, args=(place,)) for place in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally


def settle(crm: Crm) -> None:
    """Do all that is left to do."""
    work(crm, Operation(-1, "pay", None))
    crm.run_due()


def in_order(url: str, done: list[Done]) -> list[Done]:
    """Return what was done in the order in which the server committed it."""
    with psycopg.connect(dsn(url)) as connection:
        rows = connection.execute(
            "SELECT x, pg_xact_commit_timestamp(x::xid8::xid) FROM unnest(%s::text[]) x",
            ([each.xid for each in done],),
        ).fetchall()
    at: dict[str, Any] = dict(rows)
    return sorted(done, key=lambda each: at[each.xid])


def check(count: int, least: int) -> None:
    every = operations(count)
    raced, alone = new_schema(), new_schema()
    try:
        with opened(raced) as crm:
            tally = race(crm, every)
            assert [] == tally.broken[:5]
            settle(crm)
            assert {} == dict(crm.debts())
            found = portrait(crm)
        with opened(alone) as crm:
            for each in in_order(raced, tally.done):
                if each.operation.kind in ("pay", "time"):
                    work(crm, each.operation)
                else:
                    do(crm, each.operation, each.again)
            settle(crm)
            expected = portrait(crm)
    finally:
        drop_schema(raced)
        drop_schema(alone)
    lines = [
        f"{kind:12}{tally.committed[kind]:7}{tally.retried[kind]:7}{tally.refused[kind]:7}"
        for kind in MAKE
    ]
    head = f"seed {SEED}, {THREADS} threads; committed, retried, refused:"
    sys.stdout.write("\n".join([head, *lines, ""]))
    assert "" == differences(expected, found)
    assert all(tally.committed[kind] >= least for kind in MAKE), tally.committed


def test_races_end_as_one_thread_would():
    """A tenth of the matrix: all tables equal, no deadlock left unhandled."""
    check(1_000, least=20)


@pytest.mark.slow
def test_ten_thousand_racing_operations():
    """The whole matrix: each kind of operation committed at least a hundred times."""
    check(10_000, least=100)
