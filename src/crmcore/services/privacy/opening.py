"""What a transaction needs to know of the database before it can begin, asked for at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from attrs import define
from sqlalchemy import Select, exists, func, literal, select

from crmcore.persistence.catalogue import setting
from crmcore.persistence.connection import Connection
from crmcore.persistence.faults import debt
from crmcore.persistence.ids import next_ids
from crmcore.persistence.ledger import interaction, interaction_ids
from crmcore.persistence.portable import Portable

TIME_RUN: Final = "time_run"
ERASURES: Final = "erasures"
_LONG_AGO: Final = -(2**63)


@define
class Opening:
    """
    What was so when the transaction began, kept right while it goes on.

    Attributes:
        last_interaction: The highest id given to an interaction, 0 if there is none; on
            PostgreSQL other transactions give some too, so it is the last one this one knows of.
        time_run: The instant up to which all that time alone brings about has happened.
        owes: Whether any plugin may have debt.
        erasures: How many customers were erased; while it is 0, nobody has to look for late
            facts about them.
    """

    last_interaction: int
    time_run: int
    owes: bool
    erasures: int = 0

    @classmethod
    def read(cls, connection: Connection, *, taking_id: bool = False) -> Opening:
        """
        Ask for all of it at once.

        With *taking_id* `last_interaction` is an id that may be used, on PostgreSQL: one
        statement less for each transaction that records one interaction.
        """
        database = connection.database
        state = database.once(
            f"opening, {taking_id}", lambda: _state(database.portable, taking_id=taking_id)
        )
        last, time_run, owes, erasures = connection.execute(state)[0]
        has_run = _LONG_AGO if time_run is None else int(time_run)
        return cls(last or 0, has_run, bool(owes), int(erasures or 0))

    def take_ids(self, connection: Connection, count: int) -> Sequence[int]:
        """
        Return the next *count* ids for interactions.

        Taken while their customers are locked: so the ids of one customer ascend in the order in
        which their interactions were committed.
        """
        if connection.database.portable.is_sqlite and not connection.joined:
            low = self.last_interaction + 1
            self.last_interaction += count
            return range(low, low + count)
        taken = next_ids(connection, interaction_ids, interaction.c.interaction_id, count)
        self.last_interaction = taken[-1]
        return taken

    def next_id(self, connection: Connection) -> int:
        """Return an id below which all interactions of the locked customers are until now."""
        if connection.database.portable.is_sqlite and not connection.joined:
            return self.last_interaction + 1
        return self.take_ids(connection, 1)[0]


def _state(portable: Portable, *, taking_id: bool) -> Select[Any]:
    last: Any = literal(0)
    if portable.is_sqlite:
        last = select(func.max(interaction.c.interaction_id)).scalar_subquery()
    elif taking_id:
        last = interaction_ids.next_value()
    return select(
        last,
        select(setting.c.setting_value).where(setting.c.setting == TIME_RUN).scalar_subquery(),
        exists(select(debt.c.plugin)),
        select(setting.c.setting_value).where(setting.c.setting == ERASURES).scalar_subquery(),
    )
