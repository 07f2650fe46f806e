"""Opens and clicks: nobody's by default, and only of those who allowed it for themselves."""

import re
from email import message_from_bytes, policy

import pytest
from crmcore_email_link import EmailLink
from crmcore_email_link.pages import Pages, Request, wsgi_app
from crmcore_email_link.pages.following import PIXEL
from crmcore_email_link.tracking.callers import Caller
from crmcore_email_link.tracking.counting import Counts
from crmcore_email_link.webhooks import Feedback

from crmcore import Identifier
from crmcore.errors import InputError, PluginError
from crmcore.testing.snapshots import snapshot
from plugins.email_link.tests.serving import ask, wsgi_server
from plugins.email_link.tests.shops import draft as drafted
from plugins.email_link.tests.shops import envelopes, mails, member, plugin, shop
from plugins.email_link.tests.test_sign_ups import pass_time
from tests.support.databases import shop_file

pytestmark = pytest.mark.each_database(partitioned=False)

ADA = Identifier("email", "ada@example.com")
SECOND = 1_000_000
HOUR = 3600 * SECOND
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
APPLE = "Mozilla/5.0"
STRIPPED = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
)
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
TEA, CUPS = "https://shop.example/tea?a=1&copy=2#top", "https://www.shop.example/cups"
ELSEWHERE = "https://elsewhere.example/"
HTML = (
    f"<html><body><p>Hello</p><a href=\"{TEA.replace('&', '&amp;')}\">Tea</a> <a href='{CUPS}'>Cups"
    f'</a> <a href="{ELSEWHERE}">Other</a> <a href="mailto:shop@shop.example">Mail</a> '
    '<a href="tel:+4412345">Call</a> <a href="#top">Up</a></body></html>'
)
TEXT = f"Tea: {TEA}.\nCups ({CUPS})\nOther: {ELSEWHERE}\n"
TOKEN = re.compile(r"(?<=/m/\w/)[\w-]+")
ON = {"tracking": "opens_and_clicks"}


def draft(customer, key="news-1", purpose="news"):
    return drafted(customer, key, purpose, subject="News", text=TEXT, html=HTML)


def allow(crm, who=ADA, **values):
    with crm.begin() as tx:
        return crm.plugin(EmailLink).allow_tracking(tx, who, **{"wording": "tracking/1", **values})


def refuse(crm, who=ADA):
    with crm.begin() as tx:
        crm.plugin(EmailLink).refuse_tracking(tx, who)


def is_allowed(crm, who):
    with crm.begin() as tx:
        return crm.plugin(EmailLink).is_tracking_allowed(tx, who)


def tracked(crm, key="news-1"):
    with crm.begin() as tx:
        return crm.plugin(EmailLink).tracked(tx, key)


def parts(mail):
    """Return the text and the HTML of a mail."""
    return tuple(mail.get_body((kind,)).get_content() for kind in ("plain", "html"))


def wrapped(text):
    """Return the paths of the links that lead on, each once, in their order."""
    return list(dict.fromkeys(re.findall(r"https://shop\.example/m(/l/[\w-]+/[\w-]+)", text)))


def path_in(text, letter):
    """Return the path of the one link of a kind in a mail."""
    return set(re.findall(rf"https://shop\.example/m(/{letter}/[\w-]+)", text)).pop()


def pixel(html):
    return path_in(html, "o")


def sent(crm, name="ada", *, is_allowing=True, purpose="news"):
    """Send news to somebody, an hour passes, and return text and HTML of what they got."""
    known = member(crm, name, "news", "promotion", "service")
    if is_allowing:
        allow(crm, known)
    pass_time(crm, SECOND)
    crm.send(draft(known, purpose=purpose))
    crm.deliver()
    pass_time(crm, HOUR)
    return parts(mails(crm)[-1])


def come(crm, path, *, agent=BROWSER, method="GET", address="", **headers):
    given = {"user-agent": agent, **{n.replace("_", "-"): v for n, v in headers.items()}}
    request = Request(method=method, path=path, headers=given, address=address)
    return Pages(crm).respond(request)


def hits(crm, who=ADA):
    """Return what is on record of opens and clicks, the oldest first: kind, who, why."""
    names = ("email_link.opened", "email_link.clicked")
    found = [each for each in reversed(crm.customer(who).latest) if each.kind in names]
    return [(e.kind.rpartition(".")[2], e.payload.seen_as, e.payload.why) for e in found]


