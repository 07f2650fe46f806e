"""`crm export-customer`, `erase-customer`, `hold` and `retention`, as somebody types them."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from crmcore import Crm
from crmcore.cli import crm as command

ADA = "email:ada@example.com"


@pytest.fixture
def shop(tmp_path):
    """A shop with two customers, as its configuration."""
    config = tmp_path / "crm.toml"
    config.write_text('[retention]\n"order.*" = "1 day"\n')
    with Crm.from_config(config) as crm:
        crm.record("order.placed", email="ada@example.com", amount="10", payload={"note": "Ring"})
        crm.record("order.placed", account="77", amount="20.00")
    return config


def run(shop, *words, typed=None):
    return CliRunner().invoke(command, ["--config", str(shop), *words], input=typed)


def test_export(shop, tmp_path):
    """Both files are named, and are there; as JSON, too."""
    done = run(shop, "export-customer", ADA, "--to", str(tmp_path / "out"))

    assert 0 == done.exit_code, done.output
    assert "Customer 1, 5 entries:" in done.output
    for end in ("json", "html"):
        path = tmp_path / "out" / f"customer-1.{end}"
        assert str(path) in done.output
        assert "ada@example.com" in path.read_text()
    assert "These are copies, which no erasure reaches" in done.output
    told = json.loads(run(shop, "export-customer", "1", "--to", str(tmp_path), "--json").output)
    assert ("1", 1) == (told["customer"], told["sections"]["interactions"])
    wrong = run(shop, "export-customer", "email:bea@example.com")
    assert (2, "Error: no customer is known as email:bea@example.com\n") == (
        wrong.exit_code,
        wrong.output,
    )


def test_erase(shop, tmp_path):
    """A dry run and an answer of no change nothing; yes does it, and writes the certificate."""
    planned = run(shop, "erase-customer", ADA, "--dry-run")
    assert "Customer 1. Nothing is changed.\n" in planned.output
    assert "crm_identifier, 1 will be erased" in planned.output
    refused = run(shop, "erase-customer", ADA, typed="n\n")
    assert (1, True) == (refused.exit_code, "Forget customer 1?" in refused.output)
    assert 0 == run(shop, "customer", "show", ADA).exit_code

    path = tmp_path / "certificate.json"
    done = run(
        shop, "erase-customer", ADA, "--reason", "their wish", "--to", str(path), typed="y\n"
    )

    assert 0 == done.exit_code, done.output
    assert "Customer 1 was forgotten" in done.output
    assert "Looked for 2 texts of theirs in" in done.output
    assert "Not verified: backups" in done.output
    told = json.loads(path.read_text())
    assert ("1", "their wish", True) == (
        told["customer"],
        told["reason"],
        told["verification"]["is_clean"],
    )
    assert 2 == run(shop, "customer", "show", ADA).exit_code
    shown = run(shop, "customer", "show", "1").output
    assert "customer      forgotten 20" in shown
    assert "not named" not in shown
    again = json.loads(run(shop, "erase-customer", "1", "--json").output)
    assert (told["erasure"], None) == (again["erasure"], again["verification"])


def test_a_certificate_that_cannot_be_written(shop, tmp_path):
    """It is said before anybody is forgotten, not after."""
    path = tmp_path / "nowhere" / "certificate.json"
    refused = run(shop, "erase-customer", ADA, "--yes", "--to", str(path))

    assert 2 == refused.exit_code
    assert f"there is no folder {tmp_path / 'nowhere'}" in refused.output
    assert 0 == run(shop, "customer", "show", ADA).exit_code


def test_a_plugin_that_is_switched_off_is_not_reached(shop):
    """The plan and the certificate name it; once it is back, --again ends the erasure."""
    without = shop.read_text()
    shop.write_text(without + '[plugins.files]\nfolder = "outbox"\n')
    assert 0 == run(shop, "status").exit_code
    assert 0 == run(shop, "customer", "show", ADA).exit_code
    shop.write_text(without)
    planned = run(shop, "erase-customer", ADA, "--dry-run").output
    assert "Not reached: what plugin 'files' keeps besides its tables" in planned

    done = run(shop, "erase-customer", ADA, "--yes").output
    assert "Not verified: plugin 'files' keeps something of its own and is not here" in done
    assert done.endswith("The erasure is not complete yet.\n")

    shop.write_text(without + '[plugins.files]\nfolder = "outbox"\n')
    again = run(shop, "erase-customer", "--again").output
    assert again.startswith("1 customer forgotten again.\n")
    assert "not complete" not in again
    assert run(shop, "erase-customer", "--again").output.startswith("0 customers forgotten again.")


def test_journal(shop, tmp_path):
    """The journal is written, and read again; what is no journal is said to be none."""
    run(shop, "erase-customer", ADA, "--yes")
    path = tmp_path / "journal.json"
    written = run(shop, "erase-customer", "--journal", str(path))
    assert (0, f"1 erasure written to {path}.\n") == (written.exit_code, written.output)
    assert "ada" not in path.read_text()
    (tmp_path / "crm.db").unlink()
    with Crm.from_config(shop, secret="another") as crm:
        crm.record("order.placed", email="ada@example.com")
    read = run(shop, "erase-customer", "--again", "--journal", str(path))
    assert (0, "0 customers forgotten again.\n") == (read.exit_code, read.output)

    path.write_text("[]")
    broken = run(shop, "erase-customer", "--again", "--journal", str(path))
    assert 2 == broken.exit_code
    assert "a journal that `crm erase-customer --journal FILE` wrote is expected" in broken.output


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["1", "--again"],
        ["1", "--journal", "x"],
        ["--again", "--journal", "nowhere/x"],
        ["--journal", "nowhere/x"],
    ],
)
def test_what_to_erase_has_to_be_said(shop, words):
    """Nobody, two things at once, or a file that is not there: a sentence, and nothing is done."""
    done = run(shop, "erase-customer", *words)

    assert 2 == done.exit_code
    assert "Error: " in done.output
    assert 0 == run(shop, "customer", "show", ADA).exit_code


def test_hold(shop):
    """A hold is put, listed, keeps from erasing, and is ended."""
    assert "Nobody is on hold." in run(shop, "hold").output
    unsaid = run(shop, "hold", ADA)
    assert (2, True) == (unsaid.exit_code, "reason is ''; a sentence is expected" in unsaid.output)
    put = run(shop, "hold", ADA, "--reason", "a dispute")
    assert "Customer 1 is on hold: a dispute\n" == put.output
    assert "1: a dispute, since " in run(shop, "hold").output
    assert "a dispute" == json.loads(run(shop, "hold", "--json").output)[0]["reason"]
    refused = run(shop, "erase-customer", ADA, "--yes")
    assert (2, True) == (refused.exit_code, "`crm hold 1 --release` ends it" in refused.output)
    assert "cannot be forgotten: a dispute" in run(shop, "erase-customer", "1", "--dry-run").output

    assert "The hold has ended.\n" == run(shop, "hold", "1", "--release").output
    assert 2 == run(shop, "hold", "1", "--release").exit_code


def test_retention(shop):
    """How much would be emptied is said, and then how much was."""
    with Crm.from_config(shop) as crm, crm.begin() as tx:
        tx.connection.sqlalchemy.exec_driver_sql("UPDATE crm_interaction SET occurred_at = 0")

    planned = run(shop, "retention", "--dry-run")
    assert "  order.placed: 1 interaction\n1 personal part would be emptied.\n" == planned.output
    assert {"emptied": True, "kinds": {"order.placed": 1}} == json.loads(
        run(shop, "retention", "--json").output
    )
    assert "0 personal parts emptied.\n" == run(shop, "retention").output
