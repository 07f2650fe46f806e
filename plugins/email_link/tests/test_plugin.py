"""The plugin as a channel: what goes, what does not, and in which envelope."""

from typing import Any

import pytest
from crmcore_email_link import EmailLink
from crmcore_email_link.links import bound
from crmcore_email_link.outbox import Outbox
from crmcore_email_link.templates import LocalisedTemplate, MailTemplate
from crmcore_email_link.wire import check
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from crmcore import Deferred
from crmcore.errors import ConfigurationError
from plugins.email_link.tests.shops import (
    DAY,
    SETTINGS,
    draft,
    envelopes,
    mails,
    member,
    plugin,
    shop,
)

ONE_CLICK = ("List-Unsubscribe", "List-Unsubscribe-Post", "List-Id", "Precedence", "Feedback-ID")


@pytest.mark.parametrize("purpose", ["news", "promotion", "survey", "care"])
def test_e6_mails_to_many_have_the_headers_of_one_click(purpose):
    """Https and mailto, one click, list, precedence and feedback id; the URL is at most 70."""
    with shop() as crm:
        ada = member(crm, "ada", purpose)
        crm.send(draft(ada, purpose=purpose))
        crm.deliver()
        (mail,) = mails(crm)

    web, _, box = mail["List-Unsubscribe"].partition(", ")
    assert all(mail[name] for name in ONE_CLICK)
    assert web.startswith("<https://shop.example/m/u/")
    assert len(web.strip("<>")) <= 70
    assert box.startswith("<mailto:u+")
    assert box.endswith("@shop.example>")
    assert "List-Unsubscribe=One-Click" == mail["List-Unsubscribe-Post"]
    assert ("<news.shop.example>", "bulk") == (mail["List-Id"], mail["Precedence"])
    assert mail["Auto-Submitted"] is None


def test_e6_service_mails_have_none_of_them():
    """What somebody is owed cannot be unsubscribed from, and a machine wrote it."""
    with shop() as crm:
        crm.send(draft(member(crm), "parcel-1", "service"))
        crm.deliver()
        (mail,) = mails(crm)

    assert not any(mail[name] for name in ONE_CLICK)
    assert "auto-generated" == mail["Auto-Submitted"]


def test_e6_the_message_id_is_the_same_in_every_attempt():
    """A mail that is deferred and tried again has its octets, and its name, as before."""

    class Busy(Outbox):
        def send(self, envelopes):
            super().send(envelopes)
            return [Deferred("come again", 60.0) for _ in envelopes]

    with shop(plugin(carrier=Busy())) as crm:
        crm.send(draft(member(crm)))
        crm.deliver()
        crm.deliver(put_off=True)
        first, second = envelopes(crm)

    assert first == second


def test_e17_the_return_path_has_a_token_of_the_message():
    """Each mail has a return path of its own, which the plugin reads, and nobody can make up."""
    with shop() as crm:
        crm.send(draft(member(crm)))
        crm.send(draft(member(crm, "ben")))
        crm.deliver()
        tokens, now = crm.plugin(EmailLink).composer.links.tokens, crm.runtime.clock.now()
        sent = sorted(message.id for message in crm.messages())
        good: Any = {"at": now, "bound": bound(crm.messages()[0].planned_at)}
        read = [tokens.read_return_path(each.mail_from, **good) for each in envelopes(crm)]
        found = sorted(each for each in read if each is not None)
        forged = envelopes(crm)[0].mail_from.replace("b+a", "b+b")

        assert sent == found
        assert tokens.read_return_path(forged, **good) is None


@pytest.mark.parametrize("missing", ["sender_name", "postal_address"])
def test_e9_mails_to_many_do_not_go_without_who_sends_them(missing):
    """They are withheld when they are planned, and the reason says what to set."""
    with shop(plugin(**{missing: ""})) as crm:
        planned = crm.send(draft(member(crm)))
        service = crm.send(draft(member(crm), "parcel-1", "service"))
        crm.deliver()

    assert "withheld" == planned.state
    assert missing in str(planned.reason)
    assert "planned" == service.state
    assert ["parcel-1"] == [each.campaign for each in envelopes(crm)]


def test_e9_mails_to_many_say_who_sends_them_and_how_to_leave():
    """In both parts, once, though nobody wrote it there; what has it already is left alone."""
    with shop() as crm:
        crm.send(draft(member(crm), "a", subject="A", text="Hello", html="<body>Hello</body>"))
        crm.deliver()
        (mail,) = mails(crm)
    text = mail.get_body(("plain",)).get_content()
    html = mail.get_body(("html",)).get_content()

    for part in (text, html):
        assert 1 == part.count("1 High Street, Ambleside")
        assert 1 == part.count("https://shop.example/m/u/")
    assert html.rstrip().endswith("</body>")


def test_e9_a_template_that_says_it_is_left_alone():
    """No second footer is put below one that the shop wrote."""
    footer = "{{ sender_name }}, {{ postal_address }}, {{ unsubscribe_url }}"
    letters = {"news": MailTemplate("news", subject="News", text=f"Hello\n{footer}\n")}
    with shop(plugin(letters=letters)) as crm:
        crm.send(draft(member(crm), data={"template": "news"}))
        crm.deliver()
        (mail,) = mails(crm)

    assert 1 == mail.get_content().count("1 High Street")
    assert "-- " not in mail.get_content()


