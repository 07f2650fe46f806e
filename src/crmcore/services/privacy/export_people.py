"""Rows of an export that are about other people, too: who looked, and who is one with whom."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select

from crmcore.persistence.merges import merge, relation
from crmcore.services.privacy.export_rows import Asked, Told, instant_told, rows_of
from crmcore.services.privacy.holds import held_among
from crmcore.services.staff.access import Access, who_saw

_EVER = 2**62
Group = tuple[str, str, str]


def access_rows(asked: Asked) -> Iterator[Told]:
    """
    Yield who looked, by role: the names of staff are theirs.

    Looks at whom they were merged into, as long as that lasted, are looks at them.
    """
    seen: dict[int, Access] = {}
    for who in asked.people:
        seen |= {each.id: each for each in who_saw(asked.connection, who, most=_EVER)}
    groups: dict[Group, list[int]] = {}
    for each in seen.values():
        group = each.role, each.action, each.outcome
        groups.setdefault(group, []).append(each.recorded_instant)
    for (role, action, outcome), instants in sorted(groups.items()):
        yield {
            "role": role,
            "action": action,
            "outcome": outcome,
            "times": len(instants),
            "first_at": instant_told(min(instants)),
            "last_at": instant_told(max(instants)),
        }


def holds_rows(asked: Asked) -> Iterator[Told]:
    for each in held_among(asked.connection, asked.people):
        yield {"since": instant_told(each.since), "reason": each.reason}


def merges_rows(asked: Asked) -> Iterator[Told]:
    statement = asked.once(
        "merges",
        lambda portable: (
            select(merge.c.merge_id, merge.c.survivor_id, merge.c.merged_id, merge.c.recorded_at)
            .add_columns(merge.c.reason)
            .where(
                portable.is_in(merge.c.survivor_id, "people"),
                portable.is_in(merge.c.merged_id, "people"),
                merge.c.undone_at.is_(None),
            )
            .order_by(merge.c.merge_id)
        ),
    )
    for _, survivor, merged, recorded_at, reason in asked.connection.execute(
        statement, people=asked.listed
    ):
        yield {
            "survivor_id": str(survivor),
            "merged_id": str(merged),
            "recorded_at": instant_told(recorded_at),
            "reason": reason,
        }


def relations_rows(asked: Asked) -> Iterator[Told]:
    """Yield how they are related, and not to whom: that is about somebody else."""
    for row in rows_of(
        relation, ("customer_id", "relation", "recorded_at"), owners=("customer_id", "other_id")
    )(asked):
        towards = "to somebody" if int(row["customer_id"]) in asked.people else "from somebody"
        yield {
            "relation": row["relation"],
            "direction": towards,
            "recorded_at": row["recorded_at"],
        }
