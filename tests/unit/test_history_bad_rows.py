import sys
import tomllib

import pytest

from crmcore.domain.kind import KindRegistry
from crmcore.domain.kinds import CORE_KINDS
from crmcore.errors import ConfigurationError, HistoryError
from crmcore.replay.history import load_history
from crmcore.replay.mapping import HistoryMapping

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
EVENTS = """
source = "till"
kind = { column = "event", values = { buy = "order.placed" } }
time = "at"
zone = "UTC"
identifiers = { account = "who" }
payload = { product = "sku" }
"""
GOOD = "2024-01-01,1,5"


@pytest.fixture
def load(tmp_path):
    """Return a function that writes a file, and loads it with a mapping."""

    def load(rows, mapping=SALES, *, name="sales.csv", bad_rows="stop"):
        path = tmp_path / name
        path.write_bytes(rows if isinstance(rows, bytes) else rows.encode())
        table = tomllib.loads(mapping)
        return load_history(path, HistoryMapping.from_table(table), kinds=KINDS, bad_rows=bad_rows)

    return load


@pytest.fixture
def refusal(load, tmp_path):
    """Return the line and the sentence with which a file is refused."""

    def refusal(rows, mapping=SALES, *, name="sales.csv"):
        with pytest.raises(HistoryError) as caught:
            load(rows, mapping, name=name)
        error = caught.value
        place = f"{tmp_path / name}" + ("" if error.line is None else f", line {error.line}")
        assert f"{place}: {error.problem}" == str(error)
        assert "\n" not in str(error)
        return error.line, error.problem

    return refusal


