"""The pages over real HTTP: one click leaves, a GET changes nothing."""

import re

import pytest
from crmcore_email_link import EmailLink
from crmcore_email_link.pages import Pages, Request, asgi_app, wsgi_app
from crmcore_email_link.templates import MailTemplate
from hypothesis import given
from hypothesis import strategies as st

from crmcore import Content, Identifier
from crmcore.testing.snapshots import snapshot
from plugins.email_link.tests.serving import asgi_server, ask, wsgi_server
from plugins.email_link.tests.shops import DAY, draft, mails, member, plugin, shop
from plugins.email_link.tests.test_sign_ups import (
    STRICT,
    captured,
    link,
    pass_time,
    signed_up,
    standing,
)
from tests.support.databases import shop_file

ADA = Identifier("email", "ada@example.com")
ONE_CLICK = b"List-Unsubscribe=One-Click"
FORM = "application/x-www-form-urlencoded"
PART = 'Content-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click'
MULTIPART = f"--=b\r\n{PART}\r\n--=b--\r\n".encode()
SERVERS = pytest.mark.parametrize(
    ("serve", "mount"), [(wsgi_server, wsgi_app), (asgi_server, asgi_app)], ids=["wsgi", "asgi"]
)


def paths(mail):
    """Return the paths of all links of ours in a mail, its headers among them, by letter."""
    found = re.findall(r"https://shop\.example/m(/\w/[\w-]+)", mail.as_string())
    return {path[1]: path for path in found}


def news(crm):
    """Send news to Ada, and return the paths of the links in it."""
    crm.send(draft(member(crm)))
    crm.deliver()
    composer, message = crm.plugin(EmailLink).composer, crm.messages()[0]
    links = composer.links.variables(message.id, message.planned_at)
    return {url.partition("/m")[2][1]: url.partition("/m")[2] for url in links.values()}


@SERVERS
@pytest.mark.parametrize(
    ("kind", "body"),
    [(FORM, ONE_CLICK), ("multipart/form-data; boundary==b", MULTIPART)],
    ids=["form", "multipart"],
)
def test_e10_one_click_leaves_without_a_redirect_or_a_cookie(serve, mount, kind, body, tmp_path):
    """As mail programs post it (RFC 8058): 2xx, at once, in either form; again it is the same."""
    with shop(url=shop_file(tmp_path)) as crm:
        path = news(crm)["u"]
        with serve(mount(Pages(crm))) as port:
            answers = [ask(port, "POST", path, body, Content_Type=kind) for _ in range(3)]
        planned = crm.send(draft(ADA, "news-2"))
        facts = [e.kind for e in crm.customer(ADA).latest if e.kind == "consent.withdrawn"]

    for status, headers, _ in answers:
        assert 200 == status
        assert not {"location", "set-cookie", "refresh"} & headers.keys()
    assert ("withheld", "consent") == (planned.state, planned.gate)
    assert 1 == len(facts)


@SERVERS
def test_e10_a_get_changes_nothing_and_shows_a_form(serve, mount, tmp_path):
    """A scanner that follows every link of two mails, with GET and HEAD, leaves no trace."""
    with shop(url=shop_file(tmp_path)) as crm:
        found = list(news(crm).values())
        signed_up(crm, "ben@example.com")
        crm.deliver()
        found += paths(mails(crm)[0]).values()
        found += paths(mails(crm)[1]).values()
        before = snapshot(crm).tables
        with serve(mount(Pages(crm))) as port:
            answers = [ask(port, m, path) for path in found for m in ("GET", "HEAD") * 2]
            (_, _, shown) = ask(port, "GET", found[0])

        assert before == snapshot(crm).tables
    assert {"u", "p", "a", "w", "c", "t"} == {path[1] for path in found}
    assert {200, 404} >= {status for status, _, _ in answers}
    assert '<form method="post">' in shown
    assert "<script" not in shown


def test_e10_what_is_posted_does_not_matter():
    """A body mangled on its way is still the wish to leave."""
    for body in (b"", b"\xff\xfe", b"x" * 60_000):
        with shop() as crm:
            path = news(crm)["u"]
            answer = Pages(crm).respond(Request(method="POST", path=path, body=body))

            assert 200 == answer.status
            assert "withdrawn" == standing(crm)


def test_e10_who_agreed_anew_can_leave_by_an_old_mail():
    """The token outlives the message, and works as often as it is needed."""
    with shop() as crm:
        path = news(crm)["u"]
        leave = Request(method="POST", path=path, body=ONE_CLICK)
        Pages(crm).respond(leave)
        pass_time(crm, 400 * DAY)
        crm.give_consent(ADA, "news", "email")
        between = standing(crm)
        pass_time(crm, DAY)
        Pages(crm).respond(leave)

        assert ("given", "withdrawn") == (between, standing(crm))


