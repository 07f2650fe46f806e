"""Plugins are told what was committed: in order, at least once, and nobody waits for another."""

import sqlite3
from typing import Any

import psycopg
import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, select

from crmcore import Draft, Kind
from crmcore.errors import ModeError
from crmcore.persistence.ledger import interaction
from crmcore.services.background.cursors import LEASED_FOR
from tests.support.databases import drop_schema, dsn, new_schema, shop_file
from tests.support.making import draft, kinds, plugin, rows, us
from tests.support.runs import opened

each_database = pytest.mark.each_database

MINUTE = 60_000_000


@pytest.fixture
def url(tmp_path):
    return shop_file(tmp_path)


@pytest.fixture
def postgresql():
    url = new_schema()
    yield url
    drop_schema(url)


class Ears:
    """What a plugin was told, by keys, and for which customers it fails."""

    def __init__(self):
        self.heard = []
        self.deaf_to = set()

    def hear(self, ctx, event):
        told = list(event)
        self.heard.append([item.source_key for item in told])
        if self.deaf_to & {item.customer_id for item in told}:
            self.heard.pop()
            raise ValueError("told to fail")

    def all(self):
        return [key for batch in self.heard for key in batch]

    def plugin(self, **hooks):
        return plugin("ears", **{"after_interactions_recorded": self.hear, **hooks})


def order(crm, key, email="a"):
    return crm.record(draft("order.placed", key=key, email=email))


# ---------------------------------------------------------------------------------- the order


@each_database
def test_told_once_in_order(url):
    """Everything committed since the plugin was first there comes once, in the order of commits."""
    with opened([], url=url) as (crm, _):
        order(crm, "before")
    ears = Ears()
    with opened([ears.plugin()], url=url) as (crm, _):
        for number in range(3):
            order(crm, f"{number}", email="ab"[number % 2])
        assert [] == ears.heard
        crm.worker().once()
        assert ["0", "1", "2"] == ears.all()
        order(crm, "3")
        crm.worker().once()
        crm.worker().once()
    with opened([], url=url) as (crm, _):
        order(crm, "away")
    with opened([ears.plugin()], url=url) as (crm, _):
        crm.worker().once()

    assert ["0", "1", "2", "3", "away"] == ears.all()


@each_database
def test_many(url):
    """More than is told at once comes in portions, each interaction once."""
    ears = Ears()
    with opened([ears.plugin()], url=url) as (crm, _):
        crm.record_many(draft("order.placed", key=str(n), email=f"c{n % 7}") for n in range(1234))
        crm.worker().once()

    assert [500, 500, 234] == [len(batch) for batch in ears.heard]
    assert [str(n) for n in range(1234)] == ears.all()


@each_database
def test_not_its_own_decisions(url):
    """A plugin's own decisions do not come back to it; others' do."""
    own, other = Ears(), Ears()

    def decide(ctx, event):
        own.hear(ctx, event)
        ctx.record(Draft("ears.heard", customer=next(iter(event)).customer_id, source_key="k"))

    deciding = own.plugin(register_kinds=[Kind("ears.heard")], after_interactions_recorded=decide)
    listening = plugin("other", after_interactions_recorded=other.hear)
    with opened([deciding, listening], url=url) as (crm, _):
        order(crm, "1")
        crm.worker().once()

        assert ["order.placed", "ears.heard"] == kinds(crm)
        assert ["1"] == own.all()
        assert 2 == len(other.all())


def test_a_late_commit(postgresql):
    """A commit that comes after one with a higher id is not skipped, as a cursor of ids would."""
    ears, last = Ears(), 0
    naive: list[str] = []

    def look():
        """Read as a cursor of ids does: what is above the highest id seen."""
        nonlocal last
        found = rows(
            crm,
            f"SELECT interaction_id, source_key FROM crm_interaction "
            f"WHERE interaction_id > {last} ORDER BY interaction_id",
        )
        naive.extend(key for _, key in found)
        last = max([last, *(number for number, _ in found)])
        crm.worker().once()

    with opened([ears.plugin()], url=postgresql) as (crm, _):
        with crm.begin() as slow:
            early = slow.record(draft("order.placed", key="early", email="ada"))
            with crm.begin() as quick:
                late = quick.record(draft("order.placed", key="late", email="bob"))
            assert early.id < late.id
            look()
            assert ["late"] == naive
            assert [] == ears.all()  # something earlier may still come
        look()

        assert ["late"] == naive  # lost for good
        assert ["early", "late"] == ears.all()


