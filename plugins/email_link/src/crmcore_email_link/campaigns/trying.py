"""Trying: a campaign's mails rendered for its audience, before any of them is planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from crmcore import Content, Context
from crmcore_email_link.campaigns.campaign import Campaign
from crmcore_email_link.campaigns.resolving import Reader
from crmcore_email_link.composing import Composer
from crmcore_email_link.preflight import Inspected, inspect_template

MOST: Final = 2000
"""Customers a campaign is tried for, evenly from all it is for; rendering all takes a while."""

_PORTION: Final = 1000


@frozen(kw_only=True)
class Tried:
    """
    What was found before a campaign started.

    Attributes:
        audience: How many customers it is for.
        looked_at: For how many of them it was rendered.
        inspected: What was found in each variant and language.
    """

    audience: int
    looked_at: int
    inspected: Sequence[Inspected]

    @property
    def errors(self) -> int:
        """How many findings keep it from being sent."""
        return sum(each.errors for each in self.inspected)


def try_campaign(
    ctx: Context, composer: Composer, reader: Reader, campaign: Campaign, *, most: int = MOST
) -> Tried:
    """
    Return what is wrong with a campaign for those it would go to if it started now.

    Args:
        ctx: The transaction.
        composer: The shop's.
        reader: Reads with what each mail is made.
        campaign: Which is tried; it need not be there.
        most: For how many customers at most.

    Raises:
        ConfigurationError: If what is personal cannot be read.
        SegmentError: If the segment is not right.
    """
    now = ctx.clock.now()
    for variant in campaign.arms:
        composer.catalogue.choose(variant.template, None)
    audience = ctx.segments.audience(campaign.segment, now)
    ids = sorted(row[0] for row in ctx.execute(audience))
    some = ids[:: max(1, -(-len(ids) // most))]
    groups: dict[tuple[str, str], list[tuple[int, Mapping[str, Any]]]] = {}
    for start in range(0, len(some), _PORTION):
        portion = some[start : start + _PORTION]
        wanted = [(each, campaign.content()) for each in portion]
        for customer, content in zip(portion, reader.contents(wanted, now), strict=True):
            if not isinstance(content, Content):
                raise content
            name = content.data["template"]
            language = composer.catalogue.templates[name].language_for(
                composer.language_of(content)
            )
            found = groups.setdefault((name, language), [])
            found.append((customer, content.data["variables"]))
    return Tried(
        audience=len(ids),
        looked_at=len(some),
        inspected=[
            inspect_template(
                composer,
                name,
                language,
                at=now,
                purpose=campaign.purpose,
                variables={},
                recipients=recipients,
            )
            for (name, language), recipients in sorted(groups.items())
        ],
    )
