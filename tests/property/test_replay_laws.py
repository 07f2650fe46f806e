"""Laws of replay: neither the size of batches nor the order of arrival changes a result."""

import random

import pytest
from crmcore_tiering import Tiering
from hypothesis import given, settings
from hypothesis import strategies as st

from crmcore import RelationshipSettings
from crmcore.replay.replayer import Replayer
from crmcore.testing.snapshots import difference, snapshot
from tests.support.databases import present_kind
from tests.support.histories import cdnow, drafts, instant
from tests.support.plugins import Books, Cases, Echo, Ledgers, Rates, Strict
from tests.support.runs import end_of, opened, replayed, stretches

pytestmark = pytest.mark.each_database

SIZES = (1, 7, 1000, None)


def everything():
    return [Books(), Cases(), Echo(), Ledgers(), Rates(), Strict()]


def all_but_guards():
    return [Books(), Cases(), Echo(), Ledgers(), Rates()]


def start_of(history):
    return instant(history[0].occurred_at)


@pytest.fixture
def some_customers():
    """Return the purchases of 235 customers of a real shop, in order; of 29 on a server."""
    return cdnow(every=100 if present_kind() == "sqlite" else 800)


@pytest.fixture(scope="module")
def all_customers():
    return cdnow()


def customers_of(history):
    return len({draft.identifiers for draft in history})


def tiering(scheme="pareto", **options):
    return Tiering(scheme=scheme, **options)


# ------------------------------------------------------------------------ batches


def check_batches(history, plugins):
    first, *others = (
        replayed(
            history,
            plugins(),
            batch_size=size,
            start=start_of(history),
            until=end_of(history),
            currency="USD",
        )
        for size in SIZES
    )
    for size, other in zip(SIZES[1:], others, strict=True):
        assert "" == difference(first.tables, other.tables), f"batches of 1 and {size}"
    return first


@pytest.mark.parametrize("scheme", ["pareto", "rfm"])
def test_batches_of_a_real_shop(some_customers, scheme):
    """Batches of at most 1, 7, 1000 and any number of purchases leave equal rows in every table."""
    found = check_batches(some_customers, lambda: [tiering(scheme), Books(), Echo()])

    assert 0.8 * customers_of(some_customers) < len(found.table("crm_tiering_tier"))


@pytest.mark.slow
def test_batches_of_the_whole_log(all_customers):
    """The whole log in batches of 1, 7, 1000 and any number leaves equal rows in every table."""
    found = check_batches(all_customers, lambda: [tiering()])

    assert 1000 <= sum(found.interactions("decided").values())


@given(drafts())
@settings(max_examples=15)
def test_batches_of_made_histories(history):
    """Whatever happens in a shop, the size of batches changes no row of any table."""
    options = {"start": start_of(history), "until": end_of(history), "zone": "Europe/Berlin"}
    whole = replayed(history, everything(), **options)
    for size in (1, 3):
        part = replayed(history, everything(), batch_size=size, **options)
        assert "" == difference(part.tables, whole.tables), f"batches of {size} and any size"


# ------------------------------------------------------------------------ shuffles


def test_shuffled_between_timers(some_customers):
    """Shuffled within each stretch between two timers, the log leaves equal derived rows."""
    plugins, start = (lambda: [tiering(), Books(), Echo()]), start_of(some_customers)
    until = end_of(some_customers)
    options = {"start": start, "until": until, "currency": "USD"}
    ordered = replayed(some_customers, plugins(), **options)
    pieces = stretches(some_customers, plugins(), start=start, currency="USD")
    assert 20 < len(pieces)
    for seed in (1, 2):
        chance = random.Random(seed)
        mixed = [d for piece in pieces for d in chance.sample(piece, len(piece))]
        found = replayed(mixed, plugins(), batch_size=(None, 7)[seed - 1], **options)
        assert "" == difference(ordered.derived_tables, found.derived_tables), f"seed {seed}"
        assert "" == difference(ordered.decided, found.decided), f"seed {seed}"


@given(drafts(), st.randoms(use_true_random=False), st.sampled_from((1, 3, None)))
@settings(max_examples=15)
def test_shuffled_between_timers_made(history, chance, size):
    """Shuffled between timers, any history leaves equal derived rows and decisions."""
    start, until = start_of(history), end_of(history)
    ordered = replayed(history, all_but_guards(), start=start, until=until)
    pieces = stretches(history, all_but_guards(), start=start)
    mixed = [d for piece in pieces for d in chance.sample(piece, len(piece))]
    found = replayed(mixed, all_but_guards(), start=start, until=until, batch_size=size)

    assert "" == difference(ordered.derived_tables, found.derived_tables)
    assert "" == difference(ordered.decided, found.decided)


