"""Identity: schemes, who decides, limits, shared devices, guests, proof and proposals."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import pytest
from attrs import define
from typing_extensions import override

from crmcore import Crm, Draft, Identifier, IdentitySettings, Plugin, Scheme, hookimpl, normalise
from crmcore.domain.identity import SCHEMES
from crmcore.errors import (
    ConfigurationError,
    IdentifierError,
    InputError,
    NotFoundError,
    PluginError,
)
from crmcore.persistence.connection import Connection
from crmcore.services.identities import matches
from tests.support.making import rows
from tests.support.merging import database_of


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    with database_of(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def crm(url):
    with Crm(url, durable=False) as made:
        yield made


def named(**schemes: str) -> tuple[Identifier, ...]:
    """Return identifiers in the order in which they are written."""
    return tuple(normalise(scheme, value) for scheme, value in schemes.items())


def seen(crm: Crm, **schemes: str) -> int:
    """Record something of whoever these identifiers name, and return whose it is."""
    return crm.record(Draft("account.registered", identifiers=named(**schemes))).customer_id


def proposed(crm: Crm) -> list[tuple[Any, ...]]:
    return [(m.customer, m.other, m.status, dict(m.evidence)) for m in crm.duplicates()]


class TestSchemes:
    @pytest.mark.parametrize(
        ("scheme", "written", "stored"),
        [
            ("email", " Ada@Example.COM ", "ada@example.com"),
            ("email", "ada@bücher.example", "ada@xn--bcher-kva.example"),
            ("email", "ada@BÜCHER.example.", "ada@xn--bcher-kva.example"),
            ("guest_email", "Ada@Example.com", "ada@example.com"),
            ("phone", "+49 (30) 123-456", "+4930123456"),
            ("guest_phone", "+49 30 123456", "+4930123456"),
            ("handle", "@Ada", "ada"),
            ("handle", "A\u0308da", "\u00e4da"),
            ("account", " 00042 ", "00042"),
            ("card", "tok_4111", "tok_4111"),
            ("card", "4111 1111 1111 1112", "4111 1111 1111 1112"),  # no check digit of a card
            ("cookie", "Ab1", "Ab1"),
        ],
    )
    def test_normalised(self, scheme, written, stored):
        """A value is stored in its scheme's own form."""
        assert stored == normalise(scheme, written).value

    @pytest.mark.parametrize(
        ("scheme", "written"),
        [
            ("email", "a@b@c"),
            ("email", "a b@c.d"),
            ("email", "@c.d"),
            ("email", "a@"),
            ("email", "a@b..d"),
            ("email", "a"),
            ("email", "a\x00@b.d"),
            ("phone", "030 123456"),
            ("handle", "@"),
            ("account", "  "),
            ("card", "4111111111111111"),
            ("card", "4111-1111-1111-1111"),
            ("card", "5500 0000 0000 0004"),
        ],
    )
    def test_refused(self, scheme, written):
        """What is not of the scheme is refused; a card's own number is not even repeated."""
        with pytest.raises(IdentifierError) as caught:
            normalise(scheme, written)

        assert scheme != "card" or written not in str(caught.value)

    def test_card_number_in_an_identifier(self, crm):
        """A card's number is refused as well where an identifier was made by hand."""
        with pytest.raises(IdentifierError, match="token"):
            crm.record(Draft("order.placed", identifiers=(Identifier("card", "4111111111111111"),)))

    @pytest.mark.parametrize("value", ["0", "000-000", "-1", "NULL", "None", "nan", "undefined"])
    def test_blocked(self, crm, value):
        """Values that name nobody are left out; if none is left, the draft is refused."""
        known = seen(crm, email="ada@example.com")
        assert known == seen(crm, account=value, email="ada@example.com")
        assert 1 == rows(crm, "SELECT count(*) FROM crm_identifier")[0][0]
        with pytest.raises(InputError, match=f"account:{value} is blocked"):
            seen(crm, account=value)
        assert [(2,)] == rows(crm, "SELECT count(*) FROM crm_interaction")

    @pytest.mark.parametrize("mail", ["test@example.com", "noreply@shop.example", "null@null.com"])
    def test_blocked_mailboxes(self, crm, mail):
        """So are mailboxes that are everybody's."""
        with pytest.raises(InputError, match="is blocked"):
            seen(crm, email=mail)

    def test_blocked_by_configuration(self, tmp_path):
        """A shop blocks its own addresses in crm.toml."""
        config = tmp_path / "crm.toml"
        config.write_text('[identity]\nblocked = ["email:Info@shop.example"]\n')
        with Crm.from_config(config) as crm, pytest.raises(InputError, match=r"info@shop\.example"):
            seen(crm, email="info@shop.example")

    @pytest.mark.parametrize(
        ("setting", "sentence"),
        [
            ('merge_on = ["acount"]', "did you mean 'account'"),
            ("limits = { email = 0 }", "1 or more"),
            ('blocked = ["info@shop.example"]', "scheme:value"),
            ("block = []", "did you mean 'blocked'"),
        ],
    )
    def test_settings_that_are_not_right(self, tmp_path, setting, sentence):
        """A setting that is not right stops the start, with the nearest right one."""
        config = tmp_path / "crm.toml"
        config.write_text(f"[identity]\n{setting}\n")
        with pytest.raises(ConfigurationError, match=sentence):
            Crm.from_config(config)

    def test_unknown_scheme(self, crm):
        """An identifier of no scheme is refused with the nearest one."""
        with pytest.raises(IdentifierError, match="did you mean 'email'"):
            crm.record(Draft("order.placed", identifiers=(Identifier("emial", "a@b.c"),)))