def test_e10_leaving_is_about_the_messages_purpose():
    """No more news; promotions still come."""
    with shop() as crm:
        Pages(crm).respond(Request(method="POST", path=news(crm)["u"]))

        assert ("withdrawn", "given") == (standing(crm), standing(crm, purpose="promotion"))


def test_e10_a_link_neither_shows_nor_edits_who_it_was_for():
    """Of the address one letter is seen; the link of one page is good for no other."""
    with shop() as crm:
        found, pages = news(crm), Pages(crm)
        shown = [pages.respond(Request(method="GET", path=p)).body.decode() for p in found.values()]
        token = found["u"].rpartition("/")[2]
        others = [pages.respond(Request(method="POST", path=f"/{at}/{token}")) for at in "cpaw"]

        assert not any("ada" in each.lower() for each in shown)
        assert {404} == {each.status for each in others}
        assert "given" == standing(crm)


def test_e11_it_holds_for_what_is_queued():
    """A message planned before, and not handed over, does not go."""
    with shop() as crm:
        path = news(crm)["u"]
        crm.send(draft(ADA, "news-2"))
        Pages(crm).respond(Request(method="POST", path=path))
        crm.deliver()
        (second,) = crm.messages(key="news-2")

        assert "withheld" == second.state
        assert 1 == len(mails(crm))


def test_e12_it_works_on_the_mail_that_asks_to_confirm():
    """Who did not sign up says so at once: the other link is void then."""
    with shop(gate=STRICT) as crm:
        signed_up(crm)
        crm.deliver()
        (mail,) = mails(crm)
        answer = Pages(crm).respond(Request(method="POST", path=paths(mail)["u"]))
        late = Pages(crm).respond(Request(method="POST", path=paths(mail)["c"]))

        assert (200, 410) == (answer.status, late.status)
        assert "withdrawn" == standing(crm)


def test_e12_it_works_by_mail():
    """To the mailbox in the header, in any case, whoever writes; to others it does nothing."""
    with shop() as crm:
        news(crm)
        header = mails(crm)[0]["List-Unsubscribe"]
        box = header.partition("<mailto:")[2].rstrip(">").upper()
        with crm.begin() as tx:
            own = crm.plugin(EmailLink)
            forged = own.unsubscribe_by_mail(
                tx, b"From: ada@example.com\r\nTo: u+x@shop.example\r\n\r\n"
            )
            left = own.unsubscribe_by_mail(
                tx, f"From: eve@x.example\r\nTo: <{box}>\r\n\r\n".encode()
            )

        assert forged is None
        assert left is not None
        assert "news" == left.purpose
        assert "withdrawn" == standing(crm)


@SERVERS
def test_e3_a_post_confirms_and_a_get_does_not(serve, mount, tmp_path):
    """Over HTTP: the page shows a button, and the button confirms."""
    with shop(url=shop_file(tmp_path), gate=STRICT) as crm:
        signed_up(crm, language="de")
        crm.deliver()
        path = paths(mails(crm)[0])["c"]
        with serve(mount(Pages(crm))) as port:
            shown = ask(port, "GET", path)[2]
            before = standing(crm)
            status, _, body = ask(port, "POST", path, b"do=1", Content_Type=FORM)

        assert 'lang="de"' in shown
        assert "Ja, gern" in shown
        assert ("requested", "confirmed") == (before, standing(crm))
    assert 200 == status
    assert "Vielen Dank" in body


def test_preferences_end_what_is_taken_away_and_ask_for_what_is_added():
    """News ends at once; surveys begin when the address confirms them, as a link alone cannot."""
    with shop(gate=STRICT) as crm:
        member(crm, "ada", "news", "promotion")
        crm.confirm_consent(ADA, "news", "email")
        crm.send(draft(ADA))
        crm.deliver()
        path = "/p/" + link(mails(crm)[0], "w")
        pages, kind = Pages(crm), {"content-type": FORM}
        shown = pages.respond(Request(method="GET", path=path)).body.decode()
        body = b"save=1&purpose=promotion&purpose=survey"
        saved = pages.respond(Request(method="POST", path=path, headers=kind, body=body))
        crm.deliver()
        asking = mails(crm)[1]

        assert ["news", "promotion"] == re.findall(r'value="(\w+)" checked', shown)
        assert 200 == saved.status
        assert "withdrawn" == standing(crm)
        assert "given" == standing(crm, purpose="promotion")
        assert "requested" == standing(crm, purpose="survey")
        assert "Please confirm your address" == asking["Subject"]


def test_preferences_that_cannot_be_read_change_nothing():
    """An empty, cut off or foreign body is refused, and is no wish to end everything."""
    with shop() as crm:
        path, pages = news(crm)["p"], Pages(crm)
        bodies = [(FORM, b""), (FORM, b"purpose=news"), ("text/plain", b"save=1"), (FORM, b"\xff")]
        bodies.append(("multipart/form-data", MULTIPART))
        before = snapshot(crm).tables
        found = [
            pages.respond(Request(method="POST", path=path, headers={"content-type": k}, body=b))
            for k, b in bodies
        ]

        assert {400} == {each.status for each in found}
        assert before == snapshot(crm).tables


