"""Plugins on the command line: listed, shown, ordered, and what they get wrong."""

from __future__ import annotations

import json
import re
import sys
from textwrap import dedent

import pytest
from click.testing import CliRunner

from crmcore.cli import crm
from crmcore.services.starting.assembly import hook_names


def run(*words, **settings):
    return CliRunner().invoke(crm, list(words), **settings)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution with one module, named in entry points as packages do."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    made = []

    def install(name, source, **groups):
        (site / f"crm_test_{name}.py").write_text(dedent(source))
        info = site / f"crm_test_{name}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: crm-test-{name}\nVersion: 1.2\nSummary: For tests.\n"
        )
        points = "".join(
            f"[crmcore.{group}]\n{point} = crm_test_{name}:{target}\n"
            for group, (point, target) in groups.items()
        )
        (info / "entry_points.txt").write_text(points)
        made.append(f"crm_test_{name}")

    yield install
    for name in made:
        sys.modules.pop(name, None)


GREETER = """
    from attrs import define
    from crmcore import Plugin, Trait, hookimpl

    @define(eq=False)
    class Greeter(Plugin):
        '''Greets.

        Attributes:
            word: What is said.
        '''
        name = "greeter"
        after = ("tiering",)
        word: str = "hello"
        times: int = 1

        @hookimpl
        def on_interactions_recorded(self, ctx, event):
            raise ValueError("no voice")
"""


@pytest.fixture
def filled(folder):
    """A shop with tiering: three orders of two customers."""
    (folder / "crm.toml").write_text("[plugins.tiering]\n")
    for who in ("ada", "bob", "ada"):
        done = run("record", "order.placed", "--id", f"email:{who}@example.com", "--amount", "10")
        assert 0 == done.exit_code, done.output


def rows_of(told):
    return {each["table"]: each["rows"] for each in told["tables"]}


class TestList:
    def test_without_a_configuration(self, install):
        """What is installed is listed, imported or not."""
        install("broken", "raise RuntimeError('never imported')", plugins=("broken", "Broken"))

        found = json.loads(run("plugins", "list", "--json").stdout)

        assert {
            "name": "broken",
            "state": "installed",
            "version": "1.2",
            "distribution": "crm-test-broken",
            "summary": "For tests.",
        } in found
        assert "crm_test_broken" not in sys.modules

    def test_states(self, folder, install):
        """The configuration says which are switched on, and which are missing."""
        install("greeter", GREETER, plugins=("greeter", "Greeter"))
        (folder / "crm.toml").write_text(
            "[plugins.tiering]\n[plugins.greeter]\nenabled = false\n[plugins.gone]\n"
        )

        found = json.loads(run("plugins", "list", "--json").stdout)

        states = {each["name"]: each["state"] for each in found}
        assert {
            "tiering": "switched on",
            "greeter": "switched off",
            "gone": "not installed",
            # Channels that ship with the core are there, and on only if the shop asks for them.
            "email_link": "installed",
            "files": "installed",
            "grouping": "installed",
            "profile": "installed",
            "recording": "installed",
            "sms": "installed",
        } == states

    def test_table(self):
        """People get a table."""
        result = run("plugins", "list")

        assert ["name", "state"] == result.output.split()[:2]
        assert re.search("^tiering +installed", result.output, re.MULTILINE)


