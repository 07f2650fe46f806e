"""Canaries planted wherever something personal can stand: after an erasure none is anywhere."""

from contextlib import contextmanager
from pathlib import Path

import pytest
from crmcore_tiering import Tiering
from sqlalchemy import inspect, text
from sqlalchemy.engine import make_url

from crmcore import Crm, Grant, Identifier, Role, Staff, VirtualClock
from crmcore.channels.recording import Recording
from crmcore.errors import NotFoundError
from crmcore.persistence.tables import metadata
from crmcore.services.privacy.treatments import NOBODYS, TREATMENTS
from tests.support.canaries import Canaries, Vault, plant
from tests.support.databases import shop_file
from tests.support.histories import START, instant
from tests.support.making import rows
from tests.support.merging import Notes
from tests.support.plugins import Books, Cases, Echo

pytestmark = pytest.mark.each_database


@contextmanager
def shop(folder: Path, **options):
    """Open a shop with every plugin there is, in files."""
    vault = folder / "vault"
    vault.mkdir(exist_ok=True)
    plugins = [
        Tiering(),
        Books(reviews=False),
        Echo(),
        Notes(),
        Cases(),
        Recording(),
        Vault(folder=vault),
    ]
    with Crm(
        options.pop("url", None) or shop_file(folder),
        plugins=plugins,
        clock=VirtualClock(instant(START)),
        secret="canary",
        **options,
    ) as crm:
        yield crm, vault


def everything(crm):
    """Return every value of every table as text, as the database gives it."""
    with crm.runtime.database.begin(read_only=True) as connection:
        run = connection.sqlalchemy
        return {
            name: [
                [bytes(v) if isinstance(v, memoryview) else v for v in row]
                for row in run.execute(text(f'SELECT * FROM "{name}"'))
            ]
            for name in inspect(run).get_table_names()
        }


def told(value):
    return value if isinstance(value, bytes) else str(value).encode()


def places(crm, canaries):
    """Return the tables in which a canary still stands."""
    return {
        name
        for name, found in everything(crm).items()
        for row in found
        for value in row
        if any(each in told(value).lower() for each in map(bytes.lower, canaries.spelled()))
    }


def files(crm, folder):
    url = make_url(str(crm.runtime.database.engine.url))
    there = sorted(each for each in folder.rglob("*") if each.is_file())
    return there if url.get_backend_name() == "sqlite" else [f for f in there if f.suffix != ".db"]


def test_no_canary_is_left_anywhere(tmp_path):
    """Neither in a row, nor in the bytes of the database, its log, its journal, or a file."""
    ada, bea = Canaries("Ada"), Canaries("Bea")
    with shop(tmp_path) as (crm, vault):
        who, other = plant(crm, ada), plant(crm, bea)
        for each, canaries in ((who, ada), (other, bea)):
            (vault / f"{each}.txt").write_text(canaries.text("file"))
        crm.deliver()  # what is handed over stands in the channel's own memory
        assert "crm_interaction" in places(crm, ada)

        (person,) = rows(crm, PERSON.format(who=who))
        done = crm.erase(who, reason=f"wish of {person[0]}", actor=f"customer:{person[0]}")

        assert [] == [each.as_json() for each in done.verification.elsewhere]
        assert [] == [each.as_json() for each in done.verification.left]
        assert set() == places(crm, ada)
        for path in files(crm, tmp_path):
            content = path.read_bytes().lower()
            assert [] == [each for each in ada.spelled() if each.lower() in content], path
        assert {"crm_interaction", "crm_vault_gone"} <= places(crm, bea)
        assert "file" in (vault / f"{other}.txt").read_text()
    for path in tmp_path.glob("*.db*"):
        content = path.read_bytes().lower()
        assert [] == [each for each in ada.spelled() if each.lower() in content], path


PERSON = """
SELECT identifier_value FROM crm_identifier
WHERE customer_id = {who} AND scheme = 'email' ORDER BY identifier_value LIMIT 1"""


def test_what_staff_say_of_nobody_is_not_kept(tmp_path):
    """A reason that names somebody does not stand where no erasure would look for it."""
    every = Grant(actions=["read", "reveal", "export"], fields=["*"])
    staff = {"roles": [Role("desk", grants=(every,))], "staff": [Staff("grace", roles=["desk"])]}
    with shop(tmp_path, **staff) as (crm, _):
        ada = Identifier("email", "ada.lovelace@example.com")
        nobody = Identifier("email", "no@example.com")
        crm.record("order.placed", email=ada.value)
        desk, reason = crm.desk("grace"), f"{ada.value} asked"
        with pytest.raises(NotFoundError):
            desk.export([ada, nobody], reason=reason)
        with pytest.raises(NotFoundError):
            desk.reveal(nobody, "email", reason)

        found = crm.erase(ada).verification

        assert ((), ()) == (found.left, found.elsewhere)
        looks = rows(crm, "SELECT customer_id, reason FROM crm_access")
        assert [(0, None), (0, None)] == looks


