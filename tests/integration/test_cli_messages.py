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
    assert "1 message accepted by its channel." in run("deliver")
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


def test_explaining_begins_with_the_message_itself(run, tmp_path):
    """What went, was withheld, or may not go yet does not go because the gates would let it."""

    def explained(key, *more):
        return run("explain-send", "1", key, *more).splitlines()

    news = ("--purpose", "news", "--channel", "email", "--text", "x")
    run("send", "1", "news", *news)
    run("consent", "give", "1", "news")
    run("send", "1", "hello", *SERVICE)
    assert "It goes." == explained("hello")[-1]
    run("deliver")
    run("send", "1", "later", *SERVICE, "--not-before", "2199-01-01T08:00:00Z")

    first, *gates, last = explained("news")
    assert first.startswith(
        "Message 1 is withheld (consent: news needs an opt-in, and consent is none) since 20"
    )
    assert any(line.startswith("consent    goes   given") for line in gates)
    assert last.startswith("It does not go, whatever the gates say by now: it was withheld.")
    first, *_, last = explained("hello")
    assert first.startswith("Message 2 is accepted since 20")
    assert "It went; nobody gets it twice." == last
    first, *_, last = explained("later")
    assert first.startswith("Message 3 is planned, not before 2199-01-01 08:00 UTC.")
    assert "It waits until 2199-01-01 08:00 UTC, when the gates are asked again." == last
    assert "It goes." == explained("later", "--at", "2199-01-01T08:00:00Z")[-1]
    told = json.loads(run("explain-send", "1", "news", "--json"))
    assert ("withheld", "consent") == (told["message"]["state"], told["message"]["gate"])


def test_quiet_hours_that_were_changed_are_told_and_left(run, tmp_path):
    """What waits for the old ones says so; looked at anew, it is judged by the new ones."""
    config = tmp_path / "crm.toml"
    quiet = '[gate]\nquiet = [{ since = "00:00", until = "23:59", purposes = ["service"] }]\n'
    config.write_text(CONFIG + quiet)
    assert "planned (quiet: quiet hours:" in run("send", "1", "hello", *SERVICE)
    config.write_text(CONFIG)

    said = run("explain-send", "1", "hello")
    assert "Message 1 is planned (quiet: quiet hours: 00:00 to 23:59 in UTC), not before" in said
    assert "It waits until" in said.splitlines()[-1]
    assert "0 messages accepted" in run("deliver")
    assert "1 message accepted" in run("deliver", "--put-off")


def test_what_was_deferred_is_tried_at_once(run, tmp_path):
    """After the outbox was mended; until then, status and explain-send say what it waits for."""
    files = CONFIG.replace("recording", "files").replace("path = ", "folder = ")
    (tmp_path / "crm.toml").write_text(files.replace("kept.jsonl", "outbox"))
    assert "None was ever planned." in run("status")
    outbox = tmp_path / "outbox"
    outbox.write_text("in the way")
    run("send", "1", "hello", *SERVICE)
    run("send", "1", "news", "--purpose", "news", "--channel", "email", "--text", "x")
    run("deliver")

    said = run("explain-send", "1", "hello")
    assert "Message 1 is deferred (provider: it cannot be written:" in said
    assert "It waits until" in said.splitlines()[-1]
    told = " ".join(run("status").split())
    assert "1 to come, 1 withheld." in told
    assert "1 were deferred by their channels" in told
    assert 1 == json.loads(run("status", "--json"))["messages"]["deferred"]
    outbox.unlink()
    assert "0 messages accepted" in run("deliver")
    assert "1 message accepted" in run("deliver", "--put-off")
    assert "0 to come, 1 accepted, 1 withheld." in " ".join(run("status").split())
    assert 1 == len([*outbox.glob("*.eml")])


def test_a_message_that_says_nothing_or_never_goes_is_refused(run):
    """And nothing is planned."""
    about = ("--purpose", "service", "--channel", "email")
    assert "the message says nothing" in run("send", "1", "hello", *about, ends=2)
    window = ("--not-before", "2031-01-01T00:00Z", "--not-after", "2030-01-01T00:00Z")
    said = run("send", "1", "hello", *SERVICE, *window, ends=2)
    assert "is later than its not_after, 2030-01-01" in said
    assert "There are none." in run("messages", "1")
    assert "is planned." in run("send", "1", "hello", *about, "--subject", "Hello")


def test_what_is_given_again_otherwise_is_told(run):
    """It is idempotent and no error, but nobody is led to think that the second one counts."""
    run("send", "1", "hello", *SERVICE)
    assert "Warning" not in run("send", "1", "hello", *SERVICE)
    said = run("send", "1", "hello", *SERVICE[:-1], "Other", "--asks")
    assert (
        "Warning: message 1 was planned before under the key 'hello', and what is given now "
        "differs in its asks and content; it does not go, and what was planned first stands\n"
        "Message 1 to customer 1 is planned.\n"
    ) == said

    order = ("--amount", "5.00", "--source-key", "o1")
    run("record", "order.placed", "--id", "email:ada@example.com", *order)
    assert "Warning" not in run("record", "order.placed", "--id", "email:ADA@example.com", *order)
    for kind, who, amount, differs in (
        ("order.placed", "ada", "6.00", "amount"),
        ("order.placed", "bea", "5.00", "customer"),
        ("order.refunded", "bea", "5.00", "kind and amount and customer"),
    ):
        said = run(
            *("record", kind, "--id", f"email:{who}@example.com"),
            *("--amount", amount, "--source-key", "o1"),
        )
        assert (
            "Warning: order.placed 2 was recorded before under this source and key, and what is "
            f"told now differs in its {differs}; what was recorded first stands\n"
        ) in said
        assert "Was recorded before: order.placed of 5.00 EUR as 2, of customer 1.\n" in said


def test_reconcile_ends_with_1_where_something_does_not_fit(run, tmp_path):
    """And names it, in words or as JSON."""
    run("send", "1", "hello", *SERVICE)
    (tmp_path / "crm.toml").write_text('[crm]\ndatabase = "sqlite:///crm.db"\n')

    said = run("reconcile", ends=1)
    assert "1 message waits for channel 'email', which no plugin brings." in said
    (found,) = json.loads(run("reconcile", "--json", ends=1))
    assert "channel" == found["sort"]
