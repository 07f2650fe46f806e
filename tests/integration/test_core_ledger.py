"""The ledger: what is refused and how, what is recorded once, and what is personal."""

import decimal
import threading
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, inspect

from crmcore import Crm, Draft, Erased, Identifier, Kind, Line, Money, personal
from crmcore.domain.kinds import Order
from crmcore.errors import CrmError, InputError, PayloadError, UnknownKindError
from crmcore.persistence.partitions import partitions_of
from crmcore.testing.snapshots import difference, snapshot
from tests.support.databases import present_kind, scratch, shop_file
from tests.support.making import draft, kinds, plugin, rows
from tests.support.plugins import Books
from tests.support.runs import opened

pytestmark = pytest.mark.each_database(partitioned=True)


def left(crm):
    """Return how many rows the ledger's tables hold together."""
    tables = ("interaction", "line", "dedupe", "customer", "identifier")
    return sum(rows(crm, f"SELECT count(*) FROM crm_{name}")[0][0] for name in tables)


# --------------------------------------------------------------------- what is refused

BAD = {
    "kind None": {"kind": None},
    "kind number": {"kind": 7},
    "subject number": {"subject": 7},
    "source_key number": {"source_key": 7},
    "source None": {"source": None},
    "source empty": {"source": ""},
    "channel object": {"channel": object()},
    "channel surrogate": {"channel": "\ud800"},
    "actor number": {"actor": 5},
    "date as text": {"occurred_at": "2024-01-01"},
    "date": {"occurred_at": date(2024, 1, 1)},
    "naive": {"occurred_at": datetime(2024, 1, 1)},  # noqa: DTZ001 - that is the point
    "amount object": {"amount": object()},
    "amount float": {"amount": 19.5},
    "amount truth": {"amount": True},
    "amount too fine": {"amount": "19.905"},
    "amount too large": {"amount": "1e30"},
    "amount NaN": {"amount": "NaN"},
    "caused_by too large": {"caused_by": 2**70},
    "caused_by text": {"caused_by": "order"},
    "customer text": {"customer": "ada"},
    "customer unknown": {"customer": 404},
    "customer too large": {"customer": 2**70},
    "lines of text": {"lines": ["x"]},
    "line amount too large": {"lines": [Line(product="p", amount_minor=2**70)], "amount": "1"},
    "line product None": {"lines": [Line(product=None)]},  # type: ignore[arg-type]
    "line amount float": {"lines": [Line(product="p", amount_minor=1.5)]},  # type: ignore[arg-type]
    "line quantity text": {"lines": [Line(product="p", quantity="x")]},  # type: ignore[arg-type]
    "source_key NUL": {"source_key": "a\0"},
    "subject NUL": {"subject": "\0"},
    "touch NUL": {"touch": "é\0"},
    "account NUL": {"identifiers": [Identifier("account", "a\0b")]},
    "line category NUL": {"lines": [Line(product="p", category="\0")]},
    "payload NUL": {"payload": {"order": "a\0b"}},
    "personal NUL": {"payload": {"order": "1", "note": "\0"}},
    "payload surrogate": {"payload": {"order": "\ud800"}},
    "payload key number": {"payload": {1: 2}},
    "payload list": {"payload": [1]},
    "payload object": {"payload": Order(order=5)},  # type: ignore[arg-type]
    "identifiers text": {"identifiers": ["ada@example.com"]},
    "email surrogate": {"email": "\ud800@example.com"},
    "email none": {"email": "ada"},
    "field misspelt": {"occured_at": datetime(2024, 1, 1, tzinfo=UTC)},
}


@pytest.mark.each_database  # with partitions only among the slow ones
@pytest.mark.parametrize("values", BAD.values(), ids=BAD)
def test_bad_values_are_refused(values):
    """What is not right is refused with an `InputError` in one sentence, and nothing is written."""
    with Crm(scratch()) as crm:
        given_values = {"email": "ada@example.com", **values}
        kind = given_values.pop("kind", "order.placed")
        with pytest.raises(CrmError) as caught:
            crm.record(kind, **given_values)
        assert isinstance(caught.value, (InputError, LookupError))
        assert "\n" not in str(caught.value)
        assert 0 == left(crm)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize(
    "at",
    [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)],
    ids=["first", "last"],
)
def test_the_ends_of_time(zone, at):
    """The first and the last instant are recorded and shown, or refused in one sentence."""
    with Crm(scratch(), zone=zone) as crm:
        try:
            order = crm.record("order.placed", email="ada@example.com", occurred_at=at)
        except InputError:
            assert 0 == left(crm)
        else:
            assert at == crm.why_stages(order.customer_id)[0].because[0].occurred_at


