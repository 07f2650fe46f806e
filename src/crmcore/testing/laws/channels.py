"""Laws of channels: one outcome for each message, sent once, and never to whom it must not go."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, get_args

from attrs import define, evolve, field

from crmcore.app import Crm
from crmcore.domain.identity import Identifier
from crmcore.domain.message import Channel, Content, Delivery, MessageDraft, Outcome
from crmcore.hooks import MessagesClaimed
from crmcore.testing.laws.base import Laws
from crmcore.testing.shop import Shop, clock_of
from crmcore.testing.troubles import troubles
from crmcore.testing.wrapping import Call, wrapped

HOOK: Final = "deliver_messages"
_TEXTS: Final = ("Dear Ada", "Größe 43 ist da: 25 € – «jetzt»", "", "x" * 2000, "line\nand line")
_ODD: Final = "a subject\nof two lines"


@define
class Seen:
    """What a channel was handed, call by call, and what it answered."""

    deliveries: list[Sequence[Delivery]] = field(factory=list)
    answers: list[Any] = field(factory=list)
    again: bool = False
    changed: list[str] = field(factory=list)

    def around(self, ctx: Any, event: MessagesClaimed, call: Call) -> Any:
        answer = call()
        self.deliveries.append(event.deliveries)
        self.answers.append(answer)
        if self.again:
            before = _files()
            self.answers.append(call())
            after = _files()
            self.changed += [n for n in {*before, *after} if before.get(n) != after.get(n)]
        return answer

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        """Return the key of each message with the kind of its outcome."""
        return [
            (each.message.key, type(answer).__name__)
            for deliveries, answers in zip(self.deliveries, self.answers, strict=True)
            for each, answer in zip(deliveries, answers, strict=True)
        ]


class ChannelLaws(Laws):
    """What is handed to a channel of the plugin has an outcome each, and goes once."""

    def test_one_outcome_for_each_message(self, shop: Shop) -> None:
        """It answers one message, and as many as it takes at once, with an outcome each."""
        for channel in _channels(shop):
            together = _delivered(shop, channel, _drafts(channel))
            alone = _delivered(shop, channel, _drafts(channel), singly=True)
            expected, found = dict(alone.outcomes), dict(together.outcomes)
            wrong = [key for key in expected if found.get(key) != expected[key]]
            if wrong:
                raise shop.broken(
                    f"deliver_messages answers {found.get(wrong[0])} for a message among others, "
                    f"and {expected[wrong[0]]} for the same one alone; return the outcomes in the "
                    "order of event.deliveries, and let none decide about another"
                )

    def test_what_is_handed_over_twice_goes_once(self, shop: Shop) -> None:
        """A channel that says it knows its keys sends what it is handed again no second time."""
        for channel in _channels(shop):
            if not channel.idempotent:
                continue
            seen = _delivered(shop, channel, _drafts(channel), again=True)
            if seen.changed:
                raise shop.broken(
                    f"the channel {channel.name} says it is idempotent, and sends what it is "
                    "handed twice a second time: it wrote "
                    f"{', '.join(sorted(seen.changed))}; go by each delivery's idempotency_key, or "
                    "leave idempotent=True out"
                )
            for first, second in zip(seen.answers[::2], seen.answers[1::2], strict=True):
                if [*map(type, first)] != [*map(type, second)]:
                    raise shop.broken(
                        f"the channel {channel.name} says it is idempotent, and answers otherwise "
                        f"when it is handed the same messages again: {second!r}, not {first!r}"
                    )

    def test_nobody_gets_what_they_refused(self, shop: Shop) -> None:
        """Who opted out or was erased since a message was planned is not in what it is handed."""
        for channel in _channels(shop):
            seen = Seen()
            with _opened(shop, seen) as crm:
                people = [_customer(crm, channel, number) for number in range(3)]
                drafts = _drafts(channel)
                for who, draft in zip(people, drafts, strict=False):
                    crm.send(evolve(draft, customer=who))
                point = _point(channel, 0)
                crm.withhold(point)
                crm.erase(people[1])
                crm.deliver()
            handed = {each.address for deliveries in seen.deliveries for each in deliveries}
            allowed = {_point(channel, 2).value}
            if handed - allowed:
                raise shop.broken(
                    f"the channel {channel.name} was handed a message for "
                    f"{sorted(handed - allowed)}, who do not want it"
                )


def _channels(shop: Shop) -> list[Channel]:
    if not shop.subject.implements(HOOK):
        return []
    return list(shop.subject.make().register_channels() or ())


def _check_answer(shop: Shop, deliveries: Sequence[Delivery], answers: Any) -> None:
    kinds = get_args(Outcome)
    if not isinstance(answers, Sequence) or len(answers) != len(deliveries):
        told = len(answers) if isinstance(answers, Sequence) else repr(answers)
        raise shop.broken(
            f"deliver_messages answers {len(deliveries)} messages with {told} outcomes; return "
            "one for each of event.deliveries, in their order"
        )
    for answer in answers:
        if not isinstance(answer, kinds):
            names = ", ".join(kind.__name__ for kind in kinds)
            raise shop.broken(f"deliver_messages answers {answer!r}; one of {names} is expected")


def _drafts(channel: Channel) -> list[MessageDraft]:
    """Return messages, of which some are odd; each to a customer of its own."""
    drafts = []
    for number, said in enumerate(_TEXTS):
        subject = _ODD if number == 1 else f"No. {number}"
        drafts.append(
            MessageDraft(
                key=f"kit-{number}",
                customer=_point(channel, number),
                purpose="service",
                channel=channel.name,
                content=Content(text=said, subject=subject),
            )
        )
    return drafts


def _point(channel: Channel, number: int) -> Identifier:
    if channel.scheme in ("email", "guest_email"):
        return Identifier(channel.scheme, f"c{number}@example.com")
    if channel.scheme in ("phone", "guest_phone"):
        return Identifier(channel.scheme, f"+4930901820{number:02}")
    return Identifier(channel.scheme, f"c{number}")


def _customer(crm: Crm, channel: Channel, number: int) -> int:
    names = (Identifier("account", f"c{number}"), _point(channel, number))
    return crm.record("account.registered", identifiers=names).customer_id


@contextlib.contextmanager
def _opened(shop: Shop, seen: Seen) -> Iterator[Crm]:
    """Open a shop in a folder of its own, in which what a channel is handed is noted."""
    with (
        tempfile.TemporaryDirectory(dir=shop.folder) as folder,
        contextlib.chdir(folder),
        wrapped(shop, {HOOK: seen.around}).opened() as crm,
    ):
        clock_of(crm).advance_to(clock_of(crm).now() + 12 * 3_600_000_000)  # nobody sleeps
        yield crm


def _delivered(
    shop: Shop,
    channel: Channel,
    drafts: Sequence[MessageDraft],
    *,
    again: bool = False,
    singly: bool = False,
) -> Seen:
    seen = Seen(again=again)
    with _opened(shop, seen) as crm:
        for number in range(len(_TEXTS)):
            _customer(crm, channel, number)
        for draft in drafts:
            crm.send(draft)
            if singly:
                crm.deliver()
        crm.deliver()
        for deliveries, answers in zip(seen.deliveries, seen.answers, strict=not again):
            _check_answer(shop, deliveries, answers)
        told = troubles(crm, shop.subject.name)
        if told:
            raise shop.broken(
                "its channel raises, so nobody knows what became of the messages; answer Failed, "
                "Deferred or Unknown, and write nothing through ctx, as there is no transaction"
                f"\n{told}"
            )
    if not seen.deliveries:
        raise shop.broken(
            f"nothing was handed to the channel {channel.name}; give gates in `options` that let "
            "messages of the purpose service go"
        )
    return seen


def _files() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()}
