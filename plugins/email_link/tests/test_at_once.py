"""At once: several ask the same, or somebody is merged or erased while a mail is on its way."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from crmcore_email_link import EmailLink
from crmcore_email_link.outbox import Outbox
from crmcore_email_link.pages import Pages, Request

from crmcore import Identifier
from crmcore.errors import CustomerNotFoundError
from crmcore.testing.snapshots import snapshot
from plugins.email_link.tests.shops import draft, envelopes, mails, member, plugin, shop
from plugins.email_link.tests.test_feedback import report, take
from plugins.email_link.tests.test_pages import news, paths
from plugins.email_link.tests.test_sign_ups import STRICT, confirmed, link, signed_up, standing
from tests.support.databases import shop_file

pytestmark = pytest.mark.each_database(partitioned=False)
ADA = Identifier("email", "ada@example.com")
AT_ONCE = 8


def together(*works):
    """Do these in as many threads, which begin at the same time, and return what each returned."""
    gate = threading.Barrier(len(works))

    def run(work):
        gate.wait()
        return work()

    with ThreadPoolExecutor(len(works)) as threads:
        return list(threads.map(run, works))


def posts(crm, path):
    """Return what posts to a page, and returns the status."""
    pages = Pages(crm)
    return lambda: pages.respond(Request(method="POST", path=path)).status


def facts(crm, kind, who=ADA):
    return [each for each in crm.customer(who).latest if each.kind == kind]


def test_e3_confirmed_by_eight_at_once_it_is_confirmed_once(tmp_path):
    """A scanner, the customer, and the customer's impatience: one confirmation, one person."""
    with shop(url=shop_file(tmp_path), gate=STRICT) as crm:
        signed_up(crm)
        crm.deliver()
        path = paths(mails(crm)[0])["c"]

        assert [200] * AT_ONCE == together(*[posts(crm, path)] * AT_ONCE)
        assert 1 == len(facts(crm, "consent.confirmed"))
        guest = crm.find_customer(Identifier("guest_email", "ada@example.com"))
        assert guest in (None, crm.find_customer(ADA))


def test_e10_left_by_eight_at_once_it_is_left_once(tmp_path):
    """Each is answered with 200, and it is on record once."""
    with shop(url=shop_file(tmp_path)) as crm:
        path = news(crm)["u"]

        assert [200] * AT_ONCE == together(*[posts(crm, path)] * AT_ONCE)
        assert 1 == len(facts(crm, "consent.withdrawn"))


def test_e1_an_order_told_by_eight_at_once_is_captured_once(tmp_path):
    """One address, one consent, one customer."""
    with shop(url=shop_file(tmp_path)) as crm:

        def capture():
            def order(tx):
                bases = {"promotion": "soft_opt_in"}
                own = crm.plugin(EmailLink)
                return own.capture(
                    tx,
                    "1042",
                    "ada@example.com",
                    bases=cast("Any", bases),
                    notice_version="checkout/3",
                )

            return crm.run_transaction(order).id

        assert 1 == len(set(together(*[capture] * AT_ONCE)))
        guest = Identifier("guest_email", "ada@example.com")
        assert 1 == len(facts(crm, "consent.imported", guest))


def test_e12_confirmed_and_refused_at_once_one_of_them_stands(tmp_path):
    """In whatever order: a no after the yes stands, and a yes after the no is void."""
    for _ in range(3):
        with shop(url=shop_file(tmp_path, f"shop{_}"), gate=STRICT) as crm:
            signed_up(crm)
            crm.deliver()
            found = paths(mails(crm)[0])
            yes, no = together(posts(crm, found["c"]), posts(crm, found["u"]))

            assert 200 == no
            assert yes in (200, 410)
            assert "withdrawn" == standing(crm)


def test_what_is_planned_for_who_is_erased_does_not_go():
    """Between planning and handing over: nothing is handed over, and nothing of them is left."""
    with shop() as crm:
        crm.send(draft(member(crm)))
        certificate = crm.erase(ADA)
        crm.deliver()

        assert [] == envelopes(crm)
        assert certificate.verified_at is not None


