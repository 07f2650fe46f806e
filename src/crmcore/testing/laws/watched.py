"""Laws of conduct: what a plugin does while its hooks run, and how much of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from attrs import evolve

from crmcore.domain.interaction import Draft
from crmcore.errors import CrmError
from crmcore.services.checkups.hook_times import BUDGET, MILLISECOND, PER_ITEM
from crmcore.testing.laws.answers import unknown_tables
from crmcore.testing.laws.base import Laws
from crmcore.testing.laws.sources import is_public
from crmcore.testing.neighbour import SOURCES, Neighbour
from crmcore.testing.outings import (
    crowd,
    let_a_crowd_live,
    live_through,
    most,
    one_of_each,
    watched_shop,
)
from crmcore.testing.shop import Shop, settle
from crmcore.testing.snapshots import LEDGER, Snapshot, difference, snapshot
from crmcore.testing.watching import NETWORK, Deed, Watch
from crmcore.testing.wrapping import silent

_CROWDS: Final = (3, 30, 90)
_SLACK: Final = 5
"""So many statements more may a larger batch need, where it leads to more cases."""
_FEW, _MANY = 300, 1200
_MEASURABLE: Final = 40 * MILLISECOND
_CHANGES: Final = ("prepare_interaction", "choose_exchange_rate", "register_identifiers")
"""Hooks by which a plugin may change what is recorded."""
_IMPORTING: Final = """
import importlib, importlib.util, json, sys
heard = []
name, path, network, sys.path[:] = json.loads(sys.argv[1])
def hook(event, arguments):
    if event in network:
        heard.append(event + " " + repr(arguments[1:] or arguments))
        raise ConnectionRefusedError("there is no network at import")
sys.addaudithook(hook)
failed = ""
try:
    if path:
        spec = importlib.util.spec_from_file_location(name, path)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        importlib.import_module(name)
except BaseException as error:
    failed = type(error).__name__ + ": " + str(error)