def test_every_plugins_bytes_are_read(tmp_path):
    """An address among the bytes of a table that is kept is told, on PostgreSQL as well."""
    with shop(tmp_path) as (crm, _):
        who = crm.record("order.placed", email="ada.lovelace@example.com").customer_id
        with crm.begin() as tx:
            run = tx.connection.sqlalchemy
            run.execute(text("CREATE TABLE scan (picture BYTEA)"))
            run.execute(
                text("INSERT INTO scan VALUES (:b)"), {"b": b"\xff of Ada.Lovelace@example.com"}
            )

        (found,) = crm.erase(who).verification.elsewhere

        assert ("scan.picture", 1) == (found.where, found.count)


def test_rows_that_were_kept_are_left_as_they_were(tmp_path):
    """A table whose policy is to keep rows has them, and the certificate says why."""
    ada = Canaries("Ada")
    with shop(tmp_path) as (crm, _):
        who = plant(crm, ada)
        done = crm.erase(who)

        assert [(who, "invoice 1", "for a lamp", 3)] == rows(crm, "SELECT * FROM crm_vault_invoice")
        kept = {each.what: each.reason for each in done.kept}
        assert "the law wants invoices kept" == kept["crm_vault_invoice"]
        ((item, words, count, picture),) = rows(
            crm, "SELECT item, words, count, picture FROM crm_vault_number"
        )
        assert (None, 7, b"") == (words, count, bytes(picture))
        assert item.startswith("hash:")


def test_what_stands_in_a_kept_table_is_told(tmp_path):
    """The person's address in a table that is kept is named, as what it is: kept."""
    with shop(tmp_path) as (crm, _):
        who = crm.record("order.placed", email="ada.lovelace@example.com").customer_id
        with crm.begin() as tx:
            tx.connection.sqlalchemy.exec_driver_sql(
                f"INSERT INTO crm_vault_invoice VALUES ({who}, '1', 'Ada.Lovelace@example.com', 1)"
            )

        found = crm.erase(who).verification

        assert found.is_clean
        (kept,) = found.elsewhere
        assert ("crm_vault_invoice.words", 1) == (kept.where, kept.count)
        assert "kept: the law wants invoices kept" == kept.why


def test_every_table_of_the_core_has_a_treatment():
    """No table is forgotten, and no column with text of one that holds rows of customers."""
    assert set(metadata.tables) == {*TREATMENTS, *NOBODYS}

    for name, treatment in TREATMENTS.items():
        table = metadata.tables[name]
        assert {*treatment.owners, *treatment.emptied, *treatment.cleared} <= {*table.c.keys()}
        if treatment.fate != "erased":
            texts = {c.name for c in table.columns if "TEXT" in str(c.type).upper()}
            told_of = {*treatment.emptied, *treatment.cleared, *CLOSED.get(name, ())}
            assert texts - told_of == set(), name


# Words of the core's or the configuration's own, of which none is a customer's.
CLOSED = {
    "crm_customer": {"reference"},
    "crm_interaction": {"kind", "origin", "source", "channel", "currency"},
    "crm_stage": {"lifecycle", "stage", "before_phase", "counts", "last_source", "announced"},
    "crm_stage_change": {"lifecycle", "from_stage", "to_stage"},
    "crm_moved": {"how"},
    "crm_consent": {"point", "channel", "purpose", "effect"},
    "crm_zone": {"zone"},
    "crm_message": {"plugin", "purpose", "channel", "state", "gate", "point", "lease"},
    "crm_attempt": {"idempotency_key", "outcome"},
    "crm_task": {"plugin", "owner", "escalate_to"},
    "crm_access": {"actor", "role", "action", "outcome", "fields"},
    "crm_erasure": {"actor", "reason", "points", "outcome"},
}


def test_a_disabled_plugins_tables_are_treated_too(tmp_path):
    """What a plugin kept is treated by its policies after it is gone, rows it derived as well."""
    ada = Canaries("Ada")
    with shop(tmp_path) as (crm, _):
        who = plant(crm, ada)
        url = crm.runtime.database.engine.url.render_as_string(hide_password=False)
    with Crm(url, secret="canary") as crm:
        crm.erase(who)

        assert set() == places(crm, ada)
        assert [(0,)] == rows(crm, "SELECT count(*) FROM crm_vault_derived WHERE customer_id = 1")
        assert [(1,)] == rows(crm, "SELECT count(*) FROM crm_vault_number")


def test_a_name_is_found_however_it_is_spelled(tmp_path):
    """Verification finds an address in capitals, percent-encoded, escaped and in JSON."""
    with shop(tmp_path) as (crm, _):
        who = crm.record("order.placed", email="zoë.müller@example.com").customer_id
        spellings = [
            "ZOË.Müller@EXAMPLE.com",
            "zo%C3%AB.m%C3%BCller%40example.com",
            '{"to": "zo\\u00eb.m\\u00fcller@example.com"}',
            "zoe\u0308.mu\u0308ller@example.com",
        ]
        with crm.begin() as tx:
            run = tx.connection.sqlalchemy
            run.execute(text("CREATE TABLE mail_log (line TEXT)"))
            run.execute(
                text("INSERT INTO mail_log VALUES (:line)"), [{"line": s} for s in spellings]
            )

        (found,) = crm.erase(who).verification.elsewhere

        assert ("mail_log.line", 4) == (found.where, found.count)
        assert "the table is not crmcore's" == found.why
        assert crm.find_customer(Identifier("email", "zoë.müller@example.com")) is None
