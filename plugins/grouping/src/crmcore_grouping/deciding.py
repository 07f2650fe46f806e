"""Deciding: who has entered a group, or left one, goes on record and into the tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from attrs import define, field
from sqlalchemy import bindparam, delete, func, select, update

from crmcore import Context, Draft
from crmcore_grouping.domain import ENTERED, LEFT, GroupEntered, GroupLeft
from crmcore_grouping.portable import is_listed, listed
from crmcore_grouping.tables import Whole, Words, history, member

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_customer = bindparam("customer", type_=Whole)
_group = bindparam("wanted", type_=Words)
_kept: Final = select(member.c.group_name, member.c.customer_id).where(
    is_listed(member.c.customer_id, bindparam("customers"))
)
_members: Final = select(member.c.customer_id).where(member.c.group_name == _group)
_told: Final = (
    select(
        history.c.group_name,
        history.c.customer_id,
        func.max(func.coalesce(history.c.to_instant, history.c.from_instant)),
    )
    .where(is_listed(history.c.customer_id, bindparam("customers")))
    .group_by(history.c.group_name, history.c.customer_id)
)
_forget: Final = delete(member).where(
    member.c.customer_id == _customer, member.c.group_name == _group
)
_end: Final = (
    update(history)
    .where(
        history.c.customer_id == _customer,
        history.c.group_name == _group,
        history.c.to_instant.is_(None),
    )
    .values(to_instant=bindparam("until", type_=Whole))
)

Change = tuple[str, int]
"""The name of a group, and the id of a customer."""


@define
class Found:
    """
    What a look finds: of some customers, who is in some groups.

    Attributes:
        members: Who is, by group; of a group that nobody is in there is nothing.
        asked: Of which groups it was asked, and of whom.
        gone: Whom groups that there are no more are to be taken from.
    """

    members: dict[str, set[int]] = field(factory=dict)
    asked: list[tuple[Collection[str], Collection[int]]] = field(factory=list)
    gone: Collection[int] = ()

    def add(self, members: Mapping[str, Collection[int]], customers: Collection[int]) -> None:
        """Add what was found about *customers*; what is asked twice has one answer."""
        self.asked.append((members.keys(), customers))
        for name, those in members.items():
            if those:
                self.members.setdefault(name, set()).update(those)

    def changes(self, kept: Mapping[str, Collection[int]]) -> tuple[list[Change], list[Change]]:
        """Return who has entered which group, and who has left which, given who was in it."""
        entered = [
            (name, each)
            for name, those in sorted(self.members.items())
            for each in sorted(those.difference(kept.get(name, ())))
        ]
        left = [
            (name, each)
            for name, was in sorted(kept.items())
            for each in sorted(self._asked_of(name).intersection(was))
            if each not in self.members.get(name, ())
        ]
        return entered, left

    def _asked_of(self, name: str) -> set[int]:
        """Return of whom it was asked whether they are in a group."""
        those = [customers for names, customers in self.asked if name in names]
        return set().union(*those) if those else set(self.gone)


def kept_of(ctx: Context, customers: Collection[int]) -> dict[str, set[int]]:
    """Return which of *customers* are kept as members, by group."""
    found: dict[str, set[int]] = {}
    for name, customer in ctx.execute(_kept, customers=listed(customers)):
        found.setdefault(name, set()).add(customer)
    return found


def kept_in(ctx: Context, names: Iterable[str]) -> dict[str, set[int]]:
    """Return who is kept as a member of some groups, whoever it is."""
    return {name: {row[0] for row in ctx.execute(_members, wanted=name)} for name in names}


def decide(
    ctx: Context,
    at: int,
    found: Found,
    kept: Mapping[str, Collection[int]],
    *,
    rules: Mapping[str, str],
    known_before: int | None = None,
) -> None:
    """
    Record who differs at *at* from what is kept, and keep it so.

    Args:
        ctx: The transaction.
        at: The instant of the look, in microseconds.
        found: What it found.
        kept: Who was in which group until now.
        rules: A hash of each group's rule.
        known_before: As in `Segments.memberships`.
    """
    entered, left = found.changes(kept)
    if entered or left:
        entered, left = _not_told_since(ctx, at, entered, left)
    if not entered and not left:
        return
    names = sorted({name for name, _ in [*entered, *left] if name in rules})
    customers = {customer for _, customer in [*entered, *left]}
    # The latest interaction that a group asks for: it made the change, or its age did.
    latest = ctx.segments.latest(names, at, customers, known_before=known_before)

    def cause(change: Change) -> int | None:
        name, customer = change
        return latest.get(name, {}).get(customer)

    ctx.record(
        *(_draft(ENTERED, each, at, rules, cause(each)) for each in entered),
        *(_draft(LEFT, each, at, rules, cause(each)) for each in left),
    )
    # The plugin is not shown its own decisions, so it takes them into its tables here.
    spells: list[dict[str, Any]] = [
        {"customer_id": customer, "group_name": name, "caused_by": cause((name, customer))}
        for name, customer in entered
    ]
    if entered:
        ctx.write(member, [each | {"since": at} for each in spells])
        ctx.write(history, [each | {"from_instant": at, "to_instant": None} for each in spells])
    if left:
        rows = [{"wanted": name, "customer": customer} for name, customer in left]
        ctx.execute_many(_forget, rows)
        ctx.execute_many(_end, [each | {"until": at} for each in rows])


def _draft(
    kind: str, change: Change, at: int, rules: Mapping[str, str], caused_by: int | None
) -> Draft:
    name, customer = change
    made = GroupEntered if kind == ENTERED else GroupLeft
    moment = _EPOCH + timedelta(microseconds=at)
    return Draft(
        kind,
        customer=customer,
        occurred_at=moment,
        source_key=f"{kind.partition('.')[2]}:{name}:{moment.isoformat()}",
        payload=made(group=name, rule=rules.get(name, "")),
        caused_by=caused_by,
    )


def _not_told_since(ctx: Context, at: int, *changes: Sequence[Change]) -> tuple[list[Change], ...]:
    """
    Return those changes before which nothing was told at *at* or later.

    Somebody changes a group once at an instant, so that their history is one however it is read.
    """
    customers = {customer for some in changes for _, customer in some}
    told = {
        (name, customer): last
        for name, customer, last in ctx.execute(_told, customers=listed(customers))
    }
    return tuple([each for each in some if told.get(each, at - 1) < at] for some in changes)
