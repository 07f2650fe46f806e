"""Email: a newsletter rendered, and signed and handed over; beside Jinja, and beside smtplib."""

from __future__ import annotations

import re
import smtplib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from crmcore_email_link.catalogue import catalogue
from crmcore_email_link.composing import Composer
from crmcore_email_link.delivering import deliver
from crmcore_email_link.dkim import Signer
from crmcore_email_link.links import Links
from crmcore_email_link.mime import Mailbox
from crmcore_email_link.templates import MailTemplate
from crmcore_email_link.templates.pieces import write
from crmcore_email_link.tokens import Key, KeyRing, Tokens
from crmcore_email_link.transports import Relay, Smtp
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from jinja2 import Environment, StrictUndefined

from bench.history import START
from bench.sample import compare, timed
from bench.sizes import Sizes
from bench.table import Line
from crmcore import Accepted, Content, Delivery, Message, to_instant

AT_ONCE = 100
RENDERED, HANDED_OVER = 2_000, 300
"""The goals: mails for each CPU second."""

NOW = to_instant(START)
SUBJECT = "{{ name }}, {{ products|length }} teas for you"
STYLE = """\
body { margin: 0; background: #f4f4f0; font-family: Georgia, serif; }
.page { width: 600px; margin: 0 auto; background: #ffffff; }
.tea { padding: 12px 24px; border-bottom: 1px solid #dddddd; }
.tea h2 { font-size: 18px; color: #335533; margin: 0 0 4px 0; }
.tea p { font-size: 14px; line-height: 20px; color: #333333; margin: 0 0 8px 0; }
.price { font-weight: bold; color: #884422; }
.button { background: #335533; color: #ffffff; padding: 6px 12px; text-decoration: none; }
.footer { font-size: 12px; color: #777777; padding: 16px 24px; }
"""
HTML = """\
<html><head><title>News</title><style>STYLE</style></head><body><div class="page">
<div class="tea"><h2>Hello {{ name }}</h2>
{% if points %}<p>You have {{ points }} points, {{ name }}; they are good until {{ until }}.</p>
{% else %}<p>Order until {{ until }} for your first points.</p>{% endif %}
</div>
{% for each in products %}
<div class="tea"><h2>{{ each.name }}</h2>
<p>{{ each.about }} From {{ each.garden }}, picked in {{ each.month }}.</p>
<p><span class="price">{{ each.price }} EUR</span> for 100 g
{% if each.was %}(it was {{ each.was }} EUR){% endif %}</p>
<p><a class="button" href="https://shop.example/tea/{{ each.id }}">See {{ each.name }}</a></p>
</div>
{% endfor %}
<div class="footer"><p>This mail is from {{ sender_name }}, {{ postal_address }}.</p>
<p><a href="{{ unsubscribe_url }}">No more of these</a> ·
<a href="{{ preferences_url }}">What you want to hear of</a> ·
<a href="{{ archive_url }}">Read it online</a> · <a href="{{ why_url }}">Why me?</a></p></div>
</div></body></html>
""".replace("STYLE", STYLE)
TEXT = """\
Hello {{ name }}

{% if points %}You have {{ points }} points, {{ name }}; they are good until {{ until }}.{% else %}\
Order until {{ until }} for your first points.{% endif %}

{% for each in products %}{{ each.name }}

{{ each.about }} From {{ each.garden }}, picked in {{ each.month }}.

{{ each.price }} EUR for 100 g{% if each.was %} (it was {{ each.was }} EUR){% endif %}

See {{ each.name }} <https://shop.example/tea/{{ each.id }}>

{% endfor %}This mail is from {{ sender_name }}, {{ postal_address }}.

No more of these <{{ unsubscribe_url }}> · What you want to hear of <{{ preferences_url }}> · \
Read it online <{{ archive_url }}> · Why me? <{{ why_url }}>
"""
_ABOUT = (
    "A bright cup, with a taste of young leaves & of the mountain wind that dried them. "
    "Let it stand for two minutes, no longer, in water that has cooled a little."
)
_GARDENS = ("Uji", "Darjeeling", "Yunnan", "Nilgiri", "Assam")
_MONTHS = ("March", "April", "May", "June", "July")
_TEAS = 22
_CHECKED = re.compile(r"\(([\w.]+)\)\|link")  # what the library looks at, and Jinja does not


def variables(number: int) -> dict[str, Any]:
    """Return what one recipient's mail says and no other's."""
    return {
        "name": f"Ada {number} O'Neill",
        "points": number % 7 * 40,
        "until": f"{1 + number % 28} May",
        "products": [
            {
                "id": number * _TEAS + each,
                "name": f"Tea no. {(number + each) % 97}",
                "about": _ABOUT,
                "garden": _GARDENS[(number + each) % 5],
                "month": _MONTHS[(number * 3 + each) % 5],
                "price": f"{(number + each) % 30 + 4}.90",
                "was": None if each % 3 else f"{(number + each) % 30 + 6}.90",
            }
            for each in range(_TEAS)
        ],
    }


