"""Interactions: what happened between the shop and a customer. The ledger's rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, Final, Literal, TypedDict

from attrs import field, frozen

from crmcore.domain.clock import to_datetime
from crmcore.domain.identity import SCHEMES, Identifier, normalise
from crmcore.domain.kind import KindRegistry
from crmcore.domain.money import Money
from crmcore.domain.structuring import NUL, is_encodable
from crmcore.errors import InputError, nearest

Origin = Literal["observed", "decided"]

_LARGEST: Final = 2**63 - 1  # what a 64-bit column holds
_SMALLEST: Final = -_LARGEST
_LONGEST_KEY: Final = 255
_TEXTS: Final = ("source", "source_key", "channel", "actor", "subject", "thread", "touch")
_LINE_TEXTS: Final = ("product", "variant", "category", "key", "undoes")
_LINE_NUMBERS: Final = ("quantity", "amount_minor", "cost_minor")


@frozen(kw_only=True)
class Line:
    """
    One line of an order, or of what undoes it.

    Attributes:
        product: The shop's number of the product (its SKU).
        quantity: Whole units; the sign comes from the kind, not from here.
        amount_minor: For all units together, discounts taken off, in the interaction's currency.
        variant: The shop's name of the variant, such as a size.
        category: What it is a sort of.
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
        identifiers: What the customer is known by.
        customer: The customer's id, where it is known; otherwise *identifiers* find or make one.
        occurred_at: An aware datetime; None is now.
        amount: Of the whole interaction; the kind says what it does to the customer's revenue.
        lines: What was ordered, or is undone.
        payload: A dict, or an object of the kind's payload class.
        source: What reports it: the shop's name for a system, or `plugin:<name>`.
        source_key: The source's own key for it. The pair is recorded once.
        channel: Where it happened, such as `web` or `phone`.
        actor: Who did it, such as `staff:grace`.
        subject: What it is about, such as `order:1042`.
        thread: What holds a conversation together.
        touch: What led here, such as a coupon.
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
    guest_email: str
    guest_phone: str
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
    identifiers = (*_several("identifiers", fields.pop("identifiers", ())), *named)
    lines = _several("lines", fields.pop("lines", ()))
    return Draft(kind, identifiers=identifiers, amount=amount, lines=lines, **fields)


