import tomllib

import pytest

from crmcore.errors import ConfigurationError
from crmcore.replay.columns import Column, Constant
from crmcore.replay.conditions import AllOf, AnyOf, CellCondition
from crmcore.replay.mapping import HistoryMapping
from crmcore.replay.mapping_parts import KindColumn, LineNumber, Time, UnitPriced

SMALLEST = """
source = "till"
kind = "order.placed"
time = "sold_at"
identifiers = { account = "customer" }
"""


def mapping(text):
    return HistoryMapping.from_table(tomllib.loads(SMALLEST + text))


@pytest.fixture
def refusal(tmp_path):
    """Return the sentence with which a mapping file is refused."""

    def refusal(text, *, without=""):
        kept = [line for line in SMALLEST.splitlines() if not without or without not in line]
        path = tmp_path / "till.toml"
        path.write_text("\n".join([*kept, text]), encoding="utf-8")
        with pytest.raises(ConfigurationError) as caught:
            HistoryMapping.from_toml(path)
        sentence = str(caught.value)
        assert sentence.startswith(f"{path}: ")
        assert "\n" not in sentence
        return sentence.removeprefix(f"{path}: ")

    return refusal


class TestForms:
    def test_smallest(self):
        """Source, kind, time and an identifier are enough."""
        found = mapping("")

        assert "till" == found.source
        assert "order.placed" == found.kind
        assert Time(column=(Column("sold_at"),)) == found.time
        assert {"account": (Column("customer"),)} == found.identifiers
        assert not found.has_amounts

    def test_text_is_a_column_or_a_value(self):
        """A text is a column where rows differ, and the value where they mostly do not."""
        found = mapping('currency = "EUR"\namount = "total"\nchannel = { column = "shop" }')

        assert ("EUR", Column("total"), Column("shop")) == (
            found.currency,
            found.amount,
            found.channel,
        )

    def test_payload(self):
        """A payload has columns and values; a text in the place of all of it is one column."""
        fields = mapping('payload = { a = "A", b = { value = "B" }, c = 3, d = true }').payload

        assert {
            "a": Column("A"),
            "b": Constant("B"),
            "c": Constant(3),
            "d": Constant(True),
        } == fields
        assert Column("properties") == mapping('payload = "properties"').payload

    def test_kind_column(self):
        """The kinds may stand in a column."""
        table = tomllib.loads(SMALLEST)
        table["kind"] = {"column": "event", "values": {"buy": "order.placed"}}

        assert (
            KindColumn(column=Column("event"), values={"buy": "order.placed"})
            == HistoryMapping.from_table(table).kind
        )

    def test_lists_of_columns(self):
        """Identifiers, time, key and groups may need several columns."""
        table = tomllib.loads(SMALLEST)
        table |= {"group_by": ["a", "b"], "key": "a"}
        table["time"] = {"column": ["day", "hour"], "format": "%Y-%m-%d %H"}
        table["identifiers"] = {"email": ["mail", {"column": "mail2", "optional": True}]}
        found = HistoryMapping.from_table(table)

        assert (Column("a"), Column("b")) == found.group_by
        assert (Column("a"),) == found.key
        assert (Column("day"), Column("hour")) == found.time.column
        assert {"email": (Column("mail"), Column("mail2", optional=True))} == found.identifiers

    def test_amount_of_units(self):
        """An amount may be a quantity times a price."""
        found = mapping('currency = "EUR"\namount = { quantity = "n", unit_price = "p" }')

        assert UnitPriced(quantity=Column("n"), unit_price=Column("p")) == found.amount
        assert found.has_amounts

    def test_line_number(self):
        """The key may be the line of the file."""
        assert LineNumber(line_number=True) == mapping("key = { line_number = true }").key

    def test_conditions(self):
        """Under `when` a list is 'and', in `leave_out` it is 'or'."""
        one, two = CellCondition(Column("a"), {"equals": 1}), CellCondition(Column("b"), {"in": []})
        text = '[{ column = "a", equals = 1 }, { column = "b", in = [] }]'
        found = mapping(f"leave_out = {text}\nrefunds = {{ when = {text} }}")

        assert AnyOf((one, two)) == found.leave_out
        assert AllOf((one, two)) == found.refunds.when

    def test_nested_conditions(self):
        """Conditions combine by `all` and `any`."""
        found = mapping(
            'leave_out = { all = [{ column = "a", empty = true }, '
            '{ any = [{ column = "b", matches = "x" }] }] }'
        )

        inner = AnyOf((CellCondition(Column("b"), {"matches": "x"}),))
        outer = AllOf((CellCondition(Column("a"), {"empty": True}), inner))
        assert AnyOf((outer,)) == found.leave_out

    def test_columns_of_the_file(self):
        """Each column is known with the key that names it; fields of items are no columns."""
        found = mapping(
            'currency = "EUR"\nlines = { each = "items", product = "sku", amount = "price" }\n'
            'leave_out = { column = "test", equals = true }'
        )

        assert {
            ("time", "sold_at"),
            ("identifiers.account", "customer"),
            ("lines.each", "items"),
            ("lines.product", "items"),
            ("leave_out", "test"),
        } == {(key, column.column) for key, column in found.file_columns()}


