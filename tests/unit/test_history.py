import tomllib
from collections import Counter
from datetime import UTC, datetime

import pytest

from crmcore.domain.identity import Identifier
from crmcore.domain.interaction import Line
from crmcore.domain.kind import KindRegistry
from crmcore.domain.kinds import CORE_KINDS
from crmcore.domain.money import Money
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
INVOICES = """
source = "till"
kind = "order.placed"
time = "at"
zone = "UTC"
currency = "EUR"
identifiers = { account = "who" }
order = "invoice"
group_by = "invoice"
lines = { product = "sku", quantity = "n", unit_price = "price" }
cancellations.when = { column = "invoice", starts_with = "C" }
cancellations.undoes = { column = "invoice", without_prefix = "C" }
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


class TestRows:
    def test_a_row_is_an_interaction(self, load):
        """Each row is one draft, with everything that the mapping says."""
        found = load(
            "at,who,mail,total,n,order,how\n"
            '2024-03-01T10:00:00+01:00,17,Ada@Example.com,"12.50",2,A1,shop\n',
            SALES.replace("identifiers", "old").replace('old = { account = "who" }', "")
            + 'identifiers = { account = "who", email = "mail" }\n'
            + 'order = "order"\nchannel = { column = "how" }\nactor = "till 3"\n'
            + 'payload = { quantity = "n", order = "order", note = { value = "gift" } }\n'
            + 'key = "order"',
        )

        (draft,) = found.drafts
        assert (1, 0, 0, ()) == (
            found.rows_read,
            found.rows_left_out,
            found.rows_repeated,
            found.problems,
        )
        assert "order.placed" == draft.kind
        assert (Identifier("account", "17"), Identifier("email", "ada@example.com")) == (
            draft.identifiers
        )
        assert at("2024-03-01T09:00") == draft.occurred_at == found.first_at == found.last_at
        assert Money(1250, "EUR") == draft.amount
        assert {"quantity": 2, "order": "A1", "note": "gift"} == draft.payload
        assert ("till", "A1", "order:A1") == (draft.source, draft.source_key, draft.subject)
        assert ("shop", "till 3") == (draft.channel, draft.actor)

    def test_order_of_time(self, load):
        """Drafts come in the order of time, and within one instant in that of the file."""
        found = load(
            "at,who,total\n2024-01-02,1,1\n2024-01-01,2,2\n2024-01-02,3,3\n2024-01-01,4,4\n"
        )

        assert ["2", "4", "1", "3"] == [d.identifiers[0].value for d in found.drafts]
        assert (at("2024-01-01"), at("2024-01-02")) == (found.first_at, found.last_at)

    def test_empty_cells(self, load):
        """Empty identifiers are skipped, an empty amount is none, an empty field is left out."""
        found = load(
            "at,who,mail,total,n\n2024-01-01, ,a@example.com,,\n",
            SALES.replace("{ account", '{ email = "mail", account')
            + 'payload = { quantity = "n" }',
        )

        (draft,) = found.drafts
        assert (Identifier("email", "a@example.com"),) == draft.identifiers
        assert (None, None) == (draft.amount, draft.payload)

    def test_no_rows(self, load):
        """A header alone is a history in which nothing happened."""
        found = load("at,who,total\n")

        assert (0, (), None, None) == (
            found.rows_read,
            found.drafts,
            found.first_at,
            found.last_at,
        )

    def test_left_out(self, load):
        """Rows of which one of the conditions holds are counted, and not read."""
        found = load(
            "at,who,total,sku\n2024-01-01,1,1,A\nnever,2,x,TEST1\n2024-01-01,,3,A\n",
            SALES
            + 'leave_out = [{ column = "sku", starts_with = "TEST" }, '
            + '{ column = "who", empty = true }]',
        )

        assert (3, 2, 1) == (found.rows_read, found.rows_left_out, len(found.drafts))

    def test_negative_orders(self, load):
        """An order that is not marked keeps its sign."""
        (draft,) = load("at,who,total\n2024-01-01,1,-3.10\n").drafts

        assert -310 == draft.amount.amount_minor

    def test_kinds_and_aliases(self, load):
        """Kinds come from a column, by table, by name or by alias."""
        found = load(
            "at,who,event\n2024-01-01,1,buy\n2024-01-01,1,order.placed\n"
            "2024-01-01,1,Order Completed\n2024-01-01,1,Signed Up\n",
            SALES.replace('kind = "order.placed"', "").replace('amount = "total"', "")
            + 'kind = { column = "event", values = { buy = "Order Completed" } }',
        )

        assert ["order.placed"] * 3 + ["account.registered"] == [d.kind for d in found.drafts]

    def test_payload_by_kind(self, load):
        """Each kind takes the fields that it has."""
        found = load(
            "at,who,event,sku,words\n2024-01-01,1,Product Viewed,A,\n"
            "2024-01-01,1,Products Searched,,socks\n",
            SALES.replace('kind = "order.placed"', "").replace('amount = "total"', "")
            + 'kind = { column = "event" }\npayload = { product = "sku", query = "words" }',
        )

        assert [{"product": "A"}, {"query": "socks"}] == [d.payload for d in found.drafts]

    def test_payload_is_read_only(self, load):
        """Rows share a payload, so nobody can change it for the others."""
        rows = "at,who,total,n\n2024-01-01,1,1,2\n2024-01-01,2,1,2\n"
        one, two = load(rows, SALES + 'payload = { quantity = "n" }').drafts

        assert one.payload == two.payload == {"quantity": 2}
        with pytest.raises(TypeError):
            one.payload["quantity"] = 3


class TestTimes:
    @pytest.mark.parametrize(
        ("cell", "setting", "expected"),
        [
            ("2024-03-01", 'time = "at"', "2024-02-29T23:00"),
            ("2024-03-01 10:30", 'time = "at"', "2024-03-01T09:30"),
            ("2024-03-01T10:30:00Z", 'time = "at"', "2024-03-01T10:30"),
            ("2024-07-01T10:30:00", 'time = "at"', "2024-07-01T08:30"),
            ("01.03.24", 'time = { column = "at", format = "%d.%m.%y" }', "2024-02-29T23:00"),
            (
                "2024-03-01 10:30 -0500",
                'time = { column = "at", format = "%Y-%m-%d %H:%M %z" }',
                "2024-03-01T15:30",
            ),
            ("1709288999", 'time = { column = "at", format = "unix" }', "2024-03-01T10:29:59"),
            (
                "1709288999125",
                'time = { column = "at", format = "unix_ms" }',
                "2024-03-01T10:29:59.125",
            ),
            # Clocks in Berlin skipped 02:00 to 03:00 on 31 March and showed it twice on 27 October.
            ("2024-03-31 02:30", 'time = "at"', "2024-03-31T01:30"),
            ("2024-10-27 02:30", 'time = "at"', "2024-10-27T00:30"),
        ],
    )
    def test_forms(self, load, cell, setting, expected):
        """Times are ISO 8601 or of the given form, and naive ones are of the given zone."""
        text = SALES.replace('time = "at"', setting).replace("UTC", "Europe/Berlin")
        (draft,) = load(f"at,who,total\n{cell},1,1\n", text).drafts

        assert at(expected) == draft.occurred_at
        assert UTC is draft.occurred_at.tzinfo

    def test_several_columns(self, load):
        """Day and time of day may stand apart."""
        (draft,) = load(
            "day,hour,who,total\n2024-03-01,10:30,1,1\n",
            SALES.replace('"at"', '["day", "hour"]'),
        ).drafts

        assert at("2024-03-01T10:30") == draft.occurred_at

    def test_order_over_a_change_of_clocks(self, load):
        """What the clock's face shows does not decide the order: 02:59 came before 02:01."""
        found = load(
            "at,who,total\n2024-10-27T02:01+01:00,later,1\n2024-10-27T02:59+02:00,earlier,1\n"
        )

        assert ["earlier", "later"] == [d.identifiers[0].value for d in found.drafts]


