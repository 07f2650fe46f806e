"""Whatever happens, kept groups are at each look what the rules say, asked one by one."""

import re
from collections.abc import Iterator

import pytest
from crmcore_grouping import Grouping
from crmcore_grouping.tables import history, member
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select, text

from crmcore import Crm, VirtualClock
from tests.support.databases import scratch
from tests.support.histories import START, instant
from tests.support.segments import (
    FAMILIES,
    Profile,
    accounts,
    card,
    cards,
    draft_of,
    happenings,
    segments,
)

WORDS = re.compile(r"\w+")
STEP = 15 * 60_000_000
DAY = 86_400_000_000
# Where random ones seldom come to a border.
BORDERS = {
    "recent": "orders(days=7) or carts(hours=1)",
    "left": "product.viewed then not orders within 2 days",
    "away": "days_since(orders.last) > 30",
}
sometimes = st.sampled_from((False, False, True))


def pending(crm) -> set[int]:
    """Return the customers who are to be looked at next time."""
    soon = crm.runtime.clock.now() + STEP
    sql = f"SELECT customer_id FROM crm_timer WHERE plugin = 'grouping' AND due_at <= {soon}"
    with crm.runtime.database.begin(read_only=True) as connection:
        return {row[0] for row in connection.sqlalchemy.execute(text(sql))}


def kept(crm) -> set[tuple[str, int]]:
    with crm.runtime.database.begin(read_only=True) as connection:
        return set(connection.execute(select(member.c.group_name, member.c.customer_id)))


def check(crm, customers) -> None:
    """Compare what is kept with the oracle's answers, one by one."""
    now, waiting = crm.runtime.clock.now(), pending(crm)
    found = kept(crm)
    for customer in customers - waiting:
        expected = {name for name in crm.segments if crm.why_in(customer, name)}
        mine = {name for name, each in found if each == customer}
        assert (now, customer, expected) == (now, customer, mine)


def looks(crm, until: int) -> Iterator[int]:
    """Let time pass, and yield each fixed instant at which something fell due, when it is done."""
    clock = crm.runtime.clock
    while (due := crm.next_due()) is not None and due <= until:
        clock.advance_to(due)
        crm.run_due()
        if due % STEP == 0:
            yield due
    clock.advance_to(until)


@pytest.mark.each_database(partitioned=False)
@settings(max_examples=6, suppress_health_check=list(HealthCheck))
@given(
    happened=st.lists(happenings(), min_size=1, max_size=12),
    trees=st.lists(
        segments().filter(lambda tree: not {"named", "tiering"} & {*WORDS.findall(repr(tree))}),
        min_size=2,
        max_size=3,
    ),
    known=st.lists(cards(), max_size=2),
    late=st.lists(st.integers(0, 30), min_size=12, max_size=12),
    merged=sometimes,
)
def test_kept_members(happened, trees, known, late, merged):
    """
    At every look, who is kept in a group is who is in it, whoever is not waiting to be looked at.

    Facts come late by some days, two customers are merged and parted again, and time passes;
    and in the end a rebuild makes the same of what was decided.
    """
    named = {"named": trees[0], **{f"s{n}": tree for n, tree in enumerate(trees)}, **BORDERS}
    arriving = sorted(
        (fact.occurred_at + (days * DAY if days > 20 else 0), number, customer, fact)
        for number, ((customer, fact), days) in enumerate(zip(happened, late, strict=False))
    )
    clock = VirtualClock(instant(START) - 7 * STEP - 1)
    with Crm(
        scratch(),
        plugins=[Profile(), Grouping()],
        clock=clock,
        durable=False,
        segments=named,
        families=FAMILIES,
    ) as crm:
        customers: set[int] = set()
        merge = None
        for number, (at, key, who, fact) in enumerate(arriving):
            for _ in looks(crm, max(at, clock.now())):
                check(crm, customers)
            is_new = crm.find_customer(accounts()[who]) is None
            customer = crm.record(draft_of(key, who, fact)).customer_id
            if is_new and who < len(known):
                with crm.begin() as tx:
                    tx.connection.insert_rows(insert(card), [(customer, *known[who])])
            customers.add(customer)
            if merged and merge is None and len(customers) > 1:
                merge = crm.merge(*sorted(customers)[:2])
                customers.discard(merge.merged)
                until_midnight(crm)
            elif merge is not None and number == len(arriving) - 1:
                crm.unmerge(merge.id)
                customers |= {merge.survivor, merge.merged}
                until_midnight(crm)
        for _ in looks(crm, clock.now() + 100 * DAY):
            check(crm, customers)
        before = rows(crm)
        crm.rebuild("grouping")
        assert before == rows(crm)


def until_midnight(crm) -> None:
    """Let time pass until somebody has looked at those whom a merge was about."""
    for _ in looks(crm, (crm.runtime.clock.now() // DAY + 1) * DAY + STEP):
        pass


def rows(crm):
    with crm.runtime.database.begin(read_only=True) as connection:
        return [sorted(connection.execute(select(each)), key=repr) for each in (member, history)]
