"""The channels that ship: recording, files, and text messages through a provider."""

import email
import json
import socket
import threading
from contextlib import contextmanager
from email.policy import default
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from crmcore import Accepted, Content, Crm, Deferred, Failed, Unknown, VirtualClock
from crmcore.channels import files as channel_files
from crmcore.channels.files import Files
from crmcore.channels.recording import Recording
from crmcore.channels.sms import Sms
from crmcore.channels.twilio import Twilio
from crmcore.configuration import load_configuration
from crmcore.errors import ConfigurationError, PluginError
from tests.support.histories import START, instant
from tests.support.sending import BROADCAST, message, people, states

NOW = instant(START)
NO_SID = "Twilio answered 201, and not with the message's sid"
TOO_MANY = "Twilio answered 429, error 20429: Bad"


def open_crm(*plugins):
    return Crm("sqlite://", plugins=plugins, clock=VirtualClock(NOW), durable=False)


def test_the_recording_channel_keeps_what_it_was_handed(tmp_path):
    """In a list and as JSON lines; nobody receives it."""
    path = tmp_path / "kept.jsonl"
    recording = Recording(path=str(path))
    with open_crm(recording) as crm:
        crm.broadcast("all", people(crm, 3), **BROADCAST)
        crm.deliver()

        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert {"accepted": 3} == states(crm)
        assert 3 == len(recording.outbox)
        assert ["p0@example.com", "p1@example.com", "p2@example.com"] == [
            each["address"] for each in lines
        ]
        assert {"text": "Hello all"} == lines[0]["content"]
        assert [each.idempotency_key for each in recording.outbox] == [
            each["idempotency_key"] for each in lines
        ]


def test_a_message_becomes_one_email_in_a_folder(tmp_path):
    """A whole .eml that mail programs read; written twice, it is one file."""
    folder = tmp_path / "outbox"
    files = Files(folder=str(folder), sender="shop@example.com")
    content = Content(
        subject="Grüße",
        text="Hello Ada",
        html="<p>Hello</p>",
        headers={"List-Unsubscribe": "<https://example.com/no>"},
    )
    with open_crm(files) as crm:
        (ada,) = people(crm, 1)
        crm.send(message(ada, content=content))
        crm.deliver()
        (path,) = folder.glob("*.eml")
        found: Any = email.message_from_bytes(path.read_bytes(), policy=default)

        assert path.name == crm.messages(ada)[0].provider_reference
        assert ("p0@example.com", "shop@example.com") == (found["To"], found["From"])
        assert "Grüße" == found["Subject"]
        assert NOW == found["Date"].datetime.timestamp() * 1_000_000
        assert "<https://example.com/no>" == found["List-Unsubscribe"]
        assert "Hello Ada" == found.get_body(("plain",)).get_content().strip()
        assert "<p>Hello</p>" == found.get_body(("html",)).get_content().strip()
        # Cut off after the hand-over, and taken away since: nobody finds it again.
        path.unlink()
        with crm.begin() as tx:
            tx.connection.sqlalchemy.exec_driver_sql(
                f"UPDATE crm_message SET state = 'handed', lease = 'x', leased_until = {NOW}"
            )
        while (due := crm.next_due()) is not None:
            crm.runtime.clock.advance_to(due)
            crm.deliver()
        assert [] == list(folder.glob("*.eml"))
        assert 2 == crm.messages(ada)[0].attempt


def test_a_message_becomes_one_text_file(tmp_path):
    """With format txt; a line break in a header is no email, and fails for good."""
    files = Files(folder=str(tmp_path / "a"), format="txt")
    with open_crm(files) as crm:
        (ada,) = people(crm, 1)
        crm.send(message(ada, content=Content(text="Hello", subject="Hi")))
        crm.deliver()
        (path,) = (tmp_path / "a").glob("*.txt")
        assert "To: p0@example.com\nSubject: Hi\n\nHello\n" == path.read_text()
    with open_crm(Files(folder=str(tmp_path / "b"))) as crm:
        (ada,) = people(crm, 1)
        crm.send(message(ada, content=Content(text="Hello", subject="Hi\nBcc: all@example.com")))
        crm.deliver()
        assert {"failed": 1} == states(crm)
        assert not (tmp_path / "b").exists()
    with pytest.raises(ConfigurationError, match="did you mean 'eml'"):
        Files(format="emll")


