"""Desks: what staff are shown of customers, what they are refused, and what is noted of both."""

from __future__ import annotations

import json
import re

import pytest
from attrs import frozen
from click.testing import CliRunner
from crmcore_tiering import Tiering
from sqlalchemy import exists

from crmcore import Crm, Grant, Identifier, Role, RowRule, Staff, VirtualClock
from crmcore.cli import crm as command
from crmcore.domain.clock import DAY, SECOND
from crmcore.domain.role import parse_rows
from crmcore.errors import (
    AccessRefusedError,
    ConfigurationError,
    CustomerNotFoundError,
    InputError,
    NotFoundError,
)
from crmcore.persistence.customers import customer as table
from crmcore.persistence.customers import identifier
from crmcore.services.checkups.doctor import examine
from tests.support.databases import scratch, shop_file
from tests.support.histories import START, instant
from tests.support.making import rows

NOW = instant(START)
ADA, BOB, GRACE = (Identifier("email", f"{n}@example.com") for n in ("ada.l", "bob.b", "grace"))
EVERYTHING = Grant(actions=["read", "list", "reveal", "export", "record", "work"], fields=["*"])
MINE = {"task_owner": ["me", "my teams"]}

ROLES = (
    Role("clerk", grants=(EVERYTHING,), bulk_above=2, alarm_above=3),
    Role("lead", grants=(Grant(actions=["approve"], fields=["contact"]),)),
    Role("agent", grants=(Grant(actions=["read", "work"], fields=["*"], rows=MINE),)),
    Role("helper", grants=(Grant(actions=["read", "work"], fields=["contact", "tasks"]),)),
    Role("lister", grants=(EVERYTHING,), bulk_above=1000, alarm_above=1000),
    Role("opener", grants=(Grant(actions=["work"], fields=["tasks"]),)),
    Role("stager", grants=(Grant(actions=["read"], fields=["stages"]),), alarm_above=5),
)
STAFF = (
    Staff("grace", roles=["clerk"], identifiers=["email:grace@example.com"]),
    Staff("heidi", roles=["lead"]),
    Staff("ivan", roles=["agent"], teams=["calls"]),
    Staff("judy", roles=["agent", "opener"]),
    Staff("ken", roles=["helper"]),
    Staff("liz", roles=[]),
    Staff("mia", roles=["lister"]),
    Staff("ned", roles=["stager"]),
)

pytestmark = pytest.mark.each_database(partitioned=False)


@pytest.fixture
def clock():
    return VirtualClock(NOW)


@pytest.fixture
def crm(clock):
    with Crm(scratch(), clock=clock, roles=ROLES, staff=STAFF, plugins=[Tiering()]) as opened:
        opened.record(
            "order.placed",
            email=ADA.value,
            phone="+4930123456",
            amount="10.00",
            payload={"note": "ring twice"},
        )
        opened.record("order.placed", email=BOB.value, amount="20.00")
        yield opened


def noted(crm, name):
    """Return what is on record of a member of staff, oldest first."""
    return [
        (each.action, each.outcome, each.customer_id, each.fields, each.reason)
        for each in reversed(crm.accesses_of(name))
    ]


