"""Guards: what plugins say of messages that every gate of the core lets go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import frozen
from sqlalchemy import BindParameter, FromClause, Select, bindparam, func, select
from sqlalchemy.sql.visitors import replacement_traverse

from crmcore.domain.clock import SECOND
from crmcore.domain.interaction import Draft
from crmcore.domain.message import Channel
from crmcore.domain.shadow import HELD, shadow_of
from crmcore.domain.structuring import is_encodable
from crmcore.errors import RetryTransaction
from crmcore.hooks import Hold, MessagesProposed, Plugin
from crmcore.services.dispatcher import Dispatcher
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

_BITS: Final = 64
GUARD: Final = "guard"
AGAIN: Final = 300 * SECOND
"""After which time messages are proposed again to a plugin that raised."""


@frozen(kw_only=True)
class Held:
    """
    A message that a plugin holds back.

    Attributes:
        may_go_at: In microseconds; None: it is withheld.
    """

    customer_id: int
    plugin: str
    message_key: str
    purpose: str
    reason: str
    may_go_at: int | None = None


Key = tuple[int, str, str, str]


class Guards:
    """Asks the plugins' `guard_message`, one batch for each message there is."""

    def __init__(self, runtime: Runtime, dispatcher: Dispatcher) -> None:
        self._runtime = runtime
        self._dispatcher = dispatcher
        self._guards = runtime.assembly.of(Plugin.guard_message)

    def held(
        self,
        unit: Unit,
        candidates: FromClause,
        channel: Channel,
        at: int,
        values: Mapping[str, Any],
        *,
        reads: bool = False,
        is_claim: bool = True,
    ) -> list[Held]:
        """
        Return the messages that are held back: each once, and *no* before *not yet*.

        With *reads* nothing can be written, so what a plugin raises is only noted in the unit.
        """
        if not self._guards:
            return []
        found: dict[Key, Held] = {}
        for plugin, key, purpose, asks, size in self._kinds(unit, candidates, values):
            given = candidates.c
            those = select(given.customer_id).where(
                given.plugin == plugin,
                given.message_key == key,
                given.purpose == purpose,
                given.asks == asks,
            )
            # A plugin joins this with tables of its own, and knows no values of ours.
            those = _filled(those, values)
            event = MessagesProposed(
                customers=those.subquery("proposed"),
                size=size,
                key=key,
                plugin=plugin,
                purpose=purpose,
                channel=channel.name,
                at=at,
                asks=bool(asks),
                is_claim=is_claim,
            )
            for who, hold in self._asked(unit, event, those, reads=reads):
                name = hold.customer_id, plugin, key, purpose
                held = Held(
                    customer_id=hold.customer_id,
                    plugin=plugin,
                    message_key=key,
                    purpose=purpose,
                    reason=f"{who}: {hold.reason}",
                    may_go_at=hold.not_before,
                )
                found[name] = _stricter(found[name], held) if name in found else held
        return list(found.values())

    def _kinds(
        self, unit: Unit, candidates: FromClause, values: Mapping[str, Any]
    ) -> Sequence[tuple[Any, ...]]:
        """Return the plugin, key, purpose, whether it asks, and number of what goes together."""
        given = candidates.c
        kind = (given.plugin, given.message_key, given.purpose, given.asks)
        statement = select(*kind, func.count()).group_by(*kind).order_by(*kind)
        return unit.connection.execute(statement, **values)

    def _asked(
        self, unit: Unit, event: MessagesProposed, those: Any, *, reads: bool
    ) -> Iterable[tuple[str, Hold]]:
        for plugin, guard in self._guards:
            in_shadow = plugin.name in self._runtime.shadow
            if in_shadow and reads:
                continue  # it holds nobody back, and nothing can be noted

            def ask(plugin: Plugin = plugin, guard: Any = guard) -> list[Hold]:
                return _checked(guard(unit.context(plugin), event))

            holds, error = self._isolated(unit, plugin, ask, reads=reads)
            if in_shadow:
                self._note(unit, plugin, event, those, holds or ())
                continue
            if error is not None:
                said, again = f"raised {type(error).__name__}", event.at + AGAIN
                holds = [
                    Hold(row[0], reason=said, not_before=again)
                    for row in unit.connection.execute(those)
                ]
            yield from ((plugin.name, hold) for hold in holds or () if _holds(hold, event.at))

    def _note(
        self, unit: Unit, plugin: Plugin, event: MessagesProposed, those: Any, holds: Iterable[Hold]
    ) -> None:
        """Keep on record what a plugin in shadow would have held back, once for each message."""
        held = [hold for hold in holds if _holds(hold, event.at)]
        if not held:
            return
        proposed = {row[0] for row in unit.connection.execute(those)}
        held = [hold for hold in held if hold.customer_id in proposed]
        identity = self._runtime.identity
        references = identity.references(unit.connection, {hold.customer_id for hold in held})
        key = identity.keyed_hash("/".join((event.plugin or "", event.key or "", event.purpose)))
        source = shadow_of(plugin.name)
        unit.context(plugin).decisions += [
            self._runtime.ledger.encode(
                Draft(
                    HELD,
                    customer=hold.customer_id,
                    source=source,
                    source_key=f"held:{key}/{references[hold.customer_id]}",
                    actor=source,
                    payload={
                        "message": event.key or "",
                        "plugin": event.plugin or "",
                        "purpose": event.purpose,
                        "reason": hold.reason,
                        "not_before": hold.not_before,
                    },
                ),
                decided=True,
            )
            for hold in held
        ]

    def _isolated(
        self, unit: Unit, plugin: Plugin, ask: Any, *, reads: bool
    ) -> tuple[list[Hold] | None, Exception | None]:
        if not reads:
            return self._dispatcher.isolated(unit, plugin, self._guards.name, ask)
        try:
            with unit.connection.savepoint():
                return ask(), None
        except RetryTransaction:
            raise
        except Exception as error:
            unit.raised.append((plugin.name, self._guards.name, error))
            return None, error