def test_files_of_one_who_is_forgotten(tmp_path):
    """An export has the files that are still there; an erasure removes them, and no others."""
    folder = tmp_path / "outbox"
    with open_crm(Files(folder=str(folder), format="txt")) as crm:
        ada, bea = people(crm, 2)
        crm.broadcast("all", [ada, bea], **BROADCAST)
        crm.deliver()
        of = {path.read_text().splitlines()[0]: path for path in folder.glob("*.txt")}
        exported = crm.export(ada, tmp_path).data.read_text()
        assert of["To: p0@example.com"].name in exported
        assert of["To: p1@example.com"].name not in exported
        planned = [(each.what, each.count) for each in crm.plan_erasure(ada).outcomes]
        assert ("files in the outbox", 1) in planned
        assert 2 == len(list(folder.glob("*.txt")))

        assert crm.erase(ada).verification.is_clean
        assert [of["To: p1@example.com"]] == list(folder.glob("*.txt"))


def test_a_file_that_cannot_be_written_concerns_one_message(tmp_path, monkeypatch):
    """A full disk puts off its own message; the others go, and once it can be it is written."""
    write, full = channel_files._write_whole, [False, True]

    def writing(path, content):
        if path.suffix == ".txt" and full and full.pop(0):
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(channel_files, "_write_whole", writing)
    folder = tmp_path / "outbox"
    with open_crm(Files(folder=str(folder), format="txt")) as crm:
        crm.broadcast("all", people(crm, 3), **BROADCAST)
        crm.deliver()
        assert {"accepted": 2, "deferred": 1} == states(crm)
        assert 2 == len(list(folder.glob("*.txt")))

        crm.runtime.clock.advance_to(crm.next_due())
        crm.deliver()
        assert {"accepted": 3} == states(crm)
        assert 3 == len(list(folder.glob("*.txt")))


def test_a_folder_that_cannot_be_made_puts_messages_off(tmp_path):
    """Nothing was written for certain, so nothing is unknown."""
    (tmp_path / "outbox").write_text("a file where the folder should be")
    with open_crm(Files(folder=str(tmp_path / "outbox"))) as crm:
        crm.broadcast("all", people(crm, 2), **BROADCAST)
        crm.deliver()
        assert {"deferred": 2} == states(crm)


# ----------------------------------------------------------------------------- text messages


class FakeTwilio(HTTPServer):
    """A local server that speaks Twilio's Messages resource, and answers as it is told."""

    def __init__(self, answer):
        self.requests = []
        self.answer = answer
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, request, client_address):
        """Whoever hung up is no news here."""


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Any

    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.requests.append((self.path, dict(self.headers), form))
        self.server.answer(self)

    def log_message(self, *_):
        """Say nothing."""

    def reply(self, status, body, **headers):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(raw)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(raw)


@contextmanager
def serving(answer):
    with FakeTwilio(answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server, f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def twilio(url, **options):
    return Twilio(account="AC1", token="secret", sender="+15005550006", url=url, **options)


def cut(handler):
    """Hang up without a word, after the request was read."""
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def garbage(handler):
    handler.wfile.write(b"\x00\x01 what is this?\r\n\r\n")
    handler.close_connection = True


def error(status, code, said="Bad", **headers):
    return lambda handler: handler.reply(status, {"code": code, "message": said}, **headers)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda h: h.reply(201, {"sid": "SM42", "status": "queued"}), Accepted("SM42")),
        (lambda h: h.reply(201, b"<html>"), Unknown(NO_SID)),
        (lambda h: h.reply(201, {"sid": None}), Unknown(NO_SID)),
        (error(400, 21211), Failed("Twilio answered 400, error 21211: Bad", undeliverable=True)),
        (error(400, 21614), Failed("Twilio answered 400, error 21614: Bad", undeliverable=True)),
        (error(400, 21610), Failed("Twilio answered 400, error 21610: Bad")),
        (lambda h: h.reply(400, b"oops"), Failed("Twilio answered 400")),
        (error(401, 20003), Deferred("Twilio answered 401, error 20003: Bad")),
        (error(429, 20429, Retry_After="7"), Deferred(TOO_MANY, 7.0)),
        (error(429, 20429), Deferred(TOO_MANY)),
        (error(429, 20429, Retry_After="soon"), Deferred(TOO_MANY)),
        (error(503, 20503), Deferred("Twilio answered 503, error 20503: Bad")),
        (error(500, 20500), Unknown("Twilio answered 500, error 20500: Bad")),
        (lambda h: h.reply(502, b"<html>Bad gateway"), Unknown("Twilio answered 502")),
        (lambda h: h.reply(302, b"", Location="/"), Unknown("Twilio answered 302")),
    ],
)  # fmt: skip
def test_each_answer_of_twilio_is_an_outcome(answer, expected):
    """A yes with a sid is accepted; what was certainly refused is deferred or failed."""
    with serving(answer) as (server, url):
        assert expected == twilio(url).send("+4930123456", "Hello & goodbye", "k")

        ((path, headers, form),) = server.requests
        assert "/2010-04-01/Accounts/AC1/Messages.json" == path
        assert "Basic QUMxOnNlY3JldA==" == headers["Authorization"]
        assert {
            "To": ["+4930123456"],
            "From": ["+15005550006"],
            "Body": ["Hello & goodbye"],
        } == form


