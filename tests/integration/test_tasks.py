"""Tasks for staff: added once, assigned, finished, listed, and given on by time."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import define, field
from click.testing import CliRunner
from typing_extensions import override

from crmcore import (
    Context,
    Crm,
    CustomersRecompute,
    Draft,
    Identifier,
    InteractionsRecorded,
    Plugin,
    TaskDraft,
    VirtualClock,
    hookimpl,
)
from crmcore.cli import crm as command
from crmcore.domain.clock import DAY
from crmcore.errors import InputError, ModeError, NotFoundError
from crmcore.replay.replayer import Replayer
from crmcore.services.background.portion import Portion
from crmcore.testing.dumps import dump
from tests.support.databases import scratch
from tests.support.making import rows
from tests.support.merging import database_of
from tests.support.plugins import Books

START = datetime(2024, 1, 1, tzinfo=UTC)
NOW = round(START.timestamp()) * 1_000_000
ADA = Identifier("email", "ada@example.com")


@define(eq=False)
class Caring(Plugin):
    """Adds a task for every order, and hears of what becomes of tasks."""

    name = "caring"
    heard: list[str] = field(factory=list)
    keys: list[str] = field(factory=lambda: ["welcome"])

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        for each in event:
            if each.kind.startswith("task."):
                self.heard.append(f"{each.kind} by {each.actor}")
            if each.kind == "order.placed":
                ctx.add_task(*(self.draft(key, each) for key in self.keys))

    def draft(self, key: str, each: Any) -> TaskDraft:
        return TaskDraft(
            key=key,
            title="Say hello",
            customer=each.customer_id,
            owner="grace",
            due_at=each.occurred_instant + DAY,
            escalate_at=each.occurred_instant + 3 * DAY,
            escalate_to="leads",
            caused_by=each.id,
        )


@define(eq=False)
class After(Plugin):
    """Adds a task when an order has been committed."""

    name = "after"

    @hookimpl
    @override
    def after_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        for each in event:
            if each.kind == "order.placed":
                draft = TaskDraft(key="pack", title="Pack it", customer=each.customer_id)
                ctx.add_task(draft, draft)


@define(eq=False)
class Rebuilding(Books):
    """Tries to add a task while its tables are made anew."""

    reviews: bool = False

    @hookimpl
    @override
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        with pytest.raises(ModeError, match="add a task"):
            ctx.add_task(TaskDraft(key="k", title="t", customer=1))
        super().recompute_customers(ctx, event)


@pytest.fixture
def clock():
    return VirtualClock(NOW)


@pytest.fixture
def crm(clock):
    with Crm(scratch(), clock=clock) as opened:
        opened.record("order.placed", email="ada@example.com", amount="10.00")
        opened.record("order.placed", email="bob@example.com", amount="20.00")
        yield opened


def kinds_of(crm, customer_id):
    """Return what happened to a customer, oldest first, with what each says in public."""
    latest = reversed(crm.customer(customer_id).latest)
    return [(each.kind, json.loads(each.payload_json)) for each in latest]


@pytest.mark.each_database(partitioned=True)
class TestStory:
    def test_from_opened_to_done(self, crm, clock):
        """Each step is on the customer's page, who did it too; texts are personal values."""
        task = crm.add_task(
            ADA, "Call her", key="call", note="about the lamp", due_at=START, actor="staff:grace"
        )
        crm.assign_task(task.id, "grace", actor="staff:heidi")
        clock.advance_to(NOW + DAY)
        done = crm.finish_task(task.id, "reached", reason="she is fine", actor="staff:grace")

        assert ("reached", "staff:grace", NOW + DAY, False) == (
            done.outcome,
            done.done_by,
            done.done_instant,
            done.is_open,
        )
        assert [
            ("order.placed", {}),
            ("task.opened", {"task": "call", "owner": None, "due_at": START.isoformat()}),
            ("task.assigned", {"task": "call", "owner": "grace", "before": None}),
            ("task.done", {"task": "call", "by": "staff:grace"}),
        ] == kinds_of(crm, 1)
        opened, finished = (crm.customer(1).latest[place].payload for place in (2, 0))
        assert ("Call her", "about the lamp") == (opened.title, opened.note)
        assert ("reached", "she is fine") == (finished.outcome, finished.reason)

    def test_twice_is_one(self, crm):
        """A key that the customer has is the task that is there, open or done; no fact is added."""
        first = crm.add_task(ADA, "Call her", key="call", owner="grace")
        crm.add_task(Identifier("email", "bob@example.com"), "Call him", key="call")

        assert first == crm.add_task(1, "Something else", key="call")
        crm.finish_task(first.id)
        assert "done" == crm.add_task(1, "Again", key="call").outcome
        assert 2 == rows(crm, "SELECT count(*) FROM crm_task")[0][0]
        assert 1 == [kind for kind, _ in kinds_of(crm, 1)].count("task.opened")
        assert crm.add_task(1, "New").id != crm.add_task(1, "New").id

    def test_finished_is_finished(self, crm):
        """What was finished or dropped is not finished, dropped or assigned again."""
        dropped = crm.drop_task(crm.add_task(1, "x").id, reason="moved away", actor="staff:heidi")
        before = dump(crm)

        assert ("dropped", "moved away") == (dropped.outcome, dropped.reason)
        for change in (
            lambda: crm.finish_task(dropped.id),
            lambda: crm.drop_task(dropped.id, reason="no"),
            lambda: crm.assign_task(dropped.id, "grace"),
        ):
            with pytest.raises(InputError, match="finished before by staff:heidi; an open task"):
                change()
        with pytest.raises(NotFoundError, match="no task has the id 99"):
            crm.finish_task(99)
        assert before == dump(crm)

    def test_lists(self, crm):
        """By owner, customer and date, those due first, each with what happened last beside it."""
        late = crm.add_task(1, "late", owner="grace", due_at=NOW + 2 * DAY).id
        soon = crm.add_task(2, "soon", owner="grace", due_at=NOW + DAY).id
        whenever = crm.add_task(1, "whenever", owner="heidi").id
        done = crm.finish_task(crm.add_task(2, "done", owner="heidi").id).id
        crm.record("call.ended", email="bob@example.com", payload={"direction": "in"})

        def ids(**wanted: Any) -> list[int]:
            return [each.task.id for each in crm.tasks(**wanted)]

        assert [soon, late, whenever] == ids()
        assert [soon, late] == ids(owner="grace")
        assert [late, whenever] == ids(customer=ADA)
        assert [soon] == ids(due_before=START + timedelta(days=2))
        assert [done] == ids(is_open=False)
        assert [soon, late, whenever, done] == ids(is_open=None)
        assert [soon, late] == ids(most=2)
        assert [["call.ended", "order.placed"], ["order.placed"]] == [
            [fact.kind for fact in each.latest] for each in crm.tasks(owner="grace")
        ]
        assert [["call.ended"], ["order.placed"]] == [
            [fact.kind for fact in each.latest] for each in crm.tasks(owner="grace", latest=1)
        ]


