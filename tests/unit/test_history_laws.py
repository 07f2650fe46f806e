import random
import tempfile
import tomllib
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from crmcore.domain.kind import KindRegistry
from crmcore.domain.kinds import CORE_KINDS
from crmcore.replay.history import load_history
from crmcore.replay.mapping import HistoryMapping

KINDS = KindRegistry(CORE_KINDS)
SALES = HistoryMapping.from_table(
    tomllib.loads(
        """
        source = "till"
        kind = "order.placed"
        time = "at"
        zone = "UTC"
        currency = "EUR"
        amount = "total"
        identifiers = { account = "who" }
        """
    )
)
INVOICES = HistoryMapping.from_table(
    tomllib.loads(
        """
        source = "till"
        kind = "order.placed"
        time = "at"
        zone = "UTC"
        currency = "EUR"
        identifiers = { account = "who" }
        order = "invoice"
        group_by = "invoice"
        lines = { product = "sku", quantity = "n", unit_price = "price" }
        [cancellations]
        when = { column = "invoice", starts_with = "C" }
        undoes = { column = "invoice", without_prefix = "C" }
        """
    )
)
START = datetime(2024, 1, 1, tzinfo=UTC)


@st.composite
def sales(draw):
    """Rows of a till: few of each value, so that equal rows are common."""
    minutes = draw(st.integers(0, 3))
    cents = draw(st.integers(-200, 999))
    moment = (START + timedelta(minutes=minutes)).isoformat()
    return [moment, str(draw(st.integers(1, 3))), f"{cents / 100:.2f}"]


@st.composite
def invoices(draw):
    """Invoices of one to four lines each, in cents: number, customer, [(product, n, price)]."""
    line = st.tuples(st.sampled_from("ABC"), st.integers(1, 9), st.integers(0, 500))
    contents = draw(st.lists(st.lists(line, min_size=1, max_size=4), max_size=6))
    return [(str(n), str(n % 3), lines) for n, lines in enumerate(contents, start=100)]


def rows_of(invoice, *, prefix="", sign=1):
    number, who, lines = invoice
    moments = [START + timedelta(minutes=int(number) + n) for n in range(len(lines))]
    return [
        [prefix + number, at.isoformat(), who, sku, str(sign * n), f"{price / 100:.2f}"]
        for at, (sku, n, price) in zip(moments, lines, strict=True)
    ]


def load(header, rows, mapping):
    text = "\n".join(",".join(cells) for cells in [header.split(), *rows])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "history.csv")
        path.write_text(text + "\n", encoding="utf-8")
        return load_history(path, mapping, kinds=KINDS)


def load_sales(rows):
    return load("at who total", rows, SALES)


def load_invoices(rows):
    return load("invoice at who sku n price", rows, INVOICES)


def by_key(history):
    """Return the drafts by key, the lines of each in one order."""
    return {
        draft.source_key: attrs.evolve(draft, lines=tuple(sorted(draft.lines, key=repr)))
        for draft in history.drafts
    }


def net_minor(history):
    net: Counter[str] = Counter()
    for draft in history.drafts:
        net[draft.identifiers[0].value] += KINDS[draft.kind].sign * draft.amount.amount_minor
    return {who: minor for who, minor in net.items() if minor}


@settings(deadline=None)
@given(st.lists(sales(), max_size=30))
def test_every_row_is_recorded_once(rows):
    """Each row is one draft with a key of its own, and its money is kept to the cent."""
    found = load_sales(rows)

    assert len(rows) == found.rows_read == len(found.drafts) == len(by_key(found))
    cents: Counter[str] = Counter()
    for _, who, total in rows:
        cents[who] += int(total.replace(".", ""))
    assert {who: minor for who, minor in cents.items() if minor} == net_minor(found)


@settings(deadline=None)
@given(st.lists(sales(), max_size=30), st.randoms(use_true_random=False))
def test_order_of_rows(rows, randoms):
    """Shuffled rows give the same drafts, with the same keys."""
    shuffled = randoms.sample(rows, len(rows))

    assert by_key(load_sales(rows)) == by_key(load_sales(shuffled))


@settings(deadline=None)
@given(st.lists(sales(), max_size=30), st.lists(sales(), max_size=10))
def test_longer_files(rows, more):
    """A file that has grown gives the earlier rows the keys they had."""
    earlier, later = by_key(load_sales(rows)), by_key(load_sales(rows + more))

    assert earlier.items() <= later.items()
    assert len(rows) + len(more) == len(later)


@settings(deadline=None)
@given(invoices(), st.randoms(use_true_random=False))
def test_order_of_grouped_rows(found, randoms):
    """Rows of an invoice need not stand together, nor in order."""
    rows = [row for invoice in found for row in rows_of(invoice)]
    shuffled = randoms.sample(rows, len(rows))

    assert by_key(load_invoices(rows)) == by_key(load_invoices(shuffled))


@settings(deadline=None)
@given(invoices())
def test_invoices_add_up(found):
    """An invoice is the sum of its lines, at the time of its earliest."""
    drafts = {
        draft.subject: draft
        for draft in load_invoices([row for one in found for row in rows_of(one)]).drafts
    }

    assert {f"order:{number}" for number, _, _ in found} == drafts.keys()
    for number, who, lines in found:
        draft = drafts[f"order:{number}"]
        assert who == draft.identifiers[0].value
        assert sum(n * price for _, n, price in lines) == draft.amount.amount_minor
        assert START + timedelta(minutes=int(number)) == draft.occurred_at
        assert list(lines) == [
            (line.product, line.quantity, line.amount_minor // line.quantity)
            for line in draft.lines
        ]


@settings(deadline=None)
@given(invoices(), st.sampled_from([-1, 1, 0]), st.randoms(use_true_random=False))
def test_cancelled_in_full(found, sign, randoms):
    """What was cancelled leaves nothing, whatever sign the file writes, or if it says nothing."""
    rows = [row for invoice in found for row in rows_of(invoice)]
    for number, who, lines in found:
        if sign:
            rows += rows_of((number, who, lines), prefix="C", sign=sign)
        else:
            rows.append([f"C{number}", START.isoformat(), who, "", "", ""])
    history = load_invoices(randoms.sample(rows, len(rows)))

    assert 2 * len(found) == len(history.drafts)
    assert {} == net_minor(history)


@settings(deadline=None)
@given(st.data())
def test_cancelled_in_part(data):
    """What a signed file takes back in part is netted to the cent."""
    found = data.draw(invoices())
    rows, expected = [], Counter[str]()
    for number, who, lines in found:
        kept = data.draw(st.integers(0, len(lines)))
        rows += rows_of((number, who, lines))
        rows += rows_of((number, who, lines[kept:]), prefix="C", sign=-1)
        expected[who] += sum(n * price for _, n, price in lines[:kept])
    random.Random(0).shuffle(rows)

    assert {who: minor for who, minor in expected.items() if minor} == net_minor(
        load_invoices(rows)
    )