def test_a_refused_record_holds_no_key():
    """What was refused within a transaction takes no key: put right, its webhook is recorded."""
    with Crm(scratch()) as crm:
        with crm.begin() as tx:
            with pytest.raises(CrmError):
                tx.record("order.placed", customer=404, source_key="w1", amount="5")
            tx.record("order.placed", email="ada@example.com", source_key="w2", amount="7")
        found = crm.record("order.placed", email="bob@example.com", source_key="w1", amount="5")

        assert ("w1", 500) == (found.source_key, found.amount_minor)


def test_an_unknown_currency_holds_no_key():
    """An amount that nobody can convert is refused whole, also within a transaction."""
    with Crm(scratch()) as crm, crm.begin() as tx:
        with pytest.raises(InputError, match="choose_exchange_rate"):
            tx.record("order.placed", email="a@example.com", source_key="w", amount=Money(5, "USD"))
        found = tx.record("order.placed", email="b@example.com", source_key="w", amount="7")

        assert 700 == found.amount_minor


def test_unknown_kind_names_the_nearest():
    """An unknown kind is refused with the nearest known name."""
    with Crm(scratch()) as crm, pytest.raises(UnknownKindError, match=r"'order\.placed'"):
        crm.record("order.place", email="ada@example.com")


@frozen(kw_only=True)
class Item:
    sku: str
    count: int


@frozen(kw_only=True)
class Parcel:
    items: list[Item]
    weight: float | None = None


@pytest.fixture
def parcels():
    with Crm(
        scratch(), plugins=[plugin("p", register_kinds=[Kind("p.sent", payload=Parcel)])]
    ) as crm:
        yield crm


@pytest.mark.each_database  # with partitions only among the slow ones
@pytest.mark.parametrize(
    ("payload", "path"),
    [
        ({"items": [{"sku": "a", "count": "1"}]}, "items[0].count"),
        ({"items": [{"sku": "a", "count": 1}, {"sku": "b"}]}, "items[1].count"),
        ({"items": [{"sku": "a", "count": True}]}, "items[0].count"),
        ({"items": [{"sku": "a", "cuont": 1, "count": 1}]}, "items[0].cuont"),
        ({"items": 3}, "items"),
        ({}, "items"),
        ({"items": [], "wieght": 1.0}, "'wieght' (did you mean 'weight'?)"),
    ],
)
def test_payload_errors_carry_the_path(parcels, payload, path):
    """A malformed payload is refused with the path of the field."""
    with pytest.raises(PayloadError) as caught:
        parcels.record("p.sent", email="ada@example.com", payload=payload)
    assert path in str(caught.value)


@pytest.mark.each_database  # with partitions only among the slow ones
@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_payloads_are_json(parcels, weight):
    """A number that JSON cannot hold is refused, as databases could not read it."""
    with pytest.raises(PayloadError, match="weight"):
        parcels.record("p.sent", email="ada@example.com", payload={"items": [], "weight": weight})


def test_payload_objects_and_tables_are_equal(parcels):
    """A payload given as an object is checked and stored as one given as a table."""
    given_as = (
        Parcel(items=[Item(sku="a", count=1)]),
        {"items": [{"sku": "a", "count": 1}]},
    )
    first, second = (
        parcels.record("p.sent", email="ada@example.com", payload=payload).payload
        for payload in given_as
    )
    assert given_as[0] == first == second


@pytest.mark.each_database  # with partitions only among the slow ones
@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"source_key": "a\0"}, "source_key"),
        ({"lines": [Line(product="p", variant="\0")]}, "lines[0].variant"),
        ({"payload": {"order": "\0"}}, "'order'"),
        ({"payload": {"order": "1", "note": "\0"}}, "'note'"),
    ],
)
def test_a_nul_character_is_refused_by_its_field(values, field):
    """A NUL character, which one of the databases cannot store, is refused with its field."""
    with Crm(scratch()) as crm, pytest.raises(InputError) as caught:
        crm.record("order.placed", account="17", **values)

    assert field in str(caught.value)
    assert "NUL" in str(caught.value)