@define(eq=False)
class Loyalty(Plugin):
    """Brings the numbers of a loyalty programme."""

    name = "loyalty"
    scheme: str = "loyalty"

    @hookimpl
    @override
    def register_identifiers(self) -> Iterable[Scheme]:
        return [Scheme(self.scheme, normalise=lambda v: v.replace(" ", "").upper(), rank=15)]


class TestPluginSchemes:
    def test_contributed(self):
        """A plugin's scheme is normalised and ranked like those of the core."""
        with Crm("sqlite://", plugins=[Loyalty()]) as crm:
            card, mail = Identifier("loyalty", "ab 12"), Identifier("email", "ada@example.com")
            first = crm.record(Draft("order.placed", identifiers=(card,))).customer_id
            second = crm.record(Draft("order.placed", identifiers=(mail,))).customer_id
            both = crm.record(Draft("order.placed", identifiers=(mail, card))).customer_id

            assert first == both != second
            assert first == crm.customer(Identifier("loyalty", "AB12")).customer.id
            assert Identifier("loyalty", "AB12") == crm.identifier("loyalty", "ab 12")

    def test_clash(self):
        """Two of one name are reported at start, with whose they are."""
        with pytest.raises(PluginError, match="'email', which the core registers"):
            Crm("sqlite://", plugins=[Loyalty(scheme="email")])


