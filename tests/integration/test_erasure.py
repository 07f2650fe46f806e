"""Erasures: all or nothing, nobody comes back by what is told of them, and nobody else notices."""

import json
import shutil
import threading
from collections import Counter
from contextlib import contextmanager

import pytest
from crmcore_tiering import Tiering
from sqlalchemy import text

from crmcore import (
    Certificate,
    Content,
    Crm,
    Draft,
    Identifier,
    JournalEntry,
    MessageDraft,
    Money,
    VirtualClock,
    hookimpl,
)
from crmcore.channels.recording import Recording
from crmcore.domain.clock import DAY
from crmcore.errors import CustomerNotFoundError, ErasedError, HeldError, NotFoundError, PluginError
from crmcore.testing.dumps import difference, dump
from tests.support.canaries import Canaries, Vault, plant
from tests.support.databases import shop_file
from tests.support.histories import START, instant
from tests.support.making import moment, raising, rows
from tests.support.making import plugin as made
from tests.support.plugins import Books

pytestmark = pytest.mark.each_database(partitioned=False)

ADA, BEA = Identifier("email", "ada@example.com"), Identifier("email", "bea@example.com")


@contextmanager
def shop(folder, *plugins, **options):
    given = [Tiering(), Recording(), *plugins]
    clock = VirtualClock(instant(START))
    url = options.pop("url", None) or shop_file(folder)
    with Crm(url, plugins=given, clock=clock, secret="s", **options) as crm:
        yield crm


@pytest.fixture
def crm(tmp_path):
    with shop(tmp_path) as opened:
        yield opened


def order(crm, who=ADA, key="o1", **values):
    """Record an order of 10.00, with a personal note."""
    return crm.record(
        Draft(
            "order.placed",
            identifiers=(who,),
            amount=Money(1000, "EUR"),
            source_key=key,
            subject=f"order:{key}",
            payload={"order": key, "note": f"Ring twice, says {who.value}"},
            **values,
        )
    )


def message(crm, who, key, purpose="news"):
    draft = MessageDraft(
        key=key, customer=who, purpose=purpose, channel="email", content=Content(text="Hello")
    )
    return crm.send(draft)


# -- what it does ------------------------------------------------------------------------------


def test_what_happened_stays_and_is_about_nobody(crm):
    """Sums of the shop stay right; what was not personal is read as before, the rest is ERASED."""
    placed = order(crm)
    order(crm, BEA, "o2")

    crm.erase(ADA, reason="their wish", actor="staff:grace")

    ((count, total),) = rows(
        crm, "SELECT count(*), sum(amount_base_minor) FROM crm_interaction WHERE amount_minor > 0"
    )
    assert (2, 2000) == (count, int(total))
    (read,) = crm.customer(placed.customer_id).latest
    assert ("o1", "ERASED") == (read.payload.order, repr(read.payload.note))
    assert () == crm.customer(placed.customer_id).customer.identifiers
    assert crm.find_customer(ADA) is None


def test_a_dry_run_says_what_an_erasure_then_does(tmp_path):
    """The plan names the outcomes of the certificate, and leaves every row as it was."""
    vault = Vault(folder=tmp_path)
    with shop(tmp_path, vault) as crm:
        who = plant(crm, Canaries("Ada"))
        (tmp_path / f"{who}.txt").write_text("Ada's letter")
        before = dump(crm)

        plan = crm.plan_erasure(who)

        assert "" == difference(before, dump(crm))
        assert [(who, True)] == vault.asked
        assert (tmp_path / f"{who}.txt").exists()
        done = crm.erase(who)
        added = {"crm_fault", "crm_withheld"}  # found by what the person was known by
        assert list(plan.outcomes) == [o for o in done.outcomes if o.what not in added]
        assert not (tmp_path / f"{who}.txt").exists()


def test_what_a_plugin_writes_while_it_is_only_asked_is_undone(tmp_path):
    """A plan changes nothing, even where a plugin does not keep to that."""

    def erase_at_once(ctx, event):
        ctx.execute(text("DELETE FROM crm_identifier"))

    with shop(tmp_path, made("hasty", erase_customer=erase_at_once)) as crm:
        order(crm)
        before = dump(crm)
        crm.plan_erasure(ADA)

        assert "" == difference(before, dump(crm))


