"""The core of the command line, on each kind of database."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from crmcore import Crm, SystemClock, VirtualClock
from crmcore.cli import crm
from crmcore.domain.clock import DAY
from tests.support.databases import shop_file
from tests.support.making import rows

pytestmark = pytest.mark.each_database

MAPPING = """
source = "till"
kind = "order.placed"
time = "at"
currency = "EUR"
amount = "amount"
identifiers = { email = "email" }
key = "number"
"""
FILE = """\
number,email,at,amount
1,ada@example.com,2024-01-01T09:00Z,10.00
2,grace@example.com,2024-01-02T09:00Z,5.00
"""
ORDER = (
    *("record", "order.placed", "--id", "email:ada@example.com", "--amount", "30"),
    *("--source-key", "42", "--payload", '{"order": "o1"}'),
)


def run(*words):
    return CliRunner().invoke(crm, list(words))


def asked(*words):
    result = run(*words, "--json")
    assert 0 == result.exit_code, result.output
    return json.loads(result.stdout)


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A folder with a configuration of everything installed, over an empty database."""
    monkeypatch.chdir(tmp_path)
    assert 0 == run("init").exit_code
    written = (tmp_path / "crm.toml").read_text()
    own = "sqlite:///crm.db"
    assert own in written
    (tmp_path / "crm.toml").write_text(written.replace(own, shop_file(tmp_path)))
    (tmp_path / "mapping.toml").write_text(MAPPING)
    (tmp_path / "orders.csv").write_text(FILE)
    return tmp_path


def test_record(shop):
    """An order is recorded once, and told of with its customer."""
    first, again = asked(*ORDER), asked(*ORDER)
    told = asked("customer", "show", "email:ada@example.com")

    assert first["id"] == again["id"]
    assert (1, {"minor": 3000, "currency": "EUR"}) == (told["interactions"], told["revenue"])
    assert {"order": "o1"} == {k: v for k, v in told["latest"][0]["payload"].items() if v}


def test_import(shop):
    """A file is imported once; what was imported before is not counted again."""
    command = ("import", "orders.csv", "--mapping", "mapping.toml")
    for _ in range(2):
        result = run(*command)
        assert 0 == result.exit_code, result.output
    with Crm.from_config("crm.toml") as opened:
        assert [(2, 1500)] == rows(
            opened,
            "SELECT count(*), sum(amount_base_minor) FROM crm_interaction "
            "WHERE origin = 'observed'",
        )


def test_why(shop):
    """A tier and a stage are told with what led to them."""
    run(*ORDER)
    in_a_month = VirtualClock(SystemClock().now() + 31 * DAY)
    with Crm.from_config("crm.toml", clock=in_a_month) as later:
        later.run_due()
    told = asked("why", "email:ada@example.com")

    assert ["A"] == [each["decided"]["payload"]["to_tier"] for each in told["decisions"]]
    assert ["42"] == [each["because"][0]["source_key"] for each in told["decisions"]]
    assert 0 == run("why", "email:ada@example.com").exit_code


def test_rebuild(shop):
    """Derived tables are made anew, and nothing is recorded."""
    run(*ORDER)
    with Crm.from_config("crm.toml") as opened, opened.begin() as tx:
        tx.connection.sqlalchemy.exec_driver_sql("DELETE FROM crm_tiering_total")
    assert "tiering" in asked("rebuild", "tiering")["rebuilt"]
    with Crm.from_config("crm.toml") as opened:
        assert [(1, 3000)] == rows(opened, "SELECT orders, net_minor FROM crm_tiering_total")
        assert [(1,)] == rows(opened, "SELECT count(*) FROM crm_interaction")


def test_init_keeps_what_is_there(shop):
    """Beside a configuration that names another database, `init` changes nothing."""
    run(*ORDER)
    assert 2 == run("init").exit_code
    assert 1 == asked("customer", "show", "email:ada@example.com")["interactions"]