@pytest.mark.each_database(partitioned=False)
class TestPlugins:
    def test_a_plugin_adds_each_once(self, clock):
        """Another order adds nothing; it hears of what staff and time do, not of its own."""
        caring = Caring(keys=["welcome", "card"])
        with Crm(scratch(), plugins=[caring], clock=clock) as crm:
            for n in range(3):
                crm.record("order.placed", email="ada@example.com", source_key=f"{n}")
            welcome, card = (each.task for each in crm.tasks())
            assert ("caring", "welcome", "grace", 1) == (
                welcome.plugin,
                welcome.key,
                welcome.owner,
                welcome.caused_by,
            )
            crm.finish_task(card.id, actor="staff:grace")
            clock.advance_to(NOW + 4 * DAY)
            crm.run_due()

            assert ["task.done by staff:grace", "task.escalated by crmcore"] == caring.heard
            opened = (
                "SELECT source, actor, caused_by FROM crm_interaction WHERE kind = 'task.opened'"
            )
            assert [("plugin:caring", "plugin:caring", 1)] * 2 == rows(crm, opened)

    def test_after_hooks(self, clock):
        """What a plugin adds outside any transaction is added with its cursor, once."""
        with Crm(scratch(), plugins=[After()], clock=clock) as crm:
            crm.record("order.placed", email="ada@example.com")
            crm.worker().once()
            crm.worker().once()

            assert ["Pack it"] == [each.task.title for each in crm.tasks()]

    def test_a_rebuild_changes_no_task(self, clock):
        """Tasks are not derived: rebuilding leaves them, and adds none."""
        with Crm(scratch(), plugins=[Rebuilding(), Caring()], clock=clock) as crm:
            crm.record("order.placed", email="ada@example.com")
            before = dump(crm)["crm_task"]
            crm.rebuild()

            assert before == dump(crm)["crm_task"]
            assert 1 == before.total()

    def test_what_raises_adds_nothing(self, clock):
        """A plugin that raises after adding a task has added none, and the order stands."""

        class Raising(Caring):
            name = "raising"

            @hookimpl
            @override
            def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
                super().on_interactions_recorded(ctx, event)
                raise ValueError("told to fail")

        with Crm(scratch(), plugins=[Raising()], clock=clock) as crm:
            crm.record("order.placed", email="ada@example.com")

            assert [] == crm.tasks()
            assert [("order.placed", {})] == kinds_of(crm, 1)


