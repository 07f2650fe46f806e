"""The fixtures that come with crmcore: a shop, its clock, a customer, and what was delivered."""

import subprocess
import sys
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest
from crmcore_tiering import Tiering

import crmcore.testing
from crmcore import Content, Crm, MessageDraft, VirtualClock
from crmcore.testing import START
from crmcore.testing.pytest_plugin import (  # noqa: F401 - fixtures; installed, they are there
    clock,
    crm,
    customer,
    outbox,
    plugins,
)

REPOSITORY = Path(__file__).parents[2]


def said(key, who, purpose):
    content = Content(text="Dear Ada", subject="Hello")
    return MessageDraft(key=key, customer=who, purpose=purpose, channel="email", content=content)


@pytest.mark.parametrize("purpose", ["promotion", "news", "service"])
def test_what_is_sent_to_the_customer_is_in_the_outbox(crm, customer, outbox, purpose):  # noqa: F811
    """The customer may be told news and offers, and what is delivered can be looked into."""
    crm.runtime.clock.advance_to(crm.runtime.clock.now() + 12 * 3600 * 1_000_000)
    crm.send(said("hello", customer, purpose))
    assert [] == outbox

    crm.deliver()

    assert [("ada@example.com", "Dear Ada")] == [(d.address, d.content.text) for d in outbox]


def test_a_survey_needs_a_consent_of_its_own(crm, customer, outbox):  # noqa: F811
    """Nobody is sent what they did not agree to, in a test neither."""
    crm.runtime.clock.advance_to(crm.runtime.clock.now() + 12 * 3600 * 1_000_000)
    crm.send(said("survey", customer, "survey"))
    crm.deliver()

    assert [] == outbox


def test_the_clock_is_the_shops(crm, clock):  # noqa: F811
    """Time begins where histories do, and passes when a test says so."""
    assert isinstance(clock, VirtualClock)
    assert START == crm.record("order.placed", account="a").occurred_at

    clock.advance_to(clock.now() + 86_400_000_000)

    assert START + timedelta(days=1) == crm.record("order.placed", account="a").occurred_at


class TestWithAPlugin:
    """A fixture of a class, or a file, says which plugins are in the shop."""

    @pytest.fixture
    def plugins(self):
        return [Tiering(review_every_days=7)]

    def test_the_plugins_are_in_the_shop(self, crm, customer):  # noqa: F811
        assert isinstance(crm, Crm)
        assert 7 == crm.plugin(Tiering).review_every_days
        assert "none" == crm.customer(customer).traits["tiering.tier"]


def test_pytest_finds_them():
    """They come with the distribution, without a line in anybody's conftest.py."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))

    expected = {"crmcore": "crmcore.testing.pytest_plugin"}
    assert expected == project["project"]["entry-points"]["pytest11"]


def test_nothing_heavy_is_imported_by_every_run_of_pytest():
    """Whoever has crmcore installed, and tests something else, does not wait for it."""
    code = (
        "import sys, crmcore.testing.pytest_plugin\n"
        "print({'sqlalchemy', 'hypothesis', 'alembic', 'crmcore.app'} & {*sys.modules})"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )

    assert "set()" == found.stdout.strip()


def test_the_kit_says_what_it_promises():
    """Every name in `__all__` is there, and the list is sorted."""
    names = crmcore.testing.__all__

    assert sorted(names, key=lambda n: (not n.isupper(), n[0].islower(), n)) == names
    assert all(getattr(crmcore.testing, name) is not None for name in names)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = crmcore.testing.nothing