class TestAmounts:
    @pytest.mark.parametrize(
        ("cell", "settings", "minor"),
        [
            ("11.77", "", 1177),
            (" 11.7 ", "", 1170),
            ("-0.01", "", -1),
            ("92233720368547758.07", "", 2**63 - 1),
            ("1177", "minor = true", 1177),
            ('"1.234,56"', 'decimal_mark = ","\nthousands_mark = "."', 123456),
            ('"1,234.56"', 'thousands_mark = ","', 123456),
            ("0.125", 'round = "half_even"', 12),
            ("0.135", 'round = "half_even"', 14),
        ],
    )
    def test_exact(self, load, cell, settings, minor):
        """Decimal text becomes minor units exactly, or rounded as the mapping says."""
        (draft,) = load(f"at,who,total\n2024-01-01,1,{cell}\n", SALES + settings).drafts

        assert Money(minor, "EUR") == draft.amount

    def test_currency_of_each_row(self, load):
        """The minor unit is that of the row's currency."""
        rows = "at,who,total,cur\n2024-01-01,1,500,JPY\n2024-01-01,1,5,EUR\n2024-01-01,1,5,KWD\n"
        found = load(rows, SALES.replace('"EUR"', '{ column = "cur" }'))

        assert [Money(500, "JPY"), Money(500, "EUR"), Money(5000, "KWD")] == [
            d.amount for d in found.drafts
        ]

    def test_units_finer_than_a_cent(self, load):
        """The price of a unit may be finer than the minor unit, as long as the product is not."""
        (draft,) = load(
            "at,who,n,price\n2024-01-01,1,1000,0.0125\n",
            SALES.replace('"total"', '{ quantity = "n", unit_price = "price" }'),
        ).drafts

        assert Money(1250, "EUR") == draft.amount

    def test_lines(self, load):
        """A row has one line; without amounts of their own, lines have the row's."""
        text = (
            'lines = { product = "sku", variant = "size", category = "cat", quantity = "n", '
            'cost = "cost", key = "k" }'
        )
        (draft,) = load(
            "at,who,total,sku,size,cat,n,cost,k\n2024-01-01,1,9.90,A,L,shirts,3,4.20,a1\n",
            SALES + text,
        ).drafts

        expected = Line(
            product="A",
            variant="L",
            category="shirts",
            quantity=3,
            amount_minor=990,
            cost_minor=420,
            key="a1",
        )
        assert (expected,) == draft.lines
        assert Money(990, "EUR") == draft.amount

    def test_lines_make_the_amount(self, load):
        """Without an amount, the lines are added up; a row that names no product has no line."""
        found = load(
            "at,who,sku,price\n2024-01-01,1,A,9.90\n2024-01-02,1,,\n",
            SALES.replace('amount = "total"', 'lines = { product = "sku", unit_price = "price" }'),
        )

        assert [(Money(990, "EUR"), 1), (None, 0)] == [
            (draft.amount, len(draft.lines)) for draft in found.drafts
        ]