class TestShow:
    def test_settings(self, folder, install):
        """Settings are shown with their help, default and present value."""
        install("greeter", GREETER, plugins=("greeter", "Greeter"))
        (folder / "crm.toml").write_text('[plugins.greeter]\nword = "hi"\n')

        found = json.loads(run("plugins", "show", "greeter", "--json").stdout)

        assert [
            {
                "name": "word",
                "type": "text",
                "default": '"hello"',
                "value": '"hi"',
                "help": "What is said.",
            },
            {"name": "times", "type": "a whole number", "default": "1", "value": "1", "help": ""},
        ] == found["settings"]
        assert ["on_interactions_recorded"] == found["hooks"]
        assert ["tiering"] == found["after"]

    def test_page(self):
        """What a plugin brings is shown to people, too."""
        output = run("plugins", "show", "tiering").output

        assert "review_every_days" in output
        assert "tiering.tier " in output
        assert "tier.changed" in output
        assert "crm_tiering_total" in output

    def test_unknown(self):
        """An unknown plugin is answered with the nearest one."""
        result = run("plugins", "show", "teiring")

        assert 2 == result.exit_code
        assert "no plugin is named 'teiring' (did you mean 'tiering'?)" in result.stderr

    def test_without_a_database(self, folder):
        """Where there is no database one line says why, and nothing is made."""
        told = json.loads(run("plugins", "show", "tiering", "--json").stdout)
        (folder / "crm.toml").write_text('[crm]\ndatabase = "sqlite:///none.db"\n')
        written = run("plugins", "show", "tiering").output

        assert "crm.toml is not there" in told["no_database"]
        assert not {"lag", "cost", "costs", "is_on"} & told.keys()
        assert "has no tables of crmcore's" in " ".join(written.split())
        assert not (folder / "none.db").exists()

    def test_not_switched_on(self, folder, filled):
        """A plugin that the configuration does not name is shown with what it left."""
        (folder / "crm.toml").write_text("")

        told = json.loads(run("plugins", "show", "tiering", "--json").stdout)

        assert not told["is_on"]
        assert 2 == rows_of(told)["crm_tiering_total"]
        assert 3 == told["cost"]["rows"]

    def test_filled(self, filled):
        """Of a plugin at work its lag, its times, and its tables with policies are shown."""
        told = json.loads(run("plugins", "show", "tiering", "--json").stdout)
        written = run("plugins", "show", "tiering").output

        (cost,) = told["costs"]
        assert ("on_interactions_recorded", 3, 3) == (cost["hook"], cost["calls"], cost["rows"])
        assert cost["cpu_ms"] / 3 == pytest.approx(cost["ms_a_row"])
        assert 0 == cost["breaches"]
        assert {
            "behind": None,
            "debts": 0,
            "waiting": 0,
            "waiting_parked": 0,
            "timers": 1,
            "timers_due": 0,
            "timers_parked": 0,
            "rests_until": None,
        } == told["lag"]
        total = next(each for each in told["tables"] if each["table"] == "crm_tiering_total")
        assert {
            "table": "crm_tiering_total",
            "derived": True,
            "merge": "recompute",
            "export": True,
            "erase": "delete",
            "rows": 2,
        } == total
        assert re.search("^crm_tiering_total +derived +recompute +yes +delete +2$", written, re.M)
        assert re.search(r"^on_interactions_recorded +3 +3 +[\d.]+ +[\d.]+ +0$", written, re.M)

    def test_debts(self, folder, install):
        """A plugin that raises is shown with the customers it has yet to catch up with."""
        install("greeter", GREETER, plugins=("greeter", "Greeter"))
        (folder / "crm.toml").write_text("[plugins.greeter]\n")
        for number in ("1", "2"):
            run("record", "order.placed", "--id", f"account:{number}")

        told = json.loads(run("plugins", "show", "greeter", "--json").stdout)

        assert 2 == told["lag"]["debts"]
        assert (
            "2 customers it has yet to catch up with." in run("plugins", "show", "greeter").output
        )


class TestStats:
    def test_all(self, folder, install, filled):
        """All plugins stand side by side, and their shares of the time are one together."""
        install("greeter", GREETER, plugins=("greeter", "Greeter"))
        (folder / "crm.toml").write_text("[plugins.tiering]\n[plugins.greeter]\n")
        run("record", "order.placed", "--id", "account:3")

        found = {row["plugin"]: row for row in json.loads(run("plugins", "stats", "--json").stdout)}

        assert ["tiering", "greeter"] == list(found)
        # The greeter raises, and is called once more alone: what raises is not counted.
        assert (4, 4) == (found["tiering"]["calls"], found["tiering"]["rows"])
        assert 1 == pytest.approx(sum(row["share"] or 0 for row in found.values()))
        # It was not there for the first two customers, who are to be caught up with, too.
        assert 1 <= found["greeter"]["debts"]
        assert re.search("^tiering +4 +4 ", run("plugins", "stats").output, re.MULTILINE)

    def test_without_a_database(self, folder):
        """Without a database there is nothing to tell, and one sentence says so."""
        (folder / "crm.toml").write_text("")

        result = run("plugins", "stats")

        assert 2 == result.exit_code
        assert "has no tables of crmcore's" in result.stderr
        assert 1 == result.stderr.count("\n")


