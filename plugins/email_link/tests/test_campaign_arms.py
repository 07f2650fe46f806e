"""Arms: shares as asked, the same customer in the same arm, and SQL as in Python."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from itertools import pairwise

import pytest
from crmcore_email_link import EmailLink
from crmcore_email_link.campaigns.arms import HELD_OUT, Split
from crmcore_email_link.tables import Whole
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import literal, select, union_all

from crmcore import Identifier
from crmcore.domain.holdout import bucket_of
from crmcore.hooks import PRIME
from crmcore.persistence.customers import customer
from plugins.email_link.tests.campaigning import messages, start, state, two, with_members
from plugins.email_link.tests.shops import mails

BUCKETS = [bucket_of(sha256(b"%d" % number).hexdigest()) for number in range(4_000)]
NAMES = st.text("abcdef-/", min_size=1, max_size=12)
WEIGHTS = st.lists(st.integers(1, 50), min_size=1, max_size=5).map(
    lambda found: tuple((f"v{number}", weight) for number, weight in enumerate(found))
)


@given(NAMES, st.floats(0, 0.9), WEIGHTS)
def test_shares_are_as_asked(experiment, holdout, weights):
    found = Counter(map(Split(experiment, holdout, weights).arm_of, BUCKETS))
    whole = sum(weight for _, weight in weights)
    wanted = {name: (1 - holdout) * weight / whole for name, weight in weights}
    for name, share in {**wanted, HELD_OUT: holdout}.items():
        # Six standard deviations of what chance would draw.
        bound = 6 * (share * (1 - share) / len(BUCKETS)) ** 0.5 + 1e-9
        assert abs(found[name] / len(BUCKETS) - share) <= bound + 1 / len(BUCKETS)


@given(NAMES, st.lists(st.floats(0, 0.9), min_size=2, max_size=4), WEIGHTS)
def test_a_larger_holdout_lets_nobody_go_and_moves_nobody(experiment, shares, weights):
    splits = [Split(experiment, share, weights) for share in sorted(shares)]
    for bucket in BUCKETS[:500]:
        arms = [split.arm_of(bucket) for split in splits]
        for before, after in pairwise(arms):
            assert after in (before, HELD_OUT)


@given(NAMES, NAMES, st.floats(0.2, 0.8))
def test_experiments_part_customers_independently(one, other, share):
    if one == other:
        return
    weights = (("a", 1), ("b", 1))
    first, second = Split(one, share, weights), Split(other, share, weights)
    both = sum(first.arm_of(b) == second.arm_of(b) == HELD_OUT for b in BUCKETS)
    expected = share * share
    bound = 6 * (expected * (1 - expected) / len(BUCKETS)) ** 0.5
    assert abs(both / len(BUCKETS) - expected) <= bound


def test_who_is_held_out_says_nothing_of_the_variant():
    split = Split("x", 0.3, (("a", 1), ("b", 1)))
    held = [b for b in BUCKETS if split.arm_of(b) == HELD_OUT]
    share = sum(split.variant_of(b) == "a" for b in held) / len(held)
    assert abs(share - 0.5) < 6 * 0.5 / len(held) ** 0.5


@pytest.mark.each_database
def test_statements_part_customers_as_python_does():
    splits = [
        Split("one", 0.25, (("a", 1), ("b", 2), ("c", 5))),
        Split("two", 0.0, (("all", 1),)),
        Split("three", 0.9, (("a", 10_000), ("b", 1))),
    ]
    some = [0, 1, PRIME - 1, *BUCKETS[:300]]
    with with_members(0) as crm, crm.begin() as tx:
        rows = union_all(*(select(literal(number, Whole).label("bucket")) for number in some))
        bucket = rows.subquery().c.bucket
        for split in splits:
            asked = select(bucket, split.is_held_out(bucket), split.variant(bucket))
            found = tx.connection.execute(asked)
            assert len(some) == len(found)
            for number, is_held_out, variant in found:
                assert bool(is_held_out) == (split.arm_of(number) == HELD_OUT)
                assert split.variant_of(number) == variant


@pytest.mark.each_database
def test_whoever_is_held_out_gets_nothing_and_the_record_says_why():
    with with_members(120) as crm:
        start(crm, variants=two(), template="", holdout=0.4)
        assert {"planned": 120} == state(crm).broadcast.states
        crm.deliver()
        split = state(crm).campaign.split
        with crm.begin() as tx:
            rows = select(customer.c.customer_id, customer.c.reference)
            references: dict[int, str] = dict(tx.connection.execute(rows))
        arms = {}
        for each in messages(crm):
            arms[each.address] = split.arm_of(bucket_of(references[each.customer_id]))
            if arms[each.address] == HELD_OUT:
                assert ("withheld", "guard") == (each.state, each.gate)
                assert "email_link: held out of experiment 'tea-1'" == each.reason
        sent = {str(mail["To"]): str(mail["Subject"]) for mail in mails(crm)}
        assert sent == {
            address: {"a": "Tea", "b": "TEA!"}[arm]
            for address, arm in arms.items()
            if arm != HELD_OUT
        }
        assert {"a", "b", HELD_OUT} == set(arms.values())


def test_arms_are_kept_over_the_campaigns_of_an_experiment():
    with with_members(80) as crm:
        for key, holdout in (("one", 0.2), ("two", 0.2), ("three", 0.5)):
            start(crm, key, variants=two(), template="", holdout=holdout, experiment="tone")
        start(crm, "other", variants=two(), template="", holdout=0.2)
        crm.deliver()
        got: dict[str, dict[str, str]] = {key: {} for key in ("one", "two", "three", "other")}
        for mail in mails(crm):
            got[str(mail["Feedback-ID"]).partition(":")[0]][str(mail["To"])] = str(mail["Subject"])
        assert got["one"] == got["two"] != got["other"]
        assert got["three"].items() < got["one"].items()


def test_held_out_is_who_would_have_got_it():
    """Who has said no, or waits for a cap, is in no arm: both arms went through every gate."""
    with with_members(100) as crm:
        for number in range(0, 100, 4):
            crm.record(
                "consent.withdrawn",
                customer=crm.find_customer(Identifier("email", f"p{number}@example.com")),
                payload={"purpose": "news", "channel": "email", "point": f"p{number}@example.com"},
            )
        start(crm, holdout=0.5)
        crm.deliver()
        gates = Counter(each.gate for each in messages(crm))
        assert 25 == gates["consent"]
        assert 75 == gates["guard"] + gates[None]
        with crm.begin() as tx:
            found = crm.plugin(EmailLink).campaign_effect(tx, "tea-1")
        assert {"all": gates[None], HELD_OUT: gates["guard"]} == {
            each.name: each.size for each in found.arms
        }