def test_e8_a_render_failure_fails_that_recipient_only():
    """It is failed with the template's name and line; the one beside it goes."""
    letters = {"hi": MailTemplate("hi", subject="Hi", text="Hello\n{{ name }}\n")}
    with shop(plugin(letters=letters)) as crm:
        ada, ben = member(crm), member(crm, "ben")
        crm.send(draft(ada, data={"template": "hi", "variables": {"name": "Ada"}}))
        crm.send(draft(ben, data={"template": "hi"}))
        crm.deliver()
        (mail,) = mails(crm)
        (failed,) = crm.messages(ben)

    assert "ada@example.com" == mail["To"]
    assert "failed" == failed.state
    assert "hi/text" in str(failed.reason)
    assert "line 2" in str(failed.reason)


def test_e8_a_recipient_gets_the_template_in_their_language():
    """The data of the message name it; who has none gets the shop's first."""
    letters = {
        "hi": LocalisedTemplate(
            "hi",
            {
                "en": MailTemplate("hi.en", subject="Hello", text="Hello"),
                "de": MailTemplate("hi.de", subject="Guten Tag", text="Guten Tag"),
            },
            fallbacks=("en",),
        )
    }
    with shop(plugin(letters=letters)) as crm:
        crm.send(draft(member(crm), data={"template": "hi", "language": "de-AT"}))
        crm.send(draft(member(crm, "ben"), data={"template": "hi"}))
        crm.deliver()
        found = {mail["To"]: mail["Subject"] for mail in mails(crm)}

    assert {"ada@example.com": "Guten Tag", "ben@example.com": "Hello"} == found


def test_e8_templates_are_read_from_a_folder(tmp_path):
    """A mail is files named after it and its language."""
    (tmp_path / "news.en.subject").write_text("For {{ name }}\n")
    (tmp_path / "news.en.html").write_text("<p>Hello {{ name }}</p>")
    with shop(plugin(templates=str(tmp_path))) as crm:
        data = {"template": "news", "variables": {"name": "Ada & Co"}}
        crm.send(draft(member(crm), data=data))
        crm.deliver()
        (mail,) = mails(crm)

    assert "For Ada & Co" == mail["Subject"]
    assert "Hello Ada &amp; Co" in mail.get_body(("html",)).get_content()


def test_e7_what_cannot_be_written_fails_with_the_reason():
    """A line break in a subject writes no header of its own, and nothing goes."""
    with shop() as crm:
        sent = draft(member(crm), subject="Hello\nBcc: all@example.com", text="Hello")
        crm.send(sent)
        crm.deliver()
        (failed,) = crm.messages()

    assert "failed" == failed.state
    assert "the subject holds '\\n'" in str(failed.reason)
    assert [] == envelopes(crm)


def test_e15_mails_are_signed_with_the_shops_key(tmp_path):
    """Nothing is wrong with the octets that go, one-click headers and signature among them."""
    key = generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "dkim.pem").write_bytes(pem)
    signs = {"dkim_selector": "s1", "dkim_key_file": str(tmp_path / "dkim.pem")}
    with shop(plugin(**signs)) as crm:
        crm.send(draft(member(crm), subject="Größe 43 – jetzt", text="Sie ist da: 25 €"))
        crm.deliver()
        raw = envelopes(crm)[0].raw

    assert raw.startswith(b"DKIM-Signature:")
    assert [] == [each for each in check(raw, signed=True) if each.severity == "error"]


def test_settings_secrets_come_from_a_file_or_the_environment(tmp_path, monkeypatch):
    """One that is missing is named with both places, and what it is stays out of the error."""
    settings = {**SETTINGS, "ring": None, "carrier": Outbox()}
    with pytest.raises(ConfigurationError, match="CRM_EMAIL_SECRET is not set"):
        EmailLink(**settings).register_channels()
    monkeypatch.setenv("CRM_EMAIL_SECRET", "c0ffee")
    with pytest.raises(ConfigurationError, match="at least 32") as caught:
        EmailLink(**settings).register_channels()
    assert "c0ffee" not in str(caught.value)

    path = tmp_path / "secret"
    path.write_text(f"{'ab' * 32}\n2024-02-01 {'cd' * 32}\n")
    made = EmailLink(**settings, secret_file=str(path))
    made.register_channels()
    ring = made.composer.links.tokens.ring
    assert b"\xab" * 32 == ring.current(0).secret
    assert b"\xcd" * 32 == ring.current(20_000 * DAY).secret


def test_settings_that_no_header_could_hold_are_refused_at_start():
    """A base whose links would be too long stops the start, not the first mail."""
    with pytest.raises(ConfigurationError, match="octets"):
        plugin(base_url="https://shop.example/" + "x" * 40 + "/").register_channels()


@pytest.mark.parametrize(
    ("transport", "setting"),
    [("smtp", "host"), ("ses", "region"), ("mailgun", "provider_domain")],
)
def test_settings_that_a_transport_needs_are_named(transport, setting, monkeypatch):
    """The error names the setting that is missing, and who needs it."""
    monkeypatch.setenv("CRM_EMAIL_CREDENTIAL", "key:secret")
    with pytest.raises(ConfigurationError, match=f"{setting} is missing.*{transport}"):
        plugin(carrier=None, transport=transport).register_channels()


@pytest.mark.parametrize("transport", ["ses", "postmark", "mailgun", "sendgrid", "resend", "smtp"])
def test_settings_name_any_transport(transport, monkeypatch):
    """Each is made with the settings it needs, and says whether it knows mails again."""
    monkeypatch.setenv("CRM_EMAIL_CREDENTIAL", "key:secret")
    places = {"host": "127.0.0.1", "region": "eu-central-1", "provider_domain": "mg.shop.example"}
    (channel,) = plugin(carrier=None, transport=transport, **places).register_channels()

    assert ("email", transport == "resend") == (channel.name, channel.idempotent)
    assert {"service": "resend"} == channel.on_unknown
