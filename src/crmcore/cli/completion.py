"""`crm completion`: what makes a shell complete the words of crm."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """
    Print what completes crm in a shell.

    \b
    bash  eval "$(crm completion bash)"   in ~/.bashrc
    zsh   eval "$(crm completion zsh)"    in ~/.zshrc
    fish  crm completion fish > ~/.config/fish/completions/crm.fish
    """  # noqa: D301 - click's mark of lines to be left as they are is a backspace
    found = get_completion_class(shell)
    assert found is not None  # click has all of these
    root = ctx.find_root().command
    click.echo(found(root, {}, "crm", "_CRM_COMPLETE").source())
