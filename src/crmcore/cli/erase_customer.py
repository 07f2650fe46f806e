"""`crm erase-customer` and `crm hold`: a customer is forgotten, or must not be for now."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crmcore.cli.answers import instant_json
from crmcore.cli.customer import known_as
from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.cli.terminal.words import plural
from crmcore.domain.privacy import Certificate, LegalHold, Outcome, Verification

if TYPE_CHECKING:
    from crmcore.app import Crm

_SHOWN = 20


@click.command("erase-customer")
@click.argument("who", metavar="[CUSTOMER]", required=False)
@click.option("--dry-run", is_flag=True, help="Say what would become of what; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@click.option("--reason", metavar="TEXT", help="Why; it stays on record, so name nobody in it.")
@click.option(
    "--to",
    "certificate",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the certificate there, too.",
)
@click.option(
    "--again",
    is_flag=True,
    help="Erase those whom a backup brought back, and do what was not complete.",
)
@click.option(
    "--journal",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the journal of erasures; with --again, read it.",
)
@config_option
@json_option
@pass_shell
def erase_customer(
    shell: Shell,
    who: str | None,
    dry_run: bool,
    yes: bool,
    reason: str | None,
    certificate: Path | None,
    again: bool,
    journal: Path | None,
    as_json: bool,
) -> None:
    """
    Forget a customer.

    CUSTOMER is written as scheme:value, or as an id. All who were merged into them are the same
    person and are forgotten, too. It cannot be undone. What something stood in the way of, such as
    a plugin that is switched off, is done by --again, or by CUSTOMER as an id. Keep the journal
    beside your backups: after one was restored, `crm erase-customer --again --journal FILE`
    forgets them once more.
    """
    if (who is None) == (journal is None and not again):
        raise click.UsageError("name a customer, or give --journal or --again, and not both")
    if certificate is not None:
        _check_writable(certificate)
    with shell.open() as crm:
        if who is None:
            _of_journal(crm, journal, again=again, as_json=as_json)
        elif dry_run:
            _tell_plan(crm, who, as_json=as_json)
        else:
            known = known_as(who)
            if not yes and not as_json:
                plan = crm.plan_erasure(known)
                _tell_outcomes(plan.outcomes, will=True)
                click.confirm(f"Forget customer {plan.customer_id}?", abort=True)
            _tell_done(crm.erase(known, reason=reason, actor="cli"), certificate, as_json=as_json)


def _check_writable(path: Path) -> None:
    """Refuse a path that nothing can be written to, before anything is done."""
    if not path.parent.is_dir():
        raise click.UsageError(f"{path} cannot be written: there is no folder {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise click.UsageError(f"{path} cannot be written: you may not write there")


def _of_journal(crm: Crm, journal: Path | None, *, again: bool, as_json: bool) -> None:
    from crmcore.app.privacy import journal_text, read_journal

    if not again:
        assert journal is not None
        entries = crm.erasure_journal()
        try:
            journal.write_text(journal_text(entries), encoding="utf-8")
        except OSError as error:
            raise click.UsageError(f"{journal} cannot be written: {error.strerror}") from error
        click.echo(f"{plural(len(entries), 'erasure')} written to {journal}.")
        return
    try:
        text = None if journal is None else journal.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{journal} cannot be read: {error}") from error
    done = crm.erase_again(read_journal(text) if text is not None else (), actor="cli")
    if as_json:
        echo_json(
            {
                "erased": [certificate_json(each) for each in done.certificates],
                "held": [hold_json(each) for each in done.held],
            }
        )
        return
    click.echo(f"{plural(len(done.certificates), 'customer')} forgotten again.")
    for each in done.certificates:
        _tell_verification(each.verification)
    for left in done.held:
        click.echo(f"  Left, as they are on hold: customer {left.customer_id}: {left.reason}")


def _tell_plan(crm: Crm, who: str, *, as_json: bool) -> None:
    plan = crm.plan_erasure(known_as(who))
    if as_json:
        echo_json(plan.as_json())
        return
    merged = "".join(f", who is {each}, too" for each in plan.merged[:_SHOWN])
    click.echo(f"Customer {plan.customer_id}{merged}. Nothing is changed.")
    _tell_outcomes(plan.outcomes, will=True)
    for name in plan.absent:
        click.echo(
            f"  Not reached: what plugin {name!r} keeps besides its tables, as it is not here"
        )
    if plan.held is not None:
        click.echo(f"They are on hold, and cannot be forgotten: {plan.held}")


def _tell_outcomes(outcomes: Iterable[Outcome], *, will: bool) -> None:
    for each in outcomes:
        verb = "will be " if will else ""
        whose = f" of {each.plugin}" if each.plugin else ""
        why = f": {each.reason}" if each.reason else ""
        click.echo(f"  {each.what}{whose}, {each.count:,} {verb}{each.fate}{why}")


def _tell_done(done: Certificate, to: Path | None, *, as_json: bool) -> None:
    told = certificate_json(done)
    if to is not None:
        from crmcore.cli.shell import json_text

        try:
            to.write_text(json_text(told) + "\n", encoding="utf-8")
        except OSError as error:
            # What was done is done; it must not look as if it was not.
            click.echo(
                f"Warning: the certificate was not written to {to}: {error.strerror}", err=True
            )
    if as_json:
        echo_json(told)
        return
    click.echo(f"Customer {done.customer_id} was forgotten {instant_json(done.erased_at)}.")
    _tell_outcomes(done.outcomes, will=False)
    _tell_verification(done.verification)


def _tell_verification(found: Verification | None) -> None:
    if found is None:
        return
    read = f"{plural(found.tables, 'table')} and {plural(found.files, 'file')}"
    if found.searched:
        click.echo(f"Looked for {plural(found.searched, 'text')} of theirs in {read}.")
    for title, places in (("Left", found.left), ("Elsewhere", found.elsewhere)):
        for each in places:
            click.echo(f"  {title}: {each.where}, {each.count:,} times: {each.why}")
    for sentence in found.unverified:
        click.echo(f"  Not verified: {sentence}")
    if not (found.is_clean and found.is_complete):
        click.echo("The erasure is not complete yet.")


def certificate_json(done: Certificate) -> dict[str, Any]:
    """Return a certificate as JSON."""
    found = done.verification
    return {
        "erasure": str(done.id),
        "customer": str(done.customer_id),
        "merged": [str(each) for each in done.merged],
        "erased_at": instant_json(done.erased_at),
        "verified_at": instant_json(done.verified_at),
        "actor": done.actor,
        "reason": done.reason,
        "outcomes": [each.as_json() for each in done.outcomes],
        "verification": None if found is None else found.as_json(),
    }


@click.command
@click.argument("who", metavar="[CUSTOMER]", required=False)
@click.option("--reason", metavar="TEXT", help="Why they must not be forgotten.")
@click.option("--release", is_flag=True, help="End the hold.")
@config_option
@json_option
@pass_shell
def hold(shell: Shell, who: str | None, reason: str | None, release: bool, as_json: bool) -> None:
    """
    Keep a customer from being forgotten.

    CUSTOMER is written as scheme:value, or as an id; without one, all holds are listed. While it
    lasts, retention empties nothing of theirs, either.
    """
    with shell.open() as crm:
        if who is not None and release:
            crm.release_hold(known_as(who), actor="cli")
            click.echo("The hold has ended.")
            return
        if who is not None:
            made = crm.hold(known_as(who), reason or "", actor="cli")
            click.echo(f"Customer {made.customer_id} is on hold: {made.reason}")
            return
        _list_holds(crm, as_json=as_json)


def hold_json(each: LegalHold) -> dict[str, Any]:
    """Return a hold as JSON."""
    return {
        "customer": str(each.customer_id),
        "reason": each.reason,
        "since": instant_json(each.since),
        "actor": each.actor,
    }


def _list_holds(crm: Crm, *, as_json: bool) -> None:
    held: Sequence[Any] = crm.holds()
    if as_json:
        echo_json([hold_json(each) for each in held])
        return
    for each in held:
        click.echo(f"{each.customer_id}: {each.reason}, since {instant_json(each.since)}")
    if not held:
        click.echo("Nobody is on hold.")
