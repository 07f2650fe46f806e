"""Interactions: what happened between the shop and a customer. The ledger's rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal, TypedDict

from attrs import field, frozen

from crmcore.domain.clock import to_datetime
from crmcore.domain.identity import SCHEMES, Identifier, normalise
from crmcore.domain.kind import KindRegistry
from crmcore.domain.money import Money
from crmcore.errors import InputError, nearest

Origin = Literal["observed", "decided"]


@frozen(kw_only=True)
class Line:
    """
    One line of an order, or of what undoes it.

    Attributes:
        product: The shop's number of the product (its SKU).
        quantity: Whole units; the sign comes from the kind, not from here.
        amount_minor: For all units together, discounts taken off, in the interaction's currency.
        cost_minor: What the units cost the shop, where it says.
        key: The line's own name within its order, which a refund can refer to.
        undoes: The key of the line that this one undoes.
    """

    product: str
    quantity: int = 1
    amount_minor: int = 0
    variant: str | None = None
    category: str | None = None
    cost_minor: int | None = None
    key: str | None = None
    undoes: str | None = None


@frozen(kw_only=True)
class Draft:
    """
    An interaction that is about to be recorded.

    Attributes:
        kind: The name of a registered kind, or an alias of one.
        customer: The customer's id, where it is known; otherwise *identifiers* find or make one.
        occurred_at: An aware datetime; None is now.
        source: What reports it: the shop's name for a system, or `plugin:<name>`.
        source_key: The source's own key for it. The pair is recorded once.
        subject: What it is about, such as `order:1042`.
        thread: What holds a conversation together. *touch*: what led here, such as a coupon.
        payload: A dict, or an object of the kind's payload class.
        caused_by: The id of the interaction that led to this one.
    """

    kind: str = field(kw_only=False)
    identifiers: tuple[Identifier, ...] = ()
    customer: int | None = None
    occurred_at: datetime | None = None
    amount: Money | None = None
    lines: tuple[Line, ...] = ()
    payload: Mapping[str, Any] | object | None = None
    source: str = "shop"
    source_key: str | None = None
    channel: str | None = None
    actor: str | None = None
    subject: str | None = None
    thread: str | None = None
    touch: str | None = None
    caused_by: int | None = None


class DraftFields(TypedDict, total=False):
    """What `record` takes beside the kind: the fields of `Draft`, and schemes of identifiers."""

    account: str
    card: str
    cookie: str
    email: str
    handle: str
    phone: str
    identifiers: Sequence[Identifier]
    customer: int | None
    occurred_at: datetime | None
    amount: Money | Decimal | str | int | None
    lines: Sequence[Line]
    payload: Mapping[str, Any] | object | None
    source: str
    source_key: str | None
    channel: str | None
    actor: str | None
    subject: str | None
    thread: str | None
    touch: str | None
    caused_by: int | None


def make_draft(kind: str, currency: str, values: Mapping[str, Any]) -> Draft:
    """
    Return the draft for values as a shop writes them.

    Raises:
        InputError: For a field that does not exist, or an identifier or amount that is not right.
    """
    fields = dict(values)
    known = DraftFields.__annotations__
    for name in fields:
        if name not in known:
            raise InputError(
                f"an interaction has no field {name!r}{nearest(name, known)}; what belongs to "
                f"{kind!r} alone goes into payload={{...}}"
            )
    named = [normalise(s, fields.pop(s)) for s in SCHEMES if fields.get(s) is not None]
    for scheme in SCHEMES:
        fields.pop(scheme, None)
    amount = fields.pop("amount", None)
    if amount is not None and not isinstance(amount, Money):
        amount = Money.of(amount, currency)
    identifiers = (*fields.pop("identifiers", ()), *named)
    lines = tuple(fields.pop("lines", ()))
    return Draft(kind, identifiers=identifiers, amount=amount, lines=lines, **fields)


@frozen(kw_only=True)
class Interaction:
    """
    One row of the ledger.

    `recorded_for` is the customer it was recorded for, for ever; `customer_id` the one it
    belongs to now. Amounts are what it adds to the customer's revenue, so those of a refund
    are negative; `amount_base_minor` is in the shop's own currency, frozen at recording.
    """

    id: int
    kind: str
    kind_version: int
    customer_id: int
    recorded_for: int
    occurred_instant: int
    recorded_instant: int
    origin: Origin
    source: str
    source_key: str | None
    channel: str | None
    actor: str | None
    subject: str | None
    thread: str | None
    touch: str | None
    amount_minor: int | None
    currency: str | None
    amount_base_minor: int | None
    caused_by: int | None
    payload_json: str = field(repr=False)
    personal_json: str | None = field(repr=False)
    _kinds: KindRegistry = field(repr=False, eq=False)

    @property
    def occurred_at(self) -> datetime:
        return to_datetime(self.occurred_instant)

    @property
    def recorded_at(self) -> datetime:
        return to_datetime(self.recorded_instant)

    @property
    def amount(self) -> Money | None:
        if self.amount_minor is None or self.currency is None:
            return None
        return Money(self.amount_minor, self.currency)

    @cached_property
    def payload(self) -> Any:
        """The payload as an object of its kind's class; personal values may be `ERASED`."""
        return self._kinds.decode(
            self.kind, self.kind_version, self.payload_json, self.personal_json
        )
