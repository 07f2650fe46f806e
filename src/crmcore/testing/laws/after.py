"""Laws of what comes at least once: told or asked again, a plugin does nothing more."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen
from sqlalchemy import func, insert, literal, select, update

from crmcore.app import Crm
from crmcore.domain.interaction import Draft
from crmcore.hooks import IdList, InteractionsRecorded
from crmcore.persistence.cursors import cursor
from crmcore.persistence.faults import debt
from crmcore.persistence.ledger import interaction
from crmcore.testing.laws.base import Laws
from crmcore.testing.shop import Shop, settle
from crmcore.testing.snapshots import Table, difference, snapshot
from crmcore.testing.wrapping import Call, wrapped

HOOK = "after_interactions_recorded"


class AfterLaws(Laws):
    """What was told twice was done once, and what was decided twice is one row."""

    def test_told_twice(self, shop: Shop) -> None:
        """Told everything twice, in batches of other sizes, it leaves what it leaves told once."""
        if not shop.subject.implements(HOOK):
            return

        def check(history: list[Draft]) -> None:
            once = _told(shop, history)
            for again, how in ((_whole, "the same batch again"), (_singly, "one by one")):
                _compare(shop, once, _told(wrapped(shop, {HOOK: again}), history), how)

        shop.over(check, examples=max(2, shop.examples // 4), least=4)

    def test_told_from_the_beginning(self, shop: Shop) -> None:
        """After a kill or a restore all may come again, and nothing more is done."""
        if not shop.subject.implements(HOOK):
            return

        def check(history: list[Draft]) -> None:
            once = _told(shop, history)
            again = _told(shop, history, again=True)
            _compare(shop, once, again, "everything from the beginning, as after a restore")

        shop.over(check, examples=max(2, shop.examples // 4), least=4)

    def test_decided_twice(self, shop: Shop) -> None:
        """Given all facts again, as debt is paid, it decides what it had decided, and no more."""

        def check(history: list[Draft]) -> None:
            with shop.opened() as crm:
                shop.play(crm, history, days=0)
                before = snapshot(crm)
                _owe_everything(crm, shop.subject.name)
                crm.pay_debts()
                after = snapshot(crm)
            name = shop.subject.name
            told = difference(before.decided_by(name), after.decided_by(name))
            if told:
                raise shop.broken(
                    "given the same facts again, it decides something else: source_key has to "
                    "follow from the fact that is decided about, such as its source and key, and "
                    f"from neither ids, the clock, nor chance\n{told}"
                )
            derived = shop.subject.derived
            told = difference(before.only(derived), after.only(derived))
            if told:
                raise shop.broken(
                    "given the same facts again after recompute_customers, it derives other rows; "
                    "ctx.clear every derived table there, and make them up to event.selection by "
                    f"the same folds as live\n{told}"
                )

        shop.over(check, examples=max(2, shop.examples // 4), least=6)


@frozen
class Told:
    """What a shop holds in which a history was told, and the files that were written."""

    tables: Mapping[str, Table]
    files: Mapping[str, bytes]


def _whole(ctx: Any, event: InteractionsRecorded, call: Call) -> None:
    call()
    call()


def _singly(ctx: Any, event: InteractionsRecorded, call: Call) -> None:
    call()
    for item in event:
        one = InteractionsRecorded(
            kinds=frozenset({item.kind}),
            size=1,
            selection=IdList((item.id,)),
            load=lambda item=item: [item],  # type: ignore[misc]
        )
        call(one)


def _told(shop: Shop, history: Sequence[Draft], *, again: bool = False) -> Told:
    """Let a history be told, in a folder of its own; *again*: all of it once more in the end."""
    with tempfile.TemporaryDirectory(dir=shop.folder) as folder, contextlib.chdir(folder):
        with shop.opened() as crm:
            shop.play(crm, history)
            settle(crm)  # once more, as what is told may lead to messages, and these to more
            if again:
                _put_back(crm, shop.subject.name)
            settle(crm)
            found = snapshot(crm)
        files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(Path(folder).rglob("*"))
            if path.is_file()
        }
    tables = {name: rows for name, rows in found.tables.items() if name != cursor.name}
    return Told(tables, files)


def _compare(shop: Shop, once: Told, found: Told, how: str) -> None:
    told = difference(once.tables, found.tables)
    changed = [name for name, said in found.files.items() if once.files.get(name) != said]
    if changed:
        told += f"\nfiles that differ: {', '.join(changed)}"
    if told:
        raise shop.broken(
            f"{HOOK} does more when it is told twice, which a restart may bring about: it was "
            f"told {how}; let what it records, sends and writes be named by the interaction, so "
            f"that the second time it is there\n{told}"
        )


def _put_back(crm: Crm, plugin: str) -> None:
    """Put the plugin's cursor back to where nothing was told."""
    back = update(cursor).where(cursor.c.plugin == plugin)
    with crm.begin() as tx:
        tx.connection.sqlalchemy.execute(back.values(position_xid=0, position_id=0))


def _owe_everything(crm: Crm, plugin: str) -> None:
    """Let the plugin have missed all there is of every customer."""
    first = func.min(interaction.c.interaction_id)
    missed = select(literal(plugin), interaction.c.customer_id, first)
    missed = missed.group_by(interaction.c.customer_id)
    columns = ["plugin", "customer_id", "first_interaction_id"]
    with crm.begin() as tx:
        tx.connection.sqlalchemy.execute(insert(debt).from_select(columns, missed))
