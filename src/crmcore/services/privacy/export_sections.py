"""The sections of an export that are the core's own, and what is left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import sqlalchemy
from attrs import frozen

from crmcore.persistence.consent import brake, zone
from crmcore.persistence.customers import identifier
from crmcore.persistence.messages import attempt
from crmcore.persistence.stages import change, stage
from crmcore.persistence.tasks import task
from crmcore.persistence.timers import timer
from crmcore.services.privacy.export_people import (
    access_rows,
    holds_rows,
    merges_rows,
    relations_rows,
)
from crmcore.services.privacy.export_rows import (
    MESSAGE,
    SAID,
    WITHHELD,
    Asked,
    Rows,
    consents_rows,
    customer_rows,
    interactions_rows,
    messages_rows,
    recipients_rows,
    rows_of,
    withheld_rows,
)


@frozen(kw_only=True)
class CoreSection:
    """A section of the core's: how it is read, and which tables it covers."""

    name: str
    title: str
    about: str
    columns: Sequence[str]
    rows: Callable[[Asked], Rows]
    tables: Sequence[str] = ()


def _section(
    name: str,
    title: str,
    columns: Sequence[str],
    rows: Callable[[Asked], Rows] | None = None,
    *,
    table: sqlalchemy.Table | None = None,
    tables: Sequence[str] = (),
    about: str = "",
) -> CoreSection:
    if table is not None:
        rows, tables = rows or rows_of(table, columns), (table.name, *tables)
    assert rows is not None
    return CoreSection(
        name=name, title=title, about=about, columns=columns, rows=rows, tables=tables
    )


_INTERACTION: Final = (
    "id",
    "kind",
    "occurred_at",
    "recorded_at",
    "origin",
    "source",
    "source_key",
    "channel",
    "actor",
    "subject",
    "thread",
    "touch",
    "amount",
    "caused_by",
    "payload",
    "personal",
    "lines",
)
_STAGE: Final = ("lifecycle", "subject", "stage", "entered_at", "reason", "caused_by")
_CHANGE: Final = (
    "lifecycle",
    "subject",
    "from_stage",
    "to_stage",
    "effective_at",
    "reason",
    "caused_by",
)
_TASK: Final = (
    "task_key",
    "title",
    "note",
    "recorded_at",
    "due_at",
    "done_at",
    "outcome",
    "reason",
)

CORE_SECTIONS: Final[Sequence[CoreSection]] = (
    _section(
        "customer",
        "Who you are to us",
        ("customer_id", "recorded_at", "erased_at", "merged"),
        customer_rows,
        tables=("crm_customer",),
    ),
    _section(
        "identifiers",
        "What you are known by",
        ("scheme", "identifier_value", "recorded_at"),
        table=identifier,
    ),
    _section(
        "interactions",
        "What happened",
        _INTERACTION,
        interactions_rows,
        tables=("crm_interaction", "crm_line"),
        about="What you did, what was reported to us, and what we concluded (decided).",
    ),
    _section("stages", "Where you stand", _STAGE, table=stage),
    _section("stage_history", "How you came there", _CHANGE, table=change),
    _section(
        "consents",
        "What you agreed to, and what you said no to",
        ("effect", "occurred_at", *SAID),
        consents_rows,
        tables=("crm_consent",),
    ),
    _section(
        "withheld",
        "Where nothing is sent to",
        WITHHELD,
        withheld_rows,
        tables=("crm_withheld",),
    ),
    _section(
        "brakes",
        "What keeps us quiet for now",
        ("brake", "is_set", "occurred_at", "until"),
        table=brake,
    ),
    _section("zone", "Your time zone", ("zone", "occurred_at"), table=zone),
    _section(
        "messages",
        "What we said, and what we did not send, and why",
        MESSAGE,
        messages_rows,
        tables=("crm_message", "crm_broadcast"),
    ),
    _section(
        "attempts",
        "How it was handed over",
        ("message_id", "attempt", "handed_at", "settled_at", "outcome", "detail"),
        table=attempt,
    ),
    _section("tasks", "What staff are to do for you", _TASK, table=task),
    _section(
        "holds",
        "What keeps us from forgetting you",
        ("since", "reason"),
        holds_rows,
        about="Such as a dispute, as long as it lasts.",
    ),
    _section(
        "timers", "What we mean to come back to", ("plugin", "timer_key", "due_at"), table=timer
    ),
    _section(
        "access",
        "Who looked at this",
        ("role", "action", "outcome", "times", "first_at", "last_at"),
        access_rows,
        tables=("crm_access",),
        about="By role; the names of staff are theirs.",
    ),
    _section(
        "merges",
        "Who we found to be you",
        ("survivor_id", "merged_id", "recorded_at", "reason"),
        merges_rows,
        tables=("crm_merge", "crm_moved"),
    ),
    _section(
        "relations",
        "How you are related to others",
        ("relation", "direction", "recorded_at"),
        relations_rows,
        tables=("crm_relation",),
        about="Who they are is not told: that is about them.",
    ),
    _section(
        "recipients",
        "Who was given something of yours",
        ("recipient", "messages", "first_at"),
        recipients_rows,
    ),
)

LEFT_OUT: Final[Mapping[str, str]] = {
    "crm_match": "whom you may be the same as is about somebody else, too",
    "crm_debt": "what plugins have yet to catch up with says nothing that is not listed",
    "crm_backlog": "what plugins have yet to be told says nothing that is not listed",
    "crm_erasure": "that you were erased is told above",
}
"""Tables with rows about customers that are in no section, and why."""
