"""Facts: all that the gates ask about candidates, gathered by one statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    column,
    exists,
    false,
    func,
    literal,
    literal_column,
    not_,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.dialects import postgresql

from crmcore.domain.clock import DAY
from crmcore.domain.consent import NARROWING, PURPOSES, WIDENING, Basis
from crmcore.domain.gate import BASES, SERVICE, Cap, GateSettings
from crmcore.persistence.consent import ANY, brake, consent, withheld, zone
from crmcore.persistence.customers import customer, identifier
from crmcore.persistence.messages import message
from crmcore.persistence.portable import Portable
from crmcore.persistence.schema import Whole, Words
from crmcore.services.messaging.withholding import TRUMPED, UNSOLICITED, WITHDRAWN

AT: Final = "gate_at"
CLOCKS: Final = "gate_clocks"
CANDIDATE: Final = (
    "message_id",
    "customer_id",
    "plugin",
    "message_key",
    "purpose",
    "asks",
    "not_before",
    "not_after",
)
COUNTED: Final = ("claimed", "handed", "accepted", "unknown")
"""The states in which a message may have been received, or is about to be."""
AGAIN: Final = ("planned", "deferred")
"""Those in which it may have been, if it was handed over before."""

NOTHING: Final[ColumnElement[Any]] = null()
at: Final[ColumnElement[int]] = bindparam(AT, type_=Whole)
"""The instant that is asked about."""


class Facts:
    """Builds the part of the statement that gathers facts, for what the shop has set."""

    def __init__(self, settings: GateSettings, portable: Portable) -> None:
        self.on: dict[Basis, list[str]] = {
            basis: [each for each in PURPOSES if settings.basis_of(each) == basis]
            for basis in BASES
        }
        self.caps = [each for each in settings.caps if each.most is not None]
        self.needs_clocks = bool(settings.quiet) or any(each.per for each in self.caps)
        self._portable = portable

    def of(self, candidates: FromClause, channel: str, schemes: Iterable[str]) -> CTE:
        """Return the candidates, whose messages go on a channel, with all that the gates ask."""
        points = self._points(self._asked(candidates), channel, sorted(schemes))
        return self._facts(self._best(points))

    def _asked(self, candidates: FromClause) -> CTE:
        """Return the candidates, with what is known of their customers."""
        given = candidates.c
        return kept(
            select(
                cast(given.message_id, Whole).label("message_id"),
                *(given[name] for name in CANDIDATE[1:]),
                customer.c.customer_id.label("known"),
                customer.c.erased_at,
                func.coalesce(customer.c.bucket, 0).label("bucket"),
                func.coalesce(zone.c.zone, "").label("zone"),
            ).select_from(
                candidates.outerjoin(
                    customer, customer.c.customer_id == given.customer_id
                ).outerjoin(zone, zone.c.customer_id == given.customer_id)
            ),
            "gate_asked",
        )

    # -- where it goes, and consent ----------------------------------------------------------

    def _points(self, asked: CTE, channel: str, schemes: Sequence[str]) -> CTE:
        """Return each candidate with each of the customer's addresses, and what was said of it."""
        row, point = asked.c, identifier.c.point

        def last(effects: Iterable[str], name: str) -> ColumnElement[Any]:
            found = select(func.max(consent.c.occurred_at)).where(
                consent.c.customer_id == row.customer_id,
                or_(consent.c.point == point, consent.c.point == ANY),
                consent.c.channel.in_((channel, ANY)),
                or_(consent.c.purpose == row.purpose, consent.c.purpose == ANY),
                consent.c.effect.in_(sorted(effects)),
            )
            return found.correlate(asked, identifier).scalar_subquery().label(name)

        return kept(
            select(
                *row,
                point,
                identifier.c.recorded_at,
                identifier.c.scheme,
                identifier.c.identifier_value,
                last(NARROWING, "no_at"),
                last(WIDENING, "yes_at"),
                last(("confirmed",), "confirmed_at"),
                last(("imported",), "imported_at"),
                last(("requested",), "requested_at"),
                self._withheld(asked, channel, soft=False).label("withheld"),
                self._withheld(asked, channel, soft=True).label("withdrawn"),
            ).select_from(
                asked.outerjoin(
                    identifier,
                    and_(
                        identifier.c.customer_id == row.customer_id,
                        identifier.c.scheme.in_(schemes),
                    ),
                )
            ),
            "gate_points",
        )

    def _withheld(self, asked: CTE, channel: str, *, soft: bool) -> ColumnElement[Any]:
        """Return why nothing goes to the address; *soft*: as somebody who has it said no."""
        purpose = asked.c.purpose
        unsolicited = purpose.not_in(self.on["contract"])
        grant = consent.alias("grant_since")
        trumped = exists().where(
            grant.c.point == withheld.c.point,
            grant.c.channel == channel,
            grant.c.purpose == purpose,
            grant.c.effect.in_(sorted(WIDENING)),
            grant.c.occurred_at > withheld.c.since,
        )
        is_soft = withheld.c.reason == WITHDRAWN
        found = select(func.min(withheld.c.reason)).where(
            withheld.c.point == identifier.c.point,
            withheld.c.channel.in_((channel, ANY)),
            or_(
                withheld.c.purpose == ANY,
                withheld.c.purpose == purpose,
                and_(withheld.c.purpose == UNSOLICITED, unsolicited),
            ),
            withheld.c.lifted_at.is_(None),
            or_(withheld.c.until.is_(None), withheld.c.until > at),
            or_(withheld.c.reason.not_in(TRUMPED), and_(unsolicited, not_(trumped))),
            is_soft if soft else not_(is_soft),
        )
        return found.correlate(asked, identifier).scalar_subquery()

    def _agreed(self, row: Any) -> ColumnElement[bool]:
        """Return whether consent lets a message of the row's purpose go."""
        no, yes = row.no_at, row.yes_at
        never_no = no.is_(None)
        stands: dict[Basis, ColumnElement[bool]] = {
            "contract": true(),
            "opt_out": or_(never_no, yes > no),
            "opt_in": or_(
                yes > no,
                and_(never_no, or_(yes.is_not(None), row.imported_at.is_not(None))),
            ),
            "double_opt_in": and_(
                row.confirmed_at.is_not(None), or_(never_no, row.confirmed_at > no)
            ),
        }
        return or_(
            false(),
            *(and_(row.purpose.in_(self.on[b]), stands[b]) for b in BASES if self.on[b]),
        )

    def _best(self, points: CTE) -> FromClause:
        """Return the one address of each candidate to which the message would go."""
        row = points.c
        agreed = case((self._agreed(row), 1), else_=0)
        free = case((and_(row.withheld.is_(None), row.withdrawn.is_(None)), agreed), else_=0)
        order = func.row_number().over(
            partition_by=(row.message_id, row.customer_id, row.plugin, row.message_key),
            order_by=(
                free.desc(),
                agreed.desc(),
                row.recorded_at.desc(),
                row.scheme,
                row.identifier_value,
            ),
        )
        ranked = select(*row, agreed.label("agreed"), order.label("place")).subquery("gate_ranked")
        return select(ranked).where(ranked.c.place == 1).subquery("gate_best")

    # -- what the gates ask ------------------------------------------------------------------

    def _facts(self, best: FromClause) -> CTE:
        """Return the candidates with all that the gates ask."""
        row = best.c
        columns = [
            *(each for each in row if each.name != "place"),
            _standing(row).label("standing"),
            *self._brakes(best),
        ]
        joined = best
        day_start: ColumnElement[Any] = NOTHING
        if self.needs_clocks:
            clock = self._clocks()
            joined = best.outerjoin(
                clock, and_(clock.c.zone == row.zone, clock.c.purpose == row.purpose)
            )
            columns += [clock.c.quiet_until, clock.c.quiet_why, clock.c.day_end]
            day_start = clock.c.day_start
        for number, cap in enumerate(self.caps):
            columns.append(_nth(cap, best, day_start).label(f"cap_{number}"))
        return kept(select(*columns).select_from(joined), "gate_facts")

    def _brakes(self, best: FromClause) -> Iterator[ColumnElement[Any]]:
        """Yield a brake that is on, whether one is on with no end, and when the others end."""
        lifted = brake.alias("lifted")
        is_on = and_(
            brake.c.customer_id == best.c.customer_id,
            brake.c.is_set == 1,
            or_(brake.c.until.is_(None), brake.c.until > at),
            ~exists().where(
                lifted.c.customer_id == brake.c.customer_id,
                lifted.c.brake == brake.c.brake,
                lifted.c.is_set == 0,
                lifted.c.occurred_at > brake.c.occurred_at,
            ),
        )
        endless = case((brake.c.until.is_(None), 1), else_=0)
        for name, found in (
            ("brake", func.min(brake.c.brake)),
            ("brake_endless", func.max(endless)),
            ("brake_until", func.max(brake.c.until)),
        ):
            asked = select(found).where(is_on).correlate(best).scalar_subquery()
            yield case((best.c.purpose != SERVICE, asked), else_=None).label(name)

    def _clocks(self) -> CTE:
        """Return what the clocks show: for each zone and purpose, the quiet and the day."""
        listed: ColumnElement[str] = bindparam(CLOCKS, type_=Text())

        def each(place: int) -> ColumnElement[Any]:
            value: ColumnElement[Any] = item.c.value
            if self._portable.is_sqlite:
                return func.json_extract(value, f"$[{place}]")
            return value.op("->>")(literal_column(str(place)))

        if self._portable.is_sqlite:
            item: Any = func.json_each(listed).table_valued("value").alias("clock")
        else:
            found = func.json_array_elements(cast(listed, postgresql.JSON))
            item = found.table_valued(column("value", postgresql.JSON))
        words = ("zone", "purpose", "quiet_why")
        columns: list[ColumnElement[Any]] = [
            cast(each(number), Words).label(name) for number, name in enumerate(words)
        ]
        columns += [
            cast(each(number), Whole).label(name)
            for number, name in enumerate(("quiet_until", "day_start", "day_end"), start=3)
        ]
        return kept(select(*columns).select_from(item), "gate_clocks")


