"""Each law of merges is broken by a plugin that is wrong there, and kept by a right one."""

import re
from typing import ClassVar

import pytest
from attrs import define
from sqlalchemy import Column, PrimaryKeyConstraint, Table, insert

from crmcore import PluginTable, hookimpl
from crmcore.domain.clock import DAY
from crmcore.testing.laws.merging import MergingLaws
from tests.contract.support import breaks, shop_with
from tests.contract.tallies import COUNT, ORDERS, Tally, Whole, counted, table

LAWS = MergingLaws()
OWNED = table("owned", Column("orders", Whole, nullable=False))
NOTED = Table(
    "crm_tally_noted",
    COUNT.metadata,
    Column("customer_id", Whole, nullable=False),
    Column("number", Whole, nullable=False),
    Column("customer", Whole, nullable=False),
    PrimaryKeyConstraint("customer_id", "number"),
)


@define(eq=False)
class Forgetful(Tally):
    """Makes nothing anew where two become one, or anew what it had."""

    @hookimpl
    def recompute_customers(self, ctx, event):
        ctx.fold(ORDERS, event)


@define(eq=False)
class Owning(Tally):
    """Says that it owns what it adds up, so that a merge keeps one of two sums."""

    tables: ClassVar = (PluginTable(OWNED, derived=False, merge="move", erase="delete"),)
    orders: ClassVar = counted(OWNED)

    @hookimpl
    def on_interactions_recorded(self, ctx, event):
        ctx.fold(self.orders, event)

    @hookimpl
    def recompute_customers(self, ctx, event):
        """Nothing is derived."""


@define(eq=False)
class Noting(Tally):
    """Writes a customer's id into another column, and into a timer's key."""

    tables: ClassVar = (PluginTable(NOTED, derived=False, merge="move", erase="delete"),)

    @hookimpl
    def on_interactions_recorded(self, ctx, event):
        for item in event:
            who = item.customer_id
            ctx.write(NOTED, [{"customer_id": who, "number": item.id, "customer": who}])

    @hookimpl
    def recompute_customers(self, ctx, event):
        """Nothing is derived."""


@define(eq=False)
class Remembering(Tally):
    """Goes by the customer in a timer's key, who may be somebody else by then."""

    tables: ClassVar = (PluginTable(NOTED, derived=False, merge="move", erase="delete"),)

    @hookimpl
    def on_interactions_recorded(self, ctx, event):
        for item in event:
            ctx.set_timer(
                f"for:{item.customer_id}", item.occurred_instant + 190 * DAY, item.customer_id
            )

    @hookimpl
    def on_timers_due(self, ctx, event):
        for timer in event.timers:
            who = int(timer.key.removeprefix("for:"))
            ctx.execute(insert(NOTED).values(customer_id=who, number=event.due, customer=0))

    @hookimpl
    def recompute_customers(self, ctx, event):
        """Nothing is derived."""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_right_plugin_keeps_them(tmp_path, kind):
    """All laws of merges hold for it."""
    shop = shop_with(Tally, tmp_path, kind)
    LAWS.test_merge_and_unmerge(shop)
    LAWS.test_merged_as_if_one_from_the_start(shop)
    LAWS.test_what_comes_while_merged(shop)


@pytest.mark.parametrize(
    ("plugin", "law", "told"),
    [
        (Forgetful, "test_merge_and_unmerge", "undone at once leaves other rows.*tally_count"),
        (Forgetful, "test_merged_as_if_one_from_the_start", "with the history of both"),
        (Forgetful, "test_what_comes_while_merged", "have the id of the merged customer"),
        (Owning, "test_merged_as_if_one_from_the_start", "loses what crm_tally_owned.orders"),
        (Noting, "test_merge_and_unmerge", "the id of the merged customer in customer;"),
        (Remembering, "test_merge_and_unmerge", "as time passes after the merge"),
    ],
)
def test_a_wrong_plugin_breaks_one(tmp_path, plugin, law, told):
    """The message says what a merge does to it."""
    found = breaks(getattr(LAWS, law), shop_with(plugin, tmp_path, examples=12))

    assert re.search(told, found, re.S)
