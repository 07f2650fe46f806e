"""Plugins in shadow: they decide, it is kept on record, and nobody acts on it."""

from __future__ import annotations

from typing import Any

import pytest
from crmcore_tiering import Tiering

from crmcore import Draft, Identifier, Kind, Money, Plugin
from crmcore.domain.clock import DAY
from crmcore.domain.gate import Cap, GateSettings
from crmcore.errors import InputError, MoneyError, PluginError, PluginNotFoundError
from crmcore.services.recording.folds import own_source
from crmcore.testing.snapshots import snapshot
from tests.support.databases import scratch, shop_file
from tests.support.making import draft, plugin, rows, us
from tests.support.plugins import Books, Strict
from tests.support.runs import opened, replayed
from tests.support.sending import Post, message, states
from tests.support.shadows import KINDS, Listener, Meddler, beside, decided

pytestmark = pytest.mark.each_database


@pytest.fixture
def url(tmp_path):
    return shop_file(tmp_path)


def order(number, at, email="a", **values):
    return draft(
        "order.placed",
        at,
        key=f"order {number}",
        email=email,
        amount=Money(1000 * number, "EUR"),
        subject=f"order:{number}",
        **values,
    )


def lived(crm, clock):
    """Let a shop have some weeks: orders, consent, messages, late facts, and a worker."""
    clock.advance_to(us(0))
    crm.record_many([order(1, 0), order(2, 0, "b"), order(3, 0, "c")])
    crm.record(
        draft("consent.given", 0, key="yes", payload={"purpose": "promotion", "channel": "email"})
    )
    ada = crm.record(order(4, 0)).customer_id
    crm.send(message(ada, "thanks"))
    crm.worker().once()
    for days in (1, 4, 20, 60):
        clock.advance_to(us(days))
        crm.worker().once()
        crm.record(order(days + 10, days, "b"))
        crm.record(draft("order.cancelled", days, key=f"no {days}", email="c", subject="order:3"))
        crm.record(order(days + 20, days - 0.5))  # late
        crm.send(message(ada, f"news {days}"))
        crm.worker().once()
    crm.broadcast("all", "everyone", purpose="service", channel="email", content=message(1).content)
    crm.worker().once()


def run(*plugins, shadow=(), then=lambda crm: None):
    post, listener = Post(), Listener()
    with opened([post, listener, Strict(), *plugins], url=scratch(), shadow=shadow) as (crm, clock):
        lived(crm, clock)
        then(crm)
        kept = snapshot(crm)
    handed = [(each.address, each.message.key, each.content) for each in post.handed]
    return kept, sorted(handed, key=str), listener.told


@pytest.mark.parametrize("raises", [False, True])
def test_the_shop_is_as_without_it(raises):
    """Whatever a plugin in shadow does, all that is not its own is as if it were not there."""
    without = run()
    shadowed = run(Meddler(raises=raises), shadow=["meddler"])

    assert beside(without[0], "meddler") == beside(shadowed[0], "meddler")
    assert without[1] == shadowed[1]
    if raises:
        # Where one of several raises, all are called once more, each by itself.
        assert set(without[2]) == set(shadowed[2])
    else:
        assert without[2] == shadowed[2]


def test_meddling_would_show():
    """The same plugin, not in shadow, changes nearly everything, so that its shadow can fail."""
    without = beside(run()[0], "meddler")
    live = beside(run(Meddler())[0], "meddler")

    differing = {name for name, found in without.items() if live[name] != found}
    assert {"crm_interaction", "crm_stage", "crm_message", "crm_consent", "crm_zone"} <= differing


def test_it_stands_as_without_it_when_made_anew():
    """Rebuilding takes nothing from what was decided in shadow, but for the plugin itself."""

    def rebuilt(crm):
        crm.pay_debts()
        crm.rebuild()

    without = run(then=rebuilt)
    shadowed = run(Meddler(), shadow=["meddler"], then=rebuilt)

    assert beside(without[0], "meddler") == beside(shadowed[0], "meddler")


