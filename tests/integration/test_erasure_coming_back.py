"""Those who come back after they were erased, and what comes late about them."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest
from crmcore_tiering import Tiering

from crmcore import Crm, Draft, Identifier, Money, Refuse, VirtualClock
from crmcore.domain.clock import DAY, to_datetime
from crmcore.errors import InputError
from crmcore.testing.dumps import difference, dump
from tests.support.canaries import Vault
from tests.support.databases import scratch, shop_file
from tests.support.histories import START, instant
from tests.support.making import plugin, rows
from tests.support.plugins import Books

ADA = Identifier("email", "ada@example.com")
BEA = Identifier("email", "bea@example.com")
PHONE = Identifier("phone", "+4930123456789")
HANDLE = Identifier("handle", "adalove77")


@contextmanager
def shop(url):
    clock = VirtualClock(instant(START))
    with Crm(url, plugins=[Tiering()], clock=clock, secret="s") as crm:
        yield crm


@pytest.fixture
def crm(tmp_path):
    with shop(shop_file(tmp_path)) as opened:
        yield opened


def drafted(key, *who, **values):
    return Draft(
        "order.placed",
        identifiers=who or (ADA,),
        amount=Money(1000, "EUR"),
        source_key=key,
        subject=f"order:{key}",
        payload={"order": key},
        **values,
    )


def pass_days(crm, days=1):
    clock = crm.runtime.clock
    clock.advance_to(clock.now() + days * DAY)


def owners(crm):
    found = rows(crm, "SELECT source_key, customer_id, amount_minor FROM crm_interaction")
    return {key: (who, amount) for key, who, amount in found}


def test_who_came_back_can_be_erased_again(crm):
    """A webhook with their name in its key counts once, and is nothing that stands in the way."""
    first = crm.record(drafted("adalove77/1", ADA, HANDLE))
    crm.erase(ADA)
    pass_days(crm)
    back = crm.record(drafted("new", ADA, HANDLE))
    pass_days(crm)

    again = crm.record(drafted("adalove77/1", ADA, HANDLE))

    assert (first.id, first.customer_id) == (again.id, again.customer_id)
    assert crm.erase(ADA).customer_id == back.customer_id
    assert [(2,)] == rows(crm, "SELECT count(*) FROM crm_interaction")


def test_a_late_cancellation_takes_what_the_order_brought(crm):
    """It needs no amount, and goes to who they were; the batch it came in is recorded whole."""
    old = crm.record(drafted("a")).customer_id
    crm.erase(ADA)
    pass_days(crm)
    cancelled = Draft("order.cancelled", identifiers=(ADA,), source_key="c", subject="order:a")

    crm.record_many([drafted("b", BEA), cancelled])

    assert (old, -1000) == owners(crm)["c"]
    assert crm.find_customer(ADA) is None
    unknown = Draft("order.cancelled", identifiers=(ADA,), source_key="d", subject="order:z")
    with pytest.raises(InputError, match="no order 'order:z' of this customer"):
        crm.record(unknown)


def test_a_late_cancellation_of_an_order_named_after_them(crm):
    """Its subject is found by its hash, and kept as that."""
    old = crm.record(drafted("adalove77/1", ADA, HANDLE)).customer_id
    crm.erase(ADA)
    pass_days(crm)

    crm.record(
        Draft("order.cancelled", identifiers=(ADA,), source_key="c", subject="order:adalove77/1")
    )

    assert (old, -1000) == owners(crm)["c"]
    subjects = rows(crm, "SELECT DISTINCT subject FROM crm_interaction")
    assert [True] == [subject.startswith("hash:") for (subject,) in subjects]


def test_late_facts_go_to_the_life_they_are_of(crm):
    """Of two former lives, to the one that has the order, or in which it happened."""
    one = crm.record(drafted("a")).customer_id
    then = crm.runtime.clock.now()
    pass_days(crm)
    crm.erase(ADA)
    pass_days(crm)
    two = crm.record(drafted("b")).customer_id
    pass_days(crm)
    crm.erase(ADA)
    pass_days(crm)

    for key, subject in (("of a", "order:a"), ("of b", "order:b")):
        crm.record(
            Draft(
                "order.refunded",
                identifiers=(ADA,),
                amount=Money(100, "EUR"),
                source_key=key,
                subject=subject,
            )
        )
    crm.record(Draft("order.delivered", identifiers=(ADA,), source_key="of the last"))
    crm.record(drafted("of the first", occurred_at=to_datetime(then + 1)))

    found = {key: who for key, (who, _) in owners(crm).items()}
    assert {
        "a": one,
        "b": two,
        "of a": one,
        "of b": two,
        "of the last": two,
        "of the first": one,
    } == found
    assert crm.find_customer(ADA) is None


@pytest.mark.each_database
@pytest.mark.parametrize("before", ["consent.given", "consent.requested", "consent.withdrawn"])
def test_who_agrees_again_is_a_new_customer(crm, before):
    """Whatever they had said of the same address before: it is of nobody's former life."""
    said = {"purpose": "news", "channel": "email"}
    old = crm.record(before, email=ADA.value, payload=said).customer_id
    pass_days(crm)
    crm.erase(ADA)
    pass_days(crm)

    asked = crm.request_consent(ADA, "news", "email")
    pass_days(crm)
    given = crm.give_consent(ADA, "news", "email", wording="newsletter/4")
    ordered = crm.record(drafted("a"))

    assert old < given.customer_id
    assert 1 == len({each.customer_id for each in (asked, given, ordered)})
    (news,) = [each for each in crm.consents(ADA) if each.purpose == "news"]
    assert (ADA.value, "given", "newsletter/4") == (news.address, news.standing, news.wording)
    assert {"go"} == {each.answer for each in crm.explain_send(ADA, "x", **said)}
    kept = dump(crm)
    crm.rebuild()
    assert "" == difference(kept, dump(crm))


