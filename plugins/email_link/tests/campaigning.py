"""Shops that write campaigns, for the tests beside this file."""

from __future__ import annotations

from typing import Any

from crmcore_email_link import EmailLink
from crmcore_email_link.campaigns import Campaign, Variant
from crmcore_email_link.outbox import Outbox
from crmcore_email_link.templates import LocalisedTemplate, MailTemplate

from crmcore import Crm
from plugins.email_link.tests.shops import member, plugin, shop

LETTERS: dict[str, Any] = {
    "tea": MailTemplate("tea", subject="Tea", html="<p>First flush.</p>"),
    "loud": MailTemplate("loud", subject="TEA!", html="<p>FIRST FLUSH!</p>"),
    "named": MailTemplate("named", subject="For {{ name }}", html="<p>{{ name }}</p>"),
    "sums": MailTemplate("sums", subject="{{ spent }} in {{ n }}", html="<p>Thanks.</p>"),
    "news": MailTemplate(
        "news",
        subject="{{ news | length }} new",
        html="<p>This week:</p>{% for each in news %}<p>{{ each.title }}</p>{% endfor %}",
    ),
    "tongues": LocalisedTemplate(
        "tongues",
        {
            "en": MailTemplate("tongues.en", subject="Good day", html="<p>Hi</p>"),
            "de": MailTemplate("tongues.de", subject="Guten Tag", html="<p>Hallo</p>"),
        },
        fallbacks=("en",),
    ),
}


def campaigner(**settings: Any) -> EmailLink:
    """Return the plugin with these letters."""
    return plugin(**{"letters": LETTERS, **settings})


def with_members(count: int, made: EmailLink | None = None, **arguments: Any) -> Crm:
    """Return a shop of so many customers who want its news."""
    crm = shop(made or campaigner(), **arguments)
    for number in range(count):
        member(crm, f"p{number}", "news")
    return crm


def advance(crm: Any, instant: int) -> None:
    """Let the clock say so."""
    crm.runtime.clock.advance_to(instant)


def messages(crm: Crm, key: str = "tea-1") -> list[Any]:
    """Return all messages of a campaign."""
    return list(crm.messages(key=key, most=10_000))


def start(crm: Crm, campaign: Campaign | str = "tea-1", **values: Any) -> Any:
    """Start a campaign, and return its state."""
    if isinstance(campaign, str):
        campaign = Campaign(campaign, **{"template": "tea", **values})
    with crm.begin() as tx:
        return crm.plugin(EmailLink).start_campaign(tx, campaign)


def state(crm: Crm, key: str = "tea-1") -> Any:
    """Return a campaign as it stands."""
    with crm.begin() as tx:
        return crm.plugin(EmailLink).find_campaign(tx, key)


def decide(crm: Crm, what: str, *args: Any, **values: Any) -> Any:
    """Decide something of a campaign: `pause`, `resume`, `cancel` or `edit`."""
    with crm.begin() as tx:
        return getattr(crm.plugin(EmailLink), f"{what}_campaign")(tx, *args, **values)


def two(a: str = "tea", b: str = "loud", *, weight: int = 1) -> tuple[Variant, ...]:
    """Return two variants, the second of a weight."""
    return (Variant("a", template=a), Variant("b", template=b, weight=weight))


class Turning(Outbox):
    """An outbox in which something happens after the first call."""

    def __init__(self, turn: Any) -> None:
        super().__init__()
        self._turn = turn

    def send(self, envelopes: Any) -> Any:
        """Keep what is sent, and do it."""
        outcomes = super().send(envelopes)
        turn, self._turn = self._turn, lambda: None
        turn()
        return outcomes
