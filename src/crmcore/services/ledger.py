"""The ledger: drafts checked and encoded, each recorded once, and read back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from attrs import frozen
from sqlalchemy import Select, bindparam, func, insert, select

from crmcore.domain.clock import to_instant
from crmcore.domain.interaction import Draft, Interaction, Origin
from crmcore.domain.kind import Kind, KindRegistry
from crmcore.domain.money import Money, check_currency
from crmcore.errors import InputError, MoneyError
from crmcore.hooks import IdList, IdRange, Selection
from crmcore.persistence.database import Connection, Portable, json_list
from crmcore.persistence.ledger import dedupe, interaction, line
from crmcore.services.identity import IdentityService, Names

COLUMNS: Final = tuple(interaction.columns.keys())
_LONGEST_KEY: Final = 255

_insert = insert(interaction)
_insert_line = insert(line)
_by_key = select(dedupe.c.interaction_id).where(
    dedupe.c.source == bindparam("source"), dedupe.c.source_key == bindparam("key")
)
_subject_total = select(
    func.sum(interaction.c.amount_minor), func.max(interaction.c.currency)
).where(
    interaction.c.customer_id == bindparam("customer"), interaction.c.subject == bindparam("about")
)
_newest = select(interaction.c.recorded_at).order_by(interaction.c.interaction_id.desc()).limit(1)


def last_recorded_at(connection: Connection) -> int:
    """Return when the newest interaction was recorded; far in the past if there is none."""
    rows = connection.execute(_newest)
    return rows[0][0] if rows else -(2**63)


class Encoded(NamedTuple):
    """A draft whose every value was checked, ready to be written."""

    kind: Kind
    draft: Draft
    names: Names
    occurred_at: int | None
    payload: str
    personal: str | None
    amount_minor: int | None
    currency: str | None
    source_key: str | None
    subject: str | None


@frozen(kw_only=True)
class Batch:
    """
    Interactions written together; their ids lie between *low* and *high*.

    Attributes:
        ids: The interaction of each draft: its own, or the one recorded earlier.
        new: The rows written, as the ledger's columns.
    """

    low: int
    high: int
    ids: Sequence[int]
    new: Sequence[tuple[Any, ...]]

    @property
    def selection(self) -> Selection:
        return IdRange(self.low, self.high)


_ID, _KIND, _CUSTOMER = (COLUMNS.index(c) for c in ("interaction_id", "kind", "customer_id"))


class Ledger:
    """Writes interactions, each once, and reads them back."""

    def __init__(
        self, kinds: KindRegistry, identity: IdentityService, portable: Portable, currency: str
    ) -> None:
        self.kinds = kinds
        self.currency = check_currency(currency)
        self._identity = identity
        self._insert_dedupe = portable.insert(dedupe).on_conflict_do_nothing()
        self._by_ids = (
            select(*interaction.columns)
            .where(portable.is_in(interaction.c.interaction_id, "ids"))
            .order_by(interaction.c.interaction_id)
        )

    def encode(self, draft: Draft) -> Encoded:
        """
        Check a draft; raises an `InputError` that names the field.

        Amounts come out signed: what they add to the customer's revenue.
        """
        kind = self.kinds[draft.kind]
        payload, personal = self.kinds.encode(kind, draft.payload)
        if not draft.identifiers and draft.customer is None:
            raise InputError(
                f"{kind.name!r} names no customer; give an identifier such as "
                "Identifier('email', 'ada@example.com'), or the customer's id"
            )
        amount = draft.amount
        if amount is None and draft.lines:
            amount = Money(sum(line.amount_minor for line in draft.lines), self.currency)
        minor = currency = None
        if amount is not None:
            if not isinstance(amount, Money):
                raise MoneyError(
                    f"amount {amount!r} is not Money; write Money.of('11.77', {self.currency!r})"
                )
            minor, currency = amount.amount_minor, amount.currency
            if kind.sign < 0:
                minor = -abs(minor)
        key = draft.source_key
        if key is not None and not 0 < len(key) <= _LONGEST_KEY:
            raise InputError(f"a source_key of {len(key)} characters; 1 to {_LONGEST_KEY} expected")
        return Encoded(
            kind,
            draft,
            tuple([(i.scheme, i.value) for i in draft.identifiers]),
            None if draft.occurred_at is None else to_instant(draft.occurred_at),
            payload,
            personal,
            minor,
            currency,
            self._identity.without_addresses(key),
            self._identity.without_addresses(draft.subject),
        )

    def append(
        self,
        connection: Connection,
        drafts: Sequence[Encoded],
        ids: range,
        *,
        now: int,
        origin: Origin = "observed",
        rate: Callable[[str, int, int], int | None],
    ) -> Batch:
        """
        Write those of *drafts* that were not recorded before, each under its place in *ids*.

        Customers of decided drafts were checked when they were decided upon.
        *rate* returns an amount of a foreign currency, at an instant, in the base currency's
        minor units.
        """
        repeated = self._claim_keys(connection, drafts, ids)
        fresh = [(i, d) for i, d in zip(ids, drafts, strict=True) if i not in repeated]
        owners = self._owners(connection, [d for _, d in fresh], now, check=origin == "observed")
        rows: list[tuple[Any, ...]] = []
        lines: list[tuple[Any, ...]] = []
        for (interaction_id, encoded), owner in zip(fresh, owners, strict=True):
            kind, draft, _, occurred, payload, personal, minor, currency, key, subject = encoded
            at = now if occurred is None else occurred
            if minor is None and kind.sign < 0:
                minor, currency = self._undone(connection, encoded, owner, rows)
            base = minor
            if currency is not None and currency != self.currency and minor is not None:
                base = rate(currency, minor, at)
            rows.append(
                (
                    interaction_id,
                    kind.name,
                    kind.version,
                    owner,
                    owner,
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
                lines += _lines(
                    interaction_id,
                    owner,
                    kind,
                    draft,
                    same=currency == self.currency,
                    base=base,
                    minor=minor,
                )
        connection.insert_rows(_insert, rows)
        connection.insert_rows(_insert_line, lines)
        every = [repeated.get(i, i) for i in ids] if repeated else ids
        return Batch(low=ids.start, high=ids.stop - 1, ids=every, new=rows)

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

    def _owners(
        self, connection: Connection, drafts: Sequence[Encoded], now: int, *, check: bool
    ) -> list[int]:
        given = {d.draft.customer for d in drafts if d.draft.customer is not None}
        if check:
            self._identity.check_known(connection, given)
        unnamed = [d.names for d in drafts if d.draft.customer is None]
        if not unnamed:
            return [d.draft.customer for d in drafts if d.draft.customer is not None]
        found = iter(self._identity.resolve(connection, unnamed, now))
        return [next(found) if d.draft.customer is None else d.draft.customer for d in drafts]

    def _undone(
        self, connection: Connection, encoded: Encoded, owner: int, rows: Sequence[tuple[Any, ...]]
    ) -> tuple[int | None, str | None]:
        """Return what a cancellation without an amount takes away: all that its order brought."""
        if encoded.subject is None or encoded.kind.name != "order.cancelled":
            return None, None
        total, currency = connection.execute(_subject_total, customer=owner, about=encoded.subject)[
            0
        ]
        minor, subject, money = (COLUMNS.index(c) for c in ("amount_minor", "subject", "currency"))
        for row in rows:  # the order may be in the same batch
            if row[_CUSTOMER] == owner and row[subject] == encoded.subject and row[minor]:
                total, currency = (total or 0) + row[minor], row[money]
        return (None, None) if total is None else (-total, currency)

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
        (
            interaction_id,
            kind,
            version,
            customer,
            recorded_for,
            occurred_at,
            recorded_at,
            *middle,
            payload,
            personal,
        ) = row
        names = COLUMNS[7:-2]
        return Interaction(
            id=interaction_id,
            kind=kind,
            kind_version=version,
            customer_id=customer,
            recorded_for=recorded_for,
            occurred_instant=occurred_at,
            recorded_instant=recorded_at,
            **dict(zip(names, middle, strict=True)),
            payload_json=payload,
            personal_json=personal,
            kinds=self.kinds,
        )


_range: Select[Any] = (
    select(*interaction.columns)
    .where(interaction.c.interaction_id.between(bindparam("low"), bindparam("high")))
    .order_by(interaction.c.interaction_id)
)


def _lines(
    interaction_id: int,
    owner: int,
    kind: Kind,
    draft: Draft,
    *,
    same: bool,
    base: int | None,
    minor: int | None,
) -> Iterable[tuple[Any, ...]]:
    """Yield the rows of a draft's lines; a foreign amount is shared out as the whole was."""
    sign = -1 if kind.sign < 0 else 1
    for number, item in enumerate(draft.lines, start=1):
        amount = sign * item.amount_minor if sign > 0 else -abs(item.amount_minor)
        if same:
            in_base: int | None = amount
        elif base is None or not minor:
            in_base = None
        else:
            in_base = round(amount * base / minor)
        yield (
            interaction_id,
            number,
            owner,
            item.key,
            item.undoes,
            item.product,
            item.variant,
            item.category,
            sign,
            item.quantity,
            amount,
            in_base,
            item.cost_minor,
        )
