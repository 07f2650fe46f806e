"""`crm doctor`: what is wrong, and what helps."""

from __future__ import annotations

from typing import Final

import click

from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell

_COLOURS: Final = {"fault": "red", "warning": "yellow", "note": "cyan"}


@click.command
@config_option
@json_option
@pass_shell
def doctor(shell: Shell, as_json: bool) -> None:
    """
    Find what is wrong, each with its cure.

    Looks at what would stop the start, at the tables and their policies, at what is due, owed,
    failed or parked, at what keeps plugins from being told, at messages whose sums do not come
    out, at the database's settings and at slow plugins. Nothing is changed, and nothing is tried
    again. Exit code 1 where there is a fault.
    """
    import attrs

    from crmcore.app.checking import assembly_of, find_obstacles
    from crmcore.configuration import load_configuration
    from crmcore.domain.clock import SystemClock
    from crmcore.services.checkups.doctor import examine, obstacle
    from crmcore.services.checkups.finding import SEVERITIES

    arguments = load_configuration(shell.config).arguments()
    assembly = assembly_of(arguments)
    findings = sorted(
        [
            *(obstacle(error) for error in find_obstacles(arguments, assembly)),
            *examine(arguments["url"], assembly, SystemClock().now()),
        ],
        key=lambda each: SEVERITIES.index(each.severity),
    )
    if as_json:
        echo_json([attrs.asdict(each) for each in findings])
    for each in () if as_json else findings:
        label = click.style(each.severity.capitalize(), fg=_COLOURS[each.severity], bold=True)
        click.echo(f"{label} ({each.check}): {_sentence(each.found)}\n    {_sentence(each.cure)}\n")
    if not findings and not as_json:
        click.echo("Nothing is wrong.")
    if any(each.severity == "fault" for each in findings):
        raise SystemExit(1)


def _sentence(text: str) -> str:
    """Return a finding as a sentence; a name such as a table's stays as it is written."""
    first = text.split(maxsplit=1)[0] if text.strip() else ""
    is_word = first.isalpha() or first.endswith(",")
    return f"{text[:1].upper() if is_word else text[:1]}{text[1:].rstrip('.')}."
