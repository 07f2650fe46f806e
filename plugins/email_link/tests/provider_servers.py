"""A provider's API on this machine, which answers as the real ones document it."""

import json
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from crmcore_email_link.transports import (
    Credentials,
    Envelope,
    Mailgun,
    Postmark,
    Resend,
    SendGrid,
    Ses,
)

# The example of Amazon's documentation and of its test suite for Signature Version 4.
EXAMPLE = Credentials(
    access_key="AKIDEXAMPLE", secret_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)


AT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Any
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, self.headers, body))
        answer = self.server.answers.pop(0) if self.server.answers else self.server.always
        if answer is None:  # it hangs up, having read it all
            self.close_connection = True
            return
        status, found, headers = (*answer, {})[:3]
        raw = found if isinstance(found, bytes) else json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def date_time_string(self, timestamp=None):
        return "Mon, 23 Nov 2026 12:00:00 GMT"

    def log_message(self, *_):
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """A provider."""

    daemon_threads = True
    connections = 0
    requests: list[Any]
    answers: list[Any]
    always: Any

    def get_request(self):
        self.connections += 1
        return super().get_request()

    def handle_error(self, request, client_address):
        """Whoever hung up is no news here."""


@contextmanager
def serving(*answers, always=None):
    with Server(("127.0.0.1", 0), Handler) as server:
        server.requests, server.answers, server.always = [], [*answers], always
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield server, f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def mail():
    made: Any = EmailMessage(policy=SMTP.clone(max_line_length=998))
    made["From"] = "Shöp <shop@example.com>"
    made["To"] = "ada@example.com"
    made["Subject"] = "Grüße, Ada"
    made["Message-ID"] = "<m1@example.com>"
    made["Date"] = "Mon, 23 Nov 2026 12:00:00 +0000"
    made["Reply-To"] = "help@example.com"
    made["List-Unsubscribe"] = "<https://example.com/u/1>, <mailto:u@example.com>"
    made["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    made["DKIM-Signature"] = "v=1; a=rsa-sha256"
    made.set_content("Hello, Ada: grüße\n")
    made.add_alternative("<p>Hello <img src='cid:logo'></p>\n", subtype="html")
    made.get_payload()[1].add_related(b"\x89PNG", "image", "png", cid="<logo>")
    made.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="invoice.pdf")
    return made.as_bytes()


RAW = mail()


def envelope(number=1, **fields):
    given = {
        "raw": RAW,
        "mail_from": "b+t@bounce.example.com",
        "rcpt_to": "ada@example.com",
        "idempotency_key": f"key-{number}",
        "envid": "t-17",
        **fields,
    }
    return Envelope(**given)


def make(kind, url, **fields):
    own: dict[Any, dict[str, Any]] = {
        Ses: {"credentials": EXAMPLE, "region": "us-east-1", "clock": lambda: AT},
        Postmark: {"token": "secret"},
        Mailgun: {"domain": "mg.example.com", "key": "secret"},
        SendGrid: {"key": "secret"},
        Resend: {"key": "secret"},
    }
    return kind(url=url, **{"connections": 1, "seconds": 5.0, **own[kind], **fields})


TAKEN: dict[Any, Any] = {
    Ses: (200, {"MessageId": "0100-abc"}, {}),
    Postmark: (200, {"ErrorCode": 0, "Message": "OK", "MessageID": "0100-abc"}, {}),
    Mailgun: (200, {"id": "<0100-abc>", "message": "Queued. Thank you."}, {}),
    SendGrid: (202, b"", {"X-Message-Id": "0100-abc"}),
    Resend: (200, {"id": "0100-abc"}, {}),
}


KINDS = pytest.mark.parametrize("kind", list(TAKEN))


def sent(kind, *answers, count=1, **fields):
    with serving(*answers) as (server, url):
        return make(kind, url, **fields).send([envelope(i) for i in range(count)]), server
