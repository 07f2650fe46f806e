"""What other mail tools got wrong, one test for each; their issues are named."""

from contextlib import contextmanager
from typing import Any

import pytest
from crmcore_email_link.throttle import Limits
from crmcore_email_link.transports import Relay, Smtp

from crmcore import Draft, GateSettings, Identifier, to_datetime
from plugins.email_link.tests.mailing import Throttle
from plugins.email_link.tests.receivers import Receiver
from plugins.email_link.tests.shops import DAY, START, draft, envelopes, member, plugin, shop
from plugins.email_link.tests.test_feedback import complaint, event, goes, kinds, report, take, told
from plugins.email_link.tests.test_pages import news
from plugins.email_link.tests.test_sign_ups import captured, pass_time, signed_up, standing

pytestmark = pytest.mark.each_database(partitioned=False)
ADA = Identifier("email", "ada@example.com")
NEWS = {"purpose": "news", "channel": "email"}
BEFORE = to_datetime(START - 400 * DAY)


@contextmanager
def carried_to(receiver):
    """Return a shop whose mails a server takes."""
    relay = Relay(host="127.0.0.1", port=receiver.port, tls="never")
    smtp = Smtp(relay=relay, throttle=Throttle(limits=Limits()), hello="shop.example")
    with smtp, shop(plugin(carrier=smtp)) as crm:
        yield crm


def unsubscribed(crm):
    crm.withdraw_consent(ADA, "news", "email")
    pass_time(crm, DAY)


# ------------------------------------------------------------------------------- suppression


@pytest.mark.parametrize(
    "comes_back",
    [
        lambda crm, old: crm.record("consent.imported", email="ada@example.com", payload=NEWS),
        lambda crm, old: crm.record_many(
            [Draft("consent.imported", identifiers=(ADA,), payload=NEWS, occurred_at=BEFORE)]
        ),
        lambda crm, old: captured(crm, address="ada@example.com", bases={"news": "soft_opt_in"}),
        lambda crm, old: signed_up(crm),
        lambda crm, old: crm.record("account.registered", account="a2", email="ada@example.com"),
        lambda crm, old: told(crm, event(old, "delivered")),
    ],
    ids=["imported", "in bulk", "ordered", "signed up", "registered", "delivered"],
)
def test_e23_nothing_but_their_own_yes_lifts_a_no(comes_back):
    """listmonk#2008, #2452, keila#259, Mailtrain#325: whatever is imported, a no stays a no."""
    with shop() as crm:
        news(crm)
        unsubscribed(crm)
        comes_back(crm, envelopes(crm)[0])

        assert not goes(crm)


@pytest.mark.parametrize("how", ["hard", "complaint", "left"])
def test_e23_it_outlives_an_erasure_and_the_next_import(how):
    """Who bounced, complained or left, and was erased, is not written to when imported again."""
    with shop() as crm:
        news(crm)
        envelope = envelopes(crm)[0]
        if how == "left":
            crm.withdraw_consent(ADA, "news", "email")
        else:
            raw = report(envelope.mail_from)
            take(crm, raw if how == "hard" else complaint(envelope.raw.decode()))
        crm.erase(ADA)
        pass_time(crm, DAY)
        crm.record("account.registered", account="ada-again", email="ada@example.com")
        crm.record("consent.imported", email="ada@example.com", payload=NEWS)

        assert not goes(crm)
        assert "planned" != crm.send(draft(ADA, "p", "promotion")).state or how == "left"


def test_e23_lifting_is_an_act_of_its_own_and_on_record():
    """A new yes does not reach an address where nothing arrives; who lifts it is named."""
    with shop() as crm:
        news(crm)
        take(crm, report(envelopes(crm)[0].mail_from))
        pass_time(crm, DAY)
        crm.give_consent(ADA, "news", "email")
        before = goes(crm, key="before")
        lifted = crm.lift_withholding(ADA, reason="undeliverable", actor="staff:grace")

        assert (False, 1, True) == (before, lifted, goes(crm, key="after"))


# ----------------------------------------------------------------------------------- bounces


