"""Capture and double opt-in: what an address may be used for, and who decides that."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from crmcore_email_link import EmailLink
from crmcore_email_link.sign_ups import SignedUp
from crmcore_email_link.upkeep import forget_unconfirmed

from crmcore import GateSettings, Identifier
from crmcore.errors import IdentifierError, InputError
from plugins.email_link.tests.shops import DAY, draft, mails, member, plugin, shop
from tests.support.databases import shop_file

pytestmark = pytest.mark.each_database(partitioned=False)
STRICT = GateSettings(basis={"news": "double_opt_in"})
MINUTE = 60_000_000


def captured(crm, order="1042", address="Ada.L@Example.COM", **values):
    with crm.begin() as tx:
        values = {"bases": {"promotion": "soft_opt_in"}, "notice_version": "checkout/3", **values}
        return crm.plugin(EmailLink).capture(tx, order, address, **values)


def signed_up(crm, address="ada@example.com", purpose="news", **values):
    with crm.begin() as tx:
        return crm.plugin(EmailLink).sign_up(tx, address, purpose, wording="footer/3", **values)


def confirmed(crm, token):
    with crm.begin() as tx:
        return crm.plugin(EmailLink).confirm(tx, token).state


def link(mail, letter):
    """Return the token of a link in a mail's text."""
    base = f"https://shop.example/m/{letter}/"
    return mail.get_content().partition(base)[2].split()[0]


def standing(crm, address="ada@example.com", purpose="news"):
    for scheme in ("email", "guest_email"):
        who = Identifier(scheme, address)
        if crm.find_customer(who) is not None:
            (found,) = [c for c in crm.consents(who) if c.purpose == purpose]
            return found.standing
    return None


def pass_time(crm, microseconds):
    crm.runtime.clock.advance_to(crm.runtime.clock.now() + microseconds)
    crm.run_due()


def test_e1_capture_is_once_for_each_order():
    """The first stands, whatever is told of the order later; the address is kept as given."""
    with shop() as crm:
        first = captured(crm)
        again = captured(crm)
        other = captured(crm, address="eve@example.com")

        assert first.id == again.id == other.id
        assert "Ada.L@Example.COM" == first.payload.address
        assert crm.find_customer(Identifier("guest_email", "ada.l@example.com")) is not None
        assert crm.find_customer(Identifier("guest_email", "eve@example.com")) is None
        consents = [e for e in crm.customer(first.customer_id).latest if "consent" in e.kind]
        assert 1 == len(consents)


def test_e1_capture_is_rolled_back_with_its_order():
    """It is in the shop's transaction: no order, no address."""
    with shop() as crm:

        def order(tx):
            crm.plugin(EmailLink).capture(tx, "1042", "ada@example.com", bases={})
            raise RuntimeError

        with pytest.raises(RuntimeError):
            crm.run_transaction(order)
        assert crm.find_customer(Identifier("guest_email", "ada@example.com")) is None


def test_e1_what_is_no_address_is_refused():
    """Nothing is recorded of it."""
    with shop() as crm, pytest.raises(IdentifierError):
        captured(crm, address="ada@@example")


def test_e2_a_soft_opt_in_lets_its_purpose_go_and_says_by_which_notice():
    """Promotion goes, with the notice's version on record; news does not."""
    with shop() as crm:
        who = captured(crm, address="ada@example.com", locale="de").customer_id
        states = {p: crm.send(draft(who, p, p)).state for p in ("promotion", "news", "service")}
        (given,) = [c for c in crm.consents(who) if c.effect is not None]

    assert {"promotion": "planned", "news": "withheld", "service": "planned"} == states
    assert ("soft_opt_in", "checkout/3", "de") == (given.mechanism, given.wording, given.language)


def test_e2_a_soft_opt_in_never_lifts_a_no():
    """Who unsubscribed and orders again stays unsubscribed; consent given anew counts."""
    with shop() as crm:
        who = captured(crm, address="ada@example.com").customer_id
        crm.withdraw_consent(who, "promotion", "email")
        captured(crm, "1043", "ada@example.com")
        before = crm.send(draft(who, "a", "promotion")).state
        pass_time(crm, MINUTE)
        captured(crm, "1044", "ada@example.com", bases={"promotion": "consent"})
        after = crm.send(draft(who, "b", "promotion")).state

    assert ("withheld", "planned") == (before, after)


@pytest.mark.parametrize(
    ("bases", "notice"),
    [
        ({"promotion": "contract"}, "checkout/3"),
        ({"service": "consent"}, "checkout/3"),
        ({"promotion": "soft"}, "checkout/3"),
        ({"promotions": "consent"}, "checkout/3"),
        ({"promotion": "consent"}, None),
    ],
)
def test_e2_the_basis_is_explicit(bases, notice):
    """A basis that does not fit its purpose, or has no text that was seen, is refused whole."""
    with shop() as crm:
        with pytest.raises(InputError):
            captured(crm, address="ada@example.com", bases=bases, notice_version=notice)
        assert crm.find_customer(Identifier("guest_email", "ada@example.com")) is None


