"""What is promised of roles, over random ones: default deny, and every read on record."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import Any

import pytest
from crmcore_tiering import Tiering

from crmcore import Crm, Grant, Identifier, Role, Staff, VirtualClock
from crmcore.domain.role import TEXT_FIELDS
from crmcore.errors import AccessRefusedError, CustomerNotFoundError
from crmcore.services.staff.access import Access
from crmcore.services.staff.pages import Page
from crmcore.services.staff.roles import RoleService
from tests.support.databases import shop_file
from tests.support.desks import FIELDS, Offices, allowed, facts_of, holds, people
from tests.support.histories import START, instant
from tests.support.making import plugin

NOW = instant(START)
SEEDS = range(3)
MORE = [pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 20)]
PERSONAL = (*FIELDS[:8], *TEXT_FIELDS)

pytestmark = pytest.mark.each_database(partitioned=False)


@contextmanager
def office(folder, seed, *, count=14, plugins=()):
    """Open a shop with made-up customers, roles and staff."""
    chance = random.Random(seed)
    made = Offices(chance)
    roles = made.roles()
    members = made.members(roles)
    clock = VirtualClock(NOW)
    url = shop_file(folder)
    with Crm(
        url,
        plugins=[Tiering(), *plugins],
        clock=clock,
        roles=roles.values(),
        staff=members.values(),
        secret="law",
    ) as crm:
        ids = people(crm, chance, count)
        clock.advance_to(NOW + 1)
        with crm.begin() as tx, tx.acting(Tiering) as (tiering, ctx):
            tiering.review_now(ctx, clock.now())
        yield crm, url, chance, ids, roles, members


@pytest.mark.parametrize("seed", [*SEEDS, *MORE])
def test_rules_equal_their_oracle(tmp_path, seed):
    """Compiled to SQL, a rule holds for the customers for whom it holds reckoned in Python."""
    with office(tmp_path, seed) as (crm, _, chance, ids, _, members):
        offices = Offices(chance)
        facts = {customer_id: facts_of(crm, customer_id) for customer_id in ids}
        kinds = {type(fact) for each in facts.values() for fact in each.traits.values()}
        assert {int, str} == kinds
        for _ in range(60):
            rule = offices.rule()
            member = members[chance.choice(sorted(members))]
            role = Role("all", grants=(Grant(actions=["list"], fields=["email"], rows=rule),))
            staff = Staff(member.name, roles=["all"], teams=member.teams)
            rights = RoleService(crm.runtime, [role], [staff]).rights(member.name)
            with crm.runtime.database.begin(read_only=True) as connection:
                found = rights.page(connection, after=0, most=1000, now=NOW)
                fields = rights.fields_of(connection, "list", ids, NOW)

            expected = [c for c in sorted(ids) if holds(rule, facts[c], member)]
            assert expected == found, rule
            assert expected == sorted(c for c, names in fields.items() if names), rule


@pytest.mark.parametrize("seed", [*SEEDS, *MORE])
def test_what_no_role_grants_is_refused(tmp_path, seed):
    """Every desk shows of every customer what a brute-force reckoning allows, and no more."""
    with office(tmp_path, 100 + seed) as (crm, _, _, ids, roles, members):
        facts = {customer_id: facts_of(crm, customer_id) for customer_id in ids}

        def may(member, action):
            found = {c: allowed(roles, member, action, facts[c]) for c in ids}
            return {c: names for c, names in found.items() if names}

        seen = 0
        for member in members.values():
            desk = crm.desk(member.name)
            expected = may(member, "read")
            assert expected == of(ids, lambda page: page.fields, desk.customer)
            seen += len(expected)
            assert may(member, "export") == of(
                ids, lambda pages: pages[0].fields, desk.export, reason="law"
            )
            listed = granted(desk.customers, most=1000) or []
            assert may(member, "list") == {page.customer_id: page.fields for page in listed}
            assert all(page.values.keys() <= page.fields for page in listed)
            for name in PERSONAL:
                assert with_field(may(member, "reveal"), name) == {
                    c for c in ids if granted(desk.reveal, c, name, "law") is not None
                }
            views = crm.tasks(is_open=None, most=1000)
            readable = with_field(may(member, "read"), "tasks")
            assert {v.task.id for v in views if v.task.customer_id in readable} == {
                each.task.id for each in desk.tasks(is_open=None, most=1000)
            }
            payload = {"object": "x"}
            recording = of(ids, bool, desk.record, "share.made", payload=payload)
            assert with_field(may(member, "record"), "interactions") == recording.keys()
            working = of(ids, bool, desk.add_task, "x", key="new", owner="nobody")
            assert with_field(may(member, "work"), "tasks") == working.keys()
        assert seen


def granted(act, *values, **named):
    """Return what *act* gives, or None if it is refused."""
    try:
        return act(*values, **named)
    except AccessRefusedError:
        return None


def of(ids, told, act, *values, **named):
    """Return what *act* gives of each customer of whom it is not refused."""
    found = {c: granted(act, c, *values, **named) for c in ids}
    return {c: told(each) for c, each in found.items() if each is not None}


def with_field(fields, name):
    return {c for c, names in fields.items() if name in names}


@pytest.mark.parametrize("seed", [*SEEDS, *MORE])
def test_what_is_seen_is_on_record(tmp_path, seed):
    """
    Whatever a desk returns, a row that names who, whom and the field was committed before.

    Refusals leave a row, too, and no row holds a value.
    """
    noted: list[int] = []
    beside: list[Crm] = []

    def describe(ctx: Any, event: Any) -> dict[str, Any]:
        # While a page is being read, the note of it is there for everybody else.
        if beside:
            newest = beside[0].who_saw(event.customer_id, most=1)
            assert ("allowed", event.customer_id) == (newest[0].outcome, newest[0].customer_id)
            noted.append(event.customer_id)
        return {"seen": "yes"}

    describing = plugin("watching", describe_customer=lambda self, ctx, event: describe(ctx, event))
    with office(tmp_path, 200 + seed, plugins=[describing]) as (crm, url, chance, ids, _, members):
        with Crm(url, secret="law", plugins=[]) as other:
            beside.append(other)
            shown = refused = 0
            for _ in range(60):
                name = chance.choice(sorted(members))
                before = other.accesses_of(name, most=1)
                seen, was_refused = call(crm.desk(name), chance, ids)
                rows = since(other.accesses_of(name, most=5000), before)
                fields = {
                    (row.customer_id, field)
                    for row in rows
                    if row.outcome == "allowed"
                    for field in row.fields
                }
                assert seen <= fields
                if was_refused:
                    assert any(row.outcome == "refused" for row in rows)
                shown, refused = shown + len(seen), refused + was_refused
            told = "".join(
                f"{row.action} {row.fields} {row.role} {row.outcome}"
                for name in members
                for row in other.accesses_of(name, most=5000)
            )
            beside.clear()
        assert "person" not in told
        assert "+4930" not in told
        assert shown + refused >= 50


def since(rows: list[Access], before: list[Access]) -> list[Access]:
    return [row for row in rows if not before or row.id > before[0].id]


def call(desk, chance, ids):
    """Call a desk at random; return which fields of whom were seen, and whether it refused."""
    one, name = chance.choice(ids), chance.choice(PERSONAL)
    several = chance.sample(ids, chance.randint(1, 4))
    try:
        match chance.randint(0, 6):
            case 0:
                return values_of([desk.customer(one)]), False
            case 1:
                return values_of(desk.customers(after=chance.choice(ids) - 1, most=5)), False
            case 2:
                return {(one, name) for _ in desk.reveal(one, name, "because")}, False
            case 3:
                return values_of(desk.export(several, reason="asked for")), False
            case 4:
                tasks = desk.tasks(owner=chance.choice((None, "me", "my teams")), is_open=None)
                return {
                    (each.task.customer_id, field)
                    for each in tasks
                    for field in ("tasks", "interactions" if each.latest else "tasks")
                } | {
                    (each.task.customer_id, "task_texts")
                    for each in tasks
                    if each.task.title != "•••"
                }, False
            case 5:
                number = chance.randint(0, 20)
                asked = Identifier("email", f"person{number:03}@example.com")
                found = desk.find(asked)
                return {(found, "email")} if found else set(), False
            case _:
                return values_of([desk.customer(Identifier("account", "nobody"))]), False
    except (AccessRefusedError, CustomerNotFoundError):
        return set(), True


def values_of(pages: list[Page]) -> set[tuple[int, str]]:
    return {(page.customer_id, field) for page in pages for field in page.values}