def _several(name: str, values: object) -> tuple[Any, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InputError(f"{name} is {values!r}; a list or tuple is expected")
    return tuple(values)


def is_plain(draft: Draft) -> bool:
    """
    Return whether a quick look finds all fields as they should be, as in almost every draft.

    Of the others, `check_draft` tells what is wrong, if anything is. What cannot be stored, a NUL
    and half of a surrogate pair, is not printable. Looking is written out, as it is done for every
    interaction there is.
    """
    source, key = draft.source, draft.source_key
    if not (
        type(source) is str
        and source
        and source.isprintable()
        and (
            key is None or (type(key) is str and key.isprintable() and 0 < len(key) <= _LONGEST_KEY)
        )
        and ((text := draft.channel) is None or (type(text) is str and text.isprintable()))
        and ((text := draft.actor) is None or (type(text) is str and text.isprintable()))
        and ((text := draft.subject) is None or (type(text) is str and text.isprintable()))
        and ((text := draft.thread) is None or (type(text) is str and text.isprintable()))
        and ((text := draft.touch) is None or (type(text) is str and text.isprintable()))
        and ((n := draft.customer) is None or (type(n) is int and _SMALLEST <= n <= _LARGEST))
        and ((n := draft.caused_by) is None or (type(n) is int and _SMALLEST <= n <= _LARGEST))
        and type(draft.identifiers) is tuple
        and type(draft.lines) is tuple
    ):
        return False
    for name in draft.identifiers:
        if not (
            type(name) is Identifier
            and type(name.scheme) is str
            and type(value := name.value) is str
            and value
            and value.isprintable()
        ):
            return False
    for line in draft.lines:
        if not (
            type(line) is Line
            and type(line.product) is str
            and line.product.isprintable()
            and type(n := line.quantity) is int
            and _SMALLEST <= n <= _LARGEST
            and type(n := line.amount_minor) is int
            and _SMALLEST <= n <= _LARGEST
            and ((text := line.variant) is None or (type(text) is str and text.isprintable()))
            and ((text := line.category) is None or (type(text) is str and text.isprintable()))
            and ((text := line.key) is None or (type(text) is str and text.isprintable()))
            and ((text := line.undoes) is None or (type(text) is str and text.isprintable()))
            and ((n := line.cost_minor) is None or (type(n) is int and _SMALLEST <= n <= _LARGEST))
        ):
            return False
    return True


def check_draft(draft: Draft) -> None:
    """
    Refuse a draft that cannot be stored.

    Raises:
        InputError: Names the field, what was found and what is expected.
    """
    for name in _TEXTS:
        _check_text(name, getattr(draft, name), needed=name == "source")
    key = draft.source_key
    if key is not None and len(key) > _LONGEST_KEY:
        raise InputError(f"source_key has {len(key)} characters; 1 to {_LONGEST_KEY} are expected")
    if key == "":
        raise InputError(f"source_key is empty; 1 to {_LONGEST_KEY} characters, or None, expected")
    for name in ("customer", "caused_by"):
        _check_whole(name, getattr(draft, name), needed=False)
    for place, identifier in enumerate(_listed("identifiers", draft.identifiers, Identifier)):
        _check_text(f"identifiers[{place}].scheme", identifier.scheme, needed=True)
        _check_text(f"identifiers[{place}].value", identifier.value, needed=True)
    for place, line in enumerate(_listed("lines", draft.lines, Line)):
        for name in _LINE_TEXTS:
            _check_text(f"lines[{place}].{name}", getattr(line, name), needed=name == "product")
        for name in _LINE_NUMBERS:
            _check_whole(f"lines[{place}].{name}", getattr(line, name), needed=name != "cost_minor")


def _check_text(name: str, value: object, *, needed: bool) -> None:
    if value is None and not needed:
        return
    if not isinstance(value, str):
        raise InputError(f"{name} is {value!r}; text{'' if needed else ' or None'} is expected")
    if needed and not value:
        raise InputError(f"{name} is empty; text is expected")
    if not is_encodable(value):
        raise InputError(
            f"{name} is {value!r}, which holds half of a surrogate pair; text expected"
        )
    if NUL in value:
        raise InputError(f"{name} is {value!r}, which holds a NUL character; text expected")


def _check_whole(name: str, value: object, *, needed: bool) -> None:
    if value is None and not needed:
        return
    if type(value) is not int:
        wanted = "a whole number" if needed else "a whole number or None"
        raise InputError(f"{name} is {value!r}; {wanted} is expected")
    if abs(value) > _LARGEST:
        raise InputError(f"{name} is {value}; a whole number of 64 bits is expected")


def _listed(name: str, values: object, wanted: type) -> Sequence[Any]:
    if not isinstance(values, tuple | list):
        raise InputError(f"{name} is {values!r}; a tuple of {wanted.__name__} is expected")
    for place, value in enumerate(values):
        if not isinstance(value, wanted):
            raise InputError(f"{name}[{place}] is {value!r}; a {wanted.__name__} is expected")
    return values


@frozen(kw_only=True)
class Interaction:
    """
    One row of the ledger.

    `recorded_for` is the customer it was recorded for, for ever; `customer_id` the one it
    belongs to now. Amounts are what it adds to the customer's revenue, so those of a refund
    are negative; `amount_base_minor` is in the shop's own currency, frozen at recording.

    Attributes:
        id: Its own; of one customer they ascend in the order of the commits.
        kind: Such as `order.placed`.
        kind_version: The version of the payload it was recorded with.
        customer_id: Whose it is now.
        recorded_for: Whom it was recorded for, for ever.
        occurred_instant: When it happened, in microseconds.
        recorded_instant: When it was recorded, in microseconds.
        origin: Whether somebody told of it, or a plugin decided it.
        source: What reported it: the shop's name for a system, or `plugin:<name>`.
        source_key: The source's own key for it.
        channel: Where it happened, such as `web`.
        actor: Who did it, such as `staff:grace`.
        subject: What it is about, such as `order:1042`.
        thread: What holds a conversation together.
        touch: What led here, such as a coupon.
        amount_minor: What it adds to the customer's revenue, in minor units of *currency*.
        currency: That of the amount, an ISO 4217 code.
        amount_base_minor: The same in the shop's own currency; None where there was no rate.
        caused_by: The id of the interaction that led to it.
        payload_json: The payload without what is personal; `payload` reads it.
        personal_json: What is personal of the payload; None once it was erased, or where nothing
            is.
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
        """When it happened, in UTC."""
        return to_datetime(self.occurred_instant)

    @property
    def recorded_at(self) -> datetime:
        """When it was recorded, in UTC."""
        return to_datetime(self.recorded_instant)

    @property
    def amount(self) -> Money | None:
        """What it adds to the customer's revenue; None where there is no amount."""
        if self.amount_minor is None or self.currency is None:
            return None
        return Money(self.amount_minor, self.currency)

    @cached_property
    def payload(self) -> Any:
        """The payload as an object of its kind's class; personal values may be `ERASED`."""
        return self._kinds.decode(
            self.kind, self.kind_version, self.payload_json, self.personal_json
        )
