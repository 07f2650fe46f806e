"""Joining the shop's transaction, with every driver and framework: it all hangs on the shop."""

from collections.abc import Iterator

import pytest
from crmcore_tiering import Tiering

from crmcore import Crm
from crmcore.errors import InputError
from crmcore.testing.dumps import difference as merge_difference
from crmcore.testing.dumps import dump
from crmcore.testing.snapshots import Snapshot, difference, snapshot
from tests.support.databases import KINDS, drop_schema, new_schema
from tests.support.histories import cdnow
from tests.support.making import draft, plugin, raising
from tests.support.merging import Notes
from tests.support.plugins import Books
from tests.support.runs import opened
from tests.support.shops import WAYS, Undone, add_orders_table, failing, orders, seen

EACH = [(kind, way) for kind in KINDS for way in WAYS[kind]]


@pytest.fixture(params=EACH, ids=lambda each: " ".join(each))
def joining(request, tmp_path):
    """The URL of a database with a table of the shop's, and how the shop runs on it."""
    kind, way = request.param
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path}/shop.db"
        add_orders_table(url)
        yield url, WAYS[kind][way]
        return
    url = new_schema()
    add_orders_table(url)
    yield url, WAYS[kind][way]
    drop_schema(url)


@pytest.fixture
def url(joining):
    return joining[0]


@pytest.fixture
def run(joining):
    """Run a body with the shop's connection."""
    url, way = joining
    return lambda body: way(url, body)


@pytest.fixture
def crm(url) -> Iterator[Crm]:
    with opened([Tiering(), Books()], url=url, currency="USD") as (crm, _):
        yield crm


def everything(crm: Crm) -> dict[str, object]:
    return dict(snapshot(crm).tables)


def placed(key: str, *, email: str = "ada", at: float = 0):
    return draft("order.placed", at, key=key, email=email)


def keys(url: str) -> list[str]:
    """Return the keys of what was observed, in the order in which it was recorded."""
    return seen(
        url,
        "SELECT source_key FROM crm_interaction WHERE origin = 'observed' ORDER BY interaction_id",
    )


def test_a_rollback_of_the_shop_leaves_nothing(crm, url, run):
    """What the shop rolls back takes all of ours with it, in every table."""
    before = everything(crm)

    def body(shop):
        with failing(), shop.begin():
            shop.execute("INSERT INTO shop_order VALUES (1)")
            with crm.join(shop.given) as tx:
                tx.record(placed("1"))
            raise Undone

    run(body)

    assert before == everything(crm)
    assert [] == orders(url)


def test_a_rollback_leaves_nothing_where_ours_was_all_there_was(crm, run):
    """A shop that wrote nothing itself can roll ours back too: leaving `join` commits nothing."""
    before = everything(crm)

    def body(shop):
        with failing(), shop.begin():
            with crm.join(shop.given) as tx:
                tx.record(placed("1"))
            raise Undone

    run(body)

    assert before == everything(crm)


def test_a_commit_of_the_shop_keeps_both(crm, url, run):
    """Nothing can be seen before the shop commits, and its row and ours afterwards."""

    def body(shop):
        with shop.begin():
            shop.execute("INSERT INTO shop_order VALUES (1)")
            with crm.join(shop.given, actor="staff:grace") as tx:
                tx.record(placed("1"))
            assert [] == keys(url)
            assert [] == orders(url)

    run(body)

    assert ["1"] == keys(url)
    assert [1] == orders(url)


def test_a_savepoint_of_the_shop_undoes_what_came_after_it(crm, url, run):
    """Half a rollback leaves what came before the shop's savepoint, ours and theirs."""

    def body(shop):
        with shop.begin():
            with crm.join(shop.given) as tx:
                tx.record(placed("1"))
            with failing(), shop.savepoint():
                shop.execute("INSERT INTO shop_order VALUES (2)")
                with crm.join(shop.given) as tx:
                    tx.record(placed("2"))
                raise Undone
            shop.execute("INSERT INTO shop_order VALUES (3)")
            with crm.join(shop.given) as tx:
                tx.record(placed("3"))

    run(body)

    assert ["1", "3"] == keys(url)
    assert [3] == orders(url)


def test_an_error_inside_can_be_caught(crm, url, run):
    """A shop that catches what was raised inside goes on: half of ours never stays."""

    def body(shop):
        with shop.begin():
            shop.execute("INSERT INTO shop_order VALUES (1)")
            with failing(), crm.join(shop.given) as tx:
                tx.record(placed("1"))
                raise Undone
            with failing(InputError, "unknown kind"), crm.join(shop.given) as tx:
                tx.record(placed("2"))
                tx.record("order.placd", email="ada@example.com")
            shop.execute("INSERT INTO shop_order VALUES (3)")
            with crm.join(shop.given) as tx:
                with pytest.raises(InputError, match="unknown kind"):
                    tx.record("order.placd", email="ada@example.com")
                tx.record(placed("3"))

    run(body)

    assert ["3"] == keys(url)
    assert [1, 3] == orders(url)


