"""Why: whether a customer is in a segment, and which of its conditions decide it."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from crmcore.domain.clock import to_datetime
from crmcore.domain.money import Money
from crmcore.domain.segments.flips import next_flip
from crmcore.domain.segments.oracle import Oracle
from crmcore.domain.segments.segment import Segment
from crmcore.domain.segments.tree import (
    AllOf,
    AnyOf,
    Condition,
    InSegment,
    Leaf,
    NotOf,
    Position,
    Sum,
    When,
    leaves,
)
from crmcore.domain.segments.tree import Sequence as Following


@frozen(kw_only=True)
class Reason:
    """
    One condition of a segment, asked of a customer.

    Attributes:
        text: The condition.
        holds: Whether it holds.
        found: What the customer has: a number, a Money, an instant as a datetime, a
            trait's value; None: there is nothing.
        within: The named segments it stands in, outermost first.
        at: Where it stands in the text.
    """

    text: str
    holds: bool
    found: Any
    within: tuple[str, ...] = ()
    at: Position | None = field(default=None, eq=False)

    def __str__(self) -> str:
        found = "nothing" if self.found is None else self.found
        inside = f" (in {', in '.join(reversed(self.within))})" if self.within else ""
        return f"{self.text}{inside}: {'yes' if self.holds else 'no'}, {found}"


@frozen(kw_only=True)
class Verdict:
    """
    Whether a customer is in a segment, and why.

    Attributes:
        customer_id: Who.
        segment: The segment's name, or its text where it has none.
        is_member: Whether they are.
        at: The instant it is about, in microseconds.
        because: The conditions that decide it: of who is out, those that fail; where `not` stands
            before a condition, it decides by holding.
        reasons: All conditions, from left to right.
        excluded: Why they are in no segment at all: they were erased.
        next_flip: Until when nothing changes without a new fact or trait, in microseconds; None:
            time alone changes nothing.
    """

    customer_id: int
    segment: str
    is_member: bool
    at: int
    because: tuple[Reason, ...] = ()
    reasons: tuple[Reason, ...] = ()
    excluded: str | None = None
    next_flip: int | None = None

    def __bool__(self) -> bool:
        return self.is_member


def explain(segment: Segment, oracle: Oracle, customer_id: int) -> Verdict:
    """Return the verdict of the oracle, which knows the customer."""
    condition = segment.condition
    is_member = oracle.holds(condition)
    return Verdict(
        customer_id=customer_id,
        segment=segment.name or str(segment),
        is_member=is_member,
        at=oracle.now,
        because=tuple(_deciding(condition, oracle, ())),
        reasons=tuple(_all(condition, oracle, ())),
        next_flip=next_flip(condition, oracle.names, oracle.known, oracle.now),
    )


def _deciding(node: Condition, oracle: Oracle, within: tuple[str, ...]) -> list[Reason]:
    """Return the leaves that make a condition hold, or fail."""
    holds = oracle.holds(node)
    match node:
        case NotOf(condition):
            return _deciding(condition, oracle, within)
        case AllOf(conditions) | AnyOf(conditions):
            # Of those that must all hold, each one that fails decides; of others, each that holds.
            decisive = [each for each in conditions if oracle.holds(each) == holds]
            return [found for each in decisive for found in _deciding(each, oracle, within)]
        case InSegment(name):
            return _deciding(oracle.names.segments[name], oracle, (*within, name))
        case _:
            return [_reason(node, oracle, within)]


def _all(node: Condition, oracle: Oracle, within: tuple[str, ...]) -> list[Reason]:
    found = []
    for leaf in leaves(node):
        if isinstance(leaf, InSegment):
            found += _all(oracle.names.segments[leaf.name], oracle, (*within, leaf.name))
        else:
            found.append(_reason(leaf, oracle, within))
    return found


def _reason(leaf: Leaf, oracle: Oracle, within: tuple[str, ...]) -> Reason:
    value = oracle.value(leaf)
    if value is not None and isinstance(leaf, When | Following):
        value = to_datetime(value)
    if isinstance(leaf, Sum):
        value = Money(value, oracle.names.currency)
    holds = oracle.holds(leaf)
    return Reason(text=repr(leaf), holds=holds, found=value, within=within, at=leaf.at)