class TestGroups:
    ROWS = (
        "invoice,at,who,sku,n,price\n"
        "1,2024-01-05 09:00,7,A,2,1.50\n"
        "2,2024-01-04,8,B,1,10\n"
        "1,2024-01-05 08:59,7,C,1,0.25\n"
        "C1,2024-01-06,7,A,-1,1.50\n"
    )

    def test_rows_become_one(self, load):
        """Rows of an invoice become one order, wherever they stand: earliest time, all lines."""
        two, one, cancelled = load(self.ROWS, INVOICES).drafts

        assert (Money(1000, "EUR"), "order:2") == (two.amount, two.subject)
        assert (Money(325, "EUR"), "order:1") == (one.amount, one.subject)
        assert at("2024-01-05T08:59") == one.occurred_at
        assert [("A", 2, 300), ("C", 1, 25)] == [
            (line.product, line.quantity, line.amount_minor) for line in one.lines
        ]
        assert ("order.cancelled", "order:1") == (cancelled.kind, cancelled.subject)
        assert (150, [("A", 1, 150)]) == (
            cancelled.amount.amount_minor,
            [(line.product, line.quantity, line.amount_minor) for line in cancelled.lines],
        )

    def test_key_of_a_group(self, load):
        """A group is named by its kind and its values, so that no two can be confused."""
        found = load(
            "at,who,total,shop,bon\n2024-01-01,1,1,a/b,c\n2024-01-01,1,1,a,b/c\n",
            SALES + 'group_by = ["shop", "bon"]',
        )

        assert ["order.placed/a%2Fb/c", "order.placed/a/b%2Fc"] == [
            draft.source_key for draft in found.drafts
        ]

    def test_refund_with_the_number_of_its_order(self, load):
        """Rows that take back are no part of the order, though they carry its number."""
        found = load(
            "at,who,total,order,type\n2024-01-01,1,9,A,sale\n2024-01-03,1,4,A,return\n"
            "2024-01-01,1,1,A,sale\n",
            SALES
            + 'order = "order"\ngroup_by = "order"\n'
            + 'refunds.when = { column = "type", equals = "return" }',
        )

        assert [
            ("order.placed", 1000, "order:A", "order.placed/A"),
            ("order.refunded", 400, "order:A", "order.refunded/A"),
        ] == [(d.kind, d.amount.amount_minor, d.subject, d.source_key) for d in found.drafts]

    def test_cells_only_in_the_first_row(self, load):
        """What stands in one row of an order only, as in many exports, is true of all of it."""
        (draft,) = load(
            "order,at,who,mail,total,sku,n\nA,2024-01-01,7,a@example.com,30.00,x,1\nA,,7,,,y,2\n",
            SALES.replace("{ account", '{ email = "mail", account')
            + 'group_by = "order"\nlines = { product = "sku", quantity = "n" }',
        ).drafts

        assert (Identifier("email", "a@example.com"), Identifier("account", "7")) == (
            draft.identifiers
        )
        assert (3000, 2) == (draft.amount.amount_minor, len(draft.lines))


