"""`crm email preview`: a mail as it would go, in a browser."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crmcore.cli.shell import Shell, config_option, echo_json, json_option, known_as, pass_shell
from crmcore.errors import InputError
from crmcore_email_link.commands.opening import (
    counted,
    language_option,
    open_post,
    purpose_option,
    variables_of,
    variables_option,
)

if TYPE_CHECKING:
    from crmcore import Crm
    from crmcore_email_link.plugin import EmailLink
    from crmcore_email_link.proofs import Proof
    from crmcore_email_link.viewing import View


@click.command
@click.argument("template")
@click.option("--customer", "who", metavar="SCHEME:VALUE|ID", help="For whom; nobody, if not said.")
@language_option
@purpose_option
@variables_option
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where the page goes; TEMPLATE-LANGUAGE.html here, if not said.",
)
@click.option(
    "--eml",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where the octets go; beside the page, if not said.",
)
@click.option("--open", "opens", is_flag=True, help="Open the page in a browser.")
@click.option("--serve", is_flag=True, help="Write nothing; show it on this machine until Ctrl-C.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8025,
    show_default=True,
    help="Where it is served; 0 finds a free one.",
)
@click.option("--remote", is_flag=True, help="Fetch images from where they are.")
@config_option
@json_option
@pass_shell
def preview(
    shell: Shell,
    template: str,
    who: str | None,
    language: str | None,
    purpose: str | None,
    file: Path | None,
    page: Path | None,
    eml: Path | None,
    opens: bool,
    serve: bool,
    port: int,
    remote: bool,
    as_json: bool,
) -> None:
    """
    Show a mail as it would go, in a browser.

    The octets are those that would be sent, signed where a key is set. Nothing is recorded, and
    the links are made for no message, so that they unsubscribe nobody. Without --customer it is
    for nobody in particular, and a variable that is not given is called by its name.
    """
    from crmcore_email_link.proofs import proof_of, purpose_for
    from crmcore_email_link.viewing import View
    from crmcore_email_link.wire import check

    variables = variables_of(file)
    with open_post(shell) as (crm, plugin):
        proof = proof_of(
            plugin.composer,
            template,
            at=crm.runtime.clock.now(),
            purpose=purpose_for(template, purpose),
            language=language,
            address=None if who is None else address_of(crm, who),
            variables=variables,
            is_complete=who is not None,
        )
        raw = proof.envelope.raw
        findings = check(raw, signed=plugin.composer.signer is not None)
        notes = _notes(crm, plugin, proof, language)
    view = View(raw=raw, findings=findings, notes=notes, loads_remote=remote)
    if serve:
        if eml is not None:
            _write({eml: raw})
        _serve(view, port)
        return
    name = f"{template}-{proof.language}".replace(".", "-")
    page = page or Path(f"{name}.html")
    eml = eml or page.with_suffix(".eml")
    _write({page: view.html().encode(), eml: view.raw})
    if as_json:
        echo_json(_json(proof, view, page, eml))
    else:
        _tell(view, page, eml)
    if opens:
        click.launch(page.resolve().as_uri())


def address_of(crm: Crm, who: str) -> str:
    """
    Return where mail to a customer goes.

    Raises:
        CustomerNotFoundError: If there is no such customer.
        InputError: If they have no address.
    """
    customer = crm.customer(known_as(who), most=0).customer
    found = {each.scheme: each.value for each in reversed(customer.identifiers)}
    address = found.get("email") or found.get("guest_email")
    if address is None:
        raise InputError(
            f"customer {customer.id} has no address for mail; somebody with one is expected"
        )
    return address


def _notes(crm: Crm, plugin: EmailLink, proof: Proof, language: str | None) -> list[str]:
    from crmcore import Plugin

    notes = []
    if proof.invented:
        names = ", ".join(proof.invented)
        notes.append(f"not given, and so called by their names: {names}")
    if language is not None and language.lower() != proof.language:
        notes.append(f"the template is not in {language!r}; who reads that gets {proof.language!r}")
    others = [each.name for each, _ in crm.runtime.assembly.of(Plugin.prepare_message)]
    if others := [each for each in others if each != plugin.name]:
        notes.append(f"{', '.join(others)} may change it as it goes, which is not seen here")
    return notes


def _write(files: Mapping[Path, bytes]) -> None:
    for path, octets in files.items():
        try:
            path.write_bytes(octets)
        except OSError as error:
            raise InputError(f"{str(path)!r} cannot be written: {error.strerror}") from error


def _serve(view: View, port: int) -> None:
    from crmcore_email_link.commands.serving import server_of

    with server_of(view, port) as server:
        click.echo(f"Showing it at http://localhost:{server.server_port}/ until Ctrl-C.")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo("\nStopped.")


def _json(proof: Proof, view: View, page: Path, eml: Path) -> dict[str, Any]:
    return {
        "template": proof.template,
        "language": proof.language,
        "purpose": proof.purpose,
        "to": proof.envelope.rcpt_to,
        "from": proof.envelope.mail_from,
        "octets": len(view.raw),
        "invented": list(proof.invented),
        "findings": [
            {"severity": each.severity, "code": each.code, "message": each.message}
            for each in view.findings
        ],
        "notes": list(view.notes),
        "html": str(page),
        "eml": str(eml),
    }


def _tell(view: View, page: Path, eml: Path) -> None:
    from email import message_from_bytes, policy

    mail = message_from_bytes(view.raw, policy=policy.default)
    click.echo(f"Subject: {mail['Subject']}")
    for each in view.findings:
        label = click.style(each.severity, fg="red" if each.severity == "error" else "yellow")
        click.echo(f"{label}: {each.message} [{each.code}]")
    for note in view.notes:
        click.echo(f"note: {note}")
    size = counted(len(view.raw), "octet")
    click.echo(f"\n{page}  how it looks\n{eml}  {size}, as they would go")
