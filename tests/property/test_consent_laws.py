"""What is promised of consent, over random things said, merges and unmerges."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from datetime import timedelta

import pytest
from attrs import define, field, frozen

from crmcore import Crm, Draft, Identifier, VirtualClock
from crmcore.domain.gate import GateSettings
from tests.support.databases import making, shop_file
from tests.support.gates import EMAIL, SMS, Asking
from tests.support.histories import START, instant

PURPOSES = ("service", "care", "news", "promotion", "survey")
BASIS = {"care": "opt_out", "news": "double_opt_in"}  # the others are as they are by default
NEEDS = {"service": "contract", "promotion": "opt_in", "survey": "opt_in", **BASIS}
CHANNELS = {"email": EMAIL, "phone": SMS}
YES = ("given", "confirmed")
NO = ("withdrawn", "refused", "expired")
EFFECTS = (*YES, *YES, *NO, "withdrawn", "imported", "requested")
MINUTE = 60_000_000

# How many histories; each is of 60 things that happen, after each of which all is compared.
LAWS = [
    ("sqlite", 5),
    ("postgresql", 1),
    pytest.param("sqlite", 60, marks=pytest.mark.slow),
    pytest.param("postgresql", 10, marks=pytest.mark.slow),
]

Cell = tuple[str, str, str]
"""An address, a channel and a purpose."""


@define
class Said:
    """One thing that somebody said, as the test remembers it; None stands for all."""

    effect: str
    address: str | None
    channel: str | None
    purpose: str | None
    at: int
    by: int

    def covers(self, cell: Cell) -> bool:
        mine = (self.address, self.channel, self.purpose)
        return all(own in (None, asked) for own, asked in zip(mine, cell, strict=True))


@frozen
class Noted:
    """A no that goes for an address, whoever has it."""

    address: str
    channel: str | None
    purpose: str | None
    at: int


@define
class World:
    """Who said what, and who has which address, as the test works it out by itself."""

    said: list[Said] = field(factory=list)
    noted: set[Noted] = field(factory=set)
    addresses: dict[int, set[tuple[str, str]]] = field(factory=dict)

    def state(self, who: int, cell: Cell) -> tuple[str, bool, bool]:
        """
        Tell what somebody's words amount to, taken one after the other.

        Returns the last state, whether anything was imported, and whether they ever said no.
        """
        words = [s for s in self.said if s.by == who and s.covers(cell)]
        state, imported, ever_no = "silent", False, False
        # Within one instant the noes come last, and so win.
        for word in sorted(words, key=lambda s: (s.at, s.effect in (*NO, "kept"))):
            imported = imported or word.effect == "imported"
            if word.effect in (*NO, "kept"):
                state, ever_no = "no", True
            elif word.effect == "confirmed" or (word.effect == "given" and state != "confirmed"):
                state = word.effect
        return state, imported, ever_no

    def allows(self, who: int, cell: Cell) -> bool:
        state, imported, ever_no = self.state(who, cell)
        return {
            "contract": True,
            "opt_out": state != "no",
            "opt_in": state in YES or (imported and not ever_no),
            "double_opt_in": state == "confirmed",
        }[NEEDS[cell[2]]]

    def is_free(self, cell: Cell) -> bool:
        """Return whether nobody's no goes for the address, or somebody agreed after it."""
        address, channel, purpose = cell
        if NEEDS[purpose] == "contract":
            return True
        noes = [
            n.at
            for n in self.noted
            if n.address == address
            and n.channel in (None, channel)
            and n.purpose in (None, purpose)
        ]
        grants = [s.at for s in self.said if s.effect in YES and s.covers(cell)]
        return not noes or max(grants, default=-(2**62)) > max(noes)

    def cells(self) -> Iterator[Cell]:
        for owned in self.addresses.values():
            for scheme, address in owned:
                for purpose in PURPOSES:
                    yield address, CHANNELS[scheme].name, purpose


