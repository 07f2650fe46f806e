"""`crm migrate`: an older database brought to what this version needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import attrs
import click

from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell

if TYPE_CHECKING:
    from crmcore.services.starting.migrations import MigrationPlan, MigrationStep


@click.command
@click.option("--plan", "only_plan", is_flag=True, help="Show what would be done, and do nothing.")
@config_option
@json_option
@pass_shell
def migrate(shell: Shell, only_plan: bool, as_json: bool) -> None:
    """
    Bring an older database to this version.

    Make a backup first, and stop what works with the database: there is no way back. The core's
    tables come first, then those that plugins own. What a plugin derives is made anew by itself,
    when the database is opened.
    """
    # Alembic is only needed here.
    from crmcore.configuration import load_configuration
    from crmcore.services.starting import migrations

    arguments = load_configuration(shell.config).arguments()
    url, plugins = arguments["url"], arguments["plugins"]
    plan = migrations.plan_migration(url, plugins)
    for warning in plan.warnings:
        click.echo(f"Warning: {warning}.", err=True)
    steps = plan.steps if only_plan else migrations.migrate(url, plugins)
    if as_json:
        echo_json(_as_json(plan, steps, is_done=not only_plan))
    elif not steps:
        click.echo(_nothing(plan))
    elif only_plan:
        _show(steps)
    else:
        for step in steps:
            click.echo(f"{_name(step)}: {step.title}")
        click.echo(f"Applied {len(steps)} revision{'s' if len(steps) > 1 else ''}.")


def _as_json(plan: MigrationPlan, steps: Iterable[MigrationStep], *, is_done: bool) -> Any:
    return {
        "done": is_done,
        "steps": [attrs.asdict(step) for step in steps],
        "warnings": list(plan.warnings),
    }


def _nothing(plan: MigrationPlan) -> str:
    if plan.is_empty:
        return "Nothing to do: the database has no tables yet; they are made when it is opened."
    return "Nothing to do."


def _show(steps: Iterable[MigrationStep]) -> None:
    for step in steps:
        click.echo(f"{_name(step)}: {step.title}\n")
        said = step.sql or "-- What it runs depends on the database."
        click.echo("\n".join(f"    {line}".rstrip() for line in said.splitlines()) + "\n")
    click.echo("Nothing was changed; make a backup, then `crm migrate` does it.")


def _name(step: MigrationStep) -> str:
    return f"{step.component}, revision {step.revision}"
