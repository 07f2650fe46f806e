"""Consents: who let the shop see whether they open its mails and follow their links."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from attrs import frozen
from sqlalchemy import ColumnElement, Select, UpdateBase, and_, bindparam, case, func, or_, select

from crmcore import (
    Draft,
    Erased,
    Facts,
    Fold,
    Identifier,
    Interaction,
    Kind,
    Transaction,
    normalise,
    personal,
    to_datetime,
)
from crmcore.errors import InputError
from crmcore.hooks.fold import Insert
from crmcore_email_link.reading import Execute, identifier
from crmcore_email_link.tables import Whole, Words
from crmcore_email_link.tracking.tables import said

ALLOWED: Final = "email_link.tracking_allowed"
REFUSED: Final = "email_link.tracking_refused"
SOURCE: Final = "email_link"


@frozen(kw_only=True)
class TrackingAllowed:
    """
    A customer let the shop see whether they open its mails and follow their links.

    Attributes:
        wording: Which text they were shown, and in which version, such as `tracking/1`.
        language: Of that text, as a BCP 47 tag.
        mechanism: How they said so: `form`, `double_opt_in`, `counter`, `import`.
        evidence: What proves it, such as an address of the network; the law wants it kept.
    """

    wording: str
    language: str | None = None
    mechanism: str | None = None
    evidence: str | Erased | None = personal(default=None)


@frozen(kw_only=True)
class TrackingRefused:
    """
    A customer does not want that, or no longer.

    Attributes:
        mechanism: How they said so: `link`, `preferences`, `form`, `counter`.
    """

    mechanism: str | None = None


CONSENT_KINDS: Final = (
    Kind(
        ALLOWED,
        payload=TrackingAllowed,
        description="A customer lets the shop see whether they open mails and follow links.",
    ),
    Kind(
        REFUSED,
        payload=TrackingRefused,
        follows=True,
        description="A customer does not let the shop see that, or no longer.",
    ),
)


def _add(facts: Facts, insert: Insert) -> UpdateBase:
    row = facts.interactions.c
    chosen = select(
        row.customer_id, row.occurred_at, case((row.kind == ALLOWED, 1), else_=0)
    ).where(row.kind.in_((ALLOWED, REFUSED)))
    new = insert(said).from_select(list(said.c.keys()), chosen)
    added: UpdateBase = new.on_conflict_do_nothing()
    return added


SAID: Final = Fold(_add)
"""Adds what a batch says of it."""

_s: Final = said.c
_now: Final = bindparam("now", type_=Whole)


def stands(at: ColumnElement[int]) -> ColumnElement[bool]:
    """
    Return the condition on a group of a customer's words by which tracking is allowed.

    The last word counts, and of one instant the no; a yes of an instant to come counts not yet.
    """
    yes = func.max(case((and_(_s.is_allowed == 1, _s.at <= at), _s.at)))
    no = func.max(case((_s.is_allowed == 0, _s.at)))
    return and_(yes.is_not(None), or_(no.is_(None), yes > no))


@lru_cache(maxsize=16)
def _among(size: int) -> Select[Any]:
    """Return the statement for so many customers; kept, as each object is compiled once."""
    ids = [bindparam(f"id_{number}", type_=Whole) for number in range(size)]
    return (
        select(_s.customer_id)
        .where(_s.customer_id.in_(ids))
        .group_by(_s.customer_id)
        .having(stands(_now))
    )


def allowed_among(execute: Execute, customers: Sequence[int], now: int) -> frozenset[int]:
    """Return those of some customers who allow it, by one statement."""
    if not customers:
        return frozenset()
    size = 1 << (len(customers) - 1).bit_length()  # few sizes, so few statements to compile
    ids = {f"id_{number}": customers[min(number, len(customers) - 1)] for number in range(size)}
    return frozenset(row[0] for row in execute(_among(size), now=now, **ids))


_last_yes: Final = select(func.max(_s.at)).where(
    _s.customer_id == bindparam("owner", type_=Whole), _s.is_allowed == 1
)
_last_no: Final = select(func.max(_s.at)).where(
    _s.customer_id == bindparam("owner", type_=Whole), _s.is_allowed == 0
)
_named: Final = select(identifier.c.customer_id).where(
    identifier.c.scheme == bindparam("in_scheme", type_=Words),
    identifier.c.identifier_value == bindparam("named", type_=Words),
)


def refused_at(execute: Execute, customer: int) -> int | None:
    """Return when a customer last said no; None: never."""
    found: int | None = execute(_last_no, owner=customer)[0][0]
    return found


def allow(
    tx: Transaction,
    customer: int | Identifier,
    *,
    wording: str,
    language: str | None = None,
    mechanism: str = "form",
    evidence: str | None = None,
) -> Interaction:
    """Record that a customer allows it; see `EmailLink.allow_tracking`."""
    if not wording:
        raise InputError("no wording is given; the text that was seen, such as 'tracking/1'")
    told = {"language": language, "evidence": evidence}
    payload = {
        "wording": wording,
        "mechanism": mechanism,
        **{name: value for name, value in told.items() if value is not None},
    }
    return tx.record(Draft(ALLOWED, payload=payload, source=SOURCE, **_who(customer)))


def refuse(
    tx: Transaction, customer: int | Identifier, now: int, *, mechanism: str = "form"
) -> Interaction:
    """
    Record that a customer does not want it; see `EmailLink.refuse_tracking`.

    It is as late as the last yes there is, which was said before it though a clock was set back.
    """
    yes = _said_yes(tx.connection.execute, customer)
    at = now if yes is None else max(now, yes)
    draft = Draft(
        REFUSED,
        payload={"mechanism": mechanism},
        source=SOURCE,
        occurred_at=to_datetime(at),
        **_who(customer),
    )
    return tx.record(draft)


def _said_yes(execute: Execute, customer: int | Identifier) -> int | None:
    """Return when a customer last allowed it."""
    owner: Any = customer
    if isinstance(customer, Identifier):
        name = normalise(customer.scheme, customer.value)
        rows = execute(_named, in_scheme=name.scheme, named=name.value)
        owner = rows[0][0] if rows else None
    if type(owner) is not int:
        return None  # nobody, or what `record` refuses
    found: int | None = execute(_last_yes, owner=owner)[0][0]
    return found


def _who(customer: int | Identifier) -> dict[str, Any]:
    if isinstance(customer, Identifier):
        return {"identifiers": (customer,)}
    if type(customer) is not int:
        raise InputError(
            f"{customer!r} names no customer; an id, or an identifier such as "
            "Identifier('email', 'ada@example.com'), is expected"
        )
    return {"customer": customer}
