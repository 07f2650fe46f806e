"""What is promised of erasures, over random histories with plugins of every policy."""

from __future__ import annotations

import random
from contextlib import contextmanager

import pytest
from crmcore_tiering import Tiering
from sqlalchemy import Text

from crmcore import Content, Crm, Identifier, MessageDraft, VirtualClock
from crmcore.channels.recording import Recording
from crmcore.domain.clock import DAY
from crmcore.domain.spelling import as_json
from crmcore.persistence.tables import metadata
from crmcore.testing.dumps import difference, dump
from tests.support.canaries import Vault
from tests.support.histories import START, instant
from tests.support.making import rows
from tests.support.merging import Forgetful, Notes, Shop, database_of
from tests.support.plugins import Books, Cases, Echo, Strict

HISTORIES = [
    ("sqlite", 5),
    ("postgresql", 2),
    pytest.param("sqlite", 40, marks=pytest.mark.slow),
    pytest.param("postgresql", 8, marks=pytest.mark.slow),
    pytest.param("partitioned", 1, marks=pytest.mark.slow),
]


@contextmanager
def shop(kind, folder, seed):
    """Open a shop with plugins of every policy; some of them now and then miss something."""
    folder = folder / f"{seed}"
    folder.mkdir()
    clock = VirtualClock(instant(START))
    chance = random.Random(seed)
    books = Forgetful(chance=chance) if seed % 2 else Books(reviews=False)
    plugins = [
        Tiering(review_every_days=chance.choice((7, 30))),
        books,
        Echo(),
        Notes(),
        Cases(),
        Strict(of_ten=2),
        Vault(),
        Recording(),
    ]
    with (
        database_of(kind, folder) as url,
        Crm(url, plugins=plugins, clock=clock, secret="law", durable=False) as crm,
    ):
        yield crm, clock, Shop(random.Random(seed), customers=7), folder


def live(crm, clock, made, count):
    """Let things happen: orders, consent, messages, tasks; and time run with them."""
    for _ in range(count):
        draft = made.draft()
        clock.advance_to(max(clock.now(), instant(draft.occurred_at)))
        crm.run_due()
        who = crm.record(draft).customer_id
        made.learn(crm)
        match made.chance.randrange(8):
            case 0 if who in people_of(crm):
                crm.add_task(who, f"Call about {draft.source_key}", note="at home")
            case 1 if who in people_of(crm):
                text = Content(text=f"Dear customer {who}")
                crm.send(
                    MessageDraft(
                        key=f"m{made.number}",
                        customer=who,
                        purpose="service",
                        channel="email",
                        content=text,
                    )
                )
            case 2:
                crm.record("consent.withdrawn", customer=who, source_key=f"c{made.number}")
            case 3:
                crm.record("service.opened", customer=who, payload={"case": "1", "text": "Help"})


def exports(crm, folder, people):
    """Return the export of each of these customers, byte by byte."""
    made = {who: crm.export(who, folder) for who in people}
    return {who: (done.data.read_bytes(), done.page.read_bytes()) for who, done in made.items()}


def people_of(crm):
    """Return who is somebody: merged into nobody, and not erased."""
    found = rows(
        crm,
        "SELECT customer_id FROM crm_customer WHERE merged_into IS NULL AND erased_at IS NULL",
    )
    return sorted(row[0] for row in found)


@pytest.mark.parametrize(("kind", "histories"), HISTORIES)
def test_erasing_is_the_same_before_and_after_deriving(tmp_path, kind, histories):
    """
    What an erasure leaves is what a rebuild makes of the ledger it left.

    Other customers' exports are the same byte by byte, the dry run said what would be done, and
    the sums of the shop are as before. So it is with merges, debts and more history in between.
    """
    for seed in range(histories):
        with shop(kind, tmp_path, seed) as (crm, clock, made, folder):
            live(crm, clock, made, 30)
            for _ in range(3):
                there = people_of(crm)
                if len(there) > 3 and made.chance.random() < 0.6:
                    crm.merge(*made.chance.sample(there, 2))
                pay_all_debts(crm, clock)
                there = people_of(crm)
                gone = made.chance.choice(there)
                others = [who for who in there if who != gone]
                know_by_a_number(crm, gone)
                before, sums = exports(crm, folder, others), totals(crm)
                documents = json_columns(crm)
                plan = crm.plan_erasure(gone)

                done = crm.erase(gone)

                assert done.verification.is_clean, (seed, done.verification)
                found_later = {"crm_fault", "crm_withheld"}
                told = [o for o in done.outcomes if o.what not in found_later]
                assert list(plan.outcomes) == told, seed
                assert before == exports(crm, folder, others), seed
                assert sums == totals(crm), seed
                are = json_columns(crm)
                assert all(are.get(at, True) for at, was in documents.items() if was), seed
                left = dump(crm)
                crm.rebuild()
                assert "" == difference(left, dump(crm)), seed
                clock.advance_to(clock.now() + DAY)
                live(crm, clock, made, 8)
                pay_all_debts(crm, clock)


def pay_all_debts(crm, clock):
    """Pay until nothing is owed: who is forgetful fails at that, too, and is tried again later."""
    crm.pay_debts()
    while dict(crm.debts()):
        clock.advance_to(clock.now() + DAY)
        crm.pay_debts()


def know_by_a_number(crm, who):
    """Let somebody have an account whose number stands in payloads as a count."""
    names = crm.customer(who).customer.identifiers
    if names:
        crm.record(
            "catalog.searched",
            identifiers=[*names, Identifier("account", "1000")],
            payload={"query": "1000 shoes", "result_count": 1000},
            source_key=f"1000/{who}",
        )


def json_columns(crm):
    """Return for each column of the core that holds texts whether all of them are JSON."""
    found = {}
    for table in metadata.tables.values():
        for column in table.columns:
            if isinstance(column.type, Text):
                told = rows(crm, f"SELECT {column.name} FROM {table.name}")
                texts = [text for (text,) in told if text is not None]
                if texts:
                    at = table.name, column.name
                    found[at] = all(as_json(text) is not None for text in texts)
    return found


def totals(crm):
    """Return how many interactions there are of each kind, and what they add up to."""
    found = rows(
        crm,
        "SELECT kind, count(*), sum(coalesce(amount_base_minor, 0)) FROM crm_interaction "
        "GROUP BY kind ORDER BY kind",
    )
    return [(kind, count, int(total)) for kind, count, total in found]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_erasing_one_of_two_keeps_the_other(tmp_path, kind):
    """Of two who are related, proposed as one, and once were merged, the other keeps all theirs."""
    with shop(kind, tmp_path, 0) as (crm, clock, made, folder):
        live(crm, clock, made, 30)
        one, other = made.chance.sample(people_of(crm), 2)
        told = [made.draft() for _ in range(3)]
        clock.advance_to(max(instant(draft.occurred_at) for draft in told))
        crm.record_many(told)
        crm.unmerge(crm.merge(one, other, reason="a mistake").id)
        crm.record(
            "order.placed",
            identifiers=[*crm.customer(one).customer.identifiers, Identifier("handle", "both")],
            payload={"note": f"for {crm.customer(other).customer.identifiers[0].value}"},
        )
        before = exports(crm, folder, [other])

        crm.erase(one)

        assert before == exports(crm, folder, [other])
