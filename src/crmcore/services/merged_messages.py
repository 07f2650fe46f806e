"""What a merge does with messages: nobody gets what they had, or are about to have, again."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import bindparam, null, select, update

from crmcore.domain.message import PENDING
from crmcore.persistence.messages import attempt, message
from crmcore.persistence.portable import Portable, json_list
from crmcore.services.judging import UNHANDED
from crmcore.services.merged_parts import Kept, Pair
from crmcore.services.planning import MERGED
from crmcore.services.unit import Unit

_m = message.c
_STANDING: Final = ("state", "gate", "reason", "settled_at", "lease", "leased_until")
_HAD: Final = frozenset({"handed", "accepted", "unknown"})

_both = (
    select(
        _m.message_id,
        _m.customer_id,
        _m.plugin,
        _m.message_key,
        _m.handed_at,
        *(_m[name] for name in _STANDING),
    )
    .where(_m.customer_id.in_([bindparam("one"), bindparam("other")]))
    .order_by(_m.message_id)
)
_this = _m.message_id == bindparam("wanted")
_hold_back = (
    update(message)
    .where(_this)
    .values(
        state="withheld",
        gate=MERGED,
        reason="another customer, who turned out to be the same, has it",
        settled_at=bindparam("now"),
        lease=null(),
        leased_until=null(),
    )
)
_give_up_claim = (
    update(message)
    .where(_this, _m.state == "claimed")
    .values(state="planned", lease=null(), leased_until=null())
)
_as_before = (
    update(message)
    .where(_this, _m.state == bindparam("now_is"), _m.gate.is_not_distinct_from(bindparam("held")))
    .values({name: bindparam(f"was_{name}") for name in _STANDING})
)


class Messages:
    """
    Messages go to the survivor, who gets each key once.

    Of two to be sent the merged one's is held back; where one of the two has been received, or
    may have been, the other is. What is claimed is judged again, as one person's. Undone, each
    goes to whom it was planned for, also what was sent meanwhile, and what was held back comes
    back.
    """

    def __init__(self, portable: Portable) -> None:
        self._back = tuple(
            update(table)
            .where(
                table.c.customer_id == bindparam("giver"),
                portable.is_in(table.c.message_id, "messages"),
            )
            .values(customer_id=bindparam("taker"))
            for table in (attempt, message)
        )
        self._theirs = select(_m.message_id).where(
            _m.customer_id == bindparam("giver"), portable.is_in(_m.recorded_for, "tree")
        )

    def merge(self, unit: Unit, pair: Pair) -> Kept:
        connection = unit.connection
        rows = connection.execute(_both, one=pair.survivor, other=pair.merged)
        mine = {(r[2], r[3]): r for r in rows if r[1] == pair.survivor}
        theirs = {(r[2], r[3]): r for r in rows if r[1] == pair.merged}
        aside = [
            row
            for key in sorted(mine.keys() & theirs.keys())
            if (row := _repeated(mine[key], theirs[key])) is not None
        ]
        connection.change_many(_hold_back, [{"wanted": r[0], "now": unit.now} for r in aside])
        claimed = [r for r in rows if r[5] == "claimed" and r not in aside]
        connection.change_many(_give_up_claim, [{"wanted": r[0]} for r in claimed])
        listed = json_list([r[0] for r in rows if r[1] == pair.merged])
        for statement in self._back:
            connection.change(statement, giver=pair.merged, taker=pair.survivor, messages=listed)
        return {
            "aside": [[r[0], *r[5:]] for r in aside],
            "claimed": [[r[0], *r[5:]] for r in claimed],
            "tree": sorted(pair.others),
        }

    def undo(self, unit: Unit, pair: Pair, kept: Kept) -> None:
        connection = unit.connection
        tree = json_list(kept["tree"])
        rows = connection.execute(self._theirs, giver=pair.survivor, tree=tree)
        listed = json_list(sorted(row[0] for row in rows))
        for statement in self._back:
            connection.change(statement, giver=pair.survivor, taker=pair.merged, messages=listed)
        before = [
            *(_restored(row, "withheld", MERGED) for row in kept["aside"]),
            *(_restored(row, "planned", row[2]) for row in kept["claimed"]),
        ]
        connection.change_many(_as_before, before)


def _repeated(mine: Any, theirs: Any) -> Any:
    """Return the row of two with the same key that nobody needs any more; None: both stay."""
    if theirs[5] in UNHANDED and theirs[4] is None and mine[5] in PENDING | _HAD:
        return theirs
    if mine[5] in UNHANDED and mine[4] is None and theirs[5] in PENDING | _HAD:
        return mine
    return None


def _restored(row: Any, now_is: str, held: str | None) -> dict[str, Any]:
    before = {f"was_{name}": value for name, value in zip(_STANDING, row[1:], strict=True)}
    return {"wanted": row[0], "now_is": now_is, "held": held, **before}
