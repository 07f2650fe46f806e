"""Privacy: what is kept of a customer, told to them; and forgotten, if they wish."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from crmcore.app.opened import Opened
from crmcore.domain.arguments import check_text, listed
from crmcore.domain.identity import Known
from crmcore.domain.privacy import (
    Certificate,
    ErasedAgain,
    ErasurePlan,
    Exported,
    JournalEntry,
    LegalHold,
    Verification,
)
from crmcore.errors import HeldError, InputError, NotFoundError
from crmcore.persistence import searching
from crmcore.services.background.portion import CONSISTENT, Portion
from crmcore.services.privacy import holds, journal, verifying
from crmcore.services.privacy.erased import erased_among, tree_of
from crmcore.services.privacy.erasure import Work
from crmcore.services.unit import Unit


class PrivacyOfCrm(Opened):
    """The part of `Crm` that is about what customers may ask of the shop."""

    def export(self, customer: Known, to: str | Path = ".") -> Exported:
        """
        Write all that is kept of a customer to a folder: as JSON, and as a page for people.

        What is about other people is left out. Written twice of the same state, the files are
        equal byte by byte.

        Raises:
            CustomerNotFoundError: If there is no such customer.
            InputError: If nothing can be written to the folder.
            PluginError: If a plugin cannot tell what it holds; nothing is written then.
        """
        if not isinstance(to, str | Path):
            raise InputError(f"to is {to!r}; a folder is expected")
        customer_id = self._id_of(customer)
        with self._runtime.database.begin(read_only=True, isolation=CONSISTENT) as connection:
            return self._parts.exports.write(Unit(self._runtime, connection), customer_id, Path(to))

    def plan_erasure(self, customer: Known) -> ErasurePlan:
        """
        Return what erasing a customer would do to each table; nothing is changed.

        Raises:
            CustomerNotFoundError: If there is no such customer.
            PluginError: If a plugin cannot tell what it would do.
        """
        customer_id = self._id_of(customer)
        with self._read() as unit:
            return self._parts.erasures.plan(unit, customer_id)

    def erase(
        self, customer: Known, *, reason: str | None = None, actor: str | None = None
    ) -> Certificate:
        """
        Forget a customer, and all who were merged into them; then look whether anything is left.

        All is erased, or nothing. What happened stays, and is about nobody any more. Who was
        erased before is not erased again: their certificate is returned, once what stood in the
        way of verifying it has been done.

        Args:
            customer: By id or identifier; whoever they were merged into is meant, too.
            reason: Such as their wish; it stays on record, so do not name them in it.
            actor: Who does it, such as `staff:grace`.

        Raises:
            CustomerNotFoundError: If there is no such customer.
            HeldError: If they are on hold.
            PluginError: If a plugin cannot let go of what it holds; nothing is erased then.
        """
        check_text("reason", reason)
        customer_id = self._id_of(customer)
        with self._read() as unit:
            before = self._parts.erasures.find(unit.connection, customer_id)
            is_erased = bool(erased_among(unit.connection, [customer_id]))
        if before is not None and is_erased:
            return before if before.verified_at is not None else self._finish([customer_id])[0]

        def erase(unit: Unit) -> Work | Certificate:
            searching.overwrite(unit.connection)
            return self._parts.erasures.erase(unit, customer_id, reason)

        work = self._retrying(erase, actor=actor)
        if isinstance(work, Certificate):
            return work
        database = self._runtime.database
        searching.tidy_indexes(database)
        found = verifying.verify(database, work.needles, work.people, work.files)
        unreached = [sentence for said in work.unreached.values() for sentence in said]
        return self._certified(customer_id, _lacking(found, unreached))

    def _finish(self, begun: Sequence[int]) -> list[Certificate]:
        """Do what is left to do of erasures that could not be verified to the end."""
        self._forget_again()
        ask = self._parts.erasures.holdings.ask_again
        unreached = {
            who: self._retrying(lambda unit, who=who: ask(unit, who))  # type: ignore[misc]
            for who in begun
        }
        searching.tidy_indexes(self._runtime.database)
        found = verifying.rewrite(self._runtime.database)
        return [self._certified(who, _lacking(found, unreached[who])) for who in begun]

    def _forget_again(self) -> None:
        def forget(unit: Unit) -> None:
            searching.overwrite(unit.connection)
            self._parts.erasures.forget_again(unit)

        self._retrying(forget)

    def _certified(self, customer_id: int, found: Verification) -> Certificate:
        def note(unit: Unit) -> Certificate | None:
            if found.is_clean and found.is_complete:
                journal.note_verified(unit, customer_id)
            return self._parts.erasures.find(unit.connection, customer_id)

        made = self._retrying(note)
        if made is None:
            raise NotFoundError(f"no erasure of customer {customer_id} is on record")
        return evolve(made, verification=found)

    def erasure_journal(self) -> list[JournalEntry]:
        """Return all erasures, to be kept beside the backups; they name nobody."""
        with self._read() as unit:
            return journal.entries(unit.connection)

    def erase_again(
        self, entries: Iterable[JournalEntry] = (), *, actor: str | None = None
    ) -> ErasedAgain:
        """
        Erase those again whom an older backup brought back, or somebody stood in the way of.

        Who is on hold there is left, and told of; who came after the erasure is left alone.

        Args:
            entries: Of the journal that was kept beside the backup; those of the database itself
                are done in any case.
            actor: Who does it, such as `staff:grace`.

        Raises:
            PluginError: If a plugin cannot let go of what it holds; who was erased until then
                stays so.
        """
        given = listed("entries", entries, "a list of JournalEntry")
        for place, each in enumerate(given):
            if not isinstance(each, JournalEntry):
                raise InputError(f"entries[{place}] is {each!r}; a JournalEntry is expected")
        with self._read() as unit:
            again = journal.brought_back(unit.connection, given)
        done, held = [], []
        for customer_id in again:
            try:
                done.append(self.erase(customer_id, reason="again", actor=actor))
            except HeldError:
                held.append(customer_id)
        with self._read() as unit:
            begun = [w for w in journal.unverified(unit.connection) if w not in again]
        done += self._finish(begun) if begun else []
        with self._read() as unit:
            found = [
                hold
                for who in held
                for hold in holds.held_among(unit.connection, tree_of(unit.connection, who))
            ]
        return ErasedAgain(certificates=tuple(done), held=tuple(found))

    # -- holds -------------------------------------------------------------------------------

    def hold(self, customer: Known, reason: str, *, actor: str | None = None) -> LegalHold:
        """
        Keep a customer from being erased, such as for a dispute, until `release_hold`.

        All who were merged into them are on hold with them, and stay so where a merge is undone:
        each is released by themself then.

        Raises:
            CustomerNotFoundError: If there is no such customer.
            ErasedError: If they were erased.
            InputError: If there is no reason.
        """
        customer_id = self._id_of(customer)
        return self._retrying(lambda unit: holds.hold(unit, customer_id, reason), actor=actor)

    def release_hold(self, customer: Known, *, actor: str | None = None) -> None:
        """End a hold; raises `NotFoundError` if there is none."""
        customer_id = self._id_of(customer)
        self._retrying(
            lambda unit: holds.release(unit, tree_of(unit.connection, customer_id)), actor=actor
        )

    def holds(self) -> list[LegalHold]:
        """Return who is on hold, and why."""
        with self._read() as unit:
            return holds.holds(unit.connection)

    # -- retention ---------------------------------------------------------------------------

    def plan_retention(self) -> Mapping[str, int]:
        """Return of how many interactions, by kind, the personal part is to be emptied by now."""
        with self._read() as unit:
            return self._parts.retention.plan(unit)

    def retain(self) -> Mapping[str, int]:
        """
        Empty what is kept longer than `[retention]` says; returns of how many, by kind.

        What was written since about those who were erased is emptied with it.
        """
        done: dict[str, int] = {}
        for kind, count in self._parts.retention.empty():
            done[kind] = done.get(kind, 0) + count
        self._forget_again()
        searching.empty_log(self._runtime.database)
        return done

    def _keep_in_time(self) -> Iterator[Portion]:
        """Do once a day, in a worker, what `retain` does."""
        yield from self._parts.retention.work()


def _lacking(found: Verification, unreached: Sequence[str]) -> Verification:
    """Return what was found, with what could not be reached at all."""
    if not unreached:
        return found
    return evolve(found, unverified=(*unreached, *found.unverified), is_complete=False)


def read_journal(text: str) -> list[JournalEntry]:
    """
    Return the entries of a journal that was written as JSON.

    Raises:
        InputError: Says what is wrong with it.
    """
    expected = "a journal that `crm erase-customer --journal FILE` wrote is expected"
    try:
        found: Any = json.loads(text)
        return [
            JournalEntry(
                erased_at=int(each["erased_at"]),
                points=tuple(map(str, each["points"])),
                actor=each.get("actor"),
            )
            for each in found["erasures"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"the journal cannot be read ({error}); {expected}") from error


def journal_text(entries: Iterable[JournalEntry]) -> str:
    """Return entries as JSON."""
    return json.dumps({"erasures": [each.as_json() for each in entries]}, indent=1) + "\n"
