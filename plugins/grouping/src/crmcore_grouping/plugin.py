"""The plugin: its settings, and the hooks that call the services."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from attrs import define, field
from typing_extensions import override

from crmcore import (
    Context,
    CustomerAsked,
    CustomersRecompute,
    InteractionsRecorded,
    Kind,
    NamedSegment,
    Plugin,
    PluginTable,
    Report,
    StagesChanged,
    Started,
    TimersDue,
    Trait,
    hookimpl,
    whole,
)
from crmcore.errors import ConfigurationError, nearest
from crmcore_grouping.domain import ENTERED, LEFT, MINUTE, Grid, GroupEntered, GroupLeft
from crmcore_grouping.groups import Groups
from crmcore_grouping.history import HISTORY, MEMBERS
from crmcore_grouping.looks import Looks
from crmcore_grouping.ready import DESCRIPTIONS, Borders, ready_segments
from crmcore_grouping.reports import REPORT
from crmcore_grouping.standing import GROUPS, describe, groups_of, members
from crmcore_grouping.tables import TABLES, history, member


@define(eq=False)
class Grouping(Plugin):
    """
    Keeps who is in which group of customers, since when, and who was.

    Attributes:
        groups: Names of the segments that are kept as groups; none: all that have a name.
        every_minutes: Minutes between the instants at which groups are looked at, 1 to 1440.
        ready: Which ready groups there are, such as `champions`; see the plugin's page.
        recent_days: Ready groups: an order was recent at most so many days ago.
        fading_days: Ready groups: after so many days without an order a customer fades.
        lost_days: Ready groups: and after so many they are lost.
        often: Ready groups: so many orders are often.
        big_amount: Ready groups: orders of so much together are big, in the shop's currency.
        little_amount: Advocates: what they spend at most in a year.
        praises: Advocates: what they do, as kinds or families of interactions.
        praises_a_year: Advocates: how often they do one of these at least.
    """

    name: ClassVar[str] = "grouping"
    tables: ClassVar[tuple[PluginTable, ...]] = TABLES

    groups: list[str] = field(factory=list)
    every_minutes: int = field(default=15, validator=whole())
    ready: list[str] = field(factory=list)
    recent_days: int = field(default=30, validator=whole())
    fading_days: int = field(default=90, validator=whole())
    lost_days: int = field(default=365, validator=whole())
    often: int = field(default=5, validator=whole())
    big_amount: int = field(default=500, validator=whole())
    little_amount: int = field(default=100, validator=whole())
    praises: list[str] = field(factory=lambda: ["share.made"])
    praises_a_year: int = field(default=3, validator=whole())

    def __attrs_post_init__(self) -> None:
        self._check()
        # No fields, as they are no settings; which groups there are turns out at the start.
        self._grid = Grid(self.every_minutes * MINUTE)
        self._looks = Looks(Groups(), self._grid)

    def _check(self) -> None:
        if not 1 <= self.every_minutes <= 1440:
            raise ConfigurationError(
                f"every_minutes is {self.every_minutes}; 1 to 1440 minutes are expected"
            )
        for name in self.ready:
            if name not in DESCRIPTIONS:
                raise ConfigurationError(
                    f"ready has {name!r}{nearest(str(name), DESCRIPTIONS)}; there are: "
                    f"{', '.join(DESCRIPTIONS)}"
                )
        days = self.recent_days, self.fading_days, self.lost_days
        if not 0 < days[0] < days[1] < days[2] <= 36_525:
            raise ConfigurationError(
                f"recent_days {days[0]}, fading_days {days[1]} and lost_days {days[2]} do not "
                "fit: from 1 to 36525, each must be more than the one before it"
            )
        if self.often < 2 or self.praises_a_year < 1:
            raise ConfigurationError(
                f"often is {self.often} and praises_a_year {self.praises_a_year}; 2 at least, and "
                "1 at least, are expected"
            )
        if min(self.big_amount, self.little_amount) < 0:
            raise ConfigurationError(
                f"big_amount is {self.big_amount} and little_amount {self.little_amount}; "
                "amounts from 0 on are expected"
            )
        if not self.praises:
            raise ConfigurationError("praises is empty; one kind at least is expected")

    def members(self, ctx: Context, group: str, at: datetime | int | None = None) -> list[int]:
        """
        Return the ids of the customers in a group, ascending.

        *at* is an instant at which they were, aware or in microseconds; None: they are now. Groups
        are looked at at fixed instants, so this is as of the last of them.
        """
        return members(ctx, group, at)

    def groups_of(self, ctx: Context, customer: int, at: datetime | int | None = None) -> list[str]:
        """Return the names of the groups that a customer is in, or was in at *at*."""
        return groups_of(ctx, customer, at)

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        return [
            Kind(ENTERED, payload=GroupEntered, description="A customer entered a group."),
            Kind(LEFT, payload=GroupLeft, description="A customer left a group."),
        ]

    @hookimpl
    @override
    def register_segments(self) -> Iterable[NamedSegment]:
        borders = Borders(
            recent_days=self.recent_days,
            fading_days=self.fading_days,
            lost_days=self.lost_days,
            often=self.often,
            big_amount=self.big_amount,
            little_amount=self.little_amount,
            praises=tuple(self.praises),
            praises_a_year=self.praises_a_year,
        )
        return ready_segments(self.ready, borders)

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        return [GROUPS]

    @hookimpl
    @override
    def register_reports(self) -> Iterable[Report]:
        return [REPORT]

    @hookimpl
    @override
    def on_started(self, ctx: Context, event: Started) -> None:
        self._looks = Looks(Groups.of(ctx.segments, self.groups), self._grid)
        self._looks.start(ctx, has_missed=event.has_missed)

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        self._looks.mark(ctx, event)

    @hookimpl
    @override
    def on_stages_changed(self, ctx: Context, event: StagesChanged) -> None:
        self._looks.mark_stages(ctx, event)

    @hookimpl
    @override
    def on_timers_due(self, ctx: Context, event: TimersDue) -> None:
        if all(timer.customer_id is None for timer in event):
            self._looks.sweep(ctx, event)
        else:
            self._looks.look(ctx, event)

    @hookimpl
    @override
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        for table in (history, member):
            ctx.clear(table, event)
        for fold in (HISTORY, MEMBERS):
            ctx.fold(fold, event)

    @hookimpl
    @override
    def describe_customer(self, ctx: Context, event: CustomerAsked) -> Mapping[str, Any] | None:
        return describe(ctx, event.customer_id)