class TestRefusals:
    def test_unknown_key(self, refusal):
        """An unknown key is named with the nearest known one."""
        sentence = refusal('ammount = "x"')

        assert sentence.startswith("unknown field 'ammount' (did you mean 'amount'?)")

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            (
                'lines = { product = "p", quantty = "q" }',
                "unknown field 'lines.quantty' (did you mean 'quantity'?)",
            ),
            (
                'format = "cvs"',
                "field 'format': 'cvs' is not one of: csv, jsonl, parquet (did you mean 'csv'?)",
            ),
            (
                'zone = "Europe/Berln"',
                "field 'zone': unknown time zone 'Europe/Berln' (did you mean 'Europe/Berlin'?)",
            ),
            (
                'refunds = { when = { column = "a", start_with = "C" } }',
                "field 'refunds.when': unknown test 'start_with' (did you mean 'starts_with'?)",
            ),
            (
                'refunds = { when = { column = "a" } }',
                "field 'refunds.when': nothing is tested of 'a'",
            ),
            ('refunds = { when = { equals = "a" } }', "field 'refunds.when': 'column' is missing"),
            ('refunds = { kind = "order.refunded" }', "field 'refunds.when' is missing"),
            ("refunds = { when = [] }", "field 'refunds.when': the list of conditions is empty"),
            (
                'leave_out = { column = "a", matches = "(" }',
                "field 'leave_out': matches: '(' is not a regular expression",
            ),
            (
                'leave_out = { column = "a", less_than = true }',
                "field 'leave_out': less_than: True is not a number or text",
            ),
            (
                'leave_out = { column = "a", in = "b" }',
                "field 'leave_out': in: 'b' is not a list",
            ),
            (
                'leave_out = { all = [], column = "a" }',
                "field 'leave_out': 'all' takes a list of conditions, and nothing beside it",
            ),
            ('leave_out = "a"', "field 'leave_out': 'a' is not a condition"),
            ('amount = "total"', "field 'currency' is missing"),
            (
                'currency = "Euro"',
                "field 'currency': 'Euro' is not a currency; an ISO 4217 code such as 'EUR'",
            ),
            (
                'amount = { quantity = "n" }\ncurrency = "EUR"',
                "field 'amount.unit_price' is missing",
            ),
            ("minor = 1", "field 'minor': 1 is not true or false"),
            ('round = "up"', "field 'round': 'up' is not one of: refuse, half_even"),
            ("key = { line_number = false }", "field 'key.line_number': False is not one of: true"),
            ("key = []", "field 'key': the list of columns is empty"),
            (
                'key = { line_number = true }\ngroup_by = "a"',
                "field 'key': an interaction of several rows has no line number",
            ),
            ('order = "a"\nsubject = "b"', "fields 'order' and 'subject' exclude each other"),
            ('delimiter = "::"', "field 'delimiter': '::' is not one character or 'whitespace'"),
            (
                'encoding = "utf8-8"',
                "field 'encoding': unknown encoding 'utf8-8' (did you mean 'utf-8'?)",
            ),
            ('decimal_mark = ""', "field 'decimal_mark': one character"),
            ('columns = ["a"]\nformat = "jsonl"', "field 'columns': only a CSV can be"),
            ("payload = { note = [1] }", "field 'payload[note]': [1] is not the name of a column"),
            (
                'currency = "EUR"\nlines = { product = "p", amount = "a", unit_price = "b" }',
                "fields 'lines.amount' and 'lines.unit_price' exclude each other",
            ),
        ],
    )
    def test_setting(self, refusal, text, sentence):
        """What is wrong with a setting is said with its key, and the nearest right name."""
        assert sentence in refusal(text)

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ('time = { colum = "t" }', "unknown field 'time.colum' (did you mean 'column'?)"),
            ("time = 3", "field 'time': 3 is not the name of a column"),
            ('time = { column = "t", format = "%d.%m." }', "does not say year, month and day"),
            ('time = { column = "t", format = "yyyy" }', "does not say year, month and day"),
            ('time = { column = "t", format = "%Y-%m-%d %Q" }', "is not a format of times"),
            ('time = { column = "t", format = "%Y-%m-%d %Z" }', "use '%z', or zone"),
        ],
    )
    def test_time(self, refusal, text, sentence):
        """A format has to say a whole date, and no zone that Python would pass over."""
        assert sentence in refusal(text, without="time")

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("", "field 'identifiers' is missing"),
            ("identifiers = {}", "field 'identifiers' is empty; one of account, card"),
            (
                'identifiers = { e-mail = "a" }',
                "field 'identifiers': unknown scheme 'e-mail' (did you mean 'email'?)",
            ),
        ],
    )
    def test_identifiers(self, refusal, text, sentence):
        """An identifier has a known scheme, and there is one."""
        assert sentence in refusal(text, without="identifiers")

    def test_source_of_a_plugin(self, refusal):
        """What a plugin decided is never observed."""
        sentence = refusal('source = "plugin:tiering"', without="source")

        assert "field 'source': the name of the shop's system is expected" in sentence

    def test_not_toml(self, refusal):
        """A mistake in the TOML is told with its line."""
        assert "not TOML: " in (sentence := refusal("x = [}"))
        assert "line 6" in sentence

    def test_no_file(self, tmp_path):
        """A file that is not there is named."""
        with pytest.raises(ConfigurationError, match=r"none\.toml: No such file"):
            HistoryMapping.from_toml(tmp_path / "none.toml")
