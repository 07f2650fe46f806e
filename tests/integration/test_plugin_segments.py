"""Segments that plugins bring, and what a plugin asks about segments in its transaction."""

from collections.abc import Iterable
from typing import ClassVar

import pytest
from attrs import define
from typing_extensions import override

from crmcore import Context, Crm, NamedSegment, Plugin, Started, VirtualClock, hookimpl
from crmcore.domain.clock import DAY
from crmcore.errors import ConfigurationError, InputError, PluginError, SegmentError
from tests.support.databases import scratch, shop_file

pytestmark = pytest.mark.each_database(partitioned=False)
NOW = 20_000 * DAY


@define(eq=False)
class Grower(Plugin):
    """Brings a segment, and remembers how it was started."""

    name: ClassVar[str] = "grower"
    rule: str = "orders(days=30).count >= 2"
    has_missed: bool | None = None

    @hookimpl
    @override
    def register_segments(self) -> Iterable[NamedSegment]:
        return [NamedSegment("growing", self.rule, description="buy more and more")]

    @hookimpl
    @override
    def on_started(self, ctx: Context, event: Started) -> None:
        self.has_missed = event.has_missed


@define(eq=False)
class Copier(Grower):
    """Brings the same."""

    name: ClassVar[str] = "copier"


def opened(*plugins, url=None, segments=None):
    return Crm(
        url or scratch(),
        plugins=plugins or [Grower()],
        clock=VirtualClock(NOW),
        segments=segments or {},
        durable=False,
    )


def order(crm, name):
    return crm.record("order.placed", email=f"{name}@example.com", amount="20").customer_id


def test_plugins_bring_segments():
    """What a plugin brings is named like any other, by the shop and within its segments."""
    with opened(segments={"others": "orders and not in growing"}) as crm:
        ada, bob = order(crm, "ada"), order(crm, "bob")
        order(crm, "ada")

        assert [ada] == crm.members("growing")
        assert [bob] == crm.members("others")


def test_clashes():
    """A name that two have is refused at the start, naming both."""
    with pytest.raises(ConfigurationError, match=r"names .*'growing' of plugin 'grower'"):
        opened(segments={"growing": "orders"})
    with pytest.raises(PluginError, match=r"segment 'growing', which plugin 'copier' registers"):
        opened(Grower(), Copier())


def test_wrong_rules_name_the_plugin():
    """A rule that is not right is told with the plugin, and where in the text."""
    with pytest.raises(ConfigurationError, match=r"'growing' of plugin 'grower': line 1, column 1"):
        opened(Grower(rule="ordres.count > 1"))


def test_asking(tmp_path):
    """A plugin asks for members, flips, causes and merges of all, or of some, as known then."""
    with opened() as crm:
        ada, bob = order(crm, "ada"), order(crm, "bob")
        order(crm, "ada")
        last = crm.customer(ada).latest[0].id
        with crm.begin() as tx, tx.acting(Grower) as (_, ctx):
            asked = ctx.segments
            assert {"growing": {ada}} == asked.memberships(["growing"], NOW)
            assert {"growing": set()} == asked.memberships(["growing"], NOW, [bob])
            assert {"growing": set()} == asked.memberships(
                ["growing"], NOW, [ada], known_before=NOW
            )
            assert {ada: NOW + 30 * DAY} == asked.next_flips(["growing"], NOW, [ada])
            assert {} == asked.next_flips(["growing"], NOW, [ada], known_before=NOW)
            assert {"growing": {ada: last}} == asked.latest(["growing"], NOW, [ada])
            assert {"growing": {}} == asked.latest(["growing"], NOW, [ada], known_before=NOW)
            assert [(bob, "order.placed", NOW)] == list(asked.recorded([bob], NOW))
            assert [ada, bob] == list(asked.customers())
            assert ["growing"] == list(asked.changed_by(["order.placed"]))
            assert [] == list(asked.changed_by(["product.viewed"])) == list(asked.of_strangers)
            with pytest.raises(SegmentError, match="did you mean 'growing'"):
                asked.memberships(["grown"], NOW)
            assert set() == asked.reassigned(NOW)
        crm.merge(ada, bob)
        with crm.begin() as tx, tx.acting(Grower) as (_, ctx):
            assert {ada, bob} == ctx.segments.reassigned(NOW)
            assert set() == ctx.segments.reassigned(NOW + 1)
            assert [ada] == list(ctx.segments.customers())