def test_what_it_would_have_done_is_on_record():
    """Decisions, refusals, tasks and messages can be counted, and asked why."""
    found: dict[str, Any] = {}

    def look(crm):
        found["decided"] = decided(crm, "shadow:meddler")
        found["live"] = decided(crm, own_source("meddler"))
        ada = crm.find_customer(Identifier("email", "a@example.com"))
        found["why"] = [d.interaction for d in crm.why_decisions(ada)]
        found["tasks"] = crm.tasks()
        found["messages"] = crm.messages(ada, most=500)
        found["sums"] = dict(
            rows(
                crm,
                "SELECT state || ' ' || gate, count(*) FROM crm_message "
                "WHERE plugin = 'shadow:meddler' GROUP BY state, gate",
            )
        )
        assert [] == list(crm.reconcile())

    run(Meddler(), shadow=["meddler"], then=look)

    assert set(KINDS) | {"stage.refused", "message.held", "task.opened"} == set(found["decided"])
    assert {} == found["live"]
    assert [] == found["tasks"]
    assert ["withheld shadow"] == list(found["sums"])
    assert "never" in str([each.payload for each in found["why"] if each.kind == "stage.refused"])
    held = {each.payload.message for each in found["why"] if each.kind == "message.held"}
    assert {"thanks", "news 1", "all"} <= held
    reasons = {each.reason for each in found["messages"] if each.plugin == "shadow:meddler"}
    assert {"meddler is in shadow; it would go"} == reasons


def test_its_own_folds_see_its_own_decisions():
    """Made anew, a plugin in shadow finds what it decided under the name it knows."""
    kept, _, _ = run(
        Meddler(), shadow=["meddler"], then=lambda crm: (crm.pay_debts(), crm.rebuild("meddler"))
    )

    mine = sum(row["source"] == "shadow:meddler" for row in kept.table("crm_interaction"))
    assert mine > 0
    assert mine == sum(row["own"] for row in kept.table("crm_meddler_seen"))
    assert len(kept.table("crm_interaction")) == sum(
        row["facts"] for row in kept.table("crm_meddler_seen")
    )


def test_what_the_gate_would_have_said():
    """A message in shadow tells what the gate said of it, and counts for no cap."""

    def say(ctx, event):
        for item in event:
            ctx.send(message(item.customer_id, f"one {item.source_key}"))
            ctx.send(message(item.customer_id, f"two {item.source_key}", purpose="promotion"))

    loud = plugin("loud", on_interactions_recorded=say)
    gate = GateSettings(caps=[Cap(most=1, days=7)])
    with opened([Post(), loud], url=scratch(), shadow=["loud"], gate=gate) as (crm, _):
        ada = crm.record(order(1, 0)).customer_id
        reasons = {each.key.split()[0]: each.reason or "" for each in crm.messages(ada)}
        crm.send(message(ada, "mine"))
        crm.worker().once()

        assert "loud is in shadow; it would go" == reasons["one"]
        assert reasons["two"].startswith("loud is in shadow; consent: promotion needs")
        assert {"accepted": 1} == states(crm, "mine")


class TestTiering:
    """A shop with tiering in shadow, beside a plugin that reacts to tiers."""

    def test_tiers(self):
        """Tiers are kept as they would be, and nobody reacts to them until they are live."""
        live, live_told = self._kept(shadow=())
        shadowed, told = self._kept(shadow=["tiering"])

        assert live_told["on tier.changed"] > 0
        assert 0 == told["on tier.changed"] == told["after tier.changed"]
        for table in ("crm_tiering_tier", "crm_tiering_tier_change", "crm_tiering_total"):
            assert live.tables[table], table
            assert live.tables[table] == shadowed.tables[table]

    def test_made_anew(self):
        """Its tiers are the same when they are made anew, from its own decisions."""
        kept, _ = self._kept(shadow=["tiering"])
        anew, _ = self._kept(shadow=["tiering"], then=lambda crm: crm.rebuild("tiering"))

        assert kept.tables["crm_tiering_tier"]
        assert kept.derived_tables == anew.derived_tables

    def _kept(self, *, shadow, then=lambda crm: None):
        listener = Listener()
        plugins = [listener, Tiering(review_every_days=7)]
        with opened(plugins, url=scratch(), shadow=shadow) as (crm, clock):
            for number in range(1, 9):
                clock.advance_to(us(number * 5))
                crm.worker().once()
                crm.record(order(number, number * 5, f"c{number % 4}"))
            clock.advance_to(us(60))
            crm.worker().once()
            then(crm)
            return snapshot(crm), listener.told


