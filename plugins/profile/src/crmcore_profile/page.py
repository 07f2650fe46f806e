"""The page: what is known of one customer, where it comes from, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import bindparam, select

from crmcore import Context, Money
from crmcore_profile.asking import Asking
from crmcore_profile.attributes import Attribute
from crmcore_profile.contribution import PARTS, Costs, parts_of
from crmcore_profile.current import current_values
from crmcore_profile.tables import Whole

_CUSTOMER: Final = bindparam("customer", type_=Whole)


class Page:
    """Tells of a customer what traits do not: origins, reasons, and what to ask next."""

    def __init__(self, attributes: Sequence[Attribute], costs: Costs, asking: Asking) -> None:
        self._many = {each.name for each in attributes if each.many}
        self._asking = asking
        row = current_values(attributes).c
        self._values = (
            select(
                row.attribute,
                row.value,
                row.origin,
                row.confidence,
                row.as_of,
                row.interaction_id,
            )
            .where(row.customer_id == _CUSTOMER)
            .order_by(row.attribute, row.value)
        )
        parts = parts_of(costs).c
        self._parts = select(parts.net_minor, *(parts[name] for name in PARTS)).where(
            parts.customer_id == _CUSTOMER
        )

    def describe(self, ctx: Context, customer_id: int) -> Mapping[str, Any] | None:
        """Return what is known of a customer, readable; None if that is nothing."""
        rows = ctx.execute(self._values, customer=customer_id)
        values = self._attributes(ctx, rows)
        contribution = self._contribution(ctx, customer_id)
        if not values and not contribution:
            return None
        found: dict[str, Any] = {"attributes": values}
        if contribution:
            found["contribution"] = contribution
        latest: dict[str, int] = {}
        for name, _, _, _, as_of, _ in rows:
            latest[name] = max(as_of, latest.get(name, as_of))
        asked = self._asking.next(ctx, customer_id, latest)
        if asked is not None:
            found["ask_next"] = f"{asked.attribute}: {asked.wording}"
        return found

    def _attributes(self, ctx: Context, rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value, origin, confidence, as_of, interaction_id in rows:
            told = {
                "value": value,
                "origin": origin,
                "confidence": f"{confidence} %",
                "as_of": ctx.calendar.day_of(as_of).isoformat(),
                "interaction": str(interaction_id),
            }
            if name in self._many:
                found.setdefault(name, []).append(told)
            else:
                found[name] = told
        return found

    def _contribution(self, ctx: Context, customer_id: int) -> dict[str, str]:
        rows = ctx.execute(self._parts, customer=customer_id)
        if not rows:
            return {}
        revenue, *costs = map(int, rows[0])
        told = {"revenue": revenue}
        told |= {
            name.removesuffix("_minor"): -cost
            for name, cost in zip(PARTS, costs, strict=True)
            if cost
        }
        told["left"] = revenue - sum(costs)
        return {name: str(Money(minor, ctx.currency)) for name, minor in told.items()}
