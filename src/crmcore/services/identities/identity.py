"""Identity: which customer the identifiers of an interaction belong to."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import define, field
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    Text,
    bindparam,
    cast,
    column,
    func,
    insert,
    literal,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql

from crmcore.domain.customer import Customer
from crmcore.domain.holdout import bucket_of
from crmcore.domain.identity import Identifier, SchemeRegistry
from crmcore.errors import CustomerNotFoundError, RetryTransaction
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import customer, customer_ids, identifier
from crmcore.persistence.ids import next_ids
from crmcore.persistence.merges import merge, moved
from crmcore.persistence.portable import Portable, json_list
from crmcore.persistence.schema import Whole
from crmcore.services.identities.registration import Name, Names, Owner, Registration

_insert_customer = insert(customer)
_customer = select(customer.c.customer_id, customer.c.recorded_at, customer.c.erased_at).where(
    customer.c.customer_id == bindparam("customer")
)
_counts = (
    select(identifier.c.scheme, func.count())
    .where(identifier.c.customer_id == bindparam("customer"))
    .group_by(identifier.c.scheme)
)
_identifiers = (
    select(identifier.c.scheme, identifier.c.identifier_value)
    .where(identifier.c.customer_id == bindparam("customer"))
    .order_by(identifier.c.recorded_at, identifier.c.scheme, identifier.c.identifier_value)
)
Tie = tuple[int, int, str]
"""Two customers, and the schemes of the identifiers by which both were named at once."""

_PERSONAL_KEY = re.compile(r"[^\s@]+@[^\s@]+|\+[\d\s().-]{7,}\Z")
_MOST_LOOKS = 10
# Milliseconds: longer than transactions take, shorter than it takes to find a deadlock (1 s).
_PATIENCE = 250


class IdentifierTaken(RetryTransaction):
    """Another transaction registered the same identifier at the same time, and has committed."""


@define
class Known:
    """
    What was known of the customers of some drafts when they were looked up, and locked.

    Attributes:
        named: By identifier; those nobody knows yet are not there.
        given: By the id that was given; merged customers have another owner.
        merging: The ids given of those who were part of a merge, which may be undone.
    """

    named: dict[Name, Owner] = field(factory=dict)
    given: dict[int, Owner] = field(factory=dict)
    merging: frozenset[int] = frozenset()


_note_unclear = insert(moved).from_select(
    ["merge_id", "interaction_id", "customer_id", "how"],
    select(
        merge.c.merge_id,
        bindparam("noted", type_=Whole),
        bindparam("owner", type_=Whole),
        literal("unclear"),
    ).where(merge.c.survivor_id == bindparam("asked"), merge.c.undone_at.is_(None)),
)


def note_unclear(connection: Connection, given: Iterable[tuple[int, Owner]]) -> None:
    """
    Note interactions that came by the id of somebody who survived a merge, not yet undone.

    Whether such an id means the one or the other nobody can say when the merge is undone.
    """
    connection.change_many(
        _note_unclear,
        [{"noted": i, "owner": o.customer_id, "asked": o.recorded_for} for i, o in given],
    )


class IdentityService:
    """Finds, locks, registers and names customers."""

    def __init__(
        self, portable: Portable, secret: str, schemes: SchemeRegistry | None = None
    ) -> None:
        self.schemes = schemes or SchemeRegistry()
        self._portable = portable
        self._secret = secret.encode()
        self._one = self._wanted(
            select().where(
                identifier.c.scheme == bindparam("scheme"),
                identifier.c.identifier_value == bindparam("text"),
            )
        )
        self._many = self._wanted(_listed_names(portable))
        among = portable.is_in(customer.c.customer_id, "customers")
        self._given = select(
            customer.c.customer_id, customer.c.merged_into, customer.c.revision
        ).where(among)
        revisions = select(customer.c.customer_id, customer.c.revision)
        self._lock = portable.locked(revisions.where(among).order_by(customer.c.customer_id))
        self._lock_one = portable.locked(
            revisions.where(customer.c.customer_id == bindparam("customer"))
        )
        self._references = select(
            customer.c.customer_id, customer.c.reference, customer.c.merged_into
        ).where(among)
        self._insert_identifier = portable.insert(identifier).on_conflict_do_nothing()

    def _wanted(self, statement: Select[Any]) -> Select[Any]:
        """Return *statement* with what is asked of identifiers; see `_find`."""
        found = statement.add_columns(
            identifier.c.scheme,
            identifier.c.identifier_value,
            identifier.c.customer_id,
            identifier.c.recorded_for,
        )
        if self._portable.is_sqlite:
            return found.add_columns(literal(0))
        return found.add_columns(customer.c.revision).join(
            customer, customer.c.customer_id == identifier.c.customer_id
        )

    # -- finding -----------------------------------------------------------------------------

    def find(self, connection: Connection, names: Iterable[Name]) -> dict[Name, int]:
        """Return the customer of each identifier that is known."""
        return {name: owner for name, (owner, _, _) in self._find(connection, names).items()}

    def _find(
        self, connection: Connection, names: Iterable[Name]
    ) -> dict[Name, tuple[int, int, int]]:
        """Return for each name that is known its owner, whom it was recorded for, a revision."""
        names = list(names)
        if not names:
            return {}
        if len(names) == 1:
            scheme, text = names[0]
            rows = connection.execute(self._one, scheme=scheme, text=text)
        else:
            listed = json.dumps(names, ensure_ascii=False, separators=(",", ":"))
            rows = connection.execute(self._many, names=listed)
        return {(s, v): (owner, meant, revision) for s, v, owner, meant, revision in rows}

    def present(self, connection: Connection, given: Iterable[int]) -> dict[int, int]:
        """
        Return for each id of a customer the id they have now: another one, where they were merged.

        Raises:
            CustomerNotFoundError: For the first id that is no customer's.
        """
        return {c: owner for c, (owner, _) in self._present(connection, given).items()}

    def _present(self, connection: Connection, given: Iterable[int]) -> dict[int, tuple[int, int]]:
        """Return for each id the present one, and its revision."""
        wanted = set(given)
        rows: dict[int, tuple[int | None, int]] = {}
        unseen = wanted
        while unseen:
            listed = json_list(unseen)
            found = connection.execute(self._given, customers=listed)
            rows |= {c: (into, revision) for c, into, revision in found}
            for missing in sorted(unseen - rows.keys()):
                raise CustomerNotFoundError(f"customer {missing}")
            unseen = {into for _, into, _ in found if into is not None} - rows.keys()
        present = {}
        for asked in wanted:
            owner, (into, revision) = asked, rows[asked]
            while into is not None:
                owner, (into, revision) = into, rows[into]
            present[asked] = owner, revision
        return present

    def look_up(
        self, connection: Connection, names: Collection[Name], given: Collection[int]
    ) -> Known:
        """
        Return whose these identifiers and ids are, with their customers locked in id order.

        Who waits for a lock may find that a merge has moved identifiers meanwhile; then they are
        looked up again. Those locked then may come before those already held, out of id order, so
        they are not waited for long.

        Raises:
            CustomerNotFoundError: For an id that is no customer's.
            RetryTransaction: If merges keep moving them, or somebody else keeps one of them.
        """
        for look in range(_MOST_LOOKS):
            named = self._find(connection, names)
            ids = self._present(connection, given) if given else {}
            known = Known(
                {name: Owner(owner, meant) for name, (owner, meant, _) in named.items()},
                {asked: Owner(owner, asked) for asked, (owner, _) in ids.items()},
                frozenset(asked for asked, (_, revision) in ids.items() if revision),
            )
            if self._portable.is_sqlite:
                return known
            # As pairs: between the two looks a merge may have raised somebody's revision.
            seen = {(owner, revision) for owner, _, revision in named.values()} | {*ids.values()}
            if not seen or {*self.lock(connection, dict(seen), again=look > 0).items()} == seen:
                return known
        raise RetryTransaction("the customers were merged again and again while they were locked")

    def lock(
        self, connection: Connection, customers: Iterable[int], *, again: bool = False
    ) -> dict[int, int]:
        """
        Lock customers, in id order, until the transaction ends; returns their revisions.

        Where others have been locked before, *again*, somebody may wait for those who has these:
        then it does not wait for long, and raises `RetryTransaction`.
        """
        if self._portable.is_sqlite:
            return {}
        wanted = set(customers)
        if again:
            with connection.waiting_at_most(_PATIENCE):
                return dict(connection.execute(self._lock, customers=json_list(wanted)))
        if len(wanted) == 1:
            return dict(connection.execute(self._lock_one, customer=wanted.pop()))
        return dict(connection.execute(self._lock, customers=json_list(wanted)))

    # -- registering -------------------------------------------------------------------------

    def resolve(
        self, connection: Connection, known: Known, named: Sequence[Names], now: int
    ) -> tuple[list[Owner], Sequence[Tie]]:
        """
        Return whose each of *named* is, registering those nobody knows yet; and whom they tie.

        The best-ranked identifier that is known decides; the others are added to that customer,
        unless they are somebody else's: those stay where they are. `Registration` has the rules.

        Raises:
            IdentifierTaken: If another transaction registered one of them at the same time.
        """
        found = known.named
        unknown = sum([found.keys().isdisjoint(names) for names in named])
        book = Registration(
            self.schemes,
            found,
            self._new_ids(connection, unknown),
            lambda customer_id: dict(connection.execute(_counts, customer=customer_id)),
        )
        owners = [book.owner_of(names) for names in named]
        new_customers = [
            (made, now, name, None, 0, bucket_of(name), None)
            for made, first in book.customers
            for name in (self.keyed_hash(first),)
        ]
        connection.insert_rows(_insert_customer, new_customers)
        # In one order everywhere, so that two transactions cannot wait for each other.
        point_of = self.point_of
        new_identifiers = [
            (*new, now, point_of(new[0], new[1])) for new in sorted(book.identifiers)
        ]
        if connection.insert_rows(self._insert_identifier, new_identifiers) < len(new_identifiers):
            raise IdentifierTaken("another transaction registered the same identifier")
        return owners, book.ties

    def add(self, connection: Connection, name: Name, owner: Owner, now: int) -> None:
        """Give an identifier that nobody has to a customer; raises `IdentifierTaken`."""
        row = (*name, *owner, now, self.point_of(*name))
        if not connection.insert_rows(self._insert_identifier, [row]):
            raise IdentifierTaken("another transaction registered the same identifier")

    def is_guest(self, connection: Connection, customer_id: int) -> bool:
        """Return whether nothing is known of a customer but what they gave without proof."""
        schemes = [self.schemes[s] for s, _ in connection.execute(_counts, customer=customer_id)]
        return all(each.shared or each.guest_of is not None for each in schemes)

    def _new_ids(self, connection: Connection, most: int) -> Iterator[int]:
        """Give *most* ids for customers, and after them one at a time."""
        last = 0
        while True:
            for last in next_ids(connection, customer_ids, customer.c.customer_id, most or 1):
                yield last
            most = 0
            while connection.database.portable.is_sqlite:
                # Asked again, it would give the same ids: those given are not written yet.
                last += 1
                yield last

    # -- telling -----------------------------------------------------------------------------

    def get(self, connection: Connection, customer_id: int) -> Customer:
        """Return the customer with their identifiers; raises `CustomerNotFoundError`."""
        rows = connection.execute(_customer, customer=customer_id)
        if not rows:
            raise CustomerNotFoundError(f"customer {customer_id}")
        names = connection.execute(_identifiers, customer=customer_id)
        return Customer(
            id=customer_id,
            recorded_instant=rows[0][1],
            identifiers=tuple(Identifier(scheme, value) for scheme, value in names),
            erased_instant=rows[0][2],
        )

    def references(self, connection: Connection, customers: Iterable[int]) -> Mapping[int, str]:
        """
        Return for each customer a short name that says nothing of them and is no id.

        Raises `CustomerNotFoundError` for an id that is no customer's.
        """
        return {c: name for c, (name, _) in self.settled(connection, customers).items()}

    def settled(
        self, connection: Connection, customers: Iterable[int]
    ) -> Mapping[int, tuple[str, int]]:
        """
        Return for each customer their `references` name, and the id they have now, locked.

        The id is another one where they were merged while somebody decided about them.
        """
        wanted = set(customers)
        rows = connection.execute(self._references, customers=json_list(wanted))
        for missing in sorted(wanted - {row[0] for row in rows}):
            raise CustomerNotFoundError(f"customer {missing}")
        merged = [customer_id for customer_id, _, into in rows if into is not None]
        given = self.look_up(connection, (), merged).given if merged else {}
        return {c: (name, given[c].customer_id if c in given else c) for c, name, _ in rows}

    def keyed_hash(self, text: str) -> str:
        """Return 128 bits of HMAC-SHA-256 under the database's own secret, as hexadecimal."""
        return hmac.digest(self._secret, text.encode(), hashlib.sha256).hex()[:32]

    def point_of(self, scheme: str, value: str) -> str:
        """Return the keyed hash of a contact point; that of a guest's address is the address's."""
        proven = self.schemes[scheme].guest_of if scheme in self.schemes else None
        return self.keyed_hash(f"{proven or scheme}:{value}")

    def without_addresses(self, key: str | None) -> str | None:
        """Return *key*, or its hash where it looks like an address or a phone number."""
        if key is None or ("@" not in key and "+" not in key):
            return key
        return f"hash:{self.keyed_hash(key)}" if _PERSONAL_KEY.search(key) else key


def _listed_names(portable: Portable) -> Select[Any]:
    """Return a select that finds the identifiers listed as JSON in the parameter `names`."""
    listed: BindParameter[str] = bindparam("names", type_=Text())
    scheme: ColumnElement[str]
    text: ColumnElement[str]
    if portable.is_sqlite:
        item = func.json_each(listed).table_valued("value").alias("item")
        scheme = func.json_extract(item.c.value, "$[0]")
        text = func.json_extract(item.c.value, "$[1]")
    else:
        elements = func.json_array_elements(cast(listed, postgresql.JSON))
        item = elements.table_valued(column("value", postgresql.JSON))
        scheme = item.c.value.op("->>")(literal_column("0"))
        text = item.c.value.op("->>")(literal_column("1"))
    return select().select_from(
        item.join(
            identifier, (identifier.c.scheme == scheme) & (identifier.c.identifier_value == text)
        )
    )