class TestWhoDecides:
    def test_rank_not_order(self, crm):
        """Of several known identifiers the best-ranked decides, whatever order they came in."""
        names = {"account": "7", "email": "a@b.example", "handle": "ada", "cookie": "c1"}
        owners = {scheme: seen(crm, **{scheme: value}) for scheme, value in names.items()}
        assert 4 == len(set(owners.values()))

        for best in ("account", "email", "handle"):
            rest = dict(reversed(names.items()))
            assert owners[best] == seen(crm, **rest)
            del names[best]

    def test_ordered_online_then_called(self, crm):
        """Who orders with a phone number and calls later is one customer."""
        order = crm.record("order.placed", email="ada@example.com", phone="+49 30 123456")
        call = crm.record("call.ended", phone="+4930123456", payload={"direction": "in"})

        assert order.customer_id == call.customer_id

    def test_a_tie_is_proposed(self, crm):
        """Identifiers of two known customers: the best decides, and the pair is proposed."""
        ada, bob = seen(crm, account="1"), seen(crm, email="b@b.example")
        for _ in range(2):
            assert ada == seen(crm, email="b@b.example", account="1")

        assert [(ada, bob, "open", {"account+email": 2})] == proposed(crm)
        assert bob == crm.find_customer(Identifier("email", "b@b.example"))
        ((evidence,),) = rows(crm, "SELECT evidence FROM crm_match")
        assert "b.example" not in evidence
        assert "account and email of the two were named together 2 times" == (
            crm.duplicates()[0].words
        )

    def test_batches_change_nothing(self, url):
        """The same drafts give the same customers one by one and at once."""
        drafts = [
            Draft("account.registered", identifiers=named(**names), source_key=f"{n}")
            for n, names in enumerate(
                [
                    {"cookie": "d"},
                    {"cookie": "d", "email": "a@b.example"},
                    {"cookie": "d", "email": "c@b.example"},
                    {"account": "1", "email": "a@b.example"},
                    {"account": "2", "email": "a@b.example"},
                    {"account": "2", "handle": "x", "cookie": "d"},
                    {"account": "3", "handle": "x"},
                    {"handle": "y"},
                ]
            )
        ]
        query = "SELECT source_key, customer_id FROM crm_interaction ORDER BY source_key"
        with Crm(url, durable=False) as crm:
            crm.record_many(drafts)
            at_once, ties = dict(rows(crm, query)), proposed(crm)
        with Crm("sqlite://") as crm:
            for each in drafts:
                crm.record(each)

            assert dict(rows(crm, query)) == renumbered(at_once)
            assert [t[2:] for t in proposed(crm)] == [t[2:] for t in ties]


def renumbered(owners: dict[str, int]) -> dict[str, int]:
    """Return owners with ids from 1 on, in the order of their ids: sequences leave gaps."""
    place = {owner: n for n, owner in enumerate(sorted(set(owners.values())), start=1)}
    return {key: place[owner] for key, owner in owners.items()}


class TestLimits:
    def test_second_account(self, crm):
        """A second account is a sign of somebody else, who may be the same: it is proposed."""
        ada = seen(crm, account="1", email="a@b.example")
        other = seen(crm, account="2", email="a@b.example")

        assert ada != other
        assert other == seen(crm, account="2")
        assert ada == seen(crm, email="a@b.example")
        assert [(ada, other, "open", {"account+email": 1})] == proposed(crm)

    def test_configured(self, url):
        """A limit of a lower scheme leaves the interaction where it belongs."""
        settings = IdentitySettings(limits={"email": 1, "account": 2})
        with Crm(url, durable=False, identity=settings) as crm:
            ada = seen(crm, account="1", email="a@b.example")
            assert ada == seen(crm, account="2", email="a@b.example")
            assert ada == seen(crm, account="1", email="c@b.example")
            other = crm.find_customer(Identifier("email", "c@b.example"))

            assert other not in (None, ada)
            assert [(ada, other, "open", {"account+email": 1})] == proposed(crm)


class TestSharedDevice:
    def test_never_ties(self, crm):
        """A device ties nobody: neither two who are known, nor somebody new to who used it."""
        ada = seen(crm, cookie="d1", email="ada@example.com")
        bob = seen(crm, cookie="d2", email="bob@example.com")

        assert bob == seen(crm, cookie="d1", email="bob@example.com")
        cy = seen(crm, cookie="d1", email="cy@example.com")
        assert cy not in (ada, bob)
        assert ada == seen(crm, cookie="d1")
        assert [] == proposed(crm)

    def test_visits_before_the_name(self, crm):
        """Who was only a device is who gives a name on it first."""
        visitor = seen(crm, cookie="d1")

        assert visitor == seen(crm, cookie="d1", email="ada@example.com")
        assert visitor == seen(crm, email="ada@example.com")


