"""Routes: who takes mail for a domain, and who stands behind that, by its MX records."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import evolve

from crmcore_email_link.dns_lookup import Lookup
from crmcore_email_link.transports.conversation import Relay


def by_mx(lookup: Lookup, relay: Relay) -> Callable[[str], Sequence[Relay]]:
    """
    Return a route to the receivers' own servers (RFC 5321, 5.1).

    Args:
        lookup: Looks names up; what it raises puts a mail off.
        relay: How the servers are talked to; its host is replaced.
    """

    def route(domain: str) -> Sequence[Relay]:
        return [evolve(relay, host=host) for host in servers_of(domain, lookup)]

    return route


def by_provider(lookup: Lookup) -> Callable[[str], str | None]:
    """
    Return who stands behind a domain, for `Providers`: where its best server is.

    Servers of one provider differ in their first label, as in `aspmx.l.google.com` and
    `gmail-smtp-in.l.google.com`, so the rest of the name is the provider's.
    """

    def provider(domain: str) -> str | None:
        servers = servers_of(domain, lookup)
        if not servers or servers[0] == domain:
            return None
        _, _, rest = servers[0].partition(".")
        return rest if "." in rest else servers[0]

    return provider


def servers_of(domain: str, lookup: Lookup) -> Sequence[str]:
    """Return the names of the servers that take mail for a domain, the best first."""
    records = [each.split() for each in lookup(domain, "MX")]
    if not records:  # then its own address is meant
        return [domain] if lookup(domain, "A") or lookup(domain, "AAAA") else []
    # Of equal preference the name decides, so that connections to it can be used again.
    named = sorted((int(preference), host.lower().rstrip(".")) for preference, host in records)
    return [host for _, host in named if host]  # a dot alone takes no mail: RFC 7505
