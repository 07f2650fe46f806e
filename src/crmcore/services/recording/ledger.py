"""The ledger: interactions recorded once each, and read back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from operator import itemgetter
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Select, bindparam, exists, insert, select

from crmcore.domain.interaction import Interaction, Origin
from crmcore.domain.kind import KindRegistry
from crmcore.domain.money import check_currency
from crmcore.errors import InputError
from crmcore.hooks import IdList, IdRange, Selection
from crmcore.persistence.connection import Connection
from crmcore.persistence.ledger import dedupe, in_shadow, interaction, line
from crmcore.persistence.portable import Portable, json_list
from crmcore.persistence.schema import Whole
from crmcore.services.identities.identity import IdentityService, Known, note_unclear
from crmcore.services.identities.matches import Matches
from crmcore.services.identities.registration import Owner
from crmcore.services.privacy.former import Former
from crmcore.services.recording.encoding import Encoded, Encoder
from crmcore.services.recording.lines import line_rows

COLUMNS: Final = tuple(interaction.columns.keys())
CANCELLED: Final = "order.cancelled"

Row = tuple[Any, ...]
Rate = Callable[[str, int, int], int | None]
"""Returns an amount of a currency, in minor units and at an instant, in the base currency's."""

_insert = insert(interaction)
_insert_line = insert(line)
_by_key = select(dedupe.c.interaction_id).where(
    dedupe.c.source == bindparam("source"), dedupe.c.source_key == bindparam("key")
)
_of_subject = select(
    interaction.c.amount_minor, interaction.c.currency, interaction.c.amount_base_minor
).where(
    interaction.c.customer_id == bindparam("customer"),
    interaction.c.subject == bindparam("about"),
    ~in_shadow,
)
_newest = (
    select(interaction.c.recorded_at)
    .where(~in_shadow)
    .order_by(interaction.c.interaction_id.desc())
    .limit(1)
)
_since = select(
    exists().where(interaction.c.recorded_at >= bindparam("instant", type_=Whole), ~in_shadow)
)


def is_recorded_since(connection: Connection, instant: int) -> bool:
    """Return whether any interaction was recorded at *instant* or later."""
    if connection.database.portable.is_sqlite:
        # Ids are given under the write lock, so the highest one was recorded last.
        rows = connection.execute(_newest)
        return bool(rows) and rows[0][0] >= instant
    return bool(connection.execute(_since, instant=instant)[0][0])


@frozen(kw_only=True)
class Batch:
    """
    Interactions written together.

    Attributes:
        ids: The interaction of each draft: its own, or the one recorded earlier.
        new: The rows written, as the ledger's columns.
        selection: The new ones, as folds choose them.
    """

    ids: Sequence[int]
    new: Sequence[tuple[Any, ...]]
    selection: Selection

    @classmethod
    def of(cls, batches: Sequence[Batch]) -> Batch:
        """Return several batches as one."""
        ids = [each for batch in batches for each in batch.ids]
        new = [row for batch in batches for row in batch.new]
        return cls(ids=ids, new=new, selection=IdList(tuple(row[0] for row in new)))


def _selection(ids: Sequence[int]) -> Selection:
    """Return ids as one block, where no other transaction has any in between."""
    if ids[-1] - ids[0] == len(ids) - 1:
        return IdRange(ids[0], ids[-1])
    return IdList(tuple(ids))


_CUSTOMER, _SUBJECT = COLUMNS.index("customer_id"), COLUMNS.index("subject")
_MONEY = COLUMNS.index("amount_minor")  # and after it the currency, and the amount in base
_money = itemgetter(*map(COLUMNS.index, ("amount_minor", "currency", "amount_base_minor")))


