"""Consent: how it is told, where it stands, whom nobody writes to; and what others got wrong."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import timedelta

import pytest

from crmcore import Crm, Draft, Identifier, VirtualClock
from crmcore.domain.gate import GateSettings
from crmcore.errors import CustomerNotFoundError, IdentifierError, InputError, MergeError
from tests.support.databases import scratch, shop_file
from tests.support.gates import SMS, Asking
from tests.support.histories import START, instant
from tests.support.making import plugin, rows, us

pytestmark = pytest.mark.each_database(partitioned=False)

ADA = Identifier("email", "ada@example.com")
MINUTE = 60_000_000


@contextmanager
def shop(*plugins, **basis):
    clock = VirtualClock(instant(START))
    gate = GateSettings(basis=basis)
    with Crm(scratch(), plugins=plugins, clock=clock, gate=gate) as crm:
        ada = crm.record("account.registered", email=ADA.value, account="ada").customer_id
        yield crm, clock, ada


def stands(crm, customer, purpose="promotion", channel="email", **asked):
    """Return where consent stands for a customer's only address of a channel."""
    found = [
        each
        for each in crm.consents(customer, **asked)
        if (each.purpose, each.channel) == (purpose, channel)
    ]
    assert 1 >= len(found)
    return found[0] if found else None


# ------------------------------------------------------------------------------ how it is told


def test_consent_is_kept_with_what_proves_it():
    """Wording, mechanism and evidence are in the ledger; the address in its personal part alone."""
    with shop() as (crm, _, ada):
        given = crm.give_consent(
            ada,
            "promotion",
            "email",
            wording="newsletter/3",
            language="de",
            mechanism="form",
            evidence="192.0.2.7",
            source_key="form/1",
            actor="shop",
        )
        again = crm.give_consent(ada, "promotion", "email", source_key="form/1")
        stored = rows(
            crm,
            "SELECT subject, payload, personal FROM crm_interaction WHERE kind = 'consent.given'",
        )
        found = stands(crm, ada)

    assert given.id == again.id
    assert found is not None
    ((subject, payload, personal),) = stored
    assert 32 == len(subject)
    assert "ada@" not in payload + subject
    assert '"point":"ada@example.com"' in personal
    assert (found.standing, found.allowed, found.interaction_id) == ("given", True, given.id)
    assert ("newsletter/3", "de", "form", "192.0.2.7", "ada@example.com") == (
        found.wording,
        found.language,
        found.mechanism,
        found.evidence,
        found.address,
    )
    assert "192.0.2.7" not in repr(found)


def test_plain_recording_is_the_same():
    """`record("consent.given", ...)`, a batch, and a plugin's decision all say it."""

    def decides(ctx, event):
        for each in event:
            if each.kind == "account.registered":
                ctx.record(
                    Draft(
                        "consent.withdrawn",
                        customer=each.customer_id,
                        source_key="unsubscribed",
                        payload={"purpose": "news"},
                    )
                )

    with shop(plugin("one", on_interactions_recorded=decides)) as (crm, _, ada):
        crm.record("consent.given", account="ada", payload={"purpose": "care", "channel": "email"})
        crm.record_many(
            [
                Draft("account.registered", identifiers=(Identifier("account", "bea"),)),
                Draft(
                    "consent.given",
                    identifiers=(
                        Identifier("account", "bea"),
                        Identifier("email", "bea@example.com"),
                    ),
                    payload={"purpose": "care", "channel": "email"},
                ),
            ]
        )
        bea = crm.find_customer(Identifier("account", "bea"))

        for who in (ada, bea):
            assert "given" == stands(crm, who, "care").standing
            assert "withdrawn" == stands(crm, who, "news").standing


def test_a_form_registers_whom_nobody_knew():
    """Who signs up for a newsletter is a customer from then on; one by id has to be there."""
    with shop() as (crm, _, _):
        given = crm.give_consent(Identifier("email", "new@example.com"), "news", "email")

        assert "given" == stands(crm, given.customer_id, "news").standing


