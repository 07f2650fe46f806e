"""The laws of shape and of answers find misnamed hooks, tables and columns, and false answers."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from attrs import define, field, frozen
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Integer,
    MetaData,
    Table,
    Text,
    func,
    literal,
    null,
    select,
)

from crmcore import (
    Erased,
    Kind,
    Lifecycle,
    Plugin,
    PluginTable,
    Report,
    ReportResult,
    Stage,
    Trait,
    hookimpl,
    personal,
)
from crmcore.testing.laws.answers import AnswersLaws
from crmcore.testing.laws.shape import ShapeLaws
from crmcore.testing.neighbour import Neighbour, tally, visit
from tests.contract.support import breaks, shop_with
from tests.support.databases import KINDS

Whole = BigInteger().with_variant(Integer(), "sqlite")
LAWS = [
    getattr(laws(), name)
    for laws in (ShapeLaws, AnswersLaws)
    for name in vars(laws)
    if name.startswith("test_")
]


def keeping(*columns, name="crm_odd_thing"):
    """Return a plugin that owns a table with these columns."""
    table = Table(name, MetaData(), Column("customer_id", Whole, primary_key=True), *columns)
    kept = PluginTable(table, derived=False, merge="keep_both", erase="delete")
    body: dict[str, Any] = {"name": "odd", "tables": (kept,), "__annotations__": {}}
    return define(eq=False)(type("Odd", (Plugin,), body))


def registering(hook, *what):
    """Return a plugin that registers something."""

    def register(self):
        return list(what)

    register.__name__ = hook
    return define(eq=False)(type("Odd", (Plugin,), {"name": "odd", hook: hookimpl(register)}))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_a_good_plugin_keeps_every_law(law, kind, tmp_path):
    """The kit's own neighbour passes all laws."""
    law(shop_with(Neighbour, tmp_path, kind, examples=2))


def test_it_does_not_start(tmp_path):
    """What the core says at start is passed on."""

    @define(eq=False)
    class Odd(Plugin):
        name: ClassVar[str] = "odd"

        def on_started(self, ctx, event):
            """Not marked."""

    told = breaks(ShapeLaws().test_it_starts, shop_with(Odd, tmp_path))
    marked = breaks(ShapeLaws().test_hooks_are_marked, shop_with(Odd, tmp_path))

    assert "on_started is a hook, but is not marked with @hookimpl" in told
    assert "hook 'on_started' is not marked" in marked


def test_a_method_like_a_hook(tmp_path):
    """A method that nobody ever calls is named, with the hook that was meant."""

    @define(eq=False)
    class Odd(Plugin):
        name: ClassVar[str] = "odd"

        def on_interaction_recorded(self, ctx, event):
            """Misspelt."""

        def merge_tables(self):
            """Not of a hook's name at all."""

    told = breaks(ShapeLaws().test_methods_named_like_hooks, shop_with(Odd, tmp_path))

    assert "method 'on_interaction_recorded' is named like a hook" in told
    assert "did you mean 'on_interactions_recorded'?" in told


@pytest.mark.parametrize(
    ("plugin", "told"),
    [
        (keeping(name="crm_even_thing"), "table 'crm_even_thing' is not named after the plugin"),
        (registering("register_kinds", Kind("order.praised")), "kind 'order.praised' is not"),
        (
            registering(
                "register_traits",
                Trait("even.x", type=int, default=0, table=tally, value=lambda now: tally.c.facts),
            ),
            "trait 'even.x' is not named after the plugin; call it odd.<noun>",
        ),
        (
            registering(
                "register_reports",
                Report("all", description="", run=lambda ctx: ReportResult(figures={})),
            ),
            "report 'all' is not named after the plugin; call it odd, or odd.<noun>",
        ),
        (
            registering(
                "register_lifecycles",
                Lifecycle("lead", stages=(Stage("a", phase="pre-sale"),), edges=()),
            ),
            "lifecycle 'lead' is not named after the plugin",
        ),
    ],
    ids="table kind trait report lifecycle".split(),
)
def test_names_of_others(plugin, told, tmp_path):
    """What is not named after the plugin is named."""
    law = ShapeLaws().test_names_begin_with_the_plugin

    assert told in breaks(law, shop_with(plugin, tmp_path))


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (Column("order", Whole), "column 'order' of table 'crm_odd_thing' is named with a word"),
        (Column("qualify", Whole), "column 'qualify'"),
        (Column("share", Float), "is FLOAT on SQLite"),
        (Column("is_new", Boolean), "is BOOLEAN on SQLite"),
        (Column("seen_at", Integer), "is INTEGER on PostgreSQL, too narrow"),
        (Column("net_minor", Integer), "too narrow for ids, instants and money"),
    ],
    ids=lambda value: value.name if isinstance(value, Column) else "",
)
def test_columns_that_differ_between_databases(column, told, tmp_path):
    """Reserved words, types that only some databases have, and narrow ones are named."""
    shop = shop_with(keeping(column._copy(), Column("words", Text)), tmp_path)

    assert told in breaks(ShapeLaws().test_columns, shop)