class TestLooking:
    def test_a_page_is_masked(self, crm):
        """Identifiers and texts are masked; what is no personal value is shown as it is."""
        crm.add_task(ADA, "Ask about the cat", key="k", note="called Tom", owner="heidi")
        page = crm.desk("grace").customer(ADA)

        assert (("a•••@example.com",), ("+49•••56",)) == (page["email"], page["phone"])
        assert {"relationship": "ordering"} == page["stages"]
        assert 1000 == page["traits"]["tiering.net_minor"]
        assert (1000, 2) == (
            page["revenue"]["net"].amount_minor,
            page["revenue"]["interactions"],
        )
        (fact,) = page["interactions"]
        assert ("order.placed", {"note": "•••"}) == (fact.kind, dict(fact.texts))
        (task,) = page["tasks"]
        assert ("•••", "•••", "heidi") == (task.title, task.note, task.owner)
        for told in ("ada.l", "30123", "twice", "cat", "Tom"):
            assert told not in repr(page)

    def test_only_fields_of_the_role(self, crm):
        """What the role does not name is not there, and not noted."""
        page = crm.desk("ken").customer(ADA)

        assert {"email", "phone", "tasks"} == page.values.keys()
        expected = ("email", "guest_email", "guest_phone", "handle", "phone", "tasks")
        assert [("read", "allowed", 1, expected, None)] == noted(crm, "ken")

    def test_reveal(self, crm):
        """A reason gives a value, and is on record; without one, or a grant, there is none."""
        desk = crm.desk("grace")
        assert (ADA.value,) == desk.reveal(ADA, "email", "wrong parcel")
        assert ("ring twice",) == desk.reveal(ADA, "texts", "read it to her")
        for reason in ("", "  ", None):
            with pytest.raises(AccessRefusedError, match="without saying why"):
                desk.reveal(ADA, "email", reason)
        with pytest.raises(AccessRefusedError, match="ken may not reveal email"):
            crm.desk("ken").reveal(ADA, "email", "curious")
        with pytest.raises(InputError, match="no personal field"):
            desk.reveal(ADA, "stages", "why")

        assert ("reveal", "allowed", 1, ("email",), "wrong parcel") == noted(crm, "grace")[0]
        assert ["refused"] * 3 == [outcome for _, outcome, *_ in noted(crm, "grace")[2:]]
        assert [("reveal", "refused", 1, ("email",), "curious")] == noted(crm, "ken")

    def test_without_a_role(self, crm):
        """Who has no role may nothing; every attempt is on record."""
        desk = crm.desk("liz")
        for attempt in (
            lambda: desk.customer(1),
            desk.customers,
            lambda: desk.reveal(1, "email", "why"),
            lambda: desk.export(1, reason="why"),
            lambda: desk.record(1, "share.made", payload={"object": "x"}),
            lambda: desk.add_task(1, "x", key="k"),
        ):
            with pytest.raises(AccessRefusedError, match="liz may not"):
                attempt()
        assert desk.find(ADA) is None
        assert [] == desk.tasks()
        tried = [each for each in noted(crm, "liz") if each[0] != "alarm"]
        assert ["refused"] * 7 == [outcome for _, outcome, *_ in tried]
        with pytest.raises(NotFoundError, match=r"'lizz' .*did you mean 'liz'"):
            crm.desk("lizz")

    def test_whether_there_is_somebody(self, crm):
        """Only who may see everybody is told that nobody is there; to others it is a refusal."""
        with pytest.raises(CustomerNotFoundError):
            crm.desk("grace").customer(Identifier("email", "no@example.com"))
        for known in (Identifier("email", "no@example.com"), 99, ADA):
            with pytest.raises(AccessRefusedError) as refused:
                crm.desk("ivan").customer(known)
            assert "ivan may not read here: none of their roles (agent) grants it" in str(
                refused.value
            )
        assert crm.desk("ivan").find(ADA) is None

    def test_asked_for_by_what_may_not_be_read(self, crm):
        """Who may not read an address is not told whose it is, nor that it is anybody's."""
        desk = crm.desk("ned")
        assert {"stages": {"relationship": "ordering"}} == desk.customer(1).values
        told = set()
        for address in (ADA, Identifier("email", "no@example.com")):
            assert desk.find(address) is None
            with pytest.raises(AccessRefusedError, match="for this customer by email") as refused:
                desk.customer(address)
            told.add(str(refused.value))
        assert 1 == len(told)
        assert [("read", "allowed", 1), ("find", "refused", 1), ("read", "refused", 1)] == [
            each[:3] for each in noted(crm, "ned") if each[2]
        ]

    def test_own_household(self, crm):
        """A household is closed to its end, however its members were related, and its children."""
        names = ("hans", "dora", "kim", "stranger")
        ids = {n: crm.record("order.placed", account=n, amount="5.00").customer_id for n in names}
        own = crm.record("order.placed", email=GRACE.value, amount="5.00").customer_id
        with crm.begin() as tx:
            tx.relate(own, "household_of", ids["hans"])
            tx.relate(ids["dora"], "household_of", ids["hans"])
            tx.relate(ids["kim"], "child_of", ids["dora"])
        desk = crm.desk("grace")

        for whose in (own, ids["hans"], ids["dora"], ids["kim"]):
            with pytest.raises(AccessRefusedError):
                desk.customer(whose)
        assert ids["stranger"] == desk.customer(ids["stranger"]).customer_id

    def test_own_record(self, crm):
        """One's own record is closed, whoever recorded it as what, and one's family's, too."""
        own = crm.record("order.placed", guest_email=GRACE.value, amount="5.00").customer_id
        child = crm.record("order.placed", account="child", amount="5.00").customer_id
        with crm.begin() as tx:
            tx.relate(child, "child_of", own)
        desk = crm.desk("grace")

        for whose in (own, child):
            for attempt in (
                lambda whose=whose: desk.customer(whose),
                lambda whose=whose: desk.reveal(whose, "guest_email", "it is me"),
                lambda whose=whose: desk.export(whose, reason="it is me"),
                lambda whose=whose: desk.record(whose, "share.made", payload={"object": "x"}),
            ):
                with pytest.raises(AccessRefusedError):
                    attempt()
        with pytest.raises(AccessRefusedError):
            desk.export([1, own], reason="both")
        crm.add_task(own, "x", owner="grace")
        assert [] == desk.tasks()
        assert [1, 2] == [page.customer_id for page in desk.customers(most=2)]
        assert [] == desk.customers(after=2)


