"""`crm demo`: a real shop's history replayed through every strategy that is installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Final

import click

from crmcore.cli.faults import faults_told
from crmcore.cli.installed import PLUGINS, Installed
from crmcore.cli.shell import echo_json, json_option
from crmcore.cli.terminal.page import Page, open_page
from crmcore.cli.terminal.progress import progress, working
from crmcore.cli.terminal.trial import show_cost, show_example, show_trial
from crmcore.configuration import load_configuration
from crmcore.domain.clock import Calendar
from crmcore.errors import ConfigurationError
from crmcore.replay.history import load_cdnow
from crmcore.replay.trial import Example, kinds_of, try_configuration

CURRENCY: Final = "USD"  # in which the log counts

TOLD: Final = ("tiering",)
"""The plugins that a log of purchases, and nothing else, tells enough for."""

NEXT: Final = (
    ("crm init", "write a crm.toml for your shop"),
    ("crm try crm.toml --history FILE --mapping FILE", "the same with your history"),
    ("crm hooks", "where a plugin of yours joins in"),
)


@click.command
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Keep the configuration and the database there, to look around in.",
)
@json_option
def demo(keep: Path | None, as_json: bool) -> None:
    """
    Replay a real shop's 78 weeks.

    The purchases are those of CDNOW, a shop for music on the web; they come with the package
    lifetimes. Of the plugins that are installed, those take part that such a log tells enough
    for, with their default settings.
    """
    with _folder(keep) as folder:
        configuration = load_configuration(_write_configuration(folder))
        with working("Reading the purchases of CDNOW"):
            history = load_cdnow(kinds=kinds_of(configuration))
        into = str(configuration.arguments()["url"]) if keep is not None else None
        with faults_told(now=False), progress("Replaying 78 weeks") as advance:
            trial = try_configuration(configuration, history, progress=advance, into=into)
    if as_json:
        echo_json(trial.to_json())
        return
    page = open_page()
    page.say(
        "CDNOW sold music on the web. Its real log of purchases, of everyone who first bought in "
        "early 1997, is replayed day by day through the lifecycle and the strategies. Amounts are "
        "in US dollars.",
    )
    show_trial(page, trial)
    if not trial.reports:
        page.gap()
        page.say("No strategy is installed; crmcore-tiering is one to begin with.", "bad")
    show_example(page, trial, Calendar())
    show_cost(page, trial, f"Kept in {keep}." if keep is not None else "Nothing was kept.")
    _show_next(page, keep, trial.example)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with TemporaryDirectory(prefix="crm-demo-") as scratch:
            yield Path(scratch)
        return
    if keep.exists() and any(keep.iterdir()):
        raise ConfigurationError(f"{keep} is not empty; name a folder that is not there yet")
    keep.mkdir(parents=True, exist_ok=True)
    try:
        yield keep
    except BaseException:
        rmtree(keep)  # half a demo is none
        raise


def _write_configuration(folder: Path) -> Path:
    found = [each for each in Installed.of(PLUGINS) if each.name in TOLD]
    tables = [f"[plugins.{each.name}]\n" for each in found]
    path = folder / "crm.toml"
    path.write_text(
        "\n".join(
            (
                "# Written by `crm demo`: plugins with their default settings.",
                f'[crm]\ndatabase = "sqlite:///crm.db"\ncurrency = "{CURRENCY}"\n',
                *tables,
            )
        ),
        encoding="utf-8",
    )
    return path


def _show_next(page: Page, keep: Path | None, example: Example | None) -> None:
    page.heading("next")
    rows = list(NEXT)
    if keep is not None and example is not None:
        customer = example.view.customer.identifiers[0]
        rows.insert(0, (f"crm --config {keep / 'crm.toml'} why {customer}", "why, step by step"))
    else:
        rows.insert(0, ("crm demo --keep cdnow", "keep it, to look around in"))
    width = max(len(command) for command, _ in rows)
    for command, what in rows:
        page.put([(f"{command:{width}}", "bold"), (f"  {what}", "dim")])