class TestCells:
    @pytest.mark.parametrize(
        ("row", "sentence"),
        [
            ("2024-02-30,1,5", "column 'at': '2024-02-30' is not a time in ISO 8601; set format"),
            ("1709288999,1,5", 'set format, such as format = "unix"'),
            ("0001-01-01T00:00+14:00,1,5", "the time '0001-01-01T00:00+14:00' is out of range"),
            (",1,5", "the time is empty"),
            ("2024-01-01,,5", "every identifier is empty"),
            ("2024-01-01, ,5", "every identifier is empty"),
            ("2024-01-01,1,five", "column 'total': 'five' is not a number"),
            ("2024-01-01,1,nan", "column 'total': 'nan' is not a number that can be recorded"),
            ("2024-01-01,1,1e999999999", "is not a number that can be recorded"),
            ('2024-01-01,1,"1,50"', "column 'total': '1,50' is not a number"),
            (
                "2024-01-01,1,0.125",
                '0.125 is finer than the minor unit of EUR; round = "half_even"',
            ),
            ("2024-01-01,1,92233720368547758.08", "does not fit in 64 bits"),
            ("2024-01-01,1", "2 cells found, 3 expected"),
            ("2024-01-01,1,5,6", "4 cells found, 3 expected"),
            ('2024-01-01,1,"5"6', "not a row of cells: ',' expected after '\"'"),
            ('2024-01-01,1,"5', "not a row of cells: unexpected end of data"),
        ],
    )
    def test_row(self, refusal, row, sentence):
        """What is wrong with a row is told with its line, and with the column if it is one."""
        line, problem = refusal(f"at,who,total\n{GOOD}\n{row}\n")

        assert 3 == line
        assert sentence in problem

    def test_line_of_a_cell_with_line_breaks(self, refusal):
        """The line is the first of the row, also after cells that go over several lines."""
        rows = f'at,who,total,x\n{GOOD},"a\n\nb"\n\nnever,1,"5",x\n'

        assert 6 == refusal(rows)[0]

    def test_time_without_zone(self, refusal):
        """A time without a zone is not guessed at."""
        line, problem = refusal(f"at,who,total\n{GOOD}\n", SALES.replace('zone = "UTC"', ""))

        assert 2 == line
        assert (
            "column 'at': the time '2024-01-01' has no time zone; "
            'set zone in the mapping, such as zone = "Europe/Berlin"'
        ) == problem

    def test_format(self, refusal):
        """A time that has not the given form is told with the form."""
        text = SALES.replace('"at"', '{ column = "at", format = "%d/%m/%Y" }')

        assert (
            "column 'at': '2024-01-01' is not a time of the form '%d/%m/%Y'"
            == (refusal(f"at,who,total\n{GOOD}\n", text)[1])
        )
        unix = text.replace("%d/%m/%Y", "unix")
        assert (
            "'2024-01-01' is not a count of seconds"
            in (refusal(f"at,who,total\n{GOOD}\n", unix)[1])
        )

    def test_decimal_mark(self, refusal):
        """A full stop that is no mark of the file is not taken for one."""
        rows = "at;who;total\n2024-01-01;1;1.50\n"

        assert (
            "'1.50' is not a number"
            in (refusal(rows, SALES + 'delimiter = ";"\ndecimal_mark = ","')[1])
        )

    def test_identifier(self, refusal):
        """An identifier has to be one of its scheme."""
        line, problem = refusal(f"at,who,total\n{GOOD}\n", SALES.replace("{ account", "{ email"))

        assert (2, "column 'who': '1' is not an email address; name@host is expected") == (
            line,
            problem,
        )

    def test_currency(self, refusal):
        """An amount needs a currency, and one of the right shape."""
        text = SALES.replace('"EUR"', '{ column = "cur" }')

        assert "the amount has no currency" in (refusal(f"at,who,total,cur\n{GOOD},\n", text)[1])
        assert "'€' is not a currency" in refusal(f"at,who,total,cur\n{GOOD},€\n", text)[1]

    def test_units(self, refusal):
        """Units of a line are whole, and there if there is a price."""
        text = SALES.replace(
            'amount = "total"',
            'lines = { product = "sku", quantity = "n", unit_price = "price" }',
        )

        for row, sentence in {
            "A,1.5,2": "column 'n': '1.5' is not a whole number",
            "A,,2": "column 'n' is empty, though there is a price of a unit",
            ",1,2": "column 'sku' names no product, though the line has an amount",
        }.items():
            assert sentence == refusal(f"at,who,sku,n,price\n2024-01-01,1,{row}\n", text)[1]

    def test_condition(self, refusal):
        """A cell that is compared as a number is one."""
        text = SALES + 'leave_out = { column = "total", less_than = 0 }'

        assert (2, "column 'total': 'x' is not a number") == (
            refusal("at,who,total\n2024-01-01,1,x\n", text)
        )

    def test_key(self, refusal):
        """What names an interaction is there, and does not name another one too."""
        text = SALES + 'key = "id"'

        assert (
            "column 'id', of 'key', is empty" == (refusal(f"at,who,total,id\n{GOOD},\n", text)[1])
        )
        line, problem = refusal(f"at,who,total,id\n{GOOD},a\n{GOOD},b\n{GOOD}1,a\n", text)
        assert 4 == line
        assert "its key 'a' is that of line 2, which says something else" in problem


