"""A shop on the command line: from an empty folder to the reason for every stage."""

from __future__ import annotations

import json
import sqlite3
import tomllib
from datetime import UTC, datetime, timedelta

import attrs
import pytest
from click.testing import CliRunner
from crmcore_tiering import Tiering

from crmcore import Crm, SystemClock, VirtualClock
from crmcore.cli import crm
from crmcore.configuration import _TABLES
from crmcore.domain.clock import DAY

MAPPING = """
source = "till"
kind = "order.placed"
time = "at"
currency = "EUR"
amount = "amount"
identifiers = { email = "email" }
key = "number"
"""
GOOD = "number,email,at,amount\n1,ada@example.com,2024-01-01T09:00Z,10.00\n"
BAD = GOOD + "2,bob@example.com,2024-13-01T09:00Z,5.00\n3,eve@example.com,2024-02-01T09:00Z,7.50\n"


def run(*words, **settings):
    return CliRunner().invoke(crm, list(words), **settings)


def asked(*words):
    result = run(*words, "--json")
    assert 0 == result.exit_code, result.output
    return json.loads(result.stdout)


def count(table):
    with sqlite3.connect("crm.db") as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def shop(folder):
    assert 0 == run("init").exit_code
    (folder / "mapping.toml").write_text(MAPPING)
    return folder


class TestInit:
    def test_written(self, folder):
        """The configuration says everything that can be set, and works as it is."""
        result = run("init", "--currency", "CHF", "--zone", "Europe/Zurich")

        written = (folder / "crm.toml").read_text()
        values = tomllib.loads(written)
        assert 0 == result.exit_code
        assert ("CHF", "Europe/Zurich") == (values["crm"]["currency"], values["crm"]["zone"])
        off = {name: {"enabled": False} for name in ("email_link", "files", "recording", "sms")}
        ours: dict[str, object] = {name: {} for name in ("grouping", "profile", "tiering")}
        assert {**ours, **off} == values["plugins"]
        assert "# loyal_from_orders = 5" in written
        assert "# review_every_days = 30" in written
        assert 0 == count("crm_interaction") == count("crm_tiering_total")

    def test_comments_are_defaults(self, folder):
        """Taking away the # of every setting changes nothing."""
        run("init")
        lines = (folder / "crm.toml").read_text().splitlines()
        taken = [line.removeprefix("# ") if " = " in line else line for line in lines]
        (folder / "whole.toml").write_text("\n".join(taken))

        shown = asked("plugins", "show", "tiering", "--config", "whole.toml")

        assert len(attrs.fields(Tiering)) == len(shown["settings"])
        assert all(each["default"] == each["value"] for each in shown["settings"])

    def test_every_setting(self, folder):
        """Every table there can be is there, and every setting, of those without a default too."""
        run("init")
        written = (folder / "crm.toml").read_text()

        tables = {
            line.strip("# []").partition(".")[0] for line in written.splitlines() if "[" in line
        }
        assert set(_TABLES) <= tables
        assert "# Of emails, such as `shop@example.com`" in written
        assert "\n# sender =\n" in written

    def test_examples(self, folder):
        """Taking away the ## of every example gives a configuration that works."""
        run("init")
        path = folder / "crm.toml"
        path.write_text(path.read_text().replace("\n## ", "\n"))

        with Crm.from_config(path) as shop:
            assert ["grace"] == [each.name for each in shop.staff()]
            assert {"regulars"} <= shop.segments.keys()

    def test_database(self, folder):
        """The database may be named; it is made there, and stands in the configuration."""
        result = run("init", "--database", 'sqlite:///its "own".db')

        values = tomllib.loads((folder / "crm.toml").read_text())
        assert 0 == result.exit_code
        assert 'sqlite:///its "own".db' == values["crm"]["database"]
        assert ["crm.toml", 'its "own".db'] == sorted(each.name for each in folder.iterdir())

    def test_gate(self, folder):
        """What messages need to go is there to be set, each with what it does."""
        run("init")
        written = (folder / "crm.toml").read_text()

        assert {} == tomllib.loads(written)["gate"]
        for line in ("# basis = {}", "# caps = []", "# quiet = []", "# holdouts = []"):
            assert f"\n{line}\n" in written

    def test_identity(self, folder):
        """How customers are told apart is there to be set, each with what it does."""
        run("init")
        written = (folder / "crm.toml").read_text()

        assert {} == tomllib.loads(written)["identity"]
        for line in ("# blocked = []", "# merge_on = []", "# limits = {}"):
            assert f"\n{line}\n" in written
        assert "# Identifiers that name nobody, such as `email:info@shop.example`." in written
        values = tomllib.loads(written.replace("# limits = {}", "limits = {account = 1}"))
        assert {"account": 1} == values["identity"]["limits"]

    def test_again(self, folder):
        """An existing configuration is only replaced if that is asked for."""
        (folder / "crm.toml").write_text("# mine\n")

        refused = run("init")
        forced = run("init", "--force")

        assert 2 == refused.exit_code
        assert "crm.toml is there already; `crm init --force` writes it anew" in refused.stderr
        assert 0 == forced.exit_code
        assert "# mine" not in (folder / "crm.toml").read_text()

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (["--currency", "euro"], "'euro' is not a currency"),
            (["--zone", "Berlin"], "unknown time zone 'Berlin'"),
            (["--database", "mysql://x/y"], "sqlite and postgresql+psycopg are"),
            (["--database", "crm.db"], "a URL such as 'sqlite:///crm.db' is expected"),
            (["--config", "no/where.toml"], "there is no folder no"),
        ],
    )
    def test_refused(self, folder, words, sentence):
        """What cannot be right leaves nothing behind."""
        result = run("init", *words)

        assert 2 == result.exit_code
        assert sentence in result.stderr
        assert [] == list(folder.iterdir())

    def test_put_back(self, folder):
        """A configuration that cannot work with the database there is does not stay."""
        run("init")
        before = (folder / "crm.toml").read_text()

        result = run("init", "--force", "--currency", "CHF")

        assert 2 == result.exit_code
        assert "the database counts in EUR" in result.stderr
        assert before == (folder / "crm.toml").read_text()


