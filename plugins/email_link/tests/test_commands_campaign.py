"""`crm email campaign` and `news`: written to many from the command line, and followed."""

import json
import re

import pytest
from crmcore_email_link import EmailLink
from crmcore_email_link.campaigns import keeping

from crmcore import Crm, to_datetime
from plugins.email_link.tests.commanding import Desk
from plugins.email_link.tests.receivers import Receiver

LETTERS = {
    "tea.en.subject": "Tea",
    "tea.en.html": "<p>First flush.</p>",
    "loud.en.subject": "TEA!",
    "loud.en.html": "<p>FIRST FLUSH!</p>",
    "own.en.subject": "{{ name }}: {{ n }}",
    "own.en.html": "<p>Hello {{ name }}, {{ n }} orders.</p>",
}


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = Desk(tmp_path)
    for name, text in LETTERS.items():
        (tmp_path / "templates" / name).write_text(text)
    with Crm.from_config("crm.toml") as crm:
        for number in range(60):
            email = f"p{number}@example.com"
            who = crm.record("account.registered", email=email).customer_id
            if number % 6:
                crm.give_consent(who, "news", channel="email")
            if number % 2:
                crm.record("order.placed", customer=who, amount="9.90")
    return made


def test_it_is_started_sent_and_its_effect_is_told(desk):
    with Receiver() as receiver:
        desk.set(port=receiver.port)
        said = desk.email(
            "campaign",
            "start",
            "tea-1",
            "--variant",
            "calm=tea",
            "--variant",
            "loud=loud:2",
            "--holdout",
            "0.3",
        )
        assert "tea-1: sending. It is on its way to 60 customers" in said
        desk.run("deliver")
        assert len(receiver.taken) < 50
    found = desk.json("campaign", "show", "tea-1")
    assert ("sent", 60) == (found["standing"], found["audience"])
    assert {"accepted": len(receiver.taken), "withheld": 60 - len(receiver.taken)} == found[
        "states"
    ]
    assert 10 == found["figures"]["withheld_by"]["consent"]
    told = desk.json("campaign", "effect", "tea-1", "--days", "7")
    sizes = {each["name"]: each["size"] for each in told["arms"]}
    assert {"calm", "loud", "held out"} == set(sizes)
    assert 50 == sum(sizes.values())
    assert found["figures"]["withheld_by"]["guard"] == sizes["held out"]
    page = desk.email("campaign", "effect", "tea-1", "--days", "7")
    assert "orders within 7 days, asked afterwards" in page
    assert "calm + loud beside held out" in page
    assert "It is not over" in page
    assert "brought     too few orders to tell" in page
    shown = desk.email("campaign", "show", "tea-1")
    assert re.search(r"variant +loud: template loud, 67%", shown)
    assert re.search(rf"accepted +{len(receiver.taken)} ", shown)


def test_a_dry_run_plans_nothing(desk):
    said = desk.email(
        "campaign", "start", "tea-1", "--template", "tea", "--holdout", "0.5", "--dry-run"
    )
    assert "tea-1 would be planned for 60 customers; nothing was." in said
    counts = dict(re.findall(r"^(all|held out|withheld by consent) +(\d+)$", said, re.MULTILINE))
    assert "10" == counts["withheld by consent"]
    assert 50 == int(counts["all"]) + int(counts["held out"])
    with Crm.from_config("crm.toml") as crm:
        assert [] == crm.messages(key="tea-1")
    desk.email("campaign", "show", "tea-1", ends=2)


def test_it_does_not_start_where_a_mail_cannot_be_rendered(desk):
    wrong = ("campaign", "start", "own-1", "--template", "own", "--segment", "orders.count > 0")
    said = desk.email(*wrong, ends=2)
    assert "of 30 mails that were tried for its 30 customers" in said
    assert "'name' is undefined" in said
    desk.email("campaign", "show", "own-1", ends=2)
    (desk.folder / "v.toml").write_text('name = "friend"')
    mended = (*wrong, "--variables", "v.toml", "--personal", "n=orders.count")
    assert "on its way to 30 customers" in desk.email(*mended)
    assert "own  en, for 30 customers" in desk.email("lint", "--campaign", "own-1")
    assert "on its way to 60" in desk.email(
        "campaign", "start", "own-2", "--template", "own", "--unchecked"
    )
    assert "1 error" in desk.email("lint", "--campaign", "own-2", ends=1)


def test_a_file_says_what_options_do(desk):
    table = """
segment = "orders.count > 0"
holdout = 0.2
at = "2031-03-30T09:00"
variables = { name = "friend" }
personal = { n = "orders.count" }
variants = [{ name = "a", template = "own" }, { name = "b", template = "tea", weight = 3 }]
"""
    (desk.folder / "tea.toml").write_text(table)
    found = desk.json("campaign", "start", "tea-1", "--from", "tea.toml", "--holdout", "0.1")
    campaign = found["campaign"]
    assert ("scheduled", 0.1, "orders.count > 0") == (
        found["standing"],
        campaign["holdout"],
        campaign["segment"],
    )
    assert [("a", "own", 1), ("b", "tea", 3)] == [
        (each["name"], each["template"], each["weight"]) for each in campaign["variants"]
    ]
    assert "2031-03-30 09:00" == f"{to_datetime(found['due']):%Y-%m-%d %H:%M}"  # the shop's zone
    (desk.folder / "bad.toml").write_text('segmnt = "x"')
    said = desk.email("campaign", "start", "tea-2", "--from", "bad.toml", ends=2)
    assert "'segmnt' is nothing of a campaign (did you mean 'segment'?)" in said


