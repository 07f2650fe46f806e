"""`crm email preview`, `lint` and `test`: mails looked at before they go."""

import re
import signal
import subprocess
import sys
import sysconfig
import urllib.error
import urllib.request
from email import message_from_bytes, policy
from html import unescape
from pathlib import Path

import dkim
import pytest
from crmcore_email_link import EmailLink

from crmcore import Content, Crm, MessageDraft
from plugins.email_link.tests.commanding import Desk, pem, png
from plugins.email_link.tests.receivers import Receiver
from tests.support.databases import shop_file
from tests.support.processes import ended, hear_interrupts

VARIABLES = """\
first_name = "Ada"
shop_url = "https://shop.example/tea"
products = [{name = "Green tea"}, {name = "Mugs & cups"}]
"""


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "v.toml").write_text(VARIABLES)
    return Desk(tmp_path)


def customer(desk, name="ada"):
    email = f"email:{name}@customer.example"
    desk.run("record", "account.registered", "--id", email)
    return email


def mail_in(path):
    return message_from_bytes(Path(path).read_bytes(), policy=policy.default)


# -- preview -------------------------------------------------------------------------------------


def test_e8_the_preview_is_the_very_octets_that_would_be_sent(desk):
    """But for what names the message and the day, they are those that a campaign hands over."""
    desk.set(host="127.0.0.1")
    who = customer(desk)
    desk.run("consent", "give", who, "news")
    desk.email("preview", "news", "--customer", who, "--variables", "v.toml")
    previewed = Path("news-en.eml").read_bytes()
    with Receiver() as receiver:
        desk.set(port=receiver.port)
        data = {
            "template": "news",
            "variables": {
                "first_name": "Ada",
                "shop_url": "https://shop.example/tea",
                "products": [{"name": "Green tea"}, {"name": "Mugs & cups"}],
            },
        }
        with Crm.from_config("crm.toml") as crm:
            found = crm.send(
                MessageDraft(
                    key="news",
                    customer=1,
                    purpose="news",
                    channel="email",
                    content=Content(data=data),
                )
            )
            assert {"accepted": 1, "others": 0} == crm.deliver()
            assert "planned" == found.state
    ((_, _, sent),) = receiver.taken

    def levelled(raw):
        # Tokens and what is made of them, and the second it was written.
        raw = raw.replace(b"=\r\n", b"").replace(b"\r\n ", b" ")
        raw = re.sub(rb"/m/(\w)/[\w=-]+", rb"/m/\1/TOKEN", raw)
        raw = re.sub(rb"u\+\w{31}@", b"u+TOKEN@", raw)
        raw = re.sub(rb"=_[ar]\w+", b"=_BOUNDARY", raw)
        raw = re.sub(rb"Message-ID: [^\r]*", b"Message-ID: NAME", raw)
        return re.sub(rb"Date: [^\r]*", b"Date: DAY", raw)

    assert levelled(sent) == levelled(previewed)
    assert levelled(sent) != sent


def test_e15_the_preview_is_signed_where_a_key_is_set(desk, tmp_path):
    """By the shop's key, as dkimpy verifies."""
    (tmp_path / "key.pem").write_bytes(pem())
    desk.set(dkim_selector="s1", dkim_key_file="key.pem")
    desk.email("preview", "news")
    with Crm.from_config("crm.toml") as crm:
        signer = crm.plugin(EmailLink).composer.signer
        assert signer is not None
        name, record = signer.record

    def txt(asked, **_):
        return record.encode() if asked.rstrip(b".") == name.encode() else None

    assert dkim.verify(Path("news-en.eml").read_bytes(), dnsfunc=txt)
    assert "signed" in unescape(Path("news-en.html").read_text())


def test_e8_a_preview_for_nobody_names_what_it_was_not_given(desk):
    """Variables stand as their names, no customer is needed, and the address is nobody's."""
    said = desk.email("preview", "news")
    mail = mail_in("news-en.eml")

    assert "first_name, products[].name, shop_url" in " ".join(said.split())
    assert ("New for first name", "nobody@customer.example") == (mail["Subject"], mail["To"])


