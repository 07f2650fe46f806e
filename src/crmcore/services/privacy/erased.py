"""Who was erased: told quickly, refused where something is to be done to them, and kept so."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Select, bindparam, select

from crmcore.domain.clock import to_datetime
from crmcore.errors import ErasedError
from crmcore.hooks import CustomerList, Everyone, Keep, Plugin, PluginTable
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import customer
from crmcore.persistence.merges import merge
from crmcore.persistence.portable import json_list
from crmcore.persistence.settings import write_setting
from crmcore.services.privacy.opening import ERASURES
from crmcore.services.privacy.personal_rows import PersonalRows, PersonalTable

if TYPE_CHECKING:
    from crmcore.services.unit import Unit

_KEEP: Final = "keep: "
DELETE: Final = "delete"
ANONYMISE: Final = "anonymise"


def tree_of(connection: Connection, customer_id: int) -> list[int]:
    """Return a customer and all who were merged into them: one person. They come first."""
    statement = connection.database.once(
        "merged into",
        lambda: (
            select(customer.c.customer_id)
            .where(connection.database.portable.is_in(customer.c.merged_into, "people"))
            .order_by(customer.c.customer_id)
        ),
    )
    tree, unseen = [customer_id], [customer_id]
    while unseen:
        rows = connection.execute(statement, people=json_list(unseen))
        unseen = [row[0] for row in rows if row[0] not in tree]
        tree += unseen
    return tree


def erased_among(connection: Connection, customers: Iterable[int]) -> dict[int, int]:
    """Return when each of these customers was erased, of those who were."""

    def build() -> Select[Any]:
        among = connection.database.portable.is_in(customer.c.customer_id, "people")
        return select(customer.c.customer_id, customer.c.erased_at).where(
            among, customer.c.erased_at.is_not(None)
        )

    statement = connection.database.once("erased among", build)
    return dict(connection.execute(statement, people=json_list(sorted(set(customers)))))


def refuse_erased(connection: Connection, customers: Collection[int], what: str) -> None:
    """
    Refuse to do something to a customer who was erased; *what* says that it cannot be done.

    Raises:
        ErasedError: Names the customer.
    """
    for customer_id, at in sorted(erased_among(connection, customers).items()):
        raise ErasedError(customer_id, to_datetime(at), what)


_one_merge = select(merge.c.survivor_id, merge.c.merged_id).where(
    merge.c.merge_id == bindparam("wanted")
)


def refuse_unmerge(connection: Connection, merge_id: int) -> None:
    """Refuse to undo a merge of somebody who was erased since."""
    for both in connection.execute(_one_merge, wanted=merge_id):
        refuse_erased(connection, both, f"merge {merge_id} cannot be undone")


def note_erasure(unit: Unit) -> None:
    """Count one more erasure, so that whoever records from now on looks out for late facts."""
    unit.opening.erasures += 1
    write_setting(unit.connection, ERASURES, str(unit.opening.erasures))


def policy_of(kept: PluginTable) -> str:
    """Return a table's policy as the catalogue has it."""
    return f"{_KEEP}{kept.erase.reason}" if isinstance(kept.erase, Keep) else kept.erase


def reason_to_keep(policy: str) -> str | None:
    """Return why the catalogue says that rows are kept; None: they are not."""
    return policy.removeprefix(_KEEP) if policy.startswith(_KEEP) else None


def apply_policy(
    connection: Connection, table: PersonalTable, policy: str, people: str | None
) -> None:
    """Do to rows of a plugin's table what its policy says; None: to those of all erased."""
    rows = PersonalRows.cached(connection, table)
    if policy == DELETE:
        rows.delete(connection, people)
    elif policy == ANONYMISE:
        rows.empty(connection, people, table.emptied())


def forget_derived(unit: Unit, plugin: Plugin, selection: CustomerList | Everyone) -> None:
    """
    Do to what a plugin has derived what the policies of its tables say of those erased.

    The ledger still says what they bought; so who makes rows anew from it makes theirs, too.
    """
    if not unit.opening.erasures:
        return
    people = None
    if isinstance(selection, CustomerList):
        erased = erased_among(unit.connection, selection.customers)
        if not erased:
            return
        people = json_list(sorted(erased))
    for kept in plugin.tables:
        if kept.derived:
            apply_policy(unit.connection, PersonalTable.of(kept.table), policy_of(kept), people)
