"""`crm merge`, `crm unmerge` and `crm duplicates`, and what `crm customer show` tells of them."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from crmcore import Crm, Identifier
from crmcore.cli import crm as command

ADA, BOB = "email:ada@example.com", "account:7"


@pytest.fixture
def shop(tmp_path):
    """A shop with two customers who were named together once, as its configuration."""
    config = tmp_path / "crm.toml"
    config.write_text('[identity]\nmerge_on = ["account", "email"]\n')
    with Crm.from_config(config) as crm:
        crm.record("order.placed", email="ada@example.com", amount="10.00")
        crm.record("order.placed", account="7", amount="20.00")
        crm.record("order.placed", account="9", amount="20.00")
    return config


def tie(shop):
    with Crm.from_config(shop) as crm:
        crm.record("order.placed", account="7", email="ada@example.com")


def run(shop, *words):
    return CliRunner().invoke(command, ["--config", str(shop), *words])


def test_merge_and_unmerge(shop):
    """A merge tells what it moved and how to undo it; undoing tells what nobody can place."""
    merged = run(shop, "merge", BOB, ADA, "--reason", "same address")
    assert 0 == merged.exit_code, merged.output
    assert "customer 1 is customer 2 now. Moved: 1 interaction, 1 identifier." in merged.output
    assert "`crm unmerge 1` undoes it." in merged.output
    with Crm.from_config(shop) as crm:
        crm.record("order.placed", customer=2)

    shown = run(shop, "customer", "show", "1")
    assert "1, customer 1 into 2: same address" in shown.output
    told = json.loads(run(shop, "customer", "show", ADA, "--json").output)
    assert ("2", "same address", "cli") == (
        told["id"],
        told["merges"][0]["reason"],
        told["merges"][0]["actor"],
    )

    undone = run(shop, "unmerge", "1")
    assert "customer 1 is their own again, with 1 interaction, 1 identifier." in undone.output
    assert "so they stay with customer 2: 1 interaction, 4." in undone.output
    again = run(shop, "unmerge", "1")
    assert (2, "Error: merge 1 was undone before\n") == (again.exit_code, again.output)
    assert "; undone" in run(shop, "customer", "show", "1").output


def test_duplicates(shop):
    """Proposals are told in words; policy merges those it agrees to, others are rejected."""
    assert "No two customers look like one person." in run(shop, "duplicates").output
    tie(shop)
    listed = run(shop, "duplicates").output
    assert "Customers 1 and 2: account and email of the two were named together once." in listed
    found = json.loads(run(shop, "duplicates", "--json").output)
    assert [
        {"customer": "1", "other": "2", "status": "agreed", "evidence": {"account+email": 1}}
    ] == (found["duplicates"])
    merged = run(shop, "duplicates", "--merge-agreed").output
    assert "customer 2 is customer 1 now" in merged
    assert "No two customers look like one person." in merged
    run(shop, "unmerge", "1")
    assert "--reject ONE OTHER says they are two" in run(shop, "duplicates").output
    rejected = run(shop, "duplicates", "--reject", BOB, "1").output
    assert "account:7 and 1 are two" in rejected
    assert 2 == run(shop, "duplicates", "--reject", BOB, "1").exit_code


def test_relations(shop):
    """Relations of a customer are told on their page, and in its JSON."""
    with Crm.from_config(shop) as crm, crm.begin() as tx:
        tx.relate(Identifier("account", "7"), "referred_by", Identifier("account", "9"))

    assert "2 was brought by 3" in run(shop, "customer", "show", "3").output
    told = json.loads(run(shop, "customer", "show", "2", "--json").output)
    assert [{"customer": "2", "relation": "referred_by", "other": "3"}] == told["relations"]


def test_prove(shop):
    """A proof tells what became of it: a new identifier, a guest's orders, or a proposal."""
    with Crm.from_config(shop) as crm:
        crm.record("order.placed", guest_email="bob@example.com", amount="5.00")

    proven = run(shop, "prove", BOB, "email", "Bob@Example.com", "--reason", "clicked a link")
    assert 0 == proven.exit_code, proven.output
    assert "email:bob@example.com is customer 2's now." in proven.output
    assert "Merge 1: customer 4 is customer 2 now. Moved: 1 interaction" in proven.output
    assert "clicked a link" in run(shop, "customer", "show", "2").output
    again = run(shop, "prove", "2", "email", "bob@example.com")
    assert "email:bob@example.com was customer 2's before.\n" == again.output
    told = json.loads(run(shop, "prove", BOB, "email", "ada@example.com", "--json").output)
    assert {
        "customer": "2",
        "identifier": "email:ada@example.com",
        "added": False,
        "merge": None,
        "proposed": "1",
    } == told
    assert "`crm merge 2 1` makes the two one" in run(shop, "prove", "2", *ADA.split(":")).output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("99", "email", "a@b.example"), "no customer is known as customer 99"),
        ((BOB, "emial", "a@b.example"), "(did you mean 'email'?)"),
        ((BOB, "guest_email", "a@b.example"), "prove email instead"),
        (("email:no@b.example", "email", "a@b.example"), "no@b.example"),
    ],
)
def test_prove_refused(shop, words, sentence):
    """What cannot be proved is refused in one sentence."""
    result = run(shop, "prove", *words)

    assert (2, True) == (result.exit_code, sentence in result.stderr)


def test_relate(shop):
    """A relation is noted once, and ended once."""
    assert "Noted: account:7 child_of 1.\n" == run(shop, "relate", BOB, "child_of", "1").output
    assert run(shop, "relate", "2", "child_of", ADA).output.startswith("Was noted before: 2")
    assert "2 is a child of 1" in run(shop, "customer", "show", BOB).output
    wrong = run(shop, "relate", BOB, "chid_of", "1")
    assert (2, True) == (wrong.exit_code, "(did you mean 'child_of'?)" in wrong.stderr)
    assert "Ended: account:7 child_of 1.\n" == (
        run(shop, "relate", BOB, "child_of", "1", "--end").output
    )
    told = json.loads(run(shop, "relate", BOB, "child_of", "1", "--end", "--json").output)
    assert {"relation": "child_of", "ended": True, "changed": False} == told
    with Crm.from_config(shop) as crm:
        assert [] == crm.relations(1)


def test_what_rejecting_does_is_in_the_help(shop):
    """The help of --reject says what becomes of the two."""
    told = " ".join(run(shop, "duplicates", "--help").output.split())

    assert "they are proposed no more, whatever names both, and no policy merges them" in told
