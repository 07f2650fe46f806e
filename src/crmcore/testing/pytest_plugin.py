"""
Fixtures for tests of plugins: a shop in memory, its clock, a customer, and what was delivered.

They come with crmcore, by the entry point `crmcore` of pytest. A test file says which plugins are
in the shop, and may say more about any of them by a fixture of the same name:

    @pytest.fixture
    def plugins():
        return [Loyalty(points=2)]

    def test_points(crm, customer, clock, outbox): ...
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

# Every run of pytest imports this module, be it about a shop or not: nothing heavy here.
if TYPE_CHECKING:
    from crmcore.app import Crm
    from crmcore.domain.clock import VirtualClock
    from crmcore.domain.message import Delivery
    from crmcore.hooks import Plugin

PURPOSES = ("promotion", "news")
"""What `customer` agreed to get by email."""


@pytest.fixture
def plugins() -> list[Plugin]:
    """The plugins in the shop of `crm`; none, unless a test's own fixture says which."""
    return []


@pytest.fixture
def clock() -> VirtualClock:
    """The clock of `crm`; it stands at `crmcore.testing.START` until a test moves it on."""
    from crmcore.domain.clock import VirtualClock, to_instant
    from crmcore.testing.strategies import START

    return VirtualClock(to_instant(START))


@pytest.fixture
def crm(plugins: Sequence[Plugin], clock: VirtualClock) -> Iterator[Crm]:
    """A shop in memory with `plugins`; without an email channel of theirs, with a recording one."""
    from crmcore.app import Crm
    from crmcore.channels.recording import Recording

    taken = {each.name for plugin in plugins for each in plugin.register_channels() or ()}
    names = {plugin.name for plugin in plugins}
    mail = [] if "email" in taken or Recording.name in names else [Recording()]
    with Crm("sqlite://", plugins=[*plugins, *mail], clock=clock, durable=False) as made:
        yield made


@pytest.fixture
def customer(crm: Crm) -> int:
    """The id of a customer with an account and an email, who agreed to promotions and news."""
    email = "ada@example.com"
    known = crm.record("account.registered", account="ada", email=email).customer_id
    for purpose in PURPOSES:
        said = {"purpose": purpose, "channel": "email", "point": email}
        crm.record("consent.given", customer=known, payload=said)
    return known


@pytest.fixture
def outbox(crm: Crm) -> list[Delivery]:
    """What the recording channel of `crm` was handed, in order; `crm.deliver()` hands it over."""
    from crmcore.channels.recording import Recording
    from crmcore.errors import PluginNotFoundError

    try:
        return crm.plugin(Recording).outbox
    except PluginNotFoundError:
        pytest.fail("the shop has no Recording channel, as one of its plugins delivers emails")
