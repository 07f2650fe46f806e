"""How things stand with a database, and trying again what failed."""

from pathlib import Path

import pytest
from sqlalchemy import make_url

from crmcore import Crm, IdentitySettings, VirtualClock
from crmcore.domain.clock import DAY
from crmcore.domain.message import Deferred
from crmcore.errors import OutdatedSchemaError, PluginNotFoundError, SchemaError
from crmcore.persistence.schema import REVISION
from crmcore.services.background.backoff import MOST_ATTEMPTS
from crmcore.services.checkups.status import PluginStatus, read_status
from tests.support.databases import shop_file
from tests.support.making import draft, plugin, rows, us
from tests.support.portraits import portrait
from tests.support.runs import opened
from tests.support.sending import Post, message, people

pytestmark = pytest.mark.each_database(partitioned=False)


class Moody:
    """Raises in every hook while its mood is bad; counts what it was told and what fired."""

    def __init__(self):
        self.is_bad = True
        self.told = 0
        self.fired = 0

    def hear(self, ctx, event):
        self.raise_if_bad()

    def tell(self, ctx, event):
        self.raise_if_bad()
        self.told += event.size

    def fire(self, ctx, event):
        self.raise_if_bad()
        self.fired += len(event.timers)

    def raise_if_bad(self):
        if self.is_bad:
            raise ValueError("in a bad mood")

    def plugin(self):
        return plugin(
            "moody",
            on_interactions_recorded=self.hear,
            after_interactions_recorded=self.tell,
            on_timers_due=self.fire,
        )


@pytest.fixture
def url(tmp_path):
    return shop_file(tmp_path)


def set_timers(crm, *dues):
    """Set a timer of each customer, due so many days after the start."""
    moody = type(crm.assembly.plugins[0])
    with crm.begin() as tx, tx.acting(moody) as (_, ctx):
        for customer, due in enumerate(dues, start=1):
            ctx.set_timer("wake", us(due), customer)


def of_moody(crm):
    (found,) = crm.status().plugins
    return found


def parked(crm, clock):
    """Let the worker fail so often that all is parked."""
    for _ in range(MOST_ATTEMPTS + 1):
        crm.worker().once()
        clock.advance_to(clock.now() + DAY)


def test_empty(url):
    """A new database has nothing, and the plugin that is on is listed."""
    with opened([Moody().plugin()], url=url) as (crm, _):
        found = crm.status()

    assert (0, 0, 0, 0, 0) == (
        found.customers,
        found.merged,
        found.interactions,
        found.duplicates,
        found.agreed,
    )
    assert REVISION == found.revision
    assert (PluginStatus(name="moody", is_on=True, behind=0),) == tuple(found.plugins)
    assert not found.plugins[0].has_failed


def test_customers(url):
    """Customers are counted once, those merged apart; pairs by who decides about them."""
    settings = IdentitySettings(merge_on=["account", "email"])
    with opened(url=url, identity=settings) as (crm, _):
        for number in range(1, 6):
            crm.record("order.placed", account=f"{number}")
            crm.record("order.placed", handle=f"{number}")
            crm.record("order.placed", email=f"c{number}@example.com")
        crm.merge(1, 2)
        crm.record("order.placed", account="3", handle="4")
        crm.record("order.placed", account="4", handle="3")
        crm.record("order.placed", account="4", email="c4@example.com")
        found = crm.status()

    assert (14, 1, 18) == (found.customers, found.merged, found.interactions)
    assert (2, 1) == (found.duplicates, found.agreed)


def test_messages(url):
    """They are counted by state; what a plugin in shadow would have said is nobody's."""
    speaker = plugin(
        "speaker",
        on_interactions_recorded=lambda ctx, event: [
            ctx.send(message(each.customer_id, "theirs")) for each in event
        ],
    )
    plugins = [Post(answer=lambda each: Deferred("later")), speaker]
    with Crm(url, plugins=plugins, shadow=["speaker"], clock=VirtualClock(us(0))) as crm:
        assert {} == crm.status().messages
        (ada,) = people(crm, 1)
        crm.send(message(ada))
        crm.send(message(ada, "news", purpose="news"))
        assert {"planned": 1, "withheld": 1} == crm.status().messages
        crm.deliver()

        assert {"deferred": 1, "withheld": 1} == crm.status().messages
        assert [(3,)] == rows(crm, "SELECT count(*) FROM crm_message")


