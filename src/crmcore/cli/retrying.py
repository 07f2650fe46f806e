"""`crm retry`: what plugins failed with, tried again at once."""

from __future__ import annotations

import click

from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.cli.terminal.progress import working
from crmcore.cli.terminal.words import plural
from crmcore.services.background.portion import Portion


@click.command
@click.argument("names", nargs=-1, metavar="[PLUGIN]...")
@config_option
@json_option
@pass_shell
def retry(shell: Shell, names: tuple[str, ...], as_json: bool) -> None:
    """
    Try what plugins failed with again, at once.

    Debts, timers, and what could not be told after a commit are tried whatever their time would
    be, and those that were parked, too; without a PLUGIN, those of all. All else that is due is
    done with it, as `crm worker --once` does.
    """
    done: dict[str, int] = {}
    failed: dict[str, int] = {}

    def tell(portion: Portion) -> None:
        if portion.plugin is not None:
            for counts, count in ((done, portion.done), (failed, portion.failed)):
                counts[portion.plugin] = counts.get(portion.plugin, 0) + count

    with shell.open() as crm, working("Trying again"):
        tried = crm.retry_failed(*names)
        crm.worker(told=tell).once()
        left = {each.name: each for each in crm.status().plugins if each.is_on and each.has_failed}
    if as_json:
        echo_json({"tried": dict(tried), "done": done, "failed": failed, "left": list(left)})
        return
    if not tried:
        click.echo("Nothing had failed.")
    for plugin, count in tried.items():
        click.echo(
            f"{plugin}: {plural(count, 'customer or timer', 'customers and timers')} tried again, "
            f"{done.get(plugin, 0):,} done, {failed.get(plugin, 0):,} failed."
        )
    for each in left.values():
        why = f": {each.last_fault.error}: {each.last_fault.message}" if each.last_fault else "."
        click.echo(f"{each.name} has something left that it failed with{why}", err=True)
