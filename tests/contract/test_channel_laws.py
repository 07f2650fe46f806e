"""Each law of channels is broken by a channel that is wrong there, and kept by right ones."""

from pathlib import Path

import pytest
from attrs import define

from crmcore import Accepted, Channel, Failed, hookimpl
from crmcore.channels.files import Files
from crmcore.channels.recording import Recording
from crmcore.testing.laws.channels import ChannelLaws
from tests.contract.support import breaks, shop_with

LAWS = ChannelLaws()


@define(eq=False)
class Losing(Recording):
    """Answers the first of several messages only."""

    @hookimpl
    def deliver_messages(self, ctx, event):
        return [Accepted()]


@define(eq=False)
class Tangled(Recording):
    """Answers those that failed last."""

    @hookimpl
    def deliver_messages(self, ctx, event):
        long = [each for each in event.deliveries if len(each.content.text) > 1000]
        return [Accepted()] * (len(event.deliveries) - len(long)) + [Failed("too long")] * len(long)


@define(eq=False)
class Raising(Recording):
    """Writes in a hook that has no transaction."""

    @hookimpl
    def deliver_messages(self, ctx, event):
        ctx.write(None, [])


@define(eq=False)
class Twice(Recording):
    """Says that it knows its keys, and writes all it is handed."""

    @hookimpl
    def register_channels(self):
        return [Channel("email", scheme="email", idempotent=True, at_once=100)]

    @hookimpl
    def deliver_messages(self, ctx, event):
        with Path("sent.txt").open("a") as file:
            file.writelines(f"{each.idempotency_key}\n" for each in event.deliveries)
        return [Accepted() for _ in event.deliveries]


@pytest.mark.parametrize("plugin", [Files, Recording])
@pytest.mark.parametrize(
    "law",
    [
        LAWS.test_one_outcome_for_each_message,
        LAWS.test_what_is_handed_over_twice_goes_once,
        LAWS.test_nobody_gets_what_they_refused,
    ],
)
def test_right_channels_keep_them(tmp_path, plugin, law):
    """The core's own channels answer in order, once, and are handed nothing they must not have."""
    law(shop_with(plugin, tmp_path))


@pytest.mark.parametrize(
    ("plugin", "told"),
    [
        (Losing, "answers 5 messages with 1 outcomes"),
        (Tangled, "for a message among others"),
        (Raising, "its channel raises"),
    ],
)
def test_wrong_answers_are_found(tmp_path, plugin, told):
    """The message says what was answered, and what is expected."""
    law = LAWS.test_one_outcome_for_each_message
    assert told in breaks(law, shop_with(plugin, tmp_path))


def test_sending_twice_is_found(tmp_path):
    """The message says what was written a second time."""
    law = LAWS.test_what_is_handed_over_twice_goes_once

    assert "it wrote sent.txt" in breaks(law, shop_with(Twice, tmp_path))
