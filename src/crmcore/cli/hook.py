"""`crm hooks show`: all there is to know of one hook."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

import attrs
import click

from crmcore.cli.hooks import configured, signature_of
from crmcore.cli.settings import attribute_helps, summary_of
from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.cli.terminal.page import Page, open_page
from crmcore.errors import NotFoundError, nearest
from crmcore.hooks import SPECS
from crmcore.hooks.markers import Promise, promise_of
from crmcore.hooks.phases import phase_of


@click.command
@click.argument("name")
@config_option
@json_option
@pass_shell
def show(shell: Shell, name: str, as_json: bool) -> None:
    """
    Show all there is to know of a hook.

    When it is called and with what, what becomes of its answer and of an exception, and who
    implements it, in the order in which they are called.
    """
    spec, hook = spec_of(name)
    phase, promise = phase_of(name), promise_of(hook)
    told = {
        "hook": name,
        "theme": spec.__name__.removesuffix("Hooks").lower(),
        "signature": signature_of(hook),
        "description": inspect.getdoc(hook) or "",
        "phase": {
            "prefix": phase.prefix,
            "when": phase.when,
            "results": phase.results,
            "exception": phase.exception,
        },
        "event": event_json(event_of(hook)),
        "implemented_by": [plugin.name for plugin, _ in configured(shell).of(hook)],
        "since": promise.since,
        "deprecated_in": promise.deprecated_in,
        "removed_in": promise.removed_in,
        "use": promise.use,
    }
    if as_json:
        echo_json(told)
    else:
        _print(open_page(), told, promise)


def spec_of(name: str) -> tuple[type, Callable[..., Any]]:
    """Return the class of specs that a hook is in, and its spec; raises `NotFoundError`."""
    found = {
        hook: (spec, member)
        for spec in SPECS
        for hook, member in vars(spec).items()
        if hasattr(member, "crmcore_spec")
    }
    if name not in found:
        raise NotFoundError(f"no hook is named {name!r}{nearest(name, found)}; see `crm hooks`")
    return found[name]


def event_of(hook: Callable[..., Any]) -> type[Any] | None:
    """Return the class of a hook's events; None if it is called without one."""
    given = inspect.signature(hook).parameters.get("event")
    if given is None:
        return None
    # Annotations are kept as texts, and some names beside the event's are for type checkers only.
    found: type[Any] = getattr(sys.modules[hook.__module__], given.annotation)
    return found


def event_json(event: type[Any] | None) -> dict[str, Any] | None:
    """Return what an event tells, field by field."""
    if event is None:
        return None
    helps = attribute_helps(event)
    return {
        "name": event.__name__,
        "description": summary_of(event),
        "fields": [
            {
                "name": each.name,
                "type": each.type if isinstance(each.type, str) else str(each.type),
                "help": helps.get(each.name, ""),
            }
            for each in attrs.fields(event)
            if not each.name.startswith("_")
        ],
    }


def _print(page: Page, told: dict[str, Any], promise: Promise) -> None:
    page.heading(told["hook"], f"{told['theme']}, since {promise.since}")
    page.say(told["signature"], "bold")
    if promise.deprecated_in is not None:
        goes = f", and goes in {promise.removed_in}" if promise.removed_in else ""
        page.gap()
        page.say(f"Deprecated since {promise.deprecated_in}{goes}; use {promise.use}.", "bad")
    for paragraph in told["description"].split("\n\n"):
        page.gap()
        page.say(" ".join(paragraph.split()))
    page.heading("phase", told["phase"]["when"])
    page.item("results", told["phase"]["results"])
    page.item("exception", told["phase"]["exception"])
    event = told["event"]
    if event is not None:
        page.heading("event", event["name"])
        page.say(event["description"])
        if event["fields"]:
            page.gap()
            page.table(
                [("field", "left"), ("type", "left"), ("", "left")],
                [(each["name"], each["type"], each["help"]) for each in event["fields"]],
            )
    page.heading("implemented by")
    page.say(", ".join(told["implemented_by"]) or "No plugin.")