class TestKinds:
    def test_unknown_kind_in_a_column(self, refusal):
        """An unknown kind is told with the nearest one, also of the mapping's own words."""
        rows = "at,who,sku,event\n2024-01-01,1,A,Product Viewd\n"

        line, problem = refusal(rows, EVENTS)
        assert 2 == line
        assert (
            "column 'event': unknown kind 'Product Viewd' (did you mean 'Product Viewed'?)"
        ) == problem
        assert "(did you mean 'buy'?)" in refusal(rows.replace("Product Viewd", "buyy"), EVENTS)[1]

    def test_empty_kind(self, refusal):
        """Every row has a kind."""
        assert (2, "column 'event': the kind is empty") == (
            refusal("at,who,sku,event\n2024-01-01,1,A,\n", EVENTS)
        )

    @pytest.mark.parametrize(
        ("setting", "sentence"),
        [
            ('kind = "order.place"', "the mapping's 'kind': unknown kind 'order.place' (did you"),
            (
                'kind = { column = "who", values = { x = "order.place" } }',
                "the mapping's 'kind.values.x': unknown kind 'order.place' (did you mean",
            ),
            (
                'refunds = { when = { column = "at", empty = true }, kind = "refund" }',
                "the mapping's 'refunds.kind': unknown kind 'refund'",
            ),
            (
                'refunds = { when = { column = "at", empty = true }, kind = "order.placed" }',
                "the mapping's 'refunds.kind': 'order.placed' adds to revenue",
            ),
            (
                'payload = { quantty = "who" }',
                "the mapping's 'payload' has a field 'quantty', which its kinds have not "
                "(did you mean 'quantity'?)",
            ),
        ],
    )
    def test_kinds_of_the_mapping(self, load, setting, sentence):
        """Kinds and fields that the mapping itself names are looked up before any row."""
        kept = SALES.replace('kind = "order.placed"', "") if setting.startswith("kind") else SALES

        with pytest.raises(ConfigurationError) as caught:
            load("at,who,total\nnever,1,5\n", kept + setting)
        assert sentence in str(caught.value)

    def test_payload(self, refusal):
        """A payload has to fit its kind: each field is named."""
        text = SALES + 'payload = { quantity = "n" }'
        assert (2, "column 'n': '1.5' is not a whole number") == (
            refusal(f"at,who,total,n\n{GOOD},1.5\n", text)
        )
        line, problem = refusal("at,who,event,sku\n2024-01-01,1,Product Viewed,\n", EVENTS)
        assert 2 == line
        assert "the payload of 'product.viewed' is not right: field 'product' is missing" == problem

    def test_whole_payload(self, refusal):
        """One column that holds the payload holds an object, and only known fields."""
        text = EVENTS.replace('{ product = "sku" }', '"data"')
        row = '{"at": "2024-01-01", "who": "1", "event": "Product Viewed", "data": %s}\n'

        assert (
            "column 'data': 'A' is not an object with fields"
            == (refusal(row % '"A"', text, name="x.jsonl")[1])
        )
        assert (
            "unknown field 'prodct' (did you mean 'product'?)"
            in (refusal(row % '{"prodct": "A"}', text, name="x.jsonl")[1])
        )


class TestGroups:
    GROUPED = SALES + 'group_by = "order"\norder = "order"\n'

    def test_two_customers(self, refusal):
        """Rows of one interaction that name two customers are not merged by accident."""
        line, problem = refusal(f"at,who,total,order\n{GOOD},A\n2024-01-01,2,5,A\n", self.GROUPED)

        assert 3 == line
        assert "its identifier 'account:2' differs from 'account:1' in another row" in problem

    def test_two_payloads(self, refusal):
        """So it is with every field of the payload."""
        line, problem = refusal(
            f"at,who,total,order,n\n{GOOD},A,1\n{GOOD},A,2\n",
            self.GROUPED + 'payload = { quantity = "n" }',
        )

        assert 3 == line
        assert "its payload.quantity '2' differs from '1'" in problem

    def test_empty_group(self, refusal):
        """A row belongs to some group."""
        assert (2, "column 'order', of 'group_by', is empty") == (
            refusal(f"at,who,total,order\n{GOOD},\n", self.GROUPED)
        )

    def test_order_is_not_there(self, refusal):
        """What has no amount of its own needs the order in the same file."""
        text = self.GROUPED + 'cancellations.when = { column = "total", empty = true }\n'

        line, problem = refusal(f"at,who,total,order\n{GOOD},A\n2024-01-02,1,,B\n", text)
        assert 3 == line
        assert problem.startswith("it takes back order:B, which this file does not hold")