class TestPolicy:
    def test_agreed(self, url):
        """Who is tied by trusted schemes alone is merged by policy; others wait."""
        settings = IdentitySettings(merge_on=["account", "email"])
        with Crm(url, durable=False, identity=settings) as crm:
            ada, bob = seen(crm, account="1"), seen(crm, email="b@b.example")
            cy = seen(crm, handle="cy")
            seen(crm, account="1", email="b@b.example")
            seen(crm, account="1", handle="cy")
            assert ["agreed", "open"] == [m.status for m in crm.duplicates()]
            (done,) = crm.merge_agreed(actor="worker")

            assert (ada, bob) == (done.survivor, done.merged)
            assert [(ada, cy, "open", {"account+handle": 1})] == proposed(crm)
            assert [] == crm.merge_agreed()
            crm.unmerge(done.id)
            seen(crm, account="1", email="b@b.example")
            # A person has undone it, so policy does not do it again.
            assert [] == crm.merge_agreed()
            assert ["open", "open"] == [m.status for m in crm.duplicates()]

    def test_not_beyond_a_limit(self, url):
        """Two with an account each are never one by policy."""
        settings = IdentitySettings(merge_on=["account", "email"])
        with Crm(url, durable=False, identity=settings) as crm:
            seen(crm, account="1", email="a@b.example")
            seen(crm, account="2", email="a@b.example")

            assert ["open"] == [m.status for m in crm.duplicates()]
            assert [] == crm.merge_agreed()

    def test_rejected(self, crm):
        """What was rejected is not proposed again, whatever names both."""
        ada, bob = seen(crm, account="1"), seen(crm, email="b@b.example")
        seen(crm, account="1", email="b@b.example")
        assert 1 == crm.reject_duplicate(bob, ada)
        seen(crm, account="1", email="b@b.example")

        assert [] == crm.duplicates()
        with pytest.raises(NotFoundError, match="nothing proposes"):
            crm.reject_duplicate(ada, bob)


class TestGuests:
    def test_apart_until_proved(self, crm):
        """Orders of a guest are one guest's, and nobody's who only has the same address."""
        guest = crm.record("order.placed", guest_email="G@x.example", source_key="1").customer_id
        assert guest == crm.record("order.placed", guest_email="g@x.example").customer_id
        other = crm.record("order.placed", email="g@x.example", source_key="2").customer_id

        assert guest != other
        assert [] == proposed(crm)

    def test_proof_joins(self, crm):
        """Proof gives the address to the customer, and what the guest of it had ordered."""
        guest = crm.record("order.placed", guest_email="g@x.example").customer_id
        ada = seen(crm, account="1")
        proven = crm.prove(ada, Identifier("email", "g@x.example"), reason="clicked the link")

        assert proven.added
        assert proven.merge is not None
        assert (ada, guest, "clicked the link") == (
            proven.merge.survivor,
            proven.merge.merged,
            proven.merge.reason,
        )
        assert ada == crm.find_customer(Identifier("email", "g@x.example"))
        assert ada == crm.record("order.placed", guest_email="g@x.example").customer_id
        again = crm.prove(ada, Identifier("email", "g@x.example"))
        assert (False, None, None) == (again.added, again.merge, again.proposed)

    def test_proof_of_somebody_elses(self, crm):
        """An address that is somebody's already is proposed, not taken away."""
        bob, ada = seen(crm, email="b@x.example"), seen(crm, account="1")
        proven = crm.prove(ada, Identifier("email", "b@x.example"))

        assert (False, None, bob) == (proven.added, proven.merge, proven.proposed)
        assert bob == crm.find_customer(Identifier("email", "b@x.example"))
        assert [(bob, ada, "open", {"email": 1})] == proposed(crm)

    def test_no_guest(self, crm):
        """Who gave the address as a guest and is known otherwise is proposed, not merged."""
        bob = seen(crm, account="2", guest_email="g@x.example")
        ada = seen(crm, account="1")
        proven = crm.prove(ada, Identifier("email", "g@x.example"))

        assert (True, None, bob) == (proven.added, proven.merge, proven.proposed)

    def test_what_cannot_be_proved(self, crm):
        """A guest's scheme is no proof, and a blocked value is nobody's."""
        ada = seen(crm, account="1")
        with pytest.raises(InputError, match="prove email instead"):
            crm.prove(ada, Identifier("guest_email", "g@x.example"))
        with pytest.raises(InputError, match="is blocked"):
            crm.prove(ada, Identifier("email", "test@x.example"))


