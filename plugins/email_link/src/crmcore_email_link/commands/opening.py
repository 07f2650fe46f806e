"""What the commands of email share: the shop with its mail, variables from a file, and options."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from crmcore.cli.shell import Shell
from crmcore.errors import InputError, PluginNotFoundError

if TYPE_CHECKING:
    from crmcore import Crm
    from crmcore_email_link.plugin import EmailLink

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

PURPOSES: Final = ("service", "care", "news", "promotion", "survey")
"""What a mail may be for; here again, as listing commands is to import nothing."""


@contextmanager
def open_post(shell: Shell) -> Iterator[tuple[Crm, EmailLink]]:
    """Open the shop, and give it with its plugin for mail."""
    from crmcore_email_link.plugin import EmailLink

    with shell.open() as crm:
        try:
            plugin = crm.plugin(EmailLink)
        except PluginNotFoundError:
            raise InputError(
                f"{shell.config} does not switch email_link on; a table [plugins.email_link] with "
                "at least sender and base_url is expected"
            ) from None
        yield crm, plugin


def language_option(command: CommandT) -> CommandT:
    """Let a command take `--language`."""
    return click.option(
        "--language", metavar="CODE", help="In which it is read, such as de; the shop's first."
    )(command)


def purpose_option(command: CommandT) -> CommandT:
    """Let a command take `--purpose`."""
    return click.option(
        "--purpose",
        type=click.Choice(PURPOSES),
        help="What it is for: news, unless said otherwise. Only service has no way out in it.",
    )(command)


def variables_option(command: CommandT) -> CommandT:
    """Let a command take `--variables`."""
    return click.option(
        "--variables",
        "file",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="What the template may use, in TOML or JSON.",
    )(command)


def variables_of(file: Path | None, what: str = "the variables") -> dict[str, Any]:
    """
    Return the variables in a file, or what else stands there by name; none, if there is no file.

    Raises:
        InputError: If it cannot be read, or holds no table.
    """
    if file is None:
        return {}
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"{what} in {str(file)!r} cannot be read: {error}") from error
    is_json = file.suffix.lower() == ".json"
    try:
        found: object = json.loads(text) if is_json else tomllib.loads(text)
    except ValueError as error:
        kind = "JSON" if is_json else "TOML"
        raise InputError(f"{what} in {str(file)!r} are no {kind}: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{str(file)!r} holds no table; {what} by name are expected")
    return found


def counted(count: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun, such as `1 mail` and `1,024 mails`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
