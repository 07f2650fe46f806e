"""`crm email news`: what waits for the next issue of a newsletter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crmcore.cli.shell import Shell, config_option, echo_json, json_option, open_page, pass_shell
from crmcore_email_link.commands.opening import counted, open_post, variables_of

if TYPE_CHECKING:
    from crmcore import Transaction


@click.command
@click.argument("newsletter")
@click.option(
    "--add",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="An item in TOML or JSON, such as one with title and url.",
)
@config_option
@json_option
@pass_shell
def news(shell: Shell, newsletter: str, file: Path | None, as_json: bool) -> None:
    """Show what waits for the next issue of a newsletter, or add to it."""
    from crmcore_email_link.commands.campaign_pages import shown

    with open_post(shell) as (crm, plugin):
        item = None if file is None else variables_of(file, "the item's fields")

        def run(tx: Transaction) -> tuple[Any, int | None]:
            if item is not None:
                plugin.add_news(tx, newsletter, item)
            return plugin.waiting_news(tx, newsletter), plugin.next_issues(tx)[newsletter]

        items, due = crm.run_transaction(run)
    if as_json:
        echo_json({"newsletter": newsletter, "items": items, "next_issue": due})
        return
    page = open_page()
    when = "no issue is due" if due is None else f"the next issue is due at {shown(due)}"
    waiting = counted(len(items), "item waits", "items wait")
    page.say(f"{newsletter}: {waiting}, and {when}.", "bold")
    for each in items:
        page.item("  -", json.dumps(each, ensure_ascii=False), indent=4)
