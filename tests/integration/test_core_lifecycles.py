"""Lifecycles at work: guards, subjects, late facts, and time that passed unnoticed."""

import pytest

from crmcore import ANY, AtMost, Edge, Lifecycle, Refuse, Stage
from crmcore.errors import CrmError
from crmcore.replay.replayer import Replayer
from tests.support.limits import ending
from tests.support.making import draft, kinds, plugin, rows, us
from tests.support.plugins import Cases
from tests.support.runs import opened

pytestmark = pytest.mark.each_database(partitioned=True)

STAGES = "SELECT subject, stage FROM crm_stage WHERE lifecycle = 'case' ORDER BY subject"


def two_stages(*edges, stages=("a", "b")):
    """Return a plugin whose lifecycle has these edges."""
    life = Lifecycle("small", stages=tuple(Stage(name, "pre-sale") for name in stages), edges=edges)
    return plugin("small", register_lifecycles=[life])


def refusing(subject):
    def guard(ctx, event):
        return Refuse("not this one") if event.subject == subject else None

    return plugin("strict", guard_stage_change=guard)


def test_a_refusal_is_of_one_subject():
    """A step refused to one order is not refused to another order of the customer on a rebuild."""
    overdue = plugin(
        "strict",
        guard_stage_change=lambda ctx, event: (
            Refuse("not this one") if (event.subject, event.to_stage) == ("A", "overdue") else None
        ),
    )
    with opened([Cases(), overdue]) as (crm, clock):
        for subject in "AB":
            crm.record(draft("order.placed", key=subject, subject=subject))
        clock.advance_to(us(6))
        crm.run_due()
        assert [("A", "waiting"), ("B", "overdue")] == rows(crm, STAGES)
        crm.rebuild()
        assert [("A", "waiting"), ("B", "overdue")] == rows(crm, STAGES)


@pytest.mark.parametrize("size", [1, 2])
def test_every_subject_is_announced(size):
    """A late fact of one order does not keep another order's change from being announced."""
    heard: list[tuple[str, str]] = []

    def listen(ctx, event):
        heard.extend((c.subject, c.to_stage) for c in event if c.lifecycle == "case")

    listener = plugin("listener", on_stages_changed=listen)
    with opened([Cases(), listener]) as (crm, clock):
        clock.advance_to(us(1))
        crm.record(draft("order.delivered", 1, key="1", subject="A"))
        batch = [
            draft("order.placed", 0.5, key="2", subject="A"),
            draft("order.placed", 1, key="3", subject="B"),
        ]
        for low in range(0, 2, size):
            crm.record_many(batch[low : low + size])

    assert [("A", "done"), ("B", "waiting")] == heard


def test_a_rebuild_runs_ahead_of_nobody():
    """A rebuild before what is due was done passes no guard, and swallows no announcement."""
    heard: list[tuple[str, str]] = []

    def listen(ctx, event):
        heard.extend((c.subject, c.to_stage) for c in event if c.lifecycle == "case")

    plugins = [Cases(), refusing("A"), plugin("listener", on_stages_changed=listen)]
    with opened(plugins) as (crm, clock):
        for subject in "AB":
            crm.record(draft("order.placed", key=subject, subject=subject))
        clock.advance_to(us(10))
        crm.rebuild()
        crm.run_due()
        assert [("A", "unknown"), ("B", "overdue")] == rows(crm, STAGES)
    assert [("B", "waiting"), ("B", "overdue")] == heard


def test_a_rebuild_announces_nothing_new():
    """After a rebuild, time moves customers on exactly as it would have."""
    runs = []
    for rebuilt in (False, True):
        with opened([Cases()]) as (crm, clock):
            crm.record(draft("order.placed", key="1", subject="A"))
            clock.advance_to(us(3))
            crm.run_due()
            if rebuilt:
                crm.rebuild()
            clock.advance_to(us(10))
            crm.run_due()
            runs.append(rows(crm, STAGES))
    assert runs[0] == runs[1] == [("A", "overdue")]


def test_catching_up_in_order():
    """After a pause, timers and stages come in the order in which they fell due."""
    heard = []
    watcher = plugin(
        "watcher",
        on_started=lambda ctx, event: [ctx.set_timer(f"{day}", us(day)) for day in (1, 9)],
        on_timers_due=lambda ctx, event: heard.append(event.due),
        on_stages_changed=lambda ctx, event: heard.extend(
            c.effective_at for c in event if c.to_stage == "overdue"
        ),
    )
    with opened([Cases(), watcher]) as (crm, clock):
        crm.record(draft("order.placed", key="1", subject="A"))
        clock.advance_to(us(20))
        crm.run_due()

    assert [us(1), us(5), us(9)] == heard


def cart():
    """Return a plugin whose timers carts set and orders cancel, and what has fired."""
    fired = []

    def follow(ctx, event):
        for item in event:
            if item.kind == "cart.changed":
                ctx.set_timer("left", item.occurred_instant + us(1) - us(0), item.customer_id)
            else:
                ctx.cancel_timer("left", item.customer_id)

    made = plugin(
        "cart",
        on_interactions_recorded=follow,
        on_timers_due=lambda ctx, event: fired.append(event.due),
    )
    return made, fired


