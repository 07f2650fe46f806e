import json
import subprocess
import sys
import tomllib
from collections import Counter
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import attrs
import pytest

from crmcore.domain.identity import Identifier
from crmcore.domain.interaction import Line
from crmcore.domain.kind import KindRegistry
from crmcore.domain.kinds import CORE_KINDS
from crmcore.errors import ConfigurationError
from crmcore.replay import history as history_module
from crmcore.replay.history import cdnow_mapping, cdnow_path, load_cdnow, load_history
from crmcore.replay.mapping import HistoryMapping

ROOT = Path(__file__).parents[2]
KINDS = KindRegistry(CORE_KINDS)
SALES = """
source = "till"
kind = "order.placed"
time = "at"
zone = "UTC"
currency = "EUR"
amount = "total"
identifiers = { account = "who" }
"""


@pytest.fixture
def load(tmp_path):
    """Return a function that writes a file, and loads it with a mapping."""

    def load(rows, mapping=SALES, *, name="sales.csv", bad_rows="stop"):
        path = tmp_path / name
        path.write_bytes(rows if isinstance(rows, bytes) else rows.encode())
        table = tomllib.loads(mapping)
        return load_history(path, HistoryMapping.from_table(table), kinds=KINDS, bad_rows=bad_rows)

    return load


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def net_minor(history):
    """Return what every account's interactions add up to, in minor units."""
    net: Counter[str] = Counter()
    for draft in history.drafts:
        if draft.amount is not None:
            net[draft.identifiers[0].value] += KINDS[draft.kind].sign * draft.amount.amount_minor
    return net


@pytest.fixture(scope="module")
def purchases():
    """Return customer, day, quantity and cents of each purchase, read without crmcore."""
    try:
        lines = cdnow_path().read_text(encoding="ascii").splitlines()[1:]
    except ConfigurationError:
        pytest.skip("the package lifetimes is not installed")
    cells = [line.split() for line in lines]
    return [(who, day, int(n), int(usd.replace(".", ""))) for who, day, n, usd in cells]


@pytest.fixture(scope="module")
def cdnow(purchases):
    return load_cdnow()


