"""Completing: what is said of consent is made definite, before it is recorded."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import select

from crmcore.domain.clock import Calendar, to_instant
from crmcore.domain.consent import ANY, PURPOSES, REACHES
from crmcore.domain.identity import Identifier
from crmcore.errors import ConfigurationError, IdentifierError, InputError, nearest
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import identifier
from crmcore.persistence.portable import json_list
from crmcore.services.encoding import Encoded
from crmcore.services.registration import Name, Names
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

_GRANTS: Final = frozenset(
    {"consent.requested", "consent.given", "consent.confirmed", "consent.imported"}
)
_NOES: Final = frozenset({"consent.withdrawn", "consent.refused", "consent.expired"})
_POINT: Final = re.compile(r"[0-9a-f]{32}")


class Completing:
    """
    Says which contact point consent is about, and refuses what nothing is called.

    The point's keyed hash becomes the interaction's subject; the address itself stands in its
    personal part alone.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._identity = runtime.identity
        self._schemes = runtime.identity.schemes
        self._calendar = runtime.calendar
        self._reaches = {
            **REACHES,
            **{each.name: each.scheme for each in runtime.assembly.channels.values()},
        }
        portable = runtime.database.portable
        self._names_of = (
            select(identifier.c.customer_id, identifier.c.scheme, identifier.c.identifier_value)
            .where(portable.is_in(identifier.c.customer_id, "customers"))
            .order_by(identifier.c.scheme, identifier.c.identifier_value)
        )

    def completed(self, unit: Unit, encoded: Sequence[Encoded]) -> list[Encoded]:
        """
        Return drafts with what they leave open.

        Those whose customers, or others with the same address, a no concerns are locked.

        Raises:
            InputError: If a purpose, channel, zone or point is not right, or has to be said.
        """
        known: dict[Name, int] = {}
        owned: dict[int, list[Name]] = {}
        if any(each.kind.name in _GRANTS | _NOES for each in encoded):
            known, owned = self._known(unit, encoded)
        done: list[Encoded] = []
        for each in encoded:
            kind = each.kind.name
            if kind in _GRANTS:
                done.append(self._grant(each, known, owned, done))
            elif kind in _NOES:
                done.append(self._refusal(each))
            else:
                self._check_other(each)
                done.append(each)
        return done

    # -- whose it is -------------------------------------------------------------------------

    def _known(
        self, unit: Unit, encoded: Sequence[Encoded]
    ) -> tuple[dict[Name, int], dict[int, list[Name]]]:
        """Return the customers of drafts by their names, and all names of each; all are locked."""
        connection, identity = unit.connection, self._identity
        names = {name for each in encoded for name in each.names}
        given = {each.draft.customer for each in encoded if each.draft.customer is not None}
        present = identity.present(connection, given) if given else {}
        owners = {*identity.find(connection, names).values(), *present.values()}
        twins = self._twins(connection, owners)
        # In one order, so with those that have the same address; and looked up again after it.
        found = identity.look_up(connection, names | twins, given)
        known = {name: owner.customer_id for name, owner in found.named.items()}
        owned = self._owned(connection, {*known.values(), *present.values()})
        return known, owned

    def _owned(self, connection: Connection, customers: Collection[int]) -> dict[int, list[Name]]:
        owned: dict[int, list[Name]] = {}
        if customers:
            rows = connection.execute(self._names_of, customers=json_list(customers))
            for owner, scheme, value in rows:
                owned.setdefault(owner, []).append((scheme, value))
        return owned

    def _twins(self, connection: Connection, customers: Collection[int]) -> set[Name]:
        """Return what the same addresses would be called as somebody else's."""
        owned = self._owned(connection, customers)
        names = {name for each in owned.values() for name in each}
        alike = {scheme: self._alike(scheme) for scheme, _ in names}
        return {(other, value) for scheme, value in names for other in alike[scheme]}

    def twins_of(self, name: Name) -> set[Name]:
        """Return what the same address would be called as a guest's, or as one that is proved."""
        return {(other, name[1]) for other in self._alike(name[0])}

    def _alike(self, scheme: str) -> set[str]:
        proven = self._schemes[scheme].guest_of if scheme in self._schemes else None
        root = proven or scheme
        return {root, *(each.name for each in self._schemes if each.guest_of == root)} - {scheme}

    def others_with(self, connection: Connection, customers: Collection[int]) -> set[int]:
        """Return the other customers who have an address of one of these."""
        twins = self._twins(connection, customers)
        return {*self._identity.find(connection, twins).values()} - {*customers}

    def check_channel(self, channel: str) -> None:
        """Refuse a channel that nobody knows; ANY stands for all."""
        known = (*sorted(self._reaches), ANY)
        if channel not in known:
            raise InputError(
                f"channel is {channel!r}{nearest(channel, known)}; "
                f"{' or '.join(map(repr, known))} is expected"
            )

    def schemes_of(self, channel: str) -> set[str]:
        """Return the schemes of the identifiers that a channel reaches; ANY: any channel."""
        roots = {*self._reaches.values()} if channel == ANY else {self._reaches.get(channel, "")}
        return roots | {each.name for each in self._schemes if each.guest_of in roots}

    # -- what is said ------------------------------------------------------------------------

    def _grant(
        self,
        each: Encoded,
        known: dict[Name, int],
        owned: dict[int, list[Name]],
        before: Sequence[Encoded],
    ) -> Encoded:
        values, kept = self._values(each)
        self._check_words(each, values["purpose"], values["channel"], ())
        if kept.get("point") is not None or each.subject is not None:
            return self._with_point(each, kept, values["channel"])
        schemes = self.schemes_of(values["channel"])
        found = _of_schemes(each.names, schemes)[:1]
        if not found:
            owner = each.draft.customer
            if owner is None:
                owner = next((known[name] for name in each.names if name in known), None)
            found = _of_schemes(owned.get(owner or 0, ()), schemes)
            found += _of_schemes(_told(each.names, before), schemes)
        points = {self._identity.point_of(*name): name for name in found}
        if len(points) != 1:
            many = f"{len(points)} of them" if points else "none"
            raise InputError(
                f"{each.kind.name!r} is for {values['channel']}, and the customer has {many}; say "
                f"which by payload={{'point': ...}}, or name the customer by it"
            )
        ((point, name),) = points.items()
        return each._replace(subject=point, personal=_json({**kept, "point": name[1]}))

    def _refusal(self, each: Encoded) -> Encoded:
        values, kept = self._values(each)
        channel, purpose = values.get("channel", ANY), values.get("purpose", ANY)
        self._check_words(each, purpose, channel, (ANY,))
        if kept.get("point") is None and each.subject is None:
            return each._replace(subject=ANY)
        return self._with_point(each, kept, channel)

    def _values(self, each: Encoded) -> tuple[dict[str, Any], dict[str, Any]]:
        return json.loads(each.payload), json.loads(each.personal or "{}")

    def _check_words(
        self, each: Encoded, purpose: str, channel: str, more: tuple[str, ...]
    ) -> None:
        for name, found, wanted in (
            ("purpose", purpose, (*PURPOSES, *more)),
            ("channel", channel, (*sorted(self._reaches), *more)),
        ):
            if found not in wanted:
                raise InputError(
                    f"{each.kind.name!r} has the {name} {found!r}{nearest(found, wanted)}; "
                    f"{' or '.join(map(repr, wanted))} is expected"
                )

    def _with_point(self, each: Encoded, kept: dict[str, Any], channel: str) -> Encoded:
        """Return the draft with the point that it names, by address or by its keyed hash."""
        told, subject = kept.get("point"), each.subject
        if told is None:
            if subject != ANY and not _POINT.fullmatch(subject or ""):
                raise InputError(
                    f"{each.kind.name!r} has the subject {subject!r}; the keyed hash of a contact "
                    "point is expected, or payload={'point': ...} with the address"
                )
            return each
        name = self.parse(told, channel)
        point = self._identity.point_of(name.scheme, name.value)
        if subject not in (None, point):
            raise InputError(
                f"{each.kind.name!r} has a subject that is not its point; one of them is expected"
            )
        return each._replace(subject=point, personal=_json({**kept, "point": name.value}))

    def parse(self, text: str, channel: str = ANY) -> Identifier:
        """
        Return the contact point that is written as an address, or as scheme:value.

        Raises:
            IdentifierError: If it is none that the channel reaches.
        """
        scheme, _, value = text.partition(":")
        if value and scheme in self._schemes:
            found = self._schemes.normalise(scheme, value)
        elif channel != ANY:
            found = self._schemes.normalise(self._reaches[channel], text)
        else:
            found = self._schemes.normalise("email" if "@" in text else "phone", text)
        if found.scheme not in self.schemes_of(channel):
            raise IdentifierError(f"{found} is nothing that {channel} reaches")
        return found

    def _check_other(self, each: Encoded) -> None:
        values = json.loads(each.payload)
        if each.kind.name == "customer.zone_changed":
            try:
                Calendar.named(values["zone"])
            except ConfigurationError as error:
                raise InputError(f"{each.kind.name!r}: {error}") from error
        elif each.kind.name == "brake.set":
            brake_until(values.get("until"), self._calendar)


def brake_until(text: str | None, calendar: Calendar) -> int | None:
    """Return the instant at which a brake ends; a day ends it when it begins."""
    if text is None:
        return None
    try:
        if len(text) == len("2026-11-22"):
            return calendar.start_of(date.fromisoformat(text))
        return to_instant(datetime.fromisoformat(text))
    except ValueError as error:
        raise InputError(
            f"'brake.set' is until {text!r}; a day such as '2026-11-22', or an instant with its "
            "zone such as '2026-11-22T09:00:00+01:00', is expected"
        ) from error


def _of_schemes(names: Iterable[Name], schemes: Collection[str]) -> list[Name]:
    return [name for name in names if name[0] in schemes]


def _told(names: Names, before: Iterable[Encoded]) -> list[Name]:
    """Return what drafts that come before in the batch tell of the same customer."""
    wanted = {*names}
    return [name for each in before if wanted & {*each.names} for name in each.names]


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
