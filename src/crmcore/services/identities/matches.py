"""Matches: pairs of customers who may be one person, with what says so."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Literal, cast

from attrs import frozen
from sqlalchemy import bindparam, func, select, update

from crmcore.domain.identity import SchemeRegistry
from crmcore.errors import NotFoundError
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import identifier
from crmcore.persistence.merges import match
from crmcore.services.identities.identity import IdentityService, Tie

Status = Literal["open", "agreed", "merged", "rejected"]
_one = (match.c.customer_id == bindparam("one")) & (match.c.other_id == bindparam("other"))
_find = select(match.c.status, match.c.evidence, match.c.decided_at).where(_one)
_change = update(match).where(_one).values(status=bindparam("now_is"), evidence=bindparam("says"))
_decide = (
    update(match)
    .where(_one)
    .values(status=bindparam("now_is"), decided_at=bindparam("at"), actor=bindparam("by"))
)
_reopen = update(match).where(_one, match.c.status == "agreed").values(status="open")
_counts = (
    select(identifier.c.scheme, func.count())
    .where(identifier.c.customer_id.in_([bindparam("one"), bindparam("other")]))
    .group_by(identifier.c.scheme)
)
_waiting = (
    select(match.c.customer_id, match.c.other_id, match.c.status, match.c.evidence)
    .where(match.c.status.in_(["open", "agreed"]))
    .order_by(match.c.customer_id, match.c.other_id)
)


@frozen(kw_only=True)
class Match:
    """
    Two customers who may be one.

    Attributes:
        customer: The one with the lesser id; both are present owners.
        evidence: How often identifiers of which schemes named both at once, such as
            `{"account+email": 2}`; identifiers themselves are not in it.
    """

    customer: int
    other: int
    status: Status
    evidence: Mapping[str, int]

    @property
    def words(self) -> str:
        """The evidence as one would tell it."""
        told = []
        for key, count in self.evidence.items():
            one, _, other = key.partition("+")
            both = f"{one} and {other} of" if other else f"two {one} identifiers of"
            times = "once" if count == 1 else f"{count} times"
            told.append(f"{both} the two were named together {times}")
        return "; ".join(told) or "no evidence"


class Matches:
    """Proposes, and remembers what was decided."""

    def __init__(self, schemes: SchemeRegistry) -> None:
        self._merge_on = schemes.merge_on
        self._limits = {each.name: each.limit for each in schemes if each.limit is not None}

    def fits(self, connection: Connection, one: int, other: int) -> bool:
        """Return whether the two as one would have no more of a scheme than one may have."""
        counts = connection.execute(_counts, one=one, other=other)
        return all(count <= self._limits.get(scheme, count) for scheme, count in counts)

    def propose(self, connection: Connection, ties: Iterable[Tie], now: int) -> None:
        """Note what tied customers; policy may agree to it, unless somebody has decided."""
        found: dict[tuple[int, int], dict[str, int]] = {}
        for one, other, schemes in ties:
            counts = found.setdefault((min(one, other), max(one, other)), {})
            counts[schemes] = counts.get(schemes, 0) + 1
        for (one, other), counts in sorted(found.items()):
            agreed = any(self._merge_on.issuperset(key.split("+")) for key in counts) and self.fits(
                connection, one, other
            )
            rows = connection.execute(_find, one=one, other=other)
            if not rows:
                insert = connection.database.once(
                    "propose", lambda: connection.database.portable.insert(match)
                )
                says, status = json.dumps(counts), "agreed" if agreed else "open"
                connection.insert_rows(insert, [(one, other, status, says, now, None, None)])
                continue
            status, before, decided_at = rows[0]
            told = json.loads(before)
            for key, count in counts.items():
                told[key] = told.get(key, 0) + count
            if agreed and status == "open" and decided_at is None:
                status = "agreed"
            says = json.dumps(told)
            connection.change(_change, one=one, other=other, now_is=status, says=says)

    def waiting(self, connection: Connection, identity: IdentityService) -> list[Match]:
        """Return what is proposed or agreed and not done, by who the customers are at present."""
        rows = connection.execute(_waiting)
        present = identity.present(connection, {c for row in rows for c in row[:2]})
        found: dict[tuple[int, int], Match] = {}
        for one, other, status, evidence in rows:
            low, high = sorted((present[one], present[other]))
            if low == high:
                continue  # they became one by another merge
            told = json.loads(evidence)
            before = found.get((low, high))
            if before is not None:
                counts = before.evidence
                told = {k: told.get(k, 0) + counts.get(k, 0) for k in {**counts, **told}}
                status = "agreed" if "agreed" in (status, before.status) else "open"
            found[low, high] = Match(
                customer=low, other=high, status=cast(Status, status), evidence=told
            )
        return [found[pair] for pair in sorted(found)]

    def reject(
        self,
        connection: Connection,
        identity: IdentityService,
        one: int,
        other: int,
        *,
        now: int,
        actor: str | None,
    ) -> int:
        """
        Note that two customers are not one; returns how many proposals said they were.

        Raises:
            NotFoundError: If nothing is proposed of them.
        """
        pairs = self._waiting_of(connection, identity, one, other)
        if not pairs:
            raise NotFoundError(
                f"nothing proposes that customers {one} and {other} are one; `crm duplicates` "
                "lists what is proposed"
            )
        for low, high in pairs:
            connection.change(_decide, one=low, other=high, now_is="rejected", at=now, by=actor)
        return len(pairs)

    def reopen(
        self, connection: Connection, identity: IdentityService, one: int, other: int
    ) -> None:
        """Note that two are agreed no longer, so that a person decides, or policy by what comes."""
        for low, high in self._waiting_of(connection, identity, one, other):
            connection.change(_reopen, one=low, other=high)

    def _waiting_of(
        self, connection: Connection, identity: IdentityService, one: int, other: int
    ) -> list[tuple[int, int]]:
        """Return the pairs, proposed or agreed, of who the two are at present."""
        rows = connection.execute(_waiting)
        present = identity.present(connection, {one, other, *(c for row in rows for c in row[:2])})
        asked = {present[one], present[other]}
        return [(low, high) for low, high, *_ in rows if {present[low], present[high]} == asked]
