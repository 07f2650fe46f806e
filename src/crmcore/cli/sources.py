"""The options that say where a history comes from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def mapping_option(command: CommandT) -> CommandT:
    """Let a command take the file that says what a history's columns mean."""
    return click.option(
        "--mapping",
        required=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="The TOML file that says what the columns mean.",
    )(command)


def bad_rows_option(command: CommandT) -> CommandT:
    """Let a command take what to do with rows that are not right."""
    return click.option(
        "--bad-rows",
        type=click.Choice(["stop", "skip"]),
        default="stop",
        show_default=True,
        help="Whether a row that is not right stops the reading, or is skipped and told of.",
    )(command)