@pytest.mark.parametrize(
    ("say", "says"),
    [
        (lambda crm: crm.give_consent(1, "promotions", "email"), "did you mean 'promotion'"),
        (lambda crm: crm.give_consent(1, "promotion", "emial"), "did you mean 'email'"),
        (lambda crm: crm.give_consent(1, "*", "email"), "purpose '[*]'"),
        (lambda crm: crm.give_consent(1, "promotion", "sms"), "the customer has none"),
        (lambda crm: crm.give_consent(1, "promotion", "email", point="ada"), "'ada'"),
        (lambda crm: crm.withdraw_consent(1, "promotoin"), "did you mean 'promotion'"),
        (lambda crm: crm.withdraw_consent(1, channel="emial"), "did you mean 'email'"),
        (lambda crm: crm.set_brake(1, "complaint", until="soon"), "until is 'soon'"),
        (lambda crm: crm.set_zone(1, "Europe/Berlim"), "did you mean 'Europe/Berlin'"),
        (
            lambda crm: crm.record("brake.set", customer=1, payload={"brake": "x", "until": "1"}),
            "until '1'",
        ),
        (
            lambda crm: crm.record(
                "consent.given",
                customer=1,
                subject="order:1",
                payload={"purpose": "promotion", "channel": "email"},
            ),
            "keyed hash",
        ),
    ],
)
def test_what_is_not_right_is_refused(say, says):
    """A misspelt purpose, channel or zone is named with the nearest; nothing is written."""
    with shop() as (crm, _, _):
        with pytest.raises((InputError, IdentifierError), match=says):
            say(crm)

        assert [] == rows(crm, "SELECT * FROM crm_consent")
        assert [(1,)] == rows(crm, "SELECT count(*) FROM crm_interaction")


def test_of_several_addresses_one_has_to_be_said():
    """Consent is for one address; that the customer is named by, or the one that is said."""
    with shop() as (crm, _, ada):
        crm.prove(ada, Identifier("email", "ada@work.example"))
        with pytest.raises(InputError, match="2 of them"):
            crm.give_consent(ada, "promotion", "email")
        crm.give_consent(Identifier("email", "ada@work.example"), "promotion", "email")
        crm.give_consent(ada, "news", "email", point="ADA@example.com")
        found = {
            (each.address, each.purpose): each.standing
            for each in crm.consents(ada)
            if each.standing != "none"
        }
        judged = Asking(crm).one(ada)
        points = dict(rows(crm, "SELECT point, identifier_value FROM crm_identifier"))

    assert {
        ("ada@work.example", "promotion"): "given",
        ("ada@example.com", "news"): "given",
    } == found
    # Of several addresses the one that consent is for is written to.
    assert (None, "ada@work.example") == (judged.gate, points[judged.point])


def test_a_subject_that_is_the_points_hash_will_do():
    """A plugin that knows a message's point only can withdraw consent for it."""
    with shop() as (crm, _, ada):
        given = crm.give_consent(ada, "promotion", "email")
        crm.record("consent.withdrawn", customer=ada, subject=given.subject)

        assert "withdrawn" == stands(crm, ada).standing


# ------------------------------------------------------------------------------- where it stands


def test_a_double_opt_in_is_confirmed_before_anything_goes():
    """Requested, nothing goes; confirmed, it does; and what was shown is what they confirmed."""
    with shop(promotion="double_opt_in") as (crm, clock, ada):
        asking = Asking(crm)
        crm.request_consent(ada, "promotion", "email", wording="newsletter/3")
        assert ("consent", "requested") == (asking.one(ada).gate, stands(crm, ada).standing)
        clock.advance_to(us(0) + MINUTE)
        crm.give_consent(ada, "promotion", "email")  # by telephone, say
        assert ("consent", "given") == (asking.one(ada).gate, stands(crm, ada).standing)
        clock.advance_to(us(0) + 2 * MINUTE)
        confirmed = crm.confirm_consent(ada, "promotion", "email", evidence="click")
        assert (None, "confirmed") == (asking.one(ada).gate, stands(crm, ada).standing)
        found = stands(crm, ada)
        assert (confirmed.id, "newsletter/3", "double_opt_in", "click") == (
            found.interaction_id,
            found.wording,
            found.mechanism,
            found.evidence,
        )
        clock.advance_to(us(0) + 3 * MINUTE)
        crm.withdraw_consent(ada, "promotion")
        assert "consent" == asking.one(ada).gate


NOT_OPEN = "nothing is open to be confirmed"


