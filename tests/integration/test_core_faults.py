"""What plugins do wrong costs no interaction, no decision of others, and is made good."""

from decimal import Decimal

import pytest
from attrs import evolve

from crmcore import Crm, CrmError, Draft, Kind, Line, Money, Refuse, Report
from crmcore.errors import RetryTransaction, StorageError
from tests.support.databases import scratch, shop_file
from tests.support.making import draft, kinds, moment, plugin, raising, rows, us
from tests.support.plugins import Books, Raising
from tests.support.runs import opened

pytestmark = pytest.mark.each_database(partitioned=True)


@pytest.mark.parametrize("said", ["a NUL: \0", "half a pair: \ud800"])
def test_a_fault_that_no_database_can_store(said):
    """What a plugin raises becomes a fault, whatever characters it says it with."""

    def fail(ctx, event):
        raise ValueError(said)

    with opened([plugin("bad", on_interactions_recorded=fail)]) as (crm, _):
        crm.record(draft("order.placed", 0, key="1"))
        ((fault,), left) = crm.faults("bad"), kinds(crm)

    assert ["order.placed"] == left
    assert fault.message == said.replace("\0", "\\x00").replace("\ud800", "\\ud800")


HOOKS = (
    "prepare_interaction",
    "guard_stage_change",
    "choose_exchange_rate",
    "on_interactions_recorded",
    "on_stages_changed",
    "on_timers_due",
    "on_stopping",
    "describe_customer",
    "report",
)


def noting(name, **hooks):
    """Return a plugin that notes each order, once, under the order's key."""

    def note(ctx, event):
        for item in event:
            if item.kind == "order.placed":
                ctx.record(
                    Draft(
                        f"{name}.noted",
                        customer=item.customer_id,
                        source_key=f"noted:{item.source_key}",
                        occurred_at=item.occurred_at,
                    )
                )

    return plugin(
        name,
        register_kinds=[Kind(f"{name}.noted")],
        **{"on_interactions_recorded": note, **hooks},
    )


@pytest.fixture
def url(tmp_path):
    return shop_file(tmp_path)


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("sql", [False, True], ids=["raises", "bad SQL"])
def test_a_fault_costs_no_interaction(url, hook, sql):
    """A plugin that raises in any hook costs no interaction, and leaves a fault that names it."""
    broken = Raising(fails=lambda called: called == hook, sql=sql)
    with opened([broken], url=url) as (crm, clock):
        first = crm.record(draft("order.placed", key="1", amount=Money(500, "USD")))
        crm.record(draft("order.delivered", 1, key="2"))
        clock.advance_to(us(40))
        crm.run_due()
        assert first.customer_id == crm.customer(first.customer_id).customer.id
        if hook == "report":
            with pytest.raises(CrmError, match="books"):
                crm.report("books.report")
    with opened([Books()], url=url) as (crm, _):
        assert {"order.placed", "order.delivered"} <= set(kinds(crm))
        assert [(hook, "StorageError" if sql else "BrokenError")] == [
            *{(fault.hook, fault.error) for fault in crm.faults("books")}
        ]


def test_others_decisions_survive_a_failure():
    """A plugin that raises in on_stages_changed takes no decision from another plugin."""
    good = noting("good", on_stages_changed=lambda ctx, event: None)
    bad = plugin("zbad", on_stages_changed=raising)
    with opened([good, bad]) as (crm, _):
        crm.record(draft("order.placed", key="1"))

        assert ["order.placed", "good.noted"] == kinds(crm)
        assert {"zbad": 1} == dict(crm.debts())


@pytest.mark.parametrize("between", ["nothing", "rebuild", "without the plugin"])
@pytest.mark.parametrize("hook", ["on_interactions_recorded", "on_stages_changed"])
def test_decisions_are_made_good(url, hook, between):
    """Decisions missed while a plugin failed are made when its debt is paid."""

    def history(crm):
        crm.record(draft("product.viewed", 0, key="0", payload={"product": "p"}))
        crm.record(draft("order.placed", 1, key="1"))
        crm.record(draft("order.placed", 2, key="2"))

    with opened([noting("books", **{hook: raising})], url=url) as (crm, _):
        history(crm)
        assert {"books": 1} == dict(crm.debts())
    if between == "without the plugin":
        with opened([], url=url):
            pass
    mended = {} if hook == "on_interactions_recorded" else {hook: lambda ctx, event: None}
    with opened([noting("books", **mended)], url=url) as (crm, _):
        if between == "rebuild":
            crm.rebuild()
        crm.pay_debts()
        assert {} == dict(crm.debts())
        found = rows(crm, "SELECT kind, occurred_at FROM crm_interaction ORDER BY 2, 1")
    with opened([noting("books", **mended)]) as (crm, _):
        history(crm)
        expected = rows(crm, "SELECT kind, occurred_at FROM crm_interaction ORDER BY 2, 1")

    assert expected == found