def test_what_is_on_its_way_to_who_is_erased_leaves_nothing_behind(tmp_path):
    """While the server has it: it may have got it, and no table holds the address after that."""

    class Slow(Outbox):
        def send(self, envelopes):
            certificates.append(crm.erase(ADA))
            return super().send(envelopes)

    certificates: list[Any] = []
    with shop(plugin(carrier=Slow()), url=shop_file(tmp_path)) as crm:
        who = member(crm)
        crm.send(draft(who))
        crm.deliver()
        (envelope,) = envelopes(crm)
        (message,) = crm.messages()
        again = crm.erase(who)

        assert "accepted" == message.state
        assert again.verified_at is not None
        assert again.id == certificates[0].id
        take(crm, report(envelope.mail_from))
        assert "ada@example.com" not in str(snapshot(crm).tables)
        with pytest.raises(CustomerNotFoundError):
            crm.customer(ADA)


def test_who_is_erased_while_they_use_the_pages_stays_erased(tmp_path):
    """Leaving, choosing and looking at the same time: pages, no errors, and nothing afterwards."""
    with shop(url=shop_file(tmp_path)) as crm:
        found = news(crm)
        form = {"content-type": "application/x-www-form-urlencoded"}
        pages = Pages(crm)

        def choose():
            body = b"save=1&purpose=survey&purpose=care"
            asked = Request(method="POST", path=found["p"], headers=form, body=body)
            return pages.respond(asked).status

        def look():
            return pages.respond(Request(method="GET", path=found["w"])).status

        who = crm.find_customer(ADA)
        assert who is not None
        ada = who

        def forget():
            crm.erase(ada)
            return 200

        done = together(posts(crm, found["u"]), choose, look, choose, forget, look)
        crm.deliver()
        again = [posts(crm, found["u"])(), choose(), look()]
        with crm.begin() as tx:
            rows = tx.connection.execute(crm.plugin(EmailLink).tables[0].table.select())

        assert set(done) <= {200, 404}
        assert set(again) <= {200, 404}
        assert [] == [row for row in rows if row[0] == who]
        assert [] == [mail for mail in mails(crm) if "confirm" in str(mail["Subject"])]


@pytest.mark.parametrize("first", ["guest", "known"])
def test_e3_who_turns_out_to_be_known_confirms_all_the_same(first):
    """The guest who signed up is merged into a customer, or the other way round, before."""
    with shop(gate=STRICT) as crm:
        known = crm.record("account.registered", account="ada").customer_id
        signed_up(crm)
        crm.deliver()
        guest = crm.find_customer(Identifier("guest_email", "ada@example.com"))
        pair = (guest, known) if first == "guest" else (known, guest)
        crm.merge(*pair)
        state = confirmed(crm, link(mails(crm)[0], "c"))

        assert "confirmed" == state
        assert "confirmed" == standing(crm)
        assert pair[0] == crm.find_customer(ADA)


def test_1_5_two_who_are_one_get_a_campaign_once():
    """Each had it planned; when they are merged it goes to one address."""
    with shop() as crm:
        ada, ben = member(crm), member(crm, "ben")
        for who in (ada, ben):
            crm.send(draft(who))
        crm.merge(ada, ben)
        crm.deliver()
        crm.deliver(put_off=True)

        assert 1 == len(envelopes(crm))


def test_e10_who_looks_at_a_page_waits_for_no_order(tmp_path):
    """While somebody else writes, all pages are shown; they only read."""
    with shop(url=shop_file(tmp_path)) as crm:
        found, pages = news(crm), Pages(crm)
        url = str(crm.runtime.database.engine.url.render_as_string(False))
        with shop(url=url) as other, other.begin() as tx:
            tx.record("account.registered", account="ben", email="ben@example.com")
            seen = {
                where: pages.respond(Request(method="GET", path=path)).status
                for where, path in found.items()
            }

    assert {"u": 200, "p": 200, "w": 200, "a": 404, "t": 200} == seen