class TestLeaving:
    """Switched on for good, a plugin acts on what comes from then on."""

    def test_only_what_comes_after(self, url):
        """Nothing decided, planned or set in shadow is acted on; its keys are free again."""
        with opened([Post(), Meddler()], url=url, shadow=["meddler"]) as (crm, clock):
            clock.advance_to(us(0))
            ada = crm.record(order(1, 0)).customer_id
            crm.worker().once()
            crm.record(order(2, 0))  # which it has yet to be told of
            before = decided(crm, "shadow:meddler")

        with opened([Post(), Meddler()], url=url, at=us(1)) as (crm, clock):
            crm.worker().once()
            clock.advance_to(us(10))
            crm.worker().once()
            idle = rows(
                crm, "SELECT source_key FROM crm_interaction WHERE source = 'plugin:meddler'"
            )
            tiers = rows(crm, "SELECT facts, own FROM crm_meddler_seen")
            real = rows(
                crm,
                "SELECT count(*) FROM crm_interaction "
                "WHERE source NOT IN ('shadow:meddler', 'plugin:meddler')",
            )
            later = order(3, 10)
            crm.record(later)
            crm.worker().once()
            after = decided(crm, "plugin:meddler")
            # The same keys as in shadow: now they count.
            with crm.begin() as tx, tx.acting(Meddler) as (meddler, ctx):
                meddler.act(ctx, ada, "order 1", None)
            again = decided(crm, "plugin:meddler")
            mine = [each for each in crm.messages(ada, most=500) if each.plugin == "meddler"]

        assert before["meddler.said"] > 0
        # Time moved the customer on, which came after; of what came before there is nothing.
        assert [] == [key for (key,) in idle if " order " in key]
        assert [(real[0][0], 0)] == tiers
        assert after["meddler.said"] > 0
        assert after["meddler.said"] + 1 == again["meddler.said"]
        assert "hello order 1" in {each.key for each in mine}

    def test_coming_back_to_it(self, url):
        """Into the shadow, out of it and back: what was recorded once is decided upon once."""
        for shadow in (["meddler"], [], ["meddler"]):
            with opened([Post(), Meddler()], url=url, shadow=shadow) as (crm, _):
                crm.pay_debts()
                crm.record(order(1, 0))
                crm.worker().once()
        with opened([Post(), Meddler()], url=url, shadow=["meddler"]) as (crm, _):
            said = decided(crm, "shadow:meddler")["meddler.said"]
            live = decided(crm, "plugin:meddler")["meddler.said"]

        assert said > 0
        assert 0 == live  # the order was recorded once, and in shadow


class TestPeople:
    """What is kept of a shadow belongs to customers, as everything does."""

    def test_merged_and_two_again(self):
        """A merge, and its undoing, leave the shop as they do without the plugin."""
        kept = []

        def merged(crm):
            one, other = (Identifier("email", f"{who}@example.com") for who in "bc")
            merge = crm.merge(one, other)
            crm.record(order(90, 61, "c"))
            crm.worker().once()
            kept.append(snapshot(crm))
            crm.unmerge(merge.id)
            crm.record(order(91, 61, "b"))
            crm.worker().once()

        without = run(then=merged)
        shadowed = run(Meddler(), shadow=["meddler"], then=merged)

        for one, other in (kept, (without[0], shadowed[0])):
            found, expected = beside(other, "meddler"), beside(one, "meddler")
            # What was moved is written down, and so is what of a shadow was.
            for name in ("crm_moved", "crm_merge"):
                assert len(found.pop(name)) >= len(expected.pop(name))
            assert expected == found

    def test_erased(self):
        """Nothing is left of an erased customer in what was decided about them in shadow."""
        told: dict[str, Any] = {}

        def erase(crm):
            certificate = crm.erase(Identifier("email", "a@example.com"))
            told["certificate"] = certificate
            told["said"] = rows(
                crm,
                "SELECT count(*), count(content) FROM crm_message m JOIN crm_customer c "
                "ON c.customer_id = m.customer_id "
                "WHERE c.erased_at IS NOT NULL AND m.plugin = 'shadow:meddler' "
                "AND substr(m.message_key, 1, 5) = 'hello'",
            )

        run(Meddler(), shadow=["meddler"], then=erase)

        assert told["certificate"].verified_at is not None
        ((planned, readable),) = told["said"]
        assert planned > 0
        assert 0 == readable


