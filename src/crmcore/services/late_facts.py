"""Late facts: what still comes in about somebody whom the shop has forgotten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import define, evolve, field
from sqlalchemy import Select, bindparam, delete, exists, func, select, update

from crmcore.hooks import CustomerList, IdList
from crmcore.persistence.connection import Connection
from crmcore.persistence.consent import withheld
from crmcore.persistence.customers import customer, identifier
from crmcore.persistence.ledger import dedupe, interaction, line
from crmcore.persistence.portable import Portable, json_list
from crmcore.persistence.privacy import erasure
from crmcore.services.erased import erased_among, forget_derived
from crmcore.services.ledger import COLUMNS, Batch
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit
from crmcore.services.withheld_erased import ERASED

_ID: Final = COLUMNS.index("interaction_id")
_KIND: Final = COLUMNS.index("kind")
_CUSTOMER: Final = COLUMNS.index("customer_id")
_RECORDED_FOR: Final = COLUMNS.index("recorded_for")
_SOURCE: Final = COLUMNS.index("source")
_SOURCE_KEY: Final = COLUMNS.index("source_key")
_OCCURRED: Final = COLUMNS.index("occurred_at")
_SUBJECT: Final = COLUMNS.index("subject")
_PERSONAL: Final = COLUMNS.index("personal")

_give = (
    update(interaction)
    .where(interaction.c.interaction_id == bindparam("which"))
    .values(customer_id=bindparam("whose"), recorded_for=bindparam("whose"), personal=None)
)
_give_lines = (
    update(line)
    .where(line.c.interaction_id == bindparam("which"))
    .values(customer_id=bindparam("whose"))
)
_drop_fact = delete(interaction).where(interaction.c.interaction_id == bindparam("which"))
_drop_lines = delete(line).where(line.c.interaction_id == bindparam("which"))
_by_key = select(dedupe.c.interaction_id).where(
    dedupe.c.source == bindparam("source"), dedupe.c.source_key == bindparam("key")
)
_drop_key = delete(dedupe).where(
    dedupe.c.source == bindparam("source"), dedupe.c.source_key == bindparam("key")
)
_drop_names = delete(identifier).where(identifier.c.customer_id == bindparam("who"))
_drop = delete(customer).where(customer.c.customer_id == bindparam("who"))
_facts = select(func.count()).where(interaction.c.customer_id == bindparam("who"))
_erasures = select(erasure.c.customer_id).where(erasure.c.points.contains(bindparam("point")))


@define
class Comer:
    """Somebody just registered whom the shop had forgotten: by when, and who they were."""

    since: int
    before: int
    subjects: dict[str, bool] = field(factory=dict)


class LateFacts:
    """
    Lets nobody come back by what is only told about them.

    Once customers were erased, what was just recorded is looked through. What came for somebody
    erased, by id, loses its personal part. Who was just registered by an identifier of somebody
    erased is let go of again where all that came is late: it happened before the erasure, is
    about something of theirs, such as their order, or is of a kind that follows from something
    earlier, such as a bounce. It goes to the row of who they were, which is nobody's.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._follows = frozenset(kind.name for kind in runtime.assembly.kinds if kind.follows)
        portable = runtime.database.portable
        self._newcomers = _newcomers(portable)
        self._empty = (
            update(interaction)
            .where(portable.is_in(interaction.c.interaction_id, "ids"))
            .values(personal=None)
        )
        self._subject = select(
            exists().where(
                interaction.c.customer_id == bindparam("who"),
                interaction.c.subject == bindparam("about"),
            )
        )

    def settle(self, unit: Unit, batch: Batch) -> Batch:
        """Return what was just recorded, whose customers are locked, as it stays."""
        if not batch.new:
            return batch
        connection = unit.connection
        customers = sorted({row[_CUSTOMER] for row in batch.new})
        erased = erased_among(connection, customers)
        found = connection.execute(
            self._newcomers, people=json_list(customers), at=unit.now, why=ERASED
        )
        comers = self._comers(connection, found)
        if not (erased or comers):
            return batch
        about_them = {*erased, *comers}
        rows = {row[_ID]: row for row in batch.new}
        again = self._repeated(connection, [r for r in batch.new if r[_CUSTOMER] in about_them])
        for interaction_id in again:
            del rows[interaction_id]
        for row in list(rows.values()):
            if row[_CUSTOMER] in erased:
                rows[row[_ID]] = _changed(row, row[_CUSTOMER], row[_RECORDED_FOR])
        emptied = [key for key, row in rows.items() if row[_CUSTOMER] in erased]
        connection.change(self._empty, ids=json_list(emptied))
        self._send_back(connection, rows, comers)
        unit.forgotten |= erased_among(connection, {row[_CUSTOMER] for row in rows.values()}).keys()
        kept = [rows[row[_ID]] for row in batch.new if row[_ID] in rows]
        return evolve(
            batch,
            ids=[again.get(each, each) for each in batch.ids],
            new=kept,
            selection=IdList(tuple(row[_ID] for row in kept)),
        )

    def tidy(self, unit: Unit) -> None:
        """Do to what plugins made of late facts what the policies of their tables say."""
        people, unit.forgotten = tuple(sorted(unit.forgotten)), set()
        for plugin in self._runtime.assembly:
            forget_derived(unit, plugin, CustomerList(people))

    def _repeated(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> dict[int, int]:
        """
        Take back what had been recorded before, under a key in which the person stood.

        Such a key is kept as its hash. Returns for each interaction the one that it was.
        """
        found = {}
        for row in rows:
            source, key = row[_SOURCE], row[_SOURCE_KEY]
            if key is None:
                continue
            hashed = f"hash:{self._runtime.identity.keyed_hash(key)}"
            for (first,) in connection.execute(_by_key, source=source, key=hashed):
                found[row[_ID]] = first
                connection.change(_drop_key, source=source, key=key)
                for statement in (_drop_lines, _drop_fact):
                    connection.change(statement, which=row[_ID])
        return found

    def _comers(self, connection: Connection, found: Sequence[Sequence[Any]]) -> dict[int, Comer]:
        """Return who of those just registered were erased before, and as whom."""
        comers: dict[int, Comer] = {}
        for who, point, since in found:
            for (before,) in connection.execute(_erasures, point=f'"{point}"'):
                known = comers.get(who)
                if known is None or since > known.since:
                    comers[who] = Comer(since, before)
        return comers

    def _send_back(
        self, connection: Connection, rows: dict[int, tuple[Any, ...]], comers: Mapping[int, Comer]
    ) -> None:
        for who, comer in sorted(comers.items()):
            own = [row for row in rows.values() if row[_CUSTOMER] == who]
            ((count,),) = connection.execute(_facts, who=who)
            if count > len(own):
                continue  # registered before, at the same instant
            if not all(self._is_late(connection, row, comer) for row in own):
                continue  # they came by themself: a new customer
            for row in own:
                rows[row[_ID]] = _changed(row, comer.before, comer.before)
                for statement in (_give, _give_lines):
                    connection.change(statement, which=row[_ID], whose=comer.before)
            connection.change(_drop_names, who=who)
            connection.change(_drop, who=who)

    def _is_late(self, connection: Connection, row: Sequence[Any], comer: Comer) -> bool:
        if row[_KIND] in self._follows or row[_OCCURRED] < comer.since:
            return True
        about = row[_SUBJECT]
        if about is None:
            return False
        if about not in comer.subjects:
            found = connection.execute(self._subject, who=comer.before, about=about)
            comer.subjects[about] = bool(found[0][0])
        return comer.subjects[about]


def _changed(row: Sequence[Any], customer_id: int, recorded_for: int) -> tuple[Any, ...]:
    """Return a row of the ledger as somebody else's, without its personal part."""
    values = list(row)
    values[_CUSTOMER], values[_RECORDED_FOR], values[_PERSONAL] = customer_id, recorded_for, None
    return tuple(values)


def _newcomers(portable: Portable) -> Select[Any]:
    """Return a select of who was registered just now by what somebody erased was known by."""
    return (
        select(identifier.c.customer_id, identifier.c.point, withheld.c.since)
        .join(withheld, withheld.c.point == identifier.c.point)
        .join(customer, customer.c.customer_id == identifier.c.customer_id)
        .where(
            portable.is_in(identifier.c.customer_id, "people"),
            customer.c.recorded_at == bindparam("at"),
            withheld.c.reason == bindparam("why"),
        )
    )
