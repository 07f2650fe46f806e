"""View: the named segments as a plugin asks about them; implements `crmcore.hooks.Segments`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from attrs import define
from sqlalchemy import Select

from crmcore.domain.segments.measured import Measured
from crmcore.domain.segments.segment import Segment
from crmcore.persistence.connection import Connection
from crmcore.services.segments.segments import SegmentService


@define(eq=False)
class SegmentsView:
    """
    The named segments over one transaction, or over a short one of each question's own.

    Attributes:
        reading: Gives the connection a question is asked over.
    """

    service: SegmentService
    reading: Callable[[], AbstractContextManager[Connection]]

    @property
    def named(self) -> Mapping[str, Segment]:
        return self.service.registry.segments

    @property
    def moving(self) -> Collection[str]:
        return self.service.registry.moving()

    @property
    def of_strangers(self) -> Collection[str]:
        return self.service.registry.of_strangers()

    def fingerprint(self, name: str) -> str:
        self._check([name])
        return self.service.registry.fingerprint(name)

    def changed_by(self, kinds: Iterable[str]) -> Collection[str]:
        return self.service.registry.changed_by(kinds)

    def memberships(
        self,
        names: Collection[str],
        now: int,
        customers: Collection[int] | None = None,
        *,
        known_before: int | None = None,
    ) -> Mapping[str, Collection[int]]:
        self._check(names)
        with self.reading() as connection:
            return self.service.memberships(
                connection, now, names=names, customers=customers, known_before=known_before
            )

    def audience(self, segment: str, now: int) -> Select[Any]:
        return self.service.audience(segment, now)

    def measures(self, asked: Sequence[str], customers: Collection[int], now: int) -> Measured:
        with self.reading() as connection:
            return self.service.measures(connection, asked, "everyone", now, customers)

    def next_flips(
        self,
        names: Collection[str],
        now: int,
        customers: Collection[int],
        *,
        known_before: int | None = None,
    ) -> Mapping[int, int]:
        self._check(names)
        with self.reading() as connection:
            return self.service.next_flips(connection, now, names, customers, known_before)

    def latest(
        self,
        names: Collection[str],
        now: int,
        customers: Collection[int],
        *,
        known_before: int | None = None,
    ) -> Mapping[str, Mapping[int, int]]:
        self._check(names)
        with self.reading() as connection:
            return self.service.latest(connection, now, names, customers, known_before)

    def recorded(self, customers: Collection[int], since: int) -> Collection[tuple[int, str, int]]:
        with self.reading() as connection:
            return self.service.recorded(connection, customers, since)

    def customers(self) -> Collection[int]:
        with self.reading() as connection:
            return self.service.customers(connection)

    def reassigned(self, since: int) -> Collection[int]:
        with self.reading() as connection:
            return self.service.reassigned(connection, since)

    def _check(self, names: Collection[Any]) -> None:
        for name in names:
            if name not in self.named:
                self.service.registry.refuse(name)