def test_e3_nothing_goes_until_the_address_confirms():
    """Pending, then confirmed by the token of the mail; the wording is kept as proof."""
    with shop(gate=STRICT) as crm:
        signed_up(crm, evidence="192.0.2.7")
        crm.deliver()
        (mail,) = mails(crm)
        who = crm.find_customer(Identifier("guest_email", "ada@example.com"))
        before = crm.send(draft(who, "a")).state
        states = [confirmed(crm, link(mail, "c")) for _ in range(2)]
        known = crm.find_customer(Identifier("email", "ada@example.com"))
        assert known is not None
        after = crm.send(draft(known, "b")).state
        (consent,) = [c for c in crm.consents(known) if c.purpose == "news"]

    assert ("withheld", "planned") == (before, after)
    assert ["confirmed", "confirmed"] == states
    assert ("confirmed", "footer/3") == (consent.standing, consent.wording)


def test_e3_the_mail_that_asks_is_a_service_mail_in_their_language():
    """No headers of mails to many, no promotion: the link, who asks, and how to refuse."""
    with shop(gate=STRICT) as crm:
        signed_up(crm, language="de")
        crm.deliver()
        (mail,) = mails(crm)

    assert "Bitte bestätigen Sie Ihre Adresse" == mail["Subject"]
    assert mail["List-Unsubscribe"] is None
    assert "The Shop" in mail.get_content()
    assert "http" in mail.get_content()
    assert mail.get_content_type() == "text/plain"


def test_e3_a_link_that_is_not_for_it_confirms_nothing():
    """Another purpose's token, a forged one, and one of another shop are void."""
    with shop(gate=STRICT) as crm:
        signed_up(crm)
        crm.deliver()
        (mail,) = mails(crm)
        token = link(mail, "c")
        wrong = [link(mail, "u"), token[:-1] + "A" * (token[-1] != "A"), "", "x" * 26, token + "="]

        assert ["void"] * 5 == [confirmed(crm, each) for each in wrong]
        assert "requested" == standing(crm)


def test_e3_what_nobody_confirms_expires_after_seven_days():
    """By a timer, on record; the link is void then, and who asked is forgotten."""
    with shop(gate=STRICT) as crm:
        signed_up(crm, source="192.0.2.7")
        crm.deliver()
        (mail,) = mails(crm)
        pass_time(crm, 7 * DAY - MINUTE)
        before = standing(crm)
        pass_time(crm, 2 * MINUTE)
        who = crm.find_customer(Identifier("guest_email", "ada@example.com"))

        assert ("requested", "withdrawn") == (before, standing(crm))
        assert "void" == confirmed(crm, link(mail, "c"))
        assert who is not None
        assert "consent.expired" in {each.kind for each in crm.customer(who).latest}
        with crm.begin() as tx:
            rows = tx.connection.execute(crm.plugin(EmailLink).tables[0].table.select())
        assert [] == rows


def test_e3_who_never_confirmed_is_purged():
    """Of whom nothing else is known is forgotten; who ordered, or confirmed, is kept."""
    with shop(gate=STRICT) as crm:
        member(crm, "known", "promotion")
        for name in ("ada", "known", "ben"):
            signed_up(crm, f"{name}@example.com")
        crm.deliver()
        (mail,) = [each for each in mails(crm) if each["To"] == "ben@example.com"]
        confirmed(crm, link(mail, "c"))
        pass_time(crm, 8 * DAY)
        counts = forget_unconfirmed(crm), forget_unconfirmed(crm)

        assert (1, 0) == counts
        assert crm.find_customer(Identifier("guest_email", "ada@example.com")) is None
        assert crm.find_customer(Identifier("email", "known@example.com")) is not None
        assert "confirmed" == standing(crm, "ben@example.com")


def test_e3_who_refused_is_purged_and_stays_refused():
    """The address goes as well; by its hash a later import does not reach it."""
    with shop(gate=STRICT) as crm:
        signed_up(crm)
        crm.deliver()
        with crm.begin() as tx:
            crm.plugin(EmailLink).unsubscribe(tx, link(mails(crm)[0], "u"))
        pass_time(crm, 8 * DAY)
        count = forget_unconfirmed(crm)
        who = crm.record("account.registered", account="ada", email="ada@example.com").customer_id
        crm.record(
            "consent.imported", customer=who, payload={"purpose": "news", "channel": "email"}
        )

        assert 1 == count
        assert crm.find_customer(Identifier("guest_email", "ada@example.com")) is None
        assert "withheld" == crm.send(draft(who)).state


def test_e3_who_orders_while_others_are_forgotten_is_kept(monkeypatch):
    """Each is looked at again just before: the second one ordered while the first one went."""
    with shop(gate=STRICT) as crm:
        for name in ("ada", "ben"):
            signed_up(crm, f"{name}@example.com")
        pass_time(crm, 8 * DAY)
        erase = crm.erase

        def slowly(who, **values):
            erase(who, **values)
            crm.record("order.placed", guest_email="ben@example.com", amount="5", source_key="1")

        monkeypatch.setattr(crm, "erase", slowly)
        count = forget_unconfirmed(crm)

        assert 1 == count
        assert crm.find_customer(Identifier("guest_email", "ben@example.com")) is not None


