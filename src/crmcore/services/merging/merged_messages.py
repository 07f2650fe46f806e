"""What a merge does with messages: nobody gets what they had, or are about to have, again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import and_, bindparam, func, null, select, update

from crmcore.persistence.customers import identifier
from crmcore.persistence.messages import attempt, message
from crmcore.persistence.portable import Portable, json_list
from crmcore.services.merging.merged_parts import Kept, Pair
from crmcore.services.messaging.broadcasts import PAUSED, is_paused
from crmcore.services.messaging.judging import UNHANDED, refused_state
from crmcore.services.messaging.planning import MERGED
from crmcore.services.unit import Unit

_m = message.c
_STANDING: Final = ("state", "gate", "reason", "settled_at", "lease", "leased_until")
_HAD: Final = frozenset({"handed", "accepted", "unknown"})
_HELD_BACK: Final = ("withheld", "unknown")

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
        state=refused_state(),
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
    .where(_this, _m.state.in_(_HELD_BACK), _m.gate == MERGED)
    .values({name: bindparam(f"was_{name}") for name in _STANDING})
)
# Its broadcast may have been resumed meanwhile.
_let_go = (
    update(message)
    .where(_this, _m.gate == PAUSED, ~is_paused())
    .values(gate=None, reason=None, not_before=func.coalesce(_m.earliest, _m.planned_at))
)


class Messages:
    """
    Messages go to the survivor, who gets each key once.

    Of several to be sent all but one are held back; where one has been received, or may have
    been, all are. What is claimed is claimed anew, as one person's. Undone, each goes to whom it
    was planned for, also what was sent meanwhile, and what was held back comes back; but not to
    an address that was written to instead.
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
        instead = message.alias("instead")
        self._had_instead = (
            select(_m.message_id)
            .join(
                instead,
                and_(
                    instead.c.customer_id.in_([bindparam("one"), bindparam("other")]),
                    instead.c.plugin == _m.plugin,
                    instead.c.message_key == _m.message_key,
                    instead.c.message_id != _m.message_id,
                    instead.c.handed_at.is_not(None),
                ),
            )
            .join(
                identifier,
                and_(
                    identifier.c.point == instead.c.point,
                    identifier.c.customer_id == _m.customer_id,
                ),
            )
            .where(portable.is_in(_m.message_id, "messages"))
        )

    def merge(self, unit: Unit, pair: Pair) -> Kept:
        connection = unit.connection
        rows = connection.execute(_both, one=pair.survivor, other=pair.merged)
        by_key: dict[tuple[str, str], list[Any]] = {}
        for row in rows:
            by_key.setdefault((row[2], row[3]), []).append(row)
        aside = [row for key in sorted(by_key) for row in _repeated(by_key[key], pair)]
        connection.change_many(_hold_back, [{"wanted": r[0], "now": unit.now} for r in aside])
        claimed = [r for r in rows if r[5] == "claimed" and r not in aside]
        connection.change_many(_give_up_claim, [{"wanted": r[0]} for r in claimed])
        listed = json_list([r[0] for r in rows if r[1] == pair.merged])
        for statement in self._back:
            connection.change(statement, giver=pair.merged, taker=pair.survivor, messages=listed)
        return {"aside": [[r[0], *r[5:]] for r in aside], "tree": sorted(pair.others)}

    def undo(self, unit: Unit, pair: Pair, kept: Kept) -> None:
        connection = unit.connection
        tree = json_list(kept["tree"])
        rows = connection.execute(self._theirs, giver=pair.survivor, tree=tree)
        listed = json_list(sorted(row[0] for row in rows))
        for statement in self._back:
            connection.change(statement, giver=pair.survivor, taker=pair.merged, messages=listed)
        if not kept["aside"]:
            return
        # Addresses are their owners' again by now.
        aside = json_list([row[0] for row in kept["aside"]])
        rows = connection.execute(
            self._had_instead, one=pair.survivor, other=pair.merged, messages=aside
        )
        had = {row[0] for row in rows}
        before = [_as_it_was(row) for row in kept["aside"] if row[0] not in had]
        connection.change_many(_as_before, before)
        connection.change_many(_let_go, [{"wanted": each["wanted"]} for each in before])


def _repeated(rows: Sequence[Any], pair: Pair) -> list[Any]:
    """Return those messages of one key that nobody needs any more, if both customers have it."""
    if {row[1] for row in rows} != {pair.survivor, pair.merged}:
        return []
    waiting = [row for row in rows if row[5] in UNHANDED]
    if any(row[5] in _HAD for row in rows):
        return waiting
    # Kept is one that may have been received, as its provider may know it; then the survivor's.
    waiting.sort(key=lambda row: (row[4] is None, row[1] != pair.survivor, row[0]))
    return waiting[1:]


def _as_it_was(row: Sequence[Any]) -> dict[str, Any]:
    """Return how a message stood; whoever had claimed it was told that it does not go."""
    before = {f"was_{name}": value for name, value in zip(_STANDING, row[1:], strict=True)}
    if before["was_state"] == "claimed":
        before |= {"was_state": "planned", "was_lease": None, "was_leased_until": None}
    return {"wanted": row[0], **before}