@pytest.mark.parametrize("plugin", [made("angry", erase_customer=raising), Vault()])
def test_a_plugin_that_raises_keeps_everything(tmp_path, plugin):
    """If one plugin cannot let go of what it holds, no row of anybody's is changed."""
    if isinstance(plugin, Vault):
        plugin = Vault(fails="erase_customer")
    with shop(tmp_path, plugin) as crm:
        who = plant(crm, Canaries("Ada"), channel=None) if plugin.name == "vault" else None
        order(crm)
        before = dump(crm)
        with pytest.raises(PluginError, match=f"{plugin.name!r}: erase_customer raised ValueError"):
            crm.erase(who or ADA)

        assert "" == difference(before, dump(crm))


def test_an_answer_that_is_none_is_refused(tmp_path):
    """A hook that says something else than what became of what is an error that names it."""
    plugin = made("odd", erase_customer=lambda ctx, event: ["gone"])
    with shop(tmp_path, plugin) as crm:
        order(crm)
        with pytest.raises(PluginError, match="'odd': erase_customer gave 'gone'; an Erasure"):
            crm.erase(ADA)


def test_what_a_plugin_derives_while_it_fails_is_gone_all_the_same(tmp_path):
    """A plugin that cannot make its rows anew owes that; its policies are applied, and later."""
    fails = []
    books = Books(reviews=False, fails=lambda hook: hook in fails)
    with shop(tmp_path, books) as crm:
        who = order(crm).customer_id
        order(crm, BEA, "o2")
        fails.append("recompute_customers")
        crm.erase(ADA)

        assert [(0,)] == rows(
            crm, f"SELECT count(*) FROM crm_books_entry WHERE customer_id = {who}"
        )
        assert {"books": 1} == crm.debts()
        fails.clear()
        crm.pay_debts()
        assert [(1,)] == rows(crm, "SELECT count(*) FROM crm_books_entry")


def test_rebuilding_brings_nothing_back(tmp_path):
    """What is derived from the facts that stay is made without those erased."""
    with shop(tmp_path, Books(reviews=False), Vault()) as crm:
        who = plant(crm, Canaries("Ada"), channel=None)
        order(crm, BEA, "o2")
        crm.erase(who)
        before = dump(crm)

        crm.rebuild()

        assert "" == difference(before, dump(crm))
        assert [] == rows(crm, f"SELECT * FROM crm_tiering_total WHERE customer_id = {who}")


def test_everybody_who_was_merged_is_the_same_person(crm):
    """All who were merged into somebody are erased with them, and no merge can be undone."""
    first, second, third = (
        order(crm, Identifier("email", f"{n}@example.com"), n).customer_id for n in "abc"
    )
    inner = crm.merge(second, third, reason="Carla is Bea")
    outer = crm.merge(first, second)

    done = crm.erase(second)

    assert (first, (second, third)) == (done.customer_id, tuple(done.merged))
    assert [(0,)] == rows(crm, "SELECT count(*) FROM crm_identifier")
    assert [(None,), (None,)] == rows(crm, "SELECT reason FROM crm_merge")
    for merge in (outer, inner):
        with pytest.raises(ErasedError, match=f"merge {merge.id} cannot be undone: customer"):
            crm.unmerge(merge.id)


def test_nothing_is_done_to_who_was_erased(crm):
    """They cannot be merged, and nothing can be proved to be theirs."""
    who = order(crm).customer_id
    other = order(crm, BEA, "o2").customer_id
    crm.erase(ADA)
    before = dump(crm)

    for pair in ((who, other), (other, who)):
        with pytest.raises(ErasedError, match=f"cannot be merged: customer {who} was erased at"):
            crm.merge(*pair)
    with pytest.raises(ErasedError, match="nothing can be proved to be theirs"):
        crm.prove(who, ADA)
    assert "" == difference(before, dump(crm))