def test_a_table_without_a_policy(tmp_path):
    """A table in the plugin's metadata that is not declared is named."""
    plugin = keeping(Column("words", Text))
    metadata = plugin.tables[0].table.metadata
    Table("crm_odd_other", metadata, Column("customer_id", Whole, primary_key=True))

    told = breaks(ShapeLaws().test_every_table_has_a_policy, shop_with(plugin, tmp_path))

    assert "table 'crm_odd_other' is defined and not declared" in told


@frozen
class Named:
    """A payload whose name cannot be read any more once it is erased."""

    who: str = personal()


@frozen
class Checked:
    """A payload that takes less than its type says."""

    days: int = field()

    @days.validator
    def _check(self, _, value):
        if value != 77:
            raise ValueError("77 is expected")


def test_kinds_that_cannot_be_recorded(tmp_path):
    """Personal fields that cannot be erased are named, and payloads that nothing fits."""
    law = ShapeLaws().test_kinds_can_be_recorded
    forgetful = registering("register_kinds", Kind("odd.named", payload=Named))
    picky = registering("register_kinds", Kind("odd.checked", payload=Checked))

    assert "personal field 'who' of kind 'odd.named' is typed str" in breaks(
        law, shop_with(forgetful, tmp_path)
    )
    assert "type it `str | Erased`" in breaks(law, shop_with(forgetful, tmp_path))
    assert "kind 'odd.checked' cannot be recorded" in breaks(law, shop_with(picky, tmp_path))
    law(shop_with(picky, tmp_path, payloads={"odd.checked": [{"days": 77}]}))
    assert Erased is not None


def trait(**values: Any) -> Trait[Any]:
    given = {"type": int, "default": 0, "table": tally, "value": lambda now: tally.c.facts}
    return Trait("odd.x", **{**given, **values})


class TestTraits:
    @pytest.mark.parametrize(
        ("wrong", "told"),
        [
            (trait(default=None), "trait 'odd.x' has the default None; a int"),
            (trait(type=str), "has the default 0; a str"),
            (trait(value=lambda now: func.now()), "asks the database for CURRENT_TIMESTAMP"),
            (trait(value=lambda now: func.random()), "asks the database for random"),
            (trait(value=lambda now: func.strftime("%s", "now")), "asks the database for 'now'"),
            (trait(history=tally), "lacks value, from_instant, to_instant, caused_by"),
        ],
        ids="none default now random strftime history".split(),
    )
    def test_not_well_formed(self, wrong, told, tmp_path):
        """A trait without a default of its type, with a clock, or half a history is named."""
        shop = shop_with(registering("register_traits", wrong), tmp_path)

        assert told in breaks(AnswersLaws().test_traits_are_well_formed, shop)

    @pytest.mark.parametrize(
        ("wrong", "told"),
        [
            (trait(value=lambda now: null()), "trait 'odd.x' is NULL for a customer"),
            (trait(value=lambda now: literal("x")), "is 'x' for a customer, a str; int is what"),
            (trait(table=visit, value=lambda now: visit.c.visited_at), "has several values for"),
        ],
        ids="null type several".split(),
    )
    def test_false_values(self, wrong, told, tmp_path):
        """A trait that is NULL, of another type, or twice for somebody is named."""
        plugin = registering("register_traits", wrong)
        shop = shop_with(plugin, tmp_path, beside=lambda: [Neighbour()])

        assert told in breaks(AnswersLaws().test_traits_hold_one_value, shop)


class TestAnswers:
    def test_no_json(self, tmp_path):
        """An answer that JSON cannot hold is named."""

        @define(eq=False)
        class Odd(Plugin):
            name: ClassVar[str] = "odd"

            @hookimpl
            def describe_customer(self, ctx, event):
                return {"since": {1, 2}}

        told = breaks(
            AnswersLaws().test_answers_are_json_and_change_nothing, shop_with(Odd, tmp_path)
        )

        assert "describe_customer answers {'since': {1, 2}}, which JSON cannot hold" in told

    def test_raising(self, tmp_path):
        """A report that raises where nothing is known is named."""
        broken = Report("odd", description="", run=lambda ctx: ReportResult(figures={"a": 1 / 0}))
        shop = shop_with(registering("register_reports", broken), tmp_path)

        told = breaks(AnswersLaws().test_answers_are_json_and_change_nothing, shop)

        assert "report 'odd' raises ZeroDivisionError" in told

    def test_writing(self, tmp_path):
        """A report that changes what is stored is named."""

        def run(ctx):
            ctx.execute(tally.delete())
            return ReportResult(figures={"rows": len(ctx.execute(select(tally.c.facts)))})

        plugin = registering("register_reports", Report("odd", description="", run=run))
        shop = shop_with(plugin, tmp_path, beside=lambda: [Neighbour()])

        told = breaks(AnswersLaws().test_answers_are_json_and_change_nothing, shop)

        assert "a question changes what is stored" in told
        assert "crm_neighbour_tally lacks" in told
