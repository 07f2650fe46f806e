"""A shop with an Alembic of its own, on the database that it shares with crmcore."""

from __future__ import annotations

import subprocess
import sys

import pytest
from sqlalchemy import inspect

from crmcore import Crm
from tests.support.databases import KINDS, drop_schema, new_schema
from tests.support.notebook import Notebook
from tests.support.revisions import opened

INI = """\
[alembic]
script_location = migrations
"""

MODELS = """\
from sqlalchemy import Column, ForeignKey, Integer, BigInteger, MetaData, Table, Text

metadata = MetaData()
whole = BigInteger().with_variant(Integer(), "sqlite")
# Declared so that orders can refer to it; it has more columns than the shop knows of.
customer = Table("crm_customer", metadata, Column("customer_id", whole, primary_key=True))
order = Table(
    "shop_order",
    metadata,
    Column("order_id", BigInteger, primary_key=True),
    Column("customer_id", BigInteger, ForeignKey("crm_customer.customer_id")),
    Column("note", Text),
    Column("colour", Text),  # new
)
voucher = Table("shop_voucher", metadata, Column("code", Text, primary_key=True))  # new
"""

ENV = """\
import sys
from alembic import context
from sqlalchemy import create_engine
sys.path.insert(0, ".")
from models import metadata
{imports}
with create_engine({url!r}).connect() as connection:
    context.configure(connection=connection, target_metadata=metadata{options})
    with context.begin_transaction():
        context.run_migrations()
"""

TEMPLATE = """\
down_revision = ${repr(down_revision)}
revision = ${repr(up_revision)}

import sqlalchemy as sa
from alembic import op

def upgrade():
    ${upgrades if upgrades else "pass"}
"""


@pytest.fixture(params=KINDS)
def url(request, tmp_path):
    """The URL of an empty database of either kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/shop.db"
        return
    made = new_schema()
    yield made
    drop_schema(made)


@pytest.fixture
def shop(url, tmp_path):
    """A folder with the shop's models and its Alembic; its database has its tables, and ours."""
    Crm(url, plugins=[Notebook()]).close()
    with opened(url) as connection:
        connection.exec_driver_sql(
            "CREATE TABLE shop_order (order_id BIGINT NOT NULL PRIMARY KEY, customer_id BIGINT "
            "REFERENCES crm_customer (customer_id), note TEXT)"
        )
        connection.exec_driver_sql("CREATE TABLE shop_gone (note TEXT)")
    (tmp_path / "migrations" / "versions").mkdir(parents=True)
    (tmp_path / "migrations" / "script.py.mako").write_text(TEMPLATE, encoding="utf-8")
    (tmp_path / "alembic.ini").write_text(INI, encoding="utf-8")
    (tmp_path / "models.py").write_text(MODELS, encoding="utf-8")
    return tmp_path


def alembic(folder, *words):
    command = [sys.executable, "-m", "alembic", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr


def generated(shop, url, *, imports="", options=""):
    """Return what `alembic revision --autogenerate` writes, with these options in its env.py."""
    env = ENV.format(url=url, imports=imports, options=options)
    (shop / "migrations" / "env.py").write_text(env, encoding="utf-8")
    alembic(shop, "revision", "--autogenerate")
    (written,) = (shop / "migrations" / "versions").glob("*.py")
    return written.read_text(encoding="utf-8").partition("def upgrade():")[2]


FILTERED = {
    "imports": "import crmcore",
    "options": ", include_name=crmcore.include_name, include_object=crmcore.include_object",
}


def test_with_the_filter(shop, url):
    """With the filter there are the shop's own changes, and no word of crmcore's tables."""
    written = generated(shop, url, **FILTERED)
    lines = [line.strip() for line in written.splitlines() if line.strip().startswith("op.")]

    assert "crm_" not in written
    assert {"shop_order", "shop_voucher", "shop_gone"} == {
        name for name in ("shop_order", "shop_voucher", "shop_gone") if name in written
    }
    assert ["op.add_column", "op.create_table", "op.drop_table"] == sorted(
        line.partition("(")[0] for line in lines
    )


def test_without_the_filter(shop, url):
    """Without it the tables of the core and of plugins would be dropped."""
    written = generated(shop, url)

    assert "op.drop_table('crm_interaction')" in written
    assert "op.drop_table('crm_notebook_note')" in written
    assert "op.drop_column('crm_customer'" in written


def test_applied(shop, url):
    """What was generated can be applied, and crmcore goes on with its tables."""
    generated(shop, url, **FILTERED)
    alembic(shop, "upgrade", "head")
    with opened(url) as connection:
        tables = set(inspect(connection).get_table_names())
    with Crm(url, plugins=[Notebook()]) as crm:
        crm.record("order.placed", email="ada@example.com")

    assert {"shop_order", "shop_voucher", "alembic_version", "crm_notebook_note"} <= tables
    assert "shop_gone" not in tables
