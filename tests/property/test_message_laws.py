"""The law of sums: of every broadcast all states add up to its audience, at every commit."""

import random
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import event

from crmcore import Crm, VirtualClock
from crmcore.domain.clock import DAY, SECOND
from crmcore.domain.message import Accepted, Content, Deferred, Failed, Unknown
from crmcore.errors import InputError, MergeError
from crmcore.services.messaging import claims
from crmcore.testing.dumps import difference, dump
from tests.support.databases import making, shop_file
from tests.support.histories import START, instant
from tests.support.making import rows
from tests.support.sending import Post, assert_sums, message, people

PEOPLE = 12
NEWS = {"purpose": "news", "channel": "email"}
HISTORIES = [
    ("sqlite", 12),
    ("postgresql", 2),
    pytest.param("sqlite", 80, marks=pytest.mark.slow),
    pytest.param("postgresql", 10, marks=pytest.mark.slow),
]
SUMS = (
    "SELECT b.message_key, b.audience, count(m.message_id) FROM crm_broadcast b "
    "LEFT JOIN crm_message m ON m.message_key = b.message_key AND m.plugin = b.plugin "
    "GROUP BY b.message_key, b.audience"
)
STATES = ("planned", "claimed", "handed", "deferred", "accepted", "failed", "unknown", "withheld")


def unclaimed(held):
    """Return what a database holds as if nothing were claimed: merges make claims void."""
    free = {"state": "planned", "lease": None, "leased_until": None}
    messages: Counter[Any] = Counter()
    for row, count in held["crm_message"].items():
        values = dict(row)
        if values["state"] == "claimed":
            values |= free
        messages[tuple(values.items())] += count
    return held | {"crm_message": messages}


class World:
    """A shop in which anything may happen next."""

    def __init__(self, url, seed):
        self.chance = random.Random(seed)
        self.clock = VirtualClock(instant(START))
        self.post = Post(
            whole=self.answer,
            at_once=self.chance.choice((1, 3, 10)),
            idempotent=self.chance.random() < 0.4,
            on_unknown={"news": "resend"} if self.chance.random() < 0.3 else {},
        )
        self.crm = Crm(url, plugins=[self.post], clock=self.clock, durable=False, secret="law")
        self.customers = people(self.crm, PEOPLE)
        self.merges = []
        self.count = 0
        self.seen = set()
        self.commits = 0
        self.unresolved = set()
        self.crm.record_many([])
        for each in self.customers:
            self.consent(each, "given")
        event.listen(self.crm.runtime.database.engine, "commit", self.check)

    def check(self, connection):
        """Assert the law, as it is about to be committed."""
        self.commits += 1
        sums = connection.connection.cursor()
        sums.execute(SUMS)
        for key, audience, count in sums.fetchall():
            assert audience == count, key
        sums.execute("SELECT DISTINCT state FROM crm_message")
        found = {state for (state,) in sums.fetchall()}
        assert found <= set(STATES)
        self.seen |= found
        sums.close()

    def answer(self, deliveries):
        roll = self.chance.random()
        if roll < 0.1:
            raise ValueError("told to fail")
        if roll < 0.2:
            return [Accepted()] * (len(deliveries) + 1)
        if roll < 0.25:
            return "nonsense"
        if roll < 0.45 and not self.crm.runtime.database.portable.is_sqlite:
            self.consent(self.chance.choice(self.customers), "withdrawn")
        return [self.outcome(each) for each in deliveries]

    def outcome(self, delivery):
        return self.chance.choice(
            (
                Accepted(),
                Accepted("x"),
                Deferred("later", self.chance.choice((None, 30, 10_000))),
                Deferred("not its turn", counts=False),
                Failed("no"),
                Failed("no such box", undeliverable=self.chance.random() < 0.2),
                Unknown("cut off"),
                None,
            )
        )

    def consent(self, who, what):
        payload = NEWS if what == "given" else {"purpose": "news"}
        email = f"p{self.customers.index(who)}@example.com"
        self.crm.record(f"consent.{what}", email=email, payload=payload)

    # -- what may happen ---------------------------------------------------------------------

    def broadcast(self):
        self.count += 1
        wait = self.chance.choice((None, None, self.clock.now() + 3600 * SECOND))
        some = self.customers[: self.chance.randint(0, 9)]
        audience: Any = self.chance.choice(("everyone", some))
        self.crm.broadcast(
            f"b{self.count}",
            audience,
            not_before=wait,
            not_after=self.clock.now() + 5 * DAY,
            content=Content(text="Hello"),
            channel="email",
            purpose=self.chance.choice(("news", "service")),
        )

    def send(self):
        who = self.chance.choice(self.customers)
        self.crm.send(message(who, f"single/{self.chance.randint(0, 3)}"))

    def deliver(self):
        self.crm.deliver()

    def pass_time(self):
        self.clock.advance_to(self.clock.now() + self.chance.choice((30, 90, 4000)) * SECOND)

    def come_to_due(self):
        due = self.crm.next_due()
        if due is not None:
            self.clock.advance_to(due)
            self.crm.deliver()

    def withdraw(self):
        self.consent(self.chance.choice(self.customers), "withdrawn")

    def agree(self):
        self.consent(self.chance.choice(self.customers), "given")

    def stop(self):
        if self.count:
            self.crm.stop_broadcast(f"b{self.chance.randint(1, self.count)}")

    def pause(self):
        with suppress(InputError):  # it was called off
            self.crm.pause_broadcast(self.any_broadcast())

    def resume(self):
        with suppress(InputError):
            self.crm.resume_broadcast(self.any_broadcast())

    def edit(self):
        with suppress(InputError):  # or is not paused
            self.crm.edit_broadcast(self.any_broadcast(), Content(text="Well"))

    def any_broadcast(self):
        if not self.count:
            self.broadcast()
        return f"b{self.chance.randint(1, self.count)}"

    def merge(self):
        survivor, merged = self.chance.sample(self.customers, 2)
        try:
            self.merges.append(self.crm.merge(survivor, merged).id)
        except MergeError:
            return

    def merge_and_undo(self):
        """Merge, and undo it with nothing in between: nothing has changed, but claims go."""
        survivor, merged = self.chance.sample(self.customers, 2)
        before = unclaimed(dump(self.crm))
        try:
            done = self.crm.merge(survivor, merged)
        except MergeError:
            return
        self.crm.unmerge(done.id)
        assert "" == difference(before, unclaimed(dump(self.crm)))

    def unmerge(self):
        if self.merges:
            self.crm.unmerge(self.merges.pop())

    def claim_and_vanish(self):
        """Be cut off after the claim, or after the hand-over."""
        delivering = self.crm._parts.delivering
        channel = self.crm.assembly.channels["email"]
        claim = delivering._claim(channel)
        if claim.messages and self.chance.random() < 0.6:
            with delivering._begin() as unit:
                delivering._claims.hand_over(unit, claim, channel, claim.messages[:2])


