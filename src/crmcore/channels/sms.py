"""The SMS channel: text messages to phones, through a provider that can be exchanged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from attrs import define, field
from typing_extensions import override

from crmcore.channels.twilio import Twilio
from crmcore.domain.message import Channel, Failed, Outcome
from crmcore.errors import ConfigurationError
from crmcore.hooks import Context, MessagesClaimed, Plugin, choice, hookimpl

PROVIDERS = ("twilio",)
_ROOM = 2.0  # times the provider's own patience: names are looked up before it counts


class Provider(Protocol):
    """
    Who carries text messages.

    Whoever writes one decides, for each way in which it can fail, what that says of the message:
    `Deferred` only where it certainly was not taken, `Unknown` wherever it may have been.
    """

    idempotent: bool
    """Whether it takes a key by which it knows a message that it had before."""

    seconds: float
    """How long one message may take."""

    def send(self, number: str, text: str, key: str) -> Outcome:
        """
        Hand one message over; raises nothing.

        Args:
            number: In E.164, such as `+4930123456`.
            key: By which it knows the message again, if it does that.
        """


@define(eq=False)
class Sms(Plugin):
    """
    Delivers text messages; what they say is the content's `text`.

    Attributes:
        provider: `twilio`.
        account: The provider's name for the shop's account.
        token: The account's secret; better kept in a file of its own.
        token_file: Where that file is, in place of *token*.
        sender: The number, or name, they come from.
        url: Where the provider is, without the path; for its own address leave it out.
        seconds: How long the provider may take.
        carrier: A provider of one's own, in place of all of these; from code.
    """

    name: ClassVar[str] = "sms"

    provider: str = field(default="twilio", validator=choice(*PROVIDERS))
    account: str = ""
    token: str = field(default="", repr=False)
    token_file: str | None = None
    sender: str = ""
    url: str | None = None
    seconds: float = 10.0
    carrier: Any = field(default=None, repr=False)
    _made: Twilio | None = field(default=None, init=False, repr=False)

    @hookimpl
    @override
    def register_channels(self) -> Iterable[Channel]:
        carrier = self._carrier()
        return [
            Channel(
                "sms",
                scheme="phone",
                idempotent=carrier.idempotent,
                answers_within=max(60.0, _ROOM * carrier.seconds),
            )
        ]

    @hookimpl
    @override
    def deliver_messages(self, ctx: Context, event: MessagesClaimed) -> Sequence[Outcome]:
        carrier = self._carrier()
        return [
            carrier.send(each.address, each.content.text, each.idempotency_key)
            if each.content.text
            else Failed("it says nothing: the content's text is empty")
            for each in event.deliveries
        ]

    def _carrier(self) -> Provider:
        if self.carrier is not None:
            return self.carrier  # type: ignore[no-any-return]
        if self._made is None:
            self._made = Twilio(
                account=self._needed("account", self.account),
                token=self._needed("token", self._token()),
                sender=self._needed("sender", self.sender),
                seconds=self.seconds,
                **({} if self.url is None else {"url": self.url}),
            )
        return self._made

    def _token(self) -> str:
        if self.token_file is None:
            return self.token
        try:
            return Path(self.token_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigurationError(
                f"the sms channel's token_file {self.token_file!r} cannot be read: {error}"
            ) from error

    def _needed(self, setting: str, value: str) -> str:
        if not value:
            raise ConfigurationError(f"the sms channel's {setting} is missing; set it in crm.toml")
        return value
