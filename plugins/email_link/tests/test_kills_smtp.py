"""
Sending processes killed again and again, while they talk to a real mail server that fails, too.

Each database has one broadcast, in whose midst a process after the other is killed (SIGKILL, half
of them between a mail's first octet and the answer to it), until one ends it. What the server took
stands in a file of its own. Seed, stage and mail are in what is printed.
"""

import signal
import subprocess
import sys
from collections import Counter
from random import Random

import pytest
from attrs import define, field

from crmcore.domain.clock import DAY
from plugins.email_link.tests import sending_process
from plugins.email_link.tests.mail_server import ROOT, cut_off, serving, standing_of, taken
from plugins.email_link.tests.sending_process import AT_ONCE, EVERY_TENTH, HOUR, STAGES
from plugins.email_link.tests.shops import START
from tests.support.making import rows
from tests.support.places import Places
from tests.support.sending import assert_sums

SEED = 20261123
KINDS = pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
FEW, SOME = 3, 300  # kills, and recipients, in every run
MANY, ALL = 50, 5_000  # and in the slow one, on each database
MOST_POINTS = 60  # behind a mail's dot

_STATES = (
    "SELECT i.identifier_value, m.state FROM crm_message m JOIN crm_identifier i "
    "ON i.customer_id = m.customer_id"
)
_PENDING = (
    "SELECT count(*) FROM crm_message WHERE state IN ('planned', 'claimed', 'handed', 'deferred')"
)
_ATTEMPTS = (
    "SELECT i.identifier_value, a.outcome FROM crm_attempt a JOIN crm_identifier i "
    "ON i.customer_id = a.customer_id ORDER BY a.attempt"
)


