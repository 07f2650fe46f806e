"""`crm hooks`: where plugins can join in, and who does."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from attrs import asdict, frozen

from crmcore.cli.lazy import Lazy, LazyGroup
from crmcore.cli.settings import type_name
from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.cli.terminal.page import open_page
from crmcore.configuration import load_configuration
from crmcore.domain.kind import Kind
from crmcore.domain.relationship import RelationshipSettings, relationship
from crmcore.hooks import SPECS
from crmcore.hooks.phases import phase_of
from crmcore.services.starting.assembly import Assembly


@frozen(kw_only=True)
class Hook:
    """What is shown of a hook; it is called in the order of *implemented_by*."""

    hook: str
    theme: str
    phase: str
    signature: str
    description: str
    implemented_by: list[str]


@click.group(
    cls=LazyGroup,
    lazy={
        "show": Lazy("crmcore.cli.hook:show", "Show all there is to know of a hook."),
    },
    invoke_without_command=True,
)
@click.option("--kinds", is_flag=True, help="List the kinds of interactions instead.")
@config_option
@json_option
@pass_shell
@click.pass_context
def hooks(ctx: click.Context, shell: Shell, kinds: bool, as_json: bool) -> None:
    """
    List the hooks, and who implements them.

    Implementations stand in the order in which they are called. Without a crm.toml, no plugin is
    there to implement any.
    """
    if ctx.invoked_subcommand is not None:
        return
    assembly = configured(shell)
    if kinds:
        _show_kinds(assembly, as_json=as_json)
        return
    found = [
        Hook(
            hook=name,
            theme=spec.__name__.removesuffix("Hooks").lower(),
            phase=phase_of(name).when,
            signature=signature_of(hook),
            description=(inspect.getdoc(hook) or "").partition("\n")[0],
            implemented_by=[plugin.name for plugin, _ in assembly.of(hook)],
        )
        for spec in SPECS
        for name, hook in vars(spec).items()
        if hasattr(hook, "crmcore_spec")
    ]
    if as_json:
        echo_json([asdict(hook) for hook in found])
        return
    page = open_page()
    theme = None
    for hook in found:
        if hook.theme != theme:
            theme = hook.theme
            page.heading(theme)
        page.say(hook.signature, "bold")
        page.item("", hook.description, indent=2)
        by = ", ".join(hook.implemented_by)
        told = f"{hook.phase}; implemented by {by or 'no plugin'}"
        page.item("", told, "good" if by else "dim", indent=2)


def configured(shell: Shell) -> Assembly:
    """Return the plugins of the configuration; none if there is no configuration."""
    if not shell.has_configuration:
        return Assembly([], [relationship(RelationshipSettings())])
    configuration = load_configuration(Path(shell.config))
    return Assembly(configuration.plugins, [relationship(configuration.relationship)])


def signature_of(hook: Callable[..., Any]) -> str:
    """Return a hook as it is written, without its owner."""
    signature = inspect.signature(hook)
    parameters = [
        f"{name}: {each.annotation}"
        for name, each in signature.parameters.items()
        if name != "self"
    ]
    return f"{hook.__name__}({', '.join(parameters)}) -> {signature.return_annotation}"


def _show_kinds(assembly: Assembly, *, as_json: bool) -> None:
    kinds = list(assembly.kinds)
    if as_json:
        echo_json([_kind_json(kind) for kind in kinds])
        return
    page = open_page()
    page.table(
        [("kind", "left"), ("also known as", "left"), ("fields (* is needed)", "left")],
        [(kind.name, ", ".join(kind.aliases), ", ".join(fields_of(kind))) for kind in kinds],
    )


def fields_of(kind: Kind) -> list[str]:
    """Return the fields of a kind's payload; a star marks those that it must have."""
    parameters = inspect.signature(kind.payload).parameters
    return [f"{name}*" if each.default is each.empty else name for name, each in parameters.items()]


def _kind_json(kind: Kind) -> dict[str, Any]:
    parameters = inspect.signature(kind.payload).parameters
    return {
        "kind": kind.name,
        "aliases": list(kind.aliases),
        "version": kind.version,
        "sign": kind.sign,
        "description": kind.description,
        "fields": {
            name: {"type": type_name(each.annotation), "is_needed": each.default is each.empty}
            for name, each in parameters.items()
        },
    }