def test_an_old_link_confirms_nothing():
    """Not what was never asked for, nor another purpose or address, nor what was withdrawn."""
    other = "ada@home.example"
    with shop(promotion="double_opt_in") as (crm, clock, ada):
        crm.record("account.registered", account="ada", email=other)
        count = rows(crm, "SELECT count(*) FROM crm_interaction")
        with pytest.raises(InputError, match=NOT_OPEN):
            crm.confirm_consent(ada, "promotion", "email", point=ADA.value)
        assert count == rows(crm, "SELECT count(*) FROM crm_interaction")
        crm.request_consent(ada, "news", "email", point=ADA.value)
        for point, purpose in ((ADA.value, "promotion"), (other, "news")):
            with pytest.raises(InputError, match=NOT_OPEN):
                crm.confirm_consent(ada, purpose, "email", point=point)
        crm.withdraw_consent(ada, "news")
        clock.advance_to(us(0) + MINUTE)
        with pytest.raises(InputError, match="nor agreed to it after the no that was said"):
            crm.confirm_consent(ADA, "news", "email")

        crm.request_consent(ada, "news", "email", point=ADA.value)

        crm.confirm_consent(ada, "news", "email", point=ADA.value)

        assert {(ADA.value, "confirmed"), (other, "withdrawn")} == {
            (each.address, each.standing) for each in crm.consents(ada) if each.purpose == "news"
        }


def test_nobody_confirms_who_is_not_known():
    """Neither registers it anybody, nor is anything written."""
    with shop() as (crm, _, _ada):
        with pytest.raises(CustomerNotFoundError):
            crm.confirm_consent(Identifier("email", "eve@example.com"), "news", "email")

        assert [(1,)] == rows(crm, "SELECT count(*) FROM crm_customer")


def test_what_others_with_the_address_withdrew_is_not_confirmed():
    """A guest who said no to it, and an erasure of one of two who share it, close it, too."""
    guest = Identifier("guest_email", ADA.value)
    with shop() as (crm, clock, ada):
        visitor = crm.record("order.placed", identifiers=(guest,), amount="5").customer_id
        for close in (lambda: crm.withdraw_consent(guest, "news"), lambda: crm.erase(visitor)):
            crm.request_consent(ada, "news", "email")
            clock.advance_to(clock.now() + MINUTE)
            close()
            clock.advance_to(clock.now() + MINUTE)
            with pytest.raises(InputError, match=NOT_OPEN):
                crm.confirm_consent(ada, "news", "email")
            clock.advance_to(clock.now() + MINUTE)


def test_no_withdrawal_is_passed(tmp_path):
    """Who confirms while a withdrawal is not yet committed waits for it, and is refused."""
    told = []

    def confirm():
        try:
            told.append(f"confirmed {crm.confirm_consent(ada, 'news', 'email').id}")
        except InputError as error:
            told.append(str(error))

    clock = VirtualClock(us(0))
    with Crm(shop_file(tmp_path), clock=clock) as crm:
        ada = crm.record("account.registered", email=ADA.value).customer_id
        crm.request_consent(ada, "news", "email")
        clock.advance_to(us(0) + MINUTE)
        waits = threading.Thread(target=confirm)
        with crm.begin() as tx:
            tx.withdraw_consent(ada, "news")
            waits.start()
            waits.join(0.3)
            assert waits.is_alive()
        waits.join()

        assert [True] == [each.startswith(NOT_OPEN) for each in told]
        assert "withdrawn" == stands(crm, ada, "news").standing


def test_confirming_again_changes_nothing():
    """By the same key or without one; but what was asked for anew, in other words, is confirmed."""
    with shop() as (crm, clock, ada):
        asked = {"purpose": "news", "channel": "email"}
        crm.request_consent(ada, **asked, wording="newsletter/3")
        first = crm.confirm_consent(ada, **asked, evidence="click", source_key="link/1")
        clock.advance_to(us(0) + MINUTE)
        assert first == crm.confirm_consent(ADA, **asked, evidence="another click")
        crm.request_consent(ada, **asked, wording="newsletter/4")
        anew = crm.confirm_consent(ada, **asked)
        assert "newsletter/4" == stands(crm, ada, "news").wording
        clock.advance_to(us(0) + 2 * MINUTE)
        crm.withdraw_consent(ada, "news")

        assert first == crm.confirm_consent(ada, **asked, source_key="link/1")
        assert "withdrawn" == stands(crm, ada, "news").standing
        assert [(2,)] == rows(
            crm, "SELECT count(*) FROM crm_interaction WHERE kind = 'consent.confirmed'"
        )
        assert first.id < anew.id


