"""Caps and quiet hours as the gate judges them, against messages counted one by one."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import pytest
from attrs import frozen
from sqlalchemy import insert

from crmcore import Crm
from crmcore.domain.clock import DAY
from crmcore.domain.gate import Cap, GateSettings
from crmcore.domain.quiet import QuietHours
from crmcore.persistence.consent import zone as zone_table
from tests.support.databases import making, shop_file
from tests.support.gates import Asking, put_message
from tests.support.walls import (
    HOUR,
    ZONES,
    Rule,
    first_not_quiet,
    first_of_day,
    next_day,
    transitions,
)

# One that is deferred and was handed over has been tried before, and nobody knows what came of it.
COUNTED = ("claimed", "handed", "accepted", "unknown", "deferred")
STATES = (*COUNTED, "accepted", "accepted", "planned", "withheld", "failed")
NIGHT: list[Rule] = [("21:30", "07:15", ())]
# Every so many changes of the clocks of each zone is tried.
EVERY = [
    ("sqlite", 31),
    ("postgresql", 97),
    pytest.param("sqlite", 1, marks=pytest.mark.slow),
]


@frozen
class Sent:
    """A message that there is already."""

    state: str
    at: int | None
    purpose: str
    channel: str
    asks: bool


@frozen
class Shop:
    """What a shop has set, and the same as the test counts it."""

    settings: GateSettings
    rules: Sequence[Rule]


CAPS = (
    [Cap(most=2, days=2)],
    [Cap(most=1, per="day"), Cap(most=3, days=3)],
    [Cap(most=1, days=1, asks=True), Cap(most=2, per="day", channels=["email"])],
    [Cap(most=1, per="day", purposes=["promotion", "service"]), Cap(most=None, days=1)],
    [Cap(most=0, days=1, purposes=["survey"]), Cap(most=2, days=1, channels=["sms"])],
)
NIGHTS: list[list[Rule]] = [[], NIGHT, [], NIGHT, []]
SHOPS = [
    Shop(
        GateSettings(
            basis=dict.fromkeys(("promotion", "survey", "news", "care"), "opt_out"),
            caps=caps,
            quiet=[QuietHours(since=s, until=u) for s, u, _ in rules],
        ),
        rules,
    )
    for caps, rules in zip(CAPS, NIGHTS, strict=True)
]


def waits(shop: Shop, zone: ZoneInfo, sent: list[Sent], purpose: str, asks: bool, at: int):
    """Yield the instant at which each cap, and the night, lets a message by email go; -1: never."""
    quiet = first_not_quiet(zone, shop.rules, at) if purpose != "service" else None
    if quiet is not None:
        yield quiet
    for cap in shop.settings.caps:
        about = cap.purposes or ["care", "news", "promotion", "survey"]
        concerned = purpose in about and (asks or not cap.asks)
        if cap.most is None or not concerned or (cap.channels and "email" not in cap.channels):
            continue
        if cap.most == 0:
            yield -1
            continue
        counted = [
            at if each.state == "claimed" else each.at
            for each in sent
            if each.state in COUNTED
            and each.purpose in about
            and (not cap.channels or each.channel in cap.channels)
            and (each.asks or not cap.asks)
        ]

        def full(instant: int, cap: Cap = cap, counted: list[int] = counted) -> bool:  # type: ignore[assignment]
            if cap.days is not None:
                window = [t for t in counted if instant - cap.days * DAY < t <= instant]
            else:
                window = [t for t in counted if t >= first_of_day(zone, instant)]
            return cap.most is not None and len(window) >= cap.most

        if full(at):
            if cap.days is None:
                yield next_day(zone, at)
            else:
                ends = sorted(t + cap.days * DAY for t in counted if t is not None)
                yield next(end for end in ends if end > at and not full(end))


@pytest.mark.parametrize(("kind", "every"), EVERY)
def test_caps_and_nights_around_changes_of_the_clocks(tmp_path, kind, every):
    """
    Around the changes of the clocks of twenty zones the gate says what counting says.

    Rolling and calendar caps, for some purposes and channels, of what asks, of none at all; and
    quiet hours; each alone and together, when the latest decides.
    """
    asked: Counter[str] = Counter()
    with making(kind):
        for number, shop in enumerate(SHOPS):
            url = shop_file(tmp_path, f"shop{number}")
            with Crm(url, gate=shop.settings, zone="Asia/Tokyo", durable=False) as crm:
                check_shop(crm, shop, number, every, asked)
    assert asked["goes"] > 30, asked
    assert asked["cap"] > 30, asked
    assert asked["quiet"] > 5, asked
    assert asked["never"] > 5, asked


def made_up(chance: random.Random, at: int) -> Sent:
    """Return a message that went, or did not, in the days before *at*."""
    state = chance.choice(STATES)
    ago = chance.choice((0, 1, DAY, DAY - 1, chance.randrange(3 * DAY)))
    return Sent(
        state,
        None if state in ("planned", "withheld", "claimed") else at - ago,
        chance.choice(("promotion", "promotion", "survey", "service")),
        chance.choice(("email", "email", "sms")),
        chance.random() < 0.5,
    )


def check_shop(crm: Crm, shop: Shop, number: int, every: int, asked: Counter[str]) -> None:
    asking = Asking(crm)
    chance = random.Random(number)
    messages = 0
    for name in (*ZONES, None):
        zone = ZoneInfo(name or "Asia/Tokyo")
        for change in (transitions(name) if name else (0,))[number % every :: every]:
            who = crm.record("account.registered", email=f"{messages}@example.com").customer_id
            if name:
                with crm.begin() as tx:
                    tx.connection.insert_rows(insert(zone_table), [(who, name, 0, 0)])
            at = change + chance.choice((0, -1, 1, HOUR, -HOUR, chance.randrange(-DAY, DAY)))
            sent = [made_up(chance, at) for _ in range(chance.randrange(6))]
            for each in sent:
                messages += 1
                put_message(
                    crm,
                    messages,
                    who,
                    each.at,
                    state=each.state,
                    purpose=each.purpose,
                    channel=each.channel,
                    asks=each.asks,
                )
            messages += 1
            for purpose in ("promotion", "survey", "service"):
                asks = chance.random() < 0.5
                expected = [*waits(shop, zone, sent, purpose, asks, at)]

                found = asking.one(who, purpose, at=at, asks=asks)

                told = (name, at, purpose, asks, sent, found, expected)
                if -1 in expected:
                    assert (found.gate, found.may_go_at) == ("cap", None), told
                    asked["never"] += 1
                elif expected:
                    assert found.may_go_at == max(expected), told
                    assert found.gate in ("quiet", "cap")
                    asked[str(found.gate)] += 1
                else:
                    assert (found.gate, found.may_go_at) == (None, None), told
                    asked["goes"] += 1
