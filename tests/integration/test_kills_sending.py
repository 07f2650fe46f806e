"""Sending processes killed at any statement, commit or message: nobody gets two, none is lost.

The provider appends what it took to a file that outlives the process. The kill is SIGKILL, from
within, at points spread evenly; who goes on afterwards ends it. Seed and point are in what is
printed.
"""

import signal
import subprocess
import sys
from collections import Counter
from itertools import cycle, islice, product
from pathlib import Path
from random import Random

import pytest

from tests.integration.test_kills import ROOT
from tests.support import sending_target
from tests.support.making import rows
from tests.support.places import Places
from tests.support.sending import assert_sums, states

SEED = 20260901
KINDS = ("sqlite", "postgresql")
FEW, SOME = 10, 240  # kills, and recipients, in every run: two claims of a worker
MANY, ALL = 50, 5_000  # and in the slow one


def run(way, url, people, point, file):
    words = [way, url, str(people), str(point), str(file)]
    return subprocess.run(
        [sys.executable, "-m", "tests.support.sending_target", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def begin(places, way, people):
    """Make the database that the sending begins with; return how many points it has."""
    base = f"send_{way}_{people}"
    url = places.make(base)
    file = places.folder / f"{base}.taken"
    sending_target.prepare(url, way, people, file)
    done = run(way, places.copy(base, f"clean_{base}"), people, 0, file)
    assert 0 == done.returncode, done.stderr
    wanted = people - people // sending_target.EVERY_TENTH
    assert wanted == len(sending_target.taken(file))
    places.drop(f"clean_{base}")
    return int(done.stdout.split()[-1])


def kill(places, way, people, point, name):
    """Kill a sending at a point, let this process end it, and return what it came to."""
    file = places.folder / f"{name}.taken"
    url = places.copy(f"send_{way}_{people}", name)
    killed = run(way, url, people, point, file)
    assert -signal.SIGKILL == killed.returncode, killed.stderr
    before = len(sending_target.taken(file))
    sending_target.end(url, way, file)
    return url, file, before


def check(url, way, people, file):
    """Assert that nobody got two and none is lost; return how many are of an unknown fate."""
    taken = Counter(line.split()[1] for line in sending_target.taken(file))
    assert {1} == set(taken.values())
    with sending_target.open_crm(url, way, file, now=sending_target.LATER) as crm:
        found = states(crm)
        told = dict(
            rows(
                crm,
                "SELECT i.identifier_value, m.state FROM crm_message m JOIN crm_identifier i "
                "ON i.customer_id = m.customer_id",
            )
        )
        assert people == len(told) == found.total()
        assert_sums(crm)
    assert people // sending_target.EVERY_TENTH == found["withheld"]
    assert {"accepted", "withheld", "unknown"} >= found.keys()
    # Accepted is what the provider has; what it has besides is declared unknown, and no more.
    accepted = {address for address, state in told.items() if state == "accepted"}
    unknown = {address for address, state in told.items() if state == "unknown"}
    assert accepted <= taken.keys() <= accepted | unknown
    if way == "idempotent":
        assert not unknown
    assert len(unknown) <= 25  # one call's worth
    return len(unknown)


def killed_and_resumed(tmp_path, kills, people):
    random = Random(SEED)
    inside = unknown = midway = 0
    begun = {}
    ways = list(islice(cycle(product(KINDS, sending_target.WAYS)), kills))
    for number, (kind, way) in enumerate(ways):
        folder = tmp_path / kind
        folder.mkdir(exist_ok=True)
        places = Places(kind, folder)
        if (kind, way) not in begun:
            begun[kind, way] = begin(places, way, people)
        points = begun[kind, way]
        point = 1 + int((number + random.random()) * points / kills)
        name = f"send_{kind}_{number}_{people}"
        url, file, before = kill(places, way, people, point, name)
        in_hand = Path(f"{file}.inside").exists()
        fates = check(url, way, people, file)
        inside += in_hand
        midway += 0 < before < people - people // sending_target.EVERY_TENTH
        unknown += fates
        sys.stdout.write(
            f"{kind}, {way}, seed {SEED}: killed at point {point} of {points}"
            f"{' within a call' if in_hand else ''}, {before} taken by then, {fates} unknown\n"
        )
        places.drop(name)
    for kind, way in begun:
        Places(kind, tmp_path / kind).drop(f"send_{way}_{people}")
    sys.stdout.write(
        f"{kills} kills of {people} recipients: {midway} in mid-send, {inside} within a call, "
        f"{unknown} messages declared unknown\n"
    )
    assert midway > 0
    assert inside > 0
    assert unknown > 0


def test_nobody_gets_two_and_none_is_lost(tmp_path):
    """Ten kills of a sending to 240, on both databases, with and without idempotency."""
    killed_and_resumed(tmp_path, FEW, SOME)


@pytest.mark.slow
def test_fifty_kills_of_a_sending_to_five_thousand(tmp_path):
    """Duplicate sends, lost sends, ambiguous crash: the same for 50 kills of 5,000 recipients."""
    killed_and_resumed(tmp_path, MANY, ALL)
