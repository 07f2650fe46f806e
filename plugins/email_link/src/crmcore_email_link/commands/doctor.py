"""`crm email doctor`: whether big receivers will take a domain's mail."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
from crmcore.errors import CrmError, InputError
from crmcore_email_link.commands.opening import counted, open_post

if TYPE_CHECKING:
    from crmcore_email_link.dns_doctor import Check
    from crmcore_email_link.dns_lookup import Lookup

_STYLES: Final = {"pass": "good", "fail": "bad", "unknown": "dim"}


@click.command
@click.argument("domain")
@click.option("--selector", "selectors", multiple=True, metavar="NAME", help="Of a DKIM key.")
@click.option("--signer", metavar="DOMAIN", help="That signs; the domain itself, if not said.")
@click.option("--return-path", metavar="DOMAIN", help="That bounces go to; the same.")
@click.option(
    "--address",
    "addresses",
    multiple=True,
    metavar="IP",
    help="Of a machine that hands mail to receivers; none, if a provider does.",
)
@click.option(
    "--records",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help='Ask no name server but this JSON, such as {"shop.example": {"TXT": ["v=spf1 -all"]}}.',
)
@config_option
@json_option
@pass_shell
def doctor(
    shell: Shell,
    domain: str,
    selectors: tuple[str, ...],
    signer: str | None,
    return_path: str | None,
    addresses: tuple[str, ...],
    records: Path | None,
    as_json: bool,
) -> None:
    """
    Tell whether big receivers will take a domain's mail.

    Looks at what Gmail, Yahoo and Microsoft ask of who sends many: SPF, DKIM, DMARC and that they
    fit the domain, names of machines, and where bounces go. Where a crm.toml switches email_link
    on and the shop writes from this domain, it says what signs and where bounces go, and TLS, one
    click and complaints are looked at, too. Each that fails says what to set. Exit code 1 where
    one does.
    """
    from crmcore_email_link.dns_doctor import examine
    from crmcore_email_link.dns_lookup import remembering, system_lookup

    domain = _checked(domain)
    lookup = remembering(_lookup_of(records) if records is not None else system_lookup())
    settings, of_shop, note = _of_shop(shell, domain, lookup)
    found = [
        *examine(
            domain,
            lookup,
            selectors=selectors or settings.get("selectors", ()),
            signer=signer or settings.get("signer"),
            return_path=return_path or settings.get("return_path"),
            addresses=addresses,
        ),
        *of_shop,
    ]
    if as_json:
        echo_json({"domain": domain, "checks": [_json(each) for each in found], "note": note})
    else:
        _tell(open_page(), domain, found, note)
    if any(each.status == "fail" and not each.is_optional for each in found):
        click.get_current_context().exit(1)


def _checked(domain: str) -> str:
    from crmcore_email_link.addresses import parse

    try:
        return parse(f"postmaster@{domain}").domain
    except InputError:
        raise InputError(
            f"{domain!r} is no domain that mail is sent from; one such as shop.example is expected"
        ) from None


def _of_shop(
    shell: Shell, domain: str, lookup: Lookup
) -> tuple[dict[str, Any], Sequence[Check], str | None]:
    """Return what a shop's settings say of sending, what else it tells, and what is to be noted."""
    if not shell.has_configuration:
        return {}, (), "there is no crm.toml, so only the DNS was looked at"
    from crmcore_email_link.checkup import check_shop

    try:
        with open_post(shell) as (crm, plugin):
            composer = plugin.composer
            writes_from = composer.sender.address.rpartition("@")[2]
            if writes_from != domain:
                note = f"the shop writes from {writes_from}, so only the DNS was looked at"
                return {}, (), note
            settings: dict[str, Any] = {"return_path": composer.links.mail_domain}
            if composer.signer is not None:
                settings["selectors"] = [composer.signer.selector]
                settings["signer"] = composer.signer.domain
            return settings, [*check_shop(crm, plugin, lookup)], None
    except CrmError as error:
        # What the DNS says is worth knowing all the same, and most of all before the shop starts.
        return {}, (), f"only the DNS was looked at, as the shop cannot be opened: {error}"


def _lookup_of(file: Path) -> Lookup:
    try:
        found: object = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"the records in {str(file)!r} cannot be read: {error}") from error
    records: dict[tuple[str, str], list[str]] = {}
    for name, kinds in found.items() if isinstance(found, dict) else [("it", None)]:
        if not isinstance(kinds, dict) or not all(
            isinstance(texts, list) and all(isinstance(each, str) for each in texts)
            for texts in kinds.values()
        ):
            raise InputError(
                f"{name!r} in {str(file)!r} is not right; by name and type, lists of texts are "
                'expected, such as {"shop.example": {"TXT": ["v=spf1 -all"]}}'
            )
        for kind, texts in kinds.items():
            records[name.lower().rstrip("."), kind.upper()] = texts

    def lookup(name: str, kind: str) -> Sequence[str]:
        return records.get((name.lower().rstrip("."), kind), ())

    return lookup


def _json(each: Check) -> dict[str, Any]:
    return {
        "name": each.name,
        "status": each.status,
        "found": each.found,
        "cure": each.cure,
        "is_optional": each.is_optional,
    }


def _tell(page: Page, domain: str, found: Sequence[Check], note: str | None) -> None:
    page.heading(domain)
    width = max(len(each.name) for each in found) + 2
    for each in found:
        style: Any = _STYLES[each.status]
        if each.is_optional and each.status == "fail":
            style = ""
        page.put(
            [(f"{each.status:<9}", style), (f"{each.name:<{width}}", "bold")]
            if len(each.found) > page.width - width - 9
            else [(f"{each.status:<9}", style), (f"{each.name:<{width}}", "bold"), (each.found, "")]
        )
        if len(each.found) > page.width - width - 9:
            page.item("", each.found, indent=9)
        if each.cure is not None and max(map(len, each.cure.split())) > page.width - 9:
            page.put([(f"{'':9}{each.cure}", "dim")])  # a key, which is to be copied whole
        elif each.cure is not None:
            page.item("", each.cure, "dim", indent=9)
    page.gap()
    if note is not None:
        page.say(f"Note: {note}.")
    failed = [each for each in found if each.status == "fail" and not each.is_optional]
    if failed:
        page.say(f"{counted(len(failed), 'thing')} to mend before mail goes to many.", "bad")
    else:
        page.say("Nothing is known that keeps mail from being taken.", "good")
