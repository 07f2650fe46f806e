"""Strategies for hypothesis: customers, payloads, and what happens between a shop and them."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, Union, get_args, get_origin

import attrs
from hypothesis import strategies as st

from crmcore.domain.identity import Identifier
from crmcore.domain.interaction import Draft, Line
from crmcore.domain.kind import Kind
from crmcore.domain.kinds import CORE_KINDS
from crmcore.domain.money import Money
from crmcore.domain.structuring import Erased

START: Final = datetime(2024, 1, 1, tzinfo=UTC)
"""When every history begins."""

PURPOSES: Final = ("care", "news", "promotion", "survey")

# How often each happens; orders are what most strategies are about.
SHOP_KINDS: Final[Mapping[str, int]] = {
    "product.viewed": 2,
    "catalog.searched": 1,
    "wishlist.changed": 1,
    "cart.changed": 2,
    "checkout.started": 1,
    "order.placed": 6,
    "order.shipped": 1,
    "order.delivered": 2,
    "order.cancelled": 1,
    "order.refunded": 2,
    "order.returned": 1,
    "payment.failed": 1,
    "account.registered": 2,
    "service.opened": 1,
    "call.ended": 1,
    "share.made": 1,
    "consent.given": 2,
    "consent.withdrawn": 1,
}
_WITH_MONEY: Final = ("order.placed", "order.cancelled", "order.refunded", "order.returned")
_OF_ORDERS: Final = (*_WITH_MONEY, "order.shipped", "order.delivered")
_NAMES: Final = ("Ada", "Grace", "Émilie", "Nazım", "李")  # noqa: RUF001 - names of people
_CHANNELS: Final = (None, "web", "app", "phone", "till")
_WORDS: Final = ("a", "tea", "größer", "two words", "it's")


def customers(most: int = 4) -> st.SearchStrategy[tuple[Identifier, ...]]:
    """
    Return a strategy for the identifiers by which one of *most* customers may be named.

    The account is always among them, so that who is who does not depend on what comes first.
    """
    return st.builds(
        lambda number, mail: (
            Identifier("account", f"c{number}"),
            *([Identifier("email", f"c{number}@example.com")] if mail else ()),
        ),
        st.integers(1, most),
        st.booleans(),
    )


def payloads(kind: Kind, *, full: bool = False) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for payloads of a kind, made of its fields' types; *full* has them all."""
    if kind.name.startswith("consent."):
        return st.fixed_dictionaries(
            {"purpose": st.sampled_from(PURPOSES), "channel": st.just("email")}
        )
    needed: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for each in attrs.fields(attrs.resolve_types(kind.payload)):
        values = of_type(each.type, each.name, full=full)
        (needed if full or each.default is attrs.NOTHING else optional)[each.name] = values
    return st.fixed_dictionaries(needed, optional=optional)


def of_type(wanted: Any, name: str = "", *, full: bool = False) -> st.SearchStrategy[Any]:
    """
    Return a strategy for values, as JSON has them, of a field's type.

    With *full* there is something, where there may be nothing.
    """
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        left_out = (Erased, type(None)) if full else (Erased,)
        return st.one_of(*(of_type(e, name, full=full) for e in inner if e not in left_out))
    if origin is Literal:
        return st.sampled_from(inner)
    if origin in (list, tuple, Sequence) or (isinstance(origin, type) and origin is list):
        return st.lists(of_type(inner[0] if inner else str, name), min_size=full, max_size=3)
    if origin in (dict, Mapping):
        return st.dictionaries(st.sampled_from(_WORDS), of_type(inner[1], name), max_size=2)
    if isinstance(wanted, type) and attrs.has(wanted):
        fields = attrs.fields(attrs.resolve_types(wanted))
        return st.fixed_dictionaries({each.name: of_type(each.type, each.name) for each in fields})
    found: dict[Any, st.SearchStrategy[Any]] = {
        type(None): st.none(),
        bool: st.booleans(),
        int: st.integers(0, 50),
        float: st.sampled_from((0.0, 0.5, 12.25)),
        str: _texts(name),
    }
    return found.get(wanted, st.just("plain"))


def _texts(name: str) -> st.SearchStrategy[str]:
    """Return texts that a field of that name may hold."""
    if name == "direction":
        return st.sampled_from(("inbound", "outbound"))
    if name.endswith("_on") or name in ("birthday", "born_on", "date"):
        return st.sampled_from(("2024-02-29", "2024-03-10", "1980-12-31"))
    if name.endswith("_at"):
        return st.sampled_from(("2024-02-29T12:00:00Z", "2024-03-31T02:30:00+01:00"))
    if "name" in name:
        return st.sampled_from(_NAMES)
    return st.sampled_from(_WORDS)


