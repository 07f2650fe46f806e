"""Where plugins bring segments, and how they ask who is in which."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from attrs import field, frozen
from sqlalchemy import Select

from crmcore.domain.segments.measured import Measured
from crmcore.domain.segments.segment import Segment
from crmcore.domain.segments.tree import Condition
from crmcore.hooks.markers import hookspec


@frozen(kw_only=True)
class NamedSegment:
    """
    A segment that a plugin brings; everybody can name it as those of `[segments]`.

    Attributes:
        name: A letter, and letters, digits, `_` and `-` after it.
        rule: Its text, such as `orders(days=90).count >= 3`, or a tree.
        description: Who is meant, in a few words.
    """

    name: str = field(kw_only=False)
    rule: str | Condition = field(kw_only=False)
    description: str = ""


class Segments(Protocol):
    """
    The named segments, as a plugin asks about them in its transaction.

    No statement runs for each customer or segment. Instants are microseconds.
    """

    @property
    def named(self) -> Mapping[str, Segment]:
        """The named segments of the shop and of plugins, checked; they know what changes them."""

    @property
    def moving(self) -> Collection[str]:
        """The names of those that read a trait which may change at any midnight of the shop."""

    @property
    def of_strangers(self) -> Collection[str]:
        """The names of those in which somebody is of whom nothing is known, as after a visit."""

    def fingerprint(self, name: str) -> str:
        """Return a hash of a rule, and of those within it: another one is another rule."""

    def changed_by(self, kinds: Iterable[str]) -> Collection[str]:
        """Return the names of those that interactions of *kinds* can change."""

    def memberships(
        self,
        names: Collection[str],
        now: int,
        customers: Collection[int] | None = None,
        *,
        known_before: int | None = None,
    ) -> Mapping[str, Collection[int]]:
        """
        Return who of *customers*, or of all, is in each of the named segments at *now*.

        With *known_before*, only facts count that had been recorded before that instant.
        """

    def audience(self, segment: str, now: int) -> Select[Any]:
        """
        Return the select of the ids of the customers in a segment at *now*, for `broadcast`.

        It is a name, or a text such as `orders(days=90).count >= 3`. Raises `SegmentError` if it
        is not right.
        """

    def measures(self, asked: Sequence[str], customers: Collection[int], now: int) -> Measured:
        """
        Return values of some customers at *now*, each a text such as `orders.sum` or a trait.

        As `Crm.measures` does, in one statement; who was merged or erased is left out. Raises
        `SegmentError` if one is not right.
        """

    def next_flips(
        self,
        names: Collection[str],
        now: int,
        customers: Collection[int],
        *,
        known_before: int | None = None,
    ) -> Mapping[int, int]:
        """
        Return when time alone can change which of the named segments a customer is in, by id.

        It is later than *now*, and never later than the first such change; nothing may change
        then. Who is not there is not changed by time. Traits that read the clock are left out:
        they may change at any midnight. *known_before* is as in `memberships`.
        """

    def latest(
        self,
        names: Collection[str],
        now: int,
        customers: Collection[int],
        *,
        known_before: int | None = None,
    ) -> Mapping[str, Mapping[int, int]]:
        """
        Return for each segment the latest interactions, by then, of a kind that it asks for.

        They are given by the customer's id. Between interactions of one instant the source's
        keys decide, as in `ctx.latest`. *known_before* is as in `memberships`.
        """

    def recorded(self, customers: Collection[int], since: int) -> Collection[tuple[int, str, int]]:
        """Return whose facts of which kinds were recorded when, at *since* or later."""

    def customers(self) -> Collection[int]:
        """Return the ids of all customers who are in segments at all, ascending."""

    def reassigned(self, since: int) -> Collection[int]:
        """Return whose facts became others by a merge, or its undoing, at *since* or later."""


class SegmentHooks:
    """Where plugins bring segments."""

    @hookspec
    def register_segments(self) -> Iterable[NamedSegment]:
        """
        Contribute segments that the shop and other plugins can name; called once, at start.

        They may speak of kinds and traits of any plugin that is there, and be within each other.
        Raising stops the start, as does a name that another plugin or `[segments]` has, too.
        """
