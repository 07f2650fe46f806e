"""Folds: one set-based statement that brings facts of the ledger into a plugin's table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen
from sqlalchemy import FromClause, UpdateBase

Insert = Callable[[Any], Any]
"""The dialect's `insert`, which has `on_conflict_do_update(index_elements=..., set_=...)`."""


@frozen
class Facts:
    """
    The part of the ledger that a fold reads.

    Attributes:
        interactions: With the columns of the ledger: `interaction_id`, `kind`, `customer_id`,
            `occurred_at` (microseconds), `amount_base_minor` (signed, NULL where there is no
            amount) and the others.
        lines: With the columns of the lines of those interactions.
    """

    interactions: FromClause
    lines: FromClause


@frozen(eq=False)
class Fold:
    """
    A statement written once over *facts*, and run over a batch, one customer or the whole ledger.

    A fold must add up: run over two halves of the facts, one after the other, it leaves what one
    run over all of them leaves.

    Attributes:
        build: Gets the facts and the dialect's `insert`, and returns the statement. Called once
            for each way in which facts are chosen, not once for each batch.
    """

    build: Callable[[Facts, Insert], UpdateBase]