def test_erasing_twice_is_erasing_once(crm):
    """The second time the certificate of the first is returned, and nothing is written."""
    who = order(crm).customer_id
    first = crm.erase(ADA, reason="their wish")
    before = dump(crm)

    again = crm.erase(who, reason="another")

    assert (first.id, "their wish") == (again.id, again.reason)
    assert "" == difference(before, dump(crm))
    with pytest.raises(CustomerNotFoundError):
        crm.erase(ADA)


def test_an_erasure_keeps_who_looked_and_what_others_did(crm):
    """Whoever is also staff stays named in what they did for others, and that is told."""
    order(crm, Identifier("email", "grace@example.com"))
    order(crm, BEA, "o2", actor="staff:grace@example.com")

    found = crm.erase(Identifier("email", "grace@example.com")).verification

    assert found.is_clean
    assert [
        ("crm_interaction.actor", "it stands in rows about other people, which are theirs")
    ] == [(each.where, each.why) for each in found.elsewhere]
    assert "staff:grace@example.com" == crm.customer(BEA).latest[0].actor


def test_an_interaction_about_two_keeps_the_other(crm):
    """What one customer said about another is theirs, and stays; that it is there is told."""
    order(crm)
    crm.record(
        "order.placed",
        email="bea@example.com",
        payload={"note": "A present from ada@example.com"},
    )
    found = crm.erase(ADA).verification

    assert "A present from ada@example.com" == crm.customer(BEA).latest[0].payload.note
    assert ["crm_interaction.personal"] == [each.where for each in found.elsewhere]
    crm.erase(BEA)
    assert "ERASED" == repr(crm.customer(2).latest[0].payload.note)


# -- nobody writes to them, and nobody comes back ------------------------------------------------


def test_who_was_erased_and_imported_again_is_not_written_to(crm):
    """An imported consent does nothing for an address that was erased; one of their own does."""
    order(crm)
    crm.erase(ADA)
    new = order(crm, key="o2", occurred_at=None).customer_id
    said = {"purpose": "news", "channel": "email"}
    crm.record("consent.imported", email=ADA.value, payload=said)
    assert ("withheld", "withheld") == (
        (held := message(crm, new, "news-1")).state,
        held.gate,
    )

    crm.runtime.clock.advance_to(crm.runtime.clock.now() + DAY)
    crm.record("consent.given", email=ADA.value, payload=said)

    assert "planned" == message(crm, new, "news-2").state


def test_a_no_outlives_its_customer(crm):
    """A withdrawal that stood is in force for the address after the erasure, for what it named."""
    crm.record("consent.given", email=ADA.value, payload={"purpose": "news", "channel": "email"})
    crm.runtime.clock.advance_to(instant(START) + DAY)
    crm.record("consent.withdrawn", email=ADA.value, payload={"purpose": "news"})
    crm.erase(ADA)

    found = rows(crm, "SELECT reason, purpose, since FROM crm_withheld ORDER BY reason")
    assert [
        ("erased", "unsolicited", instant(START) + DAY),
        ("withdrawn", "news", instant(START) + DAY),
    ] == found


LATE = (
    Draft("order.delivered", identifiers=(ADA,), payload={"order": "o1"}),
    Draft("vault.bounced", identifiers=(ADA,)),
    Draft("consent.withdrawn", identifiers=(ADA,)),
    Draft("order.placed", identifiers=(ADA,), source_key="o1", payload={"note": "Ring twice"}),
    Draft("service.opened", identifiers=(ADA,), subject="order:o1", payload={"case": "1"}),
    Draft("service.opened", identifiers=(ADA,), occurred_at=START, payload={"case": "2"}),
)


@pytest.mark.parametrize("late", LATE, ids=lambda draft: draft.kind)
def test_what_comes_in_late_resurrects_nobody(tmp_path, late):
    """A delivery, a bounce, a webhook repeated: no new customer, nothing of a person."""
    with shop(tmp_path, Vault()) as crm:
        who = order(crm).customer_id
        crm.runtime.clock.advance_to(instant(START) + 5 * DAY)
        crm.erase(ADA)
        crm.runtime.clock.advance_to(instant(START) + 9 * DAY)

        recorded = crm.record(late)

        assert who == recorded.customer_id
        assert [(1,)] == rows(crm, "SELECT count(*) FROM crm_customer")
        assert [(0,)] == rows(crm, "SELECT count(*) FROM crm_identifier")
        assert [(0,)] == rows(crm, "SELECT count(personal) FROM crm_interaction")
        before = dump(crm)
        crm.rebuild()
        assert "" == difference(before, dump(crm))


