"""What tests of SMTP send, and to whom."""

from typing import Any

import pytest
from crmcore_email_link import throttle as pace
from crmcore_email_link.throttle import Limits
from crmcore_email_link.transports.conversation import Relay
from crmcore_email_link.transports.envelope import Envelope
from crmcore_email_link.transports.smtp import Smtp

from plugins.email_link.tests.receivers import (
    Receiver,
)

RAW = b"Subject: Hello\r\nFrom: shop@example.com\r\n\r\nHello\r\n"


OFFERS = pytest.mark.parametrize("offers", [(), ("PIPELINING", "DSN")], ids=["plain", "pipelined"])


Throttle: Any = pace.Throttle


QUICK = {"limits": Limits(pause=0.01, longest_pause=0.02)}


def envelope(name, raw=RAW, **fields):
    return Envelope(
        **{
            "raw": raw,
            "mail_from": "b+token@bounce.example.com",
            "rcpt_to": name if "@" in name else f"{name}@example.com",
            "idempotency_key": name,
            **fields,
        }
    )


def envelopes(count):
    return [envelope(f"p{number}") for number in range(count)]


def smtp_to(receiver, *, throttle=None, **fields):
    own = {"hello", "seconds", "patience", "idle_seconds"}
    relay = Relay(
        host="127.0.0.1",
        port=receiver.port,
        **{"tls": "never", **{k: v for k, v in fields.items() if k not in own}},
    )
    given = {k: v for k, v in fields.items() if k in own}
    return Smtp(
        relay=relay,
        throttle=throttle or Throttle(**QUICK),
        **{"hello": "shop.example", "seconds": 600.0, **given},
    )


def sent(envelopes, fault=None, *, offers=("PIPELINING", "DSN"), **fields):
    """Return the outcomes, and the server that was sent to."""
    with Receiver(fault, offers=offers) as receiver, smtp_to(receiver, **fields) as smtp:
        return smtp.send(envelopes), receiver