# -- E25 -------------------------------------------------------------------------------------


def test_e25_it_is_off_by_default():
    """Even of who allowed it nothing is put into mails."""
    with shop() as crm:
        text, html = sent(crm)

        assert "off" == crm.plugin(EmailLink).tracking
        assert not wrapped(text + html)
        assert "<img" not in html
        assert "/m/t/" not in text + html
        assert TEA in text


def test_e25_who_did_not_allow_it_gets_the_same_mail_as_in_a_shop_without():
    """But for whose links are in it, though others of the same call are tracked."""
    with shop() as crm:
        sent(crm, is_allowing=False)
        without = parts(mails(crm)[0])
    with shop(plugin(**ON)) as crm:
        known = [member(crm, name) for name in ("ada", "ben")]
        allow(crm, known[1])
        pass_time(crm, SECOND)
        for each in known:
            crm.send(draft(each))
        crm.deliver()
        ada, ben = (parts(mail) for mail in mails(crm))

    assert [TOKEN.sub("", part) for part in without] == [TOKEN.sub("", part) for part in ada]
    assert not wrapped("".join(ada))
    assert wrapped("".join(ben))


def test_e25_what_is_allowed_is_kept_with_its_proof():
    """Wording, language, how, and what proves it, which is personal; a wording there must be."""
    with shop(plugin(**ON)) as crm:
        member(crm)
        found = allow(crm, language="de", mechanism="counter", evidence="192.0.2.7")
        with pytest.raises(InputError, match="no wording"):
            allow(crm, wording="")

        assert "email_link.tracking_allowed" == found.kind
        assert ("tracking/1", "de", "counter", "192.0.2.7") == (
            found.payload.wording,
            found.payload.language,
            found.payload.mechanism,
            found.payload.evidence,
        )
        assert "192.0.2.7" not in found.payload_json


def test_e25_a_no_of_the_same_instant_wins_and_a_later_yes_counts():
    """The last word stands; a no that is told while the clock is set back is as late as the yes."""
    with shop(plugin(**ON)) as crm:
        ada = member(crm)
        never = is_allowed(crm, ada)
        refuse(crm)
        allow(crm)
        same = is_allowed(crm, ada)
        pass_time(crm, SECOND)
        allow(crm)
        later = is_allowed(crm, ada)
        refuse(crm)
        refused = is_allowed(crm, ada)

    assert (False, False, True, False) == (never, same, later, refused)


def test_e25_mails_that_are_owed_are_never_tracked():
    """Tracking is for mail to many; a confirmation holds no pixel and no wrapped link."""
    with shop(plugin(**ON)) as crm:
        text, html = sent(crm, purpose="service")

        assert not wrapped(text + html)
        assert "/m/o/" not in html


def test_e25_a_link_in_each_mail_ends_it_for_mails_already_sent():
    """GET asks, POST ends it; then nothing is recorded, and the links lead on nevertheless."""
    with shop(plugin(**ON)) as crm:
        text, html = sent(crm)
        out = next(re.finditer(r"https://shop\.example/m(/t/[\w-]+)", text))[1]
        pages = Pages(crm)
        asked = pages.respond(Request(method="GET", path=out))
        still = is_allowed(crm, crm.customer(ADA).customer.id)
        come(crm, wrapped(text)[0])
        before = hits(crm)
        ended = [pages.respond(Request(method="POST", path=out)) for _ in range(3)]
        answer, image = come(crm, wrapped(text)[0]), come(crm, pixel(html))
        noes = [e for e in crm.customer(ADA).latest if e.kind == "email_link.tracking_refused"]

        assert f"https://shop.example/m{out}" in html
        assert still
        assert b"<form" in asked.body
        assert {200} == {each.status for each in ended}
        assert 1 == len(noes)
        assert [("clicked", "human", None)] == before == hits(crm)
        assert (302, TEA) == (answer.status, answer.headers["Location"])
        assert (200, PIXEL) == (image.status, image.body)
        assert not is_allowed(crm, crm.customer(ADA).customer.id)


def test_e25_what_the_shop_switched_off_is_not_recorded():
    """Links of mails that went before lead on, though tracking is off again."""
    with shop(plugin(**ON)) as crm:
        text, html = sent(crm)
        crm.plugin(EmailLink).tracking = "off"
        crm.plugin(EmailLink)._made = None
        answer = come(crm, wrapped(text)[0])
        come(crm, pixel(html))

        assert TEA == answer.headers["Location"]
        assert [] == hits(crm)


