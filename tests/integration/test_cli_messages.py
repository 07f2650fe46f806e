"""`crm send`, `deliver`, `messages` and `reconcile`: what they print, and how they end."""

import json

import pytest
from click.testing import CliRunner

from crmcore.cli.root import crm

CONFIG = """\
[crm]
database = "sqlite:///crm.db"

[plugins.recording]
path = "kept.jsonl"
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "crm.toml").write_text(CONFIG)

    def invoke(*words, ends=0):
        done = CliRunner().invoke(crm, words)
        assert ends == done.exit_code, done.output
        return done.output

    invoke("record", "account.registered", "--id", "email:ada@example.com")
    return invoke


SERVICE = ("--purpose", "service", "--channel", "email", "--text", "Hello")


def test_a_message_goes_through_the_command_line(run, tmp_path):
    """Planned, delivered once, listed; and all of it fits together."""
    assert "Message 1 to customer 1 is planned." in run(
        "send", "email:ada@example.com", "hello", *SERVICE
    )
    assert "1 message accepted by their channels." in run("deliver")
    assert "0 messages accepted" in run("deliver")
    assert 1 == len((tmp_path / "kept.jsonl").read_text().splitlines())
    (listed,) = json.loads(run("messages", "1", "--json"))["messages"]
    assert ("hello", "accepted", "ada@example.com") == (
        listed["key"],
        listed["state"],
        listed["address"],
    )
    assert "accepted" in run("messages", "--key", "hello")
    assert "All of it fits together." in run("reconcile")
    assert "message.sent" in run("customer", "show", "1")
    assert "message.sent" in run("why", "1")


def test_what_waits_and_what_does_not_go_say_why(run):
    """With the gate, its reason, and the instant from which it may go."""
    said = run("send", "1", "news", "--purpose", "news", "--channel", "email", "--text", "x")
    assert "is withheld (consent: news needs an opt-in, and consent is none)." in said
    said = run("send", "1", "later", *SERVICE, "--not-before", "2199-01-01T08:00:00Z")
    assert "is planned, not before 2199-01-01 08:00 UTC." in said
    assert "Error: the message's purpose is 'newz' (did you mean 'news'?)" in run(
        "send", "1", "x", "--purpose", "newz", "--channel", "email", ends=2
    )
    assert "no channel is named 'sms'" in run(
        "send", "1", "x", "--purpose", "service", "--channel", "sms", ends=2
    )
    assert "whose messages" in run("messages", ends=2)


def test_reconcile_ends_with_1_where_something_does_not_fit(run, tmp_path):
    """And names it, in words or as JSON."""
    run("send", "1", "hello", *SERVICE)
    (tmp_path / "crm.toml").write_text('[crm]\ndatabase = "sqlite:///crm.db"\n')

    said = run("reconcile", ends=1)
    assert "1 messages wait for channel 'email', which no plugin brings." in said
    (found,) = json.loads(run("reconcile", "--json", ends=1))
    assert "channel" == found["sort"]