@st.composite
def drafts(
    draw: st.DrawFn,
    *,
    kind: Kind,
    number: int,
    at: datetime,
    values: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    most: int = 4,
    currency: str = "EUR",
    full: bool = False,
) -> Draft:
    """Draw one thing that happens, of a kind, to one of *most* customers; see `payloads`."""
    who = draw(customers(most))
    if kind.name.startswith("consent.") and len(who) == 1:  # it is about an address
        who = (*who, Identifier("email", f"{who[0].value}@example.com"))
    amount, lines, subject = None, [], None
    if kind.name in _OF_ORDERS:
        account = who[0].value
        subject = draw(st.sampled_from((None, f"order:{account}/1", f"order:{account}/2")))
    if kind.name in _WITH_MONEY:
        lines = [
            Line(product=product, quantity=quantity, amount_minor=quantity * 250)
            for product, quantity in draw(
                st.lists(
                    st.tuples(st.sampled_from("abc"), st.integers(1, 3)),
                    max_size=2,
                    unique_by=lambda pair: pair[0],
                )
            )
        ]
        whole = sum(line.amount_minor for line in lines) or draw(st.sampled_from((0, 990, 12345)))
        amount = Money(whole, currency)
    given = (values or {}).get(kind.name)
    payload = draw(st.sampled_from(given) if given else payloads(kind, full=full))
    return Draft(
        kind.name,
        identifiers=who,
        occurred_at=at,
        amount=amount,
        lines=tuple(lines),
        payload=payload or None,
        source=draw(st.sampled_from(("shop", "till"))),
        source_key=f"k{number}",
        subject=subject,
    )


def histories(
    *,
    kinds: Sequence[Kind] = (),
    values: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    least: int = 1,
    longest: int = 20,
    most: int = 4,
    late: bool = True,
    currency: str = "EUR",
) -> st.SearchStrategy[list[Draft]]:
    """
    Return a strategy for what happens in a shop, in the order in which it comes to know it.

    Args:
        kinds: Kinds of plugins that happen, too.
        values: Examples of payloads by kind, where types alone do not tell what fits.
        least, longest: How many things happen.
        most: How many customers there are.
        late: Whether the shop comes to know of some things only after later ones.
    """
    core = {kind.name: kind for kind in CORE_KINDS}
    happening = [core[name] for name, often in SHOP_KINDS.items() for _ in range(often)]
    happening += [kind for kind in kinds for _ in range(6)]
    # Each thing by itself, so that those a law does not need can be left out one by one.
    steps = st.tuples(
        st.sampled_from((0, 0, 0, 1, 1, 2, 6, 15, 40, 95)),
        st.sampled_from((0, 0, 0, 0, 0, 1, 20)) if late else st.just(0),
        st.sampled_from((0, 0, 9, 23)),
        st.sampled_from(happening).flatmap(
            lambda kind: drafts(
                kind=kind, number=0, at=START, values=values, most=most, currency=currency
            )
        ),
    )
    # Most of them are long, as lists that hypothesis makes are mostly short.
    short, long = (
        st.lists(steps, min_size=size, max_size=longest)
        for size in (least, max(least, 2 * longest // 3))
    )
    return st.one_of(short, long, long, long).map(lambda drawn: _in_time(drawn, late=late))


def channel_of(kind: str, number: int) -> str | None:
    """Return by which channel something came that has none: not by chance, so that all occur."""
    if kind.startswith("message."):
        return "email"
    # What is said of consent, and of brakes, names the channel it is about itself.
    return None if kind.startswith(("consent.", "brake.")) else _CHANNELS[number % len(_CHANNELS)]


def _in_time(drawn: Sequence[tuple[int, int, int, Draft]], *, late: bool) -> list[Draft]:
    """Return drafts with the days that pass between them, each with a key of its own."""
    day, made = 0, []
    for number, (gap, back, hour, draft) in enumerate(drawn):
        day += gap
        at = START + timedelta(days=day - min(back, day), hours=hour)
        made.append(
            attrs.evolve(
                draft,
                occurred_at=at,
                source_key=f"k{number}",
                channel=draft.channel or channel_of(draft.kind, number),
            )
        )
    return made if late else sorted(made, key=lambda draft: draft.occurred_at or START)