def test_e25_clicks_alone_have_no_pixel():
    """`clicks` wraps links, and loads no image."""
    with shop(plugin(tracking="clicks")) as crm:
        _, html = sent(crm)

        assert 2 == len(wrapped(html))
        assert "/m/o/" not in html
        assert "/m/t/" in html


def test_e25_a_browser_that_says_no_is_not_recorded():
    """Sec-GPC and DNT are a no, whatever was said before."""
    with shop(plugin(**ON)) as crm:
        text, _ = sent(crm)
        for name in ("sec_gpc", "dnt"):
            assert 302 == come(crm, wrapped(text)[0], **{name: "1"}).status

        assert [] == hits(crm)


def preferences(crm):
    composer, message = crm.plugin(EmailLink).composer, crm.messages()[0]
    return composer.links.of("preferences", message.id, message.planned_at)[22:]


def post(crm, path, body=b""):
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return Pages(crm).respond(Request(method="POST", path=path, headers=headers, body=body))


def test_e25_the_preference_centre_shows_it_and_a_mail_has_to_confirm_it():
    """A tick sends a mail, and only its link allows it: who was forwarded a mail is not they."""
    with shop(plugin(**ON)) as crm:
        sent(crm, is_allowing=False)
        ada, path = crm.customer(ADA).customer.id, f"/{preferences(crm).removeprefix('/')}"
        shown = Pages(crm).respond(Request(method="GET", path=path)).body.decode()
        body = b"save=1&purpose=news&purpose=promotion&purpose=tracking"
        for _ in range(3):
            post(crm, path, body)
        ticked = is_allowed(crm, ada)
        crm.deliver()
        text = mails(crm)[-1].get_content()
        link = next(re.finditer(r"https://shop\.example/m(/c/[\w-]+)", text))[1]
        asked = Pages(crm).respond(Request(method="GET", path=link))
        looked = is_allowed(crm, ada)
        confirmed = post(crm, link)
        allowed = is_allowed(crm, ada)
        found = next(e for e in crm.customer(ADA).latest if e.kind.endswith("tracking_allowed"))
        pass_time(crm, SECOND)
        post(crm, path, b"save=1&purpose=news&purpose=promotion")
        unticked = is_allowed(crm, ada)
        again = post(crm, link)

        assert 'value="tracking">' in shown
        assert 2 == len(mails(crm))
        assert not wrapped(text)
        assert b"<form" in asked.body
        assert (200, 410) == (confirmed.status, again.status)
        assert (False, False, True, False) == (ticked, looked, allowed, unticked)
        assert ("preferences-tracking/1", "double_opt_in") == (
            found.payload.wording,
            found.payload.mechanism,
        )
        assert not is_allowed(crm, ada)


def test_e25_a_shop_without_tracking_does_not_ask_for_it():
    """The box is not there, and a tick that was made up does nothing."""
    with shop() as crm:
        sent(crm, is_allowing=False)
        path = f"/{preferences(crm).removeprefix('/')}"
        shown = Pages(crm).respond(Request(method="GET", path=path)).body.decode()
        post(crm, path, b"save=1&purpose=news&purpose=promotion&purpose=tracking")
        crm.deliver()

        assert "tracking" not in shown
        assert 1 == len(mails(crm))


def test_e25_of_two_who_are_one_the_last_word_counts_and_it_comes_apart_again():
    """A merge makes one person of both; undone, each has their own word."""
    with shop(plugin(**ON)) as crm:
        ada, ben = member(crm), member(crm, "ben")
        allow(crm, ada)
        pass_time(crm, SECOND)
        refuse(crm, ben)
        merge = crm.merge(ada, ben)
        merged = is_allowed(crm, ada)
        crm.unmerge(merge.id)

        assert not merged
        assert (True, False) == (is_allowed(crm, ada), is_allowed(crm, ben))


def test_e25_who_is_forgotten_is_not_tracked_any_more():
    """Links lead on, nothing is recorded, and a rebuild brings nothing back."""
    with shop(plugin(**ON)) as crm:
        text, html = sent(crm)
        ada = crm.customer(ADA).customer.id
        come(crm, wrapped(text)[0])
        crm.erase(ada)
        answer = come(crm, wrapped(text)[0])
        come(crm, pixel(html))
        post(crm, next(re.finditer(r"/m(/t/[\w-]+)", text))[1])
        crm.rebuild("email_link")

        assert TEA == answer.headers["Location"]
        assert not is_allowed(crm, ada)
        assert Counts() == tracked(crm).clicked


