"""What verification can find: bytes of deleted rows, indexes of full text, files, and itself."""

from __future__ import annotations

import shutil
from typing import ClassVar

import pytest
from attrs import define
from attrs import evolve as replace
from sqlalchemy import text
from typing_extensions import override

from crmcore import (
    Content,
    Context,
    Crm,
    Identifier,
    InteractionsRecorded,
    MessageDraft,
    Plugin,
    TaskDraft,
    VirtualClock,
    hookimpl,
)
from crmcore.channels.recording import Recording
from crmcore.domain.spelling import Needle, Needles, Sort
from crmcore.errors import ErasedError, HeldError
from crmcore.persistence import searching
from crmcore.services.privacy import verifying
from tests.support.canaries import Vault
from tests.support.databases import scratch
from tests.support.histories import START, instant
from tests.support.making import rows

ADA = Identifier("email", "ada.lovelace@example.com")


@pytest.fixture
def crm(tmp_path):
    clock = VirtualClock(instant(START))
    plugins = [Vault(folder=tmp_path / "vault")]
    with Crm(f"sqlite:///{tmp_path}/shop.db", plugins=plugins, clock=clock, secret="s") as opened:
        opened.record("order.placed", email=ADA.value, payload={"note": "Ring twice, says Ada"})
        yield opened


def test_bytes_of_rows_deleted_before_make_it_write_the_file_anew(crm, tmp_path):
    """What another deleted long before still stands in free pages, until the file is rewritten."""
    with crm.begin() as tx:
        run = tx.connection.sqlalchemy.exec_driver_sql
        run("CREATE TABLE draft_mail (body TEXT)")
        run("INSERT INTO draft_mail VALUES (?)", (f"Dear {ADA.value} " * 2000,))
    with crm.begin() as tx:
        run = tx.connection.sqlalchemy.exec_driver_sql
        run("PRAGMA secure_delete = OFF")  # some builds of SQLite overwrite by themselves
        run("DELETE FROM draft_mail")
    database, path = crm.runtime.database, tmp_path / "shop.db"
    searching.empty_log(database)
    assert f"Dear {ADA.value}".encode() in path.read_bytes()

    done = crm.erase(ADA)

    assert done.verification.is_clean
    assert ADA.value.encode() not in path.read_bytes()


def test_who_reads_meanwhile_is_told_of(crm, tmp_path):
    """While another process reads, deleted bytes may stay in the log: that is not verified."""
    with crm.runtime.database.engine.connect() as other:
        run = other.connection.driver_connection.execute
        run("BEGIN")
        run("SELECT count(*) FROM crm_customer").fetchone()

        who = crm.find_customer(ADA)
        done = crm.erase(ADA)
        run("ROLLBACK")

    found = done.verification
    assert (True, False, None) == (found.is_clean, found.is_complete, done.verified_at)
    assert any("another process reads it" in sentence for sentence in found.unverified)
    finished = crm.erase(who)
    assert finished.verification.is_complete
    assert finished.verified_at is not None
    assert (finished.id, None) == (done.id, crm.erase(who).verification)
    for path in tmp_path.glob("shop.db*"):
        assert ADA.value.encode() not in path.read_bytes()


def test_an_index_of_full_text_is_searched_and_tidied(crm, tmp_path):
    """A plugin that forgets its index is found out; one that deletes from it leaves no word."""
    if not has_fts5(crm):
        pytest.skip("this SQLite has no full text")
    with crm.begin() as tx:
        run = tx.connection.sqlalchemy.exec_driver_sql
        run("CREATE VIRTUAL TABLE crm_vault_words USING fts5(body)")
        run("INSERT INTO crm_vault_words VALUES (?)", (f"from {ADA.value} in London",))
    with crm.begin() as tx:
        run = tx.connection.sqlalchemy.exec_driver_sql
        run("INSERT INTO crm_vault_words VALUES ('somebody else')")
        run("DELETE FROM crm_vault_words WHERE rowid = 1")
        assert shadows(tx)
    crm.erase(ADA)
    with crm.begin() as tx:
        assert not shadows(tx)