def test_e8_a_preview_unsubscribes_nobody_and_records_nothing(desk):
    """The token in it names no message, and neither a message nor a fact is there afterwards."""
    who = customer(desk)
    before = desk.run("customer", "show", who)
    desk.email("preview", "news", "--customer", who, "--variables", "v.toml")
    url = mail_in("news-en.eml")["List-Unsubscribe"].partition(">")[0].strip("<")
    token = url.rpartition("/")[2]

    with Crm.from_config("crm.toml") as crm:
        plugin = crm.plugin(EmailLink)
        assert 0 == plugin.composer.links.tokens.named(token)
        with crm.begin() as tx:
            assert plugin.unsubscribe(tx, token) is None
        assert [] == crm.messages(1)
    assert before == desk.run("customer", "show", who)


def test_e8_the_page_shows_all_parts_and_fetches_nothing(desk, tmp_path):
    """Subject, text and HTML with the image it brings; the policy lets nothing run or be loaded."""
    desk.email("preview", "news", "--variables", "v.toml", "--language", "de")
    page = Path("news-de.html").read_text(encoding="utf-8")
    (meta,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    frames = [unescape(each) for each in re.findall(r'srcdoc="([^"]*)"', page)]
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)

    assert "<h1>Neu für Ada</h1>" in page
    assert "Mugs &amp; cups" in page.partition("<pre>")[2]
    assert {'sandbox="allow-same-origin"'} == set(re.findall(r'sandbox="[^"]*"', page))
    assert 2 == len(frames)
    assert "Guten Tag Ada" in frames[0]
    assert "data:image/png;base64," in frames[0]
    assert "cid:leaf.png" not in frames[0]
    assert "default-src &#x27;none&#x27;; img-src data:;" in meta
    assert "https:" not in unescape(meta)
    assert "fetch" not in script
    (part,) = [each for each in mail_in("news-de.eml").walk() if each.get("Content-ID")]
    assert png() == part.get_payload(decode=True)
    desk.email("preview", "news", "--remote", "--html", "r.html")
    assert "img-src data: https:;" in unescape(Path("r.html").read_text())


def test_e8_an_image_that_no_mail_can_bring_is_named(desk):
    """Its file is empty, or has a name that no content id has: the start says which."""
    desk.email("preview", "news")
    for name, octets in (("a leaf.png", png()), ("empty.png", b"")):
        path = desk.folder / "templates" / name
        path.write_bytes(octets)
        said = desk.email("preview", "news", ends=2)
        assert "an image of the templates is not right" in said
        assert name in said
        path.unlink()


def test_e8_a_preview_is_written_where_it_was_asked_for(desk):
    """And as JSON it says where; the templates beside it are left alone."""
    found = desk.json("preview", "news", "--html", "a.html", "--eml", "b.eml")

    assert ("a.html", "b.eml", "news", "en") == (
        found["html"],
        found["eml"],
        found["purpose"],
        found["language"],
    )
    assert found["octets"] == len(Path("b.eml").read_bytes())
    desk.email("preview", "email_link.confirm")
    assert Path("email_link-confirm-en.eml").exists()
    assert "cannot be written" in desk.email("preview", "news", "--html", "no/a.html", ends=2)


