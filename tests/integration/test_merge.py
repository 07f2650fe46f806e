"""Merges, one fact at a time; the laws over random histories are in tests/property."""

from __future__ import annotations

import json
import threading
import uuid
from typing import Any

import pytest
from sqlalchemy import Column, Interval, MetaData, Table, Text, Time, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, INET, JSONB

from crmcore import Crm, CrmError, Draft, Identifier, Plugin, PluginTable, VirtualClock
from crmcore.errors import InputError, MergeError, NotFoundError
from crmcore.persistence.tables import metadata
from crmcore.testing.dumps import difference, dump
from tests.support.histories import START, instant
from tests.support.making import draft, moment, plugin, rows, us
from tests.support.merging import Notes, Whole, database_of
from tests.support.plugins import Books

ADA, BOB, CY = (Identifier("email", f"{name}@example.com") for name in ("ada", "bob", "cy"))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    with database_of(request.param, tmp_path) as made:
        yield made


def opened(url: str, *plugins: Plugin, **options) -> Crm:
    clock = VirtualClock(instant(START))
    return Crm(url, plugins=plugins, clock=clock, secret="s", durable=False, **options)


def order(crm: Crm, email: str, key: str, at: float = 0, **values) -> int:
    """Record an order and return whose it is."""
    return crm.record(draft("order.placed", at, key=key, email=email, **values)).customer_id


class TestMerging:
    def test_all_is_the_survivors(self, url):
        """Interactions, identifiers, lines and stages are the survivor's, however one asks."""
        with opened(url) as crm:
            ada, bob = order(crm, "ada", "1"), order(crm, "bob", "2")
            done = crm.merge(ADA, BOB, reason="one address", actor="staff:grace")

            assert (ada, bob, 1, 1) == (
                done.survivor,
                done.merged,
                done.interactions,
                done.identifiers,
            )
            assert ada == crm.find_customer(BOB)
            assert crm.customer(bob) == crm.customer(ada) == crm.customer(BOB)
            assert 2 == crm.customer(ada).interactions
            assert crm.why_stages(bob) == crm.why_stages(ada)
            assert ada == crm.record(draft("order.placed", key="3", email="bob")).customer_id
            by_id = crm.record(Draft("order.placed", customer=bob, source_key="4"))
            assert (ada, bob) == (by_id.customer_id, by_id.recorded_for)
            (told,) = crm.merges(bob)
            assert ("one address", "staff:grace", None) == (
                told.reason,
                told.actor,
                told.undone_at,
            )

    def test_the_ledger_keeps_whom_it_was_recorded_for(self, url):
        """Neither a merge nor its end changes `recorded_for`."""
        query = "SELECT source_key, recorded_for FROM crm_interaction ORDER BY source_key"
        with opened(url) as crm:
            order(crm, "ada", "1"), order(crm, "bob", "2")
            before = rows(crm, query)
            done = crm.merge(1, 2)
            assert before == rows(crm, query)
            crm.unmerge(done.id)

            assert before == rows(crm, query)

    @pytest.mark.parametrize(
        ("pair", "error", "sentence"),
        [
            ((1, 1), MergeError, "customers 1 and 1 are the same customer"),
            ((1, 99), NotFoundError, "customer 99"),
            ((3, 2), MergeError, "customer 2 was merged into customer 1"),
            ((2, 1), MergeError, "customers 2 and 1 are both customer 1 by now"),
            ((1, Identifier("email", "no@example.com")), NotFoundError, "no@example.com"),
        ],
    )
    def test_refusals(self, url, pair, error, sentence):
        """What cannot be merged is refused in a sentence that says why, and nothing changes."""
        with opened(url) as crm:
            for n, name in enumerate(("ada", "bob", "cy")):
                order(crm, name, f"{n}")
            crm.merge(1, 2)
            before = dump(crm)
            with pytest.raises(error, match=sentence):
                crm.merge(*pair)

            assert "" == difference(before, dump(crm))

    def test_survivor_that_was_merged(self, url):
        """A survivor who was merged before stands for whom they are now."""
        with opened(url) as crm:
            for n, name in enumerate(("ada", "bob", "cy")):
                order(crm, name, f"{n}")
            crm.merge(1, 2)

            assert 1 == crm.merge(2, 3).survivor

    def test_nothing_is_announced(self, url):
        """Neither a merge, nor its end, nor what comes next announces the other's past."""
        notes = Notes()
        with opened(url, notes, Books(reviews=False)) as crm:
            order(crm, "ada", "1")
            crm.record(
                draft("service.opened", key="2", email="bob", payload={"case": "c", "text": "?"})
            )
            heard, decided = list(notes.heard), decided_rows(crm)
            done = crm.merge(BOB, ADA)
            assert crm.customer(BOB).stages[0].stage == "ordering"
            viewed: Any = {"payload": {"product": "p"}, "email": "bob"}
            crm.record(draft("product.viewed", 0.1, key="3", **viewed))
            crm.unmerge(done.id)
            crm.record(draft("product.viewed", 0.2, key="4", **viewed))

            assert heard == notes.heard
            assert decided == decided_rows(crm)

    def test_in_the_shops_transaction(self, url):
        """A merge is undone with the transaction it was made in."""
        with opened(url) as crm:
            order(crm, "ada", "1"), order(crm, "bob", "2")
            before = dump(crm)
            with pytest.raises(ZeroDivisionError):
                merge_and_fail(crm)

            assert "" == difference(before, dump(crm))

    def test_plugin_that_raises(self, url):
        """A plugin that cannot recompute has a fault, and owes both; the merge stands."""

        def fails(hook):
            return hook == "recompute_customers"

        with opened(url, Books(fails=fails, reviews=False)) as crm:
            order(crm, "ada", "1"), order(crm, "bob", "2")
            done = crm.merge(1, 2)

            assert {"books": 2} == crm.debts()
            assert ["recompute_customers"] == [f.hook for f in crm.faults("books")]
            assert crm.find_customer(BOB) == 1
        with opened(url, Books(reviews=False)) as crm:
            crm.pay_debts()
            query = "SELECT customer_id, entries FROM crm_books_entry ORDER BY customer_id"
            assert [(1, 2)] == rows(crm, query)
            crm.unmerge(done.id)
            assert [(1, 1), (2, 1)] == rows(crm, query)


