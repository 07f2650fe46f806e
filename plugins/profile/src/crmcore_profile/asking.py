"""Asking: what to ask a customer next, and what they have been asked."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    UpdateBase,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
)

from crmcore import Context, Facts, Fold, Hold, MessagesProposed, payload_text, payload_truth
from crmcore.hooks.fold import Insert
from crmcore_profile.attributes import Attribute
from crmcore_profile.current import current_values
from crmcore_profile.domain import ASKED, DAY, EVERY, TAKEN_BACK, Question
from crmcore_profile.tables import Whole, question, statement

SENT: Final = "message.sent"
ASKING: Final = frozenset({ASKED, SENT})

_OWN: Final = "ask/"
_PLUGIN: Final = "profile"

_CUSTOMER: Final = bindparam("customer", type_=Whole)


def key_of(asked: Question) -> str:
    """Return the key of the message that asks: the same until it was sent."""
    return f"{_OWN}{asked.times:04}/{asked.attribute}"


def questions_of(interactions: FromClause) -> Select[Any]:
    """Return the rows of the table of questions as these interactions alone make them."""
    row = interactions.c
    key = payload_text(row.payload, "message")
    own = and_(payload_text(row.payload, "plugin") == _PLUGIN, func.substr(key, 1, 4) == _OWN)
    asks = payload_truth(row.payload, "asks")
    attribute: ColumnElement[Any] = case(
        (row.kind == ASKED, payload_text(row.payload, "attribute")),
        (own, func.substr(key, len(_OWN) + 6)),
        else_="",
    )
    told_at = case((row.kind == ASKED, row.occurred_at))
    found = (
        select(
            row.customer_id,
            attribute.label("attribute"),
            row.occurred_at,
            told_at.label("told_at"),
        )
        .where(or_(row.kind == ASKED, and_(row.kind == SENT, or_(own, asks))))
        .subquery("asked")
    )
    named = (found.c.customer_id, found.c.attribute)
    last = (func.max(found.c.occurred_at), func.max(found.c.told_at))
    return select(*named, func.count(), *last).group_by(*named)


def _add(facts: Facts, insert: Insert) -> UpdateBase:
    table = question.c
    new = insert(question).from_select(list(table.keys()), questions_of(facts.interactions))
    added = new.excluded
    statement: UpdateBase = new.on_conflict_do_update(
        index_elements=[table.customer_id, table.attribute],
        set_={
            "times": table.times + added.times,
            "asked_at": case(
                (added.asked_at > table.asked_at, added.asked_at), else_=table.asked_at
            ),
            # Either may be NULL; max() would mean different things in different databases.
            "told_at": case(
                (added.told_at > table.told_at, added.told_at),
                else_=func.coalesce(table.told_at, added.told_at),
            ),
        },
    )
    return statement


QUESTIONS: Final = Fold(_add)
"""Adds a batch's questions to what customers have been asked."""


class Asking:
    """Finds what to ask next, by what the settings say of the attributes."""

    def __init__(
        self, attributes: Sequence[Attribute], *, every_days: int, again_days: int
    ) -> None:
        self._wanted = [each for each in attributes if each.question and each.weight]
        self._every, self._again = every_days * DAY, again_days * DAY
        current = current_values(attributes).c
        self._known = (
            select(current.attribute, func.max(current.as_of))
            .where(current.customer_id == _CUSTOMER)
            .group_by(current.attribute)
        )
        row = statement.c
        self._back = select(row.attribute).where(
            row.customer_id == _CUSTOMER, row.origin == TAKEN_BACK, row.value == EVERY
        )
        self._asked = select(question.c.attribute, question.c.times, question.c.asked_at).where(
            question.c.customer_id == _CUSTOMER
        )

    def next(
        self, ctx: Context, customer_id: int, known: Mapping[str, int] | None = None
    ) -> Question | None:
        """
        Return what is worth most to ask, or None if nothing is to be asked now.

        *known* is the as-of of each attribute, where somebody has looked already.

        What is missing comes before what is stale if both are worth the same, and then the name
        decides. What a customer has taken back they are not asked for again.
        """
        now = ctx.clock.now()
        asked = ctx.execute(self._asked, customer=customer_id)
        if any(at > now - self._every for _, _, at in asked):
            return None
        if known is None:
            known = dict(ctx.execute(self._known, customer=customer_id))
        back = {name for (name,) in ctx.execute(self._back, customer=customer_id)}
        before = {name: (times, at) for name, times, at in asked}
        found = [
            made
            for each in self._wanted
            if (made := self._question(each, known, back, before, now)) is not None
        ]
        return min(found, key=lambda each: (-each.worth, each.reason, each.attribute), default=None)

    def _question(
        self,
        attribute: Attribute,
        known: Mapping[str, int],
        back: Collection[str],
        before: Mapping[str, tuple[int, int]],
        now: int,
    ) -> Question | None:
        name, as_of = attribute.name, known.get(attribute.name)
        times, asked_at = before.get(name, (0, None))
        if asked_at is not None and asked_at > now - self._again:
            return None
        if as_of is None and name in back:
            return None
        limit = attribute.stale_after_days * DAY
        if as_of is not None and not (limit and as_of <= now - limit):
            return None
        return Question(
            attribute=name,
            wording=attribute.question,
            worth=attribute.weight,
            reason="missing" if as_of is None else "stale",
            times=times,
        )

    def held(self, ctx: Context, event: MessagesProposed) -> Iterator[Hold]:
        """
        Yield those who were asked in person lately, if the messages ask for something, too.

        What messages ask is counted by the shop's gate; this is so that both have one budget.
        """
        if not event.asks or not self._every:
            return
        last = func.max(question.c.told_at)
        statement = (
            select(question.c.customer_id, last)
            .join(event.customers, event.customers.c.customer_id == question.c.customer_id)
            .where(question.c.told_at > event.at - self._every)
            .group_by(question.c.customer_id)
        )
        for customer_id, asked_at in ctx.execute(statement):
            day = ctx.calendar.day_of(asked_at)
            yield Hold(
                customer_id,
                reason=f"asked for something on {day}",
                not_before=asked_at + self._every,
            )
