"""Owners: who has a contact point, by proof or as a guest; locked before anything is written."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Select, select

from crmcore.errors import RetryTransaction
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import identifier
from crmcore.persistence.portable import json_hashes, json_list
from crmcore.services.identities.identity import IdentityService

_MOST_LOOKS: Final = 10


def owners_of(connection: Connection, points: Collection[str]) -> set[int]:
    """Return the customers who have one of these contact points, given by their keyed hashes."""
    if not points:
        return set()

    def build() -> Select[Any]:
        among = connection.database.portable.is_hash(identifier.c.point, "points")
        return select(identifier.c.customer_id).where(among).distinct()

    statement = connection.database.once("owners of points", build)
    return {row[0] for row in connection.execute(statement, points=json_hashes(points))}


def sharing(connection: Connection, customers: Collection[int]) -> set[int]:
    """Return the customers who have a contact point of one of these; themselves among them."""
    if not customers:
        return set()

    def build() -> Select[Any]:
        own = identifier.alias("own")
        among = connection.database.portable.is_in(own.c.customer_id, "customers")
        joined = own.join(identifier, identifier.c.point == own.c.point)
        return select(identifier.c.customer_id).select_from(joined).where(among).distinct()

    statement = connection.database.once("sharing points", build)
    rows = connection.execute(statement, customers=json_list(customers))
    return {row[0] for row in rows} | {*customers}


def locked_owners(
    connection: Connection, identity: IdentityService, points: Collection[str]
) -> set[int]:
    """Return the customers who have one of these contact points, locked in id order."""
    for _ in range(_MOST_LOOKS):
        owners = owners_of(connection, points)
        identity.lock(connection, owners)
        if connection.database.portable.is_sqlite or owners_of(connection, points) <= owners:
            return owners
    raise RetryTransaction("contact points changed hands again and again while they were locked")