@define
class Story:
    """A shop in which customers say this and that, and turn out to be one another."""

    crm: Crm
    clock: VirtualClock
    chance: random.Random
    world: World = field(factory=World)
    merges: list[tuple[int, World]] = field(factory=list)
    asked: Counter[str] = field(factory=Counter)

    def register(self, number: int) -> None:
        """Let somebody be known, by a mail address, and some of them by a telephone."""
        names = [Identifier("account", f"a{number}"), Identifier("email", f"c{number}@example.com")]
        if number % 2:
            names.append(Identifier("phone", f"+4930123450{number}"))
        recorded = self.crm.record(Draft("account.registered", identifiers=tuple(names)))
        self.world.addresses[recorded.customer_id] = {(n.scheme, n.value) for n in names[1:]}

    def say(self) -> None:
        """Let somebody say something, now or some time ago, of one thing or of many."""
        chance, world = self.chance, self.world
        who = chance.choice(sorted(world.addresses))
        scheme, address = chance.choice(sorted(world.addresses[who]))
        said = Said(
            effect=chance.choice(EFFECTS),
            address=address,
            channel=CHANNELS[scheme].name,
            purpose=chance.choice(PURPOSES),
            # Late arrivals, and several things at one instant.
            at=self.clock.now() - chance.choice((0, 0, MINUTE, MINUTE, 5 * MINUTE, 60 * MINUTE)),
            by=who,
        )
        if said.effect in NO:
            said.address = chance.choice((address, None))
            said.channel = chance.choice((said.channel, said.channel, None))
            said.purpose = chance.choice((said.purpose, None))
        payload = {"purpose": said.purpose, "channel": said.channel, "point": said.address}
        if said.address is not None:
            payload["point"] = f"{scheme}:{said.address}"
        self.crm.record(
            f"consent.{said.effect}",
            customer=who,
            occurred_at=START + timedelta(microseconds=said.at - instant(START)),
            payload={name: value for name, value in payload.items() if value is not None},
        )
        world.said.append(said)
        if said.effect in ("withdrawn", "refused"):
            world.noted |= {
                Noted(each, said.channel, said.purpose, said.at)
                for scheme, each in world.addresses[who]
                if said.address in (None, each) and said.channel in (None, CHANNELS[scheme].name)
            }

    def merge(self) -> None:
        """Make two of them one: what either says no to stays a no, until they agree again."""
        world = self.world
        if len(world.addresses) < 3:
            return
        survivor, merged = self.chance.sample(sorted(world.addresses), 2)
        before = deepcopy(world)
        done = self.crm.merge(survivor, merged)
        self.merges.append((done.id, before))
        for said in world.said:
            said.by = survivor if said.by == merged else said.by
        world.addresses[survivor] |= world.addresses.pop(merged)
        refused = {
            cell
            for cell in world.cells()
            if "no" in (before.state(survivor, cell)[0], before.state(merged, cell)[0])
        }
        standing = {
            (each.address, each.channel, each.purpose): each for each in self.crm.consents(survivor)
        }
        for cell in sorted(refused):
            if cell in standing:  # the address is one of these two's
                assert "withdrawn" == standing[cell].standing
                assert standing[cell].allowed == (NEEDS[cell[2]] == "contract")
                self.asked["kept by a merge"] += 1
            if world.state(survivor, cell)[0] != "no":
                world.said.append(Said("kept", *cell, self.clock.now(), survivor))
                self.asked["narrowed by a merge"] += 1

    def unmerge(self) -> None:
        """Undo the last merge; what was said since by the survivor's id stays theirs."""
        if not self.merges:
            return
        merge_id, before = self.merges.pop()
        self.crm.unmerge(merge_id)
        later = [s for s in self.world.said[len(before.said) :] if s.effect != "kept"]
        self.world.said = before.said + later
        self.world.addresses = before.addresses

    def check(self, asking: Asking) -> None:
        """Compare what the gate says with what was said, for everybody, purpose and channel."""
        world = self.world
        for scheme, channel in CHANNELS.items():
            for purpose in PURPOSES:
                judged = asking.judge(sorted(world.addresses), purpose, channel)
                for who, found in judged.items():
                    mine = [
                        (address, channel.name, purpose)
                        for kind, address in world.addresses[who]
                        if kind == scheme
                    ]
                    agreed = [cell for cell in mine if world.allows(who, cell)]
                    free = [cell for cell in agreed if world.is_free(cell)]
                    expected = None if free else "withdrawn" if agreed else "consent"

                    assert (expected if mine else "address") == found.gate, (who, mine, found)

                    self.asked[str(found.gate)] += 1


@pytest.mark.parametrize(("kind", "histories"), LAWS)
def test_the_gate_says_what_customers_said(tmp_path, kind, histories):
    """
    At every instant consent is what was said by then, a no before a yes of the same instant.

    Over all effects, wide ones, imports, late arrivals, merges and unmerges; and a merge lets
    nothing go that one of the two had said no to, until it is agreed to again.
    """
    asked: Counter[str] = Counter()
    for seed in range(histories):
        folder = tmp_path / f"{seed}"
        folder.mkdir()
        clock = VirtualClock(instant(START))
        with (
            making(kind),
            Crm(
                shop_file(folder), clock=clock, gate=GateSettings(basis=dict(BASIS)), durable=False
            ) as crm,
        ):
            story, asking = Story(crm, clock, random.Random(seed)), Asking(crm)
            for number in range(5):
                story.register(number)
            for _ in range(60):
                clock.advance_to(clock.now() + story.chance.choice((0, 0, MINUTE, 3 * MINUTE)))
                step = story.chance.choice((story.say,) * 8 + (story.merge, story.unmerge))
                step()
                story.check(asking)
            before = consent_rows(crm)
            crm.rebuild("consent")

            assert before == consent_rows(crm)

            asked += story.asked

    assert asked[str(None)] > 100 * histories, asked
    assert asked["consent"] > 100 * histories, asked
    assert asked["withdrawn"] > 0, asked
    assert asked["kept by a merge"] > histories, asked
    assert histories < 5 or asked["narrowed by a merge"] > 0, asked


def consent_rows(crm: Crm) -> Counter[tuple[object, ...]]:
    with crm.begin() as tx:
        found = tx.connection.sqlalchemy.exec_driver_sql("SELECT * FROM crm_consent").fetchall()
    return Counter(tuple(row) for row in found)
