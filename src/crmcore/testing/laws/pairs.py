"""Laws of company: beside any other plugin that is installed, a plugin does what it does alone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import chdir
from importlib.metadata import entry_points
from typing import Final

from sqlalchemy import delete

from crmcore.app import Crm
from crmcore.channels.recording import Recording
from crmcore.configuration import GROUP
from crmcore.domain.identity import Identifier
from crmcore.domain.interaction import Draft
from crmcore.errors import CrmError
from crmcore.hooks import Plugin
from crmcore.testing import dumps
from crmcore.testing.laws.base import Laws
from crmcore.testing.shop import Shop
from crmcore.testing.snapshots import Snapshot, difference, snapshot
from crmcore.testing.troubles import troubles
from crmcore.testing.wrapping import silent

_FACTS: Final = ("crm_interaction", "crm_line", "crm_stage", "crm_identifier")


class PairLaws(Laws):
    """
    With every other plugin that is installed, both do what each does without the other.

    What is derived follows from the ledger, and from nothing else. So wherever a history leaves
    the same ledger and stages with both plugins as with one, less what the other one decided about
    nobody, that one's tables have to be the same, too. Where one of them decides something, the
    ledger is another one, and nothing is compared: the other may well react to it.

    What holds in any case: without the rows of another plugin, a rebuild derives the same, unless
    the plugin names the other one in `after` or `requires`.
    """

    def test_beside_every_other_plugin(self, shop: Shop) -> None:
        """Two plugins start in one shop, a history plays, and rebuilds and merges hold for both."""
        for other in others(shop):

            def check(history: list[Draft], other: type[Plugin] = other) -> None:
                # Files that are named without a folder are written there.
                with tempfile.TemporaryDirectory(dir=shop.folder) as folder, chdir(folder):
                    _check(shop, other, history)

            shop.over(check, examples=2, least=10)


def others(shop: Shop) -> Iterator[type[Plugin]]:
    """Yield the installed plugins that can be made with defaults, and can be with this one."""
    for entry in sorted(entry_points(group=GROUP), key=lambda each: each.name):
        try:
            cls: type[Plugin] = entry.load()
            channels = _channels(cls())
        except (ImportError, AttributeError, TypeError, ValueError, CrmError):
            continue  # what cannot be made without settings is not met here
        beside = [*shop.subject.beside(), shop.subject.make()]
        taken = {name for each in beside for name in _channels(each)}
        names = {Recording.name, *(each.name for each in beside)}
        if cls.name not in names and not channels & taken and names >= {*cls.requires}:
            yield cls


def _channels(plugin: Plugin) -> set[str]:
    return {each.name for each in plugin.register_channels() or ()}


def _check(shop: Shop, other: type[Plugin], history: Sequence[Draft]) -> None:
    name, pair = shop.subject.name, f"beside {other.name}"
    try:
        with shop.opened(shop.subject.all(other())) as crm:
            shop.play(crm, history)
            both = snapshot(crm)
            for each in (name, other.name):
                told = troubles(crm, each)
                if told:
                    raise shop.broken(f"{pair}, {each} fails\n{told}")
                crm.rebuild(each)
            _check_same(shop, both, snapshot(crm), f"{pair}, a rebuild leaves other rows")
            if other.name not in (*shop.subject.cls.requires, *shop.subject.cls.after):
                _check_apart(shop, crm, other, both)
            _check_merge(shop, crm, pair)
    except CrmError as error:
        raise shop.broken(f"{pair}, it cannot be used: {error}") from error
    alone = _played(shop, shop.subject.all(), history)
    _check_alone(shop, both, alone, shop.subject.tables, f"{pair}, it keeps other rows than alone")
    without = _played(shop, silent(shop).subject.all(other()), history)
    theirs = [each.table.name for each in other.tables]
    _check_alone(
        shop, both, without, theirs, f"{pair}, {other.name} keeps other rows than without it"
    )


def _played(shop: Shop, plugins: Sequence[Plugin], history: Sequence[Draft]) -> Snapshot:
    with shop.opened(plugins) as crm:
        shop.play(crm, history)
        return snapshot(crm)


def _check_same(shop: Shop, expected: Snapshot, found: Snapshot, wrong: str) -> None:
    told = difference(expected.derived_tables, found.derived_tables)
    if told:
        raise shop.broken(f"{wrong}\n{told}")


def _check_alone(
    shop: Shop, both: Snapshot, alone: Snapshot, tables: Sequence[str], wrong: str
) -> None:
    """Raise where the ledger is the same and a plugin's tables are not."""
    if both.only(_FACTS) != alone.only(_FACTS):
        return
    told = difference(alone.only(tables), both.only(tables))
    if told:
        raise shop.broken(
            f"{wrong}, though the ledger is the same; read and write no tables of another plugin, "
            f"but its traits, or what it records\n{told}"
        )


def _check_apart(shop: Shop, crm: Crm, other: type[Plugin], both: Snapshot) -> None:
    """Raise where what is derived follows from rows of the other one, which are taken away."""
    with crm.begin() as tx:
        for each in (each for each in other.tables if each.derived):
            tx.connection.sqlalchemy.execute(delete(each.table))
    crm.rebuild(shop.subject.name)
    derived = shop.subject.derived
    told = difference(both.only(derived), snapshot(crm).only(derived))
    if told:
        raise shop.broken(
            f"beside {other.name}, what it derives follows from rows of {other.name}'s tables; "
            f"derive from the ledger alone, or name {other.name} in `after` or `requires`\n{told}"
        )
    crm.rebuild(other.name)


def _check_merge(shop: Shop, crm: Crm, pair: str) -> None:
    people = [crm.find_customer(Identifier("account", f"c{number}")) for number in range(1, 5)]
    known = [each for each in people if each is not None]
    if len(known) > 1:
        before = dumps.dump(crm)
        crm.unmerge(crm.merge(known[0], known[1]).id)
        told = dumps.difference(before, dumps.dump(crm))
        if told:
            raise shop.broken(f"{pair}, a merge that is undone leaves other rows\n{told}")