def test_e8_the_preview_is_served_on_this_machine(desk):
    """A real process serves page and octets until Ctrl-C, and not for the name of another host."""
    crm = str(Path(sysconfig.get_path("scripts"), "crm"))
    with subprocess.Popen(
        [sys.executable, "-u", crm, "email", "preview", "news", "--serve", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = next(each for each in line.split() if each.startswith("http://"))
        try:
            with urllib.request.urlopen(url) as answer:
                page, policy_of_page = answer.read().decode(), answer.headers
            with urllib.request.urlopen(f"{url}mail.eml") as answer:
                raw = answer.read()
            strange = urllib.request.Request(url, headers={"Host": "evil.example:80"})
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(strange)
        finally:
            process.send_signal(signal.SIGINT)
            said = ended(process)
        assert "Stopped." in said
        assert 0 == process.returncode

    assert "New for first name" in page
    assert "default-src 'none'" in policy_of_page["Content-Security-Policy"]
    assert b"Subject: New for first name" in raw
    assert [] == [*Path().glob("*.eml"), *Path().glob("*.html")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["new"], "no template is called 'new' (did you mean 'news'?)"),
        (
            ["news", "--customer", "email:nobody@customer.example"],
            "no customer is known as email:nobody@",
        ),
        (["news", "--customer", "99"], "no customer is known as customer 99"),
        (["news", "--variables", "none.toml"], "'none.toml' cannot be read"),
        (["news", "--variables", "bad.toml"], "are no TOML"),
        (["news", "--variables", "list.json"], "holds no table"),
        (["news", "--purpose", "newz"], "'newz' is not one of"),
    ],
)
def test_e8_what_cannot_be_previewed_is_said_in_a_sentence(desk, tmp_path, words, said):
    """With the nearest right thing, exit code 2, and nothing written."""
    (tmp_path / "bad.toml").write_text("a = ")
    (tmp_path / "list.json").write_text("[1]")
    told = desk.email("preview", *words, ends=2)

    assert said in " ".join(told.split())
    assert "Traceback" not in told
    assert [] == [*Path().glob("*.eml")]


def test_e8_a_customer_lacks_what_their_mail_needs(desk):
    """For somebody there is, nothing is made up: what is not there is the error it will be."""
    who = customer(desk)
    said = desk.email("preview", "news", "--customer", who, ends=2)

    assert "'first_name' is undefined" in said
    account = desk.run("record", "account.registered", "--id", "account:7", "--json")
    assert account
    assert "has no address for mail" in desk.email(
        "preview", "news", "--customer", "account:7", ends=2
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sender": None}, "the setting sender of email_link is missing"),
        ({"base_url": None}, "the setting base_url of email_link is missing"),
        ({"templates": "nowhere"}, "a folder that is there is expected"),
        ({"secret_file": "none"}, "cannot be read"),
    ],
)
def test_e8_without_a_sender_it_says_what_to_set(desk, settings, said):
    """In one sentence, for each of the commands."""
    desk.set(**settings)
    for words in (["preview", "news"], ["lint"], ["status"], ["reconcile"]):
        assert said in desk.email(*words, ends=2)


def test_e8_without_the_plugin_it_says_how_to_switch_it_on(desk, tmp_path):
    """Where crm.toml has no email_link, its commands say so."""
    (tmp_path / "crm.toml").write_text(f'[crm]\ndatabase = "{desk.url}"\n')

    assert "does not switch email_link on" in desk.email("lint", ends=2)


# -- lint ----------------------------------------------------------------------------------------


def test_e8_lint_looks_at_every_template_in_every_language(desk):
    """The shop's and the plugin's own; what the footer says is no error."""
    found = desk.json("lint")

    looked_at = {(each["template"], each["language"]) for each in found["templates"]}
    own = {("email_link.confirm", language) for language in ("de", "en", "zh")}
    assert own | {("news", "de"), ("news", "en")} <= looked_at
    assert len(looked_at) == len(found["templates"])
    codes = {f["code"]: f["level"] for each in found["templates"] for f in each["findings"]}
    assert {"no-postal-address", "no-unsubscribe", "no-sender"} == set(codes)
    assert {"note"} == set(codes.values())
    assert "not signed here" in found["notes"][0]
    assert "0 errors, 0 warnings. It may go." in " ".join(desk.email("lint").split())


def write(desk, html, name="sale.en"):
    (desk.folder / "templates" / f"{name}.subject").write_text("Sale")
    (desk.folder / "templates" / f"{name}.html").write_text(html)


