"""The page of the command line: every command, with its help and its options."""

from __future__ import annotations

from collections.abc import Iterator

import click

from docs.reference.docstrings import Docstring
from docs.reference.subjects import commands, options_of
from docs.reference.writing import Page, joined, table


def page() -> Page:
    """Return the page, made from the commands themselves."""
    parts = ["# The command line"]
    for words, command in commands():
        parts += [f"## {words} {{ #{words.replace(' ', '-')} }}", *_command(words, command)]
    return Page(path="reference/commands.md", title="The command line", text=joined(parts))


def _command(words: str, command: click.Command) -> Iterator[str]:
    with click.Context(command, info_name=words) as context:
        usage = " ".join(command.collect_usage_pieces(context))
        yield f"```console\n$ {words} {usage}\n```"
        yield Docstring.parsed(command.help or "").text.replace("\b\n", "")
        rows = [
            (f"`{', '.join([*each.opts, *each.secondary_opts])}`", _value(each), each.help or "")
            for each in options_of(command)
        ]
        yield table(["Option", "Takes", "Meaning"], rows)
        if isinstance(command, click.Group):
            listed = [
                (f"[`{words} {name}`](#{words.replace(' ', '-')}-{name})", _short(found))
                for name in command.list_commands(context)
                if (found := command.get_command(context, name)) is not None
            ]
            yield table(["Command", "What it does"], listed)


def _short(command: click.Command) -> str:
    return command.get_short_help_str(limit=200)


def _value(option: click.Option) -> str:
    if option.is_flag or option.count:
        return ""
    if isinstance(option.type, click.Choice):
        return " or ".join(f"`{each}`" for each in option.type.choices)
    shown = (option.metavar or option.type.name).lower()
    default = option.default
    if isinstance(default, str | int | float) and default not in ("", True, False):
        return f"{shown}, `{default}` by default"
    return shown
