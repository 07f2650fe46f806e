"""Recording: what a shop tells, in transactions of ours or of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from inspect import iscoroutinefunction
from typing import Any, TypeVar, Unpack

from crmcore.app.opened import Opened
from crmcore.domain.arguments import check_callable, check_text
from crmcore.domain.interaction import Draft, DraftFields, Interaction
from crmcore.errors import InputError
from crmcore.persistence.borrowed import Joinable
from crmcore.persistence.joined import join
from crmcore.services.transaction import Recorded, Transaction, listed_drafts, record_one
from crmcore.services.unit import Unit

T = TypeVar("T")


class Recording(Opened):
    """The part of `Crm` by which a shop records what happened."""

    @contextmanager
    def begin(self, *, actor: str | None = None) -> Iterator[Transaction]:
        """Open a transaction: leaving cleanly commits, an exception undoes everything."""
        with self._begin(actor=actor) as unit:
            yield self._parts.transaction(unit)

    @contextmanager
    def join(self, connection: Joinable, *, actor: str | None = None) -> Iterator[Transaction]:
        """
        Work in a transaction that the shop has open on *connection*, and that stays the shop's.

        What is done inside is committed or rolled back with it, and only by the shop; an
        exception that leaves the block undoes what was done inside, and nothing else.

        Args:
            connection: SQLAlchemy's, Django's, psycopg's or sqlite3's, see `Joinable`.
            actor: Who acts, such as `staff:grace`.

        Raises:
            InputError: If it cannot be joined; says what was found and what was expected.
            RetryTransaction: If another transaction stood in the way. It is never retried here:
                the shop rolls back, and does its whole transaction again.
        """
        check_text("actor", actor)
        with join(self._runtime.database, connection) as joined:
            unit = Unit(self._runtime, joined, actor=actor)
            yield self._parts.transaction(unit)

    async def join_async(
        self, connection: Any, work: Callable[[Transaction], T], *, actor: str | None = None
    ) -> T:
        """
        Do *work*, a plain function, in the transaction of an `AsyncConnection` or `AsyncSession`.

        As `join` otherwise; returns what *work* returns.
        """
        if not hasattr(connection, "run_sync"):
            raise InputError(
                f"{connection!r} cannot be joined here; an AsyncConnection or AsyncSession of "
                "SQLAlchemy is expected"
            )

        check_callable("work", work, "lambda tx: tx.record(...)")
        if iscoroutinefunction(work):
            raise InputError(f"work is {work!r}; a plain function is expected, not an async one")

        def joined(beneath: Joinable) -> T:
            with self.join(beneath, actor=actor) as tx:
                return work(tx)

        return await connection.run_sync(joined)  # type: ignore[no-any-return]

    def record(self, kind: str | Draft, **values: Unpack[DraftFields]) -> Interaction:
        """
        Record one interaction, in a transaction of its own, and return it.

        Args:
            kind: Such as `order.placed`, or a whole `Draft`.
            values: The fields of `Draft`; `email="ada@example.com"` and the other schemes name
                the customer, and `amount` may be major units of the shop's currency: `"19.90"`.

        Raises:
            InputError: Says what was found and what was expected; nothing is written.
        """
        return self._retrying(lambda unit: record_one(unit, self._parts.recorder, kind, values))

    def record_many(self, drafts: Iterable[Draft]) -> Recorded:
        """Record a batch of interactions, each once, in a transaction of its own."""
        drafts = listed_drafts(drafts)
        return self.run_transaction(lambda tx: tx.record_many(drafts))
