"""Retention: what has been kept for long enough is emptied, by kind and age; holds win."""

from datetime import date

import pytest

from crmcore import Crm, Draft, Identifier, RetentionSettings, VirtualClock
from crmcore.domain.clock import DAY
from crmcore.domain.retention import Period
from crmcore.errors import ConfigurationError
from crmcore.services.background.portion import Portion
from crmcore.services.privacy import retention
from tests.support.databases import scratch
from tests.support.histories import START, instant
from tests.support.making import moment, rows

ADA, BEA = (Identifier("email", f"{name}@example.com") for name in ("ada", "bea"))
KEEP = {"order.*": "30 days", "service.opened": "2 months", "*": "1 year"}


def shop(keep=KEEP, url=None):
    clock = VirtualClock(instant(START))
    settings = RetentionSettings(keep)
    return Crm(url or scratch(), clock=clock, retention=settings, zone="Europe/Berlin")


def fact(kind, day, who=ADA, **payload):
    return Draft(kind, identifiers=(who,), occurred_at=moment(day), payload=payload)


def at(crm, day):
    crm.runtime.clock.advance_to(instant(moment(day)))


def emptied(crm):
    return [
        kind
        for kind, personal in rows(
            crm, "SELECT kind, personal FROM crm_interaction ORDER BY interaction_id"
        )
        if personal is None
    ]


@pytest.mark.each_database
def test_what_was_kept_for_long_enough_is_emptied(monkeypatch):
    """Each kind by its own period, in batches; the dry run counts the same, and changes nothing."""
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    with shop() as crm:
        crm.record_many(
            [
                *(fact("order.placed", day, note="n") for day in (0, 1, 2, 3, 20)),
                fact("service.opened", 0, case="1", text="t"),
                fact("consent.withdrawn", 0, point="ada@example.com", channel="email"),
                fact("order.placed", 0),  # nothing personal was said
            ]
        )
        at(crm, 40)
        before = emptied(crm)
        plan = dict(crm.plan_retention())

        assert {"order.placed": 4} == plan
        assert before == emptied(crm)
        assert plan == dict(crm.retain())
        assert 4 == emptied(crm).count("order.placed")
        assert {} == dict(crm.retain())
        at(crm, 70)
        assert {"order.placed": 1, "service.opened": 1} == dict(crm.retain())
        at(crm, 400)
        assert {"consent.withdrawn": 1} == dict(crm.retain())


@pytest.mark.each_database(partitioned=False)
def test_who_is_on_hold_is_left_alone():
    """A hold wins, also over who was merged since; when it ends, what is due is emptied."""
    with shop() as crm:
        crm.record_many([fact("order.placed", 0, note="n"), fact("order.placed", 0, BEA, note="n")])
        crm.hold(BEA, "a dispute")
        at(crm, 40)
        assert {"order.placed": 1} == dict(crm.retain())
        cleo = crm.record("account.registered", account="77").customer_id
        crm.merge(cleo, BEA)
        assert {} == dict(crm.retain())
        crm.release_hold(cleo)
        assert {"order.placed": 1} == dict(crm.retain())


@pytest.mark.each_database(partitioned=False)
def test_a_worker_does_it_once_a_day():
    """On each civil day of the shop's zone; and it forgets again what was written since."""
    with shop() as crm:
        crm.record_many([fact("order.placed", day, note="n") for day in (0, 1, 1.5, 2)])
        at(crm, 31)
        assert 3 == sum(p.done for p in crm._parts.retention.work())
        crm.record(fact("order.placed", 0, note="late"))
        assert [] == list(crm._parts.retention.work())
        at(crm, 32)
        done: list[Portion] = []
        crm.worker(told=done.append).once()
        assert [("retention of order.placed", 2)] == [
            (p.work, p.done) for p in done if p.work.startswith("retention")
        ]