def test_a_new_plugin_decides_from_then_on(url):
    """A plugin added to a shop decides on what comes after, be its debt paid or not."""
    with opened([], url=url) as (crm, _):
        crm.record(draft("order.placed", 0, key="before", email="old"))
    with opened([noting("books")], url=url) as (crm, _):
        crm.record(draft("order.placed", 1, key="after", email="old"))
        crm.record(draft("order.placed", 1, key="other", email="new"))
        crm.pay_debts()
        found = rows(crm, "SELECT source_key FROM crm_interaction WHERE origin = 'decided'")

    assert ["noted:after", "noted:other"] == sorted(key.partition("/")[0] for (key,) in found)


def decide_and_raise(ctx, event):
    ctx.record(Draft("bad.noted", customer=1, source_key="1"))
    raise ValueError


@pytest.mark.parametrize(
    "hook",
    [
        "prepare_interaction",
        "guard_stage_change",
        "choose_exchange_rate",
        "on_interactions_recorded",
        "on_stages_changed",
        "on_timers_due",
        "on_stopping",
    ],
)
def test_who_raises_decides_nothing(url, hook):
    """A plugin that records a decision and then raises leaves no decision."""
    bad = plugin(
        "bad",
        register_kinds=[Kind("bad.noted")],
        on_started=lambda ctx, event: ctx.set_timer("review", us(10)),
        **{hook: decide_and_raise},
    )
    with opened([], url=url) as (crm, _):
        crm.record(draft("product.viewed", key="0", payload={"product": "p"}))
    with opened([bad], url=url) as (crm, clock):
        crm.record(
            draft("order.placed", 1, key="1", amount=Money(5, "USD" if "rate" in hook else "EUR"))
        )
        clock.advance_to(us(12))
        crm.run_due()
    with opened([], url=url) as (crm, _):
        assert "bad.noted" not in kinds(crm)
        assert [] != crm.faults("bad")


@pytest.mark.parametrize(
    "values",
    [
        {"amount": Money(5, "USD")},
        {"channel": object()},
        {"caused_by": "not an id"},
        {"caused_by": 2**70},
        {"lines": (Line(product="p", amount_minor=2**70),), "amount": Money(1, "EUR")},
        {"lines": (Line(product=None, amount_minor=5),)},  # type: ignore[arg-type]
        {"thread": "\ud800"},
    ],
    ids=lambda values: "-".join(values),
)
def test_a_decision_that_cannot_be_stored(values):
    """A decision that cannot be stored is its plugin's fault, and costs no order."""

    def decide(ctx, event):
        for item in event:
            ctx.record(Draft("bad.noted", customer=item.customer_id, source_key="1", **values))

    bad = plugin("bad", register_kinds=[Kind("bad.noted")], on_interactions_recorded=decide)
    with opened([bad]) as (crm, _):
        crm.record(draft("order.placed", key="1"))

        assert ["order.placed"] == kinds(crm)
        assert 1 == len(crm.faults("bad"))


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "no.such"},
        {"payload": {"nothing": 1}},
        {"occurred_at": moment(0).replace(tzinfo=None)},
    ],
    ids=str,
)
def test_a_prepared_draft_that_cannot_be_recorded(change):
    """A draft that a plugin spoils is recorded as it was before."""
    bad = plugin("bad", prepare_interaction=lambda ctx, event: evolve(event.draft, **change))
    with opened([bad]) as (crm, _):
        crm.record(draft("order.placed", key="1"))

        assert ["order.placed"] == kinds(crm)
        assert ["prepare_interaction"] == [fault.hook for fault in crm.faults("bad")]


