"""The profile in a shop: what is recorded, what time brings, what is asked, what is forgotten."""

from datetime import UTC, datetime, timedelta

import pytest
from crmcore_profile import AttributeSettings, Profile
from crmcore_profile.tables import TABLES, Whole
from sqlalchemy import bindparam, func, select

from crmcore import (
    Cap,
    Crm,
    CustomerAsked,
    Draft,
    GateSettings,
    Identifier,
    Line,
    VirtualClock,
    to_instant,
)
from crmcore.errors import PayloadError
from tests.support.databases import scratch, shop_file
from tests.support.sending import Post, message

pytestmark = pytest.mark.each_database(partitioned=True)

START = datetime(2024, 2, 28, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ADA = Identifier("account", "ada")
_NOW, _WHO = bindparam("now", type_=Whole), bindparam("who", type_=Whole)


def open_crm(*plugins, url=None, start=START, **options):
    clock = VirtualClock(to_instant(start))
    made = plugins or (Profile(),)
    crm = Crm(
        url or scratch(), plugins=made, clock=clock, secret="of a test", durable=False, **options
    )
    return crm, clock


@pytest.fixture
def shop():
    """A shop with the profile, and its clock."""
    crm, clock = open_crm()
    with crm:
        yield crm, clock


def state(crm, attribute, value=None, kind="declared", *, account=ADA, **more):
    """Record a statement about somebody."""
    fields = {name: more.pop(name) for name in ("occurred_at", "source_key") if name in more}
    payload = {"attribute": attribute, **({} if value is None else {"value": value}), **more}
    return crm.record(f"profile.{kind}", identifiers=[account], payload=payload, **fields)


def trait(crm, name, account=ADA):
    return crm.customer(account).traits[f"profile.{name}"]


def page(crm, account=ADA):
    return crm.customer(account).descriptions["profile"]


def asked(crm, account=ADA):
    """Return what to ask next, as the shop asks it."""
    who = crm.find_customer(account)
    with crm.begin() as tx, tx.acting(Profile) as (profile, ctx):
        return profile.ask_next(ctx, who)


class TestStatements:
    """What is stated is known at once, with where it came from."""

    def test_at_once(self, shop):
        """In the transaction in which it is recorded it is known."""
        crm, _ = shop
        state(crm, "gender", "male", "inferred", confidence=70)
        state(crm, "gender", "female")
        state(crm, "gender", "male", "observed")

        assert "female" == trait(crm, "gender")

    def test_provenance(self, shop):
        """Each value is shown with its origin, confidence, as-of, and the very interaction."""
        crm, clock = shop
        first = state(crm, "occupation", "teacher", "inferred", confidence=70)
        clock.advance_to(to_instant(START + DAY))
        tea = state(crm, "interests", "tea", as_of=to_instant(START))
        told = page(crm)["attributes"]

        assert {
            "value": "teacher",
            "origin": "inferred",
            "confidence": "70 %",
            "as_of": "2024-02-28",
            "interaction": str(first.id),
        } == told["occupation"]
        assert [("tea", str(tea.id), "2024-02-28")] == [
            (each["value"], each["interaction"], each["as_of"]) for each in told["interests"]
        ]

    def test_unfit(self, shop):
        """What fits no type stays in the ledger and the history, and changes no trait."""
        crm, _ = shop
        state(crm, "birthday", "1984-02-29")
        state(crm, "birthday", "last spring", occurred_at=START)

        assert "1984-02-29" == trait(crm, "birthday")
        assert 2 == len(crm.customer(ADA).latest)

    @pytest.mark.parametrize(
        ("payload", "told"),
        [
            ({"attribute": "city"}, "field 'value' is missing"),
            ({"attribute": "city", "value": ""}, "1 to 500 expected"),
            ({"attribute": "city", "value": "x", "confidence": 101}, "101 found, percent from 0"),
            ({"attribute": "city", "value": 7}, "7 is not text"),
        ],
    )
    def test_malformed(self, shop, payload, told):
        """What is no statement at all is refused."""
        crm, _ = shop

        with pytest.raises(PayloadError, match=told):
            crm.record("profile.declared", account="ada", payload=payload)

    def test_policy_is_a_setting(self, tmp_path):
        """Another policy applies at once, with no rebuild: the history has all of it."""
        url = shop_file(tmp_path)
        found = []
        for policy in ("most_trusted", "newest"):
            settings = {"city": AttributeSettings(policy=policy)}
            crm, _ = open_crm(Profile(attributes=settings), url=url)
            with crm:
                state(crm, "city", "Bern", source_key="1", occurred_at=START - DAY)
                state(crm, "city", "Genf", "observed", source_key="2")
                found.append(trait(crm, "city"))

        assert ["Bern", "Genf"] == found

    def test_taken_back(self, shop):
        """What a customer takes back is not known any more, and not asked for again."""
        crm, _ = shop
        state(crm, "interests", "tea")
        state(crm, "interests", "tennis")
        state(crm, "birthday", "--05-17")
        state(crm, "interests", "tea", "withdrawn")
        state(crm, "birthday", kind="withdrawn")

        assert "tennis" == trait(crm, "interests")
        assert -1 == trait(crm, "birthday_next_days")
        assert "preferred_channel" == asked(crm).attribute

    def test_zone(self, shop):
        """The zone by which the gate keeps quiet hours is known here, too."""
        crm, _ = shop
        state(crm, "city", "Bern")
        crm.set_zone(ADA, "Europe/Zurich")

        assert "Europe/Zurich" == trait(crm, "zone")

    def test_other_plugins(self, shop):
        """A plugin that guesses records it, and it is known in the same transaction."""
        crm, _ = shop
        state(crm, "city", "Bern")
        who = crm.find_customer(ADA)
        guess = Draft(
            "profile.inferred",
            customer=who,
            source="model",
            source_key="guess",
            payload=crm.plugin(Profile).draft("gender", "male", customer=who).payload,
        )
        with crm.begin() as tx:
            tx.record(guess)

        assert "male" == trait(crm, "gender")


class TestTime:
    """What follows from dates moves on with the clock, and with nothing else."""

    def test_a_family(self, shop):
        """Birthdays come nearer, children grow, and not a row is written."""
        crm, clock = shop
        state(crm, "birthday", "1999-03-01")
        state(crm, "children", "2024-03-15")
        state(crm, "children", "2020-02-29")
        names = ("age_band", "birthday_next_days", "life_stage", "oldest_child")
        found, rows = [], None
        for day in (0, 1, 2, 16, 400):
            clock.advance_to(to_instant(START + day * DAY))
            traits = crm.customer(ADA).traits
            found.append(tuple(traits[f"profile.{name}"] for name in names))
            with crm.begin() as tx:
                counted = [tx.connection.execute(select(t.table)) for t in TABLES]
            assert rows is None or rows == counted
            rows = counted

        assert [
            ("18-24", 2, "expected", "preschool"),
            ("18-24", 1, "expected", "preschool"),
            ("25-34", 0, "expected", "preschool"),
            ("25-34", 351, "baby", "preschool"),
            ("25-34", 332, "toddler", "preschool"),
        ] == found

    def test_segments(self, shop):
        """Segments read traits at their instant."""
        crm, clock = shop
        state(crm, "birthday", "--03-02")
        who = crm.find_customer(ADA)
        soon = "profile.birthday_next_days <= 2 and profile.birthday_next_days >= 0"

        assert [] == crm.members(soon)
        clock.advance_to(to_instant(START + DAY))
        assert [who] == crm.members(soon)

    def test_completeness(self, shop):
        """It counts what is known by weight, and what has grown old no longer."""
        crm, clock = shop
        state(crm, "birthday", "--05-17")  # 20 of 95
        state(crm, "occupation", "teacher")  # 10, for two years
        whole = 20 + 10 + 15 + 10 + 10 + 5 + 5 + 5 + 15

        assert 95 == whole
        assert 30 * 100 // whole == trait(crm, "completeness")
        clock.advance_to(to_instant(START + 730 * DAY))
        assert 20 * 100 // whole == trait(crm, "completeness")


class TestAsking:
    """One question at a time, the most valuable first, within one budget."""

    def test_most_valuable(self, shop):
        """What weighs most comes first, then what is missing before what is stale."""
        crm, clock = shop
        state(crm, "city", "Bern")
        first = asked(crm)
        assert ("birthday", "When is your birthday?", 20, "missing", 0) == (
            first.attribute,
            first.wording,
            first.worth,
            first.reason,
            first.times,
        )
        for name, value in (("birthday", "--05-17"), ("interests", "tea")):
            state(crm, name, value)
        assert "preferred_channel" == asked(crm).attribute
        clock.advance_to(to_instant(START + 731 * DAY))
        state(crm, "preferred_channel", "email")
        assert ("interests", "stale") == (asked(crm).attribute, asked(crm).reason)

    def test_not_again(self, shop):
        """After a question there is none for two weeks, and the same not for half a year."""
        crm, clock = shop
        crm.record("profile.asked", identifiers=[ADA], payload={"attribute": "birthday"})
        assert asked(crm) is None
        clock.advance_to(to_instant(START + 14 * DAY))
        assert "interests" == asked(crm).attribute
        clock.advance_to(to_instant(START + 180 * DAY))
        assert ("birthday", 1) == (asked(crm).attribute, asked(crm).times)

    def test_by_message(self):
        """A question goes once, through the gate, and counts as asked when it was sent."""
        post, profile = Post(), Profile()
        crm, clock = open_crm(profile, post)
        with crm:
            who = customer_who_agreed(crm)
            for _ in range(2):
                with crm.begin() as tx, tx.acting(Profile) as (_, ctx):
                    profile.ask(ctx, who, "email")
            assert "birthday" == asked(crm).attribute  # not sent yet
            crm.deliver()
            assert ["When is your birthday?"] == [each.content.text for each in post.handed]
            assert asked(crm) is None
            clock.advance_to(to_instant(START + 14 * DAY))
            assert "interests" == asked(crm).attribute
            crm.rebuild("profile")
            assert "interests" == asked(crm).attribute

    def test_one_budget(self):
        """Whoever was asked by another's message is not asked, and the other way round."""
        post = Post()
        gate = GateSettings(caps=[Cap(most=1, days=14, asks=True)])
        crm, clock = open_crm(Profile(), post, gate=gate)
        with crm:
            who = customer_who_agreed(crm)
            crm.send(message(who, "survey", purpose="survey", asks=True))
            crm.deliver()
            assert asked(crm) is None

            clock.advance_to(to_instant(START + 20 * DAY))
            crm.record("profile.asked", customer=who, payload={"attribute": "birthday"})
            crm.send(message(who, "second", purpose="survey", asks=True))
            crm.send(message(who, "parcel", purpose="service"))
            crm.deliver()
            assert ["survey", "parcel"] == [each.message.key for each in post.handed]
            held = next(each for each in crm.messages(who) if each.key == "second")
            assert "profile: asked for something on 2024-03-19" == held.reason
            clock.advance_to(to_instant(START + 34 * DAY))
            crm.deliver()
            assert "second" == post.handed[-1].message.key


def customer_who_agreed(crm):
    """Return the id of somebody who may be written to."""
    named = [ADA, Identifier("email", "ada@example.com")]
    crm.record("account.registered", identifiers=named)
    agreed = {"purpose": "survey", "channel": "email"}
    crm.record("consent.given", identifiers=named, payload=agreed)
    found = crm.find_customer(ADA)
    assert found is not None
    return found


def order(crm, day, *lines, kind="order.placed", number="1", amount=None, channel=None):
    """Record what happens with an order on a day."""
    return crm.record(
        kind,
        identifiers=[ADA],
        occurred_at=START - day * DAY,
        lines=lines,
        amount=amount,
        subject=f"order:{number}",
        channel=channel,
    )


class TestBehaviour:
    """What customers do is added up as it happens."""

    def test_contribution(self):
        """The page says what is left of the revenue, and what took the rest."""
        crm, _ = open_crm(Profile(shipping_minor=450, return_minor=300, case_minor=1000))
        with crm:
            tea = Line(product="T", amount_minor=5000, cost_minor=2000, category="tea")
            order(crm, 9, tea, amount="50.00", channel="web")
            order(crm, 8, kind="order.shipped")
            crm.record("service.opened", identifiers=[ADA], payload={"case": "7"})

            assert 5000 - 2000 - 450 - 1000 == trait(crm, "contribution_minor")
            assert {
                "revenue": "50.00 EUR",
                "goods": "-20.00 EUR",
                "shipping": "-4.50 EUR",
                "service": "-10.00 EUR",
                "left": "15.50 EUR",
            } == page(crm)["contribution"]
            assert ("tea", "web", 12) == (
                trait(crm, "category"),
                trait(crm, "channel"),
                trait(crm, "hour"),
            )

    def test_cancelled_without_lines(self):
        """A cancellation that says nothing but which order takes back all of it."""
        crm, _ = open_crm()
        with crm:
            tea = Line(product="T", amount_minor=5000, cost_minor=2000, category="tea")
            order(crm, 9, tea, amount="50.00")
            order(crm, 8, kind="order.cancelled")

            assert 0 == trait(crm, "contribution_minor")
            assert (-1, False) == (trait(crm, "rhythm_days"), trait(crm, "is_overdue"))

    def test_overdue(self, shop):
        """A customer becomes overdue by time alone."""
        crm, clock = shop
        for number, day in enumerate((20, 10, 0)):
            order(crm, day, number=number, amount="5.00")

        assert (10, 0, False) == tuple(
            trait(crm, name) for name in ("rhythm_days", "quiet_days", "is_overdue")
        )
        clock.advance_to(to_instant(START + 15 * DAY) + 1)
        assert (15, True) == (trait(crm, "quiet_days"), trait(crm, "is_overdue"))

    def test_the_shops_hours(self):
        """Hours and days are those of the shop's zone, from its first interaction on."""
        crm, clock = open_crm(zone="Asia/Kathmandu")
        with crm:
            state(crm, "birthday", "--02-29")
            assert 17 == trait(crm, "hour")  # 12:00 and 5:45
            clock.advance_to(to_instant(START.replace(hour=18, minute=14)))
            assert 1 == trait(crm, "birthday_next_days")
            clock.advance_to(to_instant(START.replace(hour=18, minute=15)))
            assert 0 == trait(crm, "birthday_next_days")

    def test_defaults(self, shop):
        """Of somebody of whom nothing is known, every trait says so."""
        crm, _ = shop
        crm.record("order.shipped", identifiers=[ADA])
        traits = crm.customer(ADA).traits
        said = {name.removeprefix("profile."): v for name, v in traits.items() if v != ""}

        assert {
            "birthday_next_days": -1,
            "completeness": 0,
            "contribution_minor": 0,
            "rhythm_days": -1,
            "quiet_days": -1,
            "is_overdue": False,
            "hour": -1,
        } == said


class TestPeople:
    """Merges, and who wants to be forgotten."""

    def test_merged(self, shop):
        """Of two who are one all statements count together, until it is undone."""
        crm, _ = shop
        bea = Identifier("account", "bea")
        state(crm, "interests", "tea")
        state(crm, "interests", "art", account=bea)
        state(crm, "gender", "female", "observed", account=bea)
        merge = crm.merge(ADA, bea)

        assert ("art, tea", "female") == (trait(crm, "interests"), trait(crm, "gender"))
        crm.unmerge(merge.id)
        assert ("tea", "") == (trait(crm, "interests"), trait(crm, "gender"))

    def test_erased(self, shop, tmp_path):
        """An export has every value, and after an erasure no row of a table is left."""
        crm, _ = shop
        state(crm, "postal_address", "Ziegelgasse 5")
        state(crm, "hobbies", "fencing", "observed")
        crm.record("profile.asked", identifiers=[ADA], payload={"attribute": "birthday"})
        who = crm.find_customer(ADA)
        exported = crm.export(who, tmp_path).data.read_text(encoding="utf-8")
        assert "Ziegelgasse 5" in exported
        assert "fencing" in exported
        crm.erase(who)
        crm.rebuild("profile")

        with crm.begin() as tx:
            counts = [
                tx.connection.execute(select(func.count()).select_from(each.table))[0][0]
                for each in TABLES
            ]
        assert [0] * len(TABLES) == counts


def test_rows_of_one_customer_only(tmp_path):
    """Where a customer is looked at, SQLite reads rows of that customer alone, by index."""
    crm, _ = open_crm(url=f"sqlite:///{tmp_path}/shop.db")
    with crm:
        who = state(crm, "birthday", "--05-17").customer_id
        said: list[str] = []
        with crm.begin() as tx, tx.acting(Profile) as (profile, ctx):
            driver = tx.connection.sqlalchemy.connection.driver_connection
            driver.set_trace_callback(said.append)
            for each in crm.assembly.traits.values():
                one = select(each.column(_NOW)).where(each.table.c.customer_id == _WHO)
                ctx.execute(one, now=ctx.clock.now(), who=who)
            profile.describe_customer(ctx, CustomerAsked(who))
            driver.set_trace_callback(None)
            plans = [row[3] for sql in said for row in driver.execute(f"EXPLAIN QUERY PLAN {sql}")]
    found = [each for each in plans if " crm_profile_" in each]

    assert len(found) > 20
    assert [] == [each for each in found if "customer_id=?" not in each]