def _filled(statement: Select[Any], values: Mapping[str, Any]) -> Select[Any]:
    """Return a statement with values in the place of its parameters."""

    def fill(element: Any, **_: Any) -> Any:
        if isinstance(element, BindParameter) and element.key in values:
            return bindparam(None, values[element.key], type_=element.type, unique=True)
        return None

    filled: Any = replacement_traverse(statement, {}, fill)
    return filled  # type: ignore[no-any-return]


def _checked(answer: object) -> list[Hold]:
    if answer is None:
        return []
    if isinstance(answer, Iterable):
        holds = list(answer)
        wrong = next((each for each in holds if not isinstance(each, Hold)), None)
        if wrong is None:
            for each in holds:
                _check(each)
            return holds
        answer = holds
    raise TypeError(f"guard_message returned {answer!r}; Hold objects or None expected")


def _check(hold: Hold) -> None:
    """Refuse what cannot be stored, where it is still the guard's own fault."""
    customer, reason, later = hold.customer_id, hold.reason, hold.not_before
    if not _is_whole(customer):
        raise TypeError(f"guard_message holds {customer!r}; a customer's id is expected")
    if type(reason) is not str or "\0" in reason or not is_encodable(reason):
        raise TypeError(f"guard_message says {reason!r}; text that can be stored is expected")
    if later is not None and not _is_whole(later):
        raise TypeError(
            f"guard_message holds customer {customer} until {later!r}; microseconds since 1970, "
            "or None, are expected"
        )


def _is_whole(value: object) -> bool:
    return type(value) is int and value.bit_length() < _BITS


def _holds(hold: Hold, at: int) -> bool:
    return hold.not_before is None or hold.not_before > at


def _stricter(one: Held, other: Held) -> Held:
    """Return the no, or else what waits longer."""
    if one.may_go_at is None or other.may_go_at is None:
        return one if one.may_go_at is None else other
    return one if one.may_go_at >= other.may_go_at else other