def test_odd_text_is_kept():
    """Text that only looks odd is kept: lines, tabs, other scripts, a written-out escape."""
    odd = "two\nlines\tÅse 愛\x7f\\u0000"
    with Crm(scratch()) as crm:
        found = crm.record(
            "order.placed",
            identifiers=[Identifier("account", odd)],
            source_key=odd,
            subject=odd,
            lines=[Line(product=odd)],
            payload={"order": odd, "note": odd},
        )

        assert [odd, odd, odd, odd] == [
            found.source_key,
            found.subject,
            found.payload.order,
            found.payload.note,
        ]
        assert [(odd,)] == rows(crm, "SELECT product FROM crm_line")
        assert found.customer_id == crm.find_customer(Identifier("account", odd))


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=6) | st.integers() | st.sampled_from(["order", "items"]), inner
        )
    ),
    max_leaves=6,
)


@pytest.mark.each_database  # with partitions only among the slow ones
@given(JUNK)
def test_any_payload_is_recorded_or_refused(payload):
    """Whatever comes as a payload is recorded and read back, or refused with a `PayloadError`."""
    with Crm(scratch()) as crm, crm.begin() as tx, suppress(PayloadError):
        found = tx.record("order.placed", email="ada@example.com", payload=payload)
        assert isinstance(found.payload, Order)


# ---------------------------------------------------------------- names, versions, persons


def test_aliases_of_segment():
    """An event by Segment's name is recorded under the kind's own."""
    with Crm(scratch()) as crm:
        assert "order.placed" == crm.record("Order Completed", email="ada@example.com").kind


@frozen(kw_only=True)
class AskedV1:
    text: str | Erased = personal()


@frozen(kw_only=True)
class AskedV2:
    words: str | Erased = personal()
    urgent: bool = False


def upcast(values):
    return {"words": values["text"], "urgent": values["text"].endswith("!")}


def asked(version):
    if version == 1:
        return plugin("q", register_kinds=[Kind("q.asked", payload=AskedV1)])
    kind = Kind("q.asked", payload=AskedV2, version=2, upcasters={1: upcast})
    return plugin("q", register_kinds=[kind])


@pytest.fixture
def url(tmp_path):
    return shop_file(tmp_path)


def test_old_versions_are_read(url):
    """What was recorded in version 1 reads as version 2, and stays as it was written."""
    with Crm(url, plugins=[asked(1)]) as crm:
        old = crm.record("q.asked", email="ada@example.com", payload={"text": "Where?!"})
    with Crm(url, plugins=[asked(2)]) as crm:
        (found,) = crm.customer(old.customer_id).latest

        assert AskedV2(words="Where?!", urgent=True) == found.payload
        assert 1 == found.kind_version


def test_a_version_without_an_upcaster_is_refused():
    """A kind that cannot read one of its old versions stops the start, naming its plugin."""
    kind = Kind("q.asked", payload=AskedV2, version=3, upcasters={1: upcast})
    with (
        pytest.raises(CrmError, match="'q'"),
        Crm(scratch(), plugins=[plugin("q", register_kinds=[kind])]),
    ):
        pass


def everywhere(crm, text):
    """Return the columns in which *text* stands, over all tables."""
    with crm.begin() as tx:
        database = tx.connection.sqlalchemy
        names = set(inspect(database).get_table_names()) - partitions_of(tx.connection)
        cells = [
            (name, column)
            for name in sorted(names)
            for column in database.exec_driver_sql(f"SELECT * FROM {name} LIMIT 0").keys()  # noqa: SIM118 - no dict
        ]
    found = set()
    for name, column in cells:
        holding = f"SELECT 1 FROM {name} WHERE strpos(CAST({column} AS TEXT), '{text}') > 0"
        if present_kind() == "sqlite":
            holding = holding.replace("strpos", "instr")
        if rows(crm, holding):
            found.add(f"{name}.{column}")
    return found