class Ledger:
    """Writes interactions, each once, and reads them back."""

    def __init__(
        self, kinds: KindRegistry, identity: IdentityService, portable: Portable, currency: str
    ) -> None:
        self.kinds = kinds
        self.currency = check_currency(currency)
        self.encode = Encoder(kinds, identity, currency).encode
        self._identity = identity
        self._matches = Matches(identity.schemes)
        self._insert_dedupe = portable.insert(dedupe).on_conflict_do_nothing()
        self._by_ids = (
            select(*interaction.columns)
            .where(portable.is_in(interaction.c.interaction_id, "ids"))
            .order_by(interaction.c.interaction_id)
        )

    def append(
        self,
        connection: Connection,
        drafts: Sequence[Encoded],
        take_ids: Callable[[int], Sequence[int]],
        *,
        now: int,
        origin: Origin = "observed",
        rate: Rate,
        former: Former | None = None,
    ) -> Batch:
        """
        Write those of *drafts* that were not recorded before.

        Their customers are locked first, and *take_ids* then gives as many ids as there are
        drafts. Customers of decided drafts were checked when they were decided upon. Who those
        named were before they were erased is locked with them: what is late will be theirs.
        """
        also = former.customers if former is not None else ()
        known = self._look_up(connection, drafts, also, check=origin == "observed")
        ids = take_ids(len(drafts))
        repeated = self._claim_keys(connection, drafts, ids)
        own, fresh = ids, drafts
        if repeated:
            own = [i for i in ids if i not in repeated]
            fresh = [d for i, d in zip(ids, drafts, strict=True) if i not in repeated]
        owners = self._owners(connection, known, fresh, now)
        rows, lines = self._rows(connection, own, fresh, owners, now, origin, rate, former)
        connection.insert_rows(_insert, rows)
        connection.insert_rows(_insert_line, lines)
        if known.merging:
            note_unclear(
                connection,
                [
                    (interaction_id, owner)
                    for interaction_id, encoded, owner in zip(own, fresh, owners, strict=True)
                    if encoded.draft.customer in known.merging
                ],
            )
        every = [repeated.get(i, i) for i in ids] if repeated else ids
        return Batch(ids=every, new=rows, selection=_selection(ids))

    def _rows(
        self,
        connection: Connection,
        ids: Sequence[int],
        drafts: Sequence[Encoded],
        owners: Sequence[Owner],
        now: int,
        origin: Origin,
        rate: Rate,
        former: Former | None,
    ) -> tuple[list[Row], list[Row]]:
        """Return the rows of interactions, and those of their lines."""
        rows: list[Row] = []
        lines: list[Row] = []
        unpriced: list[tuple[int, Encoded]] = []
        for interaction_id, encoded, owner in zip(ids, drafts, owners, strict=True):
            kind, draft, _, occurred, payload, personal, minor, currency, key, subject = encoded
            at = now if occurred is None else occurred
            base = minor
            if minor is None and kind.name == CANCELLED and subject is not None:
                unpriced.append((len(rows), encoded))
            elif currency is not None and currency != self.currency and minor is not None:
                base = rate(currency, minor, at)
            rows.append(
                (
                    interaction_id,
                    kind.name,
                    kind.version,
                    owner.customer_id,
                    owner.recorded_for,
                    at,
                    now,
                    origin,
                    draft.source,
                    key,
                    draft.channel,
                    draft.actor,
                    subject,
                    draft.thread,
                    draft.touch,
                    minor,
                    currency,
                    base,
                    draft.caused_by,
                    payload,
                    personal,
                )
            )
            if draft.lines:
                lines += line_rows(
                    interaction_id,
                    owner.customer_id,
                    kind,
                    draft,
                    same=currency == self.currency,
                    base=base,
                    minor=minor,
                )
        for place, encoded in unpriced:
            whose = former.of_names(encoded.names) if former is not None else None
            money = self._undone(connection, rows[place], rows, whose)
            rows[place] = (*rows[place][:_MONEY], *money, *rows[place][_MONEY + 3 :])
        return rows, lines

    def _claim_keys(
        self, connection: Connection, drafts: Sequence[Encoded], ids: Sequence[int]
    ) -> dict[int, int]:
        """Write the keys, and return for each draft that came before the interaction it was."""
        keyed = [
            (encoded.draft.source, encoded.source_key, interaction_id)
            for encoded, interaction_id in zip(drafts, ids, strict=True)
            if encoded.source_key is not None
        ]
        # Insert first and ask later: a batch without repetitions needs no query at all.
        if connection.insert_rows(self._insert_dedupe, keyed) == len(keyed):
            return {}
        repeated = {}
        for source, key, interaction_id in keyed:
            ((first,),) = connection.execute(_by_key, source=source, key=key)
            if first != interaction_id:
                repeated[interaction_id] = first
        return repeated

    def _look_up(
        self,
        connection: Connection,
        drafts: Sequence[Encoded],
        also: Collection[int],
        *,
        check: bool,
    ) -> Known:
        """Return what is known of the customers of all *drafts*, who are locked from now on."""
        given = {d.draft.customer for d in drafts if d.draft.customer is not None}
        given.update(also)
        names = {name: None for d in drafts if d.draft.customer is None for name in d.names}
        if not check:
            self._identity.lock(connection, given)
            return Known(given={customer: Owner(customer, customer) for customer in given})
        return self._identity.look_up(connection, names, given)

    def _owners(
        self, connection: Connection, known: Known, drafts: Sequence[Encoded], now: int
    ) -> list[Owner]:
        unnamed = [d.names for d in drafts if d.draft.customer is None]
        found: Iterator[Owner] = iter(())
        if unnamed:
            resolved, ties = self._identity.resolve(connection, known, unnamed, now)
            if ties:
                self._matches.propose(connection, ties, now)
            if len(unnamed) == len(drafts):
                return resolved
            found = iter(resolved)
        return [
            next(found) if d.draft.customer is None else known.given[d.draft.customer]
            for d in drafts
        ]

    def _undone(
        self,
        connection: Connection,
        row: tuple[Any, ...],
        rows: Sequence[tuple[Any, ...]],
        former: Collection[int] | None,
    ) -> tuple[int | None, str | None, int | None]:
        """
        Return what a cancellation without an amount takes away: all that its order brought.

        That is an amount, its currency, and the amount in the base currency as it was frozen. The
        order may be of a *former* life of somebody erased, there under its hash; None: nobody was.
        """
        owner, about = row[_CUSTOMER], row[_SUBJECT]
        found = connection.execute(_of_subject, customer=owner, about=about)
        # The order may be in the same batch, before the cancellation or after it.
        found += [
            _money(other)
            for other in rows
            if other is not row and other[_CUSTOMER] == owner and other[_SUBJECT] == about
        ]
        if not found and former is not None:
            hashed = f"hash:{self._identity.keyed_hash(about)}"
            for whose in sorted({owner, *former}):
                for subject in (about, hashed):
                    found += connection.execute(_of_subject, customer=whose, about=subject)
        if not found:
            raise InputError(
                f"'order.cancelled' has no amount, and no order {about!r} of this customer is "
                "known to take it from; record the order first, or give the amount"
            )
        priced = [row for row in found if row[0] is not None]
        if not priced:
            return None, None, None
        bases = [base for _, _, base in priced]
        return (
            -sum(minor for minor, _, _ in priced),
            priced[0][1],
            None if None in bases else -sum(bases),
        )

    def find_key(self, connection: Connection, source: str, key: str) -> int | None:
        """Return the interaction that was recorded of a source under an encoded key, or None."""
        rows = connection.execute(_by_key, source=source, key=key)
        return rows[0][0] if rows else None

    def read(self, connection: Connection, selection: Selection) -> list[Interaction]:
        """Return the interactions of a range or list of ids, in the order of their ids."""
        if isinstance(selection, IdRange):
            rows = connection.execute(_range, low=selection.low, high=selection.high)
        elif isinstance(selection, IdList):
            rows = connection.execute(self._by_ids, ids=json_list(selection.ids))
        else:
            raise TypeError(f"{selection!r} is not a range or list of ids")
        return [self.as_interaction(row) for row in rows]

    def as_interaction(self, row: Sequence[Any]) -> Interaction:
        """Return a row of the ledger as a value."""
        return Interaction(
            id=row[0],
            kind=row[1],
            kind_version=row[2],
            customer_id=row[3],
            recorded_for=row[4],
            occurred_instant=row[5],
            recorded_instant=row[6],
            origin=row[7],
            source=row[8],
            source_key=row[9],
            channel=row[10],
            actor=row[11],
            subject=row[12],
            thread=row[13],
            touch=row[14],
            amount_minor=row[15],
            currency=row[16],
            amount_base_minor=row[17],
            caused_by=row[18],
            payload_json=row[19],
            personal_json=row[20],
            kinds=self.kinds,
        )


_range: Select[Any] = (
    select(*interaction.columns)
    .where(interaction.c.interaction_id.between(bindparam("low"), bindparam("high")))
    .order_by(interaction.c.interaction_id)
)
