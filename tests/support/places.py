"""Places: databases that are made, copied for each kill, and dropped."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
from attrs import frozen
from sqlalchemy.engine import make_url

from tests.support.databases import dsn, server


@frozen
class Places:
    """Databases of one kind: made, copied and dropped."""

    kind: str
    folder: Path

    def url(self, name: str) -> str:
        if self.kind == "sqlite":
            return f"sqlite:///{self.folder / name}.db"
        return server().set(database=f"crm_kill_{name}").render_as_string(hide_password=False)

    def make(self, name: str) -> str:
        url = self.url(name)
        if self.kind == "postgresql":
            _admin(f"CREATE DATABASE {make_url(url).database}")
        return url

    def copy(self, source: str, name: str) -> str:
        url = self.url(name)
        if self.kind == "sqlite":
            shutil.copy(self.folder / f"{source}.db", self.folder / f"{name}.db")
        else:
            original = make_url(self.url(source)).database
            _admin(f"CREATE DATABASE {make_url(url).database} TEMPLATE {original}")
        return url

    def drop(self, name: str) -> None:
        if self.kind == "postgresql":
            database = make_url(self.url(name)).database
            _admin(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")


def _server() -> str:
    return server().render_as_string(hide_password=False)


def _admin(sql: str) -> None:
    with psycopg.connect(dsn(_server()), autocommit=True) as connection:
        connection.execute(sql)