@pytest.mark.parametrize("answer", [cut, garbage])
def test_what_was_written_and_not_answered_is_unknown(answer):
    """Ambiguous: cut off after the request was read, or garbage; it was read once, and no more."""
    with serving(answer) as (server, url):
        found = twilio(url).send("+4930123456", "Hello", "k")

        assert isinstance(found, Unknown)
        assert found.reason.startswith("Twilio was told, and did not answer: ")
        assert 1 == len(server.requests)


def test_a_slow_answer_is_unknown():
    """The provider has the request by then, and nobody waits for ever."""
    ended = threading.Event()
    with serving(lambda handler: ended.wait(20)) as (server, url):
        found = twilio(url, seconds=0.2).send("+4930123456", "Hello", "k")
        ended.set()

        assert isinstance(found, Unknown)
        assert 1 == len(server.requests)


def test_a_provider_that_is_not_there_is_asked_again():
    """A refused connection has handed nothing over."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    found = twilio(f"http://127.0.0.1:{port}").send("+4930123456", "Hello", "k")

    assert isinstance(found, Deferred)
    assert "cannot be reached" in found.reason


def test_text_messages_go_to_phones_and_not_again_if_nobody_answered():
    """Through the gate and the claim; one cut off is unknown, one not a number is withheld."""
    said = {
        "+493012345601": lambda h: h.reply(201, {"sid": "SM1"}),
        "+493012345602": cut,
        "+493012345603": error(400, 21211, "not a number"),
    }

    def answer(handler):
        _, _, form = handler.server.requests[-1]
        said[form["To"][0]](handler)

    with serving(answer) as (server, url):
        sms = Sms(account="AC1", token="secret", sender="Shop", url=url)
        with open_crm(sms) as crm:
            ids = [crm.record("account.registered", phone=number).customer_id for number in said]
            for each in ids:
                crm.send(message(each, channel="sms"))
            crm.deliver()
            crm.runtime.clock.advance_to(NOW + 10**12)
            crm.deliver()

            assert ["accepted", "unknown", "failed"] == [crm.messages(i)[0].state for i in ids]
            assert 3 == len(server.requests)
            assert "withheld" == crm.send(message(ids[2], "again", channel="sms")).state
            assert "planned" == crm.send(message(ids[1], "again", channel="sms")).state


def test_another_provider_can_be_put_in():
    """Whatever has the provider's methods carries them; an empty text never goes."""

    class Pigeon:
        idempotent = True
        seconds = 300.0

        def __init__(self):
            self.sent = []

        def send(self, number, text, key):
            self.sent.append((number, text))
            return Accepted(key)

    pigeon = Pigeon()
    with open_crm(Sms(carrier=pigeon)) as crm:
        ada = crm.record("account.registered", phone="+493012345601").customer_id
        crm.send(message(ada, "a", channel="sms"))
        crm.send(message(ada, "b", channel="sms", content=Content(subject="only")))
        crm.deliver()

        assert [("+493012345601", "Hello")] == pigeon.sent
        assert {"accepted": 1, "failed": 1} == states(crm)
        channel = crm.assembly.channels["sms"]
        assert (True, 600.0) == (channel.idempotent, channel.answers_within)


def test_what_the_sms_channel_needs_is_said(tmp_path):
    """By the setting's name; the token may stand in a file, and is never shown."""
    with pytest.raises(PluginError, match="sms channel's account is missing"):
        open_crm(Sms())
    with pytest.raises(PluginError, match="token_file"):
        open_crm(Sms(account="AC1", token_file=str(tmp_path / "none"), sender="Shop"))
    with pytest.raises(PluginError, match="is no address"):
        open_crm(Sms(account="AC1", token="t", sender="Shop", url="api.twilio.com"))
    (tmp_path / "token").write_text("secret\n")
    sms = Sms(account="AC1", token_file=str(tmp_path / "token"), sender="Shop")
    with open_crm(sms) as crm:
        assert "sms" in crm.assembly.channels
    assert "secret" not in repr(sms)
    assert "secret" not in repr(Twilio(account="a", token="secret", sender="b"))


def test_channels_are_switched_on_in_crm_toml(tmp_path):
    """By their entry points, as any plugin."""
    path = tmp_path / "crm.toml"
    path.write_text(
        '[plugins.files]\nfolder = "out"\n[plugins.recording]\nchannel = "post"\n'
        '[plugins.sms]\naccount = "AC1"\ntoken = "t"\nsender = "Shop"\n'
    )

    assert ["files", "recording", "sms"] == [each.name for each in load_configuration(path).plugins]
