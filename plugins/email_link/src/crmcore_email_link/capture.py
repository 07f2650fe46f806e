"""Capture: the address that comes with an order, and what the shop may use it for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

from attrs import frozen

from crmcore import Erased, Identifier, Interaction, Kind, Transaction, normalise, personal
from crmcore.errors import InputError, nearest
from crmcore_email_link.addresses import parse
from crmcore_email_link.composing import BULK

Basis = Literal["soft_opt_in", "consent", "contract"]
"""
Why mail of a purpose may go to an address that came with an order: own similar goods, as a notice
said that could be refused (directive 2002/58/EC, article 13(2)); a box that was ticked by whom it
is about (GDPR, articles 4(11) and 7; CJEU C-673/17 on ticked ones); as part of the order itself.
"""
BASES: Final[tuple[Basis, ...]] = get_args(Basis)

CAPTURED: Final = "email_link.captured"


@frozen(kw_only=True)
class Captured:
    """
    An address came with an order.

    Attributes:
        order: The shop's own name of the order.
        locale: In which the customer ordered, such as `de-AT`.
        notice: Which notice about mail they saw, and in which version.
        bases: By purpose, why mail of it may go.
        address: As it was written.
    """

    order: str
    locale: str | None = None
    notice: str | None = None
    bases: Mapping[str, str] | None = None
    address: str | Erased | None = personal(default=None)


KINDS: Final = (Kind(CAPTURED, payload=Captured, description="An address came with an order."),)


def capture(
    tx: Transaction,
    order_id: str,
    address: str,
    *,
    bases: Mapping[str, Basis],
    locale: str | None = None,
    notice_version: str | None = None,
    customer: int | None = None,
) -> Interaction:
    """
    Record the address of an order, and why mail may go there; the second time, nothing.

    A soft opt-in counts only where nobody ever said no: it is recorded as `consent.imported`. A
    basis of `consent` is recorded as `consent.given`, so it may follow a no.

    Args:
        tx: The transaction in which the order is recorded.
        order_id: The shop's own name of the order.
        address: As the customer wrote it.
        bases: By purpose, `soft_opt_in`, `consent` or `contract`.
        locale: In which the customer ordered.
        notice_version: Which text they saw; for a soft opt-in and for consent there is one.
        customer: Who it is, where they are known; None: a guest with that address.

    Raises:
        IdentifierError: If nothing could be sent there.
        InputError: If a purpose and its basis do not fit.
    """
    parsed = parse(address)
    _check(bases, notice_version)
    normal = normalise("guest_email", parsed.match_key)
    whose: dict[str, Any] = {"identifiers": (normal,)}
    if customer is not None:
        whose = {"customer": customer}
    payload = {
        "order": order_id,
        "locale": locale,
        "notice": notice_version,
        "bases": dict(bases),
        "address": address,
    }
    found = tx.record(
        CAPTURED,
        payload={name: value for name, value in payload.items() if value is not None},
        source_key=f"email_link.captured/{order_id}",
        **whose,
    )
    if found.payload.address != address or found.payload.bases != dict(bases):
        return found  # told before, with something else: the first stands
    for purpose, basis in sorted(bases.items()):
        if basis != "contract":
            _agree(tx, found, purpose, basis, normal)
    return found


def _agree(
    tx: Transaction, found: Interaction, purpose: str, basis: Basis, normal: Identifier
) -> None:
    """Record what may go there; told again it is one row."""
    payload = found.payload
    said = {
        "purpose": purpose,
        "channel": "email",
        "point": normal.value,
        "wording": payload.notice,
        "language": payload.locale,
        "mechanism": basis if basis == "soft_opt_in" else "order",
        "evidence": f"order {payload.order}",
    }
    tx.record(
        "consent.imported" if basis == "soft_opt_in" else "consent.given",
        customer=found.customer_id,
        payload={name: value for name, value in said.items() if value is not None},
        source_key=f"email_link.captured/{payload.order}/{purpose}",
        caused_by=found.id,
    )


def _check(bases: Mapping[str, Basis], notice_version: str | None) -> None:
    for purpose, basis in bases.items():
        if basis not in BASES:
            raise InputError(
                f"the basis for {purpose!r} is {basis!r}{nearest(basis, BASES)}; one of "
                f"{', '.join(BASES)} is expected"
            )
        known = (*sorted(BULK), "service")
        if purpose not in known:
            raise InputError(
                f"a purpose is {purpose!r}{nearest(purpose, known)}; one of {', '.join(known)} "
                "is expected"
            )
        if (basis == "contract") != (purpose == "service"):
            raise InputError(
                f"the basis for {purpose!r} is {basis!r}; 'contract' is for service alone, and "
                "service needs no other"
            )
        if basis != "contract" and not notice_version:
            raise InputError(
                f"the basis for {purpose!r} is {basis!r}, and no notice_version is given; the "
                "text that the customer saw is expected, such as 'checkout/3'"
            )