class TestRows:
    def test_tasks_open_customers(self, crm):
        """Who has a task for a customer, or whose team has, may see them until it is done."""
        desk = crm.desk("ivan")
        mine = crm.add_task(ADA, "Call", note="about a cat", owner="calls")
        crm.add_task(BOB, "Call", owner="judy")

        assert 1 == desk.customer(ADA).customer_id
        (seen,) = desk.tasks()
        assert ("Call", "about a cat", ["order.placed"]) == (
            seen.task.title,
            seen.task.note,
            [fact.kind for fact in seen.latest],
        )
        desk.finish_task(mine.id, reason="reached")
        assert "staff:ivan" == crm.tasks(is_open=False)[0].task.done_by
        with pytest.raises(AccessRefusedError):
            desk.customer(ADA)

    def test_nobody_opens_a_customer_to_themself(self, crm):
        """A task that would let its giver see more of a customer is refused, and not there."""
        desk = crm.desk("judy")
        with pytest.raises(AccessRefusedError, match="give themself a task"):
            desk.add_task(ADA, "x", key="mine")
        other = desk.add_task(ADA, "x", key="other", owner="ivan")
        with pytest.raises(AccessRefusedError, match="give themself a task"):
            desk.assign_task(other.id, "judy")

        assert ["ivan"] == [each.task.owner for each in crm.tasks()]
        assert ["allowed", "refused", "allowed", "allowed", "refused"] == [
            outcome for _, outcome, *_ in noted(crm, "judy")
        ]

    def test_texts_of_others_tasks(self, crm):
        """In a list of tasks, the texts of somebody else's are hidden."""
        crm.add_task(ADA, "Hers", key="a", note="n", owner="grace")
        crm.add_task(ADA, "His", key="b", owner="ivan")

        found = {each.task.owner: each.task for each in crm.desk("grace").tasks()}
        assert ("Hers", "•••") == (found["grace"].title, found["ivan"].title)

    def test_texts_of_tasks_worked_on(self, crm):
        """Working on a task shows its texts only if it is one's own and they may be read."""
        task = crm.add_task(ADA, "Call Ada", key="k", note="about a cat", owner="heidi")
        for name in ("ken", "grace"):
            desk = crm.desk(name)
            for seen in (
                desk.assign_task(task.id, "heidi"),
                desk.add_task(ADA, "x", key="k"),
            ):
                assert ("•••", "•••", "heidi") == (seen.title, seen.note, seen.owner)
            assert {("tasks",)} == {fields for _, _, _, fields, _ in noted(crm, name)}
        # Ken may work on it, not read its texts, even when it is his.
        assert "•••" == crm.desk("ken").assign_task(task.id, "ken").title
        mine = crm.desk("grace").assign_task(task.id, "grace")
        assert ("Call Ada", "about a cat") == (mine.title, mine.note)
        read = ("read", "allowed", 1, ("task_texts", "tasks"), None)
        assert read == noted(crm, "grace")[-1]
        done = crm.desk("ken").finish_task(task.id, "reached Ada", reason="by mail")
        assert ("•••", "•••", "•••") == (done.title, done.outcome, done.reason)
        with pytest.raises(InputError, match="finished before by staff:ken; an open") as refused:
            crm.desk("ken").finish_task(task.id)
        assert "Ada" not in str(refused.value)

    def test_tasks_that_are_not_there(self, crm):
        """Whether there is a task is told to who may work on all of them alone, and noted."""
        with pytest.raises(NotFoundError, match="no task has the id 99"):
            crm.desk("ken").finish_task(99)
        crm.add_task(ADA, "Call", owner="heidi")
        for task_id in (1, 99):
            with pytest.raises(AccessRefusedError, match="ivan may not work tasks here"):
                crm.desk("ivan").finish_task(task_id)
        assert ["refused"] * 2 == [outcome for _, outcome, *_ in noted(crm, "ivan")]

    def test_rules_of_ones_own(self, clock):
        """Anything with a condition is a rule: here, customers who gave a phone number."""

        @frozen
        class WithPhone:
            def condition(self, now):
                return exists().where(
                    identifier.c.customer_id == table.c.customer_id, identifier.c.scheme == "phone"
                )

        assert isinstance(WithPhone(), RowRule)
        role = Role("caller", grants=(Grant(actions=["list"], fields=["phone"], rows=WithPhone()),))
        with Crm(scratch(), roles=[role], staff=[Staff("grace", roles=["caller"])]) as crm:
            crm.record("share.made", email=BOB.value, payload={"object": "x"})
            crm.record("share.made", phone="+4930123456", payload={"object": "x"})

            assert [("+49•••56",)] == [page["phone"] for page in crm.desk("grace").customers()]