def test_it_is_paused_edited_resumed_and_cancelled(desk):
    desk.email("campaign", "start", "tea-1", "--template", "tea")
    said = desk.email("campaign", "pause", "tea-1", "--why", "the price is wrong")
    assert "paused. It is paused; 50 mails wait for" in said
    desk.email("campaign", "edit", "tea-1", "--template", "loud")
    shown = desk.email("campaign", "show", "tea-1")
    assert "paused: the price is wrong" in shown
    assert "all: template loud" in shown
    with Receiver() as receiver:
        desk.set(port=receiver.port)
        desk.run("deliver")
        assert 0 == len(receiver.taken)
        desk.email("campaign", "resume", "tea-1")
        desk.run("deliver")
        assert 50 == len(receiver.taken)
        assert all(b"TEA!" in raw for _, _, raw in receiver.taken)
    desk.email("campaign", "start", "tea-2", "--template", "tea", "--at", "2031-01-01T09:00")
    edited = desk.json("campaign", "edit", "tea-2", "--at", "2031-02-01T09:00", "--holdout", "0.1")
    assert (2, 0.1) == (to_datetime(edited["due"]).month, edited["campaign"]["holdout"])
    cancelled = desk.json("campaign", "cancel", "tea-2", "--why", "no tea")
    assert "cancelled" == cancelled["standing"]
    assert "no tea" == cancelled["entries"][-1]["why"]
    listed = desk.json("campaign", "list")["campaigns"]
    assert [("tea-2", "cancelled"), ("tea-1", "sent")] == [
        (each["key"], each["standing"]) for each in listed
    ]
    page = desk.email("campaign", "list", "--most", "1")
    assert "and 1 more; --most shows more of them." in page


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--template", "teh"), "did you mean 'tea'"),
        (("--variant", "tea"), "a name, '=' and what it is are expected"),
        (("--variant", "a=tea:x"), "has the weight 'x'"),
        (("--template", "tea", "--segment", "orders.cuont > 1"), "orders.cuont"),
        (("--template", "tea", "--at", "soon"), "--at 'soon' is no instant"),
        (("--template", "tea", "--at", "2020-01-01T09:00"), "a later instant is expected"),
        (("--template", "tea", "--personal", "n=orders.cuont"), "orders.cuont"),
        ((), "neither is given"),
        (("--template", "tea", "--variables", "no.toml"), "the variables in 'no.toml' cannot be"),
        (("--template", "tea", "--variant", "a=tea"), "--template and --variant are both given"),
        (("--from", "no.toml"), "the campaign's fields in 'no.toml' cannot be read"),
    ],
)
def test_what_is_not_right_is_said_in_a_sentence(desk, words, said):
    found = desk.email("campaign", "start", "tea-1", *words, ends=2)
    assert said in found
    assert "Traceback" not in found
    desk.email("campaign", "show", "tea-1", ends=2)


def test_news_wait_for_the_next_issue(desk):
    text = (desk.folder / "crm.toml").read_text()
    (desk.folder / "crm.toml").write_text(
        f'{text}\n[plugins.email_link.newsletters.weekly]\ntemplate = "tea"\non = "friday"\n'
    )
    (desk.folder / "item.toml").write_text('title = "Green tea"\nurl = "https://shop.example/g"')
    assert "weekly: 0 items wait" in desk.email("news", "weekly")
    assert "weekly: 1 item waits" in desk.email("news", "weekly", "--add", "item.toml")
    found = desk.json("news", "weekly")
    assert [{"title": "Green tea", "url": "https://shop.example/g"}] == found["items"]
    assert 4 == to_datetime(found["next_issue"]).weekday()
    assert "weekly" in desk.email("campaign", "list")
    assert "did you mean 'weekly'" in desk.email("news", "wekly", ends=2)


def test_a_locked_campaign_says_how_it_is_mended(desk):
    (desk.folder / "v.toml").write_text('name = "friend"\nn = 1')
    desk.email("campaign", "start", "own-1", "--template", "own", "--variables", "v.toml")
    with Crm.from_config("crm.toml") as crm, crm.begin() as tx:
        email = crm.plugin(EmailLink)
        state = email.pause_campaign(tx, "own-1")
        locked = state.kept.with_entry(0, "locked", None, "12 mails could not be written")
        with tx.acting(EmailLink) as (_, ctx):
            keeping.keep(ctx, locked)
    said = desk.email("campaign", "list")
    assert "locked" in said
    shown = " ".join(desk.email("campaign", "show", "own-1").split())
    assert "It is locked: 12 mails could not be written. Mend it with `crm email campaign" in shown


def test_json_is_json(desk):
    desk.email("campaign", "start", "tea-1", "--template", "tea")
    for words in (
        ("campaign", "list"),
        ("campaign", "show", "tea-1"),
        ("campaign", "effect", "tea-1"),
        ("campaign", "pause", "tea-1"),
        ("campaign", "resume", "tea-1"),
    ):
        assert isinstance(json.loads(desk.email(*words, "--json")), dict)