@pytest.mark.parametrize(
    ("html", "code", "level"),
    [
        ('<img src="https://shop.example/a.png">', "image-without-alt", "warning"),
        ('<img src="cid:none.png" alt="">', "cid-missing", "error"),
        ("<p>" + "tea " * 30_000 + "</p>", "size", "warning"),
        ('<p style="display:flex">x</p>', "unknown-css", "warning"),
        ('<a href="javascript:x">x</a>', "link-address", "error"),
        ("<p>{{ price * 2.5 }}</p>", "not-tried", "warning"),
    ],
)
def test_e8_lint_finds_what_is_wrong_before_the_first_goes(desk, html, code, level):
    """Each once, though template and octets both show it; only an error ends with 1."""
    write(desk, f"<p>Hello</p>{html}")
    is_error = level == "error"
    found = desk.json("lint", "sale", ends=1 if is_error else 0)["templates"][0]["findings"]

    assert [level] == [each["level"] for each in found if each["code"] == code]
    assert is_error == any(each["level"] == "error" for each in found)
    told = " ".join(desk.email("lint", "sale", ends=1 if is_error else 0).split())
    assert ("It must not go like this." if is_error else "It may go.") in told


def test_e9_lint_says_that_mails_to_many_cannot_go_without_who_sends_them(desk):
    """It is an error of the mail itself, and names the setting."""
    desk.set(postal_address=None)
    write(desk, "<p>Hello</p>")
    found = desk.json("lint", "sale", ends=1)["templates"][0]["findings"]

    assert "postal_address" in found[0]["message"]
    desk.email("lint", "sale", "--purpose", "service")


@pytest.mark.each_database(partitioned=False)
def test_e8_lint_names_the_missing_variables_for_every_recipient(tmp_path, monkeypatch):
    """Of a campaign that is planned: which, and for how many, though most have them."""
    monkeypatch.chdir(tmp_path)
    desk = Desk(tmp_path, shop_file(tmp_path))
    with Crm.from_config("crm.toml") as crm:
        for number in range(30):
            known = crm.record("account.registered", email=f"p{number}@customer.example")
            crm.give_consent(known.customer_id, "news", channel="email")
            variables = {"first_name": "Ada", "shop_url": "https://shop.example/", "products": []}
            if number % 10 == 3:
                del variables["first_name"]
            crm.send(
                MessageDraft(
                    key="news-11",
                    customer=known.customer_id,
                    purpose="news",
                    channel="email",
                    content=Content(data={"template": "news", "variables": variables}),
                )
            )
    (found,) = desk.json("lint", "--campaign", "news-11", ends=1)["templates"]
    told = " ".join(desk.email("lint", "--campaign", "news-11", ends=1).split())

    assert (30, 3) == (found["recipients"], found["lacking"])
    (error,) = [each for each in found["findings"] if each["level"] == "error"]
    assert ("render", 3) == (error["code"], error["recipients"])
    assert "first_name" in error["message"]
    assert "For 3 customers: 4, 14, 24." in told
    assert "no mail has the key 'news-12' (did you mean 'news-11'?)" in desk.email(
        "lint", "--campaign", "news-12", ends=2
    )


