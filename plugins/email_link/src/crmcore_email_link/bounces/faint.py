"""Faint: words that decide only where nothing clearer does, neither words nor a status."""

from __future__ import annotations

from typing import Final

from crmcore_email_link.bounces.wording import Wording

FAINT: Final = (
    # RFC 5321, 4.2.2 lets it mean a refusal, too, but Outlook.com says it of unknown users.
    Wording(
        r"mailbox (?:is )?(?:unavailable|not available)|unavailable mailbox",
        "hard",
        "RFC 5321, 4.2.2: 550, as Outlook.com uses it",
    ),
    Wording(
        r"(?<!recipient )(?<!address )(?:reject|refus|den[iy]|block|bann|disallow|prohibit"
        r"|forbid)\w*|not (?:allowed|accepted|permitted|authori[sz]ed|acceptable)|unacceptable"
        r"|unauthori[sz]ed|restrict\w*|filter\w*|violat\w*|security",
        "block",
        "refusals of no said kind",
    ),
)
