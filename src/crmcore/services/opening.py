"""What a transaction needs to know of the database before it can begin, asked for at once."""

from __future__ import annotations

from typing import Final

from attrs import define
from sqlalchemy import exists, func, select

from crmcore.persistence.catalogue import setting
from crmcore.persistence.database import Connection
from crmcore.persistence.faults import debt
from crmcore.persistence.ledger import interaction

TIME_RUN: Final = "time_run"
_LONG_AGO: Final = -(2**63)

_state = select(
    select(func.max(interaction.c.interaction_id)).scalar_subquery(),
    select(setting.c.setting_value).where(setting.c.setting == TIME_RUN).scalar_subquery(),
    exists(select(debt.c.plugin)),
)


@define
class Opening:
    """
    What was so when the transaction began, kept right while it goes on.

    Attributes:
        last_interaction: The highest id given to an interaction; 0 if there is none.
        time_run: The instant up to which all that time alone brings about has happened.
        owes: Whether any plugin may have debt.
    """

    last_interaction: int
    time_run: int
    owes: bool

    @classmethod
    def read(cls, connection: Connection) -> Opening:
        last, time_run, owes = connection.execute(_state)[0]
        return cls(last or 0, _LONG_AGO if time_run is None else int(time_run), bool(owes))

    def take_ids(self, count: int) -> range:
        """Return the next *count* ids for interactions: one contiguous block."""
        low = self.last_interaction + 1
        self.last_interaction += count
        return range(low, low + count)