class TestFiles:
    def test_csv(self, load):
        """Quotes, line breaks in cells, a byte order mark and a last delimiter are understood."""
        found = load(
            '\ufeffat,who,total,note\r\n2024-01-01,1,5,"a ""b"", c\r\nd",\r\n'
            "\r\n2024-01-02,2,6,,\r\n",
            SALES + 'payload = { note = "note" }',
        )

        assert ['a "b", c\r\nd', None] == [
            (draft.payload or {}).get("note") for draft in found.drafts
        ]

    def test_tabs_and_other_encodings(self, load):
        """A .tsv file has tabs; its encoding is the mapping's."""
        rows = "at\twho\ttotal\n2024-01-01\tJosé\t5\n"
        for encoding in ("cp1252", "utf-16"):
            found = load(
                rows.encode(encoding), SALES + f'encoding = "{encoding}"', name="sales.tsv"
            )

            assert "José" == found.drafts[0].identifiers[0].value

    def test_no_header(self, load):
        """The mapping can name the columns of a file that does not."""
        found = load(
            "2024-01-01;1;5\n",
            SALES + 'columns = ["at", "who", "total"]\ndelimiter = ";"',
            name="sales.dat.csv",
        )

        assert 500 == found.drafts[0].amount.amount_minor

    def test_optional_column(self, load):
        """A column that may be missing is empty where it is."""
        found = load(
            "at,who,total\n2024-01-01,1,5\n",
            SALES + 'touch = { column = "coupon", optional = true }',
        )

        assert None is found.drafts[0].touch

    def test_json_lines(self, load):
        """Paths lead into objects; numbers are taken as they are written."""
        rows = [
            {"at": "2024-01-01", "who": {"id": 17}, "total": 0.1},
            {"at": "2024-01-02", "who.id": "18", "total": 1177, "more": [1]},
            {"at": "2024-01-03", "who": {"id": 19.0}, "total": None},
        ]
        found = load(
            "\n".join(json.dumps(row) for row in rows) + "\n\n",
            SALES.replace('"who"', '"who.id"'),
            name="sales.jsonl",
        )

        assert [("17", 10), ("18", 117700), ("19", None)] == [
            (d.identifiers[0].value, d.amount and d.amount.amount_minor) for d in found.drafts
        ]

    def test_lines_of_a_list(self, load):
        """An order in one row holds its lines as a list."""
        row = {
            "at": "2024-01-01",
            "who": "1",
            "items": [
                {"product": {"sku": "A"}, "n": 2, "price": 1.1},
                {"product": {"sku": "B"}, "n": 1, "price": 3},
            ],
        }
        (draft,) = load(
            json.dumps(row),
            SALES.replace(
                'amount = "total"',
                'lines = { each = "items", product = "product.sku", quantity = "n", '
                'unit_price = "price" }',
            ),
            name="sales.jsonl",
        ).drafts

        assert 520 == draft.amount.amount_minor
        assert [("A", 2, 220), ("B", 1, 300)] == [
            (line.product, line.quantity, line.amount_minor) for line in draft.lines
        ]

    def test_whole_payload(self, load):
        """One column may hold the payload as it is."""
        row = {"at": "2024-01-01", "who": "1", "data": {"quantity": 2, "order": "A"}}
        (draft,) = load(
            json.dumps(row),
            SALES.replace('amount = "total"', 'payload = "data"'),
            name="sales.jsonl",
        ).drafts

        assert {"quantity": 2, "order": "A"} == draft.payload

    def test_parquet(self, load, tmp_path):
        """A Parquet file has types: instants, floats, decimals, whole numbers with gaps, lists."""
        pa = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        table = pa.table(
            {
                "at": pa.array(
                    [datetime(2024, 1, 1, 9), datetime(2024, 7, 1, 9, 0, 0, 123)],  # noqa: DTZ001
                    pa.timestamp("ns"),
                ),
                "who": pa.array([17.0, None], pa.float64()),
                "mail": pa.array([None, "a@example.com"]),
                "total": pa.array([0.1, 11.77]),
                "fee": pa.array(["1.10", "2.20"]).cast(pa.decimal128(9, 2)),
                "address": pa.array([{"order": {"id": 5}}, {"order": {"id": 6}}]),
                "items": pa.array([[{"sku": "A", "n": 2}], []]),
            }
        )
        path = tmp_path / "sales.parquet"
        parquet.write_table(table, path)
        text = SALES.replace("UTC", "Europe/Berlin").replace("{ a", '{ email = "mail", a') + (
            'order = "address.order.id"\n'
            'lines = { each = "items", product = "sku", quantity = "n" }\n'
        )
        first, second = load(path.read_bytes(), text, name="sales.parquet").drafts

        assert (at("2024-01-01T08:00"), at("2024-07-01T07:00:00.000123")) == (
            first.occurred_at,
            second.occurred_at,
        )
        assert ((Identifier("account", "17"),), (Identifier("email", "a@example.com"),)) == (
            first.identifiers,
            second.identifiers,
        )
        assert (10, 1177) == (first.amount.amount_minor, second.amount.amount_minor)
        assert ("order:5", "order:6") == (first.subject, second.subject)
        assert ((Line(product="A", quantity=2),), ()) == (first.lines, second.lines)

        fees = load(
            path.read_bytes(),
            text.replace('"total"', '"fee"') + 'key = "address.order.id"',
            name="sales.parquet",
        )
        assert [("5", 110), ("6", 220)] == [
            (draft.source_key, draft.amount.amount_minor) for draft in fees.drafts
        ]