# -- E26: links ------------------------------------------------------------------------------


def test_e26_links_to_the_shop_are_wrapped_and_no_others():
    """In HTML and text; not those elsewhere, of mail, phones, anchors, or our own pages."""
    with shop(plugin(**ON)) as crm:
        text, html = sent(crm)
        leads = [[come(crm, p).headers["Location"] for p in wrapped(part)] for part in (text, html)]

        assert [[TEA, CUPS], [TEA, CUPS]] == leads
        assert wrapped(text) == wrapped(html)
        for left in (ELSEWHERE, "mailto:shop@shop.example", "tel:+4412345", '"#top"', "/m/u/"):
            assert left in html
        assert ELSEWHERE in text
        assert text.startswith("Tea: https://shop.example/m/l/")
        assert TEA not in text + html
        header = mails(crm)[0]["List-Unsubscribe"]
        assert "/m/u/" in header
        assert "/m/l/" not in header


def test_e26_a_shops_further_domains_are_wrapped_where_it_says_so():
    """A link elsewhere gets a name of the shop's only if the shop says that it is its own."""
    with shop(plugin(**ON, tracked_domains=["Elsewhere.example"])) as crm:
        text, _ = sent(crm)

        assert ELSEWHERE == come(crm, wrapped(text)[2]).headers["Location"]


def test_e26_a_link_leads_only_where_we_signed_it_to():
    """Changed anywhere, cut, or put together of two, it is answered 404 and leads nowhere."""
    with shop(plugin(**ON)) as crm:
        first, second = wrapped(sent(crm)[0])
        (_, _, one, to), (_, _, _, other) = first.split("/"), second.split("/")
        made_up = [f"/l/{one}/{other}", f"/l/{one}", f"/l/{one}/", f"/l/{one}/{to}=", "/l/", "/l//"]
        for at in range(len(first)):
            if first[at] not in "/":
                made_up.append(first[:at] + ("A" if first[at] != "A" else "B") + first[at + 1 :])
        answers = [come(crm, path) for path in made_up]

        assert {404} == {each.status for each in answers}
        assert not any("Location" in each.headers for each in answers)
        assert [] == hits(crm)
        assert 404 == post(crm, first).status


def test_e26_signed_mail_holds_the_links_for_two_years():
    """What is signed is what is sent; a link leads on for two years, by a key since replaced."""
    with shop(plugin(**ON)) as crm:
        text, _ = sent(crm)
        ring = crm.plugin(EmailLink).composer.links.tokens.ring
        later = crm.runtime.clock.now() + 730 * 24 * HOUR
        crm.plugin(EmailLink).ring = ring.rotated(b"n" * 32, crm.runtime.clock.now())
        crm.plugin(EmailLink)._made = None
        pass_time(crm, later - crm.runtime.clock.now())

        assert TEA == come(crm, wrapped(text)[0]).headers["Location"]


def test_e26_following_over_http_leads_on_without_a_cookie(tmp_path):
    """A redirect that is not cached, with a GET and a HEAD; the image is not cached either."""
    with shop(plugin(**ON), url=shop_file(tmp_path)) as crm:
        text, html = sent(crm)
        with wsgi_server(wsgi_app(Pages(crm))) as port:
            path = wrapped(text)[0]
            got = [ask(port, method, path, User_Agent=BROWSER) for method in ("GET", "HEAD")]
            (status, headers, _) = ask(port, "HEAD", pixel(html))

        for each in got:
            assert (302, TEA, "no-store") == (
                each[0],
                each[1]["location"],
                each[1]["cache-control"],
            )
            assert "set-cookie" not in each[1]
        assert (200, "image/gif", "no-store") == (
            status,
            headers["content-type"],
            headers["cache-control"],
        )


def test_e26_a_click_changes_no_consent_and_no_preference():
    """Beside what was followed itself, nothing in any table is other than before."""
    with shop(plugin(**ON)) as crm:
        text, html = sent(crm)
        before = snapshot(crm).tables
        come(crm, wrapped(text)[0])
        come(crm, pixel(html))
        after = snapshot(crm).tables

        changed = {name for name in after if after[name] != before[name]}
        assert {"crm_interaction", "crm_dedupe", "crm_email_link_hit"} >= changed
        assert changed


