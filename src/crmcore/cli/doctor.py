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

    Looks at the tables and their policies, at what is due, owed, failed or parked, at what keeps
    plugins from being told, at messages whose sums do not come out, at the database's settings
    and at slow plugins. Nothing is changed, and nothing is tried again. Exit code 1 where there
    is a fault.
    """
    import attrs

    from crmcore.configuration import load_configuration
    from crmcore.domain.clock import SystemClock
    from crmcore.services.checkups.doctor import examine
    from crmcore.services.starting.assembly import Assembly

    arguments = load_configuration(shell.config).arguments()
    assembly = Assembly(arguments["plugins"], identity=arguments["identity"])
    findings = examine(arguments["url"], assembly, SystemClock().now())
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
    return f"{text[:1].upper()}{text[1:]}."