@pytest.mark.parametrize(
    ("language", "said"),
    [("en", "you agreed to it"), ("de", "haben Sie zugestimmt"), ("zh-CN", "您同意接收")],
)
def test_why_did_i_get_this_is_told_by_the_ledger(language, said):
    """When it went, what was agreed to and when, as it was known then; and what is now."""
    with shop() as crm:
        path, pages = news(crm)["w"], Pages(crm)
        asks = Request(method="GET", path=path, headers={"accept-language": language})
        before = pages.respond(asks).body.decode()
        pass_time(crm, DAY)
        crm.withdraw_consent(ADA, "news", "email")
        after = pages.respond(asks).body.decode()

    assert said in before
    assert "2024-01-01" in before
    assert "2024-01-02" not in before
    assert said in after
    assert "2024-01-02" in after


def test_why_names_the_order_and_the_notice_of_a_soft_opt_in():
    """What somebody saw, in its version, is told."""
    with shop() as crm:
        who = captured(crm, address="ada@example.com").customer_id
        crm.send(draft(who, "p", "promotion"))
        crm.deliver()
        path = paths(mails(crm)[0])["w"]
        shown = Pages(crm).respond(Request(method="GET", path=path)).body.decode()

    assert "with an order on 2024-01-01" in shown
    assert "checkout/3" in shown


def test_e8_an_archive_page_has_nothing_of_whom_the_mail_was_for():
    """A broadcast is shown for nobody in particular; what one person was told is not shown."""
    letters = {"news": MailTemplate("news", subject="News", html="<p>Hello {{ name }}</p>")}
    with shop(plugin(letters=letters)) as crm:
        who = member(crm)
        data = {"template": "news", "variables": {"name": "Ada"}}
        content = Content(data=data)
        crm.broadcast("b", [who], purpose="news", channel="email", content=content)
        crm.send(draft(who, "own", data=data))
        crm.deliver()
        composer, pages = crm.plugin(EmailLink).composer, Pages(crm)
        shown = {}
        for message in crm.messages():
            url = composer.links.of("archive", message.id, message.planned_at)
            shown[message.key] = pages.respond(Request(method="GET", path=url.partition("/m")[2]))

    assert (200, 404) == (shown["b"].status, shown["own"].status)
    assert "Hello name" in shown["b"].body.decode()
    assert "Ada" not in shown["b"].body.decode()
    assert "sandbox" in shown["b"].headers["Content-Security-Policy"]


def test_what_is_shown_is_escaped():
    """What somebody wrote into a wording is text on a page, and no markup."""
    with shop() as crm:
        member(crm, "ada", "promotion")
        crm.give_consent(ADA, "news", "email", wording="<script>alert(1)</script>")
        crm.send(draft(ADA))
        crm.deliver()
        path = paths(mails(crm)[0])["w"]
        shown = Pages(crm).respond(Request(method="GET", path=path)).body.decode()

    assert "&lt;script&gt;" in shown
    assert "<script" not in shown


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", ""])
def test_other_methods_are_refused(method):
    """Only GET, HEAD and POST are known."""
    with shop() as crm:
        answer = Pages(crm).respond(Request(method=method, path=news(crm)["u"]))

        assert (405, "GET, HEAD, POST") == (answer.status, answer.headers["Allow"])
        assert "given" == standing(crm)


def test_broken_tokens_and_bodies_do_nothing():
    """Whatever is asked, the answer is a page, leads nowhere, and leaves everything as it was."""
    with shop() as crm:
        good, pages = news(crm), Pages(crm)
        before = snapshot(crm).tables

        @given(
            path=st.one_of(
                st.text(max_size=60),
                st.builds("/{}/{}".format, st.sampled_from("ucpaw"), st.text(max_size=40)),
                st.builds(
                    lambda where, at, to: (
                        f"/{where}/{good['u'][3 : 3 + at]}{to}{good['u'][4 + at :]}"
                    ),
                    st.sampled_from("ucpaw"),
                    st.integers(0, 25),
                    st.characters(exclude_characters=good["u"]),
                ),
                st.just(good["p"]),
            ),
            method=st.sampled_from(["GET", "POST", "HEAD"]),
            kind=st.sampled_from(
                ["", FORM, "multipart/form-data; boundary=b", "multipart/form-data; boundary=\x00"]
            ),
            body=st.one_of(
                st.binary(max_size=300), st.just(b"--b\r\n" * 500), st.just(b"=&" * 20_000)
            ),
            wish=st.text(max_size=30),
        )
        def check(path, method, kind, body, wish):
            headers = {"content-type": kind, "accept-language": wish}
            asked = Request(method=method, path=path, headers=headers, body=body)
            answer = pages.respond(asked)
            assert answer.status in (200, 400, 404, 405)
            assert "Location" not in answer.headers

        check()

        assert before == snapshot(crm).tables