def kept(statement: Select[Any], name: str) -> CTE:
    """Return a part of the statement that is computed once, however often it is asked."""
    return statement.cte(name).prefix_with("MATERIALIZED")


def _standing(row: Any) -> ColumnElement[Any]:
    """Return where consent stands; `crmcore.domain.consent.standing_of` in SQL."""
    never_no = row.no_at.is_(None)
    return case(
        (
            and_(row.confirmed_at.is_not(None), or_(never_no, row.confirmed_at > row.no_at)),
            literal("confirmed", Words),
        ),
        (and_(row.yes_at.is_not(None), or_(never_no, row.yes_at > row.no_at)), "given"),
        (row.no_at.is_not(None), "withdrawn"),
        (row.imported_at.is_not(None), "imported"),
        (row.requested_at.is_not(None), "requested"),
        else_="none",
    )


def _nth(cap: Cap, best: FromClause, day_start: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return when the message went that has to leave the window first; NULL: there is room."""
    if not cap.most:
        return NOTHING
    row, sent = best.c, message.c
    since = day_start if cap.per else at - cap.days * DAY  # type: ignore[operator]
    in_window = sent.handed_at >= since if cap.per else sent.handed_at > since
    went = case((sent.state == "claimed", at), else_=sent.handed_at)
    # What was handed over, and waits to be so again, may have been received, too.
    counts = or_(sent.state.in_(COUNTED), and_(sent.state.in_(AGAIN), sent.handed_at.is_not(None)))
    found = select(went).where(
        sent.customer_id == row.customer_id,
        counts,
        sent.purpose.in_(cap.about),
        or_(sent.state == "claimed", in_window),
        sent.message_id.is_distinct_from(row.message_id),
    )
    if cap.channels:
        found = found.where(sent.channel.in_(cap.channels))
    if cap.asks:
        found = found.where(sent.asks == 1)
    found = found.order_by(went.desc()).limit(1).offset(cap.most - 1)
    about: ColumnElement[bool] = row.purpose.in_(cap.about)
    if cap.asks:
        about = and_(about, row.asks == 1)
    return case((about, found.correlate_except(message).scalar_subquery()), else_=None)