def has_fts5(crm):
    with crm.begin() as tx:
        return bool(
            tx.connection.sqlalchemy.execute(
                text("SELECT 1 FROM pragma_compile_options WHERE compile_options = 'ENABLE_FTS5'")
            ).fetchone()
        )


def shadows(tx):
    """Return whether the index's own tables still hold a word of the person's."""
    rows = tx.connection.sqlalchemy.exec_driver_sql("SELECT block FROM crm_vault_words_data")
    # Of words that begin alike the beginning is kept once: it stands beside `london`.
    return any(b"velace" in bytes(row[0]) for row in rows)


def test_an_index_that_was_forgotten_is_found(crm):
    """What still stands in an index is left, and the certificate says so."""
    if not has_fts5(crm):
        pytest.skip("this SQLite has no full text")
    with crm.begin() as tx:
        run = tx.connection.sqlalchemy.exec_driver_sql
        run("CREATE VIRTUAL TABLE crm_vault_words USING fts5(body, content='')")
        run("INSERT INTO crm_vault_words(rowid, body) VALUES (1, ?)", (f"from {ADA.value}",))

    found = crm.erase(ADA).verification

    assert not found.is_clean
    assert "crm_vault_words" in {each.where for each in found.left}


def test_a_file_that_a_plugin_left_is_found(crm, tmp_path):
    """A file beside the one that was deleted, with the address in it, is named."""
    folder = tmp_path / "vault"
    folder.mkdir()
    (folder / "1.txt").write_text("a letter")
    (folder / "sent.eml").write_text(f"To: <{ADA.value.upper()}>")

    found = crm.erase(ADA).verification

    assert [("sent.eml", "it should have been erased")] == [(f.where, f.why) for f in found.left]
    assert [None] == [each.verified_at for each in certificates(crm)]


def certificates(crm):
    with crm.begin() as tx:
        return tx.connection.sqlalchemy.execute(text("SELECT * FROM crm_erasure")).fetchall()


def test_a_row_that_should_be_gone_is_found(crm, monkeypatch):
    """Verification does not believe what was done: a row written since is left, and said to be."""
    original = verifying.verify

    def planted(database, needles, people, files):
        with database.begin() as connection:
            connection.sqlalchemy.exec_driver_sql(
                "INSERT INTO crm_vault_gone VALUES (1, 'x', 'ADA.LOVELACE@example.com', 1, NULL)"
            )
        return original(database, needles, people, files)

    monkeypatch.setattr(verifying, "verify", planted)
    found = crm.erase(ADA).verification

    assert [("crm_vault_gone.words", 1)] == [(each.where, each.count) for each in found.left]


def test_who_is_on_hold_is_left_and_the_others_are_erased_again(tmp_path):
    """A backup may bring back a hold: it stops nobody but whom it is about, who is named."""
    url, plugins = f"sqlite:///{tmp_path}/shop.db", [Vault()]
    bea = Identifier("email", "bea@example.com")
    clock = VirtualClock(instant(START))
    with Crm(url, plugins=plugins, clock=clock, secret="s") as crm:
        for who in (ADA, bea):
            crm.record("order.placed", email=who.value)
        held = crm.hold(ADA, "a dispute")
    shutil.copy(tmp_path / "shop.db", tmp_path / "backup")
    with Crm(url, plugins=plugins, clock=clock, secret="s") as crm:
        crm.release_hold(ADA)
        erased = [crm.erase(who).customer_id for who in (ADA, bea)]
        journal = crm.erasure_journal()
    shutil.copy(tmp_path / "backup", tmp_path / "shop.db")
    with Crm(url, plugins=plugins, clock=clock, secret="s") as crm:
        again = crm.erase_again(journal)

        assert erased[1:] == [each.customer_id for each in again.certificates]
        assert (held,) == again.held
        assert (erased[0], None) == (crm.find_customer(ADA), crm.find_customer(bea))