class TestSecondPerson:
    @pytest.fixture
    def crm(self, crm):
        crm.record("order.placed", email="cy.c@example.com", amount="30.00")
        return crm

    @pytest.mark.parametrize("ask", ["export", "list"])
    def test_more_than_one_may_alone(self, crm, ask):
        """Above the limit somebody else, who may approve all of it, has to be named."""
        desk = crm.desk("grace")

        def act(**more):
            if ask == "list":
                return desk.customers(reason="audit", **more)
            return desk.export([1, 2, 3], reason="audit", **more)

        for second, says in (
            (None, "may not .* more than 2 customers alone"),
            ("grace", "cannot approve what they .* themself"),
            ("ivan", "ivan may not approve"),
            ("nobody", "no member of staff is named 'nobody'"),
            ("heidi", "heidi may not approve"),  # who may approve contact points alone
        ):
            with pytest.raises(AccessRefusedError, match=says):
                act(approved_by=second)
        assert {"refused"} == {outcome for _, outcome, *_ in noted(crm, "grace")}
        assert ("approve", "refused") == noted(crm, "heidi")[0][:2]

    def test_approved(self, crm):
        """Approved, both are on record."""
        narrow = Role(
            "clerk",
            grants=(Grant(actions=["export"], fields=["contact"]),),
            bulk_above=2,
        )
        with Crm(
            scratch(), clock=crm.runtime.clock, roles=[narrow, ROLES[1]], staff=STAFF[:2]
        ) as other:
            for name in "abc":
                other.record("order.placed", email=f"{name}{name}@example.com")
            desk = other.desk("grace")
            found = desk.export([1, 2, 3], reason="audit", approved_by="heidi")

            assert ["aa@example.com", "bb@example.com", "cc@example.com"] == [
                page["email"][0] for page in found
            ]
            assert [("export", "allowed", c, "audit") for c in (1, 2, 3)] == [
                (action, outcome, c, reason)
                for action, outcome, c, _, reason in noted(other, "grace")
            ]
            ((action, outcome, whom, _, reason),) = noted(other, "heidi")
            assert ("approve", "allowed", 0, "export of 3 customers by grace") == (
                action,
                outcome,
                whom,
                reason,
            )

    def test_one_after_another_counts_as_many(self, crm, clock):
        """Within a day, a third customer needs a second person; the same ones again do not."""
        desk = crm.desk("grace")
        for customer in (1, 2, 1, 2):
            desk.export(customer, reason="asked for")
        with pytest.raises(AccessRefusedError, match="more than 2 customers"):
            desk.export(3, reason="asked for")
        clock.advance_to(NOW + DAY + 1)

        assert 3 == desk.export(3, reason="asked for")[0].customer_id


