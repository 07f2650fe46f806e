"""Both databases: the same history leaves the same figures and rows in SQLite and PostgreSQL."""

from typing import Any

import psycopg
import pytest
from attrs import evolve
from crmcore_tiering import Tiering

from crmcore import Crm
from crmcore.configuration import Configuration, ShopSettings
from crmcore.domain.relationship import RelationshipSettings
from crmcore.replay.history import load_cdnow
from crmcore.replay.trial import kinds_of, try_configuration
from crmcore.testing.snapshots import difference, snapshot
from tests.support.databases import PARTITIONED, dsn, making, scratch, server
from tests.support.histories import cdnow, start_of
from tests.support.making import rows
from tests.support.plugins import Books, Cases, Echo, Ledgers
from tests.support.runs import end_of, replayed

SCHEMES = pytest.mark.parametrize("scheme", ["pareto", "rfm"])


@pytest.fixture(params=["postgresql", pytest.param(PARTITIONED, marks=pytest.mark.slow)])
def other(request):
    """The URL of an empty database that is not SQLite."""
    with making(request.param):
        yield scratch()


def tried(tmp_path, url, scheme, *, every):
    """Return the figures, the example and the rows that a trial leaves in the database at *url*."""
    configuration = Configuration(
        path=tmp_path / "crm.toml",
        shop=ShopSettings(currency="USD"),
        relationship=RelationshipSettings(),
        plugins=(Tiering(scheme=scheme),),
    )
    whole = load_cdnow(kinds=kinds_of(configuration))
    some = [d for d in whole.drafts if int(d.identifiers[0].value) % every == 0]
    # Decisions are named with the database's secret, so both get the same.
    with Crm(url, currency="USD", durable=False) as crm, crm.begin() as tx:
        tx.connection.sqlalchemy.exec_driver_sql(
            "UPDATE crm_setting SET setting_value = 'same' WHERE setting = 'secret'"
        )
    trial = try_configuration(configuration, evolve(whole, drafts=some), into=url)
    figures = trial.to_json()
    del figures["run"]["cpu_seconds"]
    with Crm(url, currency="USD", plugins=configuration.plugins, durable=False) as crm:
        return figures, trial.example, snapshot(crm)


def check_equal(tmp_path, other, scheme, *, every):
    """Return what was found equal, that it may be seen not to be empty."""
    figures, example, found = tried(tmp_path, f"sqlite:///{tmp_path}/try.db", scheme, every=every)
    other_figures, other_example, other_found = tried(tmp_path, other, scheme, every=every)

    assert figures == other_figures
    assert "" == difference(found.tables, other_found.tables)
    assert example.view.customer.identifiers == other_example.view.customer.identifiers
    assert example.view.traits == other_example.view.traits
    assert example.view.descriptions == other_example.view.descriptions
    assert [str(each.interaction.payload) for each in example.decisions] == [
        str(each.interaction.payload) for each in other_example.decisions
    ]
    return found


@SCHEMES
def test_a_trial_of_a_part_of_a_real_shop(tmp_path, other, scheme):
    """All figures and rows of a trial are equal, of 235 customers of a real shop."""
    found = check_equal(tmp_path, other, scheme, every=100)

    assert 200 < len(found.table("crm_tiering_tier_change"))


@pytest.mark.slow
@SCHEMES
def test_a_trial_of_a_real_shop(tmp_path, other, scheme):
    """All figures and rows of a trial are equal, of all 23,570 customers."""
    found = check_equal(tmp_path, other, scheme, every=1)

    assert 20_000 < len(found.table("crm_tiering_tier_change"))


def test_whatever_plugins_keep(other):
    """Folds, decisions, rounds, lifecycles and timers of any plugin leave equal rows."""
    history = cdnow(every=300)
    options: dict[str, Any] = {"start": start_of(history), "until": end_of(history)}

    def run(url):
        plugins = [Books(), Cases(), Echo(), Ledgers()]
        return replayed(history, plugins, url=url, currency="USD", batch_size=50, **options)

    expected, found = run("sqlite://"), run(other)

    assert 70 < len(expected.table("crm_books_review"))
    assert "" == difference(expected.tables, found.tables)


# ------------------------------------------------------------------- collations

PLUGINS = (Tiering(), Books())


def test_every_text_is_compared_byte_by_byte(other):
    """Each column of text, of the core and of plugins, has the collation "C"."""
    with Crm(other, plugins=PLUGINS) as crm:
        collations = rows(
            crm,
            "SELECT DISTINCT l.collname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
            "JOIN pg_collation l ON l.oid = a.attcollation WHERE a.attnum > 0 "
            "AND c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace",
        )

    assert [("C",)] == collations


def test_another_collation(tmp_path):
    """In a database that sorts as people do, and not by bytes, the same rows come out."""
    name = "crm_test_collation"
    with psycopg.connect(dsn(server().render_as_string(False)), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name}")
        for how in ("LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C'", "LOCALE 'en_US.utf8'"):
            try:
                connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 {how}")
                break
            except psycopg.Error as error:
                refused = str(error).strip()
        else:
            pytest.skip(f"this server has no collation but the order of bytes: {refused}")
        try:
            url = server().set(database=name).render_as_string(hide_password=False)
            check_equal(tmp_path, url, "pareto", every=100)
        finally:
            connection.execute(f"DROP DATABASE {name}")
