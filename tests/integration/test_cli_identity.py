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
