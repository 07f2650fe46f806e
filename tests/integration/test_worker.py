"""The worker does what is due, stops when it is told to, and survives what goes wrong."""

import os
import signal
import sqlite3
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import BigInteger, Column, MetaData, Table

from crmcore import Crm, PluginTable
from crmcore.domain.identity import IdentitySettings
from crmcore.errors import ConfigurationError, StorageError
from crmcore.services.background.portion import Portion
from tests.support.databases import drop_schema, dsn, new_schema, shop_file
from tests.support.making import draft, kinds, plugin, raising, rows, us
from tests.support.processes import hear_interrupts
from tests.support.runs import opened
from tests.support.worker_target import Tick

each_database = pytest.mark.each_database

ROOT = Path(__file__).parents[2]
LONG = 60  # seconds that nothing here takes; a test that hangs ends


@pytest.fixture
def url(tmp_path):
    return shop_file(tmp_path)


@pytest.fixture
def postgresql():
    url = new_schema()
    yield url
    drop_schema(url)


def listening(heard, came):
    def hear(ctx, event):
        heard.extend(item.source_key for item in event)
        came.release()

    return plugin("ears", after_interactions_recorded=hear)


@each_database
def test_a_commit_wakes_it(url):
    """What is committed in this process is told at once, however long the worker would wait."""
    heard: list[str] = []
    came = threading.Semaphore(0)
    with Crm(url, plugins=[listening(heard, came)]) as crm:
        worker = crm.start_worker(poll=10_000)
        assert crm.start_worker() is worker
        for number in range(3):
            crm.record(draft("order.placed", key=str(number)))
            assert came.acquire(timeout=LONG)
        states = [worker.is_running]
    states.append(worker.is_running)

    assert [True, False] == states
    assert ["0", "1", "2"] == heard


@each_database
def test_it_finds_what_others_commit(url):
    """What another process commits is found by looking."""
    heard: list[str] = []
    came = threading.Semaphore(0)
    with (
        Crm(url, plugins=[listening(heard, came)]) as crm,
        Crm(url) as other,
    ):
        crm.start_worker(poll=0.01)
        other.record(draft("order.placed", key="1"))
        assert came.acquire(timeout=LONG)

    assert ["1"] == heard


@each_database
def test_stopping_waits_for_the_portion(url):
    """Stopped in the midst of a portion, it finishes that one, and begins no other."""
    begun, go_on = threading.Event(), threading.Event()
    ended: list[int] = []

    def hear(ctx, event):
        begun.set()
        assert go_on.wait(LONG)
        ended.append(len(event))

    with Crm(url, plugins=[plugin("ears", after_interactions_recorded=hear)]) as crm:
        crm.record_many(draft("order.placed", key=str(n), email=f"c{n}") for n in range(1200))
        worker = crm.start_worker()
        assert begun.wait(LONG)
        stopper = threading.Thread(target=worker.stop)
        stopper.start()
        while not worker._stopped.is_set():
            pass
        go_on.set()
        stopper.join(LONG)
        assert not worker.is_running
        assert [500] == ended
        crm.worker().once()

    assert [500, 500, 200] == ended


def test_not_in_memory():
    """A database in memory belongs to one thread: that is said, and what to use instead."""
    with Crm("sqlite://") as crm:
        with pytest.raises(ConfigurationError, match="sqlite:///crm"):
            crm.start_worker()
        assert 0 == crm.worker().once()


@pytest.mark.parametrize("poll", [0, -1])
def test_a_pause_that_is_none(poll):
    """A pause of no length is refused."""
    with Crm("sqlite://") as crm, pytest.raises(ConfigurationError, match="above 0"):
        crm.worker(poll=poll)


def test_lost_connections(postgresql):
    """Connections that the server ends are logged and opened anew; the worker goes on."""
    heard: list[str] = []
    came = threading.Semaphore(0)
    with Crm(postgresql, plugins=[listening(heard, came)]) as crm:
        crm.start_worker(poll=0.01)
        with psycopg.connect(dsn(postgresql), autocommit=True) as admin:
            for number in range(5):
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid <> pg_backend_pid() AND query LIKE '%%crm_%%' "
                    "AND backend_type = 'client backend'"
                )
                with Crm(postgresql) as other:
                    other.record(draft("order.placed", key=str(number)))
                while str(number) not in heard:
                    assert came.acquire(timeout=LONG)
        assert crm.start_worker().is_running

    # What it was telling when its connection ended comes again.
    assert ["0", "1", "2", "3", "4"] == list(dict.fromkeys(heard))