class TestUndoing:
    RETURNS = (
        'order = "order"\nrefunds = { when = { column = "total", less_than = 0 }, undoes = "of" }\n'
    )

    def test_magnitudes(self, load):
        """Amounts that are taken back are positive, as their kind makes them negative."""
        found = load(
            "at,who,total,order,of\n2024-01-01,1,30,A,\n2024-01-02,1,-12.50,R1,A\n",
            SALES + self.RETURNS,
        )

        assert [("order.placed", 3000, "order:A"), ("order.refunded", 1250, "order:A")] == [
            (d.kind, d.amount.amount_minor, d.subject) for d in found.drafts
        ]
        assert {"1": 1750} == net_minor(found)

    def test_positive_already(self, load):
        """A file may say how much was paid back without a sign."""
        found = load(
            "at,who,total,type\n2024-01-01,1,30,sale\n2024-01-02,1,30,refund\n",
            SALES + 'refunds.when = { column = "type", equals = "refund" }',
        )

        assert {"1": 0} == net_minor(found)

    def test_a_fee_is_kept(self, load):
        """Where a fee is kept, the sum is paid back, and its line stays the other way round."""
        found = load(
            "invoice,at,who,sku,n,price\nC1,2024-01-06,7,A,-4,2.50\nC1,2024-01-06,7,FEE,1,3\n",
            INVOICES,
        )

        (draft,) = found.drafts
        assert Money(700, "EUR") == draft.amount
        assert [("A", 4, 1000), ("FEE", -1, -300)] == [
            (line.product, line.quantity, line.amount_minor) for line in draft.lines
        ]

    def test_amount_of_the_order(self, load):
        """A cancellation without an amount takes back its order, wherever that stands."""
        found = load(
            "invoice,at,who,sku,n,price\nC1,2024-01-06,7,,,\n"
            "1,2024-01-05,7,A,2,1.50\n1,2024-01-05,7,B,1,0.25\n",
            INVOICES,
        )

        order, cancelled = found.drafts
        assert order.amount == cancelled.amount == Money(325, "EUR")
        assert order.lines == cancelled.lines
        assert {"7": 0} == net_minor(found)

    def test_lines_name_what_they_undo(self, load):
        """The lines of a cancelled order are undone by the key of each."""
        found = load(
            "at,who,total,order,state,k\n2024-01-01,1,5,A,ok,l1\n2024-01-02,1,,A,off,\n",
            SALES
            + 'order = "order"\nlines = { product = "order", key = "k" }\n'
            + 'cancellations.when = { column = "state", equals = "off" }',
        )

        (line,) = found.drafts[1].lines
        assert (500, None, "l1") == (line.amount_minor, line.key, line.undoes)

    def test_kinds_that_take_back(self, load):
        """Rows whose own kind takes back are treated the same."""
        found = load(
            "at,who,total,order,event\n2024-01-01,1,30,A,Order Completed\n"
            "2024-01-02,1,-5,A,Order Refunded\n2024-01-03,2,8,B,Order Completed\n"
            "2024-01-04,2,,B,Order Cancelled\n",
            SALES.replace('kind = "order.placed"', 'order = "order"')
            + 'kind = { column = "event" }',
        )

        assert {"1": 2500, "2": 0} == net_minor(found)

    def test_no_amounts_at_all(self, load):
        """Where nothing says an amount, cancellations have none either."""
        found = load(
            "at,who,state\n2024-01-01,1,off\n",
            SALES.replace('amount = "total"', "")
            + 'cancellations.when = { column = "state", equals = "off" }',
        )

        assert [("order.cancelled", None)] == [(d.kind, d.amount) for d in found.drafts]

    @pytest.mark.parametrize(
        ("test", "which"),
        [
            ('equals = "b"', "b"),
            ("equals = 10", "10"),
            ('not_equals = "b"', "a,10,9,"),
            ("not_equals = 10", "a,b,9,"),
            ('in = ["a", "b"]', "a,b"),
            ('in = [9, "a"]', "a,9"),
            ('starts_with = "1"', "10"),
            ('matches = "^[0-9]+$"', "10,9"),
            ("empty = true", ""),
            ("empty = false", "a,b,10,9"),
            ('less_than = "a"', "10,9"),
            ('greater_than = "a"', "b"),
            ('greater_than = "1", less_than = "b"', "a,10,9"),
        ],
    )
    def test_conditions(self, load, test, which):
        """Every test picks its rows; text compares as text, and numbers as numbers."""
        cells = ["a", "b", "10", "9", ""]
        rows = "".join(f"2024-01-01,{n},{cell}\n" for n, cell in enumerate(cells))
        found = load(
            "at,who,x\n" + rows,
            SALES.replace('amount = "total"', "") + f'refunds.when = {{ column = "x", {test} }}',
        )

        assert which.split(",") == [
            cells[int(draft.identifiers[0].value)]
            for draft in found.drafts
            if draft.kind == "order.refunded"
        ]

    def test_numbers_compare_as_numbers(self, load):
        """The text 9 is greater than 10; the number is not. An empty cell is neither."""
        found = load(
            "at,who,total,x\n2024-01-01,1,1,9\n2024-01-01,2,1,10\n2024-01-01,3,1,\n",
            SALES + 'leave_out = { column = "x", less_than = 9.5 }',
        )

        assert ["2", "3"] == [draft.identifiers[0].value for draft in found.drafts]


class TestKeys:
    def test_content(self, load):
        """Without a key, equal rows are told apart by their number, and no others."""
        rows = "at,who,total\n2024-01-01,1,5\n2024-01-01,1,5\n2024-01-01,1,6\n"
        one, two, three = (draft.source_key for draft in load(rows).drafts)

        assert (one[:-2], "-0", "-1") == (two[:-2], one[-2:], two[-2:])
        assert one[:-2] != three[:-2]

    def test_order_of_columns(self, load):
        """Who moves a column does not make other rows."""
        one = load("at,who,total\n2024-01-01,1,5\n").drafts
        other = load("who,total,at\n1,5,2024-01-01\n").drafts

        assert one == other

    def test_repeated(self, load):
        """A row that says again what its key said is dropped, and counted."""
        rows = "id,at,who,total\na,2024-01-01,1,5\nb,2024-01-02,1,5\na,2024-01-01,1,5.00\n"
        found = load(rows, SALES + 'key = "id"')

        assert ["a", "b"] == [draft.source_key for draft in found.drafts]
        assert (3, 1) == (found.rows_read, found.rows_repeated)