def test_what_is_left_to_do(url):
    """Debts, what it has yet to be told of, who waits, timers and faults are counted."""
    moody = Moody()
    with opened([moody.plugin()], url=url) as (crm, clock):
        crm.record_many(draft("order.placed", key=str(n), email="abc"[n % 3]) for n in range(7))
        set_timers(crm, -1, -2, 500)
        before = of_moody(crm)
        assert (3, 7, 0, 3, 2, 0) == (
            before.debts,
            before.behind,
            before.waiting,
            before.timers,
            before.timers_due,
            before.timers_parked,
        )
        crm.worker().once()
        later = of_moody(crm)
        assert (3, 0, 3, 0, 3, 0, 0) == (
            later.debts,
            later.behind,
            later.waiting,
            later.waiting_parked,
            later.timers,
            later.timers_due,
            later.timers_parked,
        )
        parked(crm, clock)
        end = of_moody(crm)

        assert (3, 0, 3, 3, 3, 0, 2) == (
            end.debts,
            end.behind,
            end.waiting,
            end.waiting_parked,
            end.timers,
            end.timers_due,
            end.timers_parked,
        )
        assert end.has_failed
        assert [(end.faults,)] == rows(crm, "SELECT count(*) FROM crm_fault")
        assert crm.faults("moody", most=1)[0] == end.last_fault
        assert end.last_fault.message == "in a bad mood"


def test_looking_changes_nothing(url):
    """Asked from outside, all stays parked; the plugins that are not on are told of, too."""
    moody = Moody()
    with opened([moody.plugin()], url=url) as (crm, clock):
        crm.record(draft("order.placed", key="1"))
        set_timers(crm, -1)
        parked(crm, clock)
        expected, before = crm.status(), portrait(crm)
        now = clock.now()

        assert expected == read_status(url, ["moody"], now)
        assert before == portrait(crm)
    (away,) = read_status(url, [], now).plugins

    assert (False, 1, 1, 1) == (away.is_on, away.debts, away.waiting_parked, away.timers_parked)


def test_tried_again_at_once(url):
    """What was put off or parked is tried, whatever its time, and nothing else before its time."""
    moody = Moody()
    with opened([moody.plugin()], url=url) as (crm, clock):
        crm.record_many(draft("order.placed", key=str(n), email="ab"[n % 2]) for n in range(4))
        set_timers(crm, -1, 500)
        parked(crm, clock)
        crm.record(draft("order.placed", key="c", email="c"))
        crm.worker().once()
        assert (3, 3, 2, 1) == (
            of_moody(crm).debts,
            of_moody(crm).waiting,
            of_moody(crm).waiting_parked,
            of_moody(crm).timers_parked,
        )
        moody.is_bad = False
        crm.worker().once()
        assert (0, 0) == (moody.told, moody.fired)

        assert {"moody": 3 + 3 + 1} == dict(crm.retry_failed())
        crm.worker().once()

        assert (5, 1) == (moody.told, moody.fired)
        assert not of_moody(crm).has_failed
        assert (1, 0) == (of_moody(crm).timers, of_moody(crm).timers_due)
        assert {} == dict(crm.retry_failed())


def test_of_one_plugin(url):
    """Only what the plugin named failed with is tried; debts, too, without waiting for them."""
    moody, other = Moody(), Moody()
    second = plugin("second", on_interactions_recorded=other.hear)
    with opened([moody.plugin(), second], url=url) as (crm, _):
        crm.record(draft("order.placed", key="1"))
        crm.worker().once()
        moody.is_bad = other.is_bad = False
        crm.worker().once()
        assert {"moody": 1, "second": 1} == dict(crm.debts())

        assert {"second": 1} == dict(crm.retry_failed("second"))
        crm.worker().once()

        assert {"moody": 1} == dict(crm.debts())
        with pytest.raises(PluginNotFoundError, match="did you mean 'second'"):
            crm.retry_failed("moody", "secnd")


def test_what_cannot_be_looked_at(url):
    """A database without tables, or with older ones, is refused with what to do; none is made."""
    with pytest.raises(SchemaError, match="has no tables of crmcore's"):
        read_status(url, [], 0)
    path = make_url(url).database
    assert not (url.startswith("sqlite") and Path(str(path)).exists())
    with opened(url=url) as (crm, _), crm.begin() as tx:
        tx.connection.sqlalchemy.exec_driver_sql(
            f"DELETE FROM crm_revision WHERE component = 'crmcore' AND revision = {REVISION}"
        )
    with pytest.raises(OutdatedSchemaError, match="`crm migrate`"):
        read_status(url, [], 0)