def test_e3_what_was_confirmed_does_not_expire():
    """The timer leaves it alone."""
    with shop(gate=STRICT) as crm:
        signed_up(crm)
        crm.deliver()
        confirmed(crm, link(mails(crm)[0], "c"))
        pass_time(crm, 8 * DAY)

        assert "confirmed" == standing(crm)


def test_e3_who_let_it_expire_may_ask_anew():
    """The second link works, though the first one expired."""
    with shop(gate=STRICT) as crm:
        signed_up(crm)
        crm.deliver()
        pass_time(crm, 8 * DAY)
        signed_up(crm)
        crm.deliver()

        assert "confirmed" == confirmed(crm, link(mails(crm)[1], "c"))
        assert "confirmed" == standing(crm)


def test_e4_the_answer_is_the_same_for_any_address():
    """Known, unknown, confirmed, unsubscribed and withheld: nobody learns which."""
    with shop(gate=STRICT) as crm:
        member(crm, "known")
        member(crm, "gone")
        crm.withdraw_consent(Identifier("email", "gone@example.com"))
        crm.withhold(Identifier("email", "blocked@example.com"))
        member(crm, "blocked")
        answers = {
            name: signed_up(crm, f"{name}@example.com")
            for name in ("known", "gone", "blocked", "new")
        }
        crm.deliver()
        found = {mail["To"].partition("@")[0] for mail in mails(crm)}

    for name, answer in answers.items():
        assert SignedUp(address=f"{name}@example.com", purpose="news") == answer
    assert {"known", "gone", "new"} == found


def test_e4_who_confirmed_is_never_lowered_nor_mailed():
    """Signing up again changes nothing and sends nothing; expiry does not come for it."""
    with shop(gate=STRICT) as crm:
        signed_up(crm)
        crm.deliver()
        confirmed(crm, link(mails(crm)[0], "c"))
        pass_time(crm, DAY)
        signed_up(crm)
        crm.deliver()
        pass_time(crm, 8 * DAY)

        assert 1 == len(mails(crm))
        assert "confirmed" == standing(crm)


def test_e4_who_unsubscribed_starts_anew_and_it_works():
    """They are asked to confirm again, and get mail once they did."""
    with shop(gate=STRICT) as crm:
        signed_up(crm)
        crm.deliver()
        confirmed(crm, link(mails(crm)[0], "c"))
        pass_time(crm, DAY)
        crm.withdraw_consent(Identifier("email", "ada@example.com"), "news", "email")
        old = confirmed(crm, link(mails(crm)[0], "c"))
        pass_time(crm, DAY)
        signed_up(crm)
        crm.deliver()
        new = confirmed(crm, link(mails(crm)[1], "c"))

        assert ("void", "confirmed") == (old, new)
        assert "planned" == crm.send(draft(Identifier("email", "ada@example.com"), "x")).state


def test_e5_an_address_is_asked_once_in_a_while():
    """However often, by whomever, for whatever purpose; after the pause a mail goes again."""
    with shop() as crm:
        for number in range(20):
            signed_up(crm, purpose=("news", "survey")[number % 2], source=f"192.0.2.{number}")
        crm.deliver()
        first = len(mails(crm))
        pass_time(crm, 16 * MINUTE)
        signed_up(crm)
        crm.deliver()

    assert (1, 2) == (first, len(mails(crm)))


@pytest.mark.parametrize(
    ("limit", "addresses", "source"),
    [
        ("sign_ups_per_domain", [f"a{n}@one.example.com" for n in range(6)], None),
        ("sign_ups_per_source", [f"a@d{n}.example.com" for n in range(6)], "192.0.2.7"),
        ("sign_ups_in_all", [f"a@d{n}.example.com" for n in range(6)], None),
    ],
)
def test_e5_a_domain_a_source_and_the_whole_shop_have_limits(limit, addresses, source):
    """Beyond them nothing is recorded and nobody is mailed; an hour later it goes on."""
    with shop(plugin(**{limit: 3})) as crm:
        for address in addresses:
            signed_up(crm, address, source=source)
        crm.deliver()
        first = len(mails(crm))
        pass_time(crm, 61 * MINUTE)
        signed_up(crm, addresses[-1], source=source)
        crm.deliver()

    assert (3, 4) == (first, len(mails(crm)))


def test_e5_the_limits_are_in_the_database():
    """Another process, which has none of this one's memory, keeps them all the same."""
    with shop() as crm:
        signed_up(crm)
        other = plugin()
        with crm.begin() as tx:
            other.sign_up(tx, "ada@example.com", "news", wording="footer/3")
        crm.deliver()

    assert 1 == len(mails(crm))


def test_e5_who_ask_at_once_for_one_address_get_one_mail(tmp_path):
    """Eight at the same time, for an address that nobody or somebody has: one mail each."""
    with shop(url=shop_file(tmp_path)) as crm:
        member(crm, "known")
        addresses = ["known@example.com", "new@example.com"]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda address: signed_up(crm, address), addresses * 4))
        crm.deliver()
        found = sorted(mail["To"] for mail in mails(crm))

    assert addresses == found