def test_personal_values_stand_in_one_column():
    """A personal value stands in the column `personal`, and nowhere else."""
    with Crm(scratch()) as crm:
        crm.record("order.placed", account="17", payload={"order": "1", "note": "ring at Lovelace"})
        crm.record("service.opened", account="17", payload={"case": "1", "text": "Lovelace"})

        assert {"crm_interaction.personal"} == everywhere(crm, "Lovelace")


@frozen(kw_only=True)
class Address:
    street: str | Erased = personal()


@frozen(kw_only=True)
class Sent:
    to: Address


def test_personal_values_within_values():
    """A personal field within a field stands apart too, or its kind is refused at the start."""
    try:
        crm = Crm(scratch(), plugins=[plugin("s", register_kinds=[Kind("s.sent", payload=Sent)])])
    except CrmError:
        return
    with crm:
        crm.record("s.sent", account="17", payload={"to": {"street": "Lovelace Road"}})
        assert {"crm_interaction.personal"} == everywhere(crm, "Lovelace")


@pytest.mark.parametrize("key", ["ada@example.com", "news/ada@example.com", "sms/+4930123456"])
def test_keys_like_addresses_are_hashed(key):
    """A key or subject that looks like an address is stored as a hash of the database's own."""
    values = {"account": "17", "source_key": key, "subject": key}
    hashes = set()
    for _ in range(2):
        with Crm(scratch()) as crm:
            first, again = (crm.record("order.placed", **values) for _ in range(2))
            assert first.id == again.id
            assert set() == everywhere(crm, key.partition("/")[2] or key)
            hashes.add(first.source_key)
    assert 2 == len(hashes)


# --------------------------------------------------------------------------------- money


def test_lines_of_refunds_are_negative():
    """The lines of a refund take away what the lines of the order brought."""
    lines = [Line(product="p", quantity=2, amount_minor=500), Line(product="d", amount_minor=-200)]
    with Crm(scratch()) as crm:
        crm.record("order.placed", account="17", lines=lines)
        crm.record("order.refunded", account="17", lines=lines)
        sums = rows(
            crm,
            "SELECT i.amount_minor, sum(l.amount_minor), min(l.sign), max(l.sign) "
            "FROM crm_interaction i JOIN crm_line l USING (interaction_id) "
            "GROUP BY interaction_id, i.amount_minor ORDER BY interaction_id",
        )

    assert [(300, 300, 1, 1), (-300, -300, -1, -1)] == sums


@pytest.mark.each_database  # with partitions only among the slow ones
@given(
    st.lists(st.integers(0, 2**53), min_size=1, max_size=5),
    st.decimals("0.001", "100", places=4),
)
def test_foreign_lines_add_up(amounts, rate):
    """What an order's lines bring in the shop's currency adds up to what the order brings."""
    rates = plugin("fx", choose_exchange_rate=lambda ctx, event: rate)
    with opened([rates]) as (crm, _):
        crm.record(
            "order.placed",
            account="17",
            amount=Money(sum(amounts), "USD"),
            lines=[Line(product=f"p{n}", amount_minor=a) for n, a in enumerate(amounts)],
        )
        ((whole, parts),) = rows(
            crm,
            "SELECT max(i.amount_base_minor), sum(l.amount_base_minor) "
            "FROM crm_interaction i JOIN crm_line l USING (interaction_id)",
        )
    exact = sum(amounts) * rate
    assert abs(exact - whole) <= Decimal("0.5")
    assert whole == parts


@pytest.mark.each_database  # with partitions only among the slow ones
@given(st.integers(-(2**63) + 1, 2**63 - 1), st.sampled_from(["EUR", "JPY", "KWD"]))
def test_money_is_exact(minor, currency):
    """Money written in major units is the same money, whatever precision the shop computes with."""
    places = {"EUR": 2, "JPY": 0, "KWD": 3}[currency]
    text = f"{'-' if minor < 0 else ''}{abs(minor) // 10**places}"
    if places:
        text += f".{abs(minor) % 10**places:0{places}d}"
    with decimal.localcontext(prec=6):
        assert Money(minor, currency) == Money.of(text, currency)
        assert minor == Money(minor, currency).convert(Decimal(1), currency).amount_minor