def test_a_shop_vouches_for_what_it_records_as_confirmed():
    """Another system asked, so nothing was requested here: the plain fact is recorded."""
    with shop(promotion="double_opt_in") as (crm, _, ada):
        crm.record(
            "consent.confirmed",
            customer=ada,
            payload={"purpose": "promotion", "channel": "email", "wording": "old/1"},
        )

        assert "confirmed" == stands(crm, ada).standing


@pytest.mark.parametrize("basis", ["opt_in", "double_opt_in", "opt_out"])
@pytest.mark.parametrize("effect", ["given", "confirmed"])
def test_of_one_instant_the_no_counts(basis, effect):
    """Whichever was recorded first, and on every basis."""
    for order in (1, -1):
        with shop(promotion=basis) as (crm, _, ada):
            said = [
                (f"consent.{effect}", {"purpose": "promotion", "channel": "email"}),
                ("consent.withdrawn", {"purpose": "promotion"}),
            ]
            for kind, payload in said[::order]:
                crm.record(kind, customer=ada, occurred_at=START, payload=payload)

            assert "consent" == Asking(crm).one(ada).gate
            assert "withdrawn" == stands(crm, ada).standing


def test_consent_as_of_an_instant():
    """Asked of an instant in the past, what was recorded later is not known, though it happened."""
    with shop() as (crm, clock, ada):
        given = crm.give_consent(ada, "promotion", "email")
        clock.advance_to(us(10))
        late = crm.withdraw_consent(ada, occurred_at=START + timedelta(days=1))
        clock.advance_to(us(20))
        again = crm.give_consent(ada, "promotion", "email")

        found = [
            (each.standing, each.interaction_id)
            for days in (0, 9, 10, 19, 20)
            for each in [stands(crm, ada, as_of=START + timedelta(days=days))]
        ]
        assert [
            ("given", given.id),
            ("given", given.id),
            ("withdrawn", late.id),
            ("withdrawn", late.id),
            ("given", again.id),
        ] == found
        assert "none" == stands(crm, ada, as_of=START - timedelta(days=1)).standing


def test_a_merge_keeps_the_no_until_they_agree_again():
    """What one of two agreed to, and the other had refused, does not go after they became one."""
    with shop() as (crm, clock, ada):
        guest = crm.record("order.placed", guest_email=ADA.value, amount="5").customer_id
        refused = crm.withdraw_consent(ada, "promotion")
        clock.advance_to(us(1))
        crm.give_consent(guest, "promotion", "email")
        asking = Asking(crm)
        assert (None, "consent") == (asking.one(guest).gate, asking.one(ada).gate)
        clock.advance_to(us(2))
        merge = crm.merge(guest, ada)
        found = next(e for e in crm.consents(guest) if e.purpose == "promotion")
        assert ("withdrawn", "merged", refused.id) == (
            found.standing,
            found.effect,
            found.interaction_id,
        )
        assert "consent" == asking.one(guest).gate
        clock.advance_to(us(3))
        crm.give_consent(guest, "promotion", "email")
        assert None is asking.one(guest).gate
        crm.unmerge(merge.id)
        assert "consent" == asking.one(ada).gate
        with pytest.raises(MergeError):
            crm.unmerge(merge.id)


# ---------------------------------------------------------------- what others got wrong, and not


def test_leaving_one_list_is_not_leaving_all():
    """A no to promotion by email leaves news, and promotion by telephone, as they were."""
    with shop() as (crm, clock, ada):
        crm.prove(ada, Identifier("phone", "+49301234567"))
        for purpose, channel in (("promotion", "email"), ("news", "email"), ("promotion", "sms")):
            crm.give_consent(ada, purpose, channel)
        clock.advance_to(us(1))
        crm.withdraw_consent(ada, "promotion", "email")
        asking = Asking(crm)

        assert "consent" == asking.one(ada).gate
        assert None is asking.one(ada, "news").gate
        assert None is asking.one(ada, "promotion", SMS).gate
        crm.withdraw_consent(ada)
        assert ["consent", "consent", None] == [
            asking.one(ada, "news").gate,
            asking.one(ada, "promotion", SMS).gate,
            asking.one(ada, "service").gate,
        ]


