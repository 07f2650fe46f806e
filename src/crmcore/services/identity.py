"""Identity: which customer the identifiers of an interaction belong to."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import BindParameter, ColumnElement, Text, bindparam, func, insert, literal, select

from crmcore.domain.customer import Customer
from crmcore.domain.identity import Identifier
from crmcore.errors import CustomerNotFoundError
from crmcore.persistence.customers import customer, identifier
from crmcore.persistence.database import Connection, Portable, json_list

Names = tuple[tuple[str, str], ...]
"""Identifiers as pairs of scheme and value: the form in which they are looked up."""

_one = select(identifier.c.customer_id).where(
    identifier.c.scheme == bindparam("scheme"), identifier.c.identifier_value == bindparam("text")
)
_last = select(func.max(customer.c.customer_id))
_insert_customer = insert(customer)
_insert_identifier = insert(identifier)
_customer = select(customer.c.customer_id, customer.c.recorded_at).where(
    customer.c.customer_id == bindparam("customer")
)
_identifiers = (
    select(identifier.c.scheme, identifier.c.identifier_value)
    .where(identifier.c.customer_id == bindparam("customer"))
    .order_by(identifier.c.recorded_at, identifier.c.scheme, identifier.c.identifier_value)
)
_PERSONAL_KEY = re.compile(r"[^\s@]+@[^\s@]+|\+[\d\s().-]{7,}\Z")


class IdentityService:
    """Finds, registers and names customers."""

    def __init__(self, portable: Portable, secret: str) -> None:
        self._portable = portable
        self._secret = secret.encode()
        listed: BindParameter[str] = bindparam("names", type_=Text())
        scheme: ColumnElement[str]
        text: ColumnElement[str]
        if portable.is_sqlite:
            item = func.json_each(listed).table_valued("value").alias("item")
            scheme = func.json_extract(item.c.value, "$[0]")
            text = func.json_extract(item.c.value, "$[1]")
        else:
            item = func.json_array_elements(listed.op("::")(literal("json"))).table_valued("value")
            scheme = item.c.value.op("->>")(0)
            text = item.c.value.op("->>")(1)
        self._many = select(
            identifier.c.scheme, identifier.c.identifier_value, identifier.c.customer_id
        ).select_from(
            item.join(
                identifier,
                (identifier.c.scheme == scheme) & (identifier.c.identifier_value == text),
            )
        )
        self._known = select(customer.c.customer_id).where(
            portable.is_in(customer.c.customer_id, "customers")
        )
        self._references = select(customer.c.customer_id, customer.c.reference).where(
            portable.is_in(customer.c.customer_id, "customers")
        )

    def find(
        self, connection: Connection, names: Iterable[tuple[str, str]]
    ) -> dict[tuple[str, str], int]:
        """Return the customer of each identifier that is known."""
        names = list(names)
        if len(names) == 1:
            scheme, text = names[0]
            rows = connection.execute(_one, scheme=scheme, text=text)
            return {name: row[0] for name, row in zip(names, rows, strict=False)}
        if not names:
            return {}
        listed = json.dumps(names, ensure_ascii=False, separators=(",", ":"))
        return {(s, v): c for s, v, c in connection.execute(self._many, names=listed)}

    def check_known(self, connection: Connection, customers: Iterable[int]) -> None:
        """Raise `CustomerNotFoundError` for the first id that is no customer's."""
        wanted = set(customers)
        if not wanted:
            return
        known = {row[0] for row in connection.execute(self._known, customers=json_list(wanted))}
        for missing in sorted(wanted - known):
            raise CustomerNotFoundError(f"customer {missing}")

    def resolve(self, connection: Connection, named: Sequence[Names], now: int) -> list[int]:
        """
        Return the customer of each of *named*, registering those nobody knows yet.

        The first identifier that is known decides; the others are added to that customer,
        unless they are somebody else's: those stay where they are.
        """
        found = self.find(connection, {name: None for names in named for name in names})
        last: int | None = None
        new_customers: list[tuple[int, int, str]] = []
        new_identifiers: list[tuple[str, str, int, int]] = []
        owners: list[int] = []
        for names in named:
            owner: int | None = None
            for name in names:
                owner = found.get(name)
                if owner is not None:
                    break
            if owner is None:
                if last is None:
                    last = connection.execute(_last)[0][0] or 0
                owner = last = last + 1
                new_customers.append((owner, now, self.keyed_hash(":".join(min(names)))))
            for name in names:
                if name not in found:
                    found[name] = owner
                    new_identifiers.append((*name, owner, now))
            owners.append(owner)
        connection.insert_rows(_insert_customer, new_customers)
        connection.insert_rows(_insert_identifier, new_identifiers)
        return owners

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
        )

    def references(self, connection: Connection, customers: Iterable[int]) -> Mapping[int, str]:
        """
        Return for each customer a short name that says nothing of them and is no id.

        Raises `CustomerNotFoundError` for an id that is no customer's.
        """
        wanted = set(customers)
        rows = connection.execute(self._references, customers=json_list(wanted))
        for missing in sorted(wanted - {customer_id for customer_id, _ in rows}):
            raise CustomerNotFoundError(f"customer {missing}")
        return dict(rows)

    def keyed_hash(self, text: str) -> str:
        """Return 128 bits of HMAC-SHA-256 under the database's own secret, as hexadecimal."""
        return hmac.digest(self._secret, text.encode(), hashlib.sha256).hex()[:32]

    def without_addresses(self, key: str | None) -> str | None:
        """Return *key*, or its hash where it looks like an address or a phone number."""
        if key is None or ("@" not in key and "+" not in key):
            return key
        return f"hash:{self.keyed_hash(key)}" if _PERSONAL_KEY.search(key) else key