# ------------------------------------------------------------------ outside any transaction


def test_no_transaction_is_open(tmp_path):
    """While the hook runs, others can write: it holds no lock."""
    wrote = []

    def hear(ctx, event):
        with sqlite3.connect(tmp_path / "shop.db", timeout=0) as other:
            other.execute("BEGIN IMMEDIATE")
            wrote.append(other.execute("SELECT count(*) FROM crm_interaction").fetchone()[0])
        other.close()

    with opened(
        [plugin("ears", after_interactions_recorded=hear)], url=f"sqlite:///{tmp_path}/shop.db"
    ) as (crm, _):
        order(crm, "1")
        crm.worker().once()
        assert [] == crm.faults("ears")

    assert [1] == wrote


TABLE = Table("crm_ears_note", MetaData(), Column("customer_id", Integer, primary_key=True))


@pytest.mark.parametrize(
    "act",
    [
        lambda ctx, event: ctx.write(TABLE, [{"customer_id": 1}]),
        lambda ctx, event: ctx.execute_many(insert(TABLE), [{"customer_id": 1}]),
        lambda ctx, event: ctx.execute(insert(TABLE).values(customer_id=1)),
        lambda ctx, event: ctx.fold(None, event),
        lambda ctx, event: ctx.clear(TABLE, event),
    ],
    ids=["write", "execute_many", "execute", "fold", "clear"],
)
def test_tables_cannot_be_written(act):
    """What writes to tables raises a ModeError that says where to write instead."""
    said = []

    def hear(ctx, event):
        with pytest.raises(ModeError, match="write in an on_ hook") as caught:
            act(ctx, event)
        said.append(str(caught.value))

    with opened([plugin("ears", after_interactions_recorded=hear)]) as (crm, _):
        order(crm, "1")
        crm.worker().once()
        assert [] == crm.faults("ears")

    assert 1 == len(said)


@each_database
def test_what_it_can_ask(url):
    """The context reads what is committed, and tells the time, timers and the currency."""
    found: dict[str, Any] = {}

    def hear(ctx, event):
        customer = next(iter(event)).customer_id
        found.update(
            kinds=ctx.execute(select(interaction.c.kind)),
            latest=ctx.latest([customer], ["order.placed"]),
            timer=ctx.find_timer("call", customer),
            debt=ctx.has_debt,
            now=ctx.clock.now(),
            currency=ctx.currency,
            mode=ctx.mode,
        )

    ears = plugin(
        "ears",
        after_interactions_recorded=hear,
        on_interactions_recorded=lambda ctx, event: ctx.set_timer("call", us(9), 1),
        on_timers_due=lambda ctx, event: None,
    )
    with opened([ears], url=url) as (crm, _):
        placed = order(crm, "1")
        crm.worker().once()

    assert {
        "kinds": [("order.placed",)],
        "latest": {placed.customer_id: placed.id},
        "timer": us(9),
        "debt": False,
        "now": us(0),
        "currency": "EUR",
        "mode": "live",
    } == found


@each_database
def test_what_it_asks_for_is_done_together(url):
    """What it records and sets is done when it has returned, and not at all if it raises."""
    fails: list[bool] = []

    def hear(ctx, event):
        for item in event:
            ctx.record(
                Draft("ears.told", customer=item.customer_id, source_key=f"{item.source_key}")
            )
            ctx.set_timer("call", us(9), item.customer_id)
        ctx.cancel_timer("never")
        if fails:
            raise ValueError("told to fail")

    ears = plugin(
        "ears",
        register_kinds=[Kind("ears.told")],
        after_interactions_recorded=hear,
        on_timers_due=lambda ctx, event: None,
    )
    with opened([ears], url=url) as (crm, _):
        fails.append(True)
        order(crm, "1")
        crm.worker().once()
        assert ["order.placed"] == kinds(crm)
        assert [] == rows(crm, "SELECT timer_key FROM crm_timer")
        fails.clear()
        order(crm, "2", email="b")
        crm.worker().once()

        assert ["order.placed", "order.placed", "ears.told"] == kinds(crm)
        assert [("call", 2, us(9))] == rows(
            crm, "SELECT timer_key, customer_id, due_at FROM crm_timer"
        )