def merge_and_fail(crm: Crm) -> None:
    with crm.begin() as tx:
        tx.merge(1, 2)
        raise ZeroDivisionError


def decided_rows(crm: Crm) -> list[tuple[Any, ...]]:
    return rows(crm, "SELECT interaction_id FROM crm_interaction WHERE origin = 'decided'")


class TestUnmerging:
    def test_what_came_by_no_identifier_stays_and_is_listed(self, url):
        """An order given by the survivor's id, and decisions on both, are listed as unclear."""
        with opened(url, Books(reviews=False)) as crm:
            order(crm, "ada", "1"), order(crm, "bob", "2")
            done = crm.merge(1, 2)
            given = crm.record(Draft("order.placed", customer=1, source_key="3")).id
            order(crm, "bob", "4")
            theirs = crm.record(Draft("order.placed", customer=2, source_key="5")).id
            query = (
                "SELECT interaction_id FROM crm_interaction WHERE kind = 'books.noted' AND "
                f"interaction_id > {given} ORDER BY interaction_id"
            )
            notes = [i for (i,) in rows(crm, query)]
            undone = crm.unmerge(done.id)

            assert sorted([given, *notes]) == list(undone.unclear)
            assert 3 == len(notes)
            whose = dict(rows(crm, "SELECT interaction_id, customer_id FROM crm_interaction"))
            assert {1} == {whose[i] for i in undone.unclear}
            assert 2 == whose[theirs]

    def test_new_identifiers_go_with_whom_they_came_with(self, url):
        """A phone number that came with the merged one's address is theirs afterwards."""
        with opened(url) as crm:
            order(crm, "ada", "1"), order(crm, "bob", "2")
            done = crm.merge(ADA, BOB)
            phone = Identifier("handle", "bobby")
            crm.record(Draft("order.placed", identifiers=(BOB, phone), source_key="3"))
            assert 1 == crm.find_customer(phone)
            crm.unmerge(done.id)

            assert 2 == crm.find_customer(phone)

    def test_last_first(self, url):
        """A merge is not undone before a later one that touches its customers, which is named."""
        with opened(url) as crm:
            for n, name in enumerate(("ada", "bob", "cy")):
                order(crm, name, f"{n}")
            first, second = crm.merge(2, 3), crm.merge(1, 2)
            with pytest.raises(MergeError, match=f"undo {second.id} first"):
                crm.unmerge(first.id)
            crm.unmerge(second.id)
            crm.unmerge(first.id)

            with pytest.raises(MergeError, match="was undone before"):
                crm.unmerge(first.id)
            with pytest.raises(NotFoundError, match="no merge has the id 99"):
                crm.unmerge(99)
            assert [1, 1, 1] == [crm.customer(c).interactions for c in (1, 2, 3)]

    def test_absent_plugin(self, url):
        """Tables of a plugin that is not there move too, and come back; so do its timers."""
        with opened(url, Notes(), Books(reviews=False)) as crm:
            order(crm, "ada", "1"), order(crm, "bob", "2"), order(crm, "bob", "3", 1)
            before = dump(crm)
        with opened(url) as crm:
            done = crm.merge(ADA, BOB)
            assert {"crm_notes_card", "crm_notes_note", "crm_notes_seat"} >= set(done.rows)
            assert done.rows
            assert done.shelved
            mine = rows(crm, "SELECT DISTINCT customer_id FROM crm_notes_note")
            assert [(1,)] == mine
        with opened(url, Notes(), Books(reviews=False)) as crm:
            crm.pay_debts()
            assert [(1, 3)] == rows(crm, "SELECT customer_id, entries FROM crm_books_entry")
            crm.unmerge(done.id)

            assert "" == difference(
                {k: v for k, v in before.items() if k != "crm_setting"},
                {k: v for k, v in dump(crm).items() if k != "crm_setting"},
            )

    def test_debt_paid_meanwhile(self, url):
        """A debt of either is the survivor's; paid or not, each has what is theirs afterwards."""
        failing = [True]

        def fails(hook):
            return failing[0] and hook == "on_interactions_recorded"

        query = "SELECT customer_id, entries FROM crm_books_entry ORDER BY customer_id"
        for paid in (True, False):
            failing[0] = True
            with opened(url, Books(fails=fails, reviews=False)) as crm:
                key = f"{paid}"
                ada, bob = order(crm, f"a{key}", f"1{key}"), order(crm, f"b{key}", f"2{key}")
                done = crm.merge(ada, bob)
                order(crm, f"b{key}", f"3{key}")
                order(crm, f"a{key}", f"4{key}")
                failing[0] = False
                if paid:
                    assert {"books": 2} == crm.pay_debts()
                    assert (ada, 4) in rows(crm, query)
                crm.unmerge(done.id)
                crm.pay_debts()

                assert {} == crm.debts()
                assert {(ada, 2), (bob, 2)} <= set(rows(crm, query))
                # Everybody got each order once: the books note every order they were given.
                assert [] == rows(
                    crm,
                    "SELECT source_key, count(*) FROM crm_interaction WHERE kind = 'books.noted' "
                    "GROUP BY source_key HAVING count(*) > 1",
                )

    def test_changes_of_stage_missed_by_both(self, url):
        """A plugin that missed changes of both is told of them once, those of each as theirs."""
        notes, failing = Notes(), [True]

        def heard(ctx, event):
            if failing[0]:
                raise ValueError("told to fail")
            notes.on_stages_changed(ctx, event)

        with opened(url, plugin("listener", on_stages_changed=heard)) as crm:
            order(crm, "ada", "1"), order(crm, "bob", "2")
            done = crm.merge(ADA, BOB)
            ((missed,),) = rows(
                crm, "SELECT missed_stages FROM crm_debt WHERE missed_stages IS NOT NULL"
            )
            assert [1, 1] == [each["customer_id"] for each in json.loads(missed)]
            crm.unmerge(done.id)
            failing[0] = False
            crm.pay_debts()

            assert ["1: anonymous to ordering", "2: anonymous to ordering"] == notes.heard

    def test_timers_set_anew(self, url):
        """A timer that fired stays gone, one set anew is kept by both, one that waits goes back."""
        with opened(url, Notes()) as crm:
            order(crm, "ada", "1"), order(crm, "bob", "2", 1)
            crm.merge(ADA, BOB)
            order(crm, "bob", "3", 3)  # of the key that day 1 has, so it is set anew
            crm.unmerge(1)

            found = rows(crm, "SELECT customer_id, timer_key, due_at FROM crm_timer ORDER BY 1, 2")
            assert [(1, "again:0", us(13)), (1, "again:1", us(10)), (2, "again:0", us(13))] == found


