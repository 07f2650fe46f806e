"""Flipping: when time alone can change what many customers are in, asked in one statement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, literal, select

from crmcore.domain.segments.flips import delays
from crmcore.domain.segments.names import Names
from crmcore.domain.segments.tree import Condition
from crmcore.persistence.ledger import interaction
from crmcore.persistence.portable import Portable
from crmcore.persistence.schema import Whole
from crmcore.services.segments.measures import CUSTOMERS, NOW, counting, is_of


def next_flips(
    names: Names, portable: Portable, conditions: Iterable[Condition], *, as_known: bool
) -> Select[Any] | None:
    """
    Return the select of customers, and when time alone can next change one of *conditions*.

    Its parameters are `now`, `customers`, and if *as_known* `known_before`. None: no facts are
    asked for.
    """
    lengths: dict[str, frozenset[int]] = {}
    for condition in conditions:
        for kind, found in delays(condition, names).items():
            lengths[kind] = lengths.get(kind, frozenset()) | found
    if not lengths:
        return None
    rows = interaction
    longest = max(map(max, lengths.values()))
    flip = _flip(lengths)
    return (
        select(rows.c.customer_id, func.min(flip))
        .where(
            is_of(lengths, rows),
            *counting(rows, as_known=as_known),
            rows.c.occurred_at > NOW - literal(longest, Whole),
            portable.is_in(rows.c.customer_id, CUSTOMERS),
        )
        .group_by(rows.c.customer_id)
        .having(func.min(flip).is_not(None))
    )


def _flip(lengths: Mapping[str, frozenset[int]]) -> ColumnElement[int]:
    """Return the first instant after now that is one of the lengths after a fact."""
    kinds: dict[frozenset[int], list[str]] = {}
    for kind, found in lengths.items():
        kinds.setdefault(found, []).append(kind)
    at = interaction.c.occurred_at

    def ladder(found: frozenset[int]) -> ColumnElement[int]:
        # The first that lies ahead is the least, as they ascend.
        steps = [at + literal(length, Whole) for length in sorted(found)]
        return case(*((step > NOW, step) for step in steps))

    return case(*((is_of(those, interaction), ladder(found)) for found, those in kinds.items()))