def test_what_is_no_sale_brings_no_revenue():
    """The amount of a checkout, which is no sale, does not count as revenue."""
    with Crm(scratch()) as crm:
        order = crm.record("order.placed", account="17", amount="20.00")
        crm.record("checkout.started", account="17", amount="50.00", payload={"checkout": "1"})

        assert Money(2000, "EUR") == crm.customer(order.customer_id).revenue


@pytest.mark.parametrize("first", ["order", "cancellation"])
def test_a_cancellation_in_any_order(first):
    """A cancellation without an amount takes back its order, whichever comes first in a batch."""
    both = [
        draft("order.placed", 0, key="1", subject="order:1", amount=Money(700, "EUR")),
        draft("order.cancelled", 1, key="2", subject="order:1"),
    ]
    with Crm(scratch()) as crm:
        crm.record_many(both if first == "order" else both[::-1])

        assert [(0,)] == rows(crm, "SELECT sum(amount_base_minor) FROM crm_interaction")


def test_a_cancellation_of_nothing_known():
    """A cancellation of an order nobody knows is refused where it has no amount of its own."""
    lost = draft("order.cancelled", 1, key="2", subject="order:1")
    with Crm(scratch()) as crm:
        with pytest.raises(CrmError, match="record the order first, or give the amount"):
            crm.record(lost)
        crm.record(evolve(lost, amount=Money(700, "EUR")))

        assert [(-700,)] == rows(crm, "SELECT sum(amount_base_minor) FROM crm_interaction")


def test_a_cancellation_at_the_orders_rate():
    """A cancellation without an amount takes away what the order was worth when it was placed."""
    rates = iter([Decimal("1.05"), Decimal("0.90")])
    shop = plugin("shop_rates", choose_exchange_rate=lambda ctx, event: next(rates))
    with Crm(scratch(), plugins=[shop]) as crm:
        crm.record(draft("order.placed", 0, key="1", subject="o", amount=Money(700, "CHF")))
        crm.record(draft("order.cancelled", 1, key="2", subject="o"))

        assert [(735,), (-735,)] == rows(crm, "SELECT amount_base_minor FROM crm_interaction")


# -------------------------------------------------------------------------------- dedupe


@given(st.data())
def test_a_webhook_delivered_five_times(data):
    """Delivered five times in any order and batches, webhooks leave what one delivery leaves."""
    hooks = [
        draft("order.placed", n, key=f"w{n}", email=f"c{n % 2}", amount=Money(100 * n, "EUR"))
        for n in range(3)
    ]
    order = data.draw(st.permutations([n for n in range(3) for _ in range(5)]))
    cuts = sorted(data.draw(st.sets(st.integers(1, 14), max_size=4)))
    with opened([Books(reviews=False)]) as (crm, _):
        seen: dict[int, int] = {}
        for low, high in zip([0, *cuts], [*cuts, 15], strict=True):
            done = crm.record_many([hooks[n] for n in order[low:high]])
            for n, interaction_id in zip(order[low:high], done.ids, strict=True):
                assert interaction_id == seen.setdefault(n, interaction_id)
        found = snapshot(crm)
    with opened([Books(reviews=False)]) as (crm, _):
        crm.record_many([hooks[n] for n in dict.fromkeys(order)])
        expected = snapshot(crm)

    assert "" == difference(expected.tables, found.tables)


def test_sources_have_keys_of_their_own():
    """The same key of two sources names two interactions."""
    with Crm(scratch()) as crm:
        for source in ("shop", "till", "shop"):
            crm.record("order.placed", account="17", source=source, source_key="1")

        assert 2 == len(kinds(crm))


def test_two_shops_side_by_side():
    """Two applications in one process, each with its own database, know nothing of each other."""
    with Crm(scratch(), plugins=[Books()]) as one, Crm(scratch(), currency="USD") as two:
        one.record("order.placed", account="17", source_key="1", amount="1.00")
        found = two.record("order.placed", account="18", source_key="1", amount="1.00")

        assert (1, "USD") == (found.id, found.currency)
        assert ["order.placed", "books.noted"] == kinds(one)
        assert ["order.placed"] == kinds(two)


