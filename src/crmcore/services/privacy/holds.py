"""Holds: customers whom a law or a dispute keeps the shop from erasing, for now."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Final

from sqlalchemy import bindparam, delete, select

from crmcore.domain.privacy import LegalHold
from crmcore.errors import InputError, NotFoundError, RetryTransaction
from crmcore.persistence.catalogue import setting
from crmcore.persistence.connection import Connection
from crmcore.persistence.settings import write_setting
from crmcore.services.privacy.erased import refuse_erased, tree_of
from crmcore.services.unit import Unit

_PREFIX: Final = "hold:"

_every = select(setting.c.setting, setting.c.setting_value).where(
    setting.c.setting >= _PREFIX, setting.c.setting < "hold;"
)
_end = delete(setting).where(setting.c.setting == bindparam("which"))


def holds(connection: Connection) -> list[LegalHold]:
    """Return all holds, by customer."""
    found = []
    for name, text in connection.execute(_every):
        told = json.loads(text)
        found.append(
            LegalHold(
                customer_id=int(name.removeprefix(_PREFIX)),
                reason=told["reason"],
                since=told["since"],
                actor=told["actor"],
            )
        )
    return sorted(found, key=lambda each: each.customer_id)


def held_among(connection: Connection, people: Collection[int]) -> list[LegalHold]:
    """Return the holds on any of these customers."""
    return [each for each in holds(connection) if each.customer_id in people]


def hold(unit: Unit, customer_id: int, reason: object) -> LegalHold:
    """
    Put a customer on hold, or give another reason for it.

    So is everybody who was merged into them: if that is undone, nobody knows whom it was about.
    """
    if not isinstance(reason, str) or not reason.strip():
        raise InputError(
            f"reason is {reason!r}; a sentence is expected that says why they may not be erased"
        )
    made = LegalHold(customer_id=customer_id, reason=reason, since=unit.now, actor=unit.actor)
    told = {"reason": made.reason, "since": made.since, "actor": made.actor}
    for each in _locked(unit, customer_id):
        name = f"{_PREFIX}{each}"
        write_setting(unit.connection, name, json.dumps(told, ensure_ascii=False))
    return made


def _locked(unit: Unit, customer_id: int) -> list[int]:
    """Return everybody the person is, locked: they are neither erased nor merged meanwhile."""
    people = tree_of(unit.connection, customer_id)
    unit.runtime.identity.lock(unit.connection, people)
    if tree_of(unit.connection, customer_id) != people:
        raise RetryTransaction(f"customer {customer_id} was merged until they were locked")
    refuse_erased(unit.connection, people, "nobody can be put on hold who is forgotten")
    return people


def release(unit: Unit, people: Collection[int]) -> None:
    """End every hold on these customers; raises `NotFoundError` if there is none."""
    found = held_among(unit.connection, people)
    if not found:
        raise NotFoundError(f"customer {min(people)} is not on hold")
    for each in found:
        unit.connection.change(_end, which=f"{_PREFIX}{each.customer_id}")
