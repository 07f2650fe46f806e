"""The core's own channels keep the contract of plugins."""

from __future__ import annotations

import pytest

from crmcore import Accepted
from crmcore.channels.files import Files
from crmcore.channels.recording import Recording
from crmcore.channels.sms import Sms
from crmcore.testing.contract import PluginContract


class Carrier:
    """A provider of text messages that takes everything."""

    idempotent = True
    seconds = 1.0

    def send(self, number, text, key):
        return Accepted(key)


class TestRecording(PluginContract):
    """The channel that nobody receives."""

    plugin = Recording
    examples = 4
    held = {"outbox": "it keeps what it was handed, for tests to look at"}  # noqa: RUF012


class TestFiles(PluginContract):
    """The channel into a folder."""

    plugin = Files
    examples = 4

    @pytest.fixture(autouse=True)
    def _outbox(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)  # the folder is where the shop runs


class TestSms(PluginContract):
    """The channel to phones."""

    plugin = Sms
    settings = {"carrier": Carrier()}  # noqa: RUF012 - as every contract says it
    examples = 4
