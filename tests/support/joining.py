"""Databases that a shop joins: fixtures with a table of the shop's and an application beside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from crmcore import Crm
from tests.support.databases import KINDS, drop_schema, new_schema
from tests.support.runs import opened
from tests.support.shops import add_orders_table

ALL: Final = "SELECT count(*) FROM crm_interaction"


@contextmanager
def shop_on(kind: str, folder: Path) -> Iterator[str]:
    """Give the URL of a new database of a kind with a table of the shop's."""
    url = f"sqlite:///{folder}/shop.db" if kind == "sqlite" else new_schema()
    add_orders_table(url)
    yield url
    if kind != "sqlite":
        drop_schema(url)


# Named apart from what tests ask for, so that these names are not taken where they are imported.


@pytest.fixture(name="url", params=KINDS)
def given_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with shop_on(request.param, tmp_path) as url:
        yield url


@pytest.fixture(name="sqlite_url")
def given_sqlite_url(tmp_path: Path) -> Iterator[str]:
    with shop_on("sqlite", tmp_path) as url:
        yield url


@pytest.fixture(name="postgresql_url")
def given_postgresql_url(tmp_path: Path) -> Iterator[str]:
    with shop_on("postgresql", tmp_path) as url:
        yield url


@pytest.fixture(name="crm")
def given_crm(url: str) -> Iterator[Crm]:
    with opened(url=url) as (crm, _):
        yield crm


@pytest.fixture(name="on_sqlite")
def given_on_sqlite(sqlite_url: str) -> Iterator[Crm]:
    with opened(url=sqlite_url) as (crm, _):
        yield crm


@pytest.fixture(name="on_postgresql")
def given_on_postgresql(postgresql_url: str) -> Iterator[Crm]:
    with opened(url=postgresql_url) as (crm, _):
        yield crm
