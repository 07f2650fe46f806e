"""Processes killed at any statement or commit: who goes on afterwards ends where nobody was killed.

Imports, merges, unmerges, workers and erasures, on both databases. The kill is SIGKILL, from
within, at points spread evenly over the job; seed and point are in the test's id and in what it
prints.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from random import Random

import pytest
from attrs import frozen
from sqlalchemy.engine import make_url

from crmcore import Crm, Identifier
from crmcore.domain.clock import DAY
from tests.support import kill_target
from tests.support.places import Places
from tests.support.portraits import Portrait, differences, portrait

SEED = 20260801
ROOT = Path(__file__).parents[2]
SHORTEST = 8  # what is shorter stands in other texts, too
OTHERS = tuple(job for job in kill_target.JOBS if job != "erase")
FEW, MANY = 5, 25  # kills for each job: in every run, and in the slow one


def run(job: str, url: str, point: int, notes: Path) -> subprocess.CompletedProcess[str]:
    words = [job, url, str(SEED), str(point), str(notes)]
    return subprocess.run(
        [sys.executable, "-m", "tests.support.kill_target", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@frozen
class Job:
    """A job, the database it begins with, and what it leaves when nobody is killed."""

    name: str
    places: Places
    points: int
    clean: Portrait
    told: frozenset[str]

    @property
    def base(self) -> str:
        return f"base_{self.name}"


def begin(job: str, places: Places) -> Job:
    """Make the database that *job* begins with, and do it once without being killed."""
    base = f"base_{job}"
    url = places.make(base)
    with kill_target.open_crm(url, fails=kill_target.Failing() if job == "worker" else None) as crm:
        if job != "import":
            kill_target.record(crm, SEED)
        if job == "unmerge":
            kill_target.merge(crm, SEED)
        if job == "erase":
            kill_target.plant(crm)
    notes = places.folder / f"{job}.notes"
    done = run(job, places.copy(base, f"clean_{job}"), 0, notes)
    assert 0 == done.returncode, done.stderr
    clean, told = ended(places.url(f"clean_{job}"), notes)
    return Job(job, places, int(done.stdout.split()[-1]), clean, told)


def ended(url: str, notes: Path) -> tuple[Portrait, frozenset[str]]:
    now = kill_target.LATER + DAY
    with kill_target.open_crm(url, now=now) as crm:
        lines = notes.read_text().splitlines() if notes.exists() else []
        return portrait(crm), frozenset(lines)


def left_of_the_erased(url: str, places: Places) -> list[str]:
    """Return where anything still stands that those erased were known by, or that was theirs."""
    with kill_target.open_crm(places.url("base_erase")) as crm:
        gone = [
            each
            for who in kill_target.forgotten(crm, SEED)
            for each in (f"Canary {who} ", *(i.value for i in known_as(crm, who)))
            if len(each) > SHORTEST
        ]
    with kill_target.open_crm(url) as crm:
        told = str(portrait(crm))
    found = [f"a row: {each}" for each in gone if each in told]
    if places.kind == "sqlite":
        path = Path(make_url(url).database or "")
        content = b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*"))
        found += [f"the file: {each}" for each in gone if each.encode() in content]
    return found


def known_as(crm: Crm, who: int) -> tuple[Identifier, ...]:
    return crm.customer(who).customer.identifiers


@frozen
class Ground:
    """Where the kills of one run take place: databases of both kinds, and the jobs begun there."""

    places: dict[str, Places]
    jobs: dict[tuple[str, str], Job]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    kinds = ("sqlite", "postgresql")
    made = Ground({kind: Places(kind, tmp_path_factory.mktemp(kind)) for kind in kinds}, {})
    yield made
    for kind, job in made.jobs:
        for what in ("base", "clean"):
            made.places[kind].drop(f"{what}_{job}")


def kills(most: int, jobs: Sequence[str] = kill_target.JOBS) -> list[object]:
    """Return kills of every job, one after the other on the one database and on the other."""
    return [
        pytest.param(job, kind, number, id=f"{job}-{kind}-{number}-seed-{SEED}")
        for job in jobs
        for number, kind in zip(range(most), cycle(("sqlite", "postgresql")), strict=False)
    ]


def check(ground: Ground, name: str, kind: str, number: int, of: int) -> None:
    places = ground.places[kind]
    if (kind, name) not in ground.jobs:
        ground.jobs[kind, name] = begin(name, places)
    job = ground.jobs[kind, name]
    # Somewhere in the number'th of equal stretches, which is the same in every run.
    point = 1 + int((number + Random(SEED + number).random()) * job.points / of)
    copied = f"{name}_{number}_{of}"
    notes = places.folder / f"{copied}.notes"
    url = places.copy(job.base, copied)
    killed = run(name, url, point, notes)
    sys.stdout.write(f"{kind}, {name}, seed {SEED}: killed at point {point} of {job.points}\n")
    assert -signal.SIGKILL == killed.returncode, killed.stderr
    resumed = run(name, url, 0, notes)
    assert 0 == resumed.returncode, resumed.stderr
    found, told = ended(url, notes)
    assert "" == differences(job.clean, found)
    assert job.told <= told
    if name == "erase":
        assert [] == left_of_the_erased(url, places)
    places.drop(copied)


@pytest.mark.parametrize(("job", "kind", "number"), kills(FEW))
def test_who_goes_on_after_a_kill_ends_where_nobody_was_killed(job, kind, number, ground):
    """Ledger and derived tables are equal to a clean run; nothing committed stays untold."""
    check(ground, job, kind, number, FEW)


@pytest.mark.slow
@pytest.mark.parametrize(("job", "kind", "number"), kills(MANY, OTHERS))
def test_a_hundred_kills(job, kind, number, ground):
    """The same for a hundred kills, half of them on each database."""
    check(ground, job, kind, number, MANY)


@pytest.mark.slow
@pytest.mark.parametrize(("job", "kind", "number"), kills(2 * MANY, ["erase"]))
def test_kills_of_erasures(job, kind, number, ground):
    """Twice as many of erasures: whatever is half done then is about a person."""
    check(ground, job, kind, number, 2 * MANY)
