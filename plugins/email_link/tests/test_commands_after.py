"""`crm email status`, `reconcile` and `doctor`: what became of mails, and of those to come."""

import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from crmcore_email_link import EmailLink
from crmcore_email_link.outbox import Outbox

from crmcore import Accepted, Content, Deferred, Failed, Unknown
from plugins.email_link.tests.commanding import Desk, pem
from plugins.email_link.tests.shops import DAY, START, draft, envelopes, member, plugin, shop
from plugins.email_link.tests.test_feedback import complaint, report
from tests.support.databases import shop_file

EACH = pytest.mark.each_database(partitioned=False)


class Mixed(Outbox):
    """An outbox that answers by the recipient's name."""

    def send(self, envelopes):
        super().send(envelopes)
        return [self.outcome(each.rcpt_to) for each in envelopes]

    def outcome(self, to):
        if to.startswith("busy"):
            return Deferred("mx.example.com answered 451 4.7.1 slow down (to RCPT)")
        if to.startswith("gone"):
            return Failed("mx.example.com answered 550 5.1.1 no such user", undeliverable=True)
        if to.startswith("lost"):
            return Unknown("the line broke after the dot")
        return Accepted("ref")


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path, shop_file(tmp_path))


@contextmanager
def told(desk, *names):
    """Give the shop when a broadcast to these went, and the envelopes by name."""
    with shop(plugin(carrier=Mixed()), url=desk.url) as crm:
        for name in names:
            member(crm, name)
        said = Content(subject="What is new", text="A new thing.")
        crm.broadcast("news-11", "everyone", purpose="news", channel="email", content=said)
        crm.send(draft(member(crm, "zoe", "news"), "parcel/1", "service"))
        crm.deliver()
        yield crm, {each.rcpt_to.partition("@")[0]: each for each in envelopes(crm)}


def take(crm, raw):
    with crm.begin() as tx:
        return crm.plugin(EmailLink).take_mail(tx, raw)


# -- status --------------------------------------------------------------------------------------


@EACH
def test_e20_status_is_counted_from_rows(desk):
    """States add up to the audience; bounces, complaints and those who left are told apart."""
    names = ["ada", "ben", "cleo", "dan", "busy", "gone", "lost"]
    with told(desk, *names) as (crm, sent):
        take(crm, report(sent["ben"].mail_from, "ben@example.com"))
        take(crm, report(sent["dan"].mail_from, "dan@example.com", "5.7.1", "550 5.7.1 blocked"))
        take(crm, complaint(sent["ada"].raw.decode()))
        token = crm.plugin(EmailLink).composer.links
        cleo = next(each for each in crm.messages(key="news-11") if each.customer_id == 3)
        url = token.of("unsubscribe", cleo.id, cleo.planned_at)
        with crm.begin() as tx:
            assert crm.plugin(EmailLink).unsubscribe(tx, url.rpartition("/")[2])
    found = desk.json("status", "--days", "0")

    (news,) = found["broadcasts"]
    assert {"accepted": 4, "deferred": 1, "failed": 1, "unknown": 1} == news["states"]
    assert (7, "news-11", "news") == (news["audience"], news["key"], news["purpose"])
    assert [1, 0, 1, 1, 1] == [
        news[each] for each in ("hard", "soft", "blocked", "complained", "unsubscribed")
    ]
    (single,) = found["single"]
    assert ({"accepted": 1}, "service", None) == (
        single["states"],
        single["purpose"],
        single["key"],
    )
    # Of 5 that were taken 4 arrived, and somebody complained of one.
    assert (0.25, "too high") == (
        found["latest"]["complaint_rate"],
        found["latest"]["complaints"],
    )


