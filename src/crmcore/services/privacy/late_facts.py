"""Late facts: what still comes in about somebody whom the shop has forgotten."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import evolve
from sqlalchemy import Select, bindparam, delete, func, select, update

from crmcore.domain.consent import CONSENT_KINDS
from crmcore.hooks import CustomerList, IdList
from crmcore.persistence.connection import Connection
from crmcore.persistence.consent import withheld
from crmcore.persistence.customers import customer, identifier
from crmcore.persistence.ledger import dedupe, interaction, line
from crmcore.persistence.portable import Portable, json_list
from crmcore.services.privacy.erased import erased_among, forget_derived
from crmcore.services.privacy.former import Former, Life, former_of, texts
from crmcore.services.privacy.withheld_erased import ERASED
from crmcore.services.recording.encoding import Encoded
from crmcore.services.recording.ledger import COLUMNS, Batch
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

_ID: Final = COLUMNS.index("interaction_id")
_KIND: Final = COLUMNS.index("kind")
_CUSTOMER: Final = COLUMNS.index("customer_id")
_RECORDED_FOR: Final = COLUMNS.index("recorded_for")
_ORIGIN: Final = COLUMNS.index("origin")
_SOURCE: Final = COLUMNS.index("source")
_SOURCE_KEY: Final = COLUMNS.index("source_key")
_OCCURRED: Final = COLUMNS.index("occurred_at")
_SUBJECT: Final = COLUMNS.index("subject")
_PERSONAL: Final = COLUMNS.index("personal")

_give = (
    update(interaction)
    .where(interaction.c.interaction_id == bindparam("which"))
    .values(
        customer_id=bindparam("whose"),
        recorded_for=bindparam("whose"),
        subject=bindparam("about"),
        personal=None,
    )
)
_give_lines = (
    update(line)
    .where(line.c.interaction_id == bindparam("which"))
    .values(customer_id=bindparam("whose"))
)
_drop_fact = delete(interaction).where(interaction.c.interaction_id == bindparam("which"))
_drop_lines = delete(line).where(line.c.interaction_id == bindparam("which"))
_drop_key = delete(dedupe).where(
    dedupe.c.source == bindparam("source"), dedupe.c.source_key == bindparam("key")
)
_drop_names = delete(identifier).where(identifier.c.customer_id == bindparam("who"))
_drop = delete(customer).where(customer.c.customer_id == bindparam("who"))
_AGREED: Final = frozenset(kind.name for kind in CONSENT_KINDS if not kind.follows)
"""What somebody says by themself: its subject is their address, and no order of theirs."""
_facts = select(func.count()).where(interaction.c.customer_id == bindparam("who"))


class LateFacts:
    """
    Lets nobody come back by what is only told about them.

    Once customers were erased, what was just recorded is looked through. What came for somebody
    erased, by id, loses its personal part. Who was just registered by an identifier of somebody
    erased is let go of again where all that came is late: it happened before the erasure, is
    about something of theirs, such as their order, or is of a kind that follows from something
    earlier, such as a bounce. It goes to the row of who they were, which is nobody's. Who agrees
    to something afterwards, by whatever address, begins anew.
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
        self._subject = (
            select(interaction.c.customer_id, interaction.c.subject)
            .where(
                portable.is_in(interaction.c.customer_id, "people"),
                interaction.c.subject.in_(texts(portable)),
            )
            .distinct()
        )
        self._by_keys = select(dedupe.c.source_key, dedupe.c.interaction_id).where(
            dedupe.c.source == bindparam("source"), dedupe.c.source_key.in_(texts(portable))
        )

    def former(self, unit: Unit, drafts: Sequence[Encoded]) -> Former:
        """Return the former lives of those whom *drafts* name."""
        names = {name for each in drafts for name in each.names}
        point_of = self._runtime.identity.point_of
        return former_of(unit.connection, {name: point_of(*name) for name in names})

    def settle(self, unit: Unit, batch: Batch) -> Batch:
        """Return what was just recorded, whose customers are locked, as it stays."""
        if not batch.new:
            return batch
        connection = unit.connection
        customers = sorted({row[_CUSTOMER] for row in batch.new})
        erased = erased_among(connection, customers)
        comers = self._comers(connection, customers, unit.now)
        again = self._repeated(connection, batch.new)
        if not (erased or comers or again):
            return batch
        rows = {row[_ID]: row for row in batch.new}
        for interaction_id in again:
            del rows[interaction_id]
        for row in list(rows.values()):
            if row[_CUSTOMER] in erased:
                rows[row[_ID]] = _changed(row, row[_CUSTOMER], row[_RECORDED_FOR], row[_SUBJECT])
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
        Take back what had been recorded before, under a key in which somebody erased stood.

        Such a key is kept as its hash, whoever is told of by now. Returns for each interaction
        the one that it was.
        """
        keyed: dict[str, dict[str, tuple[Any, ...]]] = {}
        for row in rows:
            if row[_SOURCE_KEY] is not None and row[_ORIGIN] == "observed":
                keyed.setdefault(row[_SOURCE], {})[self._hashed(row[_SOURCE_KEY])] = row
        found = {}
        for source, hashes in keyed.items():
            listed = json.dumps([*hashes])
            for hashed, first in connection.execute(self._by_keys, source=source, listed=listed):
                row = hashes[hashed]
                found[row[_ID]] = first
                connection.change(_drop_key, source=source, key=row[_SOURCE_KEY])
                for statement in (_drop_lines, _drop_fact):
                    connection.change(statement, which=row[_ID])
        return found

    def _comers(
        self, connection: Connection, customers: Sequence[int], now: int
    ) -> dict[int, list[Life]]:
        """Return the former lives of those just registered, locked; the last one first."""
        found = connection.execute(self._newcomers, people=json_list(customers), at=now, why=ERASED)
        if not found:
            return {}
        former = former_of(connection, {(scheme, value): p for _, scheme, value, p in found})
        # Locked before, but for those erased since: such as while their lock was waited for.
        self._runtime.identity.lock(connection, former.customers)
        points: dict[int, set[str]] = {}
        for who, _, _, point in found:
            points.setdefault(who, set()).add(point)
        return {who: lives for who, them in points.items() if (lives := former.of(them))}

    def _send_back(
        self,
        connection: Connection,
        rows: dict[int, tuple[Any, ...]],
        comers: Mapping[int, Sequence[Life]],
    ) -> None:
        for who, lives in sorted(comers.items()):
            own = [row for row in rows.values() if row[_CUSTOMER] == who]
            ((count,),) = connection.execute(_facts, who=who)
            if count > len(own):
                continue  # registered before, at the same instant
            homes = [(row, self._home(connection, row, lives)) for row in own]
            if any(home is None for _, home in homes):
                continue  # they came by themself: a new customer
            for row, home in homes:
                assert home is not None
                whose, about = home
                rows[row[_ID]] = _changed(row, whose, whose, about)
                connection.change(_give, which=row[_ID], whose=whose, about=about)
                connection.change(_give_lines, which=row[_ID], whose=whose)
            connection.change(_drop_names, who=who)
            connection.change(_drop, who=who)

    def _home(
        self, connection: Connection, row: Sequence[Any], lives: Sequence[Life]
    ) -> tuple[int, str | None] | None:
        """
        Return to which former life a fact belongs, and its subject there; None: it is not late.

        It is the life that has the subject, unless that is but the address that they agree by;
        otherwise the one in which it happened; otherwise, if it is of a kind that follows from
        something, the last.
        """
        about = row[_SUBJECT]
        if about is not None and row[_KIND] not in _AGREED:
            theirs = json_list(life.customer_id for life in lives)
            told = json.dumps([about, self._hashed(about)])
            found: dict[int, str] = dict(
                connection.execute(self._subject, people=theirs, listed=told)
            )
            for life in lives:
                if life.customer_id in found:
                    return life.customer_id, found[life.customer_id]
        then = [life for life in lives if row[_OCCURRED] < life.ended]
        if then:
            return then[-1].customer_id, about
        return (lives[0].customer_id, about) if row[_KIND] in self._follows else None

    def _hashed(self, text: str) -> str:
        return f"hash:{self._runtime.identity.keyed_hash(text)}"


def _changed(
    row: Sequence[Any], customer_id: int, recorded_for: int, about: str | None
) -> tuple[Any, ...]:
    """Return a row of the ledger as somebody else's, without its personal part."""
    values = list(row)
    values[_CUSTOMER], values[_RECORDED_FOR] = customer_id, recorded_for
    values[_PERSONAL], values[_SUBJECT] = None, about
    return tuple(values)


def _newcomers(portable: Portable) -> Select[Any]:
    """Return a select of who was registered just now by what somebody erased was known by."""
    return (
        select(
            identifier.c.customer_id,
            identifier.c.scheme,
            identifier.c.identifier_value,
            identifier.c.point,
        )
        .join(withheld, withheld.c.point == identifier.c.point)
        .join(customer, customer.c.customer_id == identifier.c.customer_id)
        .where(
            portable.is_in(identifier.c.customer_id, "people"),
            customer.c.recorded_at == bindparam("at"),
            withheld.c.reason == bindparam("why"),
        )
        .distinct()
    )