def test_who_orders_again_is_somebody_new(crm):
    """A new order makes a new customer, whom nothing of the old one belongs to."""
    old = order(crm).customer_id
    crm.erase(ADA)
    crm.runtime.clock.advance_to(instant(START) + DAY)

    new = order(crm, key="o2")

    assert old != new.customer_id
    view = crm.customer(ADA)
    assert (1, 1000) == (view.interactions, view.revenue.amount_minor)
    assert "Ring twice" in view.latest[0].payload.note


def test_decisions_about_the_old_are_not_the_new_ones(tmp_path):
    """Keys of decisions follow from what a customer is known by, and yet nothing collides."""
    with shop(tmp_path, Books(reviews=False)) as crm:
        order(crm)
        crm.erase(ADA)
        crm.runtime.clock.advance_to(instant(START) + DAY)
        with crm.begin() as tx, tx.acting(Books) as (_, ctx):
            new = tx.record("account.registered", email=ADA.value).customer_id
            ctx.record(
                Draft(
                    "books.noted",
                    customer=new,
                    source_key="noted:shop/o1",
                    payload={"order": "shop/o1"},
                )
            )

        assert [(2,)] == rows(
            crm, "SELECT count(*) FROM crm_interaction WHERE kind = 'books.noted'"
        )
        assert 2 == crm.customer(new).interactions


def test_what_is_recorded_by_their_number_is_about_nobody(crm):
    """The shop may still tell facts of the number; what they say of a person is not kept."""
    who = order(crm).customer_id
    crm.erase(ADA)

    crm.record("order.placed", customer=who, payload={"note": "Ring, says Ada"}, source_key="x")

    assert [(0,)] == rows(crm, "SELECT count(personal) FROM crm_interaction")
    assert 2 == crm.customer(who).interactions


def test_a_key_with_their_number_in_it_is_known_again(crm):
    """A key that held an account is kept as its hash, and a repeated webhook finds it there."""
    account = Identifier("account", "A-10077")
    first = order(crm, account, "order of A-10077")
    crm.erase(account)
    assert [("hash:",)] == rows(crm, "SELECT substr(source_key, 1, 5) FROM crm_dedupe")
    before = dump(crm)

    again = order(crm, account, "order of A-10077")

    assert (first.id, first.customer_id) == (again.id, again.customer_id)
    assert "" == difference(before, dump(crm))


# -- messages under way ------------------------------------------------------------------------


def test_messages_under_way_do_not_go_out(crm):
    """What is planned or claimed is withheld; of what was handed over, nobody will know."""
    order(crm)
    for key in ("planned", "claimed", "handed"):
        message(crm, ADA, key, "service")
    with crm.begin() as tx:
        run = tx.connection.sqlalchemy
        for state, handed in (("claimed", "NULL"), ("handed", "5")):
            run.exec_driver_sql(
                f"UPDATE crm_message SET state = '{state}', lease = 'x', handed_at = {handed}, "
                f"leased_until = {2**60}, attempt = 1 WHERE message_key = '{state}'"
            )
    crm.erase(ADA)

    assert [("claimed", "withheld"), ("handed", "unknown"), ("planned", "withheld")] == rows(
        crm, "SELECT message_key, state FROM crm_message ORDER BY message_key"
    )
    assert [(0, 0)] == rows(crm, "SELECT count(content), count(lease) FROM crm_message")
    crm.runtime.clock.advance_to(instant(START) + 9 * DAY)
    crm.deliver()
    assert [] == crm.plugin(Recording).outbox


