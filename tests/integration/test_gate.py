"""The send gate: what it is asked, what it answers, and what that costs."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import insert, select

from crmcore import Crm, Identifier, VirtualClock
from crmcore.domain.clock import DAY
from crmcore.domain.gate import Answer, Cap, GateSettings, Holdout
from crmcore.domain.holdout import PRIME
from crmcore.domain.quiet import QuietHours
from crmcore.errors import InputError
from crmcore.hooks import Hold
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import customer, identifier
from tests.support.databases import scratch
from tests.support.gates import EMAIL, SMS, Asking, put_message
from tests.support.histories import START, instant
from tests.support.making import plugin, raising, rows, us

pytestmark = pytest.mark.each_database(partitioned=False)

ADA = Identifier("email", "ada@example.com")
ANYBODY = {"care": "opt_out", "news": "opt_out", "promotion": "opt_out", "survey": "opt_out"}


@contextmanager
def shop(*plugins, basis=ANYBODY, **settings):
    """Open a shop that may write to anybody who did not object, with Ada as its customer."""
    clock = VirtualClock(instant(START))
    gate = GateSettings(basis=dict(basis), **settings)
    with Crm(scratch(), plugins=plugins, clock=clock, gate=gate, secret="gate") as crm:
        ada = crm.record("account.registered", email=ADA.value, account="ada").customer_id
        yield crm, clock, ada


def counted(monkeypatch, work):
    """Return what *work* returns, and how many statements it ran."""
    ran = []
    run = Connection._run

    def counting(self, sql, values, cursor=None):
        ran.append(sql)
        return run(self, sql, values, cursor)

    monkeypatch.setattr(Connection, "_run", counting)
    try:
        return work(), len(ran)
    finally:
        monkeypatch.setattr(Connection, "_run", run)


def busy_settings():
    return {
        "caps": [
            Cap(most=2, days=7),
            Cap(most=1, per="day", asks=True),
            Cap(most=5, per="day", channels=["email"]),
        ],
        "quiet": [QuietHours(since="22:00", until="07:00")],
        "holdouts": [Holdout(name="winter", share=0.2), Holdout(name="sale", share=0.1)],
    }


def test_one_decision_is_less_than_ten_statements(monkeypatch):
    """With caps, quiet hours, holdouts and a guard set, from opening to closing."""
    guard = plugin("guarding", guard_message=lambda ctx, event: None)
    with shop(guard, **busy_settings()) as (crm, _, ada):
        asking = Asking(crm)

        def decide():
            asking.one(ada)
            return crm.explain_send(ada, "sale", purpose="promotion", channel="email")

        asking.one(ada)
        _, judging = counted(monkeypatch, lambda: asking.one(ada))
        _, both = counted(monkeypatch, decide)

    assert judging <= 4
    assert both - judging < 10


@pytest.mark.parametrize("size", [10, 1000])
def test_many_decisions_are_as_many_statements(monkeypatch, size):
    """Ten candidates or a thousand: the number of statements is the same, and so is each answer."""
    with shop(**busy_settings()) as (crm, clock, _):
        with crm.begin() as tx:
            tx.connection.insert_rows(
                insert(customer),
                [
                    (i, 0, f"{i:032x}", None, 0, i * 77_777_777 % PRIME, None)
                    for i in range(2, size + 2)
                ],
            )
            tx.connection.insert_rows(
                insert(identifier),
                [("email", f"c{i}@example.com", i, i, 0, f"{i:032x}") for i in range(2, size + 2)],
            )
        clock.advance_to(us(0.5))
        asking = Asking(crm)
        those = range(2, size + 2)
        asking.judge(those)
        found, statements = counted(monkeypatch, lambda: asking.judge(those))
        alone = {each: asking.one(each) for each in (2, size // 2, size + 1)}

    assert size == len(found)
    assert 2 == statements  # what zones there are, and the judgement
    assert alone == {each: found[each] for each in alone}
    went = [each for each in found.values() if each.gate is None]
    held = [each for each in found.values() if each.gate == "holdout"]
    assert len(went) > size // 3
    assert len(held) > size // 10 or size < 100


# ---------------------------------------------------------------------------------- each gate


def test_who_is_nobody_and_who_has_no_address():
    """A customer without an address for the channel is not written to, nor one that is erased."""
    with shop() as (crm, _, ada):
        asking = Asking(crm)

        assert None is asking.one(ada).gate
        assert ("address", "nothing to reach by phone") == (
            asking.one(ada, channel=SMS).gate,
            asking.one(ada, channel=SMS).reason,
        )
        with crm.begin() as tx:
            tx.connection.change(customer.update().values(erased_at=5))
        assert "erased" == asking.one(ada).gate
        assert None is asking.one(ada).may_go_at


def test_a_cap_of_nothing_and_no_cap():
    """0 lets nothing go, ever; without a number there is no limit; and service is not capped."""
    for most, expected in ((0, "cap"), (None, None)):
        with shop(caps=[Cap(most=most, days=7)]) as (crm, _, ada):
            asking = Asking(crm)
            put_message(crm, 1, ada, us(0) - 5)

            assert (expected, None) == (asking.one(ada).gate, asking.one(ada).may_go_at)
            assert None is asking.one(ada, "service").gate


def test_service_is_capped_if_a_cap_names_it():
    """Only then, and only messages of its purposes count."""
    with shop(caps=[Cap(most=1, days=1, purposes=["service"])]) as (crm, _, ada):
        asking = Asking(crm)
        put_message(crm, 1, ada, us(0) - 5, purpose="promotion")
        assert None is asking.one(ada, "service").gate
        put_message(crm, 2, ada, us(0) - 5, purpose="service")
        assert ("cap", us(1) - 5) == (
            asking.one(ada, "service").gate,
            asking.one(ada, "service").may_go_at,
        )
        assert None is asking.one(ada).gate


def test_a_budget_for_asking():
    """What asks has a budget of its own: it neither holds back what does not, nor counts it."""
    with shop(caps=[Cap(most=1, days=30, asks=True)]) as (crm, _, ada):
        asking = Asking(crm)
        put_message(crm, 1, ada, us(0) - 5)
        assert None is asking.one(ada, "survey", asks=True).gate
        put_message(crm, 2, ada, us(0) - 9, asks=True)
        assert ("cap", us(30) - 9) == (
            asking.one(ada, "survey", asks=True).gate,
            asking.one(ada, "survey", asks=True).may_go_at,
        )
        assert None is asking.one(ada, "survey").gate


def test_a_message_does_not_count_itself():
    """Judged again while it is claimed, a message is not what fills the cap."""
    with shop(caps=[Cap(most=1, days=1)]) as (crm, _, ada):
        put_message(crm, 7, ada, None, state="claimed")
        again = crm.explain_send(ada, "m7")
        other = crm.explain_send(ada, "other", purpose="promotion", channel="email")

    assert {"go"} == {each.answer for each in again}
    assert ["cap"] == [each.gate for each in other if each.answer == "wait"]


def test_brakes_stop_all_but_service():
    """A brake holds until it is lifted, or makes wait until it ends; the longest of several."""
    with shop() as (crm, clock, ada):
        asking = Asking(crm)
        crm.set_brake(ada, "mourning", until=date(2024, 1, 11))
        assert ("brake", us(10)) == (asking.one(ada).gate, asking.one(ada).may_go_at)
        crm.set_brake(ada, "complaint")
        assert ("brake", None) == (asking.one(ada).gate, asking.one(ada).may_go_at)
        assert None is asking.one(ada, "service").gate
        clock.advance_to(us(1))
        crm.lift_brake(ada, "complaint")
        assert ("brake", us(10)) == (asking.one(ada).gate, asking.one(ada).may_go_at)
        assert "a brake is on: mourning" == asking.one(ada).reason
        crm.set_brake(ada, "pause", until=datetime(2024, 1, 15, 12, tzinfo=UTC))
        assert us(14.5) == asking.one(ada).may_go_at
        clock.advance_to(us(14.5))
        assert None is asking.one(ada).gate


def test_holdouts_are_who_the_hash_says():
    """A share of the customers, the same ones each time, and others under another name."""
    held = {}
    with shop(
        holdouts=[
            Holdout(name="winter", share=0.25, keys=["winter-sale"]),
            Holdout(name="summer", share=0.25, keys=["summer/*"]),
            Holdout(name="all", share=1, keys=["nobody"]),
            Holdout(name="none", share=0, keys=["everybody"]),
            Holdout(name="mine", share=1, plugins=["other"]),
        ]
    ) as (crm, _, _):
        with crm.begin() as tx:
            for number in range(800):
                tx.record("account.registered", email=f"c{number}@example.com")
        asking = Asking(crm)
        everybody = [c for (c,) in rows(crm, "SELECT customer_id FROM crm_customer")]
        buckets = dict(rows(crm, "SELECT customer_id, bucket FROM crm_customer"))
        for key in ("winter-sale", "summer/1", "summer/2", "nobody", "everybody", "winter-sale-2"):
            judged = asking.judge(everybody, key=key)
            held[key] = {each for each, found in judged.items() if found.gate == "holdout"}
            assert held[key] == {
                each
                for each, found in asking.judge(everybody, key=key).items()
                if found.gate is not None
            }
        service = asking.judge(everybody, "service", key="winter-sale")
        other = asking.judge(everybody, plugin="other")

    winter = Holdout(name="winter", share=0.25)
    expected = {e for e in everybody if winter.arm.place(buckets[e]) < 0.25 * PRIME - 1}
    assert expected == held["winter-sale"]
    assert 140 < len(held["winter-sale"]) < 260
    assert held["summer/1"] == held["summer/2"] != held["winter-sale"]
    # Who is left out of one is not more often left out of the other.
    assert 20 < len(held["summer/1"] & held["winter-sale"]) < 85
    assert (set(everybody), set(), set()) == (
        held["nobody"],
        held["everybody"],
        held["winter-sale-2"],
    )
    assert {None} == {each.gate for each in service.values()}
    assert {"holdout"} == {each.gate for each in other.values()}


def test_too_late_is_no():
    """After its last instant a message does not go; at it, it does."""
    with shop() as (crm, _, ada):
        asking = Asking(crm)

        assert None is asking.one(ada, not_after=us(0)).gate
        assert ("expired", None) == (
            asking.one(ada, not_after=us(0) - 1).gate,
            asking.one(ada, not_after=us(0) - 1).may_go_at,
        )


def test_a_no_goes_before_waiting_and_the_latest_wait_counts():
    """Of quiet hours and a full cap the later decides; a brake without an end beats both."""
    quiet = [QuietHours(since="00:00", until="06:00")]
    with shop(caps=[Cap(most=1, days=2)], quiet=quiet) as (crm, _, ada):
        asking = Asking(crm)
        assert ("quiet", us(0.25)) == (asking.one(ada).gate, asking.one(ada).may_go_at)
        put_message(crm, 1, ada, us(0) - DAY)
        assert ("cap", us(1)) == (asking.one(ada).gate, asking.one(ada).may_go_at)
        crm.set_brake(ada, "complaint")
        assert ("brake", None) == (asking.one(ada).gate, asking.one(ada).may_go_at)


def test_quiet_hours_are_those_of_the_customers_zone():
    """Where the customer lives, and nobody knows: where the shop is."""
    quiet = [QuietHours(since="21:00", until="08:00")]
    with shop(quiet=quiet) as (crm, _, ada):
        asking = Asking(crm)
        noon = us(0.5)
        assert None is asking.one(ada, at=noon).gate
        crm.set_zone(ada, "Asia/Tokyo")  # where it is 21:00
        assert ("quiet", us(0) + 23 * DAY // 24) == (
            asking.one(ada, at=noon).gate,
            asking.one(ada, at=noon).may_go_at,
        )
        assert "quiet hours: 21:00 to 08:00 in Asia/Tokyo" == asking.one(ada, at=noon).reason
        assert None is asking.one(ada, "service", at=noon).gate


def test_the_zone_that_was_last_true_counts():
    """A change of zone that is told late does not overwrite a later one."""
    with shop() as (crm, _, ada):
        for name, days in (("Asia/Tokyo", 2), ("Europe/Paris", 1)):
            crm.record(
                "customer.zone_changed",
                customer=ada,
                occurred_at=START - timedelta(days=3 - days),
                payload={"zone": name},
            )
        assert [(ada, "Asia/Tokyo")] == rows(crm, "SELECT customer_id, zone FROM crm_zone")
        crm.rebuild("consent")
        assert [(ada, "Asia/Tokyo")] == rows(crm, "SELECT customer_id, zone FROM crm_zone")


# ------------------------------------------------------------------------------- the plugins


def test_guards_hold_back():
    """Any hold wins, a no before a wait, the latest wait; a guard that raises makes all wait."""
    told = []

    def sees(ctx, event):
        found = ctx.execute(select(event.customers.c.customer_id))
        told.append((event.key, event.purpose, event.size, sorted(row[0] for row in found)))

    def holds(ctx, event):
        sees(ctx, event)
        return [Hold(1, reason="wait", not_before=event.at + 7), Hold(2, reason="never")]

    def also(ctx, event):
        return [Hold(1, reason="wait more", not_before=event.at + 9), Hold(2, reason="soon")]

    with shop(plugin("one", guard_message=holds), plugin("two", guard_message=also)) as (crm, _, _):
        crm.record("account.registered", email="bea@example.com")
        found = held(crm, [1, 2])

    assert [("sale", "promotion", 2, [1, 2])] == told
    assert {(1, "two: wait more", us(0) + 9), (2, "one: never", None)} == found
    with shop(plugin("one", guard_message=raising)) as (crm, _, ada):
        assert {(ada, "one: raised ValueError", us(0) + 300_000_000)} == held(crm, [ada])
        assert 1 == len(crm.faults("one"))
        answers = crm.explain_send(ada, "sale", purpose="promotion", channel="email")
        assert (
            Answer(
                gate="guard",
                answer="wait",
                reason="one: raised ValueError",
                may_go_at=us(0) + 300_000_000,
            )
            in answers
        )
        assert 2 == len(crm.faults("one"))
    with shop(plugin("one", guard_message=lambda ctx, event: ["x"])) as (crm, _, ada):
        assert {(ada, "one: raised TypeError", us(0) + 300_000_000)} == held(crm, [ada])


def held(crm, customers):
    """Return whom guards hold back, why, and until when."""
    asking = Asking(crm)
    values = {
        "of_plugin": "",
        "of_key": "sale",
        "of_purpose": "promotion",
        "of_asks": 0,
        "of_after": 0,
        "of_until": None,
        "those": json.dumps(customers),
    }
    with crm.begin() as tx:
        gate = crm._parts.gate
        found = gate.holds(tx._unit, asking.candidates, EMAIL, tx._unit.now, values, is_claim=True)
    return {(each.customer_id, each.reason, each.may_go_at) for each in found}


# --------------------------------------------------------------------------------- explaining


def test_every_gate_answers():
    """What would become of a message is told gate by gate, the same that judging decides."""
    with shop(**busy_settings()) as (crm, _, ada):
        crm.withdraw_consent(ada, "promotion")
        answers = crm.explain_send(ada, "sale", purpose="promotion", channel="email")
        judged = Asking(crm).one(ada)

    assert [
        "erased address withheld consent withdrawn brake holdout expired quiet cap cap cap guard"
    ] == [" ".join(each.gate for each in answers)]
    said = [each for each in answers if each.answer != "go"]
    assert [("consent", "no"), ("withdrawn", "no"), ("quiet", "wait")] == [
        (each.gate, each.answer) for each in said
    ]
    assert (judged.gate, judged.reason) == (said[0].gate, said[0].reason)


def test_explaining_what_is_not_planned_needs_to_know_what_it_is():
    """A key that nothing is planned under has no purpose; a misspelt one is told."""
    with shop() as (crm, _, ada):
        with pytest.raises(InputError, match="no message 'sale' is planned"):
            crm.explain_send(ada, "sale")
        with pytest.raises(InputError, match="did you mean 'promotion'"):
            crm.explain_send(ada, "sale", purpose="promotions", channel="email")
        with pytest.raises(InputError, match="did you mean 'email'"):
            crm.explain_send(ada, "sale", purpose="promotion", channel="emial")