def test_many_timers():
    """Timers of many are set at once, for whom the customers are by now; an ended one is not."""
    with opened() as crm:
        ada, bob = order(crm, "ada"), order(crm, "bob")
        crm.merge(ada, bob)
        with crm.begin() as tx, tx.acting(Grower) as (_, ctx):
            ctx.set_timers("look", {ada: NOW + 2 * DAY, bob: NOW + DAY}, missed=[NOW - DAY])
            assert NOW + DAY == ctx.find_timer("look", ada)
            assert {NOW - DAY, NOW + DAY} == set(tx.passed)


def test_notes(tmp_path):
    """What a plugin notes is there at the next start."""
    url = shop_file(tmp_path)
    with opened(url=url) as crm, crm.begin() as tx, tx.acting(Grower) as (_, ctx):
        assert ctx.find_note("rules") is None
        ctx.set_note("rules", "first")
        ctx.set_note("rules", "second")
    with opened(url=url) as crm, crm.begin() as tx, tx.acting(Grower) as (_, ctx):
        assert "second" == ctx.find_note("rules")
        assert ctx.find_note("rule") is None


def test_has_missed(tmp_path):
    """A plugin is told whether anything was recorded while it was not there."""
    url = shop_file(tmp_path)
    for recorded, expected in ((False, False), (True, True)):
        with opened(url=url) as crm:
            order(crm, "ada")
        with Crm(url, clock=VirtualClock(NOW)) as crm:
            if recorded:
                order(crm, "bob")
        plugin = Grower()
        with opened(plugin, url=url):
            assert expected == plugin.has_missed
        with opened(plugin, url=url):
            assert plugin.has_missed is False


def test_due_in_the_past_is_refused_while_timers_fire():
    """As for one timer, so for many: what is missed would never end."""
    with opened() as crm:
        ada = order(crm, "ada")
        with crm.begin() as tx, tx.acting(Grower) as (_, ctx):
            ctx.firing = NOW
            with pytest.raises(InputError, match="a later instant is expected"):
                ctx.set_timers("look", {ada: NOW})


def test_an_audience_is_a_select_of_a_name_or_a_text():
    """A plugin speaks to those in a segment as of an instant, in its own transaction."""
    with opened() as crm:
        ada, bob = order(crm, "ada"), order(crm, "bob")
        order(crm, "ada")
        with crm.begin() as tx, tx.acting(Grower) as (_, ctx):
            for asked, members in (("growing", [ada]), ("orders.count == 1", [bob])):
                found = ctx.execute(ctx.segments.audience(asked, NOW))
                assert members == sorted(row[0] for row in found)
            assert [] == ctx.execute(ctx.segments.audience("growing", NOW + 40 * DAY))
            with pytest.raises(SegmentError, match="growin"):
                ctx.segments.audience("growin", NOW)


def test_measures_of_some_customers():
    """Those asked about alone, whoever is merged or erased left out, in one statement."""
    with opened() as crm:
        ada, bob, cleo = (order(crm, name) for name in ("ada", "bob", "cleo"))
        order(crm, "ada")
        merged = crm.merge(bob, cleo)
        with crm.begin() as tx, tx.acting(Grower) as (_, ctx):
            asked = ("orders.count", "orders.sum", "days_since(orders.first)")
            found = ctx.segments.measures(asked, [ada, cleo], NOW + DAY)
            assert [(ada, 2, 4000, 1)] == list(found.rows)
            assert ["", "minor", "days"] == [column.unit for column in found.columns]
            both = ctx.segments.measures(asked[:1], {ada, bob}, NOW + DAY)
            assert [(ada, 2), (bob, 2)] == list(both.rows)
            assert [] == list(ctx.segments.measures(asked, [], NOW).rows)
            with pytest.raises(SegmentError, match=r"'orders\.cuont'"):
                ctx.segments.measures(["orders.cuont"], [ada], NOW)
        assert merged.id
