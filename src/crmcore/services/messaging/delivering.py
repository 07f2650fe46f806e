"""Delivering: messages claimed, handed to whoever carries them, and settled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import define, evolve, field

from crmcore.domain.message import (
    Accepted,
    Channel,
    Content,
    Delivery,
    Failed,
    Message,
    Outcome,
    Unknown,
    check_content,
)
from crmcore.hooks import MessageClaimed, MessagesClaimed, Plugin
from crmcore.services.background.debts import dict_of
from crmcore.services.background.halving import Failure, attempt, note_failures
from crmcore.services.background.outside import OutsideContext
from crmcore.services.background.portion import Begin, Portion, retried
from crmcore.services.dispatcher import Dispatcher
from crmcore.services.faults import said_by
from crmcore.services.messaging.claims import Claim, Claims, Handed
from crmcore.services.messaging.messages import MessageService
from crmcore.services.messaging.outcomes import checked
from crmcore.services.messaging.settling import Settling
from crmcore.services.recording.encoding import Encoded
from crmcore.services.recording.recorder import Recorder
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

MESSAGES: Final = "messages"
UNANSWERED: Final = "it was handed over, and nobody answered: whoever did it was cut off"
_SETTLES: Final = 5


@define
class _Call:
    """What plugins asked for and raised while some messages were on their way."""

    contexts: dict[str, tuple[Plugin, OutsideContext]] = field(factory=dict)
    failures: list[tuple[Plugin, str, Failure]] = field(factory=list)


class Delivering:
    """Hands messages to the plugins whose channels they go by; each to be received once."""

    def __init__(
        self,
        runtime: Runtime,
        messages: MessageService,
        recorder: Recorder,
        dispatcher: Dispatcher,
        begin: Begin,
    ) -> None:
        self._runtime = runtime
        self._messages = messages
        self._recorder = recorder
        self._begin = begin
        self._claims = Claims(runtime, messages)
        self._settling = Settling(runtime, messages, dispatcher)
        self._prepare = runtime.assembly.of(Plugin.prepare_message)
        deliver = runtime.assembly.of(Plugin.deliver_messages)
        self._hook = deliver.name
        self._deliver = dict_of(deliver)
        self.rehearses = False
        """Whether nothing leaves the house: what would be handed over is taken as accepted."""

    def work(self) -> Iterator[Portion]:
        """Deliver all that is due, and yield after each portion."""
        with self._runtime.database.begin(read_only=True) as connection:
            due = self._messages.next_due(connection)
        if due is None or due > self._runtime.clock.now():
            return
        yield from self._recover()
        for name in sorted(self._runtime.assembly.channels):
            yield from self._work_of(self._runtime.assembly.channels[name])

    def _work_of(self, channel: Channel) -> Iterator[Portion]:
        while True:
            claim = retried(self._runtime.database, lambda: self._claim(channel))
            if claim is None or not claim.looked:
                return
            if claim.refused or not claim.messages:
                yield Portion(work=MESSAGES, done=claim.looked - len(claim.messages))
            left = list(claim.messages)
            while left and self._runtime.clock.now() < claim.until:
                some, left = left[: channel.at_once], left[channel.at_once :]
                yield self._carry(channel, claim, some)
            # Those for whom there was no time go back, for whoever comes first.

    def _claim(self, channel: Channel) -> Claim:
        with self._begin() as unit:
            claim = self._claims.claim(unit, channel)
            self._settling.tell(unit, claim.refused)
            self._recorder.record_decisions(unit)
            return claim

    # -- one call ----------------------------------------------------------------------------

    def _carry(self, channel: Channel, claim: Claim, some: Sequence[Message]) -> Portion:
        """Prepare messages, hand them over, and settle what becomes of them."""
        call = _Call()
        contents: dict[int, Content] = {}
        failed: list[tuple[Message, str]] = []
        for message in some:
            content, said = self._prepared(call, message)
            if said is None:
                contents[message.id] = content
            else:
                failed.append((message, said))
        ready = [message for message in some if message.id in contents]

        def hand_over() -> list[Handed]:
            with self._begin() as unit:
                if failed:
                    aside = self._claims.set_aside(unit, claim, failed)
                    self._settling.tell(unit, [(each, "claimed") for each in aside])
                handed = self._claims.hand_over(unit, claim, channel, ready)
                if len(handed) < len(ready):
                    there = {each.message.id for each in handed}
                    left = [message for message in ready if message.id not in there]
                    self._claims.release(unit, claim, left)
                if not handed:
                    self._note(unit, call)
                    self._recorder.record_decisions(unit)
                return handed

        handed = retried(self._runtime.database, hand_over) or []
        accepted = 0
        if handed:
            results = self._hand(call, channel, handed, contents)
            self._settle(call, channel, results)
            accepted = sum(isinstance(outcome, Accepted) for _, outcome in results)
        return Portion(
            work=MESSAGES,
            plugin=self._runtime.assembly.carriers[channel.name].name,
            done=accepted,
            failed=len(handed) - accepted + len(failed),
        )

    def _prepared(self, call: _Call, message: Message) -> tuple[Content, str | None]:
        """Return what a message says in the end; or why its own plugin could not tell."""
        content = message.content or Content()
        for plugin, prepare in self._prepare:
            context = self._context(call, plugin)
            try:
                changed: object = prepare(context, MessageClaimed(message, content))
                if changed is not None:
                    checked_content = check_content(changed)
                    if plugin.name not in self._runtime.shadow:
                        content = checked_content
            except Exception as error:
                call.failures.append(
                    (plugin, self._prepare.name, Failure(self._prepare.name, error))
                )
                error.add_note(f"It was about message {message.key!r} ({message.id}).")
                if plugin.name == message.plugin:
                    said = f"{plugin.name} raised {type(error).__name__}: {said_by(error)}"
                    return content, said
        return content, None

    def _hand(
        self,
        call: _Call,
        channel: Channel,
        handed: Sequence[Handed],
        contents: Mapping[int, Content],
    ) -> list[tuple[Handed, Outcome]]:
        """Call the channel's plugin, and return one outcome for each message, whatever it does."""
        # An address may have gone since the gate looked; the attempt at it is settled, too.
        homeless = [each for each in handed if each.message.address is None]
        going = [each for each in handed if each.message.address is not None]
        gone: list[tuple[Handed, Outcome]] = [
            (each, Failed("the address it was to go to is not there any more")) for each in homeless
        ]
        if not going:
            return gone
        if self.rehearses:
            return gone + [(each, Accepted()) for each in going]
        deliveries = tuple(
            Delivery(
                message=evolve(each.message, content=contents[each.message.id]),
                content=contents[each.message.id],
                address=each.message.address or "",
                idempotency_key=each.key,
            )
            for each in going
        )
        outcomes = self._call(call, channel, deliveries)
        return gone + list(zip(going, outcomes, strict=True))

    def _call(
        self, call: _Call, channel: Channel, deliveries: tuple[Delivery, ...]
    ) -> list[Outcome]:
        plugin = self._runtime.assembly.carriers[channel.name]
        event = MessagesClaimed(channel=channel, deliveries=deliveries)
        try:
            found: object = self._deliver[plugin.name](self._context(call, plugin), event)
            return checked(found, len(deliveries))
        except Exception as error:
            call.failures.append((plugin, self._hook, Failure(self._hook, error)))
            said = f"channel {channel.name!r} raised {type(error).__name__}: {said_by(error)}"
            return [Unknown(said)] * len(deliveries)

    def _settle(
        self, call: _Call, channel: Channel, results: Sequence[tuple[Handed, Outcome]]
    ) -> None:
        def settle() -> bool:
            with self._begin() as unit:
                facts = self._settling.settle(unit, results, channel)
                self._note(unit, call)
                self._record(unit, facts)
            return True

        # Whatever stands in the way, the provider has them by now: it is worth waiting.
        for _ in range(_SETTLES):
            if retried(self._runtime.database, settle):
                return

    def _note(self, unit: Unit, call: _Call) -> None:
        """Do what plugins asked for on the way, and write down what they raised."""
        failures = list(call.failures)
        for plugin, context in call.contexts.values():
            failure = attempt(
                unit,
                plugin,
                "record",
                lambda plugin=plugin, context=context: context.apply(unit.context(plugin)),  # type: ignore[misc]
            )
            if failure is not None:
                failures.append((plugin, "record", failure))
        for plugin, hook, failure in failures:
            note_failures(unit, plugin, [(hook, failure)])

    def _context(self, call: _Call, plugin: Plugin) -> OutsideContext:
        found = call.contexts.get(plugin.name)
        if found is None:
            found = plugin, OutsideContext(self._runtime, plugin)
            call.contexts[plugin.name] = found
        return found[1]

    def _record(self, unit: Unit, facts: list[Encoded]) -> None:
        self._recorder.record_decisions(unit, (), facts)

    # -- after a crash -----------------------------------------------------------------------

    def _recover(self) -> Iterator[Portion]:
        """Give back claims that have ended, and settle what nobody ever answered."""

        def recover() -> int:
            with self._begin() as unit:
                count, by_channel = self._claims.expired(unit)
                facts: list[Encoded] = []
                for name, handed in sorted(by_channel.items()):
                    channel = self._runtime.assembly.channels.get(name)
                    results: list[Any] = [(each, Unknown(UNANSWERED)) for each in handed]
                    facts += self._settling.settle(unit, results, channel)
                    count += len(handed)
                self._record(unit, facts)
                return count

        while count := retried(self._runtime.database, recover):
            yield Portion(work=MESSAGES, done=count)
