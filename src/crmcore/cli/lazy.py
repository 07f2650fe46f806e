"""Groups whose commands are imported when they are run, not when they are listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from crmcore.errors import nearest


class Lazy(NamedTuple):
    """
    A command that is not imported yet.

    Attributes:
        target: Where it is, as `module:attribute`.
        help: The first line of its help; a test holds the two equal.
        section: The heading it is listed under.
    """

    target: str
    help: str
    section: str = "Commands"

    def load(self) -> click.Command:
        """Import the command."""
        module, _, attribute = self.target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


class LazyGroup(click.Group):
    """A group that lists its commands, with a line of help each, without importing them."""

    def __init__(self, *, lazy: Mapping[str, Lazy], **settings: Any) -> None:
        super().__init__(**settings)
        self.lazy = dict(lazy)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = self.lazy.get(cmd_name)
        return None if found is None else found.load()

    def lines(self) -> Sequence[tuple[str, str, str]]:
        """Return section, name and help of every command, in the order of the listing."""
        return [(each.section, name, each.help) for name, each in self.lazy.items()]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for section, name, text in self.lines():
            sections.setdefault(section, []).append((name, text))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not (name in self.lazy or name.startswith("-") or ctx.resilient_parsing):
            known = [known for _, known, _ in self.lines()]
            if name not in known:
                ctx.fail(f"there is no command {name!r}{nearest(name, known)}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        commands = [
            CompletionItem(name, help=text)
            for _, name, text in self.lines()
            if name.startswith(incomplete)
        ]
        return commands + click.Command.shell_complete(self, ctx, incomplete)
