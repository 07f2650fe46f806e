"""Partitions: the tables of customers cut by customer, and everything as if they were not."""

from typing import Any

import pytest
from attrs import define

from crmcore import Crm, Draft, Identifier, Line, Money
from crmcore.errors import ConfigurationError, SchemaError
from crmcore.testing.snapshots import difference
from tests.support.databases import drop_schema, new_schema
from tests.support.histories import cdnow, start_of
from tests.support.making import rows
from tests.support.plugins import Books, Cases, Echo
from tests.support.runs import end_of, replayed

PARTITIONS = 4
WHOLE = {
    "crm_cursor",
    "crm_dedupe",
    "crm_fault",
    "crm_identifier",
    "crm_merge",
    "crm_plugin_table",
    "crm_revision",
    "crm_setting",
}


@pytest.fixture
def url():
    made = new_schema()
    yield made
    drop_schema(made)


def orders(count):
    return [
        Draft(
            "order.placed",
            identifiers=(Identifier("account", f"c{n % 40}"),),
            amount=Money(100 * n, "EUR"),
            lines=(Line(product="p", amount_minor=100 * n),),
            source_key=f"o{n}",
            subject=f"order:{n}",
        )
        for n in range(count)
    ]


def test_tables_are_partitioned(url):
    """Each table with a customer in its key, also a plugin's, is cut by hash of the customer."""
    with Crm(url, plugins=[Books()], partitions=PARTITIONS) as crm:
        cut = rows(
            crm,
            "SELECT c.relname, pg_get_partkeydef(c.oid), "
            "(SELECT count(*) FROM pg_inherits WHERE inhparent = c.oid) "
            "FROM pg_partitioned_table p JOIN pg_class c ON c.oid = p.partrelid "
            "WHERE c.relnamespace = current_schema()::regnamespace",
        )
        whole = rows(
            crm,
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND NOT relispartition "
            "AND relname ~ '^crm' AND relnamespace = current_schema()::regnamespace",
        )
        keyed = rows(
            crm,
            "SELECT table_name FROM information_schema.columns WHERE column_name = 'customer_id' "
            "AND table_schema = current_schema() AND table_name !~ '_p[0-9]+$'",
        )

    assert {("HASH (customer_id)", PARTITIONS)} == {row[1:] for row in cut}
    assert {name for (name,) in keyed} - {"crm_identifier"} == {row[0] for row in cut}
    assert {"crm_interaction", "crm_stage", "crm_books_entry"} < {row[0] for row in cut}
    assert {name for (name,) in whole} >= WHOLE
    assert not {name for (name,) in whole} & {name for (name,) in keyed} - {"crm_identifier"}


def test_rows_lie_in_several_partitions(url):
    """The rows of forty customers lie in all partitions, and each customer's in one."""
    with Crm(url, plugins=[Books()], partitions=PARTITIONS) as crm:
        crm.record_many(orders(120))
        for name in ("crm_customer", "crm_interaction", "crm_line", "crm_stage", "crm_books_entry"):
            lies = rows(crm, f"SELECT DISTINCT customer_id, tableoid::regclass::text FROM {name}")
            assert 40 == len(lies), name
            assert PARTITIONS == len({partition for _, partition in lies}), name