def test_1_5_a_bounce_of_a_service_mail_counts():
    """listmonk#2193: a mail about an order bounces like any other."""
    with shop() as crm:
        crm.send(draft(member(crm), "parcel-1", "service"))
        crm.deliver()
        take(crm, report(envelopes(crm)[0].mail_from))

        assert ["message.bounced"] == kinds(crm)
        assert not goes(crm, purpose="service")


def test_1_5_a_bounce_without_our_headers_is_nobodys():
    """listmonk#492, #946, #2225: not an error, and not somebody found by a name in its text."""
    with shop() as crm:
        news(crm)
        raw = report("bounces@shop.example", said="550 5.1.1 <ada@example.com> no such user")

        assert take(crm, raw) is None
        assert goes(crm)


def test_1_5_a_refusal_while_sending_ends_the_address():
    """listmonk#2623: 550 5.1.1 said at once counts as one that comes back; 5.7.1 does not."""
    answers = {
        "ada@example.com": "550 5.1.1 No such user",
        "ben@example.com": "550 5.7.1 Blocked",
    }

    def fault(step, recipient):
        return answers.get(recipient) if step == "RCPT" else None

    names = ("ada", "ben", "cai")
    with Receiver(fault) as receiver, carried_to(receiver) as crm:
        for name in names:
            crm.send(draft(member(crm, name)))
        crm.deliver()
        states = {name: goes(crm, Identifier("email", f"{name}@example.com")) for name in names}

    assert {"ada": False, "ben": True, "cai": True} == states


# ----------------------------------------------------------------------------------- sending


def test_1_5_one_bad_recipient_makes_nobody_else_get_it_twice():
    """mautic#7226: who cannot be written to fails alone, and the others are done."""
    with shop() as crm:
        for name in ("ada", "ben", "cai"):
            bad: dict[str, Any] = {"data": {"template": "there is none"}} if name == "ben" else {}
            crm.send(draft(member(crm, name), **bad))
        for _ in range(5):
            crm.deliver(put_off=True)
        states = {each.state for each in crm.messages()}

        assert ["ada@example.com", "cai@example.com"] == sorted(e.rcpt_to for e in envelopes(crm))
        assert {"accepted", "failed"} == states


def test_1_5_two_mails_to_one_address_in_a_batch_both_go():
    """mautic#14381: the second one does not vanish, nor the first one come twice."""
    with shop() as crm:
        who = member(crm)
        for key in ("news-1", "news-2", "news-3"):
            crm.send(draft(who, key))
        crm.deliver()

        assert ["news-1", "news-2", "news-3"] == sorted(e.campaign for e in envelopes(crm))


def test_1_5_a_campaign_does_not_go_to_who_has_not_confirmed():
    """Notifuse#344: nor does signing up again and again mail them without end (#313)."""
    with shop(gate=GateSettings(basis={"news": "double_opt_in"})) as crm:
        for _ in range(5):
            signed_up(crm)
            crm.deliver()
        guest = crm.find_customer(Identifier("guest_email", "ada@example.com"))
        planned = crm.send(draft(guest))

        assert "withheld" == planned.state
        assert "requested" == standing(crm)
        assert 1 == len(envelopes(crm))


def test_e17_each_mail_has_one_recipient_and_a_return_path_of_its_own():
    """To a real server that offers reports: ENVID, ORCPT, RET and NOTIFY, one RCPT each."""
    with Receiver() as receiver, carried_to(receiver) as crm:
        for name in ("ada", "ben"):
            crm.send(draft(member(crm, name)))
        crm.deliver()
        senders = [each for each in receiver.said if each.startswith("MAIL")]
        recipients = [each for each in receiver.said if each.startswith("RCPT")]

    assert 2 == len({each.partition(">")[0] for each in senders}) == len(recipients)
    for each in senders:
        path = each.partition("<")[2].partition("@")[0]
        assert path.startswith("b+")
        assert f" RET=HDRS ENVID={path.removeprefix('b+')}" in each
    assert [
        f"RCPT TO:<{name}@example.com> NOTIFY=FAILURE,DELAY ORCPT=rfc822;{name}@example.com"
        for name in ("ada", "ben")
    ] == sorted(recipients)
