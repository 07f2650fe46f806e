"""Exports: all that is kept of a customer, and nothing of anybody else; for people, too."""

import json
import re
import tracemalloc
from html.parser import HTMLParser
from pathlib import Path

import pytest
from crmcore_tiering import Tiering
from sqlalchemy import insert

from crmcore import Content, Crm, Grant, Identifier, Role, Staff, VirtualClock
from crmcore.channels.recording import Recording
from crmcore.errors import CustomerNotFoundError, InputError, PluginError
from crmcore.persistence.ledger import interaction
from crmcore.persistence.tables import metadata
from crmcore.services.privacy.export_sections import CORE_SECTIONS, LEFT_OUT
from tests.support.canaries import Canaries, Vault, plant
from tests.support.databases import shop_file
from tests.support.histories import START, instant
from tests.support.making import plugin as made
from tests.support.making import raising
from tests.support.merging import Notes

pytestmark = pytest.mark.each_database(partitioned=False)


def open_crm(folder: Path, *plugins, **options):
    options.setdefault("url", None)
    url = options.pop("url") or shop_file(folder)
    given = plugins or (Tiering(), Recording(), Notes(), Vault(folder=folder))
    return Crm(url, plugins=given, clock=VirtualClock(instant(START)), secret="s", **options)


def read(done):
    return json.loads(done.data.read_text(encoding="utf-8"))


class Page(HTMLParser):
    """A page as a browser reads it: its tags, its text, and whether every tag is closed."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.said, self.ids = [], [], [], []
        self.links, self.heads = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        given = dict(attrs)
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "a":
            self.links.append(given["href"])
        if tag == "th":
            self.heads.append(given.get("scope"))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert tag == self.open.pop(), tag

    def handle_data(self, data):
        self.said.append(data)


def test_everything_of_a_customer_is_told(tmp_path):
    """Each canary planted in what may be told stands in both files; none of the other's does."""
    ada, bea = Canaries("Ada"), Canaries("Bea")
    with open_crm(tmp_path) as crm:
        who = plant(crm, ada)
        other = plant(crm, bea)
        with crm.begin() as tx:
            tx.relate(who, "child_of", other)
        (tmp_path / f"{who}.txt").write_text(ada.text("file"))
        done = crm.export(who, tmp_path / "out")

        texts = [done.data.read_text(encoding="utf-8"), "".join(Page(page(done)).said)]
        untold = ("access", "merge", "shelved", "secret", "bytes")
        for text in texts:
            folded = text.lower()
            told = [c for c in ada.planted if not c.lower().endswith(untold)]
            assert [] == [c for c in told if c.lower() not in folded]
            assert [] == [c for c in bea.planted if c.lower() in folded]
        sections = read(done)["sections"]
        assert {"relation": "child_of", "direction": "to somebody"}.items() <= (
            sections["relations"][0].items()
        )
        assert dict(done.sections) == {name: len(found) for name, found in sections.items()}
        assert "crm_vault_secret" in {each["what"] for each in sections["left_out"]}
        assert "crm_vault_secret" not in sections


def page(done):
    return done.page.read_text(encoding="utf-8")


def test_every_table_with_rows_of_customers_is_told_of():
    """No table of the core is left out without a reason that the customer is told."""
    told_of = {name for section in CORE_SECTIONS for name in section.tables} | {*LEFT_OUT}
    about_customers = {
        table.name
        for table in metadata.sorted_tables
        if {"customer_id", "survivor_id", "point"} & {*table.c.keys()}
    }

    assert set() == about_customers - told_of


def test_the_page_is_accessible_and_takes_nothing_for_a_tag(tmp_path):
    """It says its language and title, has one first heading, and heads to all columns."""
    with open_crm(tmp_path) as crm:
        nasty = "<script>alert('x')</script> & \"quotes\" </td></table>"
        crm.record("order.placed", email="ada@example.com", payload={"note": nasty})
        done = crm.export(Identifier("email", "ada@example.com"), tmp_path)

    text = page(done)
    found = Page(text)
    assert [] == found.open
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert (1, 1, 0) == (
        found.tags.count("h1"),
        found.tags.count("title"),
        found.tags.count("script"),
    )
    assert len(found.ids) == len({*found.ids})
    assert {link.removeprefix("#") for link in found.links} <= {*found.ids}
    assert {"col"} == {*found.heads}
    assert found.tags.count("table") == found.tags.count("caption")
    assert nasty in "".join(found.said)


def test_the_same_state_gives_the_same_bytes(tmp_path):
    """Written twice, and on another day, the files are equal; nothing else is left behind."""
    with open_crm(tmp_path) as crm:
        who = plant(crm, Canaries("Ada"))
        first = crm.export(who, tmp_path / "1")
        crm.runtime.clock.advance_to(instant(START) + 10**12)
        second = crm.export(who, tmp_path / "2")

    for name in ("data", "page"):
        assert getattr(first, name).read_bytes() == getattr(second, name).read_bytes()
    assert {first.data, first.page} == {*(tmp_path / "1").iterdir()}


