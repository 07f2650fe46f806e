"""
What the commands of one call share.

Plugins write their commands with it, too: `Shell` and `pass_shell`, `config_option`, `json_option`
and `echo_json`, `known_as`, `Page` and `open_page` are promised to them. An entry point in the
group `crmcore.commands` gives a click command, and `crm` lists it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from crmcore.cli.terminal.page import Page as Page
from crmcore.cli.terminal.page import open_page as open_page
from crmcore.cli.terminal.progress import working

if TYPE_CHECKING:
    from crmcore.app import Crm
    from crmcore.domain.identity import Known

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

DEFAULT: Final = Path("crm.toml")


class Shell:
    """
    What the commands of one call share; a plugin's command gets it as click's `obj`.

    Attributes:
        config: The path of the configuration.
        is_asked_for: Whether somebody named it, so that it has to be there.
    """

    def __init__(self, config: Path | None = None) -> None:
        self.config = config or DEFAULT
        self.is_asked_for = config is not None

    def choose(self, config: Path) -> None:
        """Take another configuration."""
        self.config = config
        self.is_asked_for = True

    @property
    def has_configuration(self) -> bool:
        """Whether there is one, or has to be."""
        return self.is_asked_for or self.config.exists()

    def open(self) -> Crm:
        """Open the application that the configuration describes; close it by a `with` block."""
        # Most of what a command costs is importing a database; not all need one.
        from crmcore.app import Crm
        from crmcore.cli.faults import faults_told

        click.get_current_context().with_resource(faults_told())
        crm = Crm.from_config(self.config)
        for plugin, customers in crm.debts().items():
            click.echo(
                f"Note: {plugin} has yet to catch up with {customers:,} customers, so what it says "
                "of them is not complete; `crm rebuild` lets it.",
                err=True,
            )
        return crm


def let_time_pass(crm: Crm) -> None:
    """Do what has fallen due, so that what is recorded by hand shows where it leads."""
    with working("Doing what has fallen due"):
        crm.run_due()


def let_debts_be_paid(crm: Crm) -> None:
    """Let plugins that failed before, and may have been mended, catch up."""
    with working("Catching up"):
        crm.pay_debts()


pass_shell = click.make_pass_decorator(Shell, ensure=True)


def known_as(text: str) -> Known:
    """Return the customer that somebody writes as `scheme:value`, or as a bare id."""
    from crmcore.cli import customer

    return customer.known_as(text)


def config_option(command: CommandT) -> CommandT:
    """Let a command take `--config`, too: people write it last."""

    def choose(ctx: click.Context, _: click.Parameter, config: Path | None) -> None:
        if config is not None:
            ctx.ensure_object(Shell).choose(config)

    return click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        callback=choose,
        expose_value=False,
        help="The configuration, crm.toml by default.",
    )(command)


def json_option(command: CommandT) -> CommandT:
    """Let a command answer as JSON: `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")(command)


def echo_json(value: Any) -> None:
    """Print *value* as JSON."""
    click.echo(json_text(value))


def json_text(value: Any) -> str:
    """Return *value* as JSON that people can read, too."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)
