"""Relations: who belongs to whom, of two customers who are not one."""

from __future__ import annotations

from typing import Final

from attrs import frozen
from sqlalchemy import bindparam, delete, or_, select

from crmcore.errors import InputError, nearest
from crmcore.persistence.connection import Connection
from crmcore.persistence.merges import relation

RELATIONS: Final = {
    "contact_of": "works for, or speaks for",
    "household_of": "lives in one household with",
    "child_of": "is a child of",
    "referred_by": "was brought by",
}
"""Each relation, and how it is read: the customer, these words, the other."""

_about = (
    select(*relation.columns)
    .where(or_(relation.c.customer_id == bindparam("who"), relation.c.other_id == bindparam("who")))
    .order_by(relation.c.relation, relation.c.customer_id, relation.c.other_id)
)
_end = delete(relation).where(
    relation.c.customer_id == bindparam("who"),
    relation.c.relation == bindparam("named"),
    relation.c.other_id == bindparam("whom"),
)


@frozen(kw_only=True)
class Relation:
    """How a customer is related to another, such as a child to a parent."""

    customer: int
    relation: str
    other: int
    recorded_at: int

    def __str__(self) -> str:
        return f"{self.customer} {RELATIONS[self.relation]} {self.other}"


def check(name: str) -> str:
    """Return the name of a relation; raises `InputError` if there is none of it."""
    if name not in RELATIONS:
        raise InputError(
            f"no relation is named {name!r}{nearest(name, RELATIONS)}; there are: "
            f"{', '.join(RELATIONS)}"
        )
    return name


def relate(connection: Connection, who: int, name: str, whom: int, now: int) -> bool:
    """Note a relation; returns whether it is new. Raises `InputError` for one to oneself."""
    if who == whom:
        raise InputError(f"customer {who} cannot be {check(name)!r} themself; two are expected")
    insert = connection.database.once(
        "relate", lambda: connection.database.portable.insert(relation).on_conflict_do_nothing()
    )
    return bool(connection.insert_rows(insert, [(who, check(name), whom, now)]))


def unrelate(connection: Connection, who: int, name: str, whom: int) -> bool:
    """End a relation; returns whether there was one."""
    return bool(connection.change(_end, who=who, named=check(name), whom=whom))


def relations_of(connection: Connection, who: int) -> list[Relation]:
    """Return the relations of a customer, to others and of others to them, by name."""
    return [
        Relation(customer=row[0], relation=row[1], other=row[2], recorded_at=row[3])
        for row in connection.execute(_about, who=who)
    ]
