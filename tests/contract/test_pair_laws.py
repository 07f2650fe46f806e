"""The law of company: a plugin does beside others what it does alone."""

from typing import Any

from attrs import define
from crmcore_tiering import Tiering
from sqlalchemy import column, select, text, update

from crmcore import hookimpl
from crmcore.testing.laws import pairs
from crmcore.testing.laws.pairs import PairLaws, others
from tests.contract.support import breaks, shop_with
from tests.contract.tallies import COUNT, ORDERS, Tally

LAW = PairLaws().test_beside_every_other_plugin


@define(eq=False)
class Quiet(Tally):
    """Counts, and decides nothing; a right plugin."""

    @hookimpl
    def on_interactions_recorded(self, ctx, event):
        ctx.fold(ORDERS, event)


@define(eq=False)
class Peeping(Quiet):
    """Goes by another plugin's table; tiering stands before it, by its name."""

    @hookimpl
    def on_interactions_recorded(self, ctx, event):
        ctx.fold(ORDERS, event)
        self._peep(ctx)

    @hookimpl
    def recompute_customers(self, ctx, event):
        Tally.recompute_customers(self, ctx, event)
        self._peep(ctx)

    def _peep(self, ctx):
        """Let who stands in the other table have more than a hundred."""
        there: Any = select(column("customer_id")).select_from(text("crm_tiering_total"))
        more = update(COUNT).values(orders=COUNT.c.orders + 100)
        ctx.execute(more.where(COUNT.c.orders < 100, COUNT.c.customer_id.in_(there)))


def test_it_meets_what_is_installed(tmp_path):
    """Those are met that can be made with defaults, and bring no channel that is taken."""
    found = {cls.name for cls in others(shop_with(Quiet, tmp_path))}

    assert {"tiering", "files"} <= found
    assert "tiering" not in {cls.name for cls in others(shop_with(Tiering, tmp_path))}


def test_a_right_plugin_keeps_it(tmp_path, monkeypatch):
    """Nothing is other than alone."""
    monkeypatch.setattr(pairs, "others", lambda shop: [Tiering])
    LAW(shop_with(Quiet, tmp_path))


def test_what_goes_by_another_plugins_tables_is_found(tmp_path, monkeypatch):
    """The message names the other plugin, and the table that is not as it is alone."""
    monkeypatch.setattr(pairs, "others", lambda shop: [Tiering])
    found = breaks(LAW, shop_with(Peeping, tmp_path))

    assert found.startswith("beside tiering, what it derives follows from rows of tiering's tables")
    assert "crm_tally_count" in found
