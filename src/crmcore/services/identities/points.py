"""Contact points and buckets of customers whom an older crmcore recorded: filled in at a start."""

from __future__ import annotations

from typing import Final

from sqlalchemy import bindparam, select, update

from crmcore.domain.holdout import bucket_of
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import customer, identifier
from crmcore.persistence.settings import read_setting, write_setting
from crmcore.services.identities.identity import IdentityService

POINTS: Final = "points"
_AT_ONCE: Final = 10_000

_without_bucket = (
    select(customer.c.customer_id, customer.c.reference)
    .where(customer.c.bucket.is_(None))
    .limit(_AT_ONCE)
)
_set_bucket = (
    update(customer)
    .where(customer.c.customer_id == bindparam("customer"))
    .values(bucket=bindparam("number"))
)
_without_point = (
    select(identifier.c.scheme, identifier.c.identifier_value)
    .where(identifier.c.point.is_(None))
    .limit(_AT_ONCE)
)
_set_point = (
    update(identifier)
    .where(identifier.c.scheme == bindparam("by"), identifier.c.identifier_value == bindparam("v"))
    .values(point=bindparam("hashed"))
)


def fill_points(connection: Connection, identity: IdentityService) -> None:
    """Give every customer a bucket and every identifier its keyed hash, where a migration says."""
    if read_setting(connection, POINTS) != "missing":
        return
    while customers := connection.execute(_without_bucket):
        connection.change_many(
            _set_bucket, [{"customer": each, "number": bucket_of(name)} for each, name in customers]
        )
    while names := connection.execute(_without_point):
        connection.change_many(
            _set_point,
            [{"by": s, "v": v, "hashed": identity.point_of(s, v)} for s, v in names],
        )
    write_setting(connection, POINTS, "there")