def test_every_table_of_customers_is_answered_for():
    """Whoever adds a table of customers to the core has to say what a merge does with it."""
    answered = {
        "crm_customer",
        "crm_identifier",
        "crm_interaction",
        "crm_line",
        "crm_stage",
        "crm_stage_change",
        "crm_timer",
        "crm_debt",
        "crm_backlog",
        "crm_relation",
        "crm_match",
        "crm_moved",
        "crm_consent",
        "crm_brake",
        "crm_zone",
        "crm_message",
        "crm_attempt",
        "crm_task",
        "crm_access",
        "crm_erasure",
    }
    found = {t.name for t in metadata.sorted_tables if "customer_id" in t.columns}

    assert answered == found


def test_two_at_once(tmp_path):
    """Of two transactions that merge the same customer, one wins, and the other says into whom."""
    with database_of("postgresql", tmp_path) as url, opened(url) as crm:
        for n, name in enumerate(("ada", "bob", "cy")):
            order(crm, name, f"{n}")
        ready = threading.Barrier(2)
        outcomes: list[object] = []

        def merge(survivor: int) -> None:
            ready.wait()
            try:
                outcomes.append(crm.merge(survivor, 3).survivor)
            except CrmError as error:
                outcomes.append(type(error))

        threads = [threading.Thread(target=merge, args=(who,)) for who in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert MergeError in outcomes
        winner = next(each for each in outcomes if isinstance(each, int))
        assert winner == crm.find_customer(CY)


def test_recording_while_merging(tmp_path):
    """What is recorded for somebody while they are merged is never left with who they were."""
    with database_of("postgresql", tmp_path) as url, opened(url) as crm:
        order(crm, "ada", "a"), order(crm, "bob", "b")
        stop = threading.Event()
        errors: list[BaseException] = []

        def record(name: str) -> None:
            number = 0
            while not stop.is_set():
                number += 1
                try:
                    order(crm, "bob", f"{name}{number}")
                except BaseException as error:
                    errors.append(error)

        threads = [threading.Thread(target=record, args=(name,)) for name in ("x", "y")]
        for thread in threads:
            thread.start()
        for _ in range(15):
            done = crm.merge(ADA, BOB)
            left = rows(
                crm,
                "SELECT count(*) FROM crm_interaction i JOIN crm_customer c "
                "ON c.customer_id = i.customer_id WHERE c.merged_into IS NOT NULL",
            )
            assert [(0,)] == left
            crm.unmerge(done.id)
        stop.set()
        for thread in threads:
            thread.join()

        assert [] == errors
        assert 1 == crm.customer(1).interactions
        bobs = rows(crm, "SELECT count(*) FROM crm_interaction WHERE recorded_for = 2")
        assert bobs == [(crm.customer(2).interactions,)]


def test_put_aside_is_json(tmp_path):
    """What was put aside holds rows of plugins with all their values, bytes among them."""
    with database_of("sqlite", tmp_path) as url, opened(url, Notes()) as crm:
        order(crm, "ada", "1"), order(crm, "bob", "2")
        crm.merge(1, 2)
        kept = json.loads(rows(crm, "SELECT shelved FROM crm_merge")[0][0])

        (row,) = kept["tables"]["crm_notes_note"]["shelved"]
        assert {"bytes": "Mg=="} == row["body"]


def test_relations_move_and_come_back(url):
    """Relations of the merged one are the survivor's; one to the survivor rests until the end."""
    with opened(url) as crm:
        for n, name in enumerate(("ada", "bob", "cy")):
            order(crm, name, f"{n}")
        with crm.begin() as tx:
            assert tx.relate(BOB, "child_of", CY)
            assert tx.relate(BOB, "household_of", ADA)
            assert not tx.relate(2, "household_of", 1)
        done = crm.merge(ADA, BOB)
        assert ["1 is a child of 3"] == [str(each) for each in crm.relations(2)]
        crm.unmerge(done.id)

        assert ["2 is a child of 3", "2 lives in one household with 1"] == [
            str(each) for each in crm.relations(BOB)
        ]
        with crm.begin() as tx:
            assert tx.unrelate(BOB, "child_of", CY)
            assert not tx.unrelate(BOB, "child_of", CY)
            with pytest.raises(InputError, match="did you mean 'child_of'"):
                tx.relate(BOB, "chid_of", CY)
            with pytest.raises(InputError, match="two are expected"):
                tx.relate(BOB, "child_of", BOB)


@pytest.mark.parametrize("mine", [False, True])
def test_relations_of_merges_that_cross(url, mine):
    """A merge is not undone before one of whom its relations are to; last first, all is back."""
    with opened(url) as crm:
        for n, name in enumerate(("ada", "bob", "cy", "dan")):
            order(crm, name, f"{n}")
        with crm.begin() as tx:
            tx.relate(2, "referred_by", 3)
            if mine:
                tx.relate(1, "referred_by", 3)
        before = dump(crm)
        first, second = crm.merge(1, 2), crm.merge(4, 3)
        assert ["1 was brought by 4"] == [str(each) for each in crm.relations(1)]
        with pytest.raises(MergeError, match=f"related to; undo {second.id} first"):
            crm.unmerge(first.id)
        crm.unmerge(second.id)
        crm.unmerge(first.id)

        assert "" == difference(before, dump(crm))


def box_of(kind: Any = None, key: Any = Text) -> tuple[Plugin, Table]:
    """Return a plugin with a table of its own, whose rows move, and that table."""
    values = [] if kind is None else [Column("v", kind)]
    owner = Column("customer_id", Whole, primary_key=True, autoincrement=False)
    of_key = Column("k", key, primary_key=True)
    box = Table("crm_box_thing", MetaData(), owner, of_key, *values)
    owned = PluginTable(box, derived=False, merge="move", erase="delete")
    return plugin("box", tables=[owned]), box


def test_written_for_who_was_merged(url):
    """What is written by the id of somebody who was merged is the survivor's; all goes back."""
    box, thing = box_of()
    with opened(url, box) as crm:
        order(crm, "ada", "1"), order(crm, "bob", "2")
        row = {"customer_id": 2, "k": "x"}
        for merged in (False, True):
            if merged:
                done = crm.merge(1, 2)
            with crm.begin() as tx, tx.acting(type(box)) as (_, ctx):
                ctx.write(thing, [row, {"customer_id": 4711, "k": "nobody's"}])
        assert [(1, "x")] == rows(crm, "SELECT * FROM crm_box_thing WHERE customer_id < 9")
        crm.unmerge(done.id)

        assert [(2, "x")] == rows(crm, "SELECT * FROM crm_box_thing WHERE customer_id < 9")


def test_a_row_in_the_place_of_one_that_comes_back(url):
    """A row that got to the merged one past the core stays; the one that moved is kept aside."""
    box, thing = box_of(Text)
    with opened(url, box) as crm:
        order(crm, "ada", "1"), order(crm, "bob", "2")
        with crm.begin() as tx, tx.acting(type(box)) as (_, ctx):
            ctx.write(thing, [{"customer_id": 2, "k": k, "v": "old"} for k in "xy"])
        done = crm.merge(1, 2)
        with crm.begin() as tx:
            sql = "INSERT INTO crm_box_thing VALUES (2, 'x', 'new')"
            tx.connection.sqlalchemy.exec_driver_sql(sql)
        assert {"crm_box_thing": 1} == crm.unmerge(done.id).rows

        found = rows(crm, "SELECT * FROM crm_box_thing ORDER BY k")
        assert [(2, "x", "new"), (2, "y", "old")] == found
        ((kept,),) = rows(crm, "SELECT shelved FROM crm_merge")
        (left,) = json.loads(kept)["tables"]["crm_box_thing"]["left"]
        assert {"customer_id": 1, "k": "x", "v": "old"} == left


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (JSONB, "[1, 2.50]"),
        (JSONB, '"a"'),
        (JSONB, "5"),
        (JSONB, "null"),
        (JSONB, '{"a": [1]}'),
        (Uuid, "657ffd5e-8072-4ad8-a9d1-563cd78968bc"),
        (ARRAY(Text), '{a,"b c"}'),
        (Time, "10:00:00.5"),
        (Interval, "1 mon 2 days"),
        (INET, "10.0.0.1/8"),
        (Uuid, None),
    ],
)
@pytest.mark.parametrize("present", [True, False])
def test_types_of_columns(tmp_path, kind, value, present):
    """A row comes back as it was, whatever the type of its columns; with its plugin or without."""
    box, _ = box_of(kind)
    with database_of("postgresql", tmp_path) as url:
        with opened(url, box) as crm, crm.begin() as tx:
            for n, name in enumerate(("ada", "bob")):
                tx.record(draft("order.placed", key=f"{n}", email=name))
            written = "NULL" if value is None else f"'{value}'"
            for customer, key in ((1, "k"), (2, "k"), (2, "j")):
                tx.connection.sqlalchemy.exec_driver_sql(
                    f"INSERT INTO crm_box_thing VALUES ({customer}, '{key}', {written})"
                )
        with opened(url, *([box] if present else [])) as crm:
            before = rows(crm, "SELECT customer_id, k, v::text FROM crm_box_thing ORDER BY 1, 2")
            done = crm.merge(1, 2)
            assert ({"crm_box_thing": 1}, {"crm_box_thing": 1}) == (done.rows, done.shelved)
            crm.unmerge(done.id)

            after = rows(crm, "SELECT customer_id, k, v::text FROM crm_box_thing ORDER BY 1, 2")
            assert before == after


def test_key_that_is_a_uuid(tmp_path):
    """Rows whose key is of such a type move, and come back."""
    box, thing = box_of(key=Uuid)
    with database_of("postgresql", tmp_path) as url, opened(url, box) as crm:
        order(crm, "ada", "1"), order(crm, "bob", "2")
        ids = [uuid.UUID(int=n) for n in (1, 2)]
        with crm.begin() as tx, tx.acting(type(box)) as (_, ctx):
            owned = [(1, ids[0]), (2, ids[0]), (2, ids[1])]
            ctx.write(thing, [{"customer_id": c, "k": k} for c, k in owned])
        done = crm.merge(1, 2)
        query = "SELECT customer_id, k FROM crm_box_thing ORDER BY 1, 2"
        assert [(1, each) for each in ids] == rows(crm, query)
        crm.unmerge(done.id)

        assert owned == rows(crm, query)


def test_moment_is_the_shops():
    """The instants these tests compute by hand are those drafts carry."""
    assert us(13) == instant(moment(13))
