"""The shop answers questions by being a plugin: exchange rates, guards, and what it adds."""

from __future__ import annotations

from decimal import Decimal

from attrs import define
from typing_extensions import override

from crmcore import (
    Context,
    Crm,
    Draft,
    ExchangeRateWanted,
    InteractionDrafted,
    Money,
    Plugin,
    Refuse,
    StageChangeProposed,
    hookimpl,
)


@define(eq=False)
class TeaShop(Plugin):
    """A shop in Hamburg that also sells to Switzerland."""

    name = "tea_shop"
    franc: Decimal = Decimal("1.05")

    @hookimpl
    @override
    def choose_exchange_rate(self, ctx: Context, event: ExchangeRateWanted) -> Decimal | None:
        return self.franc if (event.currency, event.base) == ("CHF", "EUR") else None

    @hookimpl
    @override
    def prepare_interaction(self, ctx: Context, event: InteractionDrafted) -> Draft | None:
        """Orders by telephone come without a channel."""
        draft = event.draft
        if draft.channel is None and draft.source == "telephone":
            return Draft(
                draft.kind,
                identifiers=draft.identifiers,
                amount=draft.amount,
                source=draft.source,
                source_key=draft.source_key,
                channel="phone",
            )
        return None

    @hookimpl
    @override
    def guard_stage_change(self, ctx: Context, event: StageChangeProposed) -> Refuse | None:
        """Whoever opens a cart is shopping only once they are known."""
        if (event.from_stage, event.to_stage) == ("anonymous", "shopping"):
            return Refuse("we ask for a name first")
        return None


def test_francs_count_in_euros() -> None:
    """An amount in francs is frozen in euros when it is recorded."""
    with Crm("sqlite://", currency="EUR", zone="Europe/Berlin", plugins=[TeaShop()]) as crm:
        order = crm.record("order.placed", email="reto@example.ch", amount=Money.of("100", "CHF"))

    assert (10000, "CHF", 10500) == (order.amount_minor, order.currency, order.amount_base_minor)


def test_telephone_orders_have_their_channel() -> None:
    """The draft is written as the shop returned it."""
    with Crm("sqlite://", currency="EUR", plugins=[TeaShop()]) as crm:
        order = crm.record("order.placed", email="ada@example.com", source="telephone")

    assert "phone" == order.channel


def test_refusals_are_on_record() -> None:
    """A refused change leaves the stage, and says why."""
    with Crm("sqlite://", currency="EUR", plugins=[TeaShop()]) as crm:
        cart = crm.record("cart.changed", cookie="c-81", payload={"cart": "7"})
        stages = crm.customer(cart.customer_id).stages
        decisions = crm.why_decisions(cart.customer_id)

    assert "anonymous" == stages[0].stage
    assert ["tea_shop: we ask for a name first"] == decisions[0].interaction.payload.reasons
