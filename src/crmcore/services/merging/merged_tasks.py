"""What a merge does with what staff are to do, and with who looked at whom."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Table, Update, bindparam, select, update

from crmcore.domain.task import MERGED
from crmcore.persistence.portable import Portable, json_list
from crmcore.persistence.privacy import access
from crmcore.persistence.tasks import task
from crmcore.services.merging.merged_parts import Kept, Pair
from crmcore.services.unit import Unit

_open_keys = select(task.c.customer_id, task.c.task_id, task.c.plugin, task.c.task_key).where(
    task.c.customer_id.in_([bindparam("one"), bindparam("other")]), task.c.done_at.is_(None)
)
_this: Final = (task.c.task_id == bindparam("wanted")) & (task.c.customer_id == bindparam("whose"))
_put_aside = update(task).where(_this).values(done_at=bindparam("now"), outcome=MERGED)
_open_again = update(task).where(_this, task.c.outcome == MERGED).values(done_at=None, outcome=None)


def _give(table: Table) -> Update:
    return (
        update(table)
        .where(table.c.customer_id == bindparam("giver"))
        .values(customer_id=bindparam("taker"))
    )


def _give_back(table: Table, portable: Portable) -> Update:
    return _give(table).where(portable.is_in(table.c.recorded_for, "tree"))


class Tasks:
    """
    Tasks go to the survivor; of two open ones of a key, the merged one's is put aside.

    Undone, each goes to whom it was added for, also what was added or finished meanwhile.
    """

    _give: Final = _give(task)

    def __init__(self, portable: Portable) -> None:
        self._give_back = _give_back(task, portable)

    def merge(self, unit: Unit, pair: Pair) -> Kept:
        rows = unit.connection.execute(_open_keys, one=pair.survivor, other=pair.merged)
        theirs = {tuple(row[2:]) for row in rows if row[0] == pair.survivor}
        aside = sorted(r[1] for r in rows if r[0] == pair.merged and tuple(r[2:]) in theirs)
        unit.connection.change_many(
            _put_aside, [{"wanted": i, "whose": pair.merged, "now": unit.now} for i in aside]
        )
        unit.connection.change(self._give, giver=pair.merged, taker=pair.survivor)
        return {"aside": aside, "tree": sorted(pair.others)}

    def undo(self, unit: Unit, pair: Pair, kept: Kept) -> None:
        tree = json_list(kept["tree"])
        unit.connection.change(self._give_back, giver=pair.survivor, taker=pair.merged, tree=tree)
        unit.connection.change_many(
            _open_again, [{"wanted": i, "whose": pair.merged} for i in kept["aside"]]
        )


class Accesses:
    """
    Who looked at the merged one looked at the survivor.

    Undone, what was looked at before goes back. What was looked at meanwhile was of both, and is
    told of both; see `crmcore.services.staff.access`.
    """

    _give: Final = _give(access)

    def __init__(self, portable: Portable) -> None:
        self._give_back = _give_back(access, portable)

    def merge(self, unit: Unit, pair: Pair) -> Kept:
        unit.connection.change(self._give, giver=pair.merged, taker=pair.survivor)
        return sorted(pair.others)

    def undo(self, unit: Unit, pair: Pair, kept: Any) -> None:
        tree = json_list(kept)
        unit.connection.change(self._give_back, giver=pair.survivor, taker=pair.merged, tree=tree)
