"""What a plugin keeps besides its tables, where an erasure could not reach it, is not verified."""

from __future__ import annotations

import shutil

import pytest
from attrs import evolve

from crmcore import Content, Crm, Identifier, MessageDraft, VirtualClock
from crmcore.channels.files import Files
from tests.support.databases import shop_file
from tests.support.histories import START, instant

ADA = Identifier("email", "ada.lovelace@example.com")
LETTER = "Dear Ada, your parcel is on its way"


@pytest.fixture
def open_shop(tmp_path):
    """Open the shop again, with the folders that are switched on then."""
    clock, url = VirtualClock(instant(START)), shop_file(tmp_path)

    def opened(*folders):
        plugins = [Files(folder=str(tmp_path / name), format="txt") for name in folders]
        return Crm(url, plugins=plugins, clock=clock, secret="s")

    return opened


def written(crm, key="1"):
    crm.record("order.placed", email=ADA.value, source_key=key)
    crm.send(
        MessageDraft(
            key=key,
            customer=ADA,
            purpose="service",
            channel="email",
            content=Content(text=LETTER),
        )
    )
    crm.deliver()


@pytest.mark.each_database
def test_a_plugin_that_is_switched_off_is_not_verified(open_shop, tmp_path):
    """The certificate names it and is not complete; once it is back, erasing again ends it."""
    with open_shop("outbox") as crm:
        written(crm)
    (path,) = (tmp_path / "outbox").glob("*.txt")

    with open_shop() as crm:
        planned, done = crm.plan_erasure(ADA), crm.erase(ADA)
        again = crm.erase(done.customer_id)
    assert ("files",) == planned.absent
    for each in (done, again):
        assert (False, None) == (each.verification.is_complete, each.verified_at)
        told = [each for each in each.verification.unverified if "'files'" in each]
        assert [
            "plugin 'files' keeps something of its own and is not here; switch it on and erase "
            f"customer {done.customer_id} again"
        ] == told
    assert path.exists()

    with open_shop("outbox") as crm:
        ended = crm.erase(done.customer_id)
    assert not path.exists()
    assert ended.verification.is_complete
    assert ended.verified_at is not None
    assert ("files in the outbox", 1) in [(each.what, each.count) for each in ended.outcomes]


def test_all_who_were_left_are_done_again_at_once(open_shop, tmp_path):
    """Who does not know the numbers any more erases all again whom somebody stood in the way of."""
    with open_shop("outbox") as crm:
        written(crm)
    with open_shop() as crm:
        who = crm.erase(ADA).customer_id

    with open_shop("outbox") as crm:
        again = crm.erase_again()
        assert [who] == [each.customer_id for each in again.certificates]
        assert [] == list((tmp_path / "outbox").glob("*.txt"))
        assert () == crm.erase_again().certificates


def test_files_are_erased_in_every_folder_there_ever_was(open_shop, tmp_path):
    """Messages lie in the folder of before, too: exports have them, erasures remove them."""
    with open_shop("old") as crm:
        written(crm)
    with open_shop("new") as crm:
        written(crm, "2")
        exported = crm.export(ADA, tmp_path).data.read_text()
        assert 2 == exported.count(LETTER) - exported.count(f'"text": "{LETTER}"')
        done = crm.erase(ADA)

    assert [] == [*(tmp_path / "old").glob("*.txt"), *(tmp_path / "new").glob("*.txt")]
    assert done.verification.is_complete


def test_a_folder_that_is_gone_is_not_verified(open_shop, tmp_path):
    """It may lie somewhere else, with what was written: it is named, until it is back."""
    with open_shop("old") as crm:
        written(crm)
    shutil.move(tmp_path / "old", tmp_path / "elsewhere")
    with open_shop("new") as crm:
        done = crm.erase(ADA)
    told = [each for each in done.verification.unverified if str(tmp_path / "old") in each]
    assert 1 == len(told)
    assert "is not there" in told[0]
    assert (False, None) == (done.verification.is_complete, done.verified_at)

    shutil.move(tmp_path / "elsewhere", tmp_path / "old")
    with open_shop("new") as crm:
        ended = crm.erase(done.customer_id)
    assert [] == list((tmp_path / "old").glob("*.txt"))
    assert ended.verification.is_complete
    assert evolve(ended, verification=None).verified_at is not None


def test_a_folder_nothing_of_theirs_was_in_is_not_missed(open_shop, tmp_path):
    """Where every message is accounted for elsewhere, or there is none, nothing is unverified."""
    with open_shop("old") as crm:
        written(crm)
    with open_shop("new") as crm:
        crm.record("order.placed", email="bea@example.com", source_key="b")
        shutil.rmtree(tmp_path / "old")

        assert crm.erase(Identifier("email", "bea@example.com")).verification.is_complete


def test_copies_that_were_exported_are_named(open_shop):
    """No erasure reaches the files of an export: the certificate says so."""
    with open_shop() as crm:
        crm.record("order.placed", email=ADA.value)
        found = crm.erase(ADA).verification

    assert any("export-customer" in each for each in found.unverified)
    assert found.is_complete