@define
class Story:
    """One broadcast, its kills, and the server that takes what it is handed."""

    places: Places
    name: str
    people: int
    kills: int
    purpose: str = "news"
    port: int = 0
    number: int = 0
    within: int = 0
    midway: int = 0
    random: Random = field(factory=lambda: Random(SEED))

    @property
    def url(self):
        return self.places.url(self.name)

    @property
    def file(self):
        return self.places.folder / f"{self.name}.taken"

    @property
    def note(self):
        return self.places.folder / f"{self.name}.note"

    @property
    def now(self):
        """So late that whatever was leased before has ended."""
        return START + self.number * 4 * HOUR

    def begin(self):
        self.places.make(self.name)
        sending_process.prepare(self.url, self.people, self.purpose)

    def open(self):
        return sending_process.open_crm(self.url, self.port, self.now + DAY)

    def pending(self):
        """Return how many are still to come."""
        with self.open() as crm:
            return rows(crm, _PENDING)[0][0]

    def start(self, stage, mail=0, later=0):
        words = [self.url, self.port, self.now, self.note, stage, mail, later]
        return subprocess.Popen(
            [sys.executable, "-m", "plugins.email_link.tests.sending_process", *map(str, words)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, stage="never", mail=0, later=0):
        """Let a process send, and return what it said, and how it ended."""
        with self.start(stage, mail, later) as process:
            said, complained = process.communicate()
        self.number += 1
        return said, complained, process.returncode

    def kill(self):
        """Let a process send, and die on its way."""
        pending = self.pending()
        most = int(1.5 * pending / (self.kills - self.number + 1))
        mail = self.random.randint(1, max(1, most))
        is_within = self.number % 2 == 0
        stage = STAGES[self.number // 2 % len(STAGES)] if is_within else "anywhere"
        later = self.random.randint(0, MOST_POINTS)
        _, complained, code = self.run(stage, mail, later)
        assert -signal.SIGKILL == code, complained
        assert stage == self.note.read_text().split()[-1]
        had = len(taken(self.file))
        self.within += is_within
        self.midway += 0 < had < self.people
        sys.stdout.write(
            f"{self.name}, seed {SEED}: killed at mail {mail}, {stage}, {later} on; {had} taken by "
            f"then, {pending} had been to come\n"
        )

    def end(self):
        """Let a process send all that is left."""
        _, complained, code = self.run()
        assert 0 == code, complained


def killed_and_resumed(kind, folder, people, kills, purpose="news"):
    """Kill processes that send a broadcast, let another one end it, and return how it went."""
    story = Story(Places(kind, folder), f"smtp_{purpose}_{people}", people, kills, purpose)
    story.begin()
    with serving(story.file, SEED) as story.port:
        for _ in range(kills):
            story.kill()
        story.end()
    return story


def check(story, *, most_copies=1):
    """Assert that nobody got more than that and none is lost; return the states by address."""
    found = taken(story.file)
    with story.open() as crm:
        told = dict(rows(crm, _STATES))
        assert story.people == len(told)
        assert_sums(crm)
    copies = Counter(each.recipient for each in found)
    assert [] == [who for who, count in copies.items() if count > most_copies]
    # Each attempt at a message has the same name, and no two messages have one.
    assert len(copies) == len({each.name for each in found})
    assert len(copies) == len({(each.name, each.recipient) for each in found})
    states = Counter(told.values())
    withheld = story.people // EVERY_TENTH if story.purpose != "service" else 0
    assert withheld == states["withheld"]
    assert states.keys() <= {"accepted", "failed", "unknown", "withheld"}
    assert all(standing_of(who) for who, state in told.items() if state == "failed")
    # Accepted is what the server has; what it has besides is declared unknown, and no more.
    accepted = {who for who, state in told.items() if state == "accepted"}
    unknown = {who for who, state in told.items() if state == "unknown"}
    assert accepted <= copies.keys() <= accepted | unknown
    if most_copies == 1:
        assert {each.recipient for each in found if not each.is_told} <= unknown
    # Nothing is declared unknown for long: what one call had in its hands when it was cut off.
    assert len(unknown) <= story.kills * AT_ONCE + cut_off(story.file)
    sys.stdout.write(
        f"{story.name} on {story.places.kind}: {story.kills} kills, {story.midway} in mid-send, "
        f"{story.within} within a mail; {story.people} recipients: {dict(states)}; "
        f"{len(copies)} at the server, {len(copies.keys() & unknown)} of them unknown to us\n"
    )
    return told


def both_counts(told):
    """Return whether some are known to have been accepted, and of some nobody can know."""
    return {"accepted", "unknown"} <= set(told.values())


@KINDS
def test_e16_killed_while_it_talks_nobody_gets_two(tmp_path, kind):
    """Three kills of a broadcast to 300, through a server with faults."""
    story = killed_and_resumed(kind, tmp_path, SOME, FEW)
    told = check(story)
    story.places.drop(story.name)
    assert both_counts(told)
    assert story.midway > 0
    assert story.within > 0


@pytest.mark.slow
@KINDS
def test_e16_a_hundred_kills_of_sendings_to_five_thousand(tmp_path, kind):
    """The same with fifty kills of a broadcast to 5,000, on each database."""
    story = killed_and_resumed(kind, tmp_path, ALL, MANY)
    told = check(story)
    story.places.drop(story.name)
    assert both_counts(told)
    assert story.midway > MANY // 2
    assert story.within == MANY // 2


@pytest.mark.slow
@KINDS
def test_e16_what_has_to_be_told_is_sent_again_once(tmp_path, kind):
    """Service mail of an unknown fate goes once more, under the same name; a third time never."""
    story = killed_and_resumed(kind, tmp_path, SOME, 12, "service")
    told = check(story, most_copies=2)
    with story.open() as crm:
        attempts = rows(crm, _ATTEMPTS)
    story.places.drop(story.name)
    unknown = Counter(who for who, outcome in attempts if outcome == "unknown")
    assert {1, 2} >= set(unknown.values())
    assert 2 in Counter(each.recipient for each in taken(story.file)).values()
    # Who has it twice, or not at all, met the fault twice, or once and then what was no fault.
    assert {who for who, state in told.items() if state == "unknown"} == {
        who for who, count in unknown.items() if count == 2
    }


@KINDS
def test_e20_two_processes_at_once_send_each_mail_once(tmp_path, kind):
    """Both have a part in it, while the server fails; nobody gets two and none is lost."""
    story = Story(Places(kind, tmp_path), "smtp_together", SOME, kills=0)
    story.begin()
    with serving(story.file, SEED) as story.port:
        both = [story.start("together") for _ in range(2)]
        for each in both:
            assert "ready" == each.stdout.readline().strip(), each.stderr.read()
        for each in both:
            each.stdin.write("go\n")
            each.stdin.flush()
        ends = [each.communicate() for each in both]
        story.number += 1
        story.end()
    check(story)
    story.places.drop(story.name)
    assert [0, 0] == [each.returncode for each in both], ends
    assert all(int(said) > 0 for said, _ in ends), ends
