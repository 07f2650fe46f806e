"""A channel nobody receives: it keeps what it was handed, for trials and for tests."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from attrs import asdict, define, field
from typing_extensions import override

from crmcore.domain.message import Accepted, Channel, Delivery, Outcome
from crmcore.hooks import Context, MessagesClaimed, Plugin, hookimpl


@define(eq=False)
class Recording(Plugin):
    """
    Keeps messages in a list, and in a file of JSON lines where one is named.

    Attributes:
        channel: Its name, as messages give it.
        scheme: Of the identifiers it would reach.
        path: The file; each message is a line.
        outbox: What this object was handed, in order.
    """

    name: ClassVar[str] = "recording"

    channel: str = "email"
    scheme: str = "email"
    path: str | None = None
    outbox: list[Delivery] = field(factory=list, init=False, repr=False)

    @hookimpl
    @override
    def register_channels(self) -> Iterable[Channel]:
        return [Channel(self.channel, scheme=self.scheme, at_once=100)]

    @hookimpl
    @override
    def deliver_messages(self, ctx: Context, event: MessagesClaimed) -> Sequence[Outcome]:
        if self.path is not None:
            _append(Path(self.path), "".join(map(_line, event.deliveries)))
        self.outbox += event.deliveries
        return [Accepted(each.idempotency_key) for each in event.deliveries]


def _line(delivery: Delivery) -> str:
    told = {
        "key": delivery.message.key,
        "purpose": delivery.message.purpose,
        "channel": delivery.message.channel,
        "address": delivery.address,
        "idempotency_key": delivery.idempotency_key,
        "content": {name: value for name, value in asdict(delivery.content).items() if value},
    }
    return json.dumps(told, ensure_ascii=False) + "\n"


def _append(path: Path, lines: str) -> None:
    """Write whole lines at the end of a file, and wait until they are on the disk."""
    with path.open("a", encoding="utf-8") as file:
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())
