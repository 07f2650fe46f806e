"""`crm try` and `crm demo`: figures against plain Python, for machines and for people."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from math import ceil
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from crmcore.cli import crm
from crmcore.replay.history import load_cdnow

MAPPING = """
source = "till"
kind = "order.placed"
time = { column = "day", format = "%d.%m.%Y" }
zone = "Europe/Berlin"
currency = "EUR"
decimal_mark = ","
delimiter = ";"
amount = "amount"
order = "order"
identifiers = { account = "customer" }
refunds = { when = { column = "sort", equals = "refund" } }
leave_out = { column = "sort", equals = "test" }
key = ["order", "sort"]
"""
ROWS = [
    *(
        (f"c{n % 7}", f"{1 + n % 28:02}.{1 + n // 14:02}.2024", f"{n},50", n, "sale")
        for n in range(60)
    ),
    ("c3", "25.07.2024", "17,50", 17, "refund"),
    ("c9", "26.07.2024", "0,00", 90, "sale"),
    ("c1", "27.07.2024", "999,00", 91, "test"),
]


def run(*words, **settings):
    return CliRunner().invoke(crm, list(words), **settings)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "crm.toml").write_text("[plugins.tiering]\nreview_every_days = 7\n")
    (tmp_path / "mapping.toml").write_text(MAPPING)
    lines = [";".join(map(str, row)) for row in ROWS]
    text = "\n".join(["customer;day;amount;order;sort", *lines]) + "\n"
    (tmp_path / "history.csv").write_text(text)
    return tmp_path


TRY = ("try", "crm.toml", "--history", "history.csv", "--mapping", "mapping.toml")


def test_in_shadow(folder):
    """What tiering in shadow would have made of a history is what it makes of it live."""
    found = []
    for settings in ("", "shadow = true\n"):
        (folder / "crm.toml").write_text(f"[plugins.tiering]\nreview_every_days = 7\n{settings}")
        assert 0 == run(*TRY, "--json", "out.json").exit_code
        found.append(json.loads(Path("out.json").read_text(encoding="utf-8")))

    live, shadowed = found
    assert live["tiering"]["customers"] > 0
    assert live["tiering"] == shadowed["tiering"]
    assert live["relationship"] == shadowed["relationship"]


class TestJson:
    def test_tiering(self):
        """Refunds are netted, test orders left out, and customers who paid nothing count."""
        cents: Counter[str] = Counter()
        for customer, _, amount, _, sort in ROWS:
            sign = {"sale": 1, "refund": -1, "test": 0}[sort]
            cents[customer] += sign * int(amount.replace(",", ""))
        worth = sorted((max(0, x) for x in cents.values()), reverse=True)
        total, n = sum(worth), len(worth)
        gini = 2 * sum(i * x for i, x in enumerate(reversed(worth), start=1)) / (n * total)

        assert 0 == run(*TRY, "--json", "out.json").exit_code
        with open("out.json", encoding="utf-8") as file:
            found = json.load(file)

        assert 8 == n == found["tiering"]["customers"] == found["history"]["customers"]
        assert sum(cents.values()) == found["tiering"]["revenue_minor"]
        assert sum(worth[: ceil(0.2 * n)]) / total == found["tiering"]["share_of_top_20_percent"]
        assert pytest.approx(gini - (n + 1) / n, abs=1e-12) == found["tiering"]["gini"]
        assert (63, 1) == (found["history"]["rows_read"], found["history"]["rows_left_out"])
        assert 62 == found["history"]["interactions"]
        assert {"history", "relationship", "run", "tiering"} == found.keys()

    def test_standard_output(self):
        """With - nothing but JSON is on standard output."""
        result = run(*TRY, "--json", "-")

        assert "EUR" == json.loads(result.stdout)["tiering"]["currency"]
        assert "" == result.stderr

    def test_batch_size(self):
        """The size of batches changes no figure."""
        whole = json.loads(run(*TRY, "--json", "-").stdout)
        parts = json.loads(run(*TRY, "--json", "-", "--batch-size", "1").stdout)

        assert 62 == parts["run"]["batches"] > whole["run"]["batches"]
        assert whole.pop("run") != parts.pop("run")
        assert whole == parts

    def test_no_such_folder(self):
        """What cannot be written is said before the replay, not after."""
        result = run(*TRY, "--json", "nowhere/out.json")

        assert 2 == result.exit_code
        assert "there is no folder nowhere" in result.stderr


class TestPage:
    def test_page(self, folder):
        """People read what happened strategy by strategy, and nothing is kept."""
        before = sorted(folder.iterdir())

        result = run(*TRY)

        assert 0 == result.exit_code
        assert "62 interactions of 8 customers, from 31 December 2023 to" in result.output
        assert "1 row of 63 left out, as the mapping says." in result.output
        for part in ("HISTORY", "RELATIONSHIP", "TIERING", "ONE CUSTOMER, AND WHY"):
            assert part in result.output
        assert "net revenue" in result.output
        assert "EUR" in result.output
        assert "tier none → " in result.output
        assert before == sorted(folder.iterdir())

    @pytest.mark.parametrize("width", [80, 120])
    def test_width(self, width, monkeypatch):
        """Nothing is wider than the terminal."""
        monkeypatch.setenv("COLUMNS", str(width))

        result = run(*TRY)

        assert max(map(len, result.output.splitlines())) <= width

    def test_without_rich(self, monkeypatch):
        """Without the extra the page is the same, as text."""
        with_rich = run(*TRY).output
        monkeypatch.delitem(sys.modules, "crmcore.cli.terminal.colours", raising=False)
        monkeypatch.setitem(sys.modules, "rich.console", None)

        without = run(*TRY).output

        assert lines_but_cost(with_rich) == lines_but_cost(without)

    def test_colours(self):
        """Colours are for terminals, and not for those who say that they want none."""
        plain = run(*TRY, env={"NO_COLOR": "1", "FORCE_COLOR": "1"}).output

        assert "\x1b[3" not in plain
        assert "\x1b[1;36m" in run(*TRY, env={"FORCE_COLOR": "1"}).output

    def test_ascii(self):
        """A terminal that only knows ASCII gets charts of ASCII."""
        done = subprocess.run(
            [sys.executable, "-c", "from crmcore.cli import main; main()", *TRY],
            capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
            check=True,
        )

        output = done.stdout.decode("ascii")
        assert "tier none -> " in output
        assert " 100 %|" in output
        assert "?" not in output


def lines_but_cost(output):
    return [line for line in output.splitlines() if "CPU seconds" not in line]


class TestMistakes:
    @pytest.mark.parametrize(
        ("old", "new", "sentence"),
        [
            ('"amount"', '"amuont"', "history.csv: "),
            ("order.placed", "order.plaecd", "(did you mean 'order.placed'?)"),
            ('zone = "Europe/Berlin"\n', "", "zone"),
            ('zone = "Europe/Berlin"', 'zone = "Europe/Berlni"', "(did you mean 'Europe/Berlin'?)"),
            ('account = "customer"', 'acount = "customer"', "(did you mean 'account'?)"),
            ('decimal_mark = ","', 'decimal_mark = "."', "line 2"),
        ],
    )
    def test_mapping(self, folder, old, new, sentence):
        """A mapping that does not fit is one sentence."""
        (folder / "mapping.toml").write_text(MAPPING.replace(old, new))

        result = run(*TRY)

        assert 2 == result.exit_code
        assert sentence in result.stderr
        assert 1 == result.stderr.count("\n")
        assert "" == result.stdout

    def test_bad_row(self, folder):
        """A bad row stops the trial by its line, or is skipped and told of."""
        text = (folder / "history.csv").read_text()
        (folder / "history.csv").write_text(text + "c1;32.01.2024;1,00;95;sale\n")

        stopped = run(*TRY)
        skipped = run(*TRY, "--bad-rows", "skip", "--json", "-")

        assert 2 == stopped.exit_code
        assert "line 65: column 'day': '32.01.2024'" in stopped.stderr
        assert [65] == [each["line"] for each in json.loads(skipped.stdout)["history"]["problems"]]
        assert "line 65" in run(*TRY, "--bad-rows", "skip").output

    def test_no_rows(self, folder):
        """A history without rows is refused."""
        (folder / "history.csv").write_text("customer;day;amount;order;sort\n")

        result = run(*TRY)

        assert 2 == result.exit_code
        assert "history.csv: it holds no interaction to replay" in result.stderr


class TestDemo:
    @pytest.fixture(autouse=True)
    def part(self, monkeypatch):
        """Every twentieth customer of the log is enough to see."""

        def load(**settings):
            history = load_cdnow(**settings)
            drafts = [d for d in history.drafts if int(d.identifiers[0].value) % 20 == 0]
            return attrs.evolve(history, drafts=tuple(drafts))

        monkeypatch.setattr("crmcore.cli.demo.load_cdnow", load)

    def test_page(self, folder):
        """The demo shows every part and what to do next, and leaves nothing behind."""
        before = sorted(folder.iterdir())

        result = run("demo")

        assert 0 == result.exit_code
        assert "of 1,178 customers, from 1 January 1997 to 30 June 1998" in result.output
        assert "share of the revenue that the best 20 % of customers bring" in result.output
        assert 4 <= result.output.count("tier.changed by tiering") <= 6
        assert "crm try crm.toml --history FILE --mapping FILE" in result.output
        assert max(map(len, result.output.splitlines())) <= 80
        assert before == sorted(folder.iterdir())

    def test_kept(self, folder):
        """What is kept can be looked around in, with the command the demo names."""
        result = run("demo", "--keep", "cdnow")
        (command,) = [line for line in result.output.splitlines() if "why account:" in line]
        words = command.partition("   ")[0].split()[1:]

        told = json.loads(run(*words, "--json").stdout)

        assert 4 == len(told["decisions"])
        with sqlite3.connect(folder / "cdnow" / "crm.db") as connection:
            (count,) = connection.execute("SELECT count(*) FROM crm_customer").fetchone()
        assert 1178 == count

    def test_folder_in_use(self, folder):
        """A folder with anything in it is left alone."""
        result = run("demo", "--keep", str(folder))

        assert 2 == result.exit_code
        assert "is not empty" in result.stderr

    def test_without_the_log(self, monkeypatch):
        """Without the package that has the log, the extra is named."""
        from crmcore.errors import ConfigurationError

        def missing(**settings):
            raise ConfigurationError("install crmcore[demo]")

        monkeypatch.setattr("crmcore.cli.demo.load_cdnow", missing)

        result = run("demo", "--keep", "cdnow")

        assert 2 == result.exit_code
        assert "Error: install crmcore[demo]\n" == result.stderr
        assert not os.path.exists("cdnow")


EXAMPLES = Path(__file__).parents[2] / "examples"


class TestExamples:
    @pytest.mark.parametrize("name", ["tiering_pareto.toml", "tiering_rfm.toml"])
    def test_configuration(self, folder, name):
        """The configurations beside the examples work, with the mapping beside them."""
        (folder / "orders.csv").write_text(
            "number,sort,email,placed_at,total\n"
            "1001,sale,ada@example.com,2024-01-08T10:12:00,89.90\n"
            "1001,refund,ada@example.com,2024-01-15T16:00:00,20.00\n"
        )
        files = ("--history", "orders.csv", "--mapping", str(EXAMPLES / "orders_mapping.toml"))

        result = run("try", str(EXAMPLES / name), *files, "--json", "-")

        assert 6990 == json.loads(result.stdout)["tiering"]["revenue_minor"]
