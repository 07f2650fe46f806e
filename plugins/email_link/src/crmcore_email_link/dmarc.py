"""
DMARC: whose policy counts for a domain, and whether two domains belong together.

By RFC 9989: whose organisation a domain is of follows from a walk up the names that asks for
records, and from no list of public suffixes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import frozen

from crmcore_email_link.dns_lookup import Lookup, tags_of

_MOST_LABELS: Final = 7
"""What a longer name is cut to after it was asked for itself, so that there are 8 questions."""

POLICIES: Final = ("none", "quarantine", "reject")


@frozen
class Policy:
    """
    A DMARC record.

    Attributes:
        domain: Where it stands, without `_dmarc`.
        tags: What it says.
    """

    domain: str
    tags: dict[str, str]

    @property
    def psd(self) -> str:
        """Whether it is of a public suffix: `y`, `n` (and of an organisation), or `u`: not said."""
        return self.tags.get("psd", "u").lower()


@frozen
class Standing:
    """
    What DMARC says of a domain.

    Attributes:
        policy: The record that counts; None: there is none.
        request: What is asked of receivers: `none`, `quarantine` or `reject`; None: nothing.
        organisation: The domain of the organisation it belongs to.
    """

    policy: Policy | None
    request: str | None
    organisation: str


def record_at(domain: str, lookup: Lookup) -> Policy | None:
    """Return the record that stands at a domain itself; of several none counts."""
    texts = [text for text in lookup(f"_dmarc.{domain}", "TXT") if _is_dmarc(text)]
    return Policy(domain, tags_of(texts[0])) if len(texts) == 1 else None


def walk(domain: str, lookup: Lookup) -> Sequence[Policy]:
    """Return the records that a walk up from *domain* finds, the longest name's first."""
    labels = domain.lower().rstrip(".").split(".")
    found: list[Policy] = []
    while labels:
        policy = record_at(".".join(labels), lookup)
        if policy is not None:
            found.append(policy)
            if policy.psd in ("y", "n"):
                break
        labels = labels[-_MOST_LABELS:] if len(labels) > _MOST_LABELS else labels[1:]
    return found


def organisation_of(domain: str, lookup: Lookup) -> str:
    """Return the organisational domain; where nobody says anything, the domain itself."""
    domain = domain.lower().rstrip(".")
    found = walk(domain, lookup)
    for policy in found:
        if policy.psd == "n":
            return policy.domain
        if policy.psd == "y" and policy.domain != domain:
            count = policy.domain.count(".") + 2
            return ".".join(domain.split(".")[-count:])
    return found[-1].domain if found else domain


def standing_of(domain: str, lookup: Lookup) -> Standing:
    """Return what counts for *domain*: its own record, its organisation's, its suffix's."""
    domain = domain.lower().rstrip(".")
    organisation = organisation_of(domain, lookup)
    found = {policy.domain: policy for policy in walk(domain, lookup)}
    policy = found.get(domain) or found.get(organisation)
    if policy is None:
        policy = next((each for each in found.values() if each.psd == "y"), None)
    if policy is None:
        return Standing(None, None, organisation)
    return Standing(policy, _request(policy, is_below=policy.domain != domain), organisation)


def is_aligned(author: str, other: str, lookup: Lookup, *, strict: bool = False) -> bool:
    """Return whether *other*, which was authenticated, speaks for the author's domain."""
    author, other = author.lower().rstrip("."), other.lower().rstrip(".")
    if strict or author == other:
        return author == other
    return organisation_of(author, lookup) == organisation_of(other, lookup)


def _request(policy: Policy, *, is_below: bool) -> str | None:
    wanted = policy.tags.get("p", "").lower()
    if is_below:
        wanted = policy.tags.get("sp", wanted).lower()
    if wanted in POLICIES:
        return wanted
    # Who gives an address for reports and no policy that is one, watches.
    return "none" if "mailto:" in policy.tags.get("rua", "") else None


def _is_dmarc(text: str) -> bool:
    name, _, value = text.partition(";")[0].partition("=")
    return name.strip() == "v" and value.strip() == "DMARC1"
