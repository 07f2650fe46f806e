"""Assembly: what is wrong with a plugin stops the start with one sentence that names it."""

import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table

from crmcore import Crm, Kind, Lifecycle, Plugin, PluginTable, Report, Stage, Trait, hookimpl
from crmcore.errors import CrmError, PluginError
from crmcore.services.starting.assembly import Assembly
from crmcore.testing.snapshots import difference, snapshot
from tests.support.databases import scratch, shop_file
from tests.support.histories import chunks
from tests.support.making import draft, plugin, rows
from tests.support.plugins import Books, Cases, Ledgers
from tests.support.runs import opened

pytestmark = pytest.mark.each_database


def table(name, *, derived=True):
    made = Table(name, MetaData(), Column("customer_id", Integer, primary_key=True))
    return PluginTable(made, derived=derived, merge="recompute", erase="delete")


def nothing(ctx, event):
    return None


def bare(name, **members):
    """Return a plugin whose members are taken as they are."""
    made: type[Plugin] = define(eq=False)(type(name.title(), (Plugin,), {"name": name, **members}))
    return made()


def hook(function, **options):
    return hookimpl(**options)(function) if options else hookimpl(function)


WRONG = {
    "misspelt, marked": (
        [bare("p", on_interaction_recorded=hook(lambda self, ctx, event: None))],
        "on_interactions_recorded",
    ),
    "misspelt, unmarked": (
        [bare("p", on_interaction_recorded=lambda self, ctx, event: None)],
        "on_interactions_recorded",
    ),
    "unmarked": ([bare("p", on_timers_due=lambda self, ctx, event: None)], "@hookimpl"),
    "signature": ([bare("p", on_timers_due=hook(lambda self, event: None))], "self, ctx, event"),
    "arguments of register": (
        [bare("p", register_kinds=hook(lambda self, ctx: []))],
        "register_kinds",
    ),
    "wrapper": (
        [bare("p", on_timers_due=hook(lambda self, ctx, event: (yield), wrapper=True))],
        "wrapper",
    ),
    "unknown requirement": ([plugin("p", requires=("booked",)), Books()], "'books'"),
    "cycle": ([plugin("p", after=("q",)), plugin("q", requires=("p",))], "cycle"),
    "twice": ([plugin("p"), plugin("p")], "twice"),
    "name": ([plugin("P")], "lower-case"),
    "no recompute": ([plugin("p", tables=(table("crm_p_x"),))], "recompute_customers"),
    "table not its own": (
        [plugin("p", tables=(table("crm_q_x"),), recompute_customers=nothing)],
        "crm_p_",
    ),
    "raises at registration": ([plugin("p", register_kinds=lambda: 1 // 0)], "ZeroDivisionError"),
    "registers nothing": ([plugin("p", register_kinds=lambda: None)], "register_kinds"),
    "registers text": ([plugin("p", register_kinds=["p.x"])], "'p.x'"),
    "trait is text": ([plugin("p", register_traits=["p.x"])], "'p.x'"),
    "lifecycle is text": ([plugin("p", register_lifecycles=["p.x"])], "'p.x'"),
    "report is text": ([plugin("p", register_reports=["p.x"])], "'p.x'"),
    "raises on start": ([plugin("p", on_started=lambda ctx, event: 1 // 0)], "ZeroDivisionError"),
    "unknown kind": (
        [
            plugin(
                "p",
                register_lifecycles=[
                    Lifecycle(
                        "p",
                        stages=(Stage("a", "pre-sale"),),
                        edges=(),
                        listens={"order.plced"},
                    )
                ],
            )
        ],
        "'order.placed'",
    ),
}


@pytest.mark.parametrize(("plugins", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_plugin_stops_the_start(plugins, said):
    """What is wrong with a plugin stops the start with one sentence that names it and the cure."""
    with pytest.raises(CrmError) as caught:
        Crm(scratch(), plugins=plugins)
    sentence = str(caught.value)
    assert "'p'" in sentence or "'P'" in sentence
    assert said in sentence
    assert "\n" not in sentence


def test_no_plugin_is_no_plugin():
    """What does not derive from Plugin is refused by its own name."""
    with pytest.raises(PluginError, match="Nothing"):
        Crm(scratch(), plugins=[type("Nothing", (), {})()])


def report(name):
    return Report(name, description="", run=lambda ctx: None)  # type: ignore[arg-type,return-value]


def trait(name):
    return Trait(name, type=int, default=0, table=table("x").table, value=lambda now: now)


CLASHES = {
    "kinds": ("register_kinds", Kind("c.x")),
    "lifecycles": (
        "register_lifecycles",
        Lifecycle("c.x", stages=(Stage("a", "pre-sale"),), edges=()),
    ),
    "reports": ("register_reports", report("c.x")),
    "traits": ("register_traits", trait("c.x")),
}


@pytest.mark.parametrize(("register", "what"), CLASHES.values(), ids=CLASHES)
def test_clashes_name_both_plugins(register, what):
    """A name registered twice stops the start, and both plugins are named, but no other."""
    others = [plugin("aaa"), plugin("zzz", **{register: []})]
    with pytest.raises(PluginError) as caught:
        Crm(scratch(), plugins=[*others, *(plugin(n, **{register: [what]}) for n in ("m", "n"))])
    sentence = str(caught.value)
    assert "'m'" in sentence
    assert "'n'" in sentence
    assert "aaa" not in sentence
    assert "zzz" not in sentence
    assert caught.value.plugin in {"m", "n"}


def test_a_clash_of_aliases_names_both_plugins():
    """An alias that another plugin took stops the start, and names that plugin."""
    kinds = {"m": Kind("m.x", aliases=("It Happened",)), "n": Kind("n.x", aliases=("It Happened",))}
    with pytest.raises(PluginError) as caught:
        Crm(scratch(), plugins=[plugin(n, register_kinds=[k]) for n, k in kinds.items()])
    assert "'m'" in str(caught.value)
    assert "'n'" in str(caught.value)


@given(st.data())
def test_order_of_plugins(data):
    """Plugins come after what they require; where that leaves a choice, by name."""
    names = data.draw(st.permutations("abcdefg"))
    needs = {
        name: data.draw(st.sets(st.sampled_from(names[:place])) if place else st.just(set()))
        for place, name in enumerate(names)
    }
    plugins = [plugin(name, requires=tuple(needs[name]), after=("elsewhere",)) for name in names]
    found = [p.name for p in Assembly(data.draw(st.permutations(plugins)))]

    expected: list[str] = []
    while len(expected) < len(names):
        ready = [n for n in names if n not in expected and needs[n] <= set(expected)]
        expected.append(min(ready))
    assert expected == found


def history():
    return [
        draft("order.placed", n, key=f"{n}", email=f"c{n % 3}", subject=f"o{n}") for n in range(9)
    ]


def test_disabled_for_a_while(tmp_path):
    """A plugin that was off for a while has, its debt paid, what it would have had."""
    url = shop_file(tmp_path)
    for place, part in enumerate(chunks(history(), 3)):
        plugins = [Ledgers(reviews=False), *([] if place == 1 else [Books(reviews=False), Cases()])]
        with opened(plugins, url=url) as (crm, _):
            for each in part:
                crm.record(each)
            crm.pay_debts()
            found = snapshot(crm)
    with opened([Ledgers(reviews=False), Books(reviews=False), Cases()]) as (crm, _):
        for each in history():
            crm.record(each)
        expected = snapshot(crm)

    assert "" == difference(expected.derived_tables, found.derived_tables)
    assert "" == difference(expected.decided_by("ledgers"), found.decided_by("ledgers"))


def test_a_new_version_is_derived_anew(tmp_path):
    """Another version of a plugin derives its tables anew, from the same ledger."""

    @define(eq=False)
    class Newer(Books):
        version = "2"

    url = shop_file(tmp_path)
    with opened([Books(reviews=False)], url=url) as (crm, _):
        crm.record_many(history())
        expected = snapshot(crm)
    with opened([Newer(reviews=False)], url=url) as (crm, _):
        assert {"books": 3} == dict(crm.pay_debts())
        assert "" == difference(expected.tables, snapshot(crm).tables)


def test_a_new_version_keeps_what_it_owns(tmp_path):
    """Another version of a plugin starts with the tables it owns, if their shape is the same."""
    url = shop_file(tmp_path)
    for version in ("1", "2"):
        owner = plugin("p", version=version, tables=(table("crm_p_x", derived=False),))
        with opened([owner], url=url) as (crm, _):
            assert [] == rows(crm, "SELECT * FROM crm_p_x")


def test_a_start_that_fails_changes_nothing(tmp_path):
    """A start that a plugin stops leaves the database as it was."""
    url = shop_file(tmp_path)
    with opened([Books(reviews=False)], url=url) as (crm, _):
        crm.record_many(history())
        expected = snapshot(crm)
    bad = plugin("zbad", on_started=lambda ctx, event: 1 // 0, tables=(), requires=("books",))
    with pytest.raises(PluginError), opened([Books(), Ledgers(), bad], url=url):
        pass
    with opened([Books(reviews=False)], url=url) as (crm, _):
        assert "" == difference(expected.tables, snapshot(crm).tables)


def test_a_database_from_a_newer_version(tmp_path):
    """A database with a higher revision is refused, and left as it was."""
    url = shop_file(tmp_path)
    with opened([], url=url) as (crm, _), crm.begin() as tx:
        tx.connection.sqlalchemy.exec_driver_sql(
            "INSERT INTO crm_revision VALUES ('crmcore', 99, '', 0)"
        )
    with pytest.raises(CrmError, match="99"), opened([], url=url):
        pass


def test_another_currency_is_refused(tmp_path):
    """A database that counts in one currency is not opened in another."""
    url = shop_file(tmp_path)
    with opened([], url=url, currency="EUR"):
        pass
    with pytest.raises(CrmError, match="EUR"), opened([], url=url, currency="USD"):
        pass
