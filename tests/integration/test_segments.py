"""Segments asked of a shop: members, audiences, reasons, and what one interaction changes."""

import json
import re

import pytest
from click.testing import CliRunner
from crmcore_tiering import Tiering

from crmcore import Content, Crm, Identifier, Segment, SegmentError, VirtualClock, to_datetime
from crmcore.channels.recording import Recording
from crmcore.cli.root import crm as root
from crmcore.domain.clock import DAY
from crmcore.domain.segments.tree import Count, FactsOf
from crmcore.errors import ConfigurationError, CustomerNotFoundError, InputError
from tests.support.databases import scratch, shop_file

pytestmark = pytest.mark.each_database(partitioned=False)
NOW = 20_000 * DAY
NAMED = {
    "buyers": "orders.count >= 1",
    "regulars": "in buyers and orders(days=90).count >= 2",
    "readers": "emails.opened(days=30)",
    "lapsed": "in buyers and not orders(days=90)",
    "best": 'tier == "A"',
}


@pytest.fixture
def crm():
    plugins = [Tiering(), Recording(channel="email")]
    with Crm(scratch(), plugins=plugins, clock=VirtualClock(NOW), segments=NAMED) as made:
        yield made


def order(crm, name, days_ago, amount="20"):
    at = to_datetime(NOW - days_ago * DAY)
    return crm.record(
        "order.placed", email=f"{name}@example.com", amount=amount, occurred_at=at
    ).customer_id


def test_members(crm):
    """A name, a text, a tree and a segment are all asked alike, at any instant."""
    ada, bob = order(crm, "ada", 1), order(crm, "bob", 100)
    order(crm, "ada", 2)
    regulars = crm.segment("regulars")

    assert isinstance(regulars, Segment)
    assert [ada] == crm.members("regulars") == crm.members(regulars)
    assert [ada, bob] == crm.members(Count(FactsOf("orders"), ">=", 1))
    assert [bob] == crm.members("lapsed")
    assert [] == crm.members("regulars", at=NOW - 2 * DAY)
    assert [ada] == crm.members("regulars", at=to_datetime(NOW - DAY))
    assert list(NAMED) == list(crm.segments)
    with pytest.raises(SegmentError, match="did you mean 'regulars'"):
        crm.members("in regular")
    with pytest.raises(InputError, match="at is 'today'"):
        crm.members("regulars", at="today")


def test_audience(crm):
    """A broadcast goes to those who are in the segment when it is planned."""
    ada, bob = order(crm, "ada", 1), order(crm, "bob", 100)
    planned = crm.broadcast(
        "news-1",
        crm.audience("lapsed"),
        purpose="service",
        channel="email",
        content=Content(text="We miss you"),
    )

    assert 1 == planned.audience
    assert [] == crm.messages(ada)
    assert ["news-1"] == [each.key for each in crm.messages(bob)]


def test_why(crm):
    """The verdict names the conditions that decide, with what was found, within which segment."""
    ada, bob = order(crm, "ada", 10), order(crm, "bob", 100)

    inside = crm.why_in(ada, "in buyers and not emails.opened")
    outside = crm.why_not(Identifier("email", "bob@example.com"), "regulars")

    assert inside
    assert not outside
    assert ["orders.count >= 1 (in buyers): yes, 1", "emails.opened.count >= 1: no, 0"] == [
        str(each) for each in inside.because
    ]
    assert ["orders(days=90).count >= 2: no, 0"] == [str(each) for each in outside.because]
    assert ["orders.count >= 1", "orders(days=90).count >= 2"] == [
        each.text for each in outside.reasons
    ]
    assert bob == outside.customer_id
    assert NOW + 80 * DAY == crm.why_in(ada, "regulars").next_flip
    with pytest.raises(CustomerNotFoundError):
        crm.why_in(99, "regulars")


def test_merged_and_erased(crm):
    """Who was merged counts as the survivor; who was erased is in no segment, and is told so."""
    ada, bob, eve = order(crm, "ada", 1), order(crm, "bob", 2), order(crm, "eve", 3)
    crm.merge(ada, bob)
    crm.erase(eve)

    assert [ada] == crm.members("regulars") == crm.members("everyone")
    assert ada == crm.why_in(bob, "regulars").customer_id
    assert "erased" == crm.why_in(eve, "everyone").excluded
    assert not crm.why_in(eve, "everyone")


def test_reevaluated(crm):
    """Only segments that a kind can change are looked at again, and only for those it touches."""
    ada = order(crm, "ada", 1)
    order(crm, "bob", 1)
    service = crm._parts.segments
    with crm._read() as unit:
        after_order = service.reevaluated(unit.connection, ["order.placed"], [ada], NOW)
        after_mail = service.reevaluated(unit.connection, ["message.opened"], [ada], NOW)
        after_call = service.reevaluated(unit.connection, ["call.ended"], [ada], NOW)
        everybody = service.memberships(unit.connection, NOW)

    # What a trait follows from only its plugin knows, so the segment with one is always there.
    assert {"buyers": {ada}, "regulars": set(), "lapsed": set(), "best": set()} == after_order
    assert {"readers", "best"} == set(after_mail)
    assert {"best"} == set(after_call)
    assert {name: set(crm.members(name)) for name in NAMED} == everybody