class TestRecord:
    def test_record_with_its_note(self, crm):
        """What is recorded is by the member, and on record with it or not at all."""
        desk = crm.desk("grace")
        number = desk.record(ADA, "call.ended", payload={"direction": "in"})
        with pytest.raises(InputError, match="direction"):
            desk.record(ADA, "call.ended", payload={})

        last = crm.customer(ADA).latest[0]
        assert (number, "staff:grace") == (last.id, last.actor)
        assert [("record", "allowed", 1, ("interactions",), "call.ended")] == noted(crm, "grace")

    def test_alarm(self, crm, clock):
        """Who looks at more customers in an hour than expected is noted, once in an hour."""
        for name in ("c", "d", "e"):
            crm.record("order.placed", account=f"{name}1")
        desk = crm.desk("grace")
        for whom in (1, 2, 1, 3):
            desk.customer(whom)
        assert [] == crm.access_alarms()
        desk.customer(4)
        desk.customer(5)

        (alarm,) = crm.access_alarms()
        assert ("staff:grace", 0, "4 different customers in an hour; up to 3 are expected") == (
            alarm.actor,
            alarm.customer_id,
            alarm.reason,
        )
        clock.advance_to(NOW + 3601 * SECOND)
        for whom in (1, 2, 3):
            desk.customer(whom)
        assert 1 == len(crm.access_alarms())
        desk.customer(4)
        assert 2 == len(crm.access_alarms())

    def test_guesses_are_looks(self, crm):
        """Who asks again and again for somebody who is not there is noted like who looks."""
        desk = crm.desk("ned")
        for n in range(3):
            desk.find(Identifier("phone", f"+4930123450{n}"))
        for known in (901, 902):
            with pytest.raises(AccessRefusedError):
                desk.customer(Identifier("email", f"c{known}@example.com"))
        assert [] == crm.access_alarms()
        desk.customer(1)

        (alarm,) = crm.access_alarms()
        assert (
            "1 different customers, and 5 that there are not, in an hour; up to 5 are expected"
        ) == alarm.reason

    def test_the_doctor_tells_of_alarms(self, tmp_path):
        """For a week, an alarm is among what `crm doctor` finds, with who, and how to look."""
        url = shop_file(tmp_path)
        clock = VirtualClock(NOW)
        with Crm(url, clock=clock, roles=ROLES, staff=STAFF) as crm:
            for n in range(1, 5):
                whom = crm.record("order.placed", account=f"a{n}").customer_id
                crm.desk("grace").customer(whom)

            def found(now):
                return [each for each in examine(url, crm.assembly, now) if each.check == "access"]

            (finding,) = found(NOW + DAY)
            assert "grace looked at more customers" in finding.found
            assert "crm access of grace" in finding.cure
            assert [] == found(NOW + 8 * DAY)

    def test_who_saw_across_merges(self, crm, clock):
        """Who looked at the one they were merged into looked at them, then, before and after."""
        desk = crm.desk("grace")
        desk.customer(2)
        clock.advance_to(NOW + 1)
        desk.customer(1)
        clock.advance_to(NOW + 2)
        merge = crm.merge(1, 2)
        desk.reveal(BOB, "email", "both")
        assert [1, 1, 1] == [each.customer_id for each in crm.who_saw(1)]
        clock.advance_to(NOW + 3)
        crm.unmerge(merge.id)
        clock.advance_to(NOW + 4)
        desk.customer(1)

        def seen(customer):
            return [(each.action, each.recorded_instant - NOW) for each in crm.who_saw(customer)]

        assert [("read", 4), ("reveal", 2), ("read", 1)] == seen(1)
        assert [("reveal", 2), ("read", 0)] == seen(2)

    def test_a_page_is_read_in_few_statements(self, crm):
        """A page of many customers takes as many statements as one of two."""
        counted = []
        for count in (2, 60):
            for n in range(count):
                crm.record("share.made", account=f"s{count}-{n}", payload={"object": "x"})
            seen: list[str] = []
            run = crm.runtime.database.statements.prepare

            def prepare(statement, run=run, seen=seen):
                seen.append("one")
                return run(statement)

            crm.runtime.database.statements.prepare = prepare
            crm.desk("mia").customers(most=1000)
            crm.runtime.database.statements.prepare = run
            counted.append(len(seen))

        assert counted[0] == counted[1] <= 20


