"""Merges, relations and proofs that meet on PostgreSQL: each sees what is true under its locks."""

import threading
from itertools import combinations

import psycopg
import pytest

from crmcore import Crm, Draft, Identifier, VirtualClock
from crmcore.errors import CrmError, RetryTransaction
from crmcore.testing.dumps import difference, dump
from tests.support.databases import drop_schema, dsn, new_schema
from tests.support.histories import START, instant
from tests.support.making import rows

ANN, BOB = Identifier("handle", "c1"), Identifier("handle", "c2")
MAIL = Identifier("email", "bob@example.com")
RELATIONS = "SELECT customer_id, relation, other_id FROM crm_relation ORDER BY 1, 2, 3"
WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted AND %s = ANY(pg_blocking_pids(pid))"


@pytest.fixture
def url():
    made = new_schema()
    yield made
    drop_schema(made)


@pytest.fixture
def crm(url):
    """A shop with nine customers, 1 to 9, who are known by a handle each."""
    clock = VirtualClock(instant(START))
    with Crm(url, clock=clock, secret="s", durable=False) as opened:
        names = [(Identifier("handle", f"c{number}"),) for number in range(1, 10)]
        opened.record_many(Draft("order.placed", identifiers=each) for each in names)
        yield opened


def relate(crm, *pairs):
    with crm.begin() as tx:
        for who, whom in pairs:
            assert tx.relate(who, "household_of", whom)


def meeting(crm, url, first, second):
    """Do *first* in a transaction that is committed when *second*, in a thread, waits for it."""
    outcomes = []

    def run():
        try:
            outcomes.append(second())
        except CrmError as error:
            outcomes.append(type(error))

    thread = threading.Thread(target=run)
    with psycopg.connect(dsn(url), autocommit=True) as admin:
        with crm.begin() as tx:
            first(tx)
            pid = tx.connection.sqlalchemy.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            thread.start()
            while not admin.execute(WAITS, (pid,)).fetchone()[0]:  # type: ignore[index]
                assert thread.is_alive()
        thread.join()
    return outcomes[0]


@pytest.mark.parametrize("known", [BOB, 2], ids=["by name", "by id"])
@pytest.mark.parametrize("undone", [True, False], ids=["unmerge", "merge"])
def test_a_proof_while_a_merge_moves_the_prover(crm, url, known, undone):
    """Who proves an address gets it as who they are once the locks are had."""
    merge = crm.merge(1, 2) if undone else None

    def move(tx):
        if merge is not None:
            tx.unmerge(merge.id)
        else:
            tx.merge(1, 2)

    proven = meeting(crm, url, move, lambda: crm.prove(known, MAIL))

    owner = 2 if undone else 1
    assert (owner, True) == (proven.customer, proven.added)
    assert owner == crm.find_customer(MAIL)


def test_a_proof_while_a_merge_is_undone_goes_with_its_prover(crm):
    """An address proved by somebody's name goes back with that name when a merge is undone."""
    merge = crm.merge(1, 2)
    assert 1 == crm.prove(BOB, MAIL).customer
    crm.unmerge(merge.id)

    assert 2 == crm.find_customer(MAIL)


def test_a_guest_is_merged_while_it_is_proved(crm, url):
    """A guest whom another merge takes away first is not merged a second time."""
    guest = crm.record("order.placed", guest_email="bob@example.com").customer_id

    proven = meeting(crm, url, lambda tx: tx.merge(3, guest), lambda: crm.prove(BOB, MAIL))

    assert (True, None, 3) == (proven.added, proven.merge, proven.proposed)
    assert [3] == [each.survivor for each in crm.merges(guest)]