@pytest.mark.parametrize("rate", ["Infinity", "NaN", "-1", "0", "1e30", 1.5], ids=str)
def test_a_rate_that_is_none(rate):
    """A rate that is no rate is its plugin's fault; the next plugin is asked."""
    answer = Decimal(rate) if isinstance(rate, str) else rate
    bad = plugin("bad", choose_exchange_rate=lambda ctx, event: answer)
    good = plugin("good", choose_exchange_rate=lambda ctx, event: Decimal(2))
    with opened([bad, good]) as (crm, _):
        order = crm.record(draft("order.placed", key="1", amount=Money(700, "USD")))

        assert 1400 == order.amount_base_minor
        assert ["choose_exchange_rate"] == [fault.hook for fault in crm.faults("bad")]


def test_a_description_that_is_none():
    """A description that is no table of facts is shown as missing."""
    bad = plugin("bad", describe_customer=lambda ctx, event: "gold")
    with opened([bad]) as (crm, _):
        order = crm.record(draft("order.placed", key="1"))

        assert "missing" in crm.customer(order.customer_id).descriptions["bad"]


def test_a_report_that_raises():
    """A report that raises is an error that names its plugin."""

    def run(ctx):
        raise ValueError("told to fail")

    bad = plugin("bad", register_reports=[Report("bad.report", description="", run=run)])
    with opened([bad]) as (crm, _), pytest.raises(Exception, match="bad") as caught:
        crm.report("bad.report")

    assert "PluginError" == type(caught.value).__name__


def test_critical_plugin_leaves_nothing():
    """A critical plugin that raises aborts the recording, also where the shop catches it."""
    bad = plugin(
        "bad",
        on_interactions_recorded=lambda ctx, event: (
            raising(ctx, event) if "order.placed" in event.kinds else None
        ),
    )
    with opened([bad], critical=["bad"]) as (crm, _):
        with pytest.raises(ValueError, match="told to fail"):
            crm.record(draft("order.placed", key="1"))
        assert [] == kinds(crm)
        with crm.begin() as tx:
            tx.record(draft("product.viewed", key="2", payload={"product": "p"}))
            with pytest.raises(ValueError, match="told to fail"):
                tx.record(draft("order.placed", key="3"))
        assert ["product.viewed"] == kinds(crm)


@pytest.mark.parametrize("hook", ["on_stages_changed", "guard_stage_change"])
def test_critical_in_what_stages_bring_about(hook, url):
    """A critical plugin that raises when time moves customers on holds up nothing else."""
    heard: list[str] = []
    broken = False

    def strict(ctx, event):
        if broken:
            raise ValueError("told to fail")

    ears = plugin(
        "ears",
        after_interactions_recorded=lambda ctx, event: heard.extend(i.source_key for i in event),
    )
    bad = plugin("strict", **{hook: strict})
    with opened([bad, ears], url=url, critical=["strict"]) as (crm, clock):
        crm.record(draft("order.placed", key="1"))
        broken = True
        with pytest.raises(ValueError, match="told to fail"):
            crm.record(draft("order.placed", key="2", email="b"))
        due = crm.next_due()
        assert due is not None
        clock.advance_to(due)
        crm.worker().once()

        assert ["1"] == [key for key in heard if key == "1"]
        assert hook in {fault.hook for fault in crm.faults("strict")}
        assert due != crm.next_due()


@pytest.mark.parametrize("kind", ["timer.answered", "pong.said"])
def test_critical_in_what_a_timer_brings_about(kind):
    """A critical plugin that raises for a decision of a timer, or answers for ever, is spared."""
    timer = plugin(
        "timer",
        register_kinds=[Kind("timer.answered")],
        on_interactions_recorded=lambda ctx, event: (
            ctx.set_timer("t", us(1), 1) if "order.placed" in event.kinds else None
        ),
        on_timers_due=lambda ctx, event: ctx.record(
            Draft("timer.answered", customer=1, source_key="1")
        ),
    )
    ping = answering("ping", {"timer.answered", "pong.said"}, "ping.said")
    pong = answering("pong", {"ping.said"}, "pong.said")
    strict = plugin(
        "strict",
        on_interactions_recorded=lambda ctx, event: (
            raising(ctx, event) if "timer.answered" in event.kinds else None
        ),
    )
    others = [strict] if kind == "timer.answered" else [ping, pong]
    critical = [each.name for each in others]
    with opened([timer, *others], critical=critical) as (crm, clock):
        crm.record(draft("order.placed", key="1"))
        clock.advance_to(us(2))
        crm.run_due()

        assert kind in kinds(crm)
        assert 0 == crm.run_due()
        assert "t" not in [key for (key,) in rows(crm, "SELECT timer_key FROM crm_timer")]
        assert 1 == sum(len(crm.faults(name)) for name in critical)