class TestConfiguration:
    @pytest.mark.parametrize(
        ("roles", "staff", "says"),
        [
            ([], [Staff("g", roles=["clerk"])], "no role is named 'clerk'"),
            ([Role("clerk")], [Staff("g", roles=["clrk"])], "did you mean 'clerk'"),
            ([Role("a"), Role("a")], [], "'a' twice"),
            ([Role(" ")], [], "not blank"),
            ([Role("a", bulk_above=-1)], [], "bulk_above is -1"),
            ([], [Staff("me", roles=[])], "'me'"),
            ([], [Staff("g", roles=[], identifiers=["grace"])], "staff.g: .*scheme"),
            (
                [],
                [
                    Staff(n, roles=[], identifiers=[f"{s}:g@example.com"])
                    for n, s in (("g", "email"), ("h", "guest_email"))
                ],
                "identifier in common",
            ),
        ],
    )
    def test_wrong_ones(self, roles, staff, says):
        """A role or member that is not right stops the start, and the error names it."""
        with pytest.raises((ConfigurationError, InputError), match=says):
            Crm("sqlite://", roles=roles, staff=staff)

    @pytest.mark.parametrize(
        "wrong", [{"actions": ["raed"], "fields": ["*"]}, {"actions": ["read"], "fields": ["nme"]}]
    )
    @pytest.mark.parametrize("staff", [[], [Staff("grace", roles=["support"])]])
    def test_a_mistake_is_the_roles(self, wrong, staff):
        """It stops the start though nobody has the role, and whoever has it is not blamed."""
        with pytest.raises(
            ConfigurationError, match=r"^roles\.support: there is no (action|field)"
        ):
            Crm("sqlite://", roles=[Role("support", grants=(Grant(**wrong),))], staff=staff)

    @pytest.mark.parametrize(
        ("grant", "says"),
        [
            ({"actions": ["raed"]}, "there is no action 'raed'.*'read'"),
            ({"fields": ["emial"]}, "there is no field 'emial'.*'email'"),
            ({"rows": {"trait": "tiering.teir", "operator": "is", "value": "A"}}, "tiering.tier"),
            ({"rows": {"trait": "tiering.tier", "operator": "is", "value": 3}}, "type str"),
            ({"rows": {"trait": "tiering.orders", "operator": "in", "value": 3}}, "a list"),
            ({"rows": {"trait": "tiering.orders", "operator": "is", "value": True}}, "type int"),
            ({"rows": {"trait": "tiering.tier", "operator": "above", "value": "A"}}, "no order"),
            ({"rows": {"stage": "relationship", "operator": "is", "value": "loyl"}}, "'loyal'"),
            ({"rows": {"stage": "relation", "operator": "is", "value": "x"}}, "no lifecycle"),
        ],
    )
    def test_wrong_grants(self, grant, says):
        """So does a grant, at the start, and not when somebody first asks."""
        made = Grant(**{"actions": ["read"], "fields": ["*"], **grant})
        with pytest.raises(ConfigurationError, match=says):
            Crm(
                "sqlite://",
                plugins=[Tiering()],
                roles=[Role("a", grants=(made,))],
                staff=[Staff("g", roles=["a"])],
            )

    @pytest.mark.parametrize(
        "value",
        [
            3,
            {},
            {"trait": "x"},
            {"trait": "x", "operator": "like", "value": 1},
            {"trait": "x", "operator": "is", "value": 1, "more": 2},
            {"all": {"trait": "x"}},
            {"any": [3]},
            {"not": None},
            {"task_owner": [3]},
        ],
    )
    def test_wrong_rules(self, value):
        """What is no rule is refused with the forms there are."""
        with pytest.raises(ConfigurationError, match="expected"):
            parse_rows(value)


