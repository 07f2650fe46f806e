"""Segments: who is meant by a rule, and why somebody is or is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select

from crmcore.app.opened import Opened
from crmcore.domain.clock import to_datetime, to_instant
from crmcore.domain.identity import Known
from crmcore.domain.segments.measured import Measured
from crmcore.domain.segments.segment import Segment
from crmcore.domain.segments.tree import Condition
from crmcore.errors import InputError
from crmcore.services.segments.why import Verdict


class SegmentsOfCrm(Opened):
    """The part of `Crm` that finds customers by a rule."""

    @property
    def segments(self) -> Mapping[str, Segment]:
        """The segments that have a name, from `[segments]` in crm.toml or the argument of `Crm`."""
        return self._parts.segments.registry.segments

    def segment(self, asked: str | Condition | Segment) -> Segment:
        """
        Return the segment of a name, a text or a tree, checked.

        Its `condition` is the tree, and `str` of it the text, with every name in full.

        Raises:
            SegmentError: Says where in the text, what was found and what is expected.
        """
        return self._parts.segments.find(asked)

    def members(
        self, segment: str | Condition | Segment, *, at: datetime | int | None = None
    ) -> list[int]:
        """
        Return the ids of the customers in a segment, ascending.

        Args:
            segment: Its name, a text such as `orders(days=90).count >= 3`, or a tree.
            at: The instant it is about, aware or in microseconds; None is now. Facts that were
                later do not count; traits have their present values.

        Raises:
            SegmentError: If the segment is not right.
        """
        now = self._instant(at)
        with self._read() as unit:
            return self._parts.segments.members(unit.connection, segment, now)

    def measures(
        self,
        asked: Sequence[str],
        among: str | Condition | Segment = "everyone",
        *,
        at: datetime | int | None = None,
    ) -> Measured:
        """
        Return values of the customers in a segment, ascending by id: what segments compare.

        Args:
            asked: Measures, each a text such as `orders(days=365).count`, `orders.sum`,
                `days_since(orders.last)`, or the name of a trait.
            among: Of whom, as in `members`.
            at: The instant it is about, as in `members`.

        Raises:
            SegmentError: If a measure or the segment is not right.
        """
        now = self._instant(at)
        with self._read() as unit:
            return self._parts.segments.measures(unit.connection, asked, among, now)

    def audience(
        self, segment: str | Condition | Segment, *, at: datetime | int | None = None
    ) -> Select[Any]:
        """
        Return the select of the ids of the customers in a segment, as `broadcast` takes it.

        *at* is the instant it is about; None is now.
        """
        return self._parts.segments.audience(segment, self._instant(at))

    def why_in(
        self,
        customer: Known,
        segment: str | Condition | Segment,
        *,
        at: datetime | int | None = None,
    ) -> Verdict:
        """
        Return whether a customer is in a segment, and the conditions that decide it.

        Of who is out, these are the conditions that fail. *at* is as in `members`.

        Raises:
            CustomerNotFoundError: If there is no such customer.
            SegmentError: If the segment is not right.
        """
        now = self._instant(at)
        with self._read() as unit:
            customer_id = self._parts.people.id_of(unit, customer)
            return self._parts.segments.why(unit.connection, customer_id, segment, now)

    def why_not(
        self,
        customer: Known,
        segment: str | Condition | Segment,
        *,
        at: datetime | int | None = None,
    ) -> Verdict:
        """Return what `why_in` returns, for those who ask it the other way round."""
        return self.why_in(customer, segment, at=at)

    def _instant(self, at: datetime | int | None) -> int:
        if at is None:
            return self._runtime.clock.now()
        if type(at) is int:
            return to_instant(to_datetime(at))
        if isinstance(at, datetime):
            return to_instant(at)
        raise InputError(
            f"at is {at!r}; an aware datetime, or microseconds since 1970, is expected"
        )
