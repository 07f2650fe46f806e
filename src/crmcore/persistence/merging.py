"""Statements by which a merge moves rows of the ledger, and by which they go back."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BindParameter, Text, bindparam, insert, literal, or_, select, update

from crmcore.persistence.catalogue import plugin_table
from crmcore.persistence.customers import customer, identifier
from crmcore.persistence.ledger import interaction, line
from crmcore.persistence.merges import merge, moved
from crmcore.persistence.portable import Portable
from crmcore.persistence.schema import Whole

MOVED: Final = "moved"
UNCLEAR: Final = "unclear"

one_merge = select(*merge.columns).where(merge.c.merge_id == bindparam("wanted"))
of_customer = (
    select(*merge.columns)
    .where(or_(merge.c.survivor_id == bindparam("one"), merge.c.merged_id == bindparam("one")))
    .order_by(merge.c.merge_id)
)
insert_merge = insert(merge)
shelve = (
    update(merge)
    .where(merge.c.merge_id == bindparam("wanted"))
    .values(shelved=bindparam("put_aside", type_=Text()))
)
note_undone = (
    update(merge)
    .where(merge.c.merge_id == bindparam("wanted"))
    .values(undone_at=bindparam("at"), undone_by=bindparam("by"))
)
point = (
    update(customer)
    .where(customer.c.customer_id == bindparam("who"))
    .values(merged_into=bindparam("into"), revision=customer.c.revision + 1)
)
touch = (
    update(customer)
    .where(customer.c.customer_id == bindparam("who"))
    .values(revision=customer.c.revision + 1)
)
rename = (
    update(identifier)
    .where(identifier.c.customer_id == bindparam("giver"))
    .values(customer_id=bindparam("taker"))
)
note_moved = insert(moved).from_select(
    ["merge_id", "interaction_id", "customer_id", "how"],
    select(
        bindparam("wanted", type_=Whole),
        interaction.c.interaction_id,
        interaction.c.customer_id,
        literal(MOVED),
    ).where(interaction.c.customer_id == bindparam("giver")),
)
give = (
    update(interaction)
    .where(interaction.c.customer_id == bindparam("giver"))
    .values(customer_id=bindparam("taker"))
)
moved_by = select(moved.c.interaction_id).where(
    moved.c.merge_id == bindparam("wanted"), moved.c.how == MOVED
)
give_lines = (
    update(line)
    .where(
        line.c.customer_id == bindparam("giver"),
        line.c.interaction_id.in_(
            select(interaction.c.interaction_id).where(
                interaction.c.customer_id == bindparam("taker")
            )
        ),
    )
    .values(customer_id=bindparam("taker"))
)
unclear = (
    select(interaction.c.interaction_id)
    .where(
        interaction.c.customer_id == bindparam("keeper"),
        or_(
            interaction.c.interaction_id.in_(
                select(moved.c.interaction_id).where(
                    moved.c.merge_id == bindparam("wanted"), moved.c.how == UNCLEAR
                )
            ),
            (interaction.c.interaction_id >= bindparam("first"))
            & (interaction.c.origin == "decided"),
        ),
    )
    .order_by(interaction.c.interaction_id)
)
owned = (
    select(plugin_table.c.table_name, plugin_table.c.plugin)
    .where(plugin_table.c.derived == 0, plugin_table.c.merge_policy == "move")
    .order_by(plugin_table.c.table_name)
)


def going_back(portable: Portable) -> tuple[Any, Any]:
    """Return the statements that give back interactions, and identifiers."""
    giver: BindParameter[int] = bindparam("giver")
    taker: BindParameter[int] = bindparam("taker")
    give_back = (
        update(interaction)
        .where(
            interaction.c.customer_id == giver,
            or_(
                interaction.c.interaction_id.in_(moved_by),
                portable.is_in(interaction.c.recorded_for, "tree"),
            ),
        )
        .values(customer_id=taker)
    )
    name_back = (
        update(identifier)
        .where(identifier.c.customer_id == giver, portable.is_in(identifier.c.recorded_for, "tree"))
        .values(customer_id=taker)
    )
    return give_back, name_back