def test_critical_when_stopping(url):
    """A critical plugin that raises at the end is heard, and the database is closed."""
    bad = plugin("bad", on_stopping=raising)
    crm = Crm(url, plugins=[bad], critical=["bad"], durable=False)
    with pytest.raises(ValueError, match="told to fail"):
        crm.close()
    crm.close()

    with pytest.raises(StorageError, match="has been closed"):
        crm.record(draft("order.placed", key="1"))


def in_the_way(ctx, event):
    raise RetryTransaction("another transaction has the database")


def test_a_rebuild_in_the_way_of_another(url):
    """A transaction in the way of a rebuild is no mistake of the plugin's."""
    with (
        opened([plugin("slow", recompute_customers=in_the_way)], url=url) as (crm, _),
        pytest.raises(RetryTransaction),
    ):
        crm.rebuild("slow")


def test_a_start_in_the_way_of_another(url):
    """A start that another transaction stands in the way of is done again, as a whole."""
    tries = []

    def begin(ctx, event):
        tries.append(ctx.find_timer("t"))
        ctx.set_timer("t", us(10))
        if len(tries) < 3:
            in_the_way(ctx, event)

    with opened([plugin("late", on_started=begin, on_timers_due=raising)], url=url) as (crm, _):
        assert us(10) == crm.next_due()

    assert [None] * 3 == tries


def answering(name, hears, says):
    def answer(ctx, event):
        ctx.record(
            *(
                Draft(says, customer=item.customer_id, source_key=f"{item.id}")
                for item in event
                if item.kind in hears
            )
        )

    return plugin(name, register_kinds=[Kind(says)], on_interactions_recorded=answer)


def test_plugins_that_answer_each_other():
    """Plugins that answer each other without end are stopped by a fault that names the cycle."""
    ping = answering("ping", {"order.placed", "pong.said"}, "ping.said")
    pong = answering("pong", {"ping.said"}, "pong.said")
    with opened([ping, pong]) as (crm, _):
        crm.record(draft("order.placed", key="1"))

        assert ["order.placed", *["ping.said", "pong.said"] * 4] == kinds(crm)
        (fault,) = crm.faults("ping")
        assert "pong records pong.said -> ping records ping.said" in fault.message
        assert "8 rounds" in fault.message


def test_a_timer_that_failed_for_long(url):
    """A plugin whose timers failed for days goes on reviewing once it is mended."""
    with opened([Books(fails=lambda hook: hook == "on_timers_due")], url=url) as (crm, clock):
        crm.record(draft("order.placed", key="1"))
        while (due := crm.next_due()) is not None and due < us(100):
            clock.advance_to(due)
            crm.run_due()
        assert {"books": 1} == dict(crm.parked_timers())
    with opened([Books()], url=url, at=us(101)) as (crm, clock):
        crm.pay_debts()
        clock.advance_to(us(200))
        crm.run_due()
        found = rows(crm, "SELECT occurred_at FROM crm_interaction WHERE kind = 'books.reviewed'")

    assert [us(30 * n) for n in range(1, 7)] == sorted(at for (at,) in found)


def test_a_refusal_is_on_record_with_all_reasons():
    """A refused step leaves the stage, and is recorded with every guard's reason."""
    guards = [
        plugin("one", guard_stage_change=lambda ctx, event: Refuse("first")),
        plugin("two", guard_stage_change=raising),
    ]
    with opened(guards) as (crm, _):
        order = crm.record(draft("order.placed", key="1"))
        (refused,) = [d.interaction for d in crm.why_decisions(order.customer_id)]

        assert "anonymous" == crm.customer(order.customer_id).stages[0].stage
        assert ["one: first", "two: the guard raised ValueError"] == refused.payload.reasons
        assert order.id == refused.caused_by


def test_deciding_twice_is_one_row():
    """A decision of the same key is recorded once for a customer, by whatever they become known."""

    def welcome(ctx, event):
        for item in event:
            ctx.record(Draft("hello.said", customer=item.customer_id, source_key="welcome"))

    hello = plugin("hello", register_kinds=[Kind("hello.said")], on_interactions_recorded=welcome)
    with Crm(scratch(), plugins=[hello]) as crm:
        crm.record("order.placed", email="ada@example.com")
        crm.record("order.placed", email="ada@example.com", account="17")
        crm.record("order.placed", account="17")

        assert 1 == kinds(crm).count("hello.said")