@pytest.mark.each_database(partitioned=False)
class TestEscalation:
    def test_time_gives_it_on(self, crm, clock):
        """It is the next thing due; at that instant, and not before, it goes to somebody else."""
        due = NOW + 2 * DAY
        task = crm.add_task(1, "x", key="x", owner="grace", escalate_at=due, escalate_to="leads")
        done = crm.add_task(1, "y", owner="grace", escalate_at=due, escalate_to="leads")
        crm.finish_task(done.id)
        assert due == crm.next_due()
        clock.advance_to(due - 1)
        crm.run_due()
        assert "grace" == crm.tasks()[0].task.owner
        clock.advance_to(due)

        assert 1 == crm.run_due()
        (view,) = crm.tasks()
        assert ("leads", due, None, task.id) == (
            view.task.owner,
            view.task.escalated_instant,
            view.task.escalate_instant,
            view.task.id,
        )
        expected = ("task.escalated", {"task": "x", "owner": "leads", "before": "grace"})
        assert expected == kinds_of(crm, 1)[-1]
        assert 0 == crm.run_due()

    def test_virtual_time_reaches_it(self, clock):
        """In a replay, it happens between the orders it lies between."""
        drafts = [
            Draft(
                "order.placed",
                identifiers=(ADA,),
                occurred_at=START + timedelta(days=day),
                source_key=f"{day}",
            )
            for day in (0, 2, 4)
        ]
        with Crm(scratch(), plugins=[Caring()], clock=clock) as crm:
            Replayer(crm, clock).run(drafts)

            assert NOW + 3 * DAY == crm.tasks()[0].task.escalated_instant
            told = [kind for kind, _ in kinds_of(crm, ADA) if kind != "task.opened"]
            assert ["order.placed", "order.placed", "task.escalated", "order.placed"] == told