CONFIG = """
[roles.support]
bulk_above = 50
grants = [
  { actions = ["read", "work"], fields = ["contact", "tasks", "stages"] },
  { actions = ["reveal"], fields = ["phone"], rows = { any = [
    { task_owner = ["me", "my teams"] },
    { stage = "relationship", operator = "in", value = ["ordering"] },
  ] } },
]

[staff.grace]
roles = ["support"]
teams = ["calls"]
identifiers = ["email:grace@example.com"]

[staff.liz]
roles = []
"""


class TestCommands:
    @pytest.fixture
    def shop(self, tmp_path):
        config = tmp_path / "crm.toml"
        config.write_text(CONFIG)
        with Crm.from_config(config) as crm:
            crm.record("order.placed", email=ADA.value, phone="+4930123456")
            crm.desk("grace").reveal(ADA, "phone", "call back")
            with pytest.raises(AccessRefusedError):
                crm.desk("liz").customer(ADA)
        return config

    def run(self, shop, *words):
        return CliRunner().invoke(command, ["--config", str(shop), *words])

    def test_who_saw(self, shop):
        """Who looked at a customer, newest first, as text and as JSON."""
        lines = self.run(shop, "access", "who-saw", str(ADA)).output.splitlines()
        assert ["staff:liz read (refused) customer 1", "staff:grace reveal customer 1: phone"] == [
            line.partition("  ")[2].partition(" - ")[0] for line in lines
        ]
        found = json.loads(self.run(shop, "access", "who-saw", "1", "--json").output)["accesses"]
        assert [("staff:liz", "refused"), ("staff:grace", "allowed")] == [
            (each["actor"], each["outcome"]) for each in found
        ]

    def test_of_and_alarms(self, shop):
        """What a member of staff looked at; who left is answered for, too."""
        assert "call back" in self.run(shop, "access", "of", "grace").output
        assert "Nobody has looked" in self.run(shop, "access", "of", "gone").output
        assert "staff:liz alarm" in self.run(shop, "access", "alarms").output

    def test_of_a_misspelt_name(self, shop):
        """It is said that there is nobody of the name, and whom somebody may have meant."""
        wrong = self.run(shop, "access", "of", "grce")
        assert "no member of staff is named 'grce' now (did you mean 'grace'?)" in wrong.stderr
        assert {"accesses": []} == json.loads(
            self.run(shop, "access", "of", "grce", "--json").stdout
        )
        assert "" == self.run(shop, "access", "of", "grace").stderr

    def test_times_have_their_zone(self, shop):
        """Each access is told in UTC, and says so."""
        for line in self.run(shop, "access", "who-saw", "1").output.splitlines():
            assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC  ", line)

    def test_staff(self, shop):
        """Who may do what."""
        told = self.run(shop, "staff").output
        assert "grace (support)" in told
        assert "may reveal of some customers: phone" in told
        assert "liz (no role)\n  may do nothing" in told
        found = json.loads(self.run(shop, "staff", "--json").output)["staff"]
        assert [("grace", ["calls"]), ("liz", [])] == [(e["name"], e["teams"]) for e in found]

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("[staff.x]\nroles = ['nobody']\n", "no role is named 'nobody'"),
            ("[staff.x]\nrole = ['a']\n", "unknown setting 'role'"),
            ("[roles.x]\ngrants = [{ actions = ['read'] }]\n", "fields"),
            ("[roles.x]\nname = 'y'\n", "a table without a name"),
            ("roles = 3\n", "tables expected"),
            ("[role.x]\n", "did you mean 'roles'"),
        ],
    )
    def test_wrong_configuration(self, tmp_path, text, says):
        """What is wrong in the file is named."""
        config = tmp_path / "crm.toml"
        config.write_text(text)

        result = self.run(config, "staff")
        assert 2 == result.exit_code
        assert says in result.output


def test_refusals_change_nothing_else(crm):
    """A refused attempt leaves a row in crm_access, and nothing anywhere else."""
    count = "SELECT (SELECT count(*) FROM crm_interaction), (SELECT count(*) FROM crm_task)"
    before = rows(crm, count)
    desk = crm.desk("liz")
    with pytest.raises(AccessRefusedError):
        desk.record(1, "share.made", payload={"object": "x"})
    with pytest.raises(AccessRefusedError):
        desk.add_task(1, "x", key="k")

    assert before == rows(crm, count)
