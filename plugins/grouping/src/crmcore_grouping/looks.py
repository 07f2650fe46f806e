"""Looks: at fixed instants it is found out who has entered a group, or left one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from attrs import define
from sqlalchemy import select

from crmcore import Context, InteractionsRecorded, StagesChanged, TimersDue
from crmcore_grouping.deciding import Found, decide, kept_in, kept_of
from crmcore_grouping.domain import Grid
from crmcore_grouping.groups import ALL, FLIP, OTHER, Groups
from crmcore_grouping.pace import NEVER, Pace, paces
from crmcore_grouping.tables import look, member

LOOK: Final = "look"
SWEEP: Final = "sweep"
RULES: Final = "rules"
DAY: Final = 86_400_000_000
_anybody: Final = select(member.c.customer_id).distinct()


@define(eq=False)
class Looks:
    """Marks whom something happened to, and looks at them when the next fixed instant comes."""

    groups: Groups
    grid: Grid

    # -- marking -----------------------------------------------------------------------------

    def start(self, ctx: Context, *, has_missed: bool) -> None:
        """Have everyone looked at where groups are others than before, or something was missed."""
        now, digest = ctx.clock.now(), self.groups.digest()
        if has_missed or ctx.find_note(RULES) != digest:
            ctx.set_note(RULES, digest)
            due = self.grid.after(now)
            everyone: Collection[int] = (
                ctx.segments.customers()
                if self.groups.names
                else [row[0] for row in ctx.execute(_anybody)]
            )
            # Of what came before nothing is decided, so nobody has anything to catch up with.
            before = {"looked_at": due - self.grid.step, "flips_at": None}
            ctx.write(look, [{"customer_id": each, **before} for each in everyone])
            ctx.set_timers(ALL, dict.fromkeys(everyone, due))
        if not self.groups.names:
            ctx.cancel_timer(SWEEP)
        elif ctx.find_timer(SWEEP) is None:
            self._set_sweep(ctx, now)

    def mark(self, ctx: Context, event: InteractionsRecorded) -> None:
        """Have those looked at whom a batch is about, as far as it can change a group."""
        groups, after, now = self.groups, self.grid.after, ctx.clock.now()
        if groups.other_key is None and event.kinds.isdisjoint(groups.keys):
            return
        dues: dict[int, int] = {}
        missed: set[int] = set()
        for kind, customer, occurred, recorded in event.outlines():
            if groups.key_of(kind) is not None:
                due = after(recorded)
                dues[customer] = min(due, dues.get(customer, due))
                missed.add(after(occurred))
        ctx.set_timers(LOOK, dues, missed={each for each in missed if each <= now})

    def mark_stages(self, ctx: Context, event: StagesChanged) -> None:
        """Have those looked at whose stage has changed, as far as a group asks for it."""
        asked = self.groups.lifecycles
        due = self.grid.after(ctx.clock.now())
        ctx.set_timers(OTHER, {each.customer_id: due for each in event if each.lifecycle in asked})

    # -- looking -----------------------------------------------------------------------------

    def look(self, ctx: Context, event: TimersDue) -> None:
        """
        Look at the customers of timers, at every fixed instant since they were looked at last.

        As a rule that is the timers' own. Where hooks failed or nobody ran them there may be
        more, and each look finds what it would have found in time.
        """
        until, asked, customers = event.due, [], set()
        for timer in event:
            if timer.customer_id is not None:
                customers.add(timer.customer_id)
                if timer.key != LOOK:
                    asked.append((timer.customer_id, timer.key if timer.key == OTHER else ALL))
        found = paces(ctx, self.groups, self.grid, customers, asked, until)
        before = {customer: pace.looked_at for customer, pace in found.items()}
        while (at := _next(found.values(), until)) is not None:
            self._turn(ctx, at, {c: pace for c, pace in found.items() if pace.due == at})
        ctx.write(
            look,
            [
                {"customer_id": customer, "looked_at": pace.looked_at, "flips_at": pace.flips_at}
                for customer, pace in sorted(found.items())
                if pace.looked_at not in (NEVER, before[customer])
            ],
        )
        # Who was looked at after *until* already, and not for everything, is looked at again.
        again = {c for c, key in asked if key == ALL and before[c] >= until}
        ctx.set_timers(ALL, {each: self.grid.after(before[each]) for each in sorted(again)})
        dues = {customer: pace.due for customer, pace in found.items()}
        ctx.set_timers(LOOK, {each: due for each, due in dues.items() if due is not None})

    def _turn(self, ctx: Context, at: int, due: Mapping[int, Pace]) -> None:
        """Look at the customers who are due at *at*."""
        asked: dict[str, set[int]] = {}
        for customer, pace in due.items():
            for key in pace.take(at):
                asked.setdefault(key, set()).add(customer)
        # What was recorded since was not known then; of who has nothing since, all was.
        known_before = at if any(pace.slots for pace in due.values()) else None
        found = Found(gone=asked.get(ALL, set()))
        for key, customers in sorted(asked.items()):
            if names := self.groups.looks.get(key):
                members = ctx.segments.memberships(names, at, customers, known_before=known_before)
                found.add(members, customers)
        rules = self.groups.rules
        decide(ctx, at, found, kept_of(ctx, due), rules=rules, known_before=known_before)
        if names := self.groups.looks.get(FLIP):
            flips = ctx.segments.next_flips(names, at, due, known_before=known_before)
            for customer, flip in flips.items():
                due[customer].flips_at = self.grid.from_(flip)

    def sweep(self, ctx: Context, event: TimersDue) -> None:
        """
        At midnight, look at what a midnight may change, and have those looked at who were merged.

        A merge announces nothing, so it comes to light here. Those of two days are looked at: one
        may have been committed after a sweep that it began before.
        """
        groups = self.groups
        if not groups.names:
            return
        merged = ctx.segments.reassigned(event.due - 2 * DAY)
        ctx.set_timers(ALL, dict.fromkeys(merged, self.grid.after(event.until)))
        if groups.moving:
            at = ctx.calendar.start_of(ctx.calendar.day_of(event.until))
            found = Found()
            everyone: Collection[int] = ctx.segments.customers()
            found.add(ctx.segments.memberships(groups.moving, at), everyone)
            decide(ctx, at, found, kept_in(ctx, groups.moving), rules=groups.rules)
        self._set_sweep(ctx, event.until)

    def _set_sweep(self, ctx: Context, now: int) -> None:
        # Missed ones are dealt with at once: the first says since when.
        ctx.set_timer(SWEEP, ctx.calendar.midnight_after(now + 1, days=0), catch_up="merge")


def _next(found: Iterable[Pace], until: int) -> int | None:
    """Return the next instant, up to *until*, at which somebody is due."""
    return min(
        (due for each in found if (due := each.due) is not None and due <= until), default=None
    )