class TestRecord:
    ORDER = (
        *("record", "order.placed", "--id", "email:Ada@Example.com", "--amount", "19.90"),
        *("--at", "2024-05-01T10:00+02:00", "--source", "till", "--source-key", "42"),
        *("--subject", "order:42", "--channel", "web", "--payload", '{"order": "42"}'),
    )

    def test_recorded(self, shop):
        """Every option arrives in the ledger."""
        fact = asked(*self.ORDER)

        assert fact["is_new"]
        assert ("till", "42", "order:42", "web") == (
            fact["source"],
            fact["source_key"],
            fact["subject"],
            fact["channel"],
        )
        assert {"minor": 1990, "currency": "EUR"} == fact["amount"]
        assert "2024-05-01T08:00:00+00:00" == fact["occurred_at"]
        assert {"order": "42"} == fact["payload"]
        assert "1" == fact["customer"]

    def test_what_it_does_besides_is_in_its_help(self):
        """That time passes is said: who records by hand sees timers fire."""
        told = " ".join(run("record", "--help").output.split())

        assert "timers that are due fire, as `crm worker` would let them" in told

    def test_twice(self, shop):
        """The same key is recorded once, and the second call tells of the first."""
        first = run(*self.ORDER).output
        second = run(*self.ORDER).output

        assert "Recorded order.placed of 19.90 EUR as 1, of customer 1.\n" == first
        assert second.startswith("Was recorded before: order.placed of 19.90 EUR as 1")
        assert 1 == count("crm_interaction")

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (["order.plaecd"], "unknown kind 'order.plaecd' (did you mean 'order.placed'?)"),
            (["order.placed", "--at", "2024-05-01T10:00"], "'2024-05-01T10:00' has no time zone"),
            (["order.placed", "--at", "yesterday"], "'yesterday' is no instant in ISO 8601"),
            (["order.placed", "--at", "2024-02-30T10:00Z"], "is no instant in ISO 8601"),
            (["order.placed", "--amount", "1.999"], "finer than the currency's 2 decimal places"),
            (["order.placed", "--amount", "much"], "'much' is not an amount of EUR"),
            (["order.placed", "--payload", '{"ordr": "1"}'], "'ordr' (did you mean 'order'?)"),
            (["order.placed", "--payload", "{"], "--payload is not JSON"),
            (["order.placed", "--payload", "[1]"], "--payload [1] is no JSON object"),
            (["order.placed", "--id", "bob@example.com"], "write scheme:value, such as email:bob"),
            (["order.placed", "--id", "emial:bob@example.com"], "(did you mean 'email'?)"),
        ],
    )
    def test_refused(self, shop, words, sentence):
        """What is not right is one sentence, and nothing is written."""
        result = run("record", *words, "--id", "account:1")

        assert 2 == result.exit_code
        assert sentence in result.stderr
        assert 1 == result.stderr.count("\n")
        assert 0 == count("crm_interaction") == count("crm_customer")

    def test_newer_database(self, shop):
        """A database of a newer crmcore is refused, untouched."""
        with sqlite3.connect("crm.db") as connection:
            connection.execute("INSERT INTO crm_revision VALUES ('crmcore', 99, '', 0)")

        result = run(*self.ORDER)

        assert 2 == result.exit_code
        assert "the database has revision 99 of the core's tables" in result.stderr
        assert 0 == count("crm_interaction")