def test_threads_on_one_file(url):
    """Threads that open one new file at once and deliver the same webhooks record each once."""
    errors: list[BaseException] = []
    ready = threading.Barrier(4)

    def deliver():
        try:
            ready.wait()
            with Crm(url, plugins=[Books(reviews=False)]) as crm:
                for n in range(25):
                    crm.record(
                        "order.placed",
                        account=f"{n % 5 + 1}",
                        source_key=f"w{n}",
                        amount="1.00",
                    )
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=deliver) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == errors
    with Crm(url, plugins=[Books(reviews=False)]) as crm:
        assert [(5, 25 * 100)] == rows(crm, "SELECT count(*), sum(net_minor) FROM crm_books_entry")
        assert 50 == len(kinds(crm))


def test_the_shop_may_be_read_while_it_is_written(url):
    """A read beside an open transaction sees what was committed before, and waits for nothing."""
    with Crm(url) as crm:
        order = crm.record("order.placed", account="17", source_key="1")
        with crm.begin() as tx:
            tx.record("order.placed", account="17", source_key="2")
            assert 1 == crm.customer(order.customer_id).interactions


def test_a_foreign_file_is_not_touched(url):
    """A file with tables of crmcore's names that are not crmcore's is refused."""
    foreign = create_engine(url)
    with foreign.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS crm_revision")
        connection.exec_driver_sql("CREATE TABLE crm_revision (component TEXT, revision INTEGER)")
    foreign.dispose()
    with pytest.raises(CrmError, match="crmcore"):
        Crm(url)


# What is accepted, less a day at either end: the zone is drawn.
SOON, LATE = datetime(1900, 1, 2), datetime(2199, 12, 31)  # noqa: DTZ001


@pytest.mark.each_database  # with partitions only among the slow ones
@given(st.integers(-1439, 1439), st.datetimes(SOON, LATE))
def test_instants_are_exact(minutes, naive):
    """An instant is kept to the microsecond, whatever zone it was given in."""
    given_at = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    draft_ = Draft("order.placed", identifiers=(Identifier("account", "1"),), occurred_at=given_at)
    with Crm(scratch()) as crm, crm.begin() as tx:
        found = tx.record(draft_)

    assert given_at == found.occurred_at


# --------------------------------------------------------------------- what is told again


def test_what_is_told_again_otherwise_is_warned_of(caplog):
    """Once for one interaction, by what differs; the first stands, and nothing is written."""
    with opened() as (crm, _):
        first = crm.record("order.placed", email="ada@example.com", amount="5", source_key="a")
        before = left(crm)
        for values in (
            {"email": "ADA@example.com", "amount": "5.00"},
            {"customer": first.customer_id, "amount": "5"},
        ):
            assert first == crm.record("order.placed", **values, source_key="a")
        assert [] == caplog.messages
        for kind, values, differs in (
            ("order.placed", {"email": "ada@example.com", "amount": "6"}, "amount"),
            ("order.placed", {"email": "ada@example.com"}, "amount"),
            ("order.placed", {"email": "eve@example.com", "amount": "5"}, "customer"),
            ("order.refunded", {"customer": first.customer_id, "amount": "5"}, "kind and amount"),
        ):
            caplog.clear()
            assert first == crm.record(kind, **values, source_key="a")
            (told,) = caplog.messages
            assert f"order.placed {first.id} was recorded before under this source" in told
            assert f"what is told now differs in its {differs}; what was" in told
        assert before == left(crm)


def test_what_is_told_again_alike_is_quiet(caplog):
    """Of one who was merged or erased since, and of an amount that was found for it, too."""
    with opened() as (crm, _):
        crm.record("order.placed", email="ada@example.com", amount="5", subject="order:a")
        told = [
            draft("order.cancelled", key="c", email="ada", subject="order:a"),
            draft("order.refunded", key="r", email="ada", amount=Money(200, "EUR")),
        ]
        first = [crm.record(each) for each in told]
        bea = crm.record("order.placed", email="bea@example.com", amount="5").customer_id
        for change in (
            lambda: None,
            lambda: crm.merge(bea, first[0].customer_id),
            lambda: crm.erase(bea),
        ):
            change()
            again = [crm.record(each) for each in told]
            assert [each.id for each in first] == [each.id for each in again]
        assert [] == caplog.messages