# -- E26: machines and humans ----------------------------------------------------------------


def test_e26_a_human_opens_and_follows():
    """A browser, a while after the mail arrived; of who asked nothing else is on record."""
    with shop(plugin(**ON)) as crm:
        text, html = sent(crm)
        come(crm, pixel(html), address="192.0.2.7")
        pass_time(crm, SECOND)
        come(crm, wrapped(text)[0], address="192.0.2.7")
        stored = str(snapshot(crm).tables)
        found = tracked(crm)

        assert [("opened", "human", None), ("clicked", "human", None)] == hits(crm)
        assert "192.0.2.7" not in stored
        assert "Firefox" not in stored
        assert (1, 1) == (found.recipients, found.tracked)
        assert (Counts(human=1), Counts(human=1)) == (found.opened, found.clicked)
        assert {"https://shop.example/tea": Counts(human=1)} == found.links


@pytest.mark.parametrize(
    ("how", "opened", "clicked"),
    [
        ({"method": "HEAD"}, ("machine", "head"), ("machine", "head")),
        ({"agent": APPLE}, ("machine", "privacy"), ("machine", "privacy")),
        ({"agent": STRIPPED}, ("unknown", "proxy"), ("human", None)),
        ({"agent": GMAIL}, ("unknown", "proxy"), ("machine", "proxy")),
        ({"agent": ""}, ("unknown", "nameless"), ("unknown", "nameless")),
        ({"agent": "curl/8.0"}, ("machine", "agent"), ("machine", "agent")),
        ({"sec_purpose": "prefetch;prerender"}, ("machine", "prefetch"), ("machine", "prefetch")),
        ({"address": "198.51.100.9"}, ("machine", "scanner"), ("machine", "scanner")),
        ({"address": "::ffff:198.51.100.9"}, ("machine", "scanner"), ("machine", "scanner")),
        ({"address": "2001:db8::1"}, ("machine", "scanner"), ("machine", "scanner")),
        ({"address": "198.51.101.9"}, ("human", None), ("human", None)),
        ({"x_corp": "gateway"}, ("machine", "scanner"), ("machine", "scanner")),
    ],
)
def test_e26_machines_are_told_from_humans_by_what_they_ask(how, opened, clicked):
    """Apple's protection and Gmail's proxy never open as a human; the shop names its scanners."""
    settings = {
        "scanner_networks": ["198.51.100.0/25", "198.51.100.0/24", "2001:db8::/32"],
        "scanners": lambda caller: caller.headers.get("x-corp") == "gateway",
    }
    with shop(plugin(**ON, **settings)) as crm:
        text, html = sent(crm)
        come(crm, pixel(html), **how)
        pass_time(crm, SECOND)
        come(crm, wrapped(text)[0], **how)

        assert [("opened", *opened), ("clicked", *clicked)] == hits(crm)


def test_e26_who_comes_as_the_mail_arrives_is_a_machine():
    """Within ten seconds nobody has read it; and before a provider says that it arrived."""
    with shop(plugin(**ON)) as crm:
        ada = member(crm)
        allow(crm)
        pass_time(crm, SECOND)
        crm.send(draft(ada))
        crm.deliver()
        path = wrapped(parts(mails(crm)[0])[0])[0]
        pass_time(crm, 9 * SECOND)
        come(crm, path)
        pass_time(crm, SECOND)
        come(crm, path)
        now = tracked(crm).clicked
        pass_time(crm, HOUR)
        crm.record(
            "message.delivered", customer=ada, payload={"message": "news-1"}, source_key="late"
        )
        then = tracked(crm).clicked

        assert [("clicked", "machine", "early"), ("clicked", "human", None)] == hits(crm)
        assert (Counts(human=1), Counts(machine=1)) == (now, then)