def test_a_table_that_is_gone(tmp_path, caplog):
    """What the database refuses is logged, and tried again until it works."""
    heard: list[str] = []
    came = threading.Semaphore(0)
    file = tmp_path / "shop.db"
    with Crm(f"sqlite:///{file}", plugins=[listening(heard, came)]) as crm:
        crm.record(draft("order.placed", key="1"))
        with sqlite3.connect(file) as other:
            other.execute("ALTER TABLE crm_cursor RENAME TO mislaid")
        other.close()
        worker = crm.start_worker(poll=0.01)
        while not any("the worker goes on" in line for line in caplog.messages):
            assert worker.is_running
        with sqlite3.connect(file) as other:
            other.execute("ALTER TABLE mislaid RENAME TO crm_cursor")
        other.close()
        assert came.acquire(timeout=LONG)

    assert ["1"] == heard


@each_database
def test_once_does_what_follows(url):
    """One pass does what is due, and what its decisions bring about in turn."""
    heard: list[Any] = []
    chain = plugin(
        "chain",
        on_interactions_recorded=lambda ctx, event: ctx.set_timer("first", us(1), 1),
        on_timers_due=lambda ctx, event: heard.append(next(iter(event)).key),
        after_interactions_recorded=lambda ctx, event: ctx.set_timer("second", us(2), 1),
    )
    portions: list[Portion] = []
    with opened([chain], url=url) as (crm, clock):
        crm.record(draft("order.placed", key="1"))
        clock.advance_to(us(3))
        assert 3 == crm.worker(told=portions.append).once()

    assert ["first", "second"] == heard
    assert ["timers", "after_interactions_recorded", "timers"] == [p.work for p in portions]


@each_database
def test_a_match_that_no_longer_fits(url):
    """Two agreed to be one, who are beyond a limit by now, are proposed again; nothing spins."""
    settings = IdentitySettings(merge_on=["account", "email"])
    with Crm(url, durable=False, identity=settings) as crm:
        crm.record("order.placed", account="1")
        crm.record("order.placed", email="b@example.com")
        crm.record("order.placed", account="1", email="b@example.com")
        crm.record("order.placed", account="2", email="b@example.com")
        assert ["agreed"] == [match.status for match in crm.duplicates()]
        crm._worker = worker = crm.worker()
        assert 0 == worker.once()

        assert not worker._woken.is_set()
        assert ["open"] == [match.status for match in crm.duplicates()]


@each_database
def test_its_own_merges_do_not_wake_it(url):
    """The worker merges whom policy agreed to be one, and need not be woken to look again."""
    settings = IdentitySettings(merge_on=["account", "email"])
    with Crm(url, durable=False, identity=settings) as crm:
        crm.record("order.placed", account="1")
        crm.record("order.placed", email="b@example.com")
        crm.record("order.placed", account="1", email="b@example.com")
        crm._worker = worker = crm.worker()
        assert 1 == worker.once()

        assert not worker._woken.is_set()
        assert [] == crm.duplicates()


@each_database
def test_one_work_that_fails(url):
    """Where one kind of work fails, the others are done, and then it is raised."""
    heard: list[str] = []
    with Crm(url, plugins=[listening(heard, threading.Semaphore(0))], durable=False) as crm:
        crm.record(draft("order.placed", key="1"))
        with crm.begin() as tx:
            tx.connection.sqlalchemy.exec_driver_sql("ALTER TABLE crm_match RENAME TO mislaid")
        with pytest.raises(StorageError, match="crm_match"):
            crm.worker().once()

    assert ["1"] == heard