@each_database
@pytest.mark.parametrize(
    ("decided", "error"),
    [
        (Draft("ears.told", customer=1), "InputError"),
        (Draft("no.such", customer=1, source_key="1"), "UnknownKindError"),
        (Draft("ears.told", customer=999, source_key="1"), "CustomerNotFoundError"),
    ],
    ids=["no key", "no kind", "no customer"],
)
def test_a_decision_that_cannot_be_recorded(url, decided, error):
    """A decision that is not right is the plugin's fault, and keeps only that customer waiting."""
    heard: list[Any] = []

    def hear(ctx, event):
        for item in event:
            if item.customer_id == 1:
                ctx.record(decided)
        heard.append([item.source_key for item in event])

    ears = plugin("ears", register_kinds=[Kind("ears.told")], after_interactions_recorded=hear)
    with opened([ears], url=url) as (crm, _):
        order(crm, "1")
        order(crm, "2", email="b")
        crm.worker().once()

        assert [error] == [fault.error for fault in crm.faults("ears")]
        assert ["2"] == heard[-1]
        assert {"ears": 1} == dict(crm.backlog())


# ------------------------------------------------------------------------- those who wait


@each_database
def test_one_customer_waits(url):
    """Rows of a customer it fails for wait, later ones too, and come in order when it is mended."""
    ears = Ears()
    ears.deaf_to = {2}
    with opened([ears.plugin()], url=url) as (crm, clock):
        for key, email in (("1", "a"), ("2", "b"), ("3", "c"), ("4", "b")):
            order(crm, key, email)
        crm.worker().once()
        assert ["1", "3"] == ears.all()
        assert {"ears": 1} == dict(crm.backlog())
        order(crm, "5", "b")
        order(crm, "6", "a")
        crm.worker().once()
        assert ["1", "3", "6"] == ears.all()
        assert 1 == len(crm.faults("ears"))  # for the customer: the batch is no fault of its own
        assert "customer 2" in crm.faults("ears")[0].trace
        ears.deaf_to = set()
        clock.advance_to(us(0) + MINUTE)
        crm.worker().once()
        order(crm, "7", "b")
        crm.worker().once()

        assert ["1", "3", "6", "2", "4", "5", "7"] == ears.all()
        assert {} == dict(crm.backlog())


@each_database
def test_parked_and_tried_anew(url):
    """After 8 attempts, ever later, a customer is parked; the next start tries again."""
    ears = Ears()
    ears.deaf_to = {1}
    with opened([ears.plugin()], url=url) as (crm, clock):
        order(crm, "1")
        tries = []
        for minute in range(600):
            clock.advance_to(us(0) + minute * MINUTE)
            before = len(crm.faults("ears"))
            crm.worker().once()
            if len(crm.faults("ears")) > before:
                tries.append(minute)
        order(crm, "2")
        crm.worker().once()
        assert [] == ears.all()
    assert [0, 1, 3, 7, 15, 31, 63, 127] == tries
    ears.deaf_to = set()
    with opened([ears.plugin()], url=url, at=us(1)) as (crm, _):
        crm.worker().once()
        assert {} == dict(crm.backlog())

    assert ["1", "2"] == ears.all()


@each_database
def test_a_merge_moves_nothing_away(url):
    """Rows that wait are still told when their customer has become another one meanwhile."""
    ears = Ears()
    ears.deaf_to = {2}
    with opened([ears.plugin()], url=url) as (crm, clock):
        order(crm, "1", "a")
        order(crm, "2", "b")
        crm.worker().once()
        assert ["1"] == ears.all()
        crm.merge(1, 2)
        ears.deaf_to = set()
        clock.advance_to(us(0) + MINUTE)
        crm.worker().once()

        assert ["1", "2"] == [key for key in ears.all() if key in {"1", "2"}]


class Merging(Ears):
    """Ears that merge customer 1 into 2, once, while they are told row 2."""

    crm: Any
    merges = fails_then = False

    def __init__(self):
        super().__init__()
        self.deaf_to_keys = set()

    def hear(self, ctx, event):
        keys = [item.source_key for item in event]
        merging = self.merges and "2" in keys
        if merging:
            self.merges = False
            self.crm.merge(2, 1)
        if self.deaf_to_keys & set(keys) or (merging and self.fails_then):
            raise ValueError("told to fail")
        self.heard.append(keys)