def measure(sizes: Sizes) -> Iterator[Line]:
    """Yield a line for rendering alone, and one for all that a mail goes through."""
    template = MailTemplate("news", subject=SUBJECT, html=HTML)
    composer = _composer(template)
    deliveries = [_delivery(number) for number in range(sizes.mails)]
    yield _rendering(sizes, template, composer, deliveries)
    yield _handing_over(sizes, composer, deliveries)


def _rendering(
    sizes: Sizes, template: MailTemplate, composer: Composer, deliveries: Sequence[Delivery]
) -> Line:
    given = [composer.variables(d.content, d.message.id, NOW) for d in deliveries]
    plain = Environment(autoescape=True, undefined=StrictUndefined)
    unescaped = Environment(undefined=StrictUndefined)
    # With the styles at their elements already, so that both put out the same octets.
    styled, _ = write(template.pieces)
    html = plain.from_string(_CHECKED.sub(r"\1", styled))
    subject, text = unescaped.from_string(SUBJECT), unescaped.from_string(TEXT)
    made = template.render(given[0])
    assert (made.html, made.text) == (html.render(given[0]), text.render(given[0]) + "\n")

    def bare() -> None:
        for each in given:
            subject.render(each), html.render(each), text.render(each)

    def library() -> None:
        for each in given:
            template.render(each)

    return Line(
        title="mail, rendered",
        beside="plain Jinja",
        items=len(given),
        comparison=compare(sizes.rounds, lambda _: timed(bare), lambda _: timed(library)),
        unit="mails",
        least=RENDERED,
    )


def _handing_over(sizes: Sizes, composer: Composer, deliveries: Sequence[Delivery]) -> Line:
    ready = [composer.envelope(each, NOW) for each in deliveries]
    with _sink() as port:
        relay = Relay(host="127.0.0.1", port=port, tls="never")
        with (
            Smtp(relay=relay, hello="shop.example") as carrier,
            smtplib.SMTP("127.0.0.1", port, local_hostname="shop.example") as client,
        ):

            def bare() -> None:
                for each in ready:
                    client.sendmail(each.mail_from, [each.rcpt_to], each.raw)

            def library() -> None:
                for low in range(0, len(deliveries), AT_ONCE):
                    some = deliveries[low : low + AT_ONCE]
                    outcomes = deliver(composer, carrier, some, NOW)
                    assert all(isinstance(each, Accepted) for each in outcomes), outcomes

            return Line(
                title="mail, rendered, signed and handed over",
                beside="smtplib, ready bytes",
                items=len(deliveries),
                comparison=compare(sizes.rounds, lambda _: timed(bare), lambda _: timed(library)),
                unit="mails",
                least=HANDED_OVER,
            )


def _composer(template: MailTemplate) -> Composer:
    key = generate_private_key(public_exponent=65_537, key_size=2_048)
    tokens = Tokens(KeyRing([Key(b"k" * 32, since=0)]))
    return Composer(
        sender=Mailbox("shop@shop.example", "The Tea Shop"),
        postal_address="1 High Street, Ambleside",
        list_id="news.shop.example",
        languages=("en",),
        links=Links("https://shop.example/m/", tokens, "shop.example"),
        catalogue=catalogue(None, ["en"], {"news": template}),
        pending_days=7,
        signer=Signer("shop.example", "s1", key),
    )


def _delivery(number: int) -> Delivery:
    content = Content(data={"template": "news", "variables": variables(number)})
    address = f"ada{number}@example.com"
    message = Message(
        id=number + 1,
        key="news-2026-11",
        plugin="",
        customer_id=number + 1,
        purpose="news",
        channel="email",
        state="handed",
        priority=0,
        asks=False,
        planned_at=NOW,
        not_before=NOW,
        not_after=None,
        gate=None,
        reason=None,
        attempt=1,
        handed_at=NOW,
        settled_at=None,
        provider_reference=None,
        caused_by=None,
        content=content,
        address=address,
    )
    return Delivery(
        message=message, content=content, address=address, idempotency_key=f"{number:040x}"
    )


@contextmanager
def _sink() -> Iterator[int]:
    """Take mails in another process, whose CPU seconds do not count, and give its port."""
    command = [sys.executable, "-m", "bench.sink"]
    root = Path(__file__).parents[1]
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with closing(process.stdin):
            yield int(process.stdout.readline())