@pytest.mark.parametrize("pair", [(2, 3), (3, 2)], ids=["of the first", "to the first"])
@pytest.mark.parametrize("turned", [False, True], ids=["in order", "against it"])
def test_merges_at_both_ends_of_a_relation(crm, url, pair, turned):
    """Where both ends of a relation are merged at once, the survivors are related; once."""
    relate(crm, pair)
    before = dump(crm)
    (survivor, merged), (other, gone) = ((4, 3), (1, 2)) if turned else ((1, 2), (4, 3))

    second = meeting(
        crm, url, lambda tx: tx.merge(survivor, merged), lambda: crm.merge(other, gone)
    )

    ends = {2: 1, 3: 4}
    assert [(ends[pair[0]], "household_of", ends[pair[1]])] == rows(crm, RELATIONS)
    crm.unmerge(second.id)
    crm.unmerge(crm.merges(merged)[0].id)
    assert "" == difference(before, dump(crm))


def test_a_relation_that_comes_meanwhile(crm, url):
    """A merge that waited for a new relation's end is done again: its other end is not locked."""

    def add(tx):
        tx.relate(2, "household_of", 9)

    def merge():
        with crm.begin() as tx:
            return tx.merge(1, 2)

    assert RetryTransaction is meeting(crm, url, add, merge)
    assert [(2, "household_of", 9)] == rows(crm, RELATIONS)
    assert 1 == crm.merge(1, BOB).survivor
    assert [(1, "household_of", 9)] == rows(crm, RELATIONS)


def test_a_merge_of_our_own_is_done_again_by_itself(crm, url):
    """The same in a transaction of our own ends well."""
    done = meeting(crm, url, lambda tx: tx.relate(2, "household_of", 9), lambda: crm.merge(1, 2))

    assert 1 == done.survivor
    assert [(1, "household_of", 9)] == rows(crm, RELATIONS)


def test_a_relation_ends_while_its_end_is_merged(crm, url):
    """Who ends a relation while a merge moves it ends it where it is by then."""
    relate(crm, (2, 9))

    def end():
        return crm.run_transaction(lambda tx: tx.unrelate(9, "household_of", 2))

    def end_mine():
        return crm.run_transaction(lambda tx: tx.unrelate(2, "household_of", 9))

    assert not meeting(crm, url, lambda tx: tx.merge(1, 2), end)
    assert end_mine()
    assert [] == rows(crm, RELATIONS)


def test_many_merges_of_people_who_are_all_related(crm):
    """Four merges at once among eight people of one household leave it as one by one they do."""
    everyone = range(1, 9)
    relate(crm, *combinations(everyone, 2))
    pairs = [(1, 2), (4, 3), (5, 6), (8, 7)]
    into = {merged: survivor for survivor, merged in pairs}
    related = {(into.get(a, a), into.get(b, b)) for a, b in combinations(everyone, 2)}
    expected = sorted((a, "household_of", b) for a, b in related if a != b)
    before = dump(crm)
    for _ in range(5):
        ready = threading.Barrier(len(pairs))
        errors: list[Exception] = []
        done: list[int] = []

        def merge(pair, ready=ready, errors=errors, done=done):
            try:
                ready.wait()
                done.append(crm.merge(*pair).id)
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=merge, args=(pair,)) for pair in pairs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [] == errors
        assert expected == rows(crm, RELATIONS)
        for merge_id in sorted(done, reverse=True):
            crm.unmerge(merge_id)
        assert "" == difference(before, dump(crm))


def test_who_is_locked_late_is_not_waited_for_long(crm):
    """
    Whoever finds after a merge that somebody else is meant, asks for them out of id order.

    Somebody who has them may wait for whom we hold, so the transaction is to be tried again; and
    how long this connection waits for locks is as it was.
    """
    identity = crm._runtime.identity

    def patience(tx):
        return tx.connection.sqlalchemy.exec_driver_sql("SHOW lock_timeout").scalar_one()

    with crm.begin() as first:
        assert {1, 2} == identity.lock(first.connection, [1, 2]).keys()
        with crm.begin() as second:
            before = patience(second)
            assert {3, 4} == identity.lock(second.connection, [3, 4], again=True).keys()
            assert before == patience(second) != "250ms"
            with pytest.raises(RetryTransaction, match="stood in each other's way"):
                identity.lock(second.connection, [1, 3], again=True)
    with crm.begin() as third:
        assert before == patience(third)
