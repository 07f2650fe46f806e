"""The law of privacy is broken by plugins that keep, leak or forget something of somebody."""

from pathlib import Path
from typing import ClassVar

import pytest
from attrs import define, evolve
from sqlalchemy import Column, MetaData, PrimaryKeyConstraint, Table, Text

from crmcore import Erasure, Keep, PluginTable, hookimpl
from crmcore.testing.laws.privacy import PrivacyLaws
from tests.contract.support import breaks, shop_with
from tests.contract.tallies import Tally, Thanked, Whole

LAW = PrivacyLaws().test_export_and_erasure
_SEEN: dict[int, str] = {}
NOTE = Table(
    "crm_tally_note",
    MetaData(),
    Column("customer_id", Whole, nullable=False),
    Column("number", Whole, nullable=False),
    Column("words", Text),
    PrimaryKeyConstraint("customer_id", "number"),
)


def said(item):
    """Return what somebody said with an order."""
    return f"{item.payload.note}" if item.kind == "order.placed" else ""


@define(eq=False)
class Noting(Tally):
    """Keeps what was said with an order, in a table whose rows an erasure deletes."""

    tables: ClassVar = (PluginTable(NOTE, derived=False, merge="move", erase="delete"),)

    @hookimpl
    def on_interactions_recorded(self, ctx, event):
        for item in event:
            row = {"customer_id": self.owner(item), "number": item.id, "words": said(item)}
            ctx.write(NOTE, [row])

    def owner(self, item):
        return item.customer_id

    @hookimpl
    def recompute_customers(self, ctx, event):
        """Nothing is derived."""


@define(eq=False)
class Keeping(Noting):
    """Keeps them for a reason that it tells."""

    tables: ClassVar = (
        PluginTable(NOTE, derived=False, merge="move", erase=Keep("a law says so")),
    )


@define(eq=False)
class Misplacing(Noting):
    """Writes what everybody said into rows of customer 1."""

    def owner(self, item):
        return 2


@define(eq=False)
class Telling(Tally):
    """Puts a part of what was said into a field that is not marked personal."""

    def thanks(self, item):
        words = said(item).partition(" ")[0]
        return evolve(super().thanks(item), payload=Thanked(words=words))


@define(eq=False)
class Remembering(Tally):
    """Remembers what was said in a module."""

    @hookimpl
    def on_interactions_recorded(self, ctx, event):
        Tally.on_interactions_recorded(self, ctx, event)
        _SEEN.update({item.id: said(item) for item in event})


@define(eq=False)
class Filing(Tally):
    """Writes what was said into a file of each customer, and lets go of it."""

    @hookimpl
    def after_interactions_recorded(self, ctx, event):
        for item in event:
            with Path(f"{item.customer_id}.txt").open("a") as file:
                file.write(said(item))

    @hookimpl
    def erase_customer(self, ctx, event):
        path = Path(f"{event.customer_id}.txt")
        if not event.planned:
            path.unlink(missing_ok=True)
        return [Erasure("files", count=1, files=(Path().absolute(),))]


@define(eq=False)
class Hoarding(Filing):
    """Says that it lets go of the file."""

    @hookimpl
    def erase_customer(self, ctx, event):
        return [Erasure("files", count=1)]


@define(eq=False)
class Hasty(Filing):
    """Lets go of the file when it is only asked."""

    @hookimpl
    def erase_customer(self, ctx, event):
        Path(f"{event.customer_id}.txt").unlink(missing_ok=True)
        return [Erasure("files", count=1)]


@pytest.mark.parametrize("plugin", [Noting, Filing])
def test_right_plugins_keep_it(tmp_path, plugin):
    """Tables of each policy, and files that are removed, are as they have to be."""
    LAW(shop_with(plugin, tmp_path))


def test_names_that_are_kept_need_a_reason(tmp_path):
    """A table whose policy is to keep holds names only where the contract is told why."""

    class Explained(PrivacyLaws):
        held: ClassVar = {NOTE.name: "a law wants whom an invoice is to"}

    told = breaks(LAW, shop_with(Keeping, tmp_path))
    assert f"{NOTE.name}, column" in told
    assert "as its erase policy keeps its rows" in told

    Explained().test_export_and_erasure(shop_with(Keeping, tmp_path))


def test_a_right_plugin_keeps_it_on_postgresql(tmp_path):
    """The law holds for it there, too."""
    LAW(shop_with(Tally, tmp_path, "postgresql"))


@pytest.mark.parametrize(
    ("plugin", "told"),
    [
        (Misplacing, "holds something of another"),
        (Telling, "something of the person is left in crm_interaction, column payload"),
        (Remembering, "_SEEN remembers something of a customer"),
        (Hoarding, "left in the file"),
        (Hasty, "while it is only asked"),
    ],
)
def test_wrong_plugins_break_it(tmp_path, plugin, told):
    """The message says where something of the person stands."""
    _SEEN.clear()
    try:
        assert told in breaks(LAW, shop_with(plugin, tmp_path))
    finally:
        _SEEN.clear()