@given(drafts(), st.randoms(use_true_random=False), st.sampled_from((1, 3, None)))
@settings(max_examples=15)
def test_shuffled_with_guards(history, chance, size):
    """With guards that refuse some steps, order of arrival changes no derived row."""
    start, until = start_of(history), end_of(history)
    ordered = replayed(history, everything(), start=start, until=until)
    pieces = stretches(history, everything(), start=start)
    mixed = [d for piece in pieces for d in chance.sample(piece, len(piece))]
    found = replayed(mixed, everything(), start=start, until=until, batch_size=size)

    assert "" == difference(ordered.derived_tables, found.derived_tables)


def review(at):
    """Return what reviews tiers once, as of *at*."""

    def run(crm):
        plugin = crm.plugin(Tiering)
        with crm._begin() as unit:
            plugin.review_now(unit.context(plugin), at)
            crm._parts.recorder.record_decisions(unit)

    return run


def check_shuffled_over_all(history, seed, sizes):
    options = {"start": start_of(history), "until": end_of(history), "currency": "USD"}

    def plugins():
        return [tiering(review_every_days=0), Books(reviews=False)]

    mixed = random.Random(seed).sample(history, len(history))
    ordered = replayed(history, plugins(), **options)
    for size in sizes:
        found = replayed(mixed, plugins(), batch_size=size, **options)
        assert "" == difference(ordered.derived_tables, found.derived_tables), f"seed {seed}"
    ordered, found = (
        replayed(each, plugins(), then=review(options["until"]), **options)
        for each in (history, mixed)
    )
    assert 0 < len(ordered.table("crm_tiering_tier"))
    assert "" == difference(ordered.derived_tables, found.derived_tables), f"seed {seed}"
    assert "" == difference(ordered.decided, found.decided), f"seed {seed}"


def test_shuffled_over_all_weeks(some_customers):
    """Shuffled over 78 weeks without reviews, tables are equal; so are tiers after one review."""
    check_shuffled_over_all(some_customers, 3, (7, None))


@pytest.mark.slow
def test_the_whole_log_shuffled(all_customers):
    """The same for the whole log."""
    check_shuffled_over_all(all_customers, 4, (None,))


@given(drafts(), st.randoms(use_true_random=False), st.sampled_from((1, 4, None)))
@settings(max_examples=15)
def test_shuffled_over_all_made(history, chance, size):
    """Any history in any order leaves equal derived rows, where nothing is reviewed."""

    def plugins():
        return [Books(reviews=False), Cases(), Ledgers(reviews=False), Rates(), Strict()]

    start, until = start_of(history), end_of(history)
    mixed = chance.sample(history, len(history))
    ordered = replayed(history, plugins(), start=start, until=until)
    found = replayed(mixed, plugins(), start=start, until=until, batch_size=size)

    assert "" == difference(ordered.derived_tables, found.derived_tables)


# ------------------------------------------------------------------------- rebuild


def check_rebuild(history, plugins, size=None, **options):
    with opened(plugins, at=start_of(sorted_(history)), **options) as (crm, clock):
        Replayer(crm, clock, size).run(history, until=end_of(history))
        before = snapshot(crm)
        crm.rebuild()
        after = snapshot(crm)
        assert "" == difference(before.tables, after.tables)
        return before


def sorted_(history):
    return sorted(history, key=lambda draft: draft.occurred_at)


def test_rebuild_of_a_real_shop(some_customers):
    """A rebuild leaves every table as it was, and records nothing."""
    before = check_rebuild(some_customers, [tiering(), Books(), Echo()], currency="USD")

    assert customers_of(some_customers) < len(before.table("crm_tiering_tier_change"))


@given(drafts(), st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=15)
def test_rebuild_of_made_histories(history, chance, mix):
    """A rebuild changes no row of any table, also after late facts and refusals."""
    mixed = chance.sample(history, len(history)) if mix else history
    check_rebuild(mixed, everything(), 3, zone="America/New_York")


@given(drafts(), st.integers(1, 9))
@settings(max_examples=15)
def test_other_numbers(history, days):
    """The default lifecycle with any numbers obeys the same laws."""
    numbers = RelationshipSettings(
        engaged_after_views=2,
        cart_quiet_days=days,
        delivery_assumed_days=2 * days,
        loyal_from_orders=2,
        at_risk_quiet_days=days,
        lapsed_quiet_days=days,
    )
    check_rebuild(history, all_but_guards(), relationship_settings=numbers)
