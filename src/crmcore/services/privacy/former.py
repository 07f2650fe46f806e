"""Former lives: whom those who are named were before the shop forgot them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy
from attrs import field, frozen
from sqlalchemy import ColumnElement, Select, bindparam, exists, func, select

from crmcore.persistence.connection import Connection
from crmcore.persistence.consent import withheld
from crmcore.persistence.portable import Portable
from crmcore.persistence.privacy import erasure
from crmcore.services.identities.registration import Name
from crmcore.services.messaging.withholding import ERASED

_LISTED: Final = "listed"


@frozen
class Life:
    """Somebody's life until an erasure: its number, the row of who they were, and when it ended."""

    erasure_id: int
    customer_id: int
    ended: int


@frozen
class Former:
    """Former lives, by the contact points that somebody of that life was known by."""

    lives: Mapping[str, Sequence[Life]] = field(factory=dict)
    named: Mapping[Name, str] = field(factory=dict)

    @property
    def customers(self) -> set[int]:
        """The rows of all who they were."""
        return {life.customer_id for lives in self.lives.values() for life in lives}

    def of_names(self, names: Iterable[Name]) -> set[int]:
        """Return the rows of who those were that are called by one of these names."""
        points = {self.named[name] for name in names if name in self.named}
        return {life.customer_id for life in self.of(points)}

    def of(self, points: Iterable[str]) -> list[Life]:
        """Return the lives of these points, the last one first."""
        found = {life for point in points for life in self.lives.get(point, ())}
        return sorted(found, key=lambda life: -life.erasure_id)


def former_of(connection: Connection, named: Mapping[Name, str]) -> Former:
    """Return the former lives of those who are named; *named* has the point of each name."""
    if not named:
        return Former()
    of_points, of_erasures = connection.database.once(
        "former lives", lambda: _statements(connection.database.portable)
    )
    # By an index first: hardly anybody who is named was erased, and erasures become many.
    known = connection.execute(of_points, listed=json.dumps([*named.values()]), why=ERASED)
    points = sorted({row[0] for row in known})
    if not points:
        return Former()
    lives: dict[str, list[Life]] = {point: [] for point in points}
    for erasure_id, customer_id, ended, told in connection.execute(
        of_erasures, listed=json.dumps(points)
    ):
        for point in lives.keys() & set(json.loads(told)):
            lives[point].append(Life(erasure_id, customer_id, ended))
    return Former(lives, named)


def texts(portable: Portable, name: str = _LISTED) -> Select[Any]:
    """Return a select of the texts of a list that is given as JSON."""
    listed = bindparam(name, type_=sqlalchemy.Text())
    if portable.is_sqlite:
        return select(func.json_each(listed).table_valued("value").c.value)
    each = func.json_array_elements_text(sqlalchemy.cast(listed, sqlalchemy.JSON))
    return select(each.table_valued("value").c.value)


def _statements(portable: Portable) -> tuple[Select[Any], Select[Any]]:
    of_points = select(withheld.c.point).where(
        withheld.c.point.in_(texts(portable)), withheld.c.reason == bindparam("why")
    )
    point: ColumnElement[str] = texts(portable).subquery().c.value
    of_erasures = select(
        erasure.c.erasure_id, erasure.c.customer_id, erasure.c.recorded_at, erasure.c.points
    ).where(exists().where(erasure.c.points.contains(point)))
    return of_points, of_erasures
