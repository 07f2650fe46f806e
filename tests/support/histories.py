"""Histories to replay: a part of a real shop's log, and small made ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from crmcore import Draft, Identifier, Line, Money
from crmcore.replay.history import load_cdnow

START = datetime(2024, 1, 1, tzinfo=UTC)


def cdnow(*, every: int = 1) -> list[Draft]:
    """Return the purchases of every *every*-th customer of the CDNOW log, in order."""
    drafts = load_cdnow().drafts
    return [d for d in drafts if int(d.identifiers[0].value) % every == 0]


def instant(moment: datetime) -> int:
    """Return microseconds since 1970, counted here."""
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))


def start_of(drafts: Sequence[Draft]) -> int:
    """Return the instant of the first of *drafts*."""
    first = drafts[0].occurred_at
    assert first is not None
    return instant(first)


KINDS = (
    "product.viewed",
    "cart.changed",
    "order.placed",
    "order.placed",
    "order.shipped",
    "order.delivered",
    "order.cancelled",
    "order.refunded",
    "order.returned",
    "account.registered",
    "payment.failed",
    "service.opened",
)
_PAYLOADS: dict[str, dict[str, Any]] = {
    "product.viewed": {"product": "p1"},
    "cart.changed": {"cart": "c1"},
    "payment.failed": {"order": "o1"},
    "service.opened": {"case": "s1", "text": "please call me"},
}


@st.composite
def drafts(draw: st.DrawFn, *, longest: int = 25, foreign: bool = True) -> list[Draft]:
    """Draw a history in order: few customers, many kinds, instants that are often equal."""
    count = draw(st.integers(1, longest))
    pieces = []
    day = 0
    for number in range(count):
        day += draw(st.sampled_from((0, 0, 0, 1, 1, 2, 6, 15, 40, 95)))
        hour = draw(st.sampled_from((0, 0, 9, 23)))
        pieces.append(_draft(draw, number, START + timedelta(days=day, hours=hour), foreign))
    return sorted(pieces, key=lambda draft: draft.occurred_at or START)


def _draft(draw: st.DrawFn, number: int, at: datetime, foreign: bool) -> Draft:
    kind = draw(st.sampled_from(KINDS))
    customer = draw(st.integers(1, 3))
    # The account always comes first, so who is who does not depend on what arrives first.
    identifiers = [Identifier("account", f"{customer}")]
    if draw(st.booleans()):
        identifiers.append(Identifier("email", f"c{customer}@example.com"))
    amount, lines = None, []
    if kind in {"order.placed", "order.cancelled", "order.refunded"}:
        currency = draw(
            st.sampled_from(("EUR", "EUR", "USD", "JPY", "CHF") if foreign else ("EUR",))
        )
        lines = [
            Line(product=product, quantity=quantity, amount_minor=quantity * 250)
            for product, quantity in draw(
                st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 3)), max_size=2)
            )
        ]
        whole = sum(line.amount_minor for line in lines) or draw(st.integers(0, 5000))
        amount = Money(whole, currency)
    return Draft(
        kind,
        identifiers=tuple(identifiers),
        occurred_at=at,
        amount=amount,
        lines=tuple(lines),
        payload=_PAYLOADS.get(kind),
        source=draw(st.sampled_from(("shop", "till"))),
        source_key=f"k{number}",
        subject=draw(st.sampled_from((None, f"order:{customer}/1", f"order:{customer}/2"))),
    )


def chunks(items: Sequence[Draft], size: int) -> list[list[Draft]]:
    return [list(items[low : low + size]) for low in range(0, len(items), size)]