SAYER = """
    from attrs import define
    from crmcore import Draft, Kind, Plugin, TaskDraft, hookimpl
    from crmcore.domain.message import Content, MessageDraft

    @define(eq=False)
    class Sayer(Plugin):
        '''Says hello.'''
        name = "sayer"

        @hookimpl
        def register_kinds(self):
            return [Kind("sayer.said")]

        @hookimpl
        def on_interactions_recorded(self, ctx, event):
            for item in event:
                who, key = item.customer_id, str(item.id)
                ctx.record(Draft("sayer.said", customer=who, source_key=key, caused_by=item.id))
                ctx.add_task(TaskDraft(key=key, title="Call", customer=who))
                hello = Content(text="Hello")
                ctx.send(
                    MessageDraft(
                        key=key, customer=who, purpose="service", channel="email", content=hello
                    )
                )
"""


class TestShadow:
    @pytest.fixture
    def shop(self, folder, install):
        install("sayer", SAYER, plugins=("sayer", "Sayer"))
        (folder / "crm.toml").write_text(
            '[plugins.files]\nfolder = "outbox"\n[plugins.sayer]\nshadow = true\n'
        )
        done = run("record", "order.placed", "--id", "email:ada@example.com", "--amount", "10")
        assert 0 == done.exit_code, done.output

    def test_told(self, shop):
        """Lists, pages, the status and the doctor say that a plugin is in shadow."""
        states = {
            each["name"]: each["state"]
            for each in json.loads(run("plugins", "list", "--json").stdout)
        }
        shown = json.loads(run("plugins", "show", "sayer", "--json").stdout)
        status = json.loads(run("status", "--json").stdout)
        findings = json.loads(run("doctor", "--json").stdout)

        assert ("in shadow", "switched on") == (states["sayer"], states["files"])
        assert shown["in_shadow"]
        assert "It is in shadow" in run("plugins", "show", "sayer").output
        assert {"sayer": True, "files": False} == {
            each["name"]: each["in_shadow"] for each in status["plugins"]
        }
        assert "sayer is in shadow" in run("status").output
        assert "shadow" in {each["check"] for each in findings}

    def test_what_it_would_have_done(self, shop, folder):
        """What it would have done is told beside why, and nothing of it is done."""
        who = "email:ada@example.com"
        told = json.loads(run("why", who, "sayer", "--json").stdout)
        written = run("why", who).output
        (message,) = json.loads(run("messages", who, "--json").stdout)["messages"]
        delivered = run("deliver")
        tasks = run("tasks")

        assert {"sayer.said", "task.opened"} == {
            each["decided"]["kind"] for each in told["decisions"]
        }
        assert "sayer.said by sayer, in shadow" in written
        assert ("shadow:sayer", "withheld", "shadow") == (
            message["plugin"],
            message["state"],
            message["gate"],
        )
        assert "sayer is in shadow; it would go" == message["reason"]
        assert 0 == delivered.exit_code
        assert [] == [each for each in folder.glob("outbox/**/*") if each.is_file()]
        assert "Call" not in tasks.output

    def test_not_a_bool(self, folder):
        """What is neither true nor false is refused, in one sentence."""
        (folder / "crm.toml").write_text('[plugins.tiering]\nshadow = "yes"\n')

        result = run("rebuild")

        assert 2 == result.exit_code
        assert "[plugins.tiering]: 'shadow' is 'yes'; true or false is expected" in result.stderr

    def test_switched_off(self, folder):
        """A plugin that is switched off is not in shadow, either."""
        (folder / "crm.toml").write_text("[plugins.tiering]\nshadow = true\nenabled = false\n")

        found = {
            each["name"]: each["state"]
            for each in json.loads(run("plugins", "list", "--json").stdout)
        }

        assert "switched off" == found["tiering"]
        assert 0 == run("rebuild").exit_code