print("\\n" + json.dumps([heard, failed]))
"""


class WatchedLaws(Laws):
    """In the shop's transaction a plugin writes its own tables, waits for nothing, and is quick."""

    _watches: ClassVar[dict[tuple[Any, ...], tuple[Watch, list[str]]]] = {}

    def test_no_network_at_import(self, any_shop: Shop) -> None:
        """Importing the plugin, alone in a new process, works and opens no connection."""
        heard, failed = _imported(any_shop)
        if heard:
            raise any_shop.broken(
                f"importing it asks the network ({heard[0]}); open connections when they are "
                "needed, in deliver_messages or an after_ hook"
            )
        if failed:
            raise any_shop.broken(
                f"it cannot be imported alone, in a new process: {failed}; import what it needs"
            )

    def test_no_network_in_a_transaction(self, shop: Shop) -> None:
        """No hook in a transaction asks the network, be the exception swallowed or not."""
        self._none(
            shop,
            "network",
            "asks the network ({told}) while the shop's transaction is open; do it in an after_ "
            "hook or in deliver_messages, and record what came of it",
        )

    def test_no_sleeping(self, shop: Shop) -> None:
        """No hook in a transaction sleeps: the shop's order would wait with it."""
        self._none(
            shop,
            "sleep",
            "sleeps ({told}) while the shop's transaction is open; ask for a timer with "
            "ctx.set_timer",
        )

    def test_no_processes_and_threads(self, shop: Shop) -> None:
        """No hook in a transaction starts a process or a thread."""
        for sort in ("process", "thread"):
            self._none(
                shop,
                sort,
                f"starts a {sort} ({{told}}) while the shop's transaction is open; do the work in "
                "an after_ hook, which a worker calls",
            )

    def test_no_threads_left_behind(self, shop: Shop) -> None:
        """When the shop is closed, no thread of the plugin goes on."""
        left = self._lived(shop)[1]
        if left:
            raise shop.broken(
                f"thread {left[0]!r} goes on when the shop is closed; join it in on_stopping, or "
                "leave the work to an after_ hook"
            )

    def test_no_files_in_a_transaction(self, shop: Shop) -> None:
        """No hook in a transaction writes files: a rollback would leave them behind."""
        self._none(
            shop,
            "file",
            "writes files ({told}) while the shop's transaction is open, which no rollback takes "
            "back; write in deliver_messages or an after_ hook, or keep it in a table",
        )

    def test_writes_its_own_tables_only(self, shop: Shop) -> None:
        """No statement of a hook writes a table of the core or of another plugin."""
        self._none(
            shop,
            "write",
            "writes table '{told}', which is not its own; record a decision with ctx.record, or "
            f"declare a table crm_{shop.subject.name}_<noun> in `tables` and write that",
        )

    def test_defines_nothing(self, shop: Shop) -> None:
        """No hook makes or changes tables, or begins, commits or rolls back."""
        self._none(
            shop,
            "define",
            "runs {told!r}; declare tables in `tables`, change them in `migrations`, and leave "
            "transactions to the shop",
        )

    def test_imports_no_private_core_in_hooks(self, shop: Shop) -> None:
        """Nor does it import private parts while it runs, by names that are put together."""
        if shop.subject.package == "crmcore":
            return
        for deed in self._lived(shop)[0].did("import"):
            if not is_public(deed.told):
                raise shop.broken(
                    f"{deed.hook} imports {deed.told}, a private part of the core that may change "
                    "at any time; import from crmcore, crmcore.hooks or crmcore.errors"
                )

    def test_hooks_raise_nothing(self, shop: Shop) -> None:
        """In all that ordinarily happens no hook raises."""
        for hook, error in self._lived(shop)[0].raised:
            told = " ".join(str(error).split())[:400]
            raise shop.broken(
                f"{hook} raises {type(error).__name__}: {told}; in an ordinary shop nothing "
                "should, so handle what the hook was given"
            ) from error

    def test_leaves_no_undeclared_tables(self, shop: Shop) -> None:
        """After a history, the database has no table that nobody declared."""
        templates = one_of_each(shop)
        with shop.opened() as crm:
            shop.play(crm, crowd(templates, 2))
            found = unknown_tables(shop, crm)
        if found:
            raise shop.broken(
                f"table {found[0]!r} is in the database, and neither the core nor a plugin "
                "declared it; put PluginTable(...) with its policies into `tables`"
            )

    def test_leaves_others_alone(self, shop: Shop) -> None:
        """What the shop records, and what another plugin keeps, is as without the plugin."""
        changes = [hook for hook in _CHANGES if shop.subject.implements(hook)]

        def check(history: list[Draft]) -> None:
            if not changes:
                _compare_neighbours(shop, history)

        shop.over(check, examples=max(2, shop.examples // 4), least=4)

    def test_statements_do_not_grow(self, shop: Shop) -> None:
        """The number of statements in a call of a hook does not grow with the batch."""
        sizes = _CROWDS if shop.kind == "sqlite" else _CROWDS[1:]
        calls = {count: most(let_a_crowd_live(shop, count)) for count in sizes}
        few, many = calls[sizes[-2]], calls[sizes[-1]]
        for hook, call in many.items():
            before = few[hook].count if hook in few else 0
            if call.count > before + _SLACK and 2 * call.count > 3 * before:
                counted = ", ".join(
                    f"{found[hook].count if hook in found else 0} for {size}"
                    for size, found in calls.items()
                )
                statement, often = call.statements.most_common(1)[0]
                raise shop.broken(
                    f"{hook} runs more statements the more customers a batch has ({counted}); ask "
                    "for all of them in one statement, by ctx.fold, ctx.write with all rows, or "
                    f"WHERE customer_id IN; most often it ran, {often} times: {statement[:300]}"
                )

    def test_takes_little_time(self, any_shop: Shop) -> None:
        """A hook stays within its budget of CPU, and needs no more a row for larger batches."""
        shop = any_shop
        templates = [each for each in one_of_each(shop) if _counts(shop, each)]
        few, many = (_times(shop, templates, count) for count in (_FEW, _MANY))
        for hook, (items, took) in many.items():
            budget = max(BUDGET, PER_ITEM * items)
            if took > budget:
                raise shop.broken(
                    f"{hook} takes {took // MILLISECOND} ms of CPU for {items} rows, and "
                    f"{budget // MILLISECOND} ms are its budget; fold with one statement instead "
                    "of a loop, or do the work in an after_ hook or a timer"
                )
            before = few.get(hook, (0, 0))[1]
            if took > _MEASURABLE and took > 2 * (_MANY // _FEW) * max(before, MILLISECOND):
                raise shop.broken(
                    f"{hook} takes {took / before:.0f} times as long for {_MANY // _FEW} times as "
                    f"many rows ({before // MILLISECOND} ms, then {took // MILLISECOND} ms of "
                    "CPU); do not compare each row with all others"
                )

    def _none(self, shop: Shop, sort: str, told: str) -> None:
        """Refuse what was done of a sort; nothing of it is allowed in a transaction."""
        for deed in self._lived(shop)[0].did(sort):
            raise shop.broken(f"{deed.hook} {_filled(told, deed)}")

    def _lived(self, shop: Shop) -> tuple[Watch, list[str]]:
        """Return what the plugin did when everything happened; done once for all laws."""
        key = type(self), shop.subject.cls, shop.kind
        if key not in self._watches:
            self._watches[key] = _live(shop)
        return self._watches[key]


def _filled(told: str, deed: Deed) -> str:
    return told.format(told=deed.told)


def _live(shop: Shop) -> tuple[Watch, list[str]]:
    """Let some histories be lived through; returns what was done, and the threads that are left."""
    import threading

    all_of_them = Watch(frozenset(shop.subject.tables))
    before = set(threading.enumerate())

    def check(history: list[Draft]) -> None:
        with watched_shop(shop, Neighbour()) as (crm, watch):
            live_through(shop, crm, history)
        all_of_them.calls += watch.calls
        all_of_them.deeds += watch.deeds
        all_of_them.raised += watch.raised

    evolve(shop, shrinks=False).over(check, examples=max(3, shop.examples // 3), least=8)
    left = [each.name for each in set(threading.enumerate()) - before if each.is_alive()]
    return all_of_them, sorted(left)


def _imported(shop: Shop) -> tuple[Sequence[str], str]:
    """Import the plugin's module in a new process; returns what it asked, and how it failed."""
    module = shop.subject.cls.__module__
    path = getattr(sys.modules.get(module), "__file__", None)
    own = shop.subject.package
    is_package = own == "crmcore" or own.startswith("crmcore_")
    told = json.dumps([module, "" if is_package or not path else path, sorted(NETWORK), sys.path])
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTING, told],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path.cwd(),
    )
    try:
        heard, failed = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return [], " ".join(done.stderr.split())[-300:] or "the process ended"
    return heard, failed


def _compare_neighbours(shop: Shop, history: Sequence[Draft]) -> None:
    found: list[Snapshot] = []
    # Its kinds are there either way, since the shop may record some of them.
    for plugins in (silent(shop).subject.all(Neighbour()), shop.subject.all(Neighbour())):
        with shop.opened(plugins) as crm:
            shop.play(crm, history)
            settle(crm)
            found.append(snapshot(crm))
    without, beside = found
    kept = [name for name in without.tables if name.startswith("crm_neighbour_")]
    told = difference(without.only(kept), beside.only(kept))
    if told:
        raise shop.broken(
            "rows of another plugin are others than without it; write only tables of its own\n"
            f"{told}"
        )
    told = difference(_of_shop(without), _of_shop(beside))
    if told:
        raise shop.broken(
            "what the shop recorded is stored otherwise than without it; write only tables of its "
            f"own, and change drafts in a prepare_ hook\n{told}"
        )


def _of_shop(found: Snapshot) -> Mapping[str, Any]:
    """Return the ledger, less what was decided."""
    tables = {name: found.tables[name] for name in LEDGER - {"crm_interaction", "crm_dedupe"}}
    rows = found.tables["crm_interaction"]
    observed = {row: count for row, count in rows.items() if dict(row)["source"] in SOURCES}
    return {**tables, "crm_interaction": type(rows)(observed)}


def _counts(shop: Shop, draft: Draft) -> bool:
    """Return whether a kind is among the few that a large crowd does: orders, and its own."""
    return draft.kind in ("order.placed", "account.registered", *shop.subject.recorded)


def _times(shop: Shop, templates: Sequence[Draft], count: int) -> dict[str, tuple[int, int]]:
    """Return for each hook the rows of its largest call, and the least CPU such a call took."""
    with watched_shop(shop) as (crm, watch):
        crm.record_many(crowd(templates, 3))  # statements are compiled when they are first run
        settle(crm)
        watch.calls.clear()
        for day in (1, 2):
            crm.runtime.clock.advance_to(crm.runtime.clock.now() + 86_400_000_000)  # type: ignore[attr-defined]
            try:
                crm.record_many(crowd(templates, count, day=day, first=10))
                settle(crm)
            except CrmError as error:
                raise shop.broken(
                    f"{count} customers at once cannot be recorded: {error}; let no hook abort "
                    "what the shop does"
                ) from error
    found: dict[str, tuple[int, int]] = {}
    for call in watch.calls:
        if not call.is_outside:
            items, took = found.get(call.hook, (0, 0))
            if call.items > items or (call.items == items and call.microseconds < took):
                found[call.hook] = call.items, call.microseconds
    return found