def test_what_a_provider_says_afterwards_is_not_kept(tmp_path):
    """A message handed over as its customer is erased settles, without the provider's words."""
    from crmcore.domain.message import Failed

    class Slow(Recording):
        """Erases the customer while it has their message."""

        @hookimpl
        def deliver_messages(self, ctx, event):
            erased.append(opened.erase(ADA))
            return [Failed("550 5.1.1 <ada@example.com>: no such user") for _ in event.deliveries]

    erased: list[Certificate] = []
    slow = Slow()
    with Crm(
        shop_file(tmp_path), plugins=[slow], clock=VirtualClock(instant(START)), secret="s"
    ) as opened:
        order(opened)
        message(opened, ADA, "hello", "service")
        opened.deliver()

        assert 1 == len(erased)
        assert "ada@example.com" not in str(dump(opened))
        ((state,),) = rows(opened, "SELECT state FROM crm_message")
        assert state in ("failed", "unknown")


# -- holds -------------------------------------------------------------------------------------


def test_who_is_on_hold_is_not_erased(crm):
    """A hold says why; it counts for everybody the person is, and ends when somebody says so."""
    first = order(crm).customer_id
    second = order(crm, BEA, "o2").customer_id
    crm.hold(second, "a dispute about o2", actor="staff:grace")
    crm.merge(first, second)

    assert "a dispute about o2" == crm.plan_erasure(first).held
    with pytest.raises(HeldError, match="is on hold and is not erased: a dispute about o2; `crm"):
        crm.erase(first)
    assert [(second, "a dispute about o2")] == [(h.customer_id, h.reason) for h in crm.holds()]
    crm.release_hold(first)
    assert [] == crm.holds()
    with pytest.raises(NotFoundError, match="is not on hold"):
        crm.release_hold(first)
    crm.erase(first)


# -- again, after a backup was restored ----------------------------------------------------------


def test_erased_again_after_a_backup_was_restored(tmp_path):
    """The journal brings about again what a backup knows nothing of, and spares who came since."""
    with shop(tmp_path) as crm:
        url = crm.runtime.database.engine.url.render_as_string(hide_password=False)
        order(crm)
        order(crm, BEA, "o2")
        backup = everything(crm)
        crm.runtime.clock.advance_to(instant(START) + DAY)
        crm.erase(ADA)
        journal = crm.erasure_journal()
        assert ADA.value not in json.dumps([each.as_json() for each in journal])
        after = dump(crm)
        restore(crm, backup)
        assert crm.find_customer(ADA) is not None

        (done,) = crm.erase_again(journal, actor="restore").certificates

        assert done.verification.is_clean
        found = dump(crm)
        # But for when it was done, and by whom, all is as it was before the restore.
        for each in (after, found):
            for name in ("crm_customer", "crm_withheld", "crm_erasure", "crm_setting"):
                each.pop(name)
            each["crm_interaction"] = Counter(
                tuple(column for column in row if column[0] != "xid")
                for row in each["crm_interaction"].elements()
            )
        assert "" == difference(after, found)
        assert not crm.erase_again(journal).certificates
    with shop(tmp_path, url=url) as crm:
        crm.runtime.clock.advance_to(instant(START) + 2 * DAY)
        order(crm, key="o9")
        assert not crm.erase_again(journal).certificates
        assert crm.find_customer(ADA) is not None


def everything(crm):
    with crm.begin() as tx:
        run = tx.connection.sqlalchemy
        names = [r[0] for r in run.execute(text("SELECT table_name FROM crm_plugin_table"))] + CORE
        return {
            n: [dict(r._mapping) for r in run.execute(text(f"SELECT * FROM {n}"))] for n in names
        }


CORE = (
    "crm_customer crm_identifier crm_interaction crm_dedupe crm_stage crm_stage_change "
    "crm_withheld crm_erasure crm_setting"
).split()


def restore(crm, backup):
    """Put all rows back as they were, as a backup does."""
    with crm.begin() as tx:
        run = tx.connection.sqlalchemy
        for name, found in backup.items():
            run.execute(text(f"DELETE FROM {name}"))
            for row in found:
                row = {c: v for c, v in row.items() if c != "xid"}
                named = ", ".join(f":{c}" for c in row)
                run.execute(text(f"INSERT INTO {name} ({', '.join(row)}) VALUES ({named})"), row)