def test_who_was_merged_is_told_as_one(tmp_path):
    """The export of either id is that of the person; who looked is a sum, without names."""
    with open_crm(tmp_path) as crm:
        one = crm.record("order.placed", email="a@example.com", actor="staff:grace").customer_id
        two = crm.record("order.placed", account="77").customer_id
        crm.merge(one, two, reason="called")
        done = crm.export(two, tmp_path)

        sections = read(done)["sections"]
        assert one == done.customer_id
        assert [str(one), str(two)] == [each["customer_id"] for each in sections["customer"]]
        assert ["staff", None] == [each["actor"] for each in sections["interactions"]]
        assert [(str(one), str(two), "called")] == [
            (m["survivor_id"], m["merged_id"], m["reason"]) for m in sections["merges"]
        ]


def test_what_was_said_to_many_and_holds_are_told(tmp_path):
    """A broadcast's words are what was said to them; and they learn what keeps them here."""
    with open_crm(tmp_path) as crm:
        who = crm.record("order.placed", email="a@example.com").customer_id
        content = Content(text="Winter sale")
        crm.broadcast("sale", "everyone", purpose="news", channel="email", content=content)
        crm.hold(who, "a dispute about a lamp")
        done = crm.export(who, tmp_path)

    sections = read(done)["sections"]
    assert [{"text": "Winter sale"}] == [each["content"] for each in sections["messages"]]
    assert ["a dispute about a lamp"] == [each["reason"] for each in sections["holds"]]
    assert {0o600} == {path.stat().st_mode & 0o777 for path in (done.data, done.page)}


def test_looks_are_told_and_staff_are_not_named(tmp_path):
    """Who looked while they were merged looked at them; whose a task was is theirs to tell."""
    every = Role("desk", grants=(Grant(actions=["read", "reveal", "work"], fields=["*"]),))
    staff = [Staff("grace_hopper", roles=["desk"])]
    with open_crm(tmp_path, roles=[every], staff=staff) as crm:
        one = crm.record("order.placed", email="a@example.com").customer_id
        two = crm.record("order.placed", account="7707").customer_id
        merge = crm.merge(one, two)
        desk = crm.desk("grace_hopper")
        desk.reveal(one, "email", "a call")
        crm.unmerge(merge.id)
        task = crm.add_task(two, "Call", owner="grace_hopper", actor="staff:grace_hopper")
        crm.assign_task(task.id, "mary_jackson", actor="staff:grace_hopper")
        crm.finish_task(task.id, actor="staff:mary_jackson")
        done = crm.export(two, tmp_path)

    looks = [(each["action"], each["times"]) for each in read(done)["sections"]["access"]]
    assert [("reveal", 1)] == looks
    for path in (done.data, done.page):
        assert "grace_hopper" not in path.read_text()
        assert "mary_jackson" not in path.read_text()


def test_tables_of_an_absent_plugin_are_told(tmp_path):
    """What a plugin kept is exported after it is gone."""
    with open_crm(tmp_path) as crm:
        who = plant(crm, canaries := Canaries("Ada"))
        url = crm.runtime.database.engine.url.render_as_string(hide_password=False)
    with Crm(url, secret="s") as crm:
        sections = read(crm.export(who, tmp_path))["sections"]

    (gone,) = sections["crm_vault_gone"]
    assert gone["item"] in canaries.planted
    assert {"crm_notes_note", "crm_tiering_total"} <= {*sections}


def test_a_plugin_that_raises_leaves_no_file(tmp_path):
    """An export that lacks something would be untrue, so there is none."""
    with open_crm(tmp_path, made("angry", export_customer=raising)) as crm:
        who = crm.record("order.placed", email="a@example.com").customer_id
        with pytest.raises(PluginError, match="'angry': export_customer raised ValueError"):
            crm.export(who, tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_bad_input(tmp_path):
    """Nobody, or nowhere to write, is said in a sentence."""
    with open_crm(tmp_path) as crm:
        with pytest.raises(CustomerNotFoundError):
            crm.export(99, tmp_path)
        who = crm.record("order.placed", email="a@example.com").customer_id
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match=r"nothing can be written to .*file"):
            crm.export(who, tmp_path / "file")


def fill(crm, who, count):
    """Write many interactions of one customer, as fast as can be."""
    made = [
        (number, "order.placed", 1, who, who, number, number, "observed", "bulk", f"k{number}")
        + (None,) * 8
        + (None, "{}", json.dumps({"note": f"a note of some length, number {number}"}))
        for number in range(10, 10 + count)
    ]
    with crm.begin() as tx:
        tx.connection.insert_rows(insert(interaction), made)


def peak(crm, who, folder):
    tracemalloc.start()
    try:
        done = crm.export(who, folder)
        return done, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("count", [20_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_an_export_needs_no_more_memory_for_more(tmp_path, count):
    """With ten times as much to tell, the peak is nearly what it was; all of it is told."""
    with open_crm(tmp_path, Tiering()) as crm:
        few = crm.record("order.placed", email="few@example.com").customer_id
        many = crm.record("order.placed", email="many@example.com").customer_id
        fill(crm, many, count)
        crm.export(many, tmp_path)  # what is compiled once is no part of it
        _, base = peak(crm, few, tmp_path)
        done, most = peak(crm, many, tmp_path)

        assert count + 1 == done.sections["interactions"]
        assert count + 1 == len(re.findall(r'"kind": "order.placed"', done.data.read_text()))
        size = done.data.stat().st_size
        assert most - base < 12_000_000, f"{most - base} bytes more, for a file of {size}"
