"""Erasing a customer: what becomes of everything that is kept about them, in one transaction."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from attrs import define, field
from sqlalchemy import bindparam, insert, select, update

from crmcore.domain.privacy import Certificate, ErasurePlan, Outcome
from crmcore.domain.spelling import Needles, holding
from crmcore.errors import HeldError, RetryTransaction
from crmcore.hooks import CustomerList, Everyone
from crmcore.persistence import erasing as statements
from crmcore.persistence.catalogue import plugin_table
from crmcore.persistence.connection import Connection
from crmcore.persistence.ids import next_ids
from crmcore.persistence.portable import json_list
from crmcore.persistence.privacy import erasure, erasure_ids
from crmcore.persistence.stages import stage
from crmcore.persistence.tables import metadata
from crmcore.services import faults
from crmcore.services.background.debts import DebtService
from crmcore.services.identities.owners import sharing
from crmcore.services.privacy import holds
from crmcore.services.privacy.erased import (
    ANONYMISE,
    apply_policy,
    erased_among,
    forget_derived,
    note_erasure,
    tree_of,
)
from crmcore.services.privacy.fates import (
    Kept,
    Unreached,
    as_certificate,
    as_told,
    outcome_of,
    told_by,
)
from crmcore.services.privacy.holdings import Holdings
from crmcore.services.privacy.known import gather, identifiers_of, keys_of_broadcasts
from crmcore.services.privacy.personal_rows import PersonalRows, PersonalTable
from crmcore.services.privacy.treatments import TREATMENTS
from crmcore.services.privacy.withheld_erased import clear_actors, withhold_erased
from crmcore.services.recording.lifecycle import LifecycleService
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

_SINCE: Final = frozenset({"crm_identifier", "crm_timer", "crm_match", "crm_relation"})
"""What nobody may have who was erased, whatever happened since."""

_policies = select(
    plugin_table.c.plugin, plugin_table.c.table_name, plugin_table.c.erase_policy
).order_by(plugin_table.c.plugin, plugin_table.c.table_name)
_insert = insert(erasure)
_of = (
    select(*erasure.columns)
    .where(erasure.c.customer_id == bindparam("who"))
    .order_by(erasure.c.erasure_id.desc())
    .limit(1)
)
_tell_nobody = (
    update(stage).where(stage.c.customer_id == bindparam("who")).values(announced=stage.c.stage)
)


@define
class Work:
    """
    An erasure that is being done.

    Attributes:
        people: The customer, and all who were merged into them.
        needles: What to look for when it is done.
        files: Where else to look, as plugins say.
        unreached: Plugins that keep something besides tables, and could not let go of all of it;
            each with what is said of it.
    """

    people: list[int]
    needles: Needles
    outcomes: list[Outcome]
    files: list[Any]
    erasure_id: int = 0
    unreached: Unreached = field(factory=dict)

    @property
    def listed(self) -> str:
        return json_list(self.people)


class ErasureService:
    """Plans and does erasures; `crmcore.services.privacy.verifying` tells what is found after."""

    def __init__(
        self, runtime: Runtime, debts: DebtService, lifecycles: Sequence[LifecycleService]
    ) -> None:
        self._runtime = runtime
        self._debts = debts
        self._lifecycles = lifecycles
        self.holdings = Holdings(runtime)
        self._core = {
            name: PersonalTable.of(metadata.tables[name], treatment.owners)
            for name, treatment in TREATMENTS.items()
        }
        self._declared = {
            each.table.name: PersonalTable.of(each.table)
            for plugin in runtime.assembly
            for each in plugin.tables
        }

    # -- planning ----------------------------------------------------------------------------

    def plan(self, unit: Unit, customer_id: int) -> ErasurePlan:
        """Return what an erasure would do; nothing is written, whatever a plugin does."""
        connection = unit.connection
        people = tree_of(connection, customer_id)
        outcomes = [*self._counted(connection, people)]
        try:
            with connection.savepoint():
                for plugin, each in self.holdings.asked(unit, people, planned=True):
                    outcomes.append(told_by(plugin, each))
                raise _Undone
        except _Undone:
            pass
        held = holds.held_among(connection, people)
        return ErasurePlan(
            customer_id=customer_id,
            merged=tuple(people[1:]),
            outcomes=tuple(outcomes),
            held=held[0].reason if held else None,
            absent=self.holdings.absent(connection),
        )

    def _counted(self, connection: Connection, people: Sequence[int]) -> Iterator[Outcome]:
        """Yield what becomes of each table's rows, of tables that have any."""
        listed = json_list(people)
        for name, treatment in TREATMENTS.items():
            rows = PersonalRows.cached(connection, self._core[name])
            count = rows.count(connection, listed)
            if count:
                yield Outcome(name, fate=treatment.fate, count=count, reason=treatment.reason)
        for kept in self.tables(connection):
            count = PersonalRows.cached(connection, kept.table).count(connection, listed)
            if count:
                yield outcome_of(kept, count)

    def tables(self, connection: Connection) -> list[Kept]:
        """Return plugins' tables that are there, of those switched off or uninstalled, too."""
        found = []
        for plugin, name, policy in connection.execute(_policies):
            table = self._declared.get(name) or PersonalTable.reflected(connection, name)
            if table is not None and table.owners:
                found.append(Kept(plugin, policy, table))
        return found

    # -- doing -------------------------------------------------------------------------------

    def find(self, connection: Connection, customer_id: int) -> Certificate | None:
        """Return what is on record of a customer's erasure, or None."""
        rows = connection.execute(_of, who=customer_id)
        return as_certificate(rows[0]) if rows else None

    def erase(self, unit: Unit, customer_id: int, reason: str | None) -> Work | Certificate:
        """
        Erase a customer, and all who were merged into them; the transaction is its own.

        A certificate: somebody else has done it, until they were locked.

        Raises:
            HeldError: If one of them is on hold.
            PluginError: If a plugin raises.
        """
        connection = unit.connection
        people = self._locked(unit, customer_id)
        done = self.find(connection, customer_id) if erased_among(connection, people[:1]) else None
        if done is not None:
            return done
        held = holds.held_among(connection, people)
        if held:
            raise HeldError(customer_id, held[0].reason)
        tables = self.tables(connection)
        kept = [(each.plugin, each.policy, each.table) for each in tables]
        needles = gather(connection, people, kept)
        work = Work(people, needles, [*self._counted(connection, people)], [])
        names = identifiers_of(connection, work.listed)
        points = sorted({point or self._runtime.identity.point_of(s, v) for s, v, point in names})
        if unit.actor is not None and holding(needles.telling, unit.actor):
            unit.actor = self._hashed(unit.actor)  # who did it stays on record
        clear_actors(connection, needles.telling, self._hashed)
        withhold_erased(unit, people, points)
        # What is on its way to others at the same address is held back, too.
        self._runtime.messages.rejudge(unit, sharing(connection, people) - {*people})
        self._mark(unit, people)
        self._forget_core(unit, work)
        self._forget_plugins(unit, work, tables)
        work.unreached = self.holdings.away(connection, people[0])
        for plugin, each in self.holdings.asked(unit, people, planned=False):
            work.outcomes.append(told_by(plugin, each))
            work.files += each.files
            if each.unverified:
                work.unreached.setdefault(plugin, []).extend(each.unverified)
        self._forget_faults(unit, work)
        self._note(unit, work, points, reason)
        return work

    def _locked(self, unit: Unit, customer_id: int) -> list[int]:
        """Lock everybody the person is, until nobody is missing."""
        people = tree_of(unit.connection, customer_id)
        # With all who have an address of theirs, to whom nothing goes there any more either.
        concerned = sharing(unit.connection, people)
        self._runtime.identity.lock(unit.connection, concerned)
        if tree_of(unit.connection, customer_id) != people:
            raise RetryTransaction(f"customer {customer_id} was merged until they were locked")
        return people

    def _mark(self, unit: Unit, people: Sequence[int]) -> None:
        """
        Let nobody be known as them; whoever waits for them has to look again.

        Keys of decisions end in a customer's reference, which follows from what they were known
        by: it becomes another, or whoever comes back would be taken to have had these decisions.
        """
        connection, identity = unit.connection, self._runtime.identity
        before = identity.references(connection, people)
        note_erasure(unit)
        after = {who: identity.keyed_hash(f"erased:{who}") for who in people}
        for who, name in after.items():
            connection.change(statements.mark, who=who, at=unit.now, name=name)
        select_decisions = connection.database.once(
            "decisions of people", lambda: statements.decisions(connection.database.portable)
        )
        renamed = [
            {"which": i, "from": source, "key": key, "hashed": key.replace(old, "/" + after[who])}
            for rows in connection.stream(select_decisions, people=json_list(people))
            for i, source, key, who in rows
            if who in after and (old := "/" + before[who]) in key
        ]
        for statement in (statements.change_key, statements.rename_decision):
            connection.change_many(statement, renamed)

    def _forget_core(self, unit: Unit, work: Work) -> None:
        """Do to the core's rows what is said of each table, and make what follows from them."""
        connection, listed = unit.connection, work.listed
        stop, leave, drop = connection.database.once(
            "waiting for erased", lambda: statements.waiting(connection.database.portable)
        )
        for statement in (stop, leave):
            connection.change(statement, people=listed, at=unit.now)
        connection.change(drop, people=listed, at=unit.now, by=unit.actor)
        self._clear_keys(unit, work)
        shared = keys_of_broadcasts(connection, listed)
        for name, treatment in TREATMENTS.items():
            rows = PersonalRows.cached(connection, self._core[name])
            if treatment.fate == "erased":
                rows.delete(connection, listed)
            else:
                rows.empty(connection, listed, treatment.emptied)
                needles = work.needles.telling
                rows.clear(connection, listed, treatment.cleared, needles, self._hashed, shared)
        connection.change(stop_reasons(connection), people=listed)
        for lifecycle in self._lifecycles:
            lifecycle.refold(unit, work.people)
        connection.change_many(_tell_nobody, [{"who": who} for who in work.people])

    def _clear_keys(self, unit: Unit, work: Work) -> None:
        """Change keys of interactions as these are going to be changed, so that both agree."""
        connection = unit.connection
        needles = work.needles.telling
        select_keys = connection.database.once(
            "keys of people", lambda: statements.keys(connection.database.portable)
        )
        changed = [
            {"from": source, "key": key, "hashed": self._hashed(key)}
            for rows in connection.stream(select_keys, people=work.listed)
            for source, key in rows
            if holding(needles, key)
        ]
        for statement in (statements.drop_key, statements.change_key):
            connection.change_many(statement, changed)

    def _forget_plugins(self, unit: Unit, work: Work, tables: Sequence[Kept]) -> None:
        """Let plugins derive anew from what is left, and do what their policies say."""
        connection = unit.connection
        for plugin in self._runtime.assembly:
            try:
                with connection.savepoint():
                    self._debts.recompute(unit, plugin, CustomerList(tuple(work.people)))
            except RetryTransaction:
                raise
            except Exception as error:
                first = unit.opening.next_id(connection)
                faults.record_fault(
                    connection,
                    plugin=plugin.name,
                    hook="recompute_customers",
                    now=unit.now,
                    error=error,
                )
                faults.add_debt(connection, plugin.name, work.people, first=first)
                unit.opening.owes = True
        for kept in tables:
            apply_policy(connection, kept.table, kept.policy, work.listed)
            if kept.policy == ANONYMISE:
                named = {*kept.table.key, *kept.table.unique}
                keys = [name for name in kept.table.texts if name in named]
                PersonalRows.cached(connection, kept.table).clear(
                    connection, work.listed, keys, work.needles.telling, self._hashed
                )

    def _forget_faults(self, unit: Unit, work: Work) -> None:
        """Empty what plugins raised, where the person stands in it."""
        connection, needles = unit.connection, work.needles.telling
        found = [
            {"which": fault_id}
            for rows in connection.stream(statements.all_faults)
            for fault_id, *told in rows
            if any(holding(needles, text) for text in told)
        ]
        connection.change_many(statements.empty_fault, found)
        if found:
            work.outcomes.append(Outcome("crm_fault", fate="erased", count=len(found)))

    def _note(self, unit: Unit, work: Work, points: Sequence[str], reason: str | None) -> None:
        connection = unit.connection
        if reason is not None and holding(work.needles.telling, reason):
            reason = self._hashed(reason)
        if points:
            work.outcomes.append(
                Outcome(
                    "crm_withheld",
                    fate="kept",
                    count=len(points),
                    reason="so that nobody writes there again, whoever imports the address",
                )
            )
        (work.erasure_id,) = next_ids(connection, erasure_ids, erasure.c.erasure_id, 1)
        told = as_told(work.people[1:], work.outcomes, work.unreached)
        row = (
            work.erasure_id,
            work.people[0],
            unit.now,
            unit.actor,
            reason,
            json.dumps(points),
            told,
            None,
        )
        connection.insert_rows(_insert, [row])

    def forget_again(self, unit: Unit) -> None:
        """
        Do once more, to all who were erased, what is done to the core's tables, and to derived.

        What came in since by their number was emptied then; this is for what was written beside.
        """
        for name, treatment in TREATMENTS.items():
            rows = PersonalRows.cached(unit.connection, self._core[name])
            if name in _SINCE:
                rows.delete(unit.connection, None)
            elif treatment.emptied and name != "crm_message":
                rows.empty(unit.connection, None, treatment.emptied)
        unit.connection.change(statements.empty_messages)
        for plugin in self._runtime.assembly:
            forget_derived(unit, plugin, Everyone())

    def _hashed(self, text: str) -> str:
        return f"hash:{self._runtime.identity.keyed_hash(text)}"


class _Undone(Exception):  # noqa: N818 - it undoes a plan, and is no mistake
    """Undoes whatever a plugin wrote while it was only asked."""


def stop_reasons(connection: Connection) -> Any:
    return connection.database.once(
        "reason erased", lambda: statements.say_erased(connection.database.portable)
    )
