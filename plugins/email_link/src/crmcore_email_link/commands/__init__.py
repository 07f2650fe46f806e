"""`crm email`: mails looked at before they go, and followed when they have gone."""

from __future__ import annotations

import click

from crmcore_email_link.commands.campaign import campaign
from crmcore_email_link.commands.doctor import doctor
from crmcore_email_link.commands.forget import forget
from crmcore_email_link.commands.lint import lint
from crmcore_email_link.commands.news import news
from crmcore_email_link.commands.preview import preview
from crmcore_email_link.commands.reconcile import reconcile
from crmcore_email_link.commands.status import status
from crmcore_email_link.commands.trial import test


@click.group
def email() -> None:
    """Look at mails before they go, write to many, and see what became of it."""


for _command in (preview, lint, test, campaign, news, status, reconcile, doctor, forget):
    email.add_command(_command)