@pytest.mark.each_database
def test_consent_told_late_is_of_who_they_were(crm):
    """What was agreed to, asked or confirmed before the erasure opens nothing; nor does a no."""
    then = to_datetime(crm.runtime.clock.now())
    said = {"purpose": "news", "channel": "email"}
    old = crm.record("consent.given", email=ADA.value, payload=said).customer_id
    pass_days(crm)
    crm.erase(ADA)
    pass_days(crm)

    for kind in ("consent.requested", "consent.given", "consent.confirmed"):
        late = crm.record(kind, email=ADA.value, payload=said, occurred_at=then)
        assert old == late.customer_id
    imported = crm.record("consent.imported", email=ADA.value, payload=said)
    no = crm.withdraw_consent(ADA, "promotion", point=ADA.value)

    assert {old} == {imported.customer_id, no.customer_id}
    assert crm.find_customer(ADA) is None
    assert {"erased", "withdrawn"} == {each.reason for each in crm.withheld(ADA)}


@pytest.mark.each_database
def test_late_facts_of_two_at_once_fold_onto_one(crm):
    """Who they were is locked, so that what is derived of them is what a rebuild makes."""
    pass_days(crm, 10)
    crm.record(drafted("a", ADA, PHONE))
    crm.erase(ADA)
    pass_days(crm)
    there = threading.Event()

    def record_after():
        there.wait()
        with crm.begin() as tx:
            tx.record(drafted("late2", PHONE, occurred_at=START))

    waits = threading.Thread(target=record_after)
    waits.start()
    with crm.begin() as tx:
        tx.record(drafted("late1", occurred_at=START))
        there.set()
        waits.join(0.3)
        assert waits.is_alive()
    waits.join()

    assert {"a", "late1", "late2"} == owners(crm).keys()
    assert 1 == len({who for who, _ in owners(crm).values()})
    before = dump(crm)
    crm.rebuild("lifecycles")
    assert "" == difference(before, dump(crm))


@pytest.mark.each_database
def test_two_erasures_at_once_give_one_certificate(crm):
    """Whoever waits for the other's lock finds that it is done."""
    who = crm.record(drafted("a")).customer_id
    together, done = threading.Barrier(2), []

    def erase():
        together.wait()
        done.append(crm.erase(who).id)

    both = [threading.Thread(target=erase) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()

    assert [1, 1] == done
    assert [(1,)] == rows(crm, "SELECT count(*) FROM crm_erasure")


@pytest.mark.each_database
def test_what_a_plugin_missed_brings_nobody_back(monkeypatch):
    """Told later of what came in late about somebody forgotten, a plugin keeps nothing of it."""
    failing: list[bool] = []

    def fail(self, ctx, hook):
        if failing:
            raise ValueError("told to fail")

    monkeypatch.setattr(Books, "may_fail", fail)
    entries = "SELECT customer_id, entries FROM crm_books_entry ORDER BY customer_id"
    clock = VirtualClock(instant(START))
    with Crm(scratch(), plugins=[Books(reviews=False)], clock=clock, durable=False) as crm:
        ada, bea = (
            crm.record("order.placed", account=name, amount="5").customer_id
            for name in ("ada", "bea")
        )
        crm.erase(ada)
        failing.append(True)
        for who in (ada, bea):
            crm.record("order.returned", customer=who)
        assert {"books": 2} == crm.debts()
        failing.clear()
        crm.pay_debts()
        left = rows(crm, entries)
        crm.rebuild()

        assert [bea] == [row[0] for row in left]
        assert left == rows(crm, entries)


def test_a_late_review_knows_nothing_of_who_was_erased(crm):
    """It looks back at the ledger, and neither grades them nor counts what they brought."""
    crm.record(drafted("a"))
    crm.record(drafted("b", BEA))
    pass_days(crm, 40)  # past the first review, which nobody fired
    crm.record(drafted("c", BEA))
    crm.erase(ADA)

    crm.run_due()

    kept = dump(crm)
    told = rows(crm, "SELECT customer_id, payload FROM crm_interaction WHERE kind = 'tier.changed'")
    assert [crm.find_customer(BEA)] == [who for who, _ in told]
    assert '"customers":1' in told[0][1]
    crm.rebuild()
    assert "" == difference(kept, dump(crm))


def test_what_time_decides_about_who_was_erased_is_kept_of_nobody(tmp_path):
    """A step that a guard refuses as time passes is on record, and in no derived table."""
    clock = VirtualClock(instant(START))

    def guard(ctx, event):
        return Refuse("stay") if event.to_stage in ("at_risk", "lapsed") else None

    plugins = [plugin("keen", guard_stage_change=guard), Vault()]
    with Crm(shop_file(tmp_path), plugins=plugins, clock=clock, secret="s") as crm:
        crm.record(drafted("a"))
        crm.record("order.delivered", identifiers=(ADA,), subject="order:a", source_key="d")
        crm.erase(ADA)
        before = rows(crm, "SELECT count(*) FROM crm_interaction WHERE kind = 'stage.refused'")

        pass_days(crm, 400)
        crm.run_due()

        after = rows(crm, "SELECT count(*) FROM crm_interaction WHERE kind = 'stage.refused'")
        assert before < after  # so that there is something to derive
        kept = dump(crm)
        crm.rebuild()
        assert "" == difference(kept, dump(crm))