@pytest.mark.each_database(partitioned=False)
@pytest.mark.parametrize("by_hand", [False, True])
def test_what_was_written_since_about_somebody_erased_is_forgotten_again(by_hand):
    """Whatever was written beside the ledger about who was erased is gone within a day."""
    with shop({}) as crm:
        who = crm.record(fact("order.placed", 0, note="n")).customer_id
        crm.erase(ADA)
        with crm.begin() as tx:
            run = tx.connection.sqlalchemy.exec_driver_sql
            row = f"'email', 'ada@example.com', {who}, {who}, 5, NULL"
            run(f"INSERT INTO crm_identifier VALUES ({row})")
            row = f"9, {who}, {who}, '', 'k', 'Call Ada', NULL, NULL, 5" + ", NULL" * 4
            run(f"INSERT INTO crm_task VALUES ({row}, 6, NULL, 'Ada is angry', NULL, NULL, 1)")
        if by_hand:
            crm.retain()
        else:
            crm.worker().once()

        assert [("ERASED",)] == rows(crm, "SELECT outcome FROM crm_task")
        assert [("ERASED",)] == rows(crm, "SELECT title FROM crm_task")
        assert [] == rows(crm, "SELECT * FROM crm_identifier")


@pytest.mark.parametrize(
    ("text", "day", "expected"),
    [
        ("1 day", date(2024, 3, 1), date(2024, 2, 29)),
        ("1 month", date(2024, 3, 31), date(2024, 2, 29)),
        ("1 month", date(2023, 3, 31), date(2023, 2, 28)),
        ("12 months", date(2024, 2, 29), date(2023, 2, 28)),
        ("2 years", date(2024, 2, 29), date(2022, 2, 28)),
        ("24 months", date(2026, 12, 31), date(2024, 12, 31)),
        ("1 month", date(2025, 1, 15), date(2024, 12, 15)),
        ("90 days", date(2026, 4, 1), date(2026, 1, 1)),
    ],
)
def test_periods_are_civil(text, day, expected):
    """A month is a month, of whatever length; the last day stays the last."""
    assert expected == Period.parsed(text).before(day)


@pytest.mark.parametrize(
    ("keep", "says"),
    [
        (
            {"order.placd": "1 year"},
            "'order.placd': there is no such kind .did you mean 'order.placed'",
        ),
        ({"order.*": "1 fortnight"}, "'order.*': '1 fortnight' found; a period such as"),
        ({"*": 90}, "90 found; a period such as '90 days'"),
        ({"*": "0 days"}, "'0 days' found"),
        ({"odrer.*": "1 day"}, "there is no such kind"),
        ("1 year", "'1 year' found; a table of kinds and periods"),
    ],
)
def test_settings_are_checked(keep, says):
    """What is no period, or fits no kind, is said at the start."""
    with pytest.raises(ConfigurationError, match=says.replace("*", r"\*")):
        shop(keep, "sqlite://").close()


def test_settings_from_a_file(tmp_path):
    """`[retention]` in crm.toml names kinds; what is wrong names the file."""
    path = tmp_path / "crm.toml"
    path.write_text('[retention]\n"order.*" = "24 months"\n')
    with Crm.from_config(path) as crm:
        assert {} == crm.plan_retention()
    path.write_text('[retention]\n"order.*" = "24 moons"\n')
    with pytest.raises(ConfigurationError, match=r"crm.toml, \[retention\]: retention of"):
        Crm.from_config(path)


def test_no_bytes_stay_behind(tmp_path):
    """What was emptied is gone from the file, too, where SQLite does not see to it by itself."""
    words = "a complaint about a walrus"
    with shop({"*": "1 day"}, f"sqlite:///{tmp_path}/shop.db") as crm:
        with crm.runtime.database.engine.connect() as opened:
            opened.connection.driver_connection.execute("PRAGMA secure_delete = OFF")
        crm.record(fact("service.opened", 0, case="1", text=words))
        at(crm, 3)
        assert {"service.opened": 1} == dict(crm.retain())
        found = {path.name for path in tmp_path.iterdir() if words.encode() in path.read_bytes()}

    assert set() == found


def test_ages_are_days_of_the_shop():
    """What happened on the evening of a day is emptied with that day, not a day later."""
    with shop({"*": "1 day"}, "sqlite://") as crm:
        crm.record(fact("order.placed", 0.99, note="n"))  # in Berlin it is the next day
        at(crm, 1.9)
        assert {} == crm.plan_retention()
        crm.runtime.clock.advance_to(instant(START) + 2 * DAY)
        assert {"order.placed": 1} == crm.plan_retention()