@each_database
def test_a_merge_while_the_survivor_fails(url):
    """Who fails, and was given an earlier position meanwhile, waits from the earlier one on."""
    ears = Merging()
    with opened([ears.plugin()], url=url) as (ears.crm, clock):
        ears.deaf_to_keys = {"1"}
        order(ears.crm, "1", "a")
        ears.crm.worker().once()
        order(ears.crm, "2", "b")
        ears.merges = ears.fails_then = True
        ears.crm.worker().once()
        assert [] == ears.all()
        ears.deaf_to_keys = set()
        clock.advance_to(us(1))
        ears.crm.worker().once()

        assert {} == dict(ears.crm.backlog())
    assert ["1", "2"] == ears.all()


@each_database
@pytest.mark.parametrize("fails", [False, True], ids=["told", "failing"])
def test_a_merge_while_the_survivor_is_tried_again(url, fails):
    """Who was given an earlier position while being tried again still waits from there."""
    ears = Merging()
    with opened([ears.plugin()], url=url) as (ears.crm, clock):
        ears.deaf_to_keys = {"1", "2"}
        order(ears.crm, "1", "a")
        ears.crm.worker().once()
        clock.advance_to(us(0) + MINUTE // 2)
        order(ears.crm, "2", "b")
        ears.crm.worker().once()
        clock.advance_to(us(0) + MINUTE)
        ears.crm.worker().once()  # fails with 1 again, so 2 is the next to be tried
        ears.deaf_to_keys = {"1"}
        ears.merges, ears.fails_then = True, fails
        clock.advance_to(us(0) + 2 * MINUTE)
        ears.crm.worker().once()
        assert not ears.merges
        assert {"ears": 1} == dict(ears.crm.backlog())
        ears.deaf_to_keys = set()
        clock.advance_to(us(1))
        ears.crm.worker().once()

        assert {} == dict(ears.crm.backlog())
    assert ["1", "2"] == ears.all()[-2:]


# --------------------------------------------------------------------------------- leases


@each_database
def test_two_workers_do_not_tell_the_same(url):
    """While one worker tells, another leaves that cursor alone."""
    ears = Ears()
    others = []

    def hear(ctx, event):
        ears.hear(ctx, event)
        others.append(crm.worker().once())

    with opened([ears.plugin(after_interactions_recorded=hear)], url=url) as (crm, _):
        order(crm, "1")
        crm.worker().once()

    assert ["1"] == ears.all()
    assert [0] == others


@each_database
def test_who_lost_the_lease_moves_nothing(url):
    """A worker that took too long finds its cursor taken, and leaves it and its decisions be."""
    ears = Ears()

    def hear(ctx, event):
        first = not ears.heard
        ears.hear(ctx, event)
        ctx.record(Draft("ears.told", customer=1, source_key=f"call {len(ears.heard)}"))
        if first:
            clock.advance_to(clock.now() + LEASED_FOR + 1)
            assert 1 == crm.worker().once()

    late = ears.plugin(register_kinds=[Kind("ears.told")], after_interactions_recorded=hear)
    with opened([late], url=url) as (crm, clock):
        order(crm, "1")
        crm.worker().once()
        order(crm, "2")
        crm.worker().once()

        decided = rows(crm, "SELECT source_key FROM crm_interaction WHERE origin = 'decided'")
        assert ["call 2", "call 3"] == sorted(key.partition("/")[0] for (key,) in decided)
    assert ["1", "1", "2"] == ears.all()


def test_a_plugin_that_was_killed(postgresql):
    """What a worker was telling when it died comes again once its lease has run out."""
    ears = Ears()
    with opened([ears.plugin()], url=postgresql) as (crm, clock):
        order(crm, "1")
        with psycopg.connect(dsn(postgresql)) as dead:
            dead.execute(
                "UPDATE crm_cursor SET lease = 'of the dead', leased_until = %s",
                [clock.now() + LEASED_FOR],
            )
        crm.worker().once()
        assert [] == ears.all()
        clock.advance_to(clock.now() + LEASED_FOR + 1)
        crm.worker().once()

    assert ["1"] == ears.all()