def test_joining_again_and_within(crm, url, run):
    """Joins follow and contain each other; each sees what the others wrote."""

    def body(shop):
        with shop.begin():
            with crm.join(shop.given) as outer:
                outer.record(placed("1"))
                with crm.join(shop.given) as inner:
                    inner.record(placed("2"))
                outer.record(placed("3"))
                with failing(), crm.join(shop.given) as inner:
                    inner.record(placed("4"))
                    raise Undone
                with outer.acting(Tiering) as (tiering, ctx):
                    with crm.join(shop.given) as inner:
                        inner.record(placed("5"))
                    tiering.review_now(ctx, ctx.clock.now())
                repeated = outer.record(placed("5"))
            with crm.join(shop.given) as again:
                assert repeated.id == again.record(placed("5")).id
            shop.execute("INSERT INTO shop_order VALUES (1)")
        with shop.begin(), crm.join(shop.given) as later:
            later.record(placed("6"))

    run(body)

    assert ["1", "2", "3", "5", "6"] == keys(url)
    assert [1] == orders(url)


def test_results_are_those_of_begin(crm, run, tmp_path):
    """500 orders at once and a few by hand lead to the same tables as in our own transaction."""
    drafts = cdnow(every=40)[:500]

    def work(tx):
        tx.record_many(drafts[:450])
        for each in drafts[450:]:
            tx.record(each)
        again = tx.record_many(drafts)
        assert (len(drafts), 0) == (again.repeated, again.new)
        with tx.acting(Tiering) as (tiering, ctx):
            tiering.review_now(ctx, ctx.clock.now())

    def body(shop):
        with shop.begin(), crm.join(shop.given) as tx:
            work(tx)

    assert 500 == len(drafts)
    run(body)
    found = snapshot(crm)
    with opened([Tiering(), Books()], url=f"sqlite:///{tmp_path}/own.db", currency="USD") as (
        own,
        _,
    ):
        with own.begin() as tx:
            work(tx)
        expected = snapshot(own)

    assert {} == dict(crm.debts())
    assert "" == difference(_without_xid(expected), _without_xid(found))


def test_merges_hang_on_the_shop_too(url, run):
    """A merge and its undoing in the shop's transaction, with tables of a plugin not there."""
    with opened([Notes()], url=url) as (crm, _):
        ids = [crm.record(placed(name, email=name)).customer_id for name in ("ada", "bob")]
        crm.record(placed("later", email="bob", at=1))
        before = dump(crm)
    with opened(url=url) as (crm, _):
        done = []

        def body(shop):
            with failing(), shop.begin():
                with crm.join(shop.given) as tx:
                    tx.merge(*ids)
                raise Undone
            with shop.begin(), crm.join(shop.given) as tx:
                done.append(tx.merge(*ids))

        run(body)
        found = seen(url, "SELECT DISTINCT customer_id FROM crm_notes_note")

        def undo(shop):
            with shop.begin(), crm.join(shop.given) as tx:
                tx.unmerge(done[0].id)

        run(undo)
        after = dump(crm)

    assert done[0].rows
    assert done[0].shelved
    assert [ids[0]] == found
    assert "" == merge_difference(
        {name: rows for name, rows in before.items() if name != "crm_setting"},
        {name: rows for name, rows in after.items() if name != "crm_setting"},
    )


def _without_xid(found: Snapshot):
    """Return the tables without what only PostgreSQL has."""
    return {
        name: type(table)(
            tuple(pair for pair in row if pair[0] != "xid") for row in table.elements()
        )
        for name, table in found.tables.items()
    }


@pytest.mark.parametrize("way_of_failing", ["raises", "bad SQL"])
def test_a_plugin_that_fails_harms_no_order(url, run, way_of_failing):
    """What a plugin raises in the shop's transaction is a fault and a debt; the order commits."""

    def bad_sql(ctx, event):
        from sqlalchemy import text

        ctx.execute(text("SELECT * FROM no_such_table"))

    failing = plugin(
        "failing", on_interactions_recorded=raising if way_of_failing == "raises" else bad_sql
    )
    with opened([failing], url=url) as (crm, _):

        def body(shop):
            with shop.begin():
                shop.execute("INSERT INTO shop_order VALUES (1)")
                with crm.join(shop.given) as tx:
                    tx.record(placed("1"))
                shop.execute("INSERT INTO shop_order VALUES (2)")

        run(body)

        assert [1, 2] == orders(url)
        assert ["1"] == keys(url)
        assert {"failing": 1} == dict(crm.debts())
        assert ["on_interactions_recorded"] == [f.hook for f in crm.faults("failing")]


def test_the_connection_stays_the_shops(crm, url, run):
    """After a join the shop's connection is as it was: open, in its transaction, with its rows."""

    def body(shop):
        for number in (1, 2):
            with shop.begin():
                with crm.join(shop.given) as tx:
                    tx.record(placed(str(number)))
                shop.execute(f"INSERT INTO shop_order VALUES ({number})")

    run(body)

    assert [1, 2] == orders(url)
    assert ["1", "2"] == keys(url)
