"""`crm email lint`: what is wrong with mails, before the first of them goes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from crmcore.cli.shell import (
    Page,
    Shell,
    config_option,
    echo_json,
    json_option,
    open_page,
    pass_shell,
)
from crmcore.errors import InputError
from crmcore_email_link.commands.opening import (
    counted,
    open_post,
    purpose_option,
    variables_of,
    variables_option,
)

if TYPE_CHECKING:
    from crmcore import Crm
    from crmcore_email_link.composing import Composer
    from crmcore_email_link.preflight import Inspected
    from crmcore_email_link.templates import Finding

_STYLES: Final[dict[str, Any]] = {"error": "bad", "warning": "", "note": "dim"}
_NAMED: Final = 5  # recipients that are named of those whom something is about


@click.command
@click.argument("templates", metavar="[TEMPLATE]...", nargs=-1)
@click.option("--campaign", "key", metavar="KEY", help="All that is planned under a key.")
@click.option("--segment", metavar="TEXT|NAME", help="For each of whom a rule means.")
@purpose_option
@variables_option
@config_option
@json_option
@pass_shell
def lint(
    shell: Shell,
    templates: tuple[str, ...],
    key: str | None,
    segment: str | None,
    purpose: str | None,
    file: Path | None,
    as_json: bool,
) -> None:
    """
    Find what is wrong with mails, before the first goes.

    Looks at templates, by default at all, in each of their languages, and at the octets that they
    lead to: headers and how they are folded, what the signature covers, one click, what Gmail
    cuts off, what mail programs do not know, images without words. With --campaign or --segment,
    at every recipient: what is not there for them is named, with how many they are. Exit code 1
    where there is an error; warnings are no errors.
    """
    if key is not None and (segment is not None or templates):
        raise InputError("--campaign says by itself what goes to whom; give it alone")
    if segment is not None and len(templates) != 1:
        raise InputError("--segment wants the name of one template, such as news --segment loyal")
    variables = variables_of(file)
    with open_post(shell) as (crm, plugin):
        at, composer = crm.runtime.clock.now(), plugin.composer
        if key is not None:
            found, notes = _of_planned(crm, composer, key, at)
        else:
            names = templates or tuple(composer.catalogue.templates)
            members = None if segment is None else crm.members(segment)
            found = [*_of_templates(composer, names, members, purpose, variables, at)]
            notes = ["nobody is in the segment"] if members == [] else []
        notes += _of_shop(plugin)
    if as_json:
        echo_json({"templates": [_json(each) for each in found], "notes": notes})
    else:
        _tell(open_page(), found, notes)
    if any(each.errors for each in found):
        click.get_current_context().exit(1)


def _of_templates(
    composer: Composer,
    names: tuple[str, ...],
    members: list[int] | None,
    purpose: str | None,
    variables: dict[str, Any],
    at: int,
) -> Iterator[Inspected]:
    from crmcore_email_link.preflight import inspect_template, languages_of
    from crmcore_email_link.proofs import purpose_for

    for name in names:
        for language in languages_of(composer, name):
            yield inspect_template(
                composer,
                name,
                language,
                at=at,
                purpose=purpose_for(name, purpose),
                variables=variables,
                recipients=None if members is None else [(each, {}) for each in members],
            )


def _of_planned(
    crm: Crm, composer: Composer, key: str, at: int
) -> tuple[list[Inspected], list[str]]:
    from crmcore_email_link.planned import planned_for
    from crmcore_email_link.preflight import inspect_template

    groups, given = planned_for(crm, key, composer.languages[0])
    notes = []
    if not groups and not given:
        notes.append(f"nothing of {key!r} is still to go")
    if given:
        notes.append(f"{counted(given, 'mail')} of {key!r} say what was given, by no template")
    found = [
        inspect_template(
            composer,
            each.template,
            each.language,
            at=at,
            purpose=each.purpose,
            variables={},
            recipients=each.recipients,
        )
        for each in groups
    ]
    return found, notes


def _of_shop(plugin: Any) -> list[str]:
    """Return what is to be said of all mails of a shop."""
    if plugin.composer.signer is None and plugin.transport == "smtp":
        return [
            "mails are not signed here, as dkim_selector is not set; the server that takes them "
            "has to sign them, or big receivers will not have them"
        ]
    return []


def _json(found: Inspected) -> dict[str, Any]:
    return {
        "template": found.template,
        "language": found.language,
        "recipients": found.recipients,
        "lacking": len(found.lacking),
        "findings": [
            {
                "level": each.level,
                "code": each.code,
                "message": each.message,
                "part": each.template,
                "line": each.line,
                "recipients": len(each.recipients),
            }
            for each in found.findings
        ],
    }


def _tell(page: Page, found: list[Inspected], notes: list[str]) -> None:
    for each in found:
        of = f", for {counted(each.recipients, 'customer')}" if each.recipients else ""
        page.put([(each.template, "bold"), (f"  {each.language}{of}", "dim")])
        for finding in each.findings:
            page.item(f"  {finding.level}", _sentence(finding), _STYLES[finding.level])
        if not each.findings:
            page.item("  fine", "nothing is known to be wrong", "good")
    if notes:
        page.gap()
    for note in notes:
        page.say(f"Note: {note}.")
    page.gap()
    page.say(_sum(found), "bad" if any(each.errors for each in found) else "good")


def _sentence(found: Finding) -> str:
    where = found.template if found.line is None else f"{found.template}, line {found.line}"
    whom = ""
    if found.recipients:
        named = ", ".join(str(each) for each in found.recipients[:_NAMED])
        more = ", ..." if len(found.recipients) > _NAMED else ""
        count = counted(len(found.recipients), "customer")
        whom = f" For {count}: {named}{more}."
    return f"{where}: {found.message}. [{found.code}]{whom}"


def _sum(found: list[Inspected]) -> str:
    levels = [each.level for one in found for each in one.findings]
    errors, warnings = levels.count("error"), levels.count("warning")
    what = f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"
    mails = counted(len(found), "mail was", "mails were")
    verdict = "It must not go like this." if errors else "It may go."
    return f"{mails} looked at: {what}. {verdict}" if found else "No mail was looked at."
