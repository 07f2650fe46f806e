"""`crm consent` and `crm explain-send`, as a person types them."""

import json

import pytest
from click.testing import CliRunner

from crmcore.cli.root import crm as root
from tests.support.databases import shop_file

pytestmark = pytest.mark.each_database(partitioned=False)


@pytest.fixture
def crm(tmp_path, monkeypatch):
    """Run commands on an empty shop of the kind under test."""
    monkeypatch.chdir(tmp_path)
    url = shop_file(tmp_path)
    (tmp_path / "crm.toml").write_text(
        f'[crm]\ndatabase = "{url}"\n[gate]\nquiet = [{{ since = "00:00", until = "23:59" }}]\n',
        encoding="utf-8",
    )

    def run(*words, code=0):
        done = CliRunner().invoke(root, list(words))
        assert code == done.exit_code, done.output
        return done.output

    run("record", "account.registered", "--id", "email:ada@example.com")
    return run


def test_consent_is_given_shown_and_withdrawn(crm):
    """Each command says what it did, and the next one shows it."""
    assert "Nothing was ever said" in crm("consent", "show", "email:ada@example.com")
    given = crm("consent", "give", "email:ada@example.com", "news", "--wording", "news/2")
    assert "customer 1 agreed to news" in given
    shown = crm("consent", "show", "1")
    assert "news by email to ada@example.com: given" in shown
    assert "news/2). May go, by opt_in." in shown
    assert "said no to everything" in crm("consent", "withdraw", "1")
    told = json.loads(crm("consent", "show", "1", "--json"))
    assert {("news", "withdrawn", False), ("service", "withdrawn", True)} <= {
        (each["purpose"], each["standing"], each["allowed"]) for each in told
    }
    before = json.loads(crm("consent", "show", "1", "--json", "--as-of", "2001-01-01T00:00:00Z"))
    assert [] == before


def test_mistakes_are_told_in_a_sentence(crm):
    """A misspelt purpose or channel, and an instant without a zone."""
    assert "did you mean 'news'" in crm("consent", "give", "1", "nwes", code=2)
    assert "did you mean 'email'" in crm(
        "consent", "give", "1", "news", "--channel", "emial", code=2
    )
    assert "has no time zone" in crm("consent", "show", "1", "--as-of", "2024-01-01T00:00", code=2)


def test_an_address_is_withheld_and_lifted(crm):
    """By its address, or by the hash that the list shows."""
    kept = crm("consent", "withhold", "email:bea@example.com", "--reason", "complaint")
    hashed = kept.split()[-1].rstrip(".")
    assert f"{hashed}: complaint since" in crm("consent", "withheld")
    assert "bea@" not in crm("consent", "withheld")
    assert "Lifted: 1." in crm("consent", "lift", hashed)
    assert "Nothing is withheld." in crm("consent", "withheld")
    assert "lifted" in crm("consent", "withheld", "email:bea@example.com")
    assert "Nothing was withheld there." in crm("consent", "lift", "email:bea@example.com")


def test_every_gate_is_told(crm):
    """Of a message that is only thought of: what goes, what waits, what does not."""
    asked = ("explain-send", "email:ada@example.com", "sale")
    about = ("--purpose", "promotion", "--channel", "email")
    assert "no message 'sale' is planned" in crm(*asked, code=2)
    said = crm(*asked, *about, "--at", "2024-01-01T12:00:00Z")
    assert "consent    no     promotion needs an opt-in, and consent is none" in said
    assert "quiet hours: 00:00 to 23:59 in UTC (until 2024-01-01 23:59 UTC)" in said
    assert said.endswith("It does not go.\n")
    crm("consent", "give", "1", "promotion")
    waits = crm(*asked, *about, "--at", "2024-01-01T12:00:00Z")
    assert waits.endswith("It waits.\n")
    goes = json.loads(crm(*asked, *about, "--at", "2024-01-01T23:59:30Z", "--json"))
    assert (None, "It goes.") == (goes["message"], goes["verdict"])
    assert {"go"} == {each["answer"] for each in goes["gates"]}


def test_a_double_opt_in_is_requested_and_confirmed(crm):
    """Both halves have a command, and an old link is told in a sentence."""
    assert "nothing is open to be confirmed" in crm("consent", "confirm", "1", "news", code=2)
    asked = crm("consent", "request", "1", "news", "--wording", "news/2", "--mechanism", "form")
    assert "Recorded as 2: customer 1 asked for news.\n" == asked
    assert "requested" in crm("consent", "show", "1")
    first = crm("consent", "confirm", "1", "news", "--evidence", "click")
    assert "Recorded as 3: customer 1 confirmed news.\n" == first
    assert first == crm("consent", "confirm", "email:ada@example.com", "news")
    assert "confirmed" in crm("consent", "show", "1")
    assert "nothing is open" in crm("consent", "confirm", "1", "promotion", code=2)
    crm("consent", "withdraw", "1")
    assert "nothing is open" in crm("consent", "confirm", "1", "news", code=2)


def test_a_misspelt_address_is_told(crm):
    """It makes a new customer, or is one that the customer does not have."""
    new = "Note: nobody was known by email:ada@exmaple.com, so customer 2 is new.\n"
    misspelt = "email:ada@exmaple.com"

    assert crm("consent", "withdraw", misspelt, "news").startswith(new)
    assert new not in crm("consent", "withdraw", misspelt, "news")
    assert "customer 3 is new" in crm("consent", "give", "email:eve@exmaple.com", "news")
    assert "customer 4 is new" in crm("consent", "request", "email:kim@exmaple.com", "news")
    said = crm("consent", "give", "1", "news", "--point", "foo@bar.example")
    assert "Note: customer 1 does not have that address" in said
    assert "which the customer does not have: given" in crm("consent", "show", "1")
    assert "Note" not in crm("consent", "give", "1", "news", "--point", "ADA@example.com")


def test_who_has_what_is_withheld_is_told(crm):
    """By number, since the list tells nobody's address; and how wide it is, in words."""
    crm("record", "order.placed", "--id", "guest_email:ada@example.com", "--amount", "5")
    crm("consent", "withdraw", "1", "--channel", "email")
    crm("consent", "withhold", "email:bea@example.com")

    listed = crm("consent", "withheld")
    assert "all that nobody is owed by email, which customers 1, 2 have." in listed
    assert "everything by any channel, which no customer has." in listed
    assert "ada" not in listed
    told = json.loads(crm("consent", "withheld", "email:ada@example.com", "--json"))
    assert [["1", "2"]] == [each["customers"] for each in told]