@EACH
def test_e18_status_says_where_mail_is_stuck(desk):
    """By domain and state, with the reason that most have; nobody's address is shown."""
    with told(desk, "busy1", "busy2", "gone", "lost"):
        pass
    found = desk.json("status")["troubles"]

    assert [("example.com", "deferred", 2), ("example.com", "failed", 1)] == [
        (each["domain"], each["state"], each["count"]) for each in found[:2]
    ]
    assert "451 4.7.1 slow down" in found[0]["reason"]
    assert "busy" not in json.dumps(found)


def test_e13_rates_stand_beside_what_receivers_bear(tmp_path, monkeypatch):
    """Below 0.1 % is as they want, from 0.3 % on nothing is taken; the terminal says so."""
    from crmcore_email_link.figures import Line

    def verdict(complained, accepted=10_000):
        line = Line("k", "", "news", complained=complained)
        line.states["accepted"] = accepted
        return line.verdict

    assert ["good", "good", "high", "high", "too high"] == [
        verdict(each) for each in (0, 9, 10, 29, 30)
    ]
    assert "none" == verdict(0, 0)


@EACH
def test_e20_status_is_told_in_the_terminal(desk):
    """All broadcasts in a table; one by its key in full, with the gates that withheld."""
    with told(desk, "ada", "gone") as (crm, sent):
        take(crm, complaint(sent["ada"].raw.decode()))
        crm.record("account.registered", email="new@example.com")
        crm.runtime.clock.advance_to(START + DAY)
        said = Content(subject="More", text="More.")
        crm.broadcast("news-12", "everyone", purpose="news", channel="email", content=said)
    told_all = " ".join(desk.email("status", "--days", "0").split())

    assert "2 mails were taken" in told_all
    assert "Gmail and Yahoo take no more mail from 0.3 % on" in told_all
    assert "550 5.1.1 no such user" in told_all
    assert told_all.index("news-12") < told_all.index("news-11")
    one = " ".join(desk.email("status", "news-12").split())
    assert "news-12 was planned for 4 customers, for news." in one
    assert "consent 2" in one or "consent 1" in one
    assert "PARCEL" not in one.upper()
    single = " ".join(desk.email("status", "parcel/1").split())
    assert "service 1 1" in single
    assert "no mail has the key 'news-13' (did you mean 'news-1" in desk.email(
        "status", "news-13", ends=2
    )


def test_e20_status_of_nothing(desk):
    """Before the first mail it says that there is none."""
    assert "None." in desk.email("status")
    assert [] == desk.json("status")["broadcasts"]


# -- reconcile -----------------------------------------------------------------------------------


@EACH
def test_e16_reconcile_says_what_was_done_with_the_unknown(desk):
    """All fits together; of those whose fate nobody knows the policy is told."""
    with told(desk, "ada", "lost"):
        pass
    said = " ".join(desk.email("reconcile").split())

    assert "All of it fits together." in said
    assert "of 1 mail for news nobody knows whether they were taken; they are left" in said


@EACH
def test_e16_reconcile_finds_what_was_taken_twice_and_what_is_about_no_mail(desk):
    """Each names its message; a difference ends with 1, in JSON, too."""
    with told(desk, "ada") as (crm, _):
        crm.record(
            "message.bounced",
            customer=1,
            channel="email",
            source="email_link:mail",
            source_key="x",
            payload={"message": "never-sent", "bounce": "soft"},
        )
        with crm.begin() as tx:
            from sqlalchemy import text

            number = crm.messages(key="news-11")[0].id
            columns = "message_id, attempt, customer_id, idempotency_key, handed_at, outcome"
            tx.connection.change(
                text(
                    f"INSERT INTO crm_attempt ({columns}) VALUES ({number}, 0, 1, 'k', 1, "
                    "'accepted')"
                )
            )
    found = desk.json("reconcile", ends=1)["differences"]

    assert {"twice", "stranger"} == {each["sort"] for each in found}
    assert any("'news-11'" in each["sentence"] for each in found)
    said = " ".join(desk.email("reconcile", ends=1).split())
    assert "2 things do not fit:" in said
    assert "message.bounced is on record of 'never-sent', which was never a mail" in said