@pytest.mark.each_database(partitioned=False)
def test_e8_lint_looks_at_a_broadcast_and_at_a_segment(tmp_path, monkeypatch):
    """What a broadcast says to all is looked at for each; and so is whom a rule means."""
    monkeypatch.chdir(tmp_path)
    desk = Desk(tmp_path, shop_file(tmp_path))
    (tmp_path / "v.toml").write_text(VARIABLES)
    with Crm.from_config("crm.toml") as crm:
        for number in range(3):
            known = crm.record("order.placed", email=f"p{number}@customer.example", amount="9")
            crm.give_consent(known.customer_id, "news", channel="email")
        content = Content(data={"template": "news", "language": "de", "variables": {}})
        crm.broadcast("all", "everyone", purpose="news", channel="email", content=content)
    (found,) = desk.json("lint", "--campaign", "all", ends=1)["templates"]

    assert ("de", 3, 3) == (found["language"], found["recipients"], found["lacking"])
    segment = ("--segment", "orders.count >= 1")
    both = desk.json("lint", "news", *segment, ends=1)["templates"]
    assert [3, 3] == [each["lacking"] for each in both]
    both = desk.json("lint", "news", *segment, "--variables", "v.toml")["templates"]
    assert [(3, 0), (3, 0)] == [(each["recipients"], each["lacking"]) for each in both]
    assert "nobody is in the segment" in desk.email("lint", "news", "--segment", "orders.count > 9")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["new"], "(did you mean 'news'?)"),
        (["--segment", "orders.count > 1"], "wants the name of one template"),
        (["news", "--campaign", "x"], "give it alone"),
        (["news", "--segment", "ordersz.count > 1"], "ordersz"),
    ],
)
def test_e8_lint_says_what_was_asked_wrongly(desk, words, said):
    """In a sentence, with exit code 2."""
    assert said in desk.email("lint", *words, ends=2)


# -- test ----------------------------------------------------------------------------------------


def test_e8_a_test_goes_to_staff_at_once_and_is_not_recorded(desk):
    """Through the transport of the shop, once to each; no message is there afterwards."""
    with Receiver() as receiver:
        desk.set(port=receiver.port)
        said = desk.email(
            "test", "news", "a@shop.example", "b@shop.example", "a@shop.example",
            "--variables", "v.toml",
        )  # fmt: skip
    mails = [message_from_bytes(raw, policy=policy.default) for _, _, raw in receiver.taken]

    assert ["a@shop.example", "b@shop.example"] == sorted(receiver.recipients())
    assert {"[Test] New for Ada"} == {each["Subject"] for each in mails}
    assert ["accepted", "accepted"] == [line.split()[0] for line in said.splitlines()]
    html = mails[0].get_body(("html",))
    assert html is not None
    assert "Green tea" in html.get_content()
    with Crm.from_config("crm.toml") as crm:
        assert "no mail has the key" in desk.email("status", "news", ends=2)
        assert 0 == crm.status().customers


def test_e8_each_outcome_of_a_test_is_shown(desk):
    """Who was refused does not hide who was not; it ends with 1."""

    def fault(step, recipient):
        return "550 5.1.1 no such user" if step == "RCPT" and "gone" in recipient else None

    with Receiver(fault) as receiver:
        desk.set(port=receiver.port)
        words = ("test", "news", "here@shop.example", "gone@shop.example", "--language", "de")
        here, gone = desk.json(*words, ends=1)

    assert ("accepted", "failed") == (here["outcome"], gone["outcome"])
    assert "550 5.1.1 no such user" in gone["detail"]
    assert 1 == len(receiver.taken)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["news", *(f"p{n}@shop.example" for n in range(6))], "at most 5 are expected"),
        (["new", "a@shop.example"], "(did you mean 'news'?)"),
        (["news", "ada"], "'ada' is not an email address"),
        (["news", "ada@customer.example"], "is customer 1's, and consent says no"),
        (["news"], "Missing argument"),
    ],
)
def test_e8_a_test_is_no_way_around_the_gate(desk, words, said):
    """Not to more than a few, and to no customer whom the gate would not let it go to."""
    customer(desk)
    with Receiver() as receiver:
        desk.set(port=receiver.port)
        assert said in desk.email("test", *words, ends=2)

    assert [] == receiver.taken


def test_e8_a_customer_who_agreed_may_get_a_test(desk):
    """Staff may be customers, too; what they agreed to they may get."""
    desk.run("consent", "give", customer(desk), "news")
    with Receiver() as receiver:
        desk.set(port=receiver.port)
        desk.email("test", "news", "ada@customer.example")

    assert ["ada@customer.example"] == receiver.recipients()