def test_indexes_and_columns_are_kept(url):
    """A partitioned table has the columns, defaults, collations and indexes of a whole one."""
    described = (
        "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, "
        "a.attcollation::regcollation::text, pg_get_expr(d.adbin, d.adrelid) FROM pg_class c "
        "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 LEFT JOIN pg_attrdef d "
        "ON d.adrelid = c.oid AND d.adnum = a.attnum WHERE c.relkind IN ('r', 'p') "
        "AND NOT c.relispartition AND c.relnamespace = current_schema()::regnamespace"
    )
    indexed = (
        "SELECT c.relname, i.relname, x.indisunique, m.amname, pg_get_expr(x.indpred, x.indrelid), "
        "ARRAY(SELECT a.attname FROM unnest(x.indkey) AS k JOIN pg_attribute a "
        "ON a.attrelid = c.oid AND a.attnum = k) FROM pg_index x "
        "JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid "
        "JOIN pg_am m ON m.oid = i.relam WHERE NOT c.relispartition AND c.relname ~ '^crm' "
        "AND c.relnamespace = current_schema()::regnamespace"
    )
    plain = new_schema()
    found = {}
    for name, where in (("cut", url), ("whole", plain)):
        partitions = PARTITIONS if name == "cut" else 0
        with Crm(where, plugins=[Books()], partitions=partitions) as crm:
            found[name] = [
                sorted(map(repr, rows(crm, described))),
                sorted(map(repr, rows(crm, indexed))),
            ]
    drop_schema(plain)
    own = ("access", "erasure", "interaction", "message", "task")
    key = "('crm_{0}', 'crm_{0}_pkey', True, 'btree', None, ['{0}_id'{1}])"

    assert found["whole"][0] == found["cut"][0]
    assert {key.format(noun, "") for noun in own} == {*found["whole"][1]} - {*found["cut"][1]}
    customer = ", 'customer_id'"
    assert {key.format(noun, customer) for noun in own} == {*found["cut"][1]} - {*found["whole"][1]}


def test_later_starts_follow(url):
    """The number is fixed with the first use: later starts and later tables follow it."""

    @define(eq=False)
    class Newer(Books):
        version = "2"

    count = (
        "SELECT count(*) FROM pg_inherits WHERE inhparent IN "
        "('crm_books_entry'::regclass, 'crm_interaction'::regclass)"
    )
    with Crm(url, partitions=3) as crm:
        crm.record_many(orders(9))
    for plugin in (Books(), Newer()):
        with Crm(url, plugins=[plugin]) as crm:
            crm.pay_debts()
            assert [(6,)] == rows(crm, count)
            assert [(9,)] == rows(crm, "SELECT sum(entries) FROM crm_books_entry")
    with pytest.raises(SchemaError, match="3 partitions and the configuration says 5"):
        Crm(url, partitions=5)


def test_a_whole_database_stays_whole(url):
    """A database that was made without partitions refuses to have some."""
    Crm(url).close()
    with pytest.raises(SchemaError, match="no partitions and the configuration says 4"):
        Crm(url, partitions=4)


@pytest.mark.parametrize("partitions", [-1, 1.5, True, "4", 1025])
def test_a_wrong_number(partitions):
    """What is no number of partitions is refused before anything is made."""
    with pytest.raises(ConfigurationError, match="whole number from 0"):
        Crm("sqlite://", partitions=partitions)


def test_sqlite_has_none():
    """On SQLite partitions are refused in one sentence."""
    with pytest.raises(ConfigurationError, match="SQLite has none"):
        Crm("sqlite://", partitions=4)


def test_a_history_leaves_the_same_rows(url):
    """A real shop's purchases leave in partitions the rows that they leave in SQLite."""
    history = cdnow(every=300)
    options: dict[str, Any] = {
        "start": start_of(history),
        "until": end_of(history),
        "currency": "USD",
    }

    def plugins():
        return [Books(), Cases(), Echo()]

    expected = replayed(history, plugins(), url="sqlite://", **options)
    found = replayed(history, plugins(), url=url, partitions=PARTITIONS, **options)

    assert 70 < len(found.table("crm_books_entry"))
    assert "" == difference(expected.tables, found.tables)


def test_each_thing_once(url):
    """What is unique without partitions is unique with them: keys, names, and plugins' rows."""
    with Crm(url, plugins=[Books()], partitions=PARTITIONS) as crm:
        first = crm.record_many(orders(60))
        again = crm.record_many(orders(60))
        assert (60, 0) == (first.new, again.new)
        assert list(first.ids) == list(again.ids)
        assert 40 == len({crm.find_customer(Identifier("account", f"c{n}")) for n in range(40)})
        assert [(60, 60)] == rows(
            crm,
            "SELECT count(*), count(DISTINCT interaction_id) FROM crm_interaction "
            "WHERE origin = 'observed'",
        )
        crm.rebuild()
        assert [(40, 60)] == rows(crm, "SELECT count(*), sum(entries) FROM crm_books_entry")
