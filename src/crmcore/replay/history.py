"""Histories: what happened in a shop so far, read from its files as interactions to record."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, distribution
from operator import attrgetter
from pathlib import Path
from typing import Literal

import attrs
from attrs import field, frozen

from crmcore.domain.interaction import Draft
from crmcore.domain.kind import KindRegistry
from crmcore.domain.kinds import CORE_KINDS
from crmcore.errors import ConfigurationError, HistoryError
from crmcore.replay.mapping import HistoryMapping
from crmcore.replay.readers import open_table
from crmcore.replay.reading import Reading

BadRows = Literal["stop", "skip"]


@frozen(kw_only=True)
class History:
    """
    What a file says, ready to be recorded.

    Attributes:
        drafts: Ordered by time; those of one instant as in the file.
        problems: What is wrong with the rows that were skipped, by line.
        rows_read: All rows of the file, also those left out, repeated or skipped.
        rows_left_out: Those the mapping says to leave out.
        rows_repeated: Those that say again, word for word, what the row with their key said.
    """

    name: str
    drafts: Sequence[Draft] = field(repr=False)
    problems: tuple[HistoryError, ...] = ()
    rows_read: int
    rows_left_out: int = 0
    rows_repeated: int = 0

    @property
    def first_at(self) -> datetime | None:
        """The time of the first interaction; None if there is none."""
        return self.drafts[0].occurred_at if self.drafts else None

    @property
    def last_at(self) -> datetime | None:
        """The time of the last interaction; None if there is none."""
        return self.drafts[-1].occurred_at if self.drafts else None


def load_history(
    path: str | Path,
    mapping: HistoryMapping,
    *,
    kinds: KindRegistry,
    bad_rows: BadRows = "stop",
    now: int | None = None,
) -> History:
    """
    Return what the file says, read to its end before anything is returned.

    Args:
        kinds: Against which each row's kind and payload are checked.
        bad_rows: Whether the first row that is not right stops the reading, or is left out with
            all other rows of its interaction, and told of in the history's *problems*.
        now: The present instant: a row of what is to happen more than a day later is not right.
            None: whatever the file says is over when it is replayed.

    Raises:
        HistoryError: If the file cannot be read, misses a column, or, unless they are skipped,
            if a row is not right; says the file and line.
        ConfigurationError: If mapping and kinds do not fit together.
    """
    for problem in mapping.problems():
        raise ConfigurationError(f"the mapping: {problem}")
    table = open_table(path, mapping)
    reading = Reading(mapping, table, kinds, skips=bad_rows == "skip", now=now)
    reading.read()
    drafts = [draft for draft in reading.drafts if draft is not None]
    drafts.sort(key=attrgetter("occurred_at"))
    return History(
        name=table.path.name,
        drafts=tuple(drafts),
        problems=tuple(sorted(reading.problems, key=lambda problem: problem.line or 0)),
        rows_read=reading.rows_read,
        rows_left_out=reading.rows_left_out,
        rows_repeated=reading.rows_repeated,
    )


# ------------------------------------------------------------------------------ CDNOW

_CDNOW = """
format = "csv"
delimiter = "whitespace"
source = "cdnow"
kind = "order.placed"
time = { column = "date", format = "%Y%m%d" }
zone = "UTC"                            # the log has days only; nobody wrote down of which zone
currency = "USD"
amount = "dollar_value"
identifiers = { account = "customer_id" }
payload = { quantity = "number_of_cds" }
key = { line_number = true }            # some customers bought the same twice in one day
"""


def cdnow_mapping() -> HistoryMapping:
    """Return how the CDNOW purchase log is read: each day is taken to begin at midnight UTC."""
    return HistoryMapping.from_table(tomllib.loads(_CDNOW))


def cdnow_path() -> Path:
    """
    Return where the CDNOW purchase log is: among the files of the package lifetimes.

    Raises:
        ConfigurationError: If the package is not installed. It is never imported.
    """
    try:
        found = distribution("lifetimes").locate_file("lifetimes/datasets/CDNOW_master.txt")
    except PackageNotFoundError:
        found = None
    path = None if found is None else Path(str(found))
    if path is None or not path.is_file():
        raise ConfigurationError(
            "the CDNOW purchase log comes with the package lifetimes; install crmcore[demo]"
        )
    return path


def load_cdnow(*, kinds: KindRegistry | None = None) -> History:
    """
    Return the purchases of a real web shop: 69,659 of 23,570 customers, 78 weeks from 1997 on.

    Source:
        P. S. Fader and B. G. S. Hardie (2001), "Forecasting repeat sales at CDNOW", Interfaces
        31(3), S94-S107.
    """
    history = load_history(cdnow_path(), cdnow_mapping(), kinds=kinds or KindRegistry(CORE_KINDS))
    return attrs.evolve(history, name="cdnow")
