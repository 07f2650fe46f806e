"""The root of the command line: what commands there are, and how errors end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final

import click

from crmcore.cli.installed import COMMANDS, Installed
from crmcore.cli.lazy import Lazy, LazyGroup
from crmcore.cli.shell import Shell
from crmcore.errors import CrmError, PluginError

_TRY, _RUN, _ASK, _PLUGINS = (
    "See what it does",
    "Keep a shop's customer relations",
    "Ask what is known, and why",
    "Plugins and upkeep",
)
_PRIVACY: Final = "What customers may ask of the shop"
_OTHERS: Final = "Commands of plugins"

CORE: Final = {
    "demo": Lazy("crmcore.cli.demo:demo", "Replay a real shop's 78 weeks.", _TRY),
    "try": Lazy("crmcore.cli.trying:try_", "Replay a history through a configuration.", _TRY),
    "init": Lazy("crmcore.cli.init:init", "Write a crm.toml and make its database ready.", _RUN),
    "record": Lazy("crmcore.cli.record:record", "Record one interaction.", _RUN),
    "import": Lazy("crmcore.cli.importing:import_", "Record what a file says.", _RUN),
    "worker": Lazy("crmcore.cli.worker:worker", "Do what is due, until it is stopped.", _RUN),
    "send": Lazy("crmcore.cli.send:send", "Plan a message for a customer.", _RUN),
    "deliver": Lazy("crmcore.cli.deliver:deliver", "Deliver all messages that are due.", _RUN),
    "customer": Lazy("crmcore.cli.groups:customer", "Look at customers.", _ASK),
    "messages": Lazy("crmcore.cli.messages:messages", "List messages, newest first.", _ASK),
    "duplicates": Lazy(
        "crmcore.cli.duplicates:duplicates", "List customers who may be one person.", _ASK
    ),
    "merge": Lazy("crmcore.cli.merging:merge", "Make two customers one.", _RUN),
    "unmerge": Lazy("crmcore.cli.merging:unmerge", "Make two of them again.", _RUN),
    "prove": Lazy(
        "crmcore.cli.proving:prove",
        "Give a customer an identifier that is proved to be theirs.",
        _RUN,
    ),
    "relate": Lazy(
        "crmcore.cli.relating:relate", "Note how a customer is related to another.", _RUN
    ),
    "status": Lazy("crmcore.cli.status:status", "Show how things stand, on one page.", _ASK),
    "export-customer": Lazy(
        "crmcore.cli.export_customer:export_customer",
        "Write down all that is kept of a customer.",
        _PRIVACY,
    ),
    "erase-customer": Lazy(
        "crmcore.cli.erase_customer:erase_customer", "Forget a customer.", _PRIVACY
    ),
    "hold": Lazy(
        "crmcore.cli.erase_customer:hold", "Keep a customer from being forgotten.", _PRIVACY
    ),
    "retention": Lazy(
        "crmcore.cli.retention:retention", "Empty what has been kept for long enough.", _PRIVACY
    ),
    "why": Lazy("crmcore.cli.why:why", "Tell why a customer is treated as they are.", _ASK),
    "segment": Lazy("crmcore.cli.segment:segment", "Find customers by a rule, and tell why.", _ASK),
    "tasks": Lazy(
        "crmcore.cli.tasks:tasks", "List what staff are to do for customers, those due first.", _ASK
    ),
    "task": Lazy(
        "crmcore.cli.groups:task", "Add tasks, give them to somebody, and finish them.", _RUN
    ),
    "access": Lazy("crmcore.cli.groups:access", "Tell who looked at whom.", _ASK),
    "staff": Lazy("crmcore.cli.access:staff", "Tell who may do what.", _ASK),
    "consent": Lazy(
        "crmcore.cli.groups:consent", "Look at what customers agreed to, and note it.", _RUN
    ),
    "explain-send": Lazy(
        "crmcore.cli.explain_send:explain_send",
        "Tell why a message goes to a customer, waits, or does not go.",
        _ASK,
    ),
    "plugins": Lazy("crmcore.cli.groups:plugins", "Look at plugins.", _PLUGINS),
    "hooks": Lazy("crmcore.cli.hooks:hooks", "List the hooks, and who implements them.", _PLUGINS),
    "doctor": Lazy(
        "crmcore.cli.doctor:doctor", "Find what is wrong, each with its cure.", _PLUGINS
    ),
    "new-plugin": Lazy(
        "crmcore.cli.new_plugin:new_plugin", "Write a new plugin, with tests and all.", _PLUGINS
    ),
    "rebuild": Lazy(
        "crmcore.cli.rebuild:rebuild", "Make derived tables anew from the ledger.", _PLUGINS
    ),
    "retry": Lazy(
        "crmcore.cli.retrying:retry", "Try what plugins failed with again, at once.", _PLUGINS
    ),
    "reconcile": Lazy(
        "crmcore.cli.reconcile:reconcile",
        "Check that messages and attempts fit together.",
        _PLUGINS,
    ),
    "snapshot": Lazy(
        "crmcore.cli.snapshot:snapshot",
        "Copy all tables to Parquet files, to be analysed elsewhere.",
        _PLUGINS,
    ),
    "migrate": Lazy(
        "crmcore.cli.migrate:migrate", "Bring an older database to this version.", _PLUGINS
    ),
    "completion": Lazy(
        "crmcore.cli.completion:completion", "Print what completes crm in a shell.", _PLUGINS
    ),
}


class Refusal(click.ClickException):
    """An error that crmcore raises on purpose: one sentence, and exit code 2."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"Error: {self.message}", file=file, err=file is None)


class RootGroup(LazyGroup):
    """The core's commands, and those that plugins bring."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or _load(cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for _, name, _ in self.lines()]

    def lines(self) -> Sequence[tuple[str, str, str]]:
        brought = [
            (_OTHERS, each.name, f"From {each.distribution}.")
            for each in Installed.of(COMMANDS)
            if each.name not in self.lazy
        ]
        return [*super().lines(), *brought]

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CrmError as error:
            raise Refusal(str(error)) from error


def _load(name: str) -> click.Command | None:
    found = [each for each in Installed.of(COMMANDS) if each.name == name]
    if not found:
        return None
    if len(found) > 1:
        owners = " and ".join(each.distribution for each in found)
        raise PluginError(name, f"{owners} both bring a command of this name")
    try:
        command = found[0].point.load()
    except Exception as error:
        raise PluginError(name, f"its command raised {type(error).__name__}: {error}") from error
    if not isinstance(command, click.Command):
        raise PluginError(name, f"its entry point gives {command!r}, a click command expected")
    return command


@click.group(
    "crm",
    cls=RootGroup,
    lazy=CORE,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--config",
    envvar="CRM_CONFIG",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The configuration, crm.toml by default; or set CRM_CONFIG.",
)
@click.version_option(package_name="crmcore", message="crmcore %(version)s")
@click.pass_context
def crm(ctx: click.Context, config: Path | None) -> None:
    """Customer relations for shops: a small core, and a plugin for every strategy."""
    ctx.obj = Shell(config)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        # What a terminal cannot show is replaced: a name in another script is no reason to stop.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
    crm()
