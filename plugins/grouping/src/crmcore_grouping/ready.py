"""Ready groups: segments that many shops want, with borders that are settings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Final

from attrs import frozen

from crmcore import NamedSegment


@frozen(kw_only=True)
class Borders:
    """
    Where the ready groups begin and end: absolute numbers, no quintiles.

    Attributes:
        recent_days: An order was recent at most so long ago.
        fading_days: After so long without an order a customer fades.
        lost_days: And after so long they are lost.
        often: So many orders are often.
        big_amount: Orders of so much together are big, in the shop's currency.
        little_amount: What advocates spend at most in a year.
        praises: What advocates do, as facts: kinds or families of them.
        praises_a_year: How often they do it, at least.
    """

    recent_days: int
    fading_days: int
    lost_days: int
    often: int
    big_amount: int
    little_amount: int
    praises: tuple[str, ...]
    praises_a_year: int


DESCRIPTIONS: Final[Mapping[str, str]] = {
    "champions": "bought recently and often, and spent much",
    "loyal": "buy often, and have not begun to fade",
    "potential_loyalists": "bought recently, and more than once",
    "new_customers": "bought recently, for the first time",
    "promising": "bought once, not long ago",
    "need_attention": "bought more than once, and not for a while",
    "about_to_sleep": "fade, and bought neither often nor much",
    "at_risk": "bought often or much, and fade or are lost",
    "cannot_lose_them": "bought often and much, and are lost",
    "hibernating": "are lost, and bought neither often nor much",
    "advocates": "spend little, and share and praise",
}
"""The ready groups; of the first ten a customer who has ever ordered is in one and no other."""


def ready_segments(names: Iterable[str], borders: Borders) -> list[NamedSegment]:
    """Return ready groups as segments."""
    rules = _rules(borders)
    return [NamedSegment(name, rules[name], description=DESCRIPTIONS[name]) for name in names]


def _rules(borders: Borders) -> dict[str, str]:
    recent = f"orders.last after {borders.recent_days} days ago"
    present = f"orders.last after {borders.fading_days} days ago"
    known = f"orders.last after {borders.lost_days} days ago"
    warm = f"{present} and not {recent}"
    cold = f"{known} and not {present}"
    # Whoever has a last order has ordered, even if all of it was cancelled.
    lost = f"orders.last before {borders.lost_days} days ago"
    often = f"orders.count >= {borders.often}"
    big = f"orders.sum >= {borders.big_amount}"
    once = "orders.count <= 1"
    some = f"not {once} and not {often}"
    return {
        "champions": f"{recent} and {often} and {big}",
        "loyal": f"{present} and {often} and not ({recent} and {big})",
        "potential_loyalists": f"{recent} and {some}",
        "new_customers": f"{recent} and {once}",
        "promising": f"{warm} and {once}",
        "need_attention": f"{warm} and {some}",
        "about_to_sleep": f"{cold} and not {often} and not {big}",
        "at_risk": (
            f"({cold} and ({often} or {big})) or "
            f"({lost} and ({often} or {big}) and not ({often} and {big}))"
        ),
        "cannot_lose_them": f"{lost} and {often} and {big}",
        "hibernating": f"{lost} and not {often} and not {big}",
        "advocates": _advocates(borders),
    }


def _advocates(borders: Borders) -> str:
    little = f"orders(days=365).sum <= {borders.little_amount}"
    praised = [
        f"facts({json.dumps(each, ensure_ascii=False)}, days=365).count >= {borders.praises_a_year}"
        for each in borders.praises
    ]
    return f"{little} and ({' or '.join(praised)})"
