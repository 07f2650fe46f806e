"""`crm try`: a history replayed through a configuration."""

from __future__ import annotations

from pathlib import Path

import click

from crmcore.cli.faults import faults_told
from crmcore.cli.shell import echo_json, json_text
from crmcore.cli.sources import bad_rows_option, mapping_option
from crmcore.cli.terminal.page import open_page
from crmcore.cli.terminal.progress import progress, working
from crmcore.cli.terminal.trial import show_cost, show_example, show_trial
from crmcore.configuration import load_configuration
from crmcore.domain.clock import Calendar
from crmcore.replay.history import BadRows, load_history
from crmcore.replay.mapping import HistoryMapping
from crmcore.replay.trial import Trial, kinds_of, try_configuration

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _check_folder(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    # A replay takes a while: what cannot be written is said before, not after.
    if path is not None and not path.parent.is_dir():
        raise click.BadParameter(f"there is no folder {path.parent}")
    return path


@click.command("try")
@click.argument("config", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--history", required=True, type=FILE, help="The file with the shop's history.")
@mapping_option
@bad_rows_option
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, writable=True, allow_dash=True, path_type=Path),
    metavar="FILE",
    callback=_check_folder,
    help="Write the figures as JSON, too; - for standard output, and nothing else there.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    metavar="N",
    help="The most interactions in one transaction. It changes no result.",
)
def try_(
    config: Path,
    history: Path,
    mapping: Path,
    bad_rows: BadRows,
    json_path: Path | None,
    batch_size: int | None,
) -> None:
    """
    Replay a history through a configuration.

    Time passes as it did in the history, in a scratch database: what each strategy would have
    made of it is shown, and nothing is kept. CONFIG is a crm.toml; its own database is not
    touched.
    """
    configuration = load_configuration(config)
    with working(f"Reading {history.name}"):
        loaded = load_history(
            history,
            HistoryMapping.from_toml(mapping),
            kinds=kinds_of(configuration),
            bad_rows=bad_rows,
        )
    with faults_told(now=False), progress("Replaying") as advance:
        trial = try_configuration(configuration, loaded, batch_size=batch_size, progress=advance)
    if json_path is not None and str(json_path) != "-":
        json_path.write_text(json_text(trial.to_json()) + "\n", encoding="utf-8")
    if json_path is not None and str(json_path) == "-":
        echo_json(trial.to_json())
    else:
        print_trial(trial, Calendar.named(configuration.shop.zone))


def print_trial(trial: Trial, calendar: Calendar) -> None:
    """Write all that a trial found."""
    page = open_page()
    show_trial(page, trial)
    show_example(page, trial, calendar)
    show_cost(page, trial)
