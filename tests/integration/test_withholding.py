"""Contact points that nobody writes to, and what is held back as somebody says no."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta

import pytest

from crmcore import Crm, Identifier, VirtualClock
from crmcore.domain.gate import GateSettings
from crmcore.domain.message import Content
from tests.support.databases import scratch
from tests.support.gates import SMS, Asking
from tests.support.histories import START, instant
from tests.support.making import rows, us
from tests.support.sending import Post, states

pytestmark = pytest.mark.each_database(partitioned=False)

ADA = Identifier("email", "ada@example.com")


@contextmanager
def shop(*plugins, **basis):
    clock = VirtualClock(instant(START))
    gate = GateSettings(basis=basis)
    with Crm(scratch(), plugins=plugins, clock=clock, gate=gate) as crm:
        ada = crm.record("account.registered", email=ADA.value, account="ada").customer_id
        yield crm, clock, ada


def test_withholding_outlives_its_customer():
    """An address that is withheld is, whoever has it later; service too, if it is blocked."""
    with shop(promotion="opt_out") as (crm, clock, _):
        bea = Identifier("email", "bea@example.com")
        point = crm.withhold(bea, actor="staff:grace")
        new = crm.record("account.registered", email="Bea@Example.com").customer_id
        asking = Asking(crm)
        assert ["withheld", "withheld"] == [
            asking.one(new).gate,
            asking.one(new, "service").gate,
        ]
        assert "the address is withheld: blocked" == asking.one(new).reason
        assert [(point, "blocked", us(0), "staff:grace")] == [
            (each.point, each.reason, each.since, each.actor) for each in crm.withheld()
        ]
        clock.advance_to(us(1))
        assert 1 == crm.lift_withholding(bea, actor="staff:ida")
        assert 0 == crm.lift_withholding(point)
        assert [None, None] == [asking.one(new).gate, asking.one(new, "service").gate]
        assert [] == crm.withheld()
        (entry,) = crm.withheld(bea)
        assert (us(1), "staff:ida") == (entry.lifted_at, entry.lifted_by)


@pytest.mark.parametrize(
    ("reason", "promotion", "service", "after"),
    [
        ("undeliverable", "withheld", "withheld", "withheld"),
        ("blocked", "withheld", "withheld", "withheld"),
        ("complaint", "withheld", None, "withheld"),
        ("erased", "withheld", None, None),
        ("withdrawn", "withdrawn", None, None),
    ],
)
def test_what_each_reason_stops(reason, promotion, service, after):
    """And which of them a later consent goes before; until it ends, if it has an end."""
    with shop(promotion="opt_out") as (crm, clock, ada):
        crm.withhold(ADA, reason, until=START + timedelta(days=9))
        asking = Asking(crm)
        assert [promotion, service] == [asking.one(ada).gate, asking.one(ada, "service").gate]
        clock.advance_to(us(1))
        crm.give_consent(ada, "promotion", "email")
        assert after == asking.one(ada).gate
        assert None is asking.one(ada, "promotion", at=us(9)).gate


def test_what_is_planned_is_held_back_as_the_no_commits():
    """For whoever has the address; what goes meanwhile, goes, and what is caught is withheld."""
    post = Post()
    with shop(post, promotion="opt_out") as (crm, _, ada):
        guest = crm.record("order.placed", guest_email=ADA.value, amount="5").customer_id
        bea, cleo, dora = (
            crm.record("account.registered", email=f"{name}@example.com").customer_id
            for name in ("bea", "cleo", "dora")
        )
        about = {"purpose": "promotion", "channel": "email", "content": Content(text="Sale")}
        crm.broadcast("sale", [ada, guest, bea, cleo, dora], **about)
        assert {"planned": 5} == states(crm, "sale")
        crm.withdraw_consent(guest, "promotion")
        crm.set_brake(bea, "mourning")
        crm.withhold(Identifier("email", "cleo@example.com"), "undeliverable")
        assert {"planned": 1, "withheld": 4} == states(crm, "sale")
        crm.deliver()

        assert {"accepted": 1, "withheld": 4} == states(crm, "sale")
        assert ["dora@example.com"] == [each.address for each in post.handed]
        assert {
            (ada, "withdrawn"),
            (guest, "consent"),
            (bea, "brake"),
            (cleo, "withheld"),
            (dora, None),
        } == set(rows(crm, "SELECT customer_id, gate FROM crm_message"))


def test_withholding_one_channel():
    """A channel that is named is the only one that is stopped."""
    with shop(promotion="opt_out") as (crm, _, ada):
        phone = Identifier("phone", "+49301234567")
        crm.prove(ada, phone)
        crm.withhold(phone, channel="phone")

        assert None is Asking(crm).one(ada, "promotion", SMS).gate
        crm.withhold(phone, channel="sms")
        assert "withheld" == Asking(crm).one(ada, "promotion", SMS).gate