class TestSkipping:
    def test_bad_rows_are_told_and_left_out(self, load):
        """Good rows are kept; each bad one is told with its line, in the order of the file."""
        found = load(
            f"at,who,total\n{GOOD}\nnever,1,5\n{GOOD}2\n2024-01-01,1\n,,\n", bad_rows="skip"
        )

        assert [500, 5200] == [draft.amount.amount_minor for draft in found.drafts]
        assert [3, 5, 6] == [problem.line for problem in found.problems]
        assert 5 == found.rows_read

    def test_orders_stay_whole(self, load):
        """A bad row takes the other rows of its interaction with it, and no other."""
        found = load(
            f"at,who,total,order,x\n{GOOD},A,1\n{GOOD},B,1\n{GOOD}x,A,1\n{GOOD},A,1\n"
            f"{GOOD},C,1\n{GOOD},C,y\n",
            SALES + 'group_by = "order"\nleave_out = { column = "x", less_than = 0 }',
            bad_rows="skip",
        )

        assert ["order.placed/B"] == [draft.source_key for draft in found.drafts]
        assert [4, 7] == [problem.line for problem in found.problems]

    def test_key_of_another(self, load):
        """Of two that share a key the first is kept."""
        found = load(
            f"at,who,total,id\n{GOOD},a\n{GOOD}1,a\n", SALES + 'key = "id"', bad_rows="skip"
        )

        assert [500] == [draft.amount.amount_minor for draft in found.drafts]
        assert [3] == [problem.line for problem in found.problems]

    def test_cancellation_of_nothing(self, load):
        """A cancellation without amount and order is left out."""
        found = load(
            f"at,who,total,order\n{GOOD},A\n2024-01-02,1,,B\n",
            SALES + 'order = "order"\ncancellations.when = { column = "total", empty = true }',
            bad_rows="skip",
        )

        assert ["order.placed"] == [draft.kind for draft in found.drafts]
        assert [3] == [problem.line for problem in found.problems]