def test_a_file_restored_from_a_backup(tmp_path):
    """On SQLite a backup is a file: copied, put back, and the journal applied to it."""
    with shop(tmp_path) as crm:
        if not crm.runtime.database.portable.is_sqlite:
            pytest.skip("a backup of PostgreSQL is not a file of ours")
        order(crm)
        url = str(crm.runtime.database.engine.url)
    path = tmp_path / "shop.db"
    shutil.copy(path, tmp_path / "backup")
    with shop(tmp_path, url=url) as crm:
        crm.erase(ADA)
        journal = crm.erasure_journal()
    shutil.copy(tmp_path / "backup", path)
    assert b"ada@example.com" in path.read_bytes()
    with shop(tmp_path, url=url) as crm:
        assert 1 == len(crm.erase_again(journal).certificates)
    assert b"ada@example.com" not in path.read_bytes()


def test_an_erasure_that_ended_before_it_was_verified_is_finished(tmp_path, monkeypatch):
    """Whoever does it again finds it done, writes the database anew, and says what it knows."""
    from crmcore.services.privacy import verifying

    with shop(tmp_path) as crm:
        who = order(crm).customer_id
        with monkeypatch.context() as patched:
            patched.setattr(verifying, "verify", lambda *given: exit(1))
            with pytest.raises(SystemExit):
                crm.erase(ADA)

        done = crm.erase(who)

        assert done.verified_at is not None
        assert "what the person was known by is gone" in done.verification.unverified[0]
    for path in tmp_path.glob("*.db*"):
        assert b"ada@example.com" not in path.read_bytes()


def test_entries_of_a_journal_are_checked(crm):
    """An entry that names nobody here does nothing."""
    order(crm)
    again = crm.erase_again([JournalEntry(erased_at=2**60, points=["00ff"])])
    assert not again.certificates


def test_the_clock_going_back_loses_no_erasure(crm):
    """With a clock behind the facts an erasure is as whole as any."""
    order(crm, occurred_at=moment(30))
    crm.runtime.clock.instant -= 40 * DAY

    assert crm.erase(ADA).verification.is_clean
    assert [(0, 0)] == rows(
        crm,
        "SELECT (SELECT count(*) FROM crm_identifier), "
        "(SELECT count(personal) FROM crm_interaction)",
    )


@pytest.mark.parametrize("by", ["number", "address", "follow-up"])
def test_what_is_recorded_while_somebody_is_erased(tmp_path, by):
    """Whoever waits for the erasure looks again: nothing personal is kept of the one erased."""
    waits, goes_on = threading.Event(), threading.Event()

    def wait(ctx, event):
        waits.set()
        goes_on.wait(5)

    with shop(tmp_path, made("slow", erase_customer=wait)) as crm:
        who = order(crm).customer_id
        erasing = threading.Thread(target=lambda: crm.erase(who))
        erasing.start()
        assert waits.wait(20)
        recorded = []
        # So that what comes meanwhile is not taken for what came before.
        crm.runtime.clock.advance_to(instant(START) + DAY)

        def record():
            if by == "number":
                recorded.append(
                    crm.record("order.placed", customer=who, payload={"note": "Ring, says Ada"})
                )
            elif by == "address":
                recorded.append(order(crm, key="o2"))
            else:
                recorded.append(crm.record("order.delivered", email=ADA.value))

        recording = threading.Thread(target=record)
        recording.start()
        recording.join(0.5)
        assert recording.is_alive()
        goes_on.set()
        recording.join()
        erasing.join()

        assert (recorded[0].customer_id == who) is (by != "address")
        assert [(0,)] == rows(
            crm, f"SELECT count(personal) FROM crm_interaction WHERE customer_id = {who}"
        )
        assert [] == rows(crm, f"SELECT * FROM crm_identifier WHERE customer_id = {who}")
        assert [(0 if by != "address" else 1,)] == rows(crm, "SELECT count(*) FROM crm_identifier")
