"""Laws of isolation: a plugin that fails harms no order, and makes good what it missed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from attrs import define, evolve
from sqlalchemy import text

from crmcore.app import Crm
from crmcore.domain.interaction import Draft
from crmcore.domain.kinds import CORE_KINDS
from crmcore.domain.message import Content, MessageDraft
from crmcore.errors import PayloadError, PluginError
from crmcore.testing.laws.base import Laws
from crmcore.testing.shop import Shop, pass_time, settle
from crmcore.testing.snapshots import LEDGER, Snapshot, Table, difference, snapshot
from crmcore.testing.troubles import troubles
from crmcore.testing.wrapping import HOOKS, Around, Call, silent, wrapped

CAUGHT_UP: Final = (
    "on_interactions_recorded",
    "on_stages_changed",
    "on_timers_due",
    "after_interactions_recorded",
)
"""The hooks that are called once more where they failed."""

_FEW: Final = 3
"""The size of batches where calls fail: small ones, so that there are many calls."""

_CHANGES_DRAFTS: Final = ("prepare_interaction", "choose_exchange_rate")
_OF_START_AND_END: Final = ("on_started", "on_stopping")


class InjectedError(Exception):
    """What the kit lets a hook raise."""


@define
class Failing:
    """
    Lets hooks raise for some of their events, by turns before and after they have done their work.

    A batch in which something failed is run again at once, plugin by plugin: the same event comes
    once more then, and fails as before.

    Attributes:
        every: One of so many events fails; 1: all do, before anything is done.
        is_mended: Whether nothing fails any more.
    """

    every: int
    is_mended: bool = False
    calls: int = 0
    latest: object = None

    def around(self) -> Around:
        def call_or_fail(ctx: Any, event: Any, call: Call) -> Any:
            about = getattr(event, "selection", None) or getattr(event, "changes", None)
            if about is None or about != self.latest:
                self.calls += 1
            self.latest = about
            if self.is_mended or self.calls % self.every:
                return call()
            if self.every > 1 and self.calls // self.every % 2:
                call()
            raise InjectedError("told to fail by the kit")

        return call_or_fail


class FailingLaws(Laws):
    """No order is harmed by what a plugin raises, and a plugin raises nothing by itself."""

    def test_no_hook_raises(self, shop: Shop) -> None:
        """
        No hook raises, whatever happens: with and without amounts, lines, names and payloads.

        Neither does what it is asked: traits, descriptions, reports, a rebuild.
        """

        def check(history: list[Draft]) -> None:
            for drafts in (history, [_bare(shop, draft) for draft in history]):
                with shop.opened() as crm:
                    _ask(shop, crm)
                    shop.play(crm, drafts, days=0)
                    _say(crm)
                    pass_time(crm)
                    _ask(shop, crm)
                    told = troubles(crm, shop.subject.name)
                if told:
                    raise _with_history(
                        shop.broken(
                            "it raises by itself; a hook has to do with whatever is recorded, as "
                            f"nobody else can mend it\n{told}"
                        ),
                        drafts,
                    )

        shop.over(check, examples=max(2, shop.examples // 3))

    def test_it_harms_no_order(self, shop: Shop) -> None:
        """All is recorded as without the plugin: with it, and with every hook of it raising."""
        subject = shop.subject
        changes = any(subject.implements(hook) for hook in _CHANGES_DRAFTS)

        def check(history: list[Draft]) -> None:
            failing = Failing(every=1)
            hooks = [name for name in HOOKS if name not in _OF_START_AND_END]
            broken = wrapped(shop, dict.fromkeys(hooks, failing.around()))
            without = _observed(_recorded(silent(shop), history))
            with _quiet():
                found = _recorded(broken, history)
            told = difference(without, _observed(found))
            if told:
                raise shop.broken(
                    "when its hooks raise, something else is recorded than without it; do all that "
                    f"is written through ctx, in the shop's transaction\n{told}"
                )
            if failing.calls and not found.tables["crm_fault"]:
                raise shop.broken("its hooks were made to raise, and no fault is on record")
            told = "" if changes else difference(without, _observed(_recorded(shop, history)))
            if told:
                raise shop.broken(
                    "with it the ledger holds other facts than without it; write tables of its own "
                    f"only, and record what it decides with ctx.record\n{told}"
                )

        shop.over(check, examples=max(2, shop.examples // 4))

    def test_it_catches_up(self, shop: Shop) -> None:
        """Failing now and then, then mended, it ends where a run ends that never failed."""

        def check(history: list[Draft]) -> None:
            clean = _made(shop, _recorded(shop, history, _FEW))
            told = _difference_after(shop, history, CAUGHT_UP, clean)
            if not told:
                return
            guilty = [
                hook for hook in CAUGHT_UP if _difference_after(shop, history, (hook,), clean)
            ]
            raise shop.broken(
                f"it does not make good what it missed when {' or '.join(guilty or CAUGHT_UP)} "
                "failed now and then: in the end other rows or decisions are there than where "
                "nothing failed; hooks come again, on_timers_due possibly while customers are in "
                "debt (ctx.has_debt, ctx.facts_until), and decide nothing from the present clock"
                f"\n{told}"
            )

        shop.over(check, examples=max(2, shop.examples // 4), least=6)


def _with_history(broken: Any, drafts: Sequence[Draft]) -> Any:
    """Return what is broken, told with the history as it was really played."""
    return type(broken)(broken.plugin, broken.wrong, drafts)


def _recorded(shop: Shop, history: Sequence[Draft], size: int | None = None) -> Snapshot:
    with shop.opened() as crm:
        shop.play(crm, history, size=size)
        return snapshot(crm)


def _observed(found: Snapshot) -> dict[str, Table]:
    """Return what the shop recorded; what plugins decided, and the core noted, stays out."""
    return {name: _facts(found.tables[name]) for name in LEDGER}


def _facts(rows: Table) -> Table:
    """Return the rows that no plugin and no guard brought about."""
    return type(rows)({row: count for row, count in rows.items() if _is_fact(dict(row))})


def _is_fact(row: Mapping[str, Any]) -> bool:
    source = row.get("source")
    if source is None and "interaction_id" in row:
        source = row["interaction_id"][0]
    return source is None or not (source == "crmcore" or source.startswith("plugin:"))


def _made(shop: Shop, found: Snapshot) -> dict[str, Table]:
    """Return what the plugin keeps, decided, and said, however often it was tried."""
    said = [
        tuple((c, v) for c, v in row if c in ("plugin", "message_key", "customer_id", "purpose"))
        for row in found.tables["crm_message"].elements()
        if dict(row)["plugin"] == shop.subject.name
    ]
    table = type(found.tables["crm_message"])
    return {
        **found.only(shop.subject.tables),
        **found.decided_by(shop.subject.name),
        "crm_message": table(said),
    }


def _difference_after(
    shop: Shop, history: Sequence[Draft], hooks: Sequence[str], clean: dict[str, Table]
) -> str:
    """Return how a run ends in which some hooks failed now and then, beside a clean one."""
    failings = {hook: Failing(every=2) for hook in hooks}
    broken = wrapped(shop, {hook: each.around() for hook, each in failings.items()})
    with _quiet(), broken.opened() as crm:
        shop.play(crm, history, size=_FEW, settled=False)
        settle(crm)
        for each in failings.values():
            each.is_mended = True
        for _ in range(2):  # what is paid may set timers, and these may set others
            crm.retry_failed()
            settle(crm)
        return difference(clean, _made(shop, snapshot(crm)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Let nothing be logged of what the kit itself brought about."""
    logger = logging.getLogger("crmcore")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


