"""Outings: a shop let live through all that a plugin has hooks for, while it is watched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Final

from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from crmcore.app import Crm
from crmcore.domain.clock import DAY, to_instant
from crmcore.domain.identity import Identifier
from crmcore.domain.interaction import Draft
from crmcore.domain.kinds import CORE_KINDS
from crmcore.domain.message import Content
from crmcore.errors import CrmError
from crmcore.hooks import Plugin
from crmcore.persistence.customers import customer
from crmcore.testing.shop import LONG, Shop, clock_of, settle
from crmcore.testing.strategies import SHOP_KINDS, START, channel_of, drafts
from crmcore.testing.watching import Call, Watch, watching

_NEWS: Final = Content(subject="News", text="There is something new.")


@contextmanager
def watched_shop(shop: Shop, *others: Plugin) -> Iterator[tuple[Crm, Watch]]:
    """Open a shop in which the plugin under test is watched."""
    subject = shop.subject
    with watching(subject.tables, subject.package) as watch:
        plugins = [*subject.without(*others), watch.over(subject.make())]
        with shop.opened(plugins) as crm:
            yield crm, watch


def present_customers(crm: Crm) -> list[int]:
    """Return the ids of those who are merged into nobody."""
    wanted = select(customer.c.customer_id).where(customer.c.merged_into.is_(None))
    with crm.runtime.database.begin(read_only=True) as connection:
        return sorted(who for (who,) in connection.execute(wanted))


def live_through(shop: Shop, crm: Crm, history: Sequence[Draft]) -> None:
    """Let everything happen once, then a history, and then all that may be asked of a plugin."""
    half = len(history) // 2
    shop.play(crm, crowd(one_of_each(shop), 2), days=0)
    shop.play(crm, history[:half], days=0)
    tell_everybody(crm, "half")
    shop.play(crm, history[half:])
    tell_everybody(crm, "whole")
    everyone = present_customers(crm)
    for who in everyone[:2]:
        crm.customer(who)
        crm.export(who, shop.folder / "exported")
    for report in crm.assembly.reports:
        with suppress(CrmError):
            crm.report(report)
    if len(everyone) > 1:
        crm.unmerge(crm.merge(everyone[0], everyone[1]).id)
    settle(crm)
    if shop.subject.derived:
        crm.rebuild(shop.subject.name)
    if everyone:
        crm.erase(everyone[-1])


def tell_everybody(crm: Crm, key: str) -> None:
    """Send a message that needs no consent to all who can be reached, on every channel."""
    for channel in crm.assembly.channels:
        with suppress(CrmError):
            crm.broadcast(
                f"kit-{key}-{channel}",
                "everyone",
                purpose="service",
                channel=channel,
                content=_NEWS,
            )
    settle(crm)


def one_of_each(shop: Shop) -> list[Draft]:
    """
    Return a draft of every kind that happens in a shop, and of the plugin's that it records.

    All fields of their payloads have values: what a plugin does of one should be seen.
    """
    subject = shop.subject
    found: list[Draft] = []
    core = [kind for kind in CORE_KINDS if kind.name in SHOP_KINDS]
    own = [kind for kind in subject.kinds if kind.name in subject.recorded]
    values, currency = subject.payloads, subject.options.get("currency", "EUR")

    @settings(
        max_examples=4,
        database=None,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.tuples(
            *(
                drafts(kind=kind, number=n, at=START, values=values, currency=currency, full=True)
                for n, kind in enumerate([*core, *own])
            )
        )
    )
    def draw(drawn: tuple[Draft, ...]) -> None:
        found[:] = drawn

    draw()
    return found


def crowd(templates: Sequence[Draft], count: int, *, day: int = 0, first: int = 0) -> list[Draft]:
    """Return the same for each of *count* customers, kind after kind, at an instant of its own."""
    made: list[Draft] = []
    for number, each in enumerate(templates):
        for place, who in enumerate(range(first, first + count)):
            at = START + timedelta(days=day, minutes=number, milliseconds=20 * place)
            account = f"c{who}"
            known = (Identifier("account", account), Identifier("email", f"{account}@example.com"))
            made.append(
                evolve(
                    each,
                    identifiers=known,
                    occurred_at=at,
                    source_key=f"{day}/{number}/{who}",
                    channel=each.channel or channel_of(each.kind, number + 1),
                    subject=None if each.subject is None else f"order:{account}/1",
                )
            )
    return made


def loners(templates: Sequence[Draft], *, first: int) -> list[Draft]:
    """Return customers of whom each did one thing alone, which needs no order before it."""
    alone = [each for each in templates if each.subject is None or each.kind == "order.placed"]
    return [
        draft
        for number, each in enumerate(alone, first)
        for draft in crowd([each], 1, day=number, first=number)
    ]


def let_a_crowd_live(shop: Shop, count: int) -> Watch:
    """Return what hooks did when the same happened to *count* customers, in as few batches."""
    templates = one_of_each(shop)
    with watched_shop(shop) as (crm, watch):
        clock = clock_of(crm)
        for day in (0, 40):
            clock.advance_to(max(clock.now(), to_instant(START) + (day + 1) * DAY))
            crm.record_many(crowd(templates, count, day=day))
            settle(crm)
            tell_everybody(crm, f"day-{day}")
        for _ in range(LONG // 40):
            clock.advance_to(clock.now() + 40 * DAY)
            settle(crm)
        if shop.subject.derived:
            crm.rebuild(shop.subject.name)
    return watch


def most(watch: Watch) -> dict[str, Call]:
    """Return for each hook the call that ran most statements."""
    found: dict[str, Call] = {}
    for call in watch.calls:
        if call.hook not in found or call.count > found[call.hook].count:
            found[call.hook] = call
    return found