class TestImport:
    def test_again(self, shop):
        """Running an import again records nothing twice."""
        (shop / "h.csv").write_text(GOOD)

        first = asked("import", "h.csv", "--mapping", "mapping.toml")
        second = asked("import", "h.csv", "--mapping", "mapping.toml")

        assert (1, 0) == (first["recorded"], first["recorded_before"])
        assert (0, 1) == (second["recorded"], second["recorded_before"])
        assert 1 == count("crm_interaction")

    def test_bad_row_stops(self, shop):
        """A bad row stops the import with its line, before anything is recorded."""
        (shop / "h.csv").write_text(BAD)

        result = run("import", "h.csv", "--mapping", "mapping.toml")

        assert 2 == result.exit_code
        assert "h.csv, line 3: column 'at': '2024-13-01T09:00Z' is not a time" in result.stderr
        assert 0 == count("crm_interaction")

    def test_bad_row_skipped_and_mended(self, shop):
        """Skipped by choice it is told of, and recorded when it is mended; the others are not."""
        (shop / "h.csv").write_text(BAD)
        words = ("import", "h.csv", "--mapping", "mapping.toml", "--bad-rows", "skip")
        skipped = asked(*words)
        (shop / "h.csv").write_text(BAD.replace("2024-13", "2024-03"))
        mended = asked(*words)

        assert [3] == [each["line"] for each in skipped["problems"]]
        assert (2, 0) == (skipped["recorded"], skipped["recorded_before"])
        assert (1, 2) == (mended["recorded"], mended["recorded_before"])
        assert 3 == count("crm_interaction") == count("crm_customer")

    def test_told(self, shop):
        """People are told what was skipped, too."""
        (shop / "h.csv").write_text(BAD)

        output = run("import", "h.csv", "--mapping", "mapping.toml", "--bad-rows", "skip").output

        assert "Recorded 2 interactions from 3 rows" in output
        assert "line 3" in output

    @pytest.mark.parametrize(
        ("mapping", "rows", "sentence"),
        [
            (MAPPING.replace('"amount"', '"amuont"'), GOOD, "(did you mean 'amount'?)"),
            (
                MAPPING.replace("order.placed", "order.plaecd"),
                GOOD,
                "(did you mean 'order.placed'?)",
            ),
            (MAPPING, GOOD.replace("09:00Z", "09:00"), "zone"),
            (MAPPING, GOOD.replace("10.00", "ten"), "line 2: column 'amount': 'ten'"),
            (MAPPING + "knid = 'x'\n", GOOD, "'knid' (did you mean 'kind'?)"),
        ],
    )
    def test_refused(self, shop, mapping, rows, sentence):
        """A missing column, an unknown kind, a naive time, a bad amount: one sentence each."""
        (shop / "mapping.toml").write_text(mapping)
        (shop / "h.csv").write_text(rows)

        result = run("import", "h.csv", "--mapping", "mapping.toml")

        assert 2 == result.exit_code
        assert sentence in result.stderr
        assert 1 == result.stderr.count("\n")
        assert 0 == count("crm_interaction")