# -- odd histories, and questions ----------------------------------------------------------------


def _bare(shop: Shop, draft: Draft) -> Draft:
    """Return a draft with as little as can be: no address, amount, line, subject or payload."""
    kinds = {kind.name: kind for kind in [*CORE_KINDS, *shop.subject.kinds]}
    needed = draft.kind.startswith("consent.")
    names = draft.identifiers if needed else draft.identifiers[:1]
    bare = evolve(draft, identifiers=names, amount=None, lines=(), subject=None, source="käse/№ 5")
    if not needed and _is_optional(kinds[draft.kind].payload):
        bare = evolve(bare, payload=None)
    return bare


def _is_optional(payload: type) -> bool:
    try:
        payload()
    except TypeError:
        return False
    return True


def _say(crm: Crm) -> None:
    """Let the shop say something to everybody, so that what judges messages is asked."""
    if "email" not in crm.assembly.channels:
        return
    for number in _people(crm):
        content = Content(text="Grüße aus dem Laden", subject="Neues")
        draft = MessageDraft(
            key="kit", customer=number, purpose="service", channel="email", content=content
        )
        crm.send(draft)


def _ask(shop: Shop, crm: Crm) -> None:
    """Ask what is asked of a plugin; raises where the plugin does."""
    name = shop.subject.name
    for number in _people(crm):
        crm.customer(number)
    for report in crm.assembly.reports:
        if report.startswith(f"{name}."):
            with _named(shop, f"its report {report}"):
                crm.report(report)
    with _named(shop, "recompute_customers"):
        crm.rebuild(name)


@contextmanager
def _named(shop: Shop, what: str) -> Iterator[None]:
    try:
        yield
    except (PluginError, PayloadError) as error:
        raise shop.broken(f"{what} raised: {error}") from error


def _people(crm: Crm) -> list[int]:
    with crm.runtime.database.begin(read_only=True) as connection:
        rows = connection.sqlalchemy.execute(text("SELECT customer_id FROM crm_customer"))
        return sorted(row[0] for row in rows)