ACTS = (
    World.broadcast,
    World.send,
    World.deliver,
    World.deliver,
    World.pass_time,
    World.come_to_due,
    World.withdraw,
    World.agree,
    World.stop,
    World.pause,
    World.resume,
    World.edit,
    World.merge,
    World.merge_and_undo,
    World.unmerge,
    World.claim_and_vanish,
)


@pytest.mark.parametrize(("kind", "histories"), HISTORIES)
def test_states_add_up_to_the_audience_at_every_commit(tmp_path, kind, histories, monkeypatch):
    """Whatever channels answer, time passes, customers say, and two turn out to be."""
    monkeypatch.setattr(claims, "AT_ONCE", 7)
    seen, commits = set(), 0
    for seed in range(histories):
        folder = tmp_path / f"{seed}"
        folder.mkdir()
        with making(kind):
            world = World(shop_file(folder), seed)
            with world.crm:
                for _ in range(45):
                    world.chance.choice(ACTS)(world)
                for key in range(1, world.count + 1):
                    with suppress(InputError):
                        world.crm.resume_broadcast(f"b{key}")
                for _ in range(60):  # and it comes to an end
                    world.come_to_due()
                pending = rows(
                    world.crm,
                    "SELECT count(*) FROM crm_message "
                    "WHERE state IN ('planned', 'claimed', 'handed', 'deferred')",
                )
                assert [(0,)] == pending, seed
                assert_sums(world.crm)
                for key in range(1, world.count + 1):
                    found = world.crm.find_broadcast(f"b{key}")
                    assert found.audience == sum(found.states.values())
                    assert 0 == found.pending
        seen |= world.seen
        commits += world.commits

    assert set(STATES) == seen
    assert commits > 30 * histories
