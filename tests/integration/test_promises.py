"""Hooks that go away: who implements one is warned for a release, then told what replaced it."""

from __future__ import annotations

import warnings

import pytest
from attrs import define
from click.testing import CliRunner

from crmcore import Crm, Plugin, hookimpl
from crmcore.cli import crm
from crmcore.errors import PluginError
from crmcore.hooks import SPECS
from crmcore.hooks.markers import Promise, hookspec, promise_of
from crmcore.services.starting import assembly, promises
from tests.support.databases import scratch


class OldHooks:
    """Where plugins took part in what was."""

    @hookspec(since="0.1", deprecated_in="0.3", removed_in="0.4", use="on_interactions_recorded")
    def on_orders_seen(self, ctx, event) -> None:
        """Take an order that somebody has seen."""

    @hookspec(since="0.2")
    def on_orders_kept(self, ctx, event) -> None:
        """Take an order that is kept."""


@pytest.fixture
def at(monkeypatch):
    """Return what gives crmcore a version, and the old hooks besides its own."""
    monkeypatch.setattr(assembly, "SPECS", (*SPECS, OldHooks))
    return lambda version: monkeypatch.setattr(promises, "present_version", lambda: version)


def old(name="old", *hooks):
    members = {hook: hookimpl(_hook(hook)) for hook in hooks or ("on_orders_seen",)}
    bases = (Plugin, OldHooks)
    return define(eq=False)(type(name.title(), bases, {"name": name, **members}))()


def _hook(name):
    def hook(self, ctx, event):
        return None

    hook.__name__ = name
    return hook


def started(*plugins):
    """Start with these plugins, and return what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Crm(scratch(), plugins=plugins).close()
    return [str(each.message) for each in caught if each.category is DeprecationWarning]


def test_before(at):
    """Before it is deprecated nobody is warned."""
    at("0.2.9")

    assert [] == started(old())


@pytest.mark.parametrize("version", ["0.3", "0.3.17"])
def test_deprecated(at, version):
    """Whoever implements it is told once: since when, until when, and what to use."""
    at(version)

    assert [
        "plugin 'old' implements on_orders_seen, which is deprecated since crmcore 0.3 and goes in "
        "0.4; use on_interactions_recorded instead"
    ] == started(old("old", "on_orders_seen", "on_orders_kept"))
    assert [] == started(old("old", "on_orders_kept"))
    assert 2 == len(started(old("one"), old("two")))


@pytest.mark.parametrize("version", ["0.4", "0.10", "1.0"])
def test_removed(at, version):
    """A plugin that still has it does not start, and is told what replaced it."""
    at(version)

    with pytest.raises(PluginError) as caught:
        started(old())

    assert (
        "plugin 'old': implements on_orders_seen, which crmcore 0.4 has removed; use "
        "on_interactions_recorded instead" == str(caught.value)
    )
    assert [] == started(old("old", "on_orders_kept"))


def test_shown(monkeypatch):
    """`crm hooks show` tells of a hook since when it is there, and until when."""
    monkeypatch.setattr("crmcore.cli.hook.SPECS", (*SPECS, OldHooks))
    monkeypatch.setattr(assembly, "SPECS", (*SPECS, OldHooks))
    monkeypatch.setattr("crmcore.cli.hook.event_of", lambda hook: None)

    result = CliRunner().invoke(crm, ["hooks", "show", "on_orders_seen"])

    assert "Deprecated since 0.3, and goes in 0.4; use on_interactions_recorded." in result.output


def test_plain():
    """A hook without dates was there from the beginning, and stays."""
    promise = promise_of(Plugin.on_interactions_recorded)

    assert Promise(since="0.1") == promise
    assert not promise.is_deprecated("99.0")


@pytest.mark.parametrize(
    ("dates", "sentence"),
    [
        ({"removed_in": "0.3", "use": "x"}, "removed in 0.3 without a warning"),
        ({"deprecated_in": "0.3"}, "use= does not say what replaces it"),
        ({"deprecated_in": "0.3", "removed_in": "0.3.0", "use": "x"}, "after the one before"),
        ({"since": "0.4", "deprecated_in": "0.3", "use": "x"}, "after the one before"),
        ({"since": "soon"}, "version 'soon' found"),
    ],
)
def test_dates_that_do_not_fit(dates, sentence):
    """A hook goes with a warning of a release before, and with a word on what replaces it."""
    with pytest.raises(ValueError, match=sentence):
        hookspec(**dates)(_hook("on_orders_seen"))


def test_every_hook_has_dates():
    """What is deprecated among the hooks there are is not due to be gone by now."""
    present = promises.present_version()
    specs = [member for spec in SPECS for member in vars(spec).values()]

    assert [
        spec
        for spec in specs
        if hasattr(spec, "crmcore_spec") and promise_of(spec).is_removed(present)
    ] == []