class TestCdnow:
    def test_is_the_log(self, purchases, cdnow):
        """Every purchase of the log is one draft."""
        assert (69_659, 23_570) == (len(purchases), len({who for who, *_ in purchases}))
        assert ("cdnow", 69_659, 0, ()) == (
            cdnow.name,
            cdnow.rows_read,
            cdnow.rows_left_out,
            cdnow.problems,
        )
        expected = [
            (f"{line:09d}", who, f"{day[:4]}-{day[4:6]}-{day[6:]}", {"quantity": n}, cents)
            for line, (who, day, n, cents) in enumerate(purchases, start=2)
        ]
        assert sorted(expected) == sorted(
            (
                draft.source_key,
                draft.identifiers[0].value,
                f"{draft.occurred_at:%Y-%m-%d}",
                draft.payload,
                draft.amount.amount_minor,
            )
            for draft in cdnow.drafts
        )

    def test_all_else_is_alike(self, cdnow):
        """All are orders in dollars, at midnight UTC, named by their line, without lines."""
        assert {("order.placed", "cdnow", "USD", "account", 1, ())} == {
            (
                d.kind,
                d.source,
                d.amount.currency,
                d.identifiers[0].scheme,
                len(d.identifiers),
                d.lines,
            )
            for d in cdnow.drafts
        }
        assert {timedelta()} == {
            d.occurred_at - d.occurred_at.replace(hour=0, minute=0) for d in cdnow.drafts
        }

    def test_order(self, cdnow):
        """Order is that of time, and of lines within a day."""
        order = [(draft.occurred_at, draft.source_key) for draft in cdnow.drafts]

        assert sorted(order) == order
        assert (at("1997-01-01"), at("1998-06-30")) == (cdnow.first_at, cdnow.last_at)

    def test_is_a_mapped_history(self, cdnow):
        """The log is read as any other file is, by a mapping."""
        found = load_history(cdnow_path(), cdnow_mapping(), kinds=KINDS)

        assert cdnow == attrs.evolve(found, name="cdnow")

    def test_package_is_not_imported(self, purchases):
        """Reading the log imports neither lifetimes nor pyarrow."""
        code = (
            "import sys; from crmcore.replay.history import load_cdnow; load_cdnow(); "
            "sys.exit(bool({'lifetimes', 'pandas', 'pyarrow'} & sys.modules.keys()))"
        )

        assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode

    def test_package_is_missing(self, monkeypatch):
        """Without the package, one sentence says what to install."""

        def distribution(name):
            raise PackageNotFoundError(name)

        monkeypatch.setattr(history_module, "distribution", distribution)
        with pytest.raises(ConfigurationError, match=r"install crmcore\[demo\]$"):
            load_cdnow()


class TestExamples:
    FOLDER = ROOT / "examples" / "histories"

    def load(self, name):
        mapping = HistoryMapping.from_toml(self.FOLDER / f"{name.partition('.')[0]}.toml")
        return load_history(self.FOLDER / name, mapping, kinds=KINDS)

    def test_purchases(self):
        """One row is one order; days begin in New York."""
        found = self.load("purchases.txt")

        assert 6 == len(found.drafts)
        assert {"00001": 1177, "00002": 8900, "00003": 6106} == net_minor(found)
        assert at("2024-01-01T05:00") == found.first_at

    def test_invoices(self):
        """Lines become invoices, and what was cancelled is taken back."""
        found = self.load("invoices.csv")

        assert (10, 2) == (found.rows_read, found.rows_left_out)
        # 17850: 6*2.55 + 6*3.39 + 6*1.85 - 2*3.39; 13047: 32*1.69 + 6*2.10; 12583: nothing.
        assert {"17850": 3996, "13047": 6668, "12583": 0} == net_minor(found)
        assert ["order:536365", "order:536370"] == [
            draft.subject for draft in found.drafts if draft.kind == "order.cancelled"
        ]

    def test_events(self):
        """Events name their kind; one was delivered twice, one is left out."""
        found = self.load("events.jsonl")

        assert (8, 1, 1) == (found.rows_read, found.rows_left_out, found.rows_repeated)
        assert [
            ("catalog.searched", None),
            ("product.viewed", None),
            ("order.placed", "order:7001"),
            ("order.placed", "order:7002"),
            ("order.refunded", "order:7001"),
            ("order.cancelled", "order:7002"),
        ] == [(draft.kind, draft.subject) for draft in found.drafts]
        assert {"1001": 13490 - 1500, "1002": 0} == net_minor(found)

    def test_page_shows_the_files(self):
        """The how-to shows each example as it is."""
        page = (ROOT / "docs" / "how-to" / "map-a-history.md").read_text(encoding="utf-8")
        texts = [path.read_text(encoding="utf-8") for path in sorted(self.FOLDER.iterdir())]

        assert [] == [text for text in texts if text not in page]