class TestReplay:
    @pytest.mark.parametrize("batch_size", [1, None])
    def test_batch_size(self, batch_size):
        """A history replayed into a shop whose tiering is in shadow is the same in any batches."""
        drafts = [order(number, number * 3, f"c{number % 5}") for number in range(1, 30)]
        plugins = (Books(), Tiering(review_every_days=7))
        live, shadowed = (
            replayed(
                drafts,
                plugins,
                batch_size=size,
                until=us(120),
                shadow=shadow,
                then=lambda crm: crm.pay_debts(),
            )
            for shadow, size in (((), None), (("tiering",), batch_size))
        )

        assert beside(live, "tiering") == beside(shadowed, "tiering")
        assert live.table("crm_tiering_tier")
        assert live.tables["crm_tiering_tier"] == shadowed.tables["crm_tiering_tier"]


class TestStart:
    def test_unknown(self):
        """A plugin that is not there cannot be in shadow."""
        with pytest.raises(PluginNotFoundError, match="did you mean 'tiering'"):
            opened([Tiering()], url=scratch(), shadow=["teiring"]).__enter__()

    def test_channels(self):
        """A plugin that carries what others say cannot be in shadow."""
        with pytest.raises(PluginError, match="brings the channel 'email'"):
            opened([Post()], url=scratch(), shadow=["post"]).__enter__()

    def test_critical(self):
        """What a plugin in shadow raises aborts nothing, critical or not."""
        broken = Meddler(raises=True)
        with opened([Post(), broken], url=scratch(), critical=["meddler"], shadow=["meddler"]) as (
            crm,
            _,
        ):
            assert crm.record(order(1, 0)).id
            assert {"meddler": 1} == dict(crm.debts())

    def test_exchange_rates(self):
        """Where only a plugin in shadow knows rates, nobody does."""
        with (
            opened([Post(), Meddler()], url=scratch(), shadow=["meddler"]) as (crm, _),
            pytest.raises(MoneyError, match="no plugin answers choose_exchange_rate"),
        ):
            crm.record(draft("order.placed", 0, key="1", amount=Money(100, "USD")))

    def test_source(self):
        """Nobody but a plugin in shadow decides as one."""
        with (
            opened([], url=scratch()) as (crm, _),
            pytest.raises(InputError, match="source is 'shadow:x'"),
        ):
            crm.record(draft("order.placed", 0, key="1", source="shadow:x"))

    def test_status(self, url):
        """How things stand says who is in shadow."""
        quiet: Plugin = plugin("quiet", register_kinds=[Kind("quiet.said")])
        with opened([quiet], url=url, shadow=["quiet"]) as (crm, _):
            assert [True] == [each.in_shadow for each in crm.status().plugins]
        with opened([quiet], url=url) as (crm, _):
            assert [False] == [each.in_shadow for each in crm.status().plugins]


def test_timers_of_others_are_not_late():
    """A decision in shadow is no fact that came in since a timer of somebody else's was due."""
    late = []

    def set_timer(ctx, event):
        ctx.set_timer("look", us(1))

    watch = plugin(
        "watch", on_started=set_timer, on_timers_due=lambda ctx, event: late.append(event.late)
    )

    def decide(ctx, event):
        ctx.record(
            *(Draft("ghost.said", customer=c, source_key="x") for c in (1,)),
        )

    ghost = plugin(
        "ghost",
        register_kinds=[Kind("ghost.said")],
        on_started=lambda ctx, event: ctx.set_timer("say", us(1)),
        on_timers_due=decide,
    )
    with opened([ghost, watch], url=scratch(), shadow=["ghost"]) as (crm, clock):
        crm.record(order(1, 0))
        clock.advance_to(us(1) + DAY)
        crm.run_due()
        assert 1 == decided(crm, "shadow:ghost")["ghost.said"]

    assert [False] == late