def test_two_workers_escalate_once(tmp_path):
    """Of two workers at once each task goes on once, with one fact."""
    count = 40
    with database_of("postgresql", tmp_path) as url:
        clock = VirtualClock(NOW)
        with Crm(url, clock=clock) as one, Crm(url, clock=clock) as other:
            for n in range(count):
                made = one.record("order.placed", account=f"a{n}")
                for key in ("a", "b"):
                    one.add_task(
                        made.customer_id, "x", key=key, escalate_at=NOW + 1, escalate_to="leads"
                    )
            clock.advance_to(NOW + DAY)
            ready = threading.Barrier(2)

            portions: list[Portion] = []

            def work(crm: Crm) -> None:
                ready.wait()
                crm.worker(told=portions.append).once()

            threads = [threading.Thread(target=work, args=(crm,)) for crm in (one, other)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

            facts = "SELECT count(*) FROM crm_interaction WHERE kind = 'task.escalated'"
            steps = "SELECT DISTINCT owner, step, escalate_at FROM crm_task"
            assert 2 * count == sum(each.done for each in portions if each.work == "tasks")
            assert 2 * count == rows(one, facts)[0][0]
            assert [("leads", 2, None)] == rows(one, steps)


def test_adding_at_once_is_one(tmp_path):
    """Of several transactions that add a task of one key, one does, and the others get it."""
    with database_of("postgresql", tmp_path) as url, Crm(url) as crm:
        crm.record("order.placed", email="ada@example.com")
        ready = threading.Barrier(6)
        found: list[int] = []

        def add() -> None:
            ready.wait()
            found.append(crm.add_task(1, "x", key="k").id)

        threads = [threading.Thread(target=add) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [found[0]] * 6 == found
        assert 1 == len(crm.tasks())


@pytest.mark.each_database(partitioned=False)
class TestMerges:
    def test_of_two_of_a_key_one_is_open(self, crm):
        """The survivor's stays open; undone, both are, and each is whose it was."""
        mine, theirs = crm.add_task(1, "x", key="k"), crm.add_task(2, "y", key="k")
        other = crm.add_task(2, "z", key="other")
        before = dump(crm)
        crm.merge(1, 2)

        assert [mine.id, other.id] == [each.task.id for each in crm.tasks(customer=1)]
        assert mine == crm.add_task(2, "y", key="k")
        crm.unmerge(1)
        assert before["crm_task"] == dump(crm)["crm_task"]
        assert [theirs.id, other.id] == [each.task.id for each in crm.tasks(customer=2)]

    def test_what_happens_meanwhile(self, crm):
        """What was added by the other's identifier, or finished, goes back with the other."""
        before = crm.add_task(2, "before")
        crm.merge(1, 2)
        by_name = crm.add_task(Identifier("email", "bob@example.com"), "by name")
        by_id = crm.add_task(1, "by id")
        crm.finish_task(before.id)
        crm.unmerge(1)

        assert [by_id.id] == [each.task.id for each in crm.tasks(customer=1)]
        assert [(before.id, "done"), (by_name.id, None)] == [
            (each.task.id, each.task.outcome) for each in crm.tasks(customer=2, is_open=None)
        ]


class TestCommands:
    @pytest.fixture
    def shop(self, tmp_path):
        config = tmp_path / "crm.toml"
        config.write_text("[crm]\n")
        with Crm.from_config(config) as crm:
            crm.record("order.placed", email="ada@example.com", amount="10.00")
        return config

    def run(self, shop, *words):
        return CliRunner().invoke(command, ["--config", str(shop), *words])

    def test_from_add_to_done(self, shop):
        """A task is added, listed, assigned and finished; each answer tells it in a line."""
        assert "There is nothing to do." in self.run(shop, "tasks").output
        added = self.run(
            shop, "task", "add", str(ADA), "Call her", "--due", "2030-01-02", "--note", "lamp"
        )
        assert "1  Call her (customer 1, nobody, due 2030-01-02)\n" == added.output
        assert (
            "1  Call her (customer 1, grace"
            in self.run(shop, "task", "assign", "1", "grace").output
        )
        listed = self.run(shop, "tasks", "--owner", "grace", "--customer", str(ADA))
        assert "order.placed" in listed.output
        assert "There is nothing" in self.run(shop, "tasks", "--due-before", "2029-01-01").output
        found = json.loads(self.run(shop, "tasks", "--json").output)["tasks"]
        assert [("1", "lamp", "grace")] == [(t["task"], t["note"], t["owner"]) for t in found]
        done = self.run(shop, "task", "done", "1", "--outcome", "reached", "--by", "grace")
        assert "[reached by grace]" in done.output
        assert "Call her" in self.run(shop, "tasks", "--done").output
        assert "Call her" in self.run(shop, "tasks", "--all").output
        again = self.run(shop, "task", "done", "1")
        assert (2, True) == (again.exit_code, "finished before by grace" in again.output)

    def test_times_have_a_zone(self, shop):
        """One without is refused, as elsewhere; a day is the shop's; what is told says its zone."""
        shop.write_text('[crm]\nzone = "Europe/Berlin"\n')
        for option in ("--due", "--escalate-at"):
            wrong = self.run(shop, "task", "add", "1", "x", option, "2030-01-02T10:00")
            assert 2 == wrong.exit_code
            assert f"{option} '2030-01-02T10:00' has no time zone" in wrong.output
        wrong = self.run(shop, "tasks", "--due-before", "tomorrow")
        assert "'tomorrow' is no instant in ISO 8601" in wrong.output

        told = self.run(shop, "task", "add", "1", "Call", "--due", "2030-01-02T10:00Z").output
        assert "due 2030-01-02 11:00 CET" in told
        assert (
            "due 2030-01-02)"
            in self.run(shop, "task", "add", "1", "x", "--due", "2030-01-02").output
        )
        (first, _) = json.loads(self.run(shop, "tasks", "--json").output)["tasks"]
        assert "2030-01-01T23:00:00+00:00" == first["due_at"]
        assert "11:00 CET" in self.run(shop, "tasks").output

    def test_drop(self, shop):
        """Dropping needs a reason."""
        self.run(shop, "task", "add", "1", "x")
        assert 2 == self.run(shop, "task", "done", "1", "--drop").exit_code
        dropped = self.run(shop, "task", "done", "1", "--drop", "--reason", "moved", "--json")
        assert ("dropped", "moved") == tuple(
            json.loads(dropped.output)[name] for name in ("outcome", "reason")
        )
