"""Retention at work: personal values that have been kept for long enough are emptied."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Select, and_, bindparam, func, or_, select, update

from crmcore.domain.clock import ONE_DAY
from crmcore.domain.retention import RetentionSettings
from crmcore.persistence import searching
from crmcore.persistence.ledger import interaction
from crmcore.persistence.portable import Portable, json_list
from crmcore.persistence.settings import read_setting, write_setting
from crmcore.services.background.portion import Begin, Portion, retried
from crmcore.services.privacy.holds import holds
from crmcore.services.privacy.opening import ERASURES
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

AT_ONCE: Final = 1000
LAST: Final = "retention"
"""The setting with the civil day on which it was done last."""

_EMPTY: Final = "{}"


class Retention:
    """Empties personal parts by kind and age, a batch at a time, and never of who is on hold."""

    def __init__(
        self,
        runtime: Runtime,
        settings: RetentionSettings,
        begin: Begin,
        forget_again: Callable[[Unit], None],
    ) -> None:
        self._runtime = runtime
        self._forget_again = forget_again
        self._begin = begin
        self._periods = settings.by_kind(kind.name for kind in runtime.assembly.kinds)
        portable = runtime.database.portable
        self._empty = (
            update(interaction)
            .where(portable.is_in(interaction.c.interaction_id, "ids"))
            .values(personal=None)
        )
        self._overdue = self._statement(portable, counted=False)
        self._counted = self._statement(portable, counted=True)

    def _statement(self, portable: Portable, *, counted: bool) -> Select[Any] | None:
        """Return the select of what is to be emptied, or of how many there are by kind."""
        if not self._periods:
            return None
        i = interaction.c
        by_period: dict[Any, list[str]] = {}
        for kind, period in sorted(self._periods.items()):
            by_period.setdefault(period, []).append(kind)
        overdue = or_(
            *(
                and_(i.kind.in_(kinds), i.occurred_at < bindparam(_name(period)))
                for period, kinds in by_period.items()
            )
        )
        wanted = and_(
            i.personal.is_not(None),
            i.personal != _EMPTY,
            overdue,
            ~portable.is_in(i.customer_id, "held"),
        )
        if counted:
            return select(i.kind, func.count()).where(wanted).group_by(i.kind).order_by(i.kind)
        return (
            select(i.interaction_id, i.kind, i.customer_id)
            .where(wanted, i.interaction_id > bindparam("beyond"))
            .order_by(i.interaction_id)
            .limit(AT_ONCE)
        )

    def _values(self, unit: Unit) -> dict[str, Any]:
        """Return the instants before which something is to be emptied, and who is on hold."""
        connection, calendar = unit.connection, self._runtime.calendar
        today = calendar.day_of(unit.now)
        ends = {
            _name(period): calendar.start_of(period.before(today) + ONE_DAY)
            for period in self._periods.values()
        }
        held = [each.customer_id for each in holds(connection)]
        present = self._runtime.identity.present(connection, held) if held else {}
        return {**ends, "held": json_list(sorted({*held, *present.values()}))}

    def plan(self, unit: Unit) -> Mapping[str, int]:
        """Return how many interactions of each kind are to be emptied."""
        if self._counted is None:
            return {}
        return dict(unit.connection.execute(self._counted, **self._values(unit)))

    def empty(self) -> Iterator[tuple[str, int]]:
        """Empty all that is due, each batch in a transaction of its own; yield kind and count."""
        if self._overdue is None:
            return
        beyond = 0

        def batch() -> tuple[int, dict[str, int]] | None:
            with self._begin() as unit:
                return self._batch(unit, beyond)

        while (done := retried(self._runtime.database, batch)) is not None:
            beyond, counts = done
            yield from counts.items()
            if not counts:
                return

    def _batch(self, unit: Unit, beyond: int) -> tuple[int, dict[str, int]]:
        """Empty the next batch; returns its last interaction, and how many of each kind."""
        assert self._overdue is not None
        connection, values = unit.connection, self._values(unit)
        searching.overwrite(connection)
        rows = connection.execute(self._overdue, beyond=beyond, **values)
        self._runtime.identity.lock(connection, {row[2] for row in rows})
        # Again: one of them may have been merged into somebody on hold until they were locked.
        rows = connection.execute(self._overdue, beyond=beyond, **self._values(unit))
        if not rows:
            return beyond, {}
        connection.change(self._empty, ids=json_list(row[0] for row in rows))
        kinds = sorted(row[1] for row in rows)
        return rows[-1][0], {kind: len(list(some)) for kind, some in groupby(kinds)}

    def work(self) -> Iterator[Portion]:
        """
        Do it once on each civil day; yield what was done.

        With it goes what was written since about those who were erased.
        """
        day = self._due()
        if day is None:
            return
        for kind, count in self.empty():
            yield Portion(work=f"retention of {kind}", done=count)
        with self._begin() as unit:
            searching.overwrite(unit.connection)
            self._forget_again(unit)
            write_setting(unit.connection, LAST, day)
        searching.empty_log(self._runtime.database)

    def _due(self) -> str | None:
        """Return the civil day, unless it was done today, or there is nothing to do on any."""
        day = self._runtime.calendar.day_of(self._runtime.clock.now()).isoformat()
        with self._runtime.database.begin(read_only=True) as connection:
            if not self._periods and read_setting(connection, ERASURES) is None:
                return None
            return None if read_setting(connection, LAST) == day else day


def _name(period: Any) -> str:
    return f"before_{period.months}m_{period.days}d"