def test_registering_at_once(tmp_path):
    """Transactions that register the same new address at once end with one customer."""
    errors: list[BaseException] = []
    with database_of("postgresql", tmp_path) as url, Crm(url, durable=False) as crm:
        for number in range(10):
            ready = threading.Barrier(4)

            def register(number: int = number, ready: threading.Barrier = ready) -> None:
                try:
                    ready.wait()
                    crm.record("order.placed", email=f"c{number}@x.example")
                except BaseException as error:
                    errors.append(error)

            threads = [threading.Thread(target=register) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        assert [] == errors
        found = rows(crm, "SELECT count(DISTINCT customer_id), count(*) FROM crm_interaction")
        assert [(10, 40)] == found
        assert [(10,)] == rows(crm, "SELECT count(*) FROM crm_customer")


def test_rejecting_while_they_are_recorded(tmp_path, monkeypatch):
    """A no that comes while something names both waits for it, and is not overwritten."""
    settings = IdentitySettings(merge_on=["account", "email"])
    rejecting: list[threading.Thread] = []
    shops: list[Crm] = []
    execute = Connection.execute

    def slowly(self: Connection, statement: Any, **values: Any) -> Any:
        found = execute(self, statement, **values)
        if statement is matches._find and not rejecting:  # read, and not written yet
            rejecting.append(threading.Thread(target=lambda: shops[0].reject_duplicate(1, 2)))
            rejecting[0].start()
            rejecting[0].join(0.5)
        return found

    with (
        database_of("postgresql", tmp_path) as url,
        Crm(url, durable=False, identity=settings) as crm,
    ):
        shops.append(crm)
        seen(crm, account="1"), seen(crm, handle="bob")
        seen(crm, account="1", handle="bob")
        seen(crm, handle="bob", email="b@b.example")
        assert [(1, 2, "open", {"account+handle": 1})] == proposed(crm)
        monkeypatch.setattr(Connection, "execute", slowly)
        seen(crm, account="1", email="b@b.example")
        rejecting[0].join()

        assert [("rejected",)] == rows(crm, "SELECT status FROM crm_match")
        assert [] == crm.merge_agreed()


def test_rejecting_while_they_are_merged(tmp_path):
    """A no that comes while the two are merged waits, and is refused: they are one by then."""
    errors: list[Exception] = []
    with database_of("postgresql", tmp_path) as url, Crm(url, durable=False) as crm:
        ada, bob = seen(crm, account="1"), seen(crm, handle="bob")
        seen(crm, account="1", handle="bob")

        def reject() -> None:
            try:
                crm.reject_duplicate(ada, bob)
            except NotFoundError as error:
                errors.append(error)

        thread = threading.Thread(target=reject)
        with crm.begin() as tx:
            tx.merge(ada, bob)
            thread.start()
            thread.join(0.5)
        thread.join()

        assert 1 == len(errors)
        assert [("merged",)] == rows(crm, "SELECT status FROM crm_match")


def test_an_unmerge_while_a_name_is_looked_up(tmp_path):
    """Who relates somebody by an identifier means whose it is once the locks are had."""
    with database_of("postgresql", tmp_path) as url, Crm(url, durable=False) as crm:
        for each in ("ada", "bob", "cy"):
            seen(crm, handle=each)
        done = crm.merge(1, 2)
        bob = Identifier("handle", "bob")

        def relate() -> None:
            with crm.begin() as tx:
                tx.relate(bob, "child_of", 3)

        thread = threading.Thread(target=relate)
        with crm.begin() as tx:
            tx.unmerge(done.id)
            thread.start()
            thread.join(0.5)
        thread.join()

        assert [(2, 3)] == rows(crm, "SELECT customer_id, other_id FROM crm_relation")


def test_every_scheme_is_a_keyword():
    """What `record` takes by name are the core's schemes, each of them."""
    with Crm("sqlite://") as crm:
        values = {"email": "a@b.example", "phone": "+4930123456"}
        values |= {"guest_email": "a@b.example", "guest_phone": "+4930123456"}
        for scheme in SCHEMES:
            fields: Any = {scheme: values.get(scheme, "x1")}
            found = crm.record("order.placed", **fields)
            named = crm.customer(found.customer_id).customer.identifiers
            assert [scheme] == [each.scheme for each in named]