def test_e16_a_provider_names_what_it_takes(tmp_path, monkeypatch):
    """Mails that it took without a name are told, as it could not tell of them by it."""
    monkeypatch.chdir(tmp_path)
    desk = Desk(tmp_path)

    class Nameless(Outbox):
        def send(self, envelopes):
            return [Accepted() for _ in envelopes]

    with shop(plugin(carrier=Nameless()), url=desk.url) as crm:
        crm.send(draft(member(crm)))
        crm.deliver()
    (tmp_path / "credential").write_text("token")
    desk.email("reconcile")
    desk.set(transport="postmark", credential_file="credential")

    (found,) = desk.json("reconcile", ends=1)["differences"]
    assert "reference" == found["sort"]


# -- doctor --------------------------------------------------------------------------------------


def records(signer, **changes):
    name, key = signer.record if signer is not None else ("s1._domainkey.shop.example", "none")
    found = {
        "shop.example": {"MX": ["10 mx.shop.example"], "TXT": ["v=spf1 ip4:192.0.2.1 -all"]},
        "mx.shop.example": {"A": ["192.0.2.1"]},
        "1.2.0.192.in-addr.arpa": {"PTR": ["mx.shop.example."]},
        "_dmarc.shop.example": {"TXT": ["v=DMARC1; p=none; rua=mailto:d@shop.example"]},
        name: {"TXT": [key]},
    }
    Path("dns.json").write_text(json.dumps({**found, **changes}))
    return "--records", "dns.json", "--address", "192.0.2.1"


@pytest.fixture
def signing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    desk = Desk(tmp_path)
    (tmp_path / "key.pem").write_bytes(pem())
    desk.set(dkim_selector="s1", dkim_key_file="key.pem", tls="verified")
    made = EmailLink(
        sender="shop@shop.example",
        base_url="https://shop.example/m/",
        secret_file="secret",
        dkim_selector="s1",
        dkim_key_file="key.pem",
        carrier=Outbox(),
    )
    return desk, made.composer.signer


def test_e13_the_doctor_looks_at_all_that_big_receivers_ask(signing):
    """SPF, DKIM, DMARC, alignment, names, TLS, one click: each passes, and it ends with 0."""
    desk, signer = signing
    found = desk.json("doctor", "shop.example", *records(signer))["checks"]
    status = {each["name"]: each["status"] for each in found}

    assert {"complaints": "unknown", "tls": "unknown", "bimi": "unknown"} == {
        name: each for name, each in status.items() if each != "pass"
    }
    assert {
        "spf",
        "dkim s1",
        "dkim key",
        "dmarc",
        "alignment dkim",
        "alignment spf",
        "reverse dns 192.0.2.1",
        "sending by tls",
        "one click",
    } <= set(status)
    said = desk.email("doctor", "shop.example", *records(signer))
    assert "Nothing is known that keeps mail from being taken." in " ".join(said.split())


@pytest.mark.parametrize(
    ("changes", "settings", "name", "cure"),
    [
        ({"_dmarc.shop.example": {}}, {}, "dmarc", "Publish a TXT record at _dmarc.shop.example"),
        ({"1.2.0.192.in-addr.arpa": {}}, {}, "reverse dns 192.0.2.1", "name it"),
        ({"s1._domainkey.shop.example": {"TXT": ["p=AAAA"]}}, {}, "dkim key", "v=DKIM1; k=rsa; p="),
        ({}, {"tls": "offered"}, "sending by tls", "Set tls to 'verified'"),
        ({}, {"postal_address": ""}, "one click", "Set what is missing"),
    ],
)
def test_e13_what_fails_says_what_to_set(signing, changes, settings, name, cure):
    """And it ends with 1."""
    desk, signer = signing
    usual = {"dkim_selector": "s1", "dkim_key_file": "key.pem", "tls": "verified"}
    desk.set(**{**usual, **settings})
    words = ("doctor", "shop.example", *records(signer, **changes))
    (found,) = [each for each in desk.json(*words, ends=1)["checks"] if each["name"] == name]

    assert "fail" == found["status"]
    assert cure in found["cure"]
    assert "to mend before mail goes to many." in " ".join(desk.email(*words, ends=1).split())