class TestAsking:
    @pytest.fixture
    def ada(self, shop):
        run(*TestRecord.ORDER)
        return "email:ada@example.com"

    def test_customer(self, ada):
        """A customer is found by identifier or by number."""
        found = asked("customer", "show", ada)

        assert found == asked("customer", "show", "1")
        assert [ada] == found["identifiers"]
        assert {"minor": 1990, "currency": "EUR"} == found["revenue"]
        assert "lapsed" == found["stages"][0]["stage"]
        assert 1990 == found["traits"]["tiering.net_minor"]
        assert ["order.placed"] == [fact["kind"] for fact in found["latest"]]

    def test_why(self, ada):
        """Each step names its reason and the interaction it rests on."""
        told = asked("why", ada)

        steps = [(step["from_stage"], step["to_stage"]) for step in told["stages"]]
        assert [
            ("anonymous", "ordering"),
            ("ordering", "new"),
            ("new", "at_risk"),
            ("at_risk", "lapsed"),
        ] == steps
        assert "placed an order" == told["stages"][0]["reason"]
        assert all("42" == step["because"][0]["source_key"] for step in told["stages"])

    def test_why_page(self, ada):
        """People read the same, with the day and the rule."""
        output = run("why", ada, "stage").output

        assert "2024-05-01 08:00 UTC  anonymous → ordering: placed an order" in output
        assert "because of order.placed of 19.90 EUR, order:42 (till 42)" in output

    @pytest.mark.parametrize("what", ["tier", "tiering", "tiering.tier", "tier.changed"])
    def test_why_of_a_decision(self, shop, what):
        """What a plugin decided is found by the plugin, the trait or the kind."""
        run(*TestRecord.ORDER)
        in_a_month = VirtualClock(SystemClock().now() + 31 * DAY)
        with Crm.from_config("crm.toml", clock=in_a_month) as later:
            later.run_due()

        told = asked("why", "1", what)

        assert [] == told["stages"]
        decided = told["decisions"][0]["decided"]
        assert ("tier.changed", "none", "A") == (
            decided["kind"],
            decided["payload"]["from_tier"],
            decided["payload"]["to_tier"],
        )
        assert "42" == told["decisions"][0]["because"][0]["source_key"]

    def test_why_of_nothing(self, ada):
        """Where nothing was decided, that is said."""
        assert "Nothing was decided about orders" in run("why", ada, "orders").output

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (["customer", "show", "email:bob@example.com"], "no customer is known as email:bob@"),
            (["customer", "show", "99"], "no customer is known as"),
            (["why", "99"], "no customer is known as"),
            (
                ["why", "email:ada@example.com", "teir"],
                "nothing is named 'teir' (did you mean 'tier'?)",
            ),
            (["rebuild", "tierign"], "no plugin is named 'tierign' (did you mean 'tiering'?)"),
        ],
    )
    def test_refused(self, ada, words, sentence):
        """What is not there is one sentence, with the nearest that is."""
        result = run(*words)

        assert 2 == result.exit_code
        assert sentence in result.stderr

    def test_rebuild(self, ada):
        """Derived tables are made anew, and nothing is recorded."""
        with sqlite3.connect("crm.db") as connection:
            connection.execute("DELETE FROM crm_tiering_total")

        made = asked("rebuild", "tiering")
        assert {"before": 0, "after": 1} == made.pop("rows")["crm_tiering_total"]
        assert {"rebuilt": ["tiering"], "caught_up": {}, "owed": {}} == made
        assert 1 == count("crm_tiering_total") == count("crm_interaction")
        told = run("rebuild").output
        assert told.startswith("Made anew: lifecycles, consent, grouping, profile, tiering.\n")
        assert "\ncrm_tiering_total: 1 row, before 1.\n" in told

    def test_a_plugin_switched_on_later(self, shop):
        """A plugin over a filled database says that it has to catch up, and does on a rebuild."""
        written = (shop / "crm.toml").read_text()
        (shop / "crm.toml").write_text("[crm]\ncurrency = 'EUR'\n")
        run("record", "order.placed", "--id", "email:ada@example.com", "--amount", "10")
        (shop / "crm.toml").write_text(written)

        before = run("customer", "show", "email:ada@example.com")
        caught_up = run("rebuild")
        after = run("customer", "show", "email:ada@example.com")

        assert "tiering has yet to catch up with 1 customers" in before.stderr
        assert "tiering caught up with 1 customers." in caught_up.stdout
        assert "" == after.stderr
        assert "net 10.00 EUR" in after.stdout


class TestFuture:
    """What is told of as having happened has happened; a typing mistake is found at once."""

    def test_record(self, shop):
        """An instant that lies ahead is refused; tomorrow's may be another clock's."""
        who = ("record", "order.placed", "--id", "email:ada@example.com", "--at")
        tomorrow, later = (datetime.now(UTC) + timedelta(hours=h) for h in (20, 30))
        for at in ("2062-11-23T00:00Z", later.isoformat()):
            refused = run(*who, at)
            assert 2 == refused.exit_code
            assert "lies more than a day ahead of" in refused.output
        assert 0 == count("crm_interaction")

        assert 0 == run(*who, tomorrow.isoformat()).exit_code
        assert 1 == count("crm_interaction")

    def test_import(self, shop):
        """The row is not right: it stops the import, or is left out with its line."""
        wrong = GOOD + "2,bob@example.com,2062-11-23T00:00Z,5.00\n"
        (shop / "orders.csv").write_text(wrong)
        words = ("import", "orders.csv", "--mapping", "mapping.toml")
        refused = run(*words)
        assert 2 == refused.exit_code
        assert "line 3" in refused.output
        assert "lies more than a day ahead of" in refused.output
        assert 0 == count("crm_interaction")

        told = asked(*words, "--bad-rows", "skip")
        assert (1, [3]) == (told["recorded"], [each["line"] for each in told["problems"]])
