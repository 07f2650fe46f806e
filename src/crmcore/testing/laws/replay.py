"""Laws of replay: what is derived follows from the ledger, however it came about."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from crmcore.domain.clock import to_instant
from crmcore.domain.interaction import Draft
from crmcore.testing.laws.base import Laws
from crmcore.testing.shop import Shop, clock_of, settle
from crmcore.testing.snapshots import Snapshot, Table, difference, snapshot


class ReplayLaws(Laws):
    """Neither the size of batches, nor the order of arrival, nor a rebuild changes a result."""

    def test_live_in_batches_of_any_size(self, shop: Shop) -> None:
        """Recorded one by one, by threes or all at once, a history leaves the same."""

        def check(history: list[Draft]) -> None:
            found = {size: _played(shop, history, size) for size in (None, 1, 3)}
            for size in (1, 3):
                told = difference(_of(shop, found[None]), _of(shop, found[size]))
                if told:
                    raise shop.broken(
                        f"the size of batches changes the result: recorded {_sized(size)} a "
                        "history leaves something else than recorded in as large batches as can "
                        "be; compare customers with each other in on_timers_due only, and let "
                        f"folds add up\n{told}"
                    )

        shop.over(check)

    def test_rebuild_equals_live(self, shop: Shop) -> None:
        """A rebuild leaves every row as it was, and records nothing."""

        def check(history: list[Draft]) -> None:
            with shop.opened() as crm:
                shop.play(crm, history)
                before = snapshot(crm)
                crm.rebuild(shop.subject.name)
                after = snapshot(crm)
            told = difference(before.tables, after.tables)
            if told:
                raise shop.broken(
                    "a rebuild leaves other rows than live recording did; recompute_customers "
                    f"must make the same of the ledger as the on_ hooks\n{told}"
                )

        shop.over(check)

    def test_order_of_arrival(self, shop: Shop) -> None:
        """What comes between two timers may come in any order."""

        def check(history: list[Draft]) -> None:
            pieces = _stretches(shop, history)
            chance = random.Random(len(history))
            mixed = [d for piece in pieces for d in chance.sample(piece, len(piece))]
            ordered, found = _played(shop, history, None), _played(shop, mixed, None)
            told = difference(_derived(shop, ordered), _derived(shop, found))
            if told:
                raise shop.broken(
                    "the order of arrival changes what is derived: the same history, shuffled "
                    "between timers, leaves other rows; go by occurred_at, and between equal "
                    f"ones by source_key\n{told}"
                )
            told = difference(_keys(shop, ordered), _keys(shop, found))
            if told:
                raise shop.broken(
                    "the order of arrival changes the keys of what it decides: build them from "
                    "what happened, such as its source_key, and from no id, since deciding again "
                    f"must be one row\n{told}"
                )

        shop.over(check, late=False)

    def test_the_same_twice(self, shop: Shop) -> None:
        """The same history leaves the same in two databases: neither chance nor clocks matter."""

        def check(history: list[Draft]) -> None:
            first, second = _played(shop, history, None), _played(shop, history, None)
            told = difference(_of(shop, first), _of(shop, second))
            if told:
                raise shop.broken(
                    "the same history leaves other rows the second time, so chance or the "
                    "machine's clock decides, or something is remembered outside of the "
                    f"database; use ctx.clock, and keys that follow from the ledger\n{told}"
                )

        shop.over(check, examples=max(2, shop.examples // 3))

    def test_switched_off_and_on(self, shop: Shop) -> None:
        """Switched off and on again, it is where it was; what it missed it makes good."""

        def check(history: list[Draft]) -> None:
            half = (len(history) + 1) // 2
            with shop.database() as url:
                with shop.opened(url=url) as crm:
                    shop.play(crm, history[:half])
                    now, before = clock_of(crm).now(), snapshot(crm)
                with shop.opened(shop.subject.without(), url=url, at=now):
                    pass
                with shop.opened(url=url, at=now) as crm:
                    settle(crm)
                    after = snapshot(crm)
                told = difference(_of(shop, before), _of(shop, after))
                if told:
                    raise shop.broken(
                        "switched off and on again, with nothing in between, it leaves other "
                        f"rows; on_started runs at every start\n{told}"
                    )
                # Meanwhile the shop cannot record the plugin's kinds.
                known = [d for d in history[half:] if d.kind not in shop.subject.recorded]
                with shop.opened(shop.subject.without(), url=url, at=now) as crm:
                    shop.play(crm, known, days=0)
                    now = clock_of(crm).now()
                with shop.opened(url=url, at=now) as crm:
                    settle(crm)
                    caught_up = snapshot(crm)
                    crm.rebuild(shop.subject.name)
                    told = difference(_derived(shop, snapshot(crm)), _derived(shop, caught_up))
            if told:
                raise shop.broken(
                    "switched on again, it did not make good what happened while it was switched "
                    f"off: a rebuild leaves other rows\n{told}"
                )

        shop.over(check, examples=max(2, shop.examples // 3), least=2)

    def test_histories_reach_everything(self, any_shop: Shop) -> None:
        """The kit's histories fill every table of the plugin, so that no law holds of nothing."""
        shop = any_shop
        wanted = [*shop.subject.tables, *(kind.name for kind in shop.subject.kinds)]
        missed = {name for name in wanted if name not in shop.subject.unreached}

        def check(history: list[Draft]) -> None:
            if not missed:
                return
            with shop.opened() as crm:
                shop.play(crm, history)
                held = snapshot(crm).tables
            missed.difference_update(name for name in shop.subject.tables if held[name])
            missed.difference_update(dict(row)["kind"] for row in held["crm_interaction"])

        shop.over(check, examples=20, least=15, longest=40)
        if missed:
            raise shop.broken(
                f"no history of the kit reaches {', '.join(sorted(missed))}, so the laws say "
                "nothing of it; name the kinds that the shop records in `recorded`, give examples "
                "in `payloads`, or say in `unreached` why nothing can"
            )


def _played(shop: Shop, history: Sequence[Draft], size: int | None) -> Snapshot:
    with shop.opened() as crm:
        shop.play(crm, history, size=size)
        return snapshot(crm)


def _of(shop: Shop, found: Snapshot) -> Mapping[str, Table]:
    """Return what a plugin keeps and has decided, and everything that others made of it."""
    return found.tables


def _derived(shop: Shop, found: Snapshot) -> dict[str, Any]:
    return found.only(shop.subject.derived)


def _keys(shop: Shop, found: Snapshot) -> dict[str, Any]:
    """Return what the plugin decided about whom, by its keys."""
    ((name, rows),) = found.decided_by(shop.subject.name).items()
    told = ("kind", "source_key", "customer_id")
    return {name: Counter(tuple((c, dict(row)[c]) for c in told) for row in rows.elements())}


def _sized(size: int) -> str:
    return "one by one" if size == 1 else f"{size} at a time"


def _stretches(shop: Shop, history: Sequence[Draft]) -> list[list[Draft]]:
    """Return a history as stretches between which something fell due."""
    found: list[list[Draft]] = [[]]
    with shop.opened() as crm:
        clock = clock_of(crm)
        for draft in history:
            assert draft.occurred_at is not None
            now = to_instant(draft.occurred_at)
            while (due := crm.next_due()) is not None and due <= now:
                clock.advance_to(due)
                crm.run_due()
                if found[-1]:
                    found.append([])
            clock.advance_to(max(now, clock.now()))
            crm.record(draft)
            found[-1].append(draft)
    return found