class TestOrder:
    def test_order(self, folder, install):
        """Plugins are put in the order in which they are called, with the reason."""
        install("greeter", GREETER, plugins=("greeter", "Greeter"))
        (folder / "crm.toml").write_text("[plugins.greeter]\n[plugins.tiering]\n")

        lines = run("plugins", "order").output.splitlines()[2:]

        assert ["1", "tiering", "its name"] == lines[0].split(maxsplit=2)
        assert ["2", "greeter", "after tiering"] == lines[1].split(maxsplit=2)


class TestHooks:
    def test_implementations(self, folder, install):
        """Each hook tells its phase, its signature, and who implements it in which order."""
        install("greeter", GREETER, plugins=("greeter", "Greeter"))
        (folder / "crm.toml").write_text("[plugins.greeter]\n[plugins.tiering]\n")

        found = {each["hook"]: each for each in json.loads(run("hooks", "--json").stdout)}

        recorded = found["on_interactions_recorded"]
        assert ["tiering", "greeter"] == recorded["implemented_by"]
        assert "in the transaction" == recorded["phase"]
        signature = "on_interactions_recorded(ctx: Context, event: InteractionsRecorded) -> None"
        assert signature == recorded["signature"]
        assert [] == found["guard_stage_change"]["implemented_by"]

    def test_without_a_configuration(self):
        """Hooks can be listed before there is anything else."""
        result = run("hooks")

        assert 0 == result.exit_code
        assert "in the transaction; implemented by no plugin" in result.output

    def test_show(self, folder, install):
        """One hook tells its phase and its rules, its event's fields, and who implements it."""
        install("greeter", GREETER, plugins=("greeter", "Greeter"))
        (folder / "crm.toml").write_text("[plugins.greeter]\n[plugins.tiering]\n")

        told = json.loads(run("hooks", "show", "on_interactions_recorded", "--json").stdout)
        written = run("hooks", "show", "on_interactions_recorded").output

        assert ["tiering", "greeter"] == told["implemented_by"]
        assert ("on", "in the transaction") == (told["phase"]["prefix"], told["phase"]["when"])
        assert "debt" in told["phase"]["exception"]
        fields = {each["name"]: each for each in told["event"]["fields"]}
        assert ["kinds", "size", "selection"] == list(fields)
        assert "frozenset[str]" == fields["kinds"]["type"]
        assert "How many interactions there are." == fields["size"]["help"]
        assert told["description"].endswith("with their customers.")
        assert ("0.1", None, None) == (
            told["since"],
            told["deprecated_in"],
            told["removed_in"],
        )
        assert "tiering, greeter" in written
        assert "which a worker pays" in " ".join(written.split())

    @pytest.mark.parametrize("name", hook_names())
    def test_show_each(self, name):
        """Every hook can be shown, before there is anything else."""
        result = run("hooks", "show", name)

        assert 0 == result.exit_code
        assert name.upper() in result.output
        assert re.search("^results +[A-Z]", result.output, re.MULTILINE)

    def test_show_unknown(self):
        """An unknown hook is answered with the nearest one."""
        result = run("hooks", "show", "on_interaction_recorded")

        assert 2 == result.exit_code
        assert (
            "Error: no hook is named 'on_interaction_recorded' (did you mean "
            "'on_interactions_recorded'?); see `crm hooks`\n" == result.stderr
        )

    def test_kinds(self):
        """Kinds are listed with their aliases and fields."""
        output = run("hooks", "--kinds").output
        found = {
            each["kind"]: each for each in json.loads(run("hooks", "--kinds", "--json").stdout)
        }

        assert "Order Completed" in output
        assert ["Order Completed"] == found["order.placed"]["aliases"]
        assert 1 == found["order.placed"]["sign"]
        assert found["product.viewed"]["fields"]["product"]["is_needed"]


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            (
                "[plugins.teiring]\n",
                "crm.toml: no plugin is named 'teiring' (did you mean 'tiering'?)",
            ),
            (
                '[plugins.tiering]\nschema = "rfm"\n',
                "crm.toml, [plugins.tiering]: unknown setting 'schema' (did you mean 'scheme'?)",
            ),
            (
                "[plugins.tiering]\nreview_every_days = 'x'\n",
                "'review_every_days': 'x' is not a whole",
            ),
            ("[plguins.tiering]\n", "unknown table [plguins] (did you mean 'plugins'?)"),
            ("[crm\n", "crm.toml cannot be read"),
            ("[crm]\nzone = 'Europe/Berlni'\n", "unknown time zone 'Europe/Berlni' (did you mean"),
        ],
    )
    def test_configuration(self, folder, text, sentence):
        """What is wrong in a configuration is one sentence, with the nearest right name."""
        (folder / "crm.toml").write_text(text)

        result = run("rebuild")

        assert 2 == result.exit_code
        assert sentence in result.stderr
        assert 1 == result.stderr.count("\n")
        assert not (folder / "crm.db").exists()

    def test_broken_import(self, folder, install):
        """A plugin that cannot be imported is named."""
        install("broken", "raise RuntimeError('half installed')", plugins=("broken", "Broken"))
        (folder / "crm.toml").write_text("[plugins.broken]\n")

        result = run("rebuild")

        assert 2 == result.exit_code
        assert (
            "Error: plugin 'broken': its import raised RuntimeError: half installed\n"
            == result.stderr
        )

    def test_raises_at_start(self, folder, install):
        """A plugin that raises when it is started stops the start, and is named."""
        source = GREETER.replace("on_interactions_recorded", "on_started")
        install("greeter", source, plugins=("greeter", "Greeter"))
        (folder / "crm.toml").write_text("[plugins.greeter]\n")

        result = run("record", "order.placed", "--id", "account:1")

        assert 2 == result.exit_code
        assert "Error: plugin 'greeter': on_started raised ValueError: no voice\n" == result.stderr

    def test_raises_while_recording(self, folder, install):
        """A plugin that raises later costs no interaction, and is told of in one line."""
        install("greeter", GREETER, plugins=("greeter", "Greeter"))
        (folder / "crm.toml").write_text("[plugins.greeter]\n")

        result = run("record", "order.placed", "--id", "account:1")

        assert 0 == result.exit_code
        assert result.stdout.startswith("Recorded order.placed")
        assert "Warning: plugin 'greeter' raised in on_interactions_recorded: no voice\n" == (
            result.stderr
        )