@pytest.mark.each_database(partitioned=False)
def test_a_hold_outlives_the_end_of_a_merge():
    """Named while two were one, it may have been about either: both stay until released."""
    with Crm(scratch(), secret="s") as crm:
        one, two = (crm.record("order.placed", email=f"{n}@example.com").customer_id for n in "ab")
        merge = crm.merge(one, two)
        crm.hold(Identifier("email", "b@example.com"), "a lawsuit")
        crm.unmerge(merge.id)
        for who in (one, two):
            with pytest.raises(HeldError, match="a lawsuit"):
                crm.erase(who)
            crm.release_hold(who)
            crm.erase(who)


@pytest.mark.each_database(partitioned=False)
def test_nothing_is_written_about_somebody_forgotten():
    """Neither a task nor a message nor a hold, each of which would name them again."""
    with Crm(scratch(), plugins=[Recording(), Eager()], secret="s") as crm:
        who = crm.record("order.placed", email=ADA.value, source_key="o1").customer_id
        crm.erase(who)
        draft = replace(GREETING, customer=who)
        for write in (
            lambda: crm.add_task(who, "Call Ada"),
            lambda: crm.send(draft),
            lambda: crm.hold(who, "Ada's dispute"),
        ):
            with pytest.raises(ErasedError, match=f"customer {who} was erased"):
                write()
        assert [] == rows(crm, "SELECT * FROM crm_task")
        assert [] == rows(crm, "SELECT * FROM crm_message")
        # A plugin that answers to what comes in late is not stopped, and leaves no word.
        crm.record("order.delivered", customer=who, source_key="o1 delivered")
        assert [] == rows(crm, "SELECT * FROM crm_task")
        assert [("withheld", "{}")] == rows(crm, "SELECT state, content FROM crm_message")
        assert [] == rows(crm, "SELECT * FROM crm_fault")


GREETING = MessageDraft(
    key="hello", customer=0, purpose="service", channel="email", content=Content(text="Dear Ada")
)


@define(eq=False)
class Eager(Plugin):
    """Wants to do something about every delivery."""

    name: ClassVar[str] = "eager"

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        for each in event:
            if each.kind == "order.delivered":
                ctx.add_task(TaskDraft(key="call", customer=each.customer_id, title="Call Ada"))
                ctx.send(replace(GREETING, customer=each.customer_id))


@pytest.mark.parametrize(
    ("scheme", "stored", "written"),
    [
        ("email", "ada@example.com", "To: ADA@example.COM"),
        ("email", "ada@example.com", "mailto:ada%40example.com"),
        ("email", "o'hara@example.com", "o&#x27;hara@example.com"),
        ("phone", "+4930123456", "call 004930123456"),
        ("phone", "+4930123456", "call +49 30 123456"),
        ("phone", "+4930123456", "call 030 123456"),
        ("account", "A-10077", "account a-10077!"),
        ("account", "10077", "order:10077/3"),
        (None, "Zoë Müller", "ZOE\u0308 MU\u0308LLER"),
        (None, 'says "yes"', '{"note": "says \\"yes\\""}'),
    ],
)
def test_spellings(scheme, stored, written):
    """However it is written, it is found."""
    sort: Sort = "text" if scheme is None else "name"
    assert Needle.of(stored, sort, scheme).is_in(written.lower())


@pytest.mark.parametrize(
    ("stored", "written"), [("10077", "110077"), ("a100", "a1000"), ("lamp", "lampshade")]
)
def test_a_word_stands_alone(stored, written):
    """A number within another number is another number."""
    assert not Needle.of(stored, "name", "account").is_in(written)


def test_how_many_are_looked_for_is_told():
    """What is too short, and what is beyond the most, is counted."""
    needles = Needles(most=2)
    needles.add_name("account", "7")
    for number in range(5):
        needles.add({"text": [f"text number {number}", "abc"]})

    assert (2, 1, 3) == (len(needles.all), needles.short, needles.beyond)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Lovelace", True), ("Ada", False), ("double_opt_in", False), ("ring twice", True)],
)
def test_words_of_code_tell_of_nobody(text, expected):
    """A personal text is cleared elsewhere only if it is no word that code might use."""
    assert expected is Needle.of(text, "text").tells