def test_commands(tmp_path, monkeypatch):
    """`crm segment` counts, lists, explains, and shows the statement, which finds the same."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "crm.toml").write_text(
        f'[crm]\ndatabase = "{shop_file(tmp_path)}"\n'
        '[families]\nvisits = ["product.viewed"]\n'
        '[segments]\nbuyers = "orders.count >= 1"\n',
        encoding="utf-8",
    )

    def run(*words, code=0):
        done = CliRunner().invoke(root, list(words))
        assert code == done.exit_code, done.output
        return done.output

    run("record", "order.placed", "--id", "email:ada@example.com", "--amount", "20")
    run("record", "account.registered", "--id", "email:bob@example.com")

    assert "buyers: orders.count >= 1\n" == run("segment")
    assert "1 customer: orders.count >= 1\n1\n" == run("segment", "buyers")
    assert run("segment", "everyone", "--limit", "1").endswith(
        "... and 1 more; --limit shows more of them.\n"
    )
    answer = json.loads(run("segment", "not in buyers and not visits", "--json"))
    assert (1, ["2"]) == (answer["count"], answer["customers"])
    told = run("segment", "orders.sum > 50", "--explain", "email:ada@example.com")
    assert (
        "Customer 1 is not in orders.sum > 50 EUR.\n> orders.sum > 50 EUR: no, 20.00 EUR\n" == told
    )
    why = json.loads(run("segment", "orders(days=9)", "--explain", "1", "--json"))
    assert why["is_member"]
    assert why["next_flip"] is not None
    statement = run("segment", "buyers", "--sql")
    with Crm.from_config() as crm, crm.begin() as tx:
        assert [(1,)] == [*tx.connection.sqlalchemy.exec_driver_sql(statement)]
    refused = run("segment", "byers.count > 1", code=2)
    assert "line 1, column 1: unknown facts 'byers'" in refused


def test_configuration(tmp_path):
    """What is wrong in [segments] and [families] names the file or the segment."""
    path = tmp_path / "crm.toml"
    path.write_text("[segments]\nvip = 3\n")
    with pytest.raises(ConfigurationError, match=r"crm.toml, \[segments\]: .*3 is not text"):
        Crm.from_config(path)
    path.write_text('[segments]\nvip = "orders.count => 3"\n')
    with pytest.raises(ConfigurationError, match=r"segment 'vip': line 1, column 14: '=' found"):
        Crm.from_config(path)
    path.write_text('[families]\nvisits = "product.viewed"\n')
    with pytest.raises(ConfigurationError, match=r"\[families\]"):
        Crm.from_config(path)


def test_more_than_a_statement_takes():
    """Hundreds of segments are evaluated in as many statements as it takes."""
    named = {f"s{number}": f"orders.count >= {number % 3}" for number in range(260)}
    with Crm(scratch(), clock=VirtualClock(NOW), segments=named) as made:
        ada = order(made, "ada", 1)
        with made._read() as unit:
            found = made._parts.segments.memberships(unit.connection, NOW)

    assert {name: {ada} if int(name[1:]) % 3 < 2 else set() for name in named} == found


def test_measures(crm):
    """What conditions compare is asked of many at once; a trait's short name will do."""
    ada, bob = order(crm, "ada", 1, "19.90"), order(crm, "bob", 100)
    order(crm, "ada", 2, "5.10")
    eve = crm.record("product.viewed", email="eve@example.com", payload={"product": "tea"})

    found = crm.measures(["orders(days=90).count", "orders.sum", "days_since(orders.last)", "tier"])

    assert [
        (ada, 2, 2500, 1, "none"),
        (bob, 0, 2000, 100, "none"),
        (eve.customer_id, 0, 0, None, "none"),
    ] == found.rows
    assert [
        ("orders(days=90).count", int, ""),
        ("orders.sum", int, "minor"),
        ("days_since(orders.last)", int, "days"),
        ("tiering.tier", str, ""),
    ] == [(each.name, each.type, each.unit) for each in found.columns]
    assert [(bob, 1)] == crm.measures(["orders.count"], "lapsed").rows
    assert [(ada, 1)] == crm.measures(["orders.count"], "buyers", at=NOW - 2 * DAY).rows[:1]


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        (["orders"], "column 1: 'orders' are facts; orders.count, orders.sum or such is expected"),
        (["orders.first"], "orders.first found; days_since(orders.first) is expected"),
        (["orders(days=3)"], "orders(days=3).count or orders(days=3).sum is expected"),
        (["ordres.count"], "unknown facts 'ordres' (did you mean 'orders'?)"),
        (["tire"], "unknown trait 'tire' (did you mean 'tier'?)"),
        (["days_since(orders)"], "column 12: days_since has orders; its first or last is"),
        (["orders.count >= 3"], "column 14: '>=' found; the end is expected"),
        ([3], "3 is no measure"),
        ([], "[] found; a list of measures is expected"),
        ("orders.count", "'orders.count' found; a list of measures is expected"),
    ],
)
def test_what_is_no_measure(crm, asked, problem):
    """A measure that is none is refused with where, what was found and what is expected."""
    with pytest.raises(SegmentError, match=re.escape(problem)):
        crm.measures(asked)
