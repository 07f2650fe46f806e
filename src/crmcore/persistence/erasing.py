"""Statements by which an erasure changes rows that no policy of a table describes."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Select, bindparam, case, delete, exists, select, update

from crmcore.persistence.customers import customer
from crmcore.persistence.faults import fault
from crmcore.persistence.ledger import dedupe, interaction
from crmcore.persistence.messages import message
from crmcore.persistence.portable import Portable
from crmcore.persistence.tasks import task

ERASED: Final = "erased"
"""The gate that withholds what was to be said to a customer who was erased."""

_SAID: Final = "the customer was erased"

mark = (
    update(customer)
    .where(customer.c.customer_id == bindparam("who"))
    .values(
        erased_at=bindparam("at"),
        reference=bindparam("name"),
        revision=customer.c.revision + 1,
    )
)
rename_decision = (
    update(interaction)
    .where(interaction.c.interaction_id == bindparam("which"))
    .values(source_key=bindparam("hashed"))
)
_hashed = dedupe.alias("hashed")
drop_key = delete(dedupe).where(
    dedupe.c.source == bindparam("from"),
    dedupe.c.source_key == bindparam("key"),
    exists().where(
        _hashed.c.source == bindparam("from"), _hashed.c.source_key == bindparam("hashed")
    ),
)
"""Drops a key whose hash stands there already, so that `change_key` finds its place free."""

change_key = (
    update(dedupe)
    .where(dedupe.c.source == bindparam("from"), dedupe.c.source_key == bindparam("key"))
    .values(source_key=bindparam("hashed"))
)
all_faults = select(fault.c.fault_id, fault.c.message, fault.c.trace)
empty_fault = (
    update(fault).where(fault.c.fault_id == bindparam("which")).values(message="ERASED", trace="")
)

# Of messages the gate's reasons stay: they say nothing of the person, and audiences add up by them.
empty_messages = (
    update(message)
    .where(
        message.c.customer_id.in_(
            select(customer.c.customer_id).where(customer.c.erased_at.is_not(None))
        ),
        message.c.content.is_not(None),
    )
    .values(content=None)
)


def keys(portable: Portable) -> Select[Any]:
    """Return a select of the sources and keys of some customers' interactions."""
    return select(interaction.c.source, interaction.c.source_key).where(
        portable.is_in(interaction.c.customer_id, "people"), interaction.c.source_key.is_not(None)
    )


def decisions(portable: Portable) -> Select[Any]:
    """Return a select of the keys of what was decided about some customers, and about whom."""
    i = interaction.c
    return select(i.interaction_id, i.source, i.source_key, i.recorded_for).where(
        portable.is_in(i.customer_id, "people"),
        i.origin == "decided",
        i.source_key.is_not(None),
    )


def waiting(portable: Portable) -> tuple[Any, Any, Any]:
    """
    Return statements that end what was to be done for some customers.

    Messages not handed over are withheld. Of those that were, and nobody has said anything yet,
    nobody will know: what they said is gone, so that they cannot be handed over again. Tasks are
    dropped.
    """
    to_them = portable.is_in(message.c.customer_id, "people")
    settled: dict[str, Any] = {"settled_at": bindparam("at"), "lease": None, "leased_until": None}
    stop = (
        update(message)
        .where(to_them, message.c.state.in_(("planned", "claimed", "deferred")))
        .values(
            # One that was handed over before, and was to be tried again, may have arrived.
            state=case((message.c.handed_at.is_(None), "withheld"), else_="unknown"),
            gate=ERASED,
            **settled,
        )
    )
    leave = (
        update(message)
        .where(to_them, message.c.state == "handed")
        .values(state="unknown", gate=ERASED, **settled)
    )
    drop = (
        update(task)
        .where(portable.is_in(task.c.customer_id, "people"), task.c.done_at.is_(None))
        .values(
            done_at=bindparam("at"), done_by=bindparam("by"), outcome="dropped", escalate_at=None
        )
    )
    return stop, leave, drop


def say_erased(portable: Portable) -> Any:
    """Return a statement that gives messages withheld by an erasure their reason."""
    return (
        update(message)
        .where(portable.is_in(message.c.customer_id, "people"), message.c.gate == ERASED)
        .values(reason=_SAID)
    )