class TestFiles:
    def test_missing_column(self, refusal):
        """A column that is not there is told with the setting and the nearest column."""
        assert (
            None,
            "the mapping's 'identifiers.account' names the column 'who', which is not there "
            "(did you mean 'whom'?)",
        ) == refusal(f"at,whom,total\n{GOOD}\nbad", SALES)

    def test_missing_column_with_no_near_one(self, refusal):
        """Where no column is near, all are told."""
        assert "which is not there; there are: a, b, c" in refusal("a,b,c\n")[1]

    def test_column_twice(self, refusal):
        """A column that is there twice says nothing."""
        assert (
            "the column 'who', which is there 2 times"
            in (refusal(f"at,who,total,who\n{GOOD},1\n")[1])
        )

    def test_missing_path(self, refusal):
        """A path that no object has is told, whatever else is wrong in the file."""
        line, problem = refusal(
            '{"at": "never", "who": {"id": 1}, "total": 2}\n',
            SALES.replace('"who"', '"who.ids"'),
            name="x.jsonl",
        )

        assert None is line
        assert "'who.ids', which is not there (did you mean 'who.id'?)" in problem

    @pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
    @pytest.mark.parametrize("content", ["", "\n\n"])
    def test_empty(self, refusal, name, content):
        """An empty file is no history."""
        line, problem = refusal(content, name=name)

        assert None is line
        assert problem.startswith("the file is empty")

    @pytest.mark.parametrize(
        ("name", "rows"),
        [
            ("x.csv", b"at,who,total\n2024-01-01,1,5\n2024-01-01,Jos\xe9,5\n"),
            (
                "x.jsonl",
                b'{"at": "2024-01-01", "who": "1", "total": 5}\n\n'
                b'{"at": "2024-01-01", "who": "Jos\xe9", "total": 5}\n',
            ),
        ],
    )
    def test_encoding(self, refusal, name, rows):
        """Text in another encoding is told with its line, and the cure."""
        assert (
            3,
            'not utf-8 text; set encoding in the mapping, such as encoding = "cp1252"',
        ) == refusal(rows, name=name)

    def test_encoding_of_wide_characters(self, refusal):
        """Where lines cannot be told apart before decoding, the file alone is named."""
        line, problem = refusal(b"at,who,total\n\xff", SALES + 'encoding = "utf-16"')

        assert None is line
        assert problem.startswith("not utf-16 text")

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("{", "not JSON: Expecting property name enclosed in double quotes, at character"),
            ("[1]", "a JSON object, { name: value }, is expected"),
            ('{"total": NaN}', "not JSON: JSON has no number NaN"),
            ('{"who": "\\ud83d"}', "half of a character"),
            ('{"at": "2024-01-01", "who": [1], "total": 5}', "column 'who': [1] is not a single"),
        ],
    )
    def test_json(self, refusal, text, sentence):
        """Each line holds one object of values."""
        good = '{"at": "2024-01-01", "who": "1", "total": 5}\n'
        line, problem = refusal(f"{good}{text}\n", name="x.jsonl")

        assert 2 == line
        assert sentence in problem

    def test_items(self, refusal):
        """Where lines are listed, there is a list of objects."""
        line, problem = refusal(
            '{"at": "2024-01-01", "who": "1", "total": 5, "items": ["A"]}\n',
            SALES + 'lines = { each = "items", product = "sku" }',
            name="x.jsonl",
        )

        assert 1 == line
        assert "column 'items': \"['A']\" is not a list of objects" == problem

    @pytest.mark.parametrize("rows", [b"", b"at,who,total\n2024-01-01,1,5\n"])
    def test_not_parquet(self, refusal, rows):
        """A file that is no Parquet file is told so."""
        pytest.importorskip("pyarrow")
        line, problem = refusal(rows, name="x.parquet")

        assert None is line
        assert problem.startswith("not a Parquet file: ")

    def test_missing_column_of_parquet(self, load, tmp_path):
        """Columns of a Parquet file are looked up before its rows."""
        pa = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        path = tmp_path / "x.parquet"
        parquet.write_table(pa.table({"at": ["x"], "who": ["1"], "totals": [1]}), path)

        with pytest.raises(HistoryError, match=r"'total', which is not there \(did you mean 'tot"):
            load(path.read_bytes(), name="x.parquet")

    def test_bad_row_of_parquet(self, load, tmp_path):
        """The line of a Parquet file is the number of the row."""
        pa = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        path = tmp_path / "x.parquet"
        rows = 20_000
        totals = [1.5] * (rows - 1) + [0.125]
        table = {"at": ["2024-01-01"] * rows, "who": ["1"] * rows, "total": totals}
        parquet.write_table(pa.table(table), path)

        with pytest.raises(HistoryError, match=r"x\.parquet, line 20000: 0\.125 is finer"):
            load(path.read_bytes(), name="x.parquet")

    def test_no_pyarrow(self, load, monkeypatch):
        """Without pyarrow, one sentence says what to install."""
        monkeypatch.setitem(sys.modules, "pyarrow", None)

        with pytest.raises(ConfigurationError, match=r"install crmcore\[parquet\]$"):
            load(b"PAR1", name="x.parquet")

    def test_unknown_ending(self, load):
        """A file whose ending says nothing needs a format."""
        with pytest.raises(ConfigurationError, match=r"the ending '\.dat' says no format"):
            load("at,who,total\n", name="x.dat")

    @pytest.mark.parametrize("name", ["none.csv", "none.jsonl", "none.parquet"])
    def test_no_file(self, tmp_path, name):
        """A file that is not there is named."""
        mapping = HistoryMapping.from_table(tomllib.loads(SALES))

        with pytest.raises(HistoryError, match=f"{name}: No such file or directory"):
            load_history(tmp_path / name, mapping, kinds=KINDS)

    def test_folder(self, tmp_path):
        """A folder is no file."""
        mapping = HistoryMapping.from_table(tomllib.loads(SALES + 'format = "csv"'))

        with pytest.raises(HistoryError, match="Is a directory"):
            load_history(tmp_path, mapping, kinds=KINDS)