def test_an_import_widens_nothing():
    """A list from elsewhere counts where nothing was said, and never against a no, late or not."""
    with shop(news="double_opt_in") as (crm, clock, ada):

        def imported(purpose):
            payload = {"purpose": purpose, "channel": "email"}
            crm.record("consent.imported", customer=ada, payload=payload)

        asking = Asking(crm)
        imported("promotion")
        imported("news")
        assert [None, "consent"] == [asking.one(ada).gate, asking.one(ada, "news").gate]
        clock.advance_to(us(1))
        crm.withdraw_consent(ada, "promotion")
        clock.advance_to(us(2))
        imported("promotion")
        assert "consent" == asking.one(ada).gate
        crm.record(
            "consent.refused",
            customer=ada,
            occurred_at=START - timedelta(days=9),
            payload={"purpose": "care"},
        )
        imported("care")
        assert "consent" == asking.one(ada, "care").gate


def test_a_no_goes_for_everybody_with_the_address():
    """Somebody who has the address as a guest is not written to either; and they can come back."""
    with shop(promotion="opt_out") as (crm, clock, ada):
        guest = crm.record("order.placed", guest_email="ADA@example.com", amount="5").customer_id
        asking = Asking(crm)
        assert [None, None] == [asking.one(each).gate for each in (ada, guest)]
        crm.withdraw_consent(guest, "promotion")
        assert ["withdrawn", "consent"] == [asking.one(each).gate for each in (ada, guest)]
        assert [None, None] == [asking.one(each, "service").gate for each in (ada, guest)]
        crm.record(
            "consent.imported", customer=ada, payload={"purpose": "promotion", "channel": "email"}
        )
        assert "withdrawn" == asking.one(ada).gate
        # Of the same instant, the no counts for others, too.
        crm.give_consent(ada, "promotion", "email")
        assert "withdrawn" == asking.one(ada).gate
        clock.advance_to(us(1))
        crm.give_consent(ada, "promotion", "email")
        assert [None, "consent"] == [asking.one(each).gate for each in (ada, guest)]


def test_who_left_can_come_back():
    """However often, and whatever was withdrawn: the latest word counts."""
    with shop() as (crm, clock, ada):
        asking = Asking(crm)
        for day in range(1, 7):
            clock.advance_to(us(day))
            if day % 2:
                crm.give_consent(ada, "promotion", "email")
            else:
                crm.withdraw_consent(ada)
            assert (None if day % 2 else "consent") == asking.one(ada).gate


def test_changed_wording_leaves_old_consent_as_it_was():
    """Consent to another text is another consent: it is told with the text of its own."""
    with shop() as (crm, clock, ada):
        crm.give_consent(ada, "news", "email", wording="newsletter/3")
        clock.advance_to(us(1))
        crm.give_consent(ada, "news", "email", wording="newsletter/4")

        assert "newsletter/4" == stands(crm, ada, "news").wording
        assert "newsletter/3" == stands(crm, ada, "news", as_of=START).wording


def test_a_rebuild_makes_the_same_tables():
    """Consent, brakes and zones are what the ledger tells; what a merge held back stays."""
    with shop() as (crm, clock, ada):
        guest = crm.record("order.placed", guest_email=ADA.value, amount="5").customer_id
        crm.withdraw_consent(ada)
        clock.advance_to(us(1))
        crm.give_consent(guest, "promotion", "email")
        crm.set_brake(ada, "complaint")
        crm.set_zone(guest, "Asia/Tokyo")
        crm.merge(ada, guest)
        tables = {name: f"SELECT * FROM crm_{name} ORDER BY 1, 2, 3" for name in DERIVED}
        before = {name: rows(crm, sql) for name, sql in tables.items()}

        assert [3, 1, 1] == [len(found) for found in before.values()]
        with crm.begin() as tx:
            for name in DERIVED:
                recorded = " WHERE merge_id = 0" if name == "consent" else ""
                tx.connection.sqlalchemy.exec_driver_sql(f"DELETE FROM crm_{name}{recorded}")
        assert ["lifecycles", "consent"] == crm.rebuild()
        assert before == {name: rows(crm, sql) for name, sql in tables.items()}


DERIVED = ("consent", "brake", "zone")