@pytest.mark.parametrize("size", [1, 2, None])
def test_timers_cut_batches(size):
    """A timer set within a batch and taken back later in it fires in between, as it would alone."""
    made, fired = cart()
    with opened([made]) as (crm, clock):
        Replayer(crm, clock, size).run(
            [
                draft("cart.changed", 0, key="1", payload={"cart": "1"}),
                draft("order.placed", 5, key="2"),
            ]
        )
    assert [us(1)] == fired


@pytest.mark.parametrize("size", [1, 2, None])
def test_timers_in_the_past(size):
    """Late facts that set timers in the past do not stop a replay from ending."""
    made, fired = cart()
    with ending(), opened([made]) as (crm, clock):
        done = Replayer(crm, clock, size).run(
            [
                draft("order.placed", 10, key="1"),
                draft("cart.changed", 1, key="2", payload={"cart": "1"}, email="b"),
                draft("cart.changed", 1.1, key="3", payload={"cart": "1"}, email="c"),
            ]
        )
    assert 3 == done.recorded
    assert 2 == len(fired)


def test_a_refusal_says_when():
    """A refused step is on record at the instant at which it would have been taken."""
    for size in (1, None):
        strict = plugin("strict", guard_stage_change=lambda ctx, event: Refuse("no"))
        with opened([strict]) as (crm, clock):
            Replayer(crm, clock, size).run(
                [draft("order.placed", n / 24, key=f"{n}", email=f"c{n}") for n in range(3)]
            )
            found = rows(
                crm, "SELECT occurred_at FROM crm_interaction WHERE kind = 'stage.refused'"
            )
        assert [(us(n / 24),) for n in range(3)] == sorted(found)


# ---------------------------------------------------------------- lifecycles that are not right


def test_a_timer_set_for_now_again():
    """A plugin that sets its timer for the instant at hand again and again ends with a fault."""
    stuck = plugin(
        "stuck",
        on_started=lambda ctx, event: ctx.set_timer("now", us(1)),
        on_timers_due=lambda ctx, event: ctx.set_timer("now", event.due),
    )
    with ending(), opened([stuck], at=us(2)) as (crm, _):
        crm.run_due()
        assert [] != crm.faults("stuck")


@pytest.mark.parametrize(
    "edges",
    [
        [Edge(source="a", target="b", quiet_days=0, reason="r")],
        [Edge(source="a", target="b", quiet_days=-5, reason="r")],
    ],
    ids=["no days", "negative days"],
)
def test_days_that_cannot_be(edges):
    """A lifecycle whose days are not at least one is refused at the start, as they could cycle."""
    with pytest.raises(CrmError, match="quiet_days"), opened([two_stages(*edges)]):
        pass


@pytest.mark.parametrize(
    ("source", "target"), [("a", ANY), ("<previous>", "a")], ids=["to any", "from previous"]
)
def test_ends_that_cannot_be(source, target):
    """An edge to any stage, or from the previous one, is refused at the start."""
    edge = Edge(source=source, target=target, on={"order.placed"}, reason="r")
    with pytest.raises(CrmError, match="small"), opened([two_stages(edge)]):
        pass


@pytest.mark.parametrize("stages", [(), ("a", "a", "b")], ids=["none", "twice"])
def test_stages_that_cannot_be(stages):
    """A lifecycle without a stage, or with one twice, is refused at the start."""
    with pytest.raises(CrmError, match="small"), opened([two_stages(stages=stages)]):
        pass


def test_time_leads_to_another_stage():
    """A time-driven edge from any stage does not lead from a stage to itself."""
    dormant = two_stages(
        Edge(source=ANY, target="b", quiet_days=30, reason="quiet"),
        Edge(source="b", target="a", on={"order.placed"}, reason="back"),
    )
    with opened([dormant]) as (crm, clock):
        crm.record(draft("order.placed", key="1"))
        clock.advance_to(us(100))
        crm.run_due()
        found = rows(
            crm, "SELECT from_stage, to_stage FROM crm_stage_change WHERE lifecycle = 'small'"
        )

    assert [("a", "b")] == found


def test_an_unknown_counter_is_refused():
    """An edge that asks for a counter the lifecycle lacks is refused, with the nearest name."""
    with pytest.raises(CrmError, match="counter 'order'"):
        Lifecycle(
            "small",
            stages=(Stage("a", "pre-sale"),),
            counters={"orders": {"order.placed": 1}},
            edges=(
                Edge(
                    source="a",
                    target="a",
                    on={"order.placed"},
                    when=AtMost("order", 1),
                    reason="r",
                ),
            ),
        )


def test_nothing_happens_before_it_is_due():
    """Before the midnight at which it is due, no time-driven edge is taken."""
    with opened([Cases()], zone="America/New_York") as (crm, clock):
        crm.record(draft("order.placed", key="1", subject="A"))
        due = us(5 + 5 / 24)  # START is 19:00 in New York, so day 6 begins at 05:00 UTC
        clock.advance_to(due - 1)
        crm.run_due()
        assert [("A", "waiting")] == rows(crm, STAGES)
        clock.advance_to(due)
        crm.run_due()
        assert [("A", "overdue")] == rows(crm, STAGES)
        assert "stage.refused" not in kinds(crm)
