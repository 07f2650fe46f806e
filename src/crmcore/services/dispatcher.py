"""The dispatcher: calls plugins so that none of them can harm an order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from decimal import Decimal
from time import perf_counter_ns, thread_time_ns
from typing import Any, TypeVar

from attrs import field, frozen

from crmcore.domain.interaction import Draft
from crmcore.domain.money import Money
from crmcore.errors import MoneyError, RetryTransaction
from crmcore.hooks import (
    Context,
    ExchangeRateWanted,
    InteractionDrafted,
    Plugin,
    Refuse,
    StageChanged,
    StageChangeProposed,
)
from crmcore.services import faults
from crmcore.services.checkups.hook_times import LONG
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

R = TypeVar("R")
Took = tuple[str, str, int, int]
"""Plugin, hook, rows and microseconds of a call."""


@frozen(kw_only=True)
class Call:
    """One plugin's share of a batch, and what it will owe if it fails."""

    plugin: Plugin
    hook: str
    run: Callable[[Context, Any], None]
    event: Any
    customers: Collection[int]
    first: int
    missed: tuple[StageChanged, ...] = ()


@frozen
class Refusals:
    """
    What guards have against a change of stage.

    Attributes:
        reasons: Of those that count; any of them refuses it.
        in_shadow: By plugin, of those that are only kept on record.
    """

    reasons: list[str] = field(factory=list)
    in_shadow: list[tuple[str, str]] = field(factory=list)


