"""A restored database: ids are given again, and what went before is about nobody it names now."""

from typing import Any

import pytest
from crmcore_email_link import EmailLink
from crmcore_email_link.outbox import Outbox
from crmcore_email_link.pages import Pages, Request
from crmcore_email_link.tokens import Key, KeyRing

from crmcore import Accepted, Content, Crm, Deferred, VirtualClock
from plugins.email_link.tests.shops import (
    DAY,
    RING,
    START,
    draft,
    envelopes,
    mails,
    member,
    plugin,
    shop,
)
from plugins.email_link.tests.test_feedback import event, report, take, told

HOUR = DAY // 24


def clock_of(crm: Crm) -> Any:
    """Return the clock of a shop, which can be moved on."""
    return crm.runtime.clock


def went(at, name):
    """Return a shop from a backup in which the first message went to somebody, and its mail."""
    crm = shop(clock=VirtualClock(at))
    for other in ("ada", "ben"):
        member(crm, other)
    who = member(crm, name)
    crm.send(draft(who))
    crm.deliver()
    return crm, envelopes(crm)[0], mails(crm)[0]


@pytest.mark.parametrize("later", [HOUR, 25 * HOUR + 1])
def test_1_5_what_went_before_a_restore_is_about_nobody_now(later):
    """Neither its links, nor a mail to leave, nor a bounce of it, touches who has its id now."""
    lost, old, mail = went(START, "ada")
    links = lost.plugin(EmailLink).composer.links
    (before,) = lost.messages()
    urls = links.variables(before.id, before.planned_at).values()
    lost.close()
    crm, new, _ = went(START + later, "ben")
    with crm:
        (after,) = crm.messages()
        assert before.id == after.id
        pages = Pages(crm)
        paths = [url.partition("/m")[2] for url in urls]
        found = {
            pages.respond(Request(method=how, path=path)).status
            for path in paths
            for how in ("GET", "POST")
        }
        box = mail["List-Unsubscribe"].partition("mailto:")[2].rstrip(">")
        farewell = f"To: <{box}>\r\n\r\n".encode()
        within = f"Message-ID: {mail['Message-ID']}\r\nFrom: shop@shop.example\r\n\r\nHello\r\n"
        came = [take(crm, raw) for raw in (farewell, report(old.mail_from, within=within))]
        came += told(crm, event(old, "hard"), event(old, "complaint", 2))
        planned = crm.send(draft(after.customer_id, "next"))

        assert {404} == found
        assert [None, None] == came
        assert "planned" == planned.state
        assert take(crm, report(new.mail_from)).what == "hard"


def test_1_5_yesterdays_mail_is_not_sent_after_a_restore():
    """What has a last instant is withheld then, however often the backup is put back."""
    with shop() as crm:
        who = member(crm)
        crm.broadcast(
            "news-1",
            [who],
            purpose="news",
            channel="email",
            content=Content(subject="News", text="Today only."),
            not_after=crm.runtime.clock.now() + DAY,
        )
        clock_of(crm).advance_to(START + 3 * DAY)
        crm.deliver()
        (message,) = crm.messages()

        assert "withheld" == message.state
        assert [] == envelopes(crm)


def test_e6_the_message_id_survives_a_new_key():
    """An attempt after the key changed has the name, and the return path, of the one before."""

    class Busy(Outbox):
        def send(self, envelopes):
            super().send(envelopes)
            is_first = len(self.envelopes) == 1
            later = Deferred("come again", 2 * DAY / 1_000_000)
            return [later if is_first else Accepted() for _ in envelopes]

    ring = KeyRing([*RING.keys, Key(b"n" * 32, since=START + DAY)])
    with shop(plugin(carrier=Busy(), ring=ring)) as crm:
        crm.send(draft(member(crm)))
        crm.deliver()
        clock_of(crm).advance_to(START + 2 * DAY)
        crm.deliver()
        first, second = mails(crm)
        paths = [each.mail_from for each in envelopes(crm)]

        assert first["Message-ID"] == second["Message-ID"]
        assert {"hard"} == {take(crm, report(path)).what for path in paths}