def test_e13_the_key_to_publish_can_be_copied(signing):
    """It stands on one line, however narrow the terminal is."""
    desk, signer = signing
    changes: Any = {"s1._domainkey.shop.example": {}}

    assert signer.record[1] in desk.email(
        "doctor", "shop.example", *records(signer, **changes), ends=1
    )


def test_e13_complaints_are_those_of_the_shop(tmp_path, monkeypatch):
    """One of two is far beyond what is borne."""
    from crmcore_email_link.checkup import check_shop

    with told(Desk(tmp_path), "ada", "ben") as (crm, sent):
        take(crm, complaint(sent["ada"].raw.decode()))
        checks = list(check_shop(crm, crm.plugin(EmailLink), lambda name, kind: ()))
    (found,) = [each for each in checks if each.name == "complaints"]

    assert ("fail", True) == (found.status, found.found.startswith("33.33%"))


def test_e13_without_a_shop_the_dns_is_looked_at(tmp_path, monkeypatch):
    """A domain can be looked at before there is a shop; a note says what was not."""
    monkeypatch.chdir(tmp_path)
    words = ("doctor", "shop.example", *records(None))
    (tmp_path / "elsewhere").mkdir()
    desk = Desk(tmp_path / "elsewhere")
    found = desk.json(*words)

    assert "there is no crm.toml" in found["note"]
    assert "unknown" == next(e["status"] for e in found["checks"] if e["name"] == "dkim")
    assert "1024" not in json.dumps(found)
    found = desk.json(*words, "--selector", "s1", ends=1)
    assert "fail" == next(e["status"] for e in found["checks"] if e["name"] == "dkim s1")


def test_e13_a_shop_that_cannot_start_does_not_hide_the_dns(signing):
    """What is missing is noted; so is a domain that the shop does not write from."""
    desk, signer = signing
    desk.set(sender=None)
    found = desk.json("doctor", "shop.example", *records(signer))

    assert "the setting sender of email_link is missing" in found["note"]
    assert not any(each["name"] == "one click" for each in found["checks"])
    desk.set()
    found = desk.json("doctor", "other.example", *records(signer), ends=1)
    assert "the shop writes from shop.example" in found["note"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no domain"], "'no domain' is no domain that mail is sent from"),
        (["shop.example", "--records", "none.json"], "cannot be read"),
        (["shop.example", "--records", "bad.json"], "'shop.example' in 'bad.json' is not right"),
        (["shop.example", "--records", "dns.json", "--address", "x"], "'x' is no address"),
    ],
)
def test_e13_the_doctor_says_what_was_asked_wrongly(signing, words, said):
    """In a sentence, with exit code 2."""
    desk, signer = signing
    records(signer)
    Path("bad.json").write_text('{"shop.example": {"TXT": "v=spf1"}}')

    assert said in desk.email("doctor", *words, ends=2)


# -- all of them ---------------------------------------------------------------------------------


def test_listing_the_commands_imports_neither_database_nor_templates():
    """`crm --help` and `crm email --help` are quick, as what a command needs it imports itself."""
    import subprocess
    import sys

    heavy = ("sqlalchemy", "jinja2", "css_inline", "cryptography", "email_validator")
    for words in (["--help"], ["email", "--help"], ["email", "lint", "--help"]):
        script = (
            "import sys\n"
            "from crmcore.cli import crm\n"
            f"try: crm({words!r})\n"
            "except SystemExit as end: assert not end.code, end.code\n"
            f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

        assert "[]\n" == done.stderr, words