class Dispatcher:
    """Calls hooks by the rules of their phase; what a plugin raises becomes a fault."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._critical = runtime.critical
        self._currency = runtime.currency
        self._ledger = runtime.ledger
        self._times = runtime.times
        of = runtime.assembly.of
        self._prepare = of(Plugin.prepare_interaction)
        self._rates = of(Plugin.choose_exchange_rate)
        self._converts = bool(runtime.answering(Plugin.choose_exchange_rate))
        self._guards = of(Plugin.guard_stage_change)

    @property
    def guards_stages(self) -> bool:
        return bool(self._guards)

    def isolated(
        self, unit: Unit, plugin: Plugin, hook: str | Callable[[], str], call: Callable[[], R]
    ) -> tuple[R | None, Exception | None]:
        """
        Call within a savepoint; what is raised is recorded as a fault and returned.

        What the plugin wrote or decided in the call is undone then. Where several hooks are called
        in turn, *hook* tells which one it was.
        """
        decisions = unit.context(plugin).decisions
        before = len(decisions)
        try:
            with unit.connection.savepoint():
                return call(), None
        except RetryTransaction:
            raise
        except Exception as error:
            if plugin.name in self._critical and not unit.spares_critical:
                raise
            del decisions[before:]
            unit.settled.clear()  # undoing gives locks back
            name = hook if isinstance(hook, str) else hook()
            faults.record_fault(
                unit.connection, plugin=plugin.name, hook=name, now=unit.now, error=error
            )
            return None, error

    def prepare(self, unit: Unit, draft: Draft) -> Draft:
        """Return the draft as plugins want it recorded."""
        for plugin, prepare in self._prepare:
            event = InteractionDrafted(draft)
            changed, _ = self.isolated(
                unit,
                plugin,
                self._prepare.name,
                lambda prepare=prepare, plugin=plugin, event=event: self._recordable(  # type: ignore[misc]
                    prepare(unit.context(plugin), event)
                ),
            )
            if changed is not None and plugin.name not in self._runtime.shadow:
                draft = changed
        return draft

    def base_amount(self, unit: Unit, currency: str, minor: int, at: int) -> int | None:
        """Return an amount in the base currency's minor units, or None if nobody could say."""
        if not self._converts:
            raise MoneyError(
                f"an amount in {currency} found, but the shop counts in {self._currency} and no "
                "plugin answers choose_exchange_rate"
            )
        wanted = ExchangeRateWanted(currency=currency, base=self._currency, at=at)
        amount = Money(minor, currency)
        for plugin, choose in self._rates:
            base, _ = self.isolated(
                unit,
                plugin,
                self._rates.name,
                lambda choose=choose, plugin=plugin: self._converted(  # type: ignore[misc]
                    amount, choose(unit.context(plugin), wanted)
                ),
            )
            if base is not None and plugin.name not in self._runtime.shadow:
                return base
        return None

    def _converted(self, amount: Money, rate: object) -> int | None:
        if rate is None:
            return None
        if not (isinstance(rate, Decimal) and rate.is_finite() and rate > 0):
            raise TypeError(f"choose_exchange_rate returned {rate!r}, a positive Decimal expected")
        return amount.convert(rate, self._currency).amount_minor

    def _recordable(self, answer: object) -> Draft | None:
        if answer is None:
            return None
        if not isinstance(answer, Draft):
            raise TypeError(f"prepare_interaction returned {answer!r}, a Draft or None expected")
        self._ledger.encode(answer)
        return answer

    def refusals(self, unit: Unit, proposed: StageChangeProposed) -> Refusals:
        """Return every guard's reason to refuse; none means that the change may happen."""
        found = Refusals()
        owner = self._runtime.shadow_owner(proposed.lifecycle)
        for plugin, guard in self._guards:
            if owner not in (None, plugin.name):
                continue
            answer, error = self.isolated(
                unit,
                plugin,
                self._guards.name,
                lambda guard=guard, plugin=plugin: guard(unit.context(plugin), proposed),  # type: ignore[misc]
            )
            if error is not None:
                reason = f"{plugin.name}: the guard raised {type(error).__name__}"
            elif isinstance(answer, Refuse):
                reason = f"{plugin.name}: {answer.reason}"
            else:
                continue
            if plugin.name in self._runtime.shadow:
                found.in_shadow.append((plugin.name, reason))
            else:
                found.reasons.append(reason)
        return found

    def on(self, unit: Unit, calls: Sequence[Call]) -> None:
        """
        Call `on_` hooks: all within one savepoint, and one by one only if one of them raises.

        Whoever raises has debt from then on, and what it wrote or decided is undone. Who took too
        much time has debt without being called, for a while: the worker calls them.
        """
        resting = [call for call in calls if self._rests(unit, call.plugin)]
        for call in resting:
            _owe(unit, call)
        calls = [call for call in calls if call not in resting] if resting else calls
        if not calls:
            return
        before = [len(unit.context(call.plugin).decisions) for call in calls]
        took: list[Took] = []
        try:
            with unit.connection.savepoint():
                self._run_measured(unit, calls, took)
            if self._times.note(took):
                self._let_rest(unit, calls)
            return
        except RetryTransaction:
            raise
        except Exception:
            self._times.note(took)
            unit.settled.clear()
            for call, count in zip(calls, before, strict=True):
                del unit.context(call.plugin).decisions[count:]
        for call in calls:
            _, error = self.isolated(
                unit,
                call.plugin,
                call.hook,
                lambda call=call: call.run(unit.context(call.plugin), call.event),  # type: ignore[misc]
            )
            if error is not None:
                _owe(unit, call)

    def _rests(self, unit: Unit, plugin: Plugin) -> bool:
        """Return whether a plugin's work is the worker's; the shop waits for critical ones."""
        return self._times.rests(plugin.name, unit.now) and plugin.name not in self._critical

    def _run_measured(self, unit: Unit, calls: Sequence[Call], found: list[Took]) -> None:
        """
        Run each of *calls*, and add to *found* what it took, as it is noted.

        To ask for a thread's CPU time takes some ten times as long as to ask what time it is, and
        a call takes no more CPU than time: only after long ones is it asked for.
        """
        cpu, short, started = thread_time_ns(), 0, perf_counter_ns()
        for call in calls:
            call.run(unit.context(call.plugin), call.event)
            ended = perf_counter_ns()
            took = ended - started
            if took < LONG:
                short += took
            else:
                now = thread_time_ns()
                took, cpu, short = max(now - cpu - short, 0), now, 0
                ended = perf_counter_ns()
            started = ended
            found.append((call.plugin.name, call.hook, len(call.customers), took // 1000))

    def _let_rest(self, unit: Unit, calls: Sequence[Call]) -> None:
        """Leave the work of who took too much time, again and again, to the worker."""
        for call in calls:
            error = self._times.take_breach(call.plugin.name, call.hook, unit.now)
            if error is not None:
                faults.record_fault(
                    unit.connection,
                    plugin=call.plugin.name,
                    hook=call.hook,
                    now=unit.now,
                    error=error,
                )


def _owe(unit: Unit, call: Call) -> None:
    """Note that a plugin has missed a call; the worker makes it good."""
    unit.opening.owes = True
    faults.add_debt(unit.connection, call.plugin.name, call.customers, first=call.first)
    faults.add_missed(unit.connection, call.plugin.name, call.missed)
