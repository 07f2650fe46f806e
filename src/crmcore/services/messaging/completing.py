"""Completing: what is said of consent is made definite, before it is recorded."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

from attrs import frozen
from sqlalchemy import bindparam, select, union_all

from crmcore.domain.clock import Calendar, to_datetime, to_instant
from crmcore.domain.consent import ANY, PURPOSES, REACHES, WIDENING
from crmcore.domain.identity import Identifier
from crmcore.errors import ConfigurationError, IdentifierError, InputError, nearest
from crmcore.persistence.connection import Connection
from crmcore.persistence.consent import brake, consent
from crmcore.persistence.customers import identifier
from crmcore.persistence.portable import json_hashes, json_list
from crmcore.persistence.schema import Whole
from crmcore.services.identities.owners import owners_of, sharing
from crmcore.services.identities.registration import Name, Names
from crmcore.services.recording.encoding import Encoded
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

_GRANTS: Final = frozenset(
    {"consent.requested", "consent.given", "consent.confirmed", "consent.imported"}
)
_NOES: Final = frozenset({"consent.withdrawn", "consent.refused", "consent.expired"})
_SET, _LIFTED = "brake.set", "brake.lifted"
_NAMED: Final = _GRANTS | _NOES | {_SET}
"""Of which it matters, before they are recorded, whose they are."""

_POINT: Final = re.compile(r"[0-9a-f]{32}")


@frozen
class _Who:
    """
    Whose drafts are.

    Attributes:
        known: Customers by their names.
        present: Customers by ids that were given: others, where they were merged since.
        names: All names of each.
    """

    known: Mapping[Name, int]
    present: Mapping[int, int]
    names: Mapping[int, Sequence[Name]]

    def owner_of(self, each: Encoded) -> int | None:
        """Return whose a draft is; None: nobody's yet."""
        if each.draft.customer is not None:
            return self.present.get(each.draft.customer)
        return next((self.known[name] for name in each.names if name in self.known), None)


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
        self._clock = runtime.clock
        self._later_yes = union_all(
            *(
                select(consent.c.customer_id, consent.c.point, consent.c.occurred_at).where(
                    concerned,
                    consent.c.effect.in_(sorted({*WIDENING, "requested"})),
                    consent.c.occurred_at > bindparam("now", type_=Whole),
                )
                for concerned in (
                    portable.is_in(consent.c.customer_id, "customers"),
                    portable.is_hash(consent.c.point, "points"),
                )
            )
        )
        self._later_lifts = select(brake.c.customer_id, brake.c.brake, brake.c.occurred_at).where(
            portable.is_in(brake.c.customer_id, "customers"),
            brake.c.is_set == 0,
            brake.c.occurred_at > bindparam("now", type_=Whole),
        )
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
        self._refuse_future(unit, encoded)
        encoded = [self._refusal(e) if e.kind.name in _NOES else e for e in encoded]
        if any(each.kind.name in _NAMED for each in encoded):
            who = self._who(unit, encoded)
        else:
            who = _Who({}, {}, {})
        done: list[Encoded] = []
        for each in encoded:
            if each.kind.name in _GRANTS:
                done.append(self._grant(each, who, done))
            else:
                self._check_other(each)
                done.append(each)
        return self._dated(unit, done, who)

    def _refuse_future(self, unit: Unit, encoded: Sequence[Encoded]) -> None:
        """Refuse what lets more go, and is told for later: nobody has said it yet."""
        now = None
        for each in encoded:
            if each.occurred_at is not None and each.kind.name in _GRANTS | {_LIFTED}:
                now = max(unit.now, self._clock.now()) if now is None else now
                if each.occurred_at > now:
                    raise InputError(
                        f"{each.kind.name!r} is told for {to_datetime(each.occurred_at)}, which "
                        f"lies in the future: it is {to_datetime(now)}; what has been said is "
                        "expected"
                    )

    # -- when it was said --------------------------------------------------------------------

    def _dated(self, unit: Unit, done: list[Encoded], who: _Who) -> list[Encoded]:
        """
        Return drafts in which a no that says no instant of its own is as late as what it ends.

        What has been recorded was said before it, whatever the clock showed then: one that was
        set back meanwhile, or that this transaction read before it waited.
        """
        connection = unit.connection
        open_noes = {
            place: each
            for place, each in enumerate(done)
            if each.occurred_at is None and each.kind.name in _NOES | {_SET}
        }
        about = {place: (who.owner_of(e), self._points(e, who)) for place, e in open_noes.items()}
        customers = json_list({owner for owner, _ in about.values() if owner is not None})
        if any(each.kind.name in _NOES for each in open_noes.values()):
            points = json_hashes({point for _, points in about.values() for point in points})
            rows = connection.execute(
                self._later_yes, customers=customers, points=points, now=unit.now
            )
            for place, (owner, points_of) in about.items():
                found = [at for whose, point, at in rows if whose == owner or point in points_of]
                if found and done[place].kind.name in _NOES:
                    done[place] = done[place]._replace(occurred_at=max(found))
        if any(each.kind.name == _SET for each in open_noes.values()):
            rows = connection.execute(self._later_lifts, customers=customers, now=unit.now)
            for place, (owner, _) in about.items():
                found = [at for whose, _, at in rows if whose == owner]
                if found and done[place].kind.name == _SET:
                    done[place] = done[place]._replace(occurred_at=max(found))
        return done

    def _points(self, each: Encoded, who: _Who) -> set[str]:
        """Return the contact points that a no is about."""
        if each.kind.name not in _NOES:
            return set()
        if each.subject not in (None, ANY):
            return {each.subject}
        names = {*each.names, *who.names.get(who.owner_of(each) or 0, ())}
        return {self._identity.point_of(*name) for name in names}

    # -- whose it is -------------------------------------------------------------------------

    def _who(self, unit: Unit, encoded: Sequence[Encoded]) -> _Who:
        """Return the customers of drafts; they, and who has what these are about, are locked."""
        connection, identity = unit.connection, self._identity
        names = {name for each in encoded for name in each.names}
        given = {each.draft.customer for each in encoded if each.draft.customer is not None}
        present = identity.present(connection, given) if given else {}
        owners = {*identity.find(connection, names).values(), *present.values()}
        nobody = _Who({}, {}, {})
        told = {point for each in encoded for point in self._points(each, nobody)}
        # In one order, so with those that have the same address; and looked up again after it.
        alike = sharing(connection, owners) | owners_of(connection, told)
        found = identity.look_up(connection, names, given | alike)
        known = {name: owner.customer_id for name, owner in found.named.items()}
        present = {asked: owner.customer_id for asked, owner in found.given.items()}
        owned = self._owned(connection, {*known.values(), *(present[asked] for asked in given)})
        return _Who(known, present, owned)

    def _owned(self, connection: Connection, customers: Collection[int]) -> dict[int, list[Name]]:
        owned: dict[int, list[Name]] = {}
        if customers:
            rows = connection.execute(self._names_of, customers=json_list(customers))
            for owner, scheme, value in rows:
                owned.setdefault(owner, []).append((scheme, value))
        return owned

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

    def _grant(self, each: Encoded, who: _Who, before: Sequence[Encoded]) -> Encoded:
        values, kept = self._values(each)
        self._check_words(each, values["purpose"], values["channel"], ())
        if kept.get("point") is not None or each.subject is not None:
            return self._with_point(each, kept, values["channel"])
        schemes = self.schemes_of(values["channel"])
        found = _of_schemes(each.names, schemes)[:1]
        if not found:
            found = _of_schemes(who.names.get(who.owner_of(each) or 0, ()), schemes)
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
        elif each.kind.name == _SET:
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
