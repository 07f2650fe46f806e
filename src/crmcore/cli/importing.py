"""`crm import`: what a file says, into the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from crmcore.app import Crm
from crmcore.cli.shell import (
    Shell,
    config_option,
    echo_json,
    json_option,
    let_debts_be_paid,
    let_time_pass,
    pass_shell,
)
from crmcore.cli.sources import bad_rows_option, mapping_option
from crmcore.cli.terminal.page import open_page
from crmcore.cli.terminal.progress import Progress, progress, working
from crmcore.cli.terminal.trial import show_problems
from crmcore.cli.terminal.words import plural
from crmcore.replay.history import BadRows, History, load_history
from crmcore.replay.mapping import HistoryMapping

BATCH: Final = 5000
"""Interactions in one transaction: others can write in between."""


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@mapping_option
@bad_rows_option
@config_option
@json_option
@pass_shell
def import_(shell: Shell, file: Path, mapping: Path, bad_rows: BadRows, as_json: bool) -> None:
    """
    Record what a file says.

    The file is read to its end before anything is recorded. What was recorded before is not
    recorded again, so a broken import is mended by running it again. A row of what has yet to
    happen is not right.
    """
    with shell.open() as crm:
        with working(f"Reading {file.name}"):
            history = load_history(
                file,
                HistoryMapping.from_toml(mapping),
                kinds=crm.assembly.kinds,
                bad_rows=bad_rows,
                now=crm.runtime.clock.now(),
            )
        let_debts_be_paid(crm)
        with progress("Recording") as advance:
            new = _record(crm, history, advance)
        let_time_pass(crm)
    repeated = len(history.drafts) - new
    if as_json:
        echo_json(
            {
                "rows_read": history.rows_read,
                "rows_left_out": history.rows_left_out,
                "rows_repeated": history.rows_repeated,
                "problems": [
                    {"line": each.line, "problem": each.problem} for each in history.problems
                ],
                "recorded": new,
                "recorded_before": repeated,
            }
        )
        return
    page = open_page()
    page.say(
        f"Recorded {plural(new, 'interaction')} from {plural(history.rows_read, 'row')}; "
        f"{repeated:,} had been recorded before, {history.rows_left_out:,} rows were left out."
    )
    show_problems(page, history.problems)


def _record(crm: Crm, history: History, advance: Progress) -> int:
    new, total = 0, len(history.drafts)
    for start in range(0, total, BATCH):
        new += crm.record_many(history.drafts[start : start + BATCH]).new
        advance(min(start + BATCH, total), total)
    return new