def test_e26_a_sweep_is_a_machines_from_its_first_link_on():
    """Who follows all links within seconds is one, though the first looked like a human."""
    with shop(plugin(**ON)) as crm:
        text, html = sent(crm)
        come(crm, wrapped(text)[0])
        first = tracked(crm).clicked
        pass_time(crm, 5 * SECOND)
        come(crm, pixel(html))
        pass_time(crm, 5 * SECOND)
        come(crm, wrapped(text)[1])
        swept = tracked(crm)
        pass_time(crm, HOUR)
        come(crm, wrapped(text)[1])
        later = tracked(crm)

        assert {"human"} == {who for _, who, _ in hits(crm)}
        assert Counts(human=1) == first
        assert (Counts(machine=1), Counts(machine=1)) == (swept.clicked, swept.opened)
        assert Counts(human=1) == later.clicked
        assert {
            "https://shop.example/tea": Counts(machine=1),
            "https://www.shop.example/cups": Counts(human=1),
        } == later.links


def test_e26_repeats_are_bounded():
    """Whoever follows a link for ever adds no more than thirty facts."""
    with shop(plugin(**ON)) as crm:
        text, _ = sent(crm)
        for _ in range(35):
            pass_time(crm, HOUR)
            assert 302 == come(crm, wrapped(text)[0]).status
        pass_time(crm, HOUR)
        come(crm, wrapped(text)[1])
        rows = snapshot(crm).tables["crm_email_link_hit"]

        assert 31 == len(rows)


def test_e26_counts_are_of_recipients_who_allowed_it_when_it_went():
    """Three got it, two allowed it, of whom one refused later: two are tracked."""
    with shop(plugin(**ON)) as crm:
        ada, ben, cleo = (member(crm, name) for name in ("ada", "ben", "cleo"))
        allow(crm, ada)
        allow(crm, ben)
        pass_time(crm, SECOND)
        for each in (ada, ben, cleo):
            crm.send(draft(each))
        crm.deliver()
        pass_time(crm, HOUR)
        for mail in mails(crm)[:2]:
            come(crm, wrapped(parts(mail)[0])[0])
        refuse(crm, ben)
        allow(crm, cleo)
        found = tracked(crm)

        assert (3, 2) == (found.recipients, found.tracked)
        assert Counts(human=2) == found.clicked
        assert Counts() == tracked(crm, "other").clicked


def told(crm, kind, number, **values):
    given = {"provider": "ses", "reference": "r", "raw": "{}", "at": crm.runtime.clock.now()}
    given |= {"event_id": f"e{number}", "kind": kind, "token": envelopes(crm)[0].envid, **values}
    with crm.begin() as tx:
        return crm.plugin(EmailLink).take_feedback(tx, [Feedback(**given)])


def test_e26_what_providers_tell_is_kept_only_of_who_allows_it():
    """Nobody's who did not, none in a shop without tracking; who it was is not known."""
    for settings, is_allowing in (({}, True), (ON, False)):
        with shop(plugin(**settings)) as crm:
            sent(crm, is_allowing=is_allowing)
            told(crm, "opened", 1)
            told(crm, "clicked", 2)
            assert [] == hits(crm)
    with shop(plugin(**ON)) as crm:
        sent(crm)
        for number in (1, 1, 2):
            told(crm, "clicked", number)
        told(crm, "opened", 3)
        refuse(crm)
        told(crm, "opened", 4)

        assert [
            ("clicked", "unknown", "provider"),
            ("clicked", "unknown", "provider"),
            ("opened", "unknown", "provider"),
        ] == hits(crm)


def test_e26_a_network_that_is_none_is_refused_at_the_start():
    """It says which, and what is expected."""
    with pytest.raises(PluginError, match="'office' among scanner_networks"):
        shop(plugin(**ON, scanner_networks=["office"]))


def test_e26_a_link_leads_on_while_nothing_can_be_recorded():
    """A shop's own function that fails keeps nobody from where they want to go."""

    def broken(caller: Caller) -> bool:
        raise InputError("it is broken")

    with shop(plugin(**ON, scanners=broken)) as crm:
        text, _ = sent(crm)

        assert TEA == come(crm, wrapped(text)[0]).headers["Location"]
        assert [] == hits(crm)


def test_e25_mails_with_pixel_and_links_are_whole():
    """The way out of mail stands in it, every part ends as it should, and no line is too long."""
    with shop(plugin(**ON)) as crm:
        _, html = sent(crm)
        raw = envelopes(crm)[0].raw
        again = message_from_bytes(raw, policy=policy.default)

        assert html.rstrip().endswith("</body></html>")
        assert 1 == html.count("/m/o/")
        assert max(map(len, raw.split(b"\r\n"))) <= 998
        assert not again.defects
