"""Lines of orders, and of what undoes them, as rows of the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from crmcore.domain.interaction import Draft
from crmcore.domain.kind import Kind
from crmcore.errors import MoneyError

_LARGEST: Final = 2**63 - 1  # what a 64-bit column holds


def line_rows(
    interaction_id: int,
    owner: int,
    kind: Kind,
    draft: Draft,
    *,
    same: bool,
    base: int | None,
    minor: int | None,
) -> Iterable[tuple[Any, ...]]:
    """
    Yield the rows of a draft's lines.

    Lines of what takes revenue away are turned together, so that together they take it away, and
    a discount among them still lessens what is taken.
    """
    sign = -1 if kind.sign < 0 else 1
    amounts = [item.amount_minor for item in draft.lines]
    if sign < 0 and sum(amounts) >= 0:
        amounts = [-amount for amount in amounts]
    in_bases: Sequence[int | None] = amounts if same else _shared(amounts, base, minor)
    for number, (item, amount, in_base) in enumerate(
        zip(draft.lines, amounts, in_bases, strict=True), start=1
    ):
        yield (
            interaction_id,
            number,
            owner,
            item.key,
            item.undoes,
            item.product,
            item.variant,
            item.category,
            sign,
            item.quantity,
            amount,
            in_base,
            item.cost_minor,
        )


def _shared(amounts: Sequence[int], base: int | None, minor: int | None) -> Sequence[int | None]:
    """
    Return *amounts* at the rate that made *minor* of a currency *base* of the shop's.

    What rounding leaves over goes to the largest remainders, so that amounts that add up to
    *minor* add up to *base*.
    """
    if base is None or minor is None:
        return [None] * len(amounts)
    if minor == 0:  # which tells no rate; nothing is nothing at any
        return [None if amount else 0 for amount in amounts]
    if minor < 0:
        base, minor = -base, -minor
    shares, rest = [], []
    for amount in amounts:
        share, remainder = divmod(amount * base, minor)
        shares.append(share)
        rest.append(remainder)
    # Half up rather than to even: where the amounts add up to minor, nothing is rounded at all.
    over = (2 * sum(amounts) * base + minor) // (2 * minor) - sum(shares)
    for place in sorted(range(len(rest)), key=rest.__getitem__, reverse=True)[:over]:
        shares[place] += 1
    for amount, share in zip(amounts, shares, strict=True):
        if abs(share) > _LARGEST:
            raise MoneyError(f"a line of {amount} at this rate does not fit in 64 bits")
    return shares