class TestCommands:
    COMMAND = """
        import click

        @click.command()
        @click.pass_obj
        def greet(shell):
            with shell.open() as crm:
                click.echo(f"hello from {crm.runtime.currency}")

        nothing = 3
    """

    def test_listed_and_run(self, folder, install):
        """A plugin's command is listed without being imported, and finds the configuration."""
        install("greet", self.COMMAND, commands=("greet", "greet"))
        (folder / "other.toml").write_text('[crm]\ncurrency = "CHF"\n')

        listed = run("--help")
        assert "crm_test_greet" not in sys.modules
        result = run("--config", "other.toml", "greet")

        of_plugins = listed.output.partition("Commands of plugins:\n")[2].splitlines()
        assert "greet From crm-test-greet." in [" ".join(line.split()) for line in of_plugins]
        assert "hello from CHF\n" == result.output

    def test_twice(self, install):
        """Two of one name are refused, naming both."""
        install("greet", self.COMMAND, commands=("greet", "greet"))
        install("other", self.COMMAND, commands=("greet", "greet"))

        result = run("greet")

        assert 2 == result.exit_code
        assert "crm-test-greet and crm-test-other both bring" in result.stderr

    @pytest.mark.parametrize(
        ("source", "sentence"),
        [
            ("raise RuntimeError('broken')", "its command raised RuntimeError: broken"),
            ("greet = 3", "gives 3, a click command expected"),
        ],
    )
    def test_broken(self, install, source, sentence):
        """A command that cannot be had is one sentence."""
        install("greet", source, commands=("greet", "greet"))

        result = run("greet")

        assert 2 == result.exit_code
        assert sentence in result.stderr
