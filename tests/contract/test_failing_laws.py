"""Each law of isolation is broken by a plugin that is wrong there, and kept by a right one."""

from typing import ClassVar

import pytest
from attrs import define, evolve
from sqlalchemy import text

from crmcore import Draft, Report, ReportResult, hookimpl
from crmcore.testing.laws.failing import FailingLaws
from tests.contract.support import breaks, shop_with
from tests.contract.tallies import COUNT, ORDERS, Tally

LAWS = FailingLaws()


@define(eq=False)
class Trusting(Tally):
    """Takes it that every order has an amount."""

    @hookimpl
    def on_interactions_recorded(self, ctx, event):
        Tally.on_interactions_recorded(self, ctx, event)
        for item in event:
            if item.kind == "order.placed":
                _ = item.amount.amount_minor + 1


@define(eq=False)
class Describing(Tally):
    """Takes it that everybody it is asked about has ordered."""

    @hookimpl
    def describe_customer(self, ctx, event):
        rows = ctx.execute(COUNT.select().where(COUNT.c.customer_id == event.customer_id))
        return {"orders": rows[0][1]}


@define(eq=False)
class Reporting(Tally):
    """Divides by the number of customers, of whom there are none at first."""

    @hookimpl
    def register_reports(self):
        return [Report("tally.average", description="orders of a customer", run=self._average)]

    def _average(self, ctx):
        rows = ctx.execute(COUNT.select())
        return ReportResult(figures={"average": sum(row[1] for row in rows) / len(rows)})


@define(eq=False)
class Deciding(Tally):
    """Decides in a rebuild."""

    @hookimpl
    def recompute_customers(self, ctx, event):
        Tally.recompute_customers(self, ctx, event)
        ctx.record(Draft("tally.thanked", customer=1, source_key="again"))


@define(eq=False)
class Meddling(Tally):
    """Changes what the shop recorded."""

    @hookimpl
    def on_interactions_recorded(self, ctx, event):
        Tally.on_interactions_recorded(self, ctx, event)
        ctx.execute(text("UPDATE crm_line SET quantity = quantity + 1"))


@define(eq=False)
class Present(Tally):
    """Decides from the present clock."""

    @hookimpl
    def on_interactions_recorded(self, ctx, event):
        ctx.fold(ORDERS, event)
        now = ctx.clock.now() // 86_400_000_000
        for item in event:
            if item.kind == "order.placed":
                ctx.record(evolve(self.thanks(item), source_key=f"{item.source_key}/{now}"))


@define(eq=False)
class Numbered(Tally):
    """Counts calls in its object, and decides by the count."""

    calls: ClassVar = [0]

    @hookimpl
    def on_interactions_recorded(self, ctx, event):
        self.calls[0] += 1
        ctx.fold(ORDERS, event)
        for item in event:
            if item.kind == "order.placed" and self.calls[0] % 2:
                ctx.record(self.thanks(item))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_right_plugin_keeps_them(tmp_path, kind):
    """All laws of isolation hold for it."""
    shop = shop_with(Tally, tmp_path, kind)
    LAWS.test_no_hook_raises(shop)
    LAWS.test_it_harms_no_order(shop)
    LAWS.test_it_catches_up(shop)


@pytest.mark.parametrize(
    ("plugin", "told"),
    [
        (Trusting, "on_interactions_recorded raised AttributeError"),
        (Describing, "describe_customer raised IndexError"),
        (Reporting, "its report tally.average raised"),
        (Deciding, "recompute_customers raised"),
    ],
)
def test_a_hook_that_raises_is_named(tmp_path, plugin, told):
    """The message names the hook and the error."""
    assert told in breaks(LAWS.test_no_hook_raises, shop_with(plugin, tmp_path))


def test_what_changes_facts_is_found(tmp_path):
    """The message says that facts are other ones, and which."""
    found = breaks(LAWS.test_it_harms_no_order, shop_with(Meddling, tmp_path, examples=12))

    assert found.startswith("with it the ledger holds other facts")
    assert "crm_line" in found


@pytest.mark.parametrize("plugin", [Present, Numbered])
def test_what_does_not_catch_up_is_found(tmp_path, plugin):
    """The message names the hook whose failing is not made good."""
    found = breaks(LAWS.test_it_catches_up, shop_with(plugin, tmp_path, examples=12))

    assert "when on_interactions_recorded failed now and then" in found
