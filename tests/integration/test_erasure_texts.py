"""What an erasure does to texts in which somebody stands, and what it leaves as it is."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import time

import pytest
import sqlalchemy
from attrs import define
from crmcore_tiering import Tiering
from sqlalchemy import BigInteger, Column, MetaData, Table, Text, UniqueConstraint, insert

from crmcore import Content, Crm, Draft, Identifier, Money, Plugin, PluginTable, VirtualClock
from crmcore.channels.recording import Recording
from crmcore.domain.clock import DAY
from crmcore.errors import PluginError
from tests.support.databases import shop_file
from tests.support.histories import START, instant
from tests.support.making import rows

ADA = Identifier("email", "ada@example.com")
BEA = Identifier("email", "bea@example.com")
HANDLE = Identifier("handle", "adalove77")


@contextmanager
def shop(folder, *plugins):
    clock = VirtualClock(instant(START))
    with Crm(shop_file(folder), plugins=plugins, clock=clock, secret="s") as crm:
        yield crm


def order(crm, key, *who, **payload):
    return crm.record(
        Draft(
            "order.placed",
            identifiers=who,
            amount=Money(1000, "EUR"),
            source_key=key,
            payload={"order": key, **payload},
        )
    )


def test_a_number_in_a_payload_is_nobodys(tmp_path):
    """An account's number may be a count or an amount as well; keys that it stands in change."""
    with shop(tmp_path, Tiering(), Recording()) as crm:
        order(crm, "1000/1", ADA, Identifier("account", "1000"), quantity=1000)
        crm.runtime.clock.advance_to(instant(START) + 40 * DAY)
        crm.run_due()

        done = crm.erase(ADA)

        assert done.verification.is_clean
        assert [] == crm.faults("tiering")
        told = rows(crm, "SELECT kind, payload FROM crm_interaction ORDER BY interaction_id")
        placed = json.loads(dict(told)["order.placed"])
        assert 1000 == placed["quantity"]
        assert placed["order"].startswith("hash:")
        assert 1000 == json.loads(dict(told)["tier.changed"])["net_minor"]
        crm.rebuild()


def test_the_key_of_a_broadcast_is_everybodys(tmp_path):
    """Its sums stay right, whatever somebody in its audience is called; other keys are cleared."""
    with shop(tmp_path, Recording()) as crm:
        for who, account in ((ADA, "2024"), (BEA, "2025")):
            order(crm, account, who, Identifier("account", account))
        said = {"purpose": "service", "channel": "email", "content": Content(text="We moved")}
        crm.broadcast("moved-2024", "everyone", **said)
        crm.broadcast("moved/2024", "everyone", **said)

        crm.erase(ADA)

        found = rows(crm, "SELECT message_key, count(*) FROM crm_message GROUP BY message_key")
        assert {"moved-2024": 2, "moved/2024": 2} == dict(found)


def codes(*columns, unique=True):
    """Return a plugin with a table that is anonymised."""
    key = Column("customer_id", BigInteger, primary_key=True, autoincrement=False)
    constraint = [UniqueConstraint(*(each.name for each in columns))] if unique else []
    table = Table("crm_codes_code", MetaData(), key, *columns, *constraint)

    @define(eq=False)
    class Codes(Plugin):
        name = "codes"
        tables = (PluginTable(table, derived=False, merge="move", erase="anonymise"),)

    return Codes(), table


@pytest.mark.each_database
def test_what_is_unique_stays_unique(tmp_path):
    """Everybody can be erased whose rows hold what nobody else's may; nothing of it is left."""
    plugin, table = codes(Column("code", Text, nullable=False))
    with shop(tmp_path, plugin) as crm:
        for who in (ADA, BEA):
            customer_id = order(crm, who.value[:3], who).customer_id
            with crm.runtime.database.begin() as connection:
                values = {"customer_id": customer_id, "code": f"for {who.value}"}
                connection.sqlalchemy.execute(insert(table).values(values))

        assert crm.erase(ADA).verification.is_clean
        assert crm.erase(BEA).verification.is_clean

        assert ["erased/1", "erased/2"] == sorted(
            code for (code,) in rows(crm, "SELECT code FROM crm_codes_code")
        )


WITHOUT_NOTHING = (
    (sqlalchemy.Uuid(), False),
    (sqlalchemy.Interval(), False),
    (sqlalchemy.Enum("a", "b", name="of_codes"), False),
    (sqlalchemy.Date(), True),
)


@pytest.mark.parametrize(("kind", "unique"), WITHOUT_NOTHING, ids=str)
def test_what_cannot_be_emptied_is_refused_at_start(tmp_path, kind, unique):
    """Not at the first erasure, when it is too late."""
    plugin, _ = codes(Column("code", kind, nullable=False), unique=unique)
    with pytest.raises(PluginError, match=r"column 'code' .* cannot be anonymised"):
        Crm(shop_file(tmp_path), plugins=[plugin], secret="s")
    codes_that_may, _ = codes(Column("code", kind, nullable=True), unique=unique)
    with shop(tmp_path, codes_that_may):
        pass


@pytest.mark.each_database
@pytest.mark.parametrize(
    "kind",
    [
        sqlalchemy.Date(),
        sqlalchemy.Time(),
        sqlalchemy.DateTime(),
        sqlalchemy.JSON(),
        sqlalchemy.LargeBinary(),
        sqlalchemy.String(3),
    ],
    ids=lambda kind: type(kind).__name__,
)
def test_what_can_be_emptied_is_emptied(tmp_path, kind):
    """Of every type that is let in at start, a row can be anonymised."""
    plugin, table = codes(Column("code", kind, nullable=False), unique=False)
    examples = {
        "Date": START.date(),
        "Time": time(9, 30),
        "DateTime": START.replace(tzinfo=None),
        "JSON": {"said": "by Ada"},
        "LargeBinary": b"ada",
        "String": "ada",
    }
    with shop(tmp_path, plugin) as crm:
        values = {
            "customer_id": order(crm, "a", ADA).customer_id,
            "code": examples[type(kind).__name__],
        }
        with crm.runtime.database.begin() as connection:
            connection.sqlalchemy.execute(insert(table).values(values))

        crm.erase(ADA)

        with crm.runtime.database.begin(read_only=True) as connection:
            ((_, code),) = connection.sqlalchemy.execute(sqlalchemy.select(table)).fetchall()
        assert values["code"] != code