def test_a_start_that_meets_a_worker(postgresql):
    """A start that a worker of another process stands in the way of is done again."""
    table = Table("crm_heap_of", MetaData(), Column("customer_id", BigInteger, primary_key=True))
    started: list[str] = []

    def heap(version):
        derived = PluginTable(table, derived=True, merge="recompute", erase="delete")
        hooks = dict.fromkeys(("recompute_customers", "on_interactions_recorded"), raising)
        return plugin("heap", version=version, tables=[derived], **hooks)

    def start():
        with Crm(postgresql, plugins=[heap("2")], durable=False) as crm:
            started.append(crm.assembly.plugins[0].version)

    with Crm(postgresql, plugins=[heap("1")], durable=False) as crm:
        crm.record(draft("order.placed", key="1"))
        crm.pay_debts()
    starting = threading.Thread(target=start)
    with (
        psycopg.connect(dsn(postgresql)) as worker,
        psycopg.connect(dsn(postgresql), autocommit=True) as admin,
    ):
        (pid,) = worker.execute("SELECT pg_backend_pid() FROM crm_customer FOR UPDATE").fetchall()
        starting.start()
        waits = (
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND %s = ANY(pg_blocking_pids(pid))"
        )
        while not admin.execute(waits, pid).fetchone()[0]:  # type: ignore[index]
            assert starting.is_alive()
        # It waits already, so it is the one that the server gives up.
        worker.execute("SELECT 1 FROM crm_debt FOR NO KEY UPDATE")
        worker.rollback()
        starting.join(LONG)

    assert ["2"] == started


# --------------------------------------------------------------------------- several processes


def test_four_processes(postgresql):
    """Four workers fire each of 2,000 timers and pay each of 2,000 debts exactly once."""
    count = 2000
    with Crm(postgresql, plugins=[Tick(fails=True)], durable=False) as crm:
        crm.record_many(draft("order.placed", key=str(n), email=f"c{n}") for n in range(count))
        assert {"tick": count} == dict(crm.debts())
        with crm.begin() as tx, tx.acting(Tick) as (_, ctx):
            for customer in range(1, count + 1):
                ctx.set_timer("tick", us(0), customer)
    command = [sys.executable, "-m", "tests.support.worker_target", postgresql]
    started = [
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert "ready\n" == process.stdout.readline()
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [0] * 4 == [process.wait(2 * LONG) for process in started]
    finally:
        for process in started:
            process.kill()
            process.communicate()
    with Crm(postgresql, plugins=[Tick()], durable=False) as crm:
        for table in ("crm_tick_fired", "crm_tick_caught"):
            assert [(count, count)] == rows(
                crm, f"SELECT count(*), count(DISTINCT customer_id) FROM {table}"
            )
        assert count == kinds(crm).count("tick.fired")
        assert [] == crm.faults("tick", most=1) or crm.faults("tick", most=1)[0].id <= count
        assert 1 < len(rows(crm, "SELECT DISTINCT process FROM crm_tick_fired"))


# -------------------------------------------------------------------------------- crm worker


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    crm("init")
    return tmp_path


def command(*words):
    return [str(Path(sysconfig.get_path("scripts"), "crm")), *words]


def crm(*words):
    done = subprocess.run(command(*words), capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    return done.stdout


def let_it_be_due(shop):
    """Put tiering's next review three years back."""
    with sqlite3.connect(shop / "crm.db") as connection:
        connection.execute("UPDATE crm_timer SET due_at = due_at - 9e13, run_at = due_at - 9e13")
    connection.close()


def test_once_on_the_command_line(shop):
    """`crm worker --once` does everything that is due and ends; it tells only when asked to."""
    crm("record", "order.placed", "--id", "email:ada@example.com")
    let_it_be_due(shop)

    assert "timers of tiering: " in crm("worker", "--once", "-v")
    assert "" == crm("worker", "--once", "-v")
    assert "" == crm("worker", "--once")


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals(shop, number):
    """Told to stop by a signal, `crm worker` ends with exit code 0 and no traceback."""
    crm("record", "order.placed", "--id", "email:ada@example.com")
    let_it_be_due(shop)
    with subprocess.Popen(
        command("worker", "-v", "--poll", "0.05"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("timers of tiering: 1 done")
        process.send_signal(number)
        _, complaint = process.communicate(timeout=LONG)

    assert (0, "") == (process.returncode, complaint)
