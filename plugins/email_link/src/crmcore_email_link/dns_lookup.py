"""Looking names up: one small function, so that tests and shops can bring their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from crmcore.errors import ConfigurationError, CrmError

Lookup = Callable[[str, str], Sequence[str]]
"""
Returns what a name has of a type (`TXT`, `MX`, `A`, `AAAA`, `PTR`), as text; nothing, if there is
no such name or it has none; raises `LookupFailedError` if nobody can tell. A `TXT` is one text,
its strings joined; an `MX` is a preference and a name, such as `10 mx.example.com`.
"""


class LookupFailedError(CrmError):
    """No name server gave an answer, so nothing is known."""


def remembering(lookup: Lookup) -> Lookup:
    """Return *lookup* with a memory, so that nothing is asked twice; it is for one examination."""
    known: dict[tuple[str, str], Sequence[str]] = {}

    def ask(name: str, kind: str) -> Sequence[str]:
        key = (name.lower().rstrip("."), kind)
        if key not in known:
            known[key] = lookup(*key)
        return known[key]

    return ask


def system_lookup(*, seconds: float = 5.0) -> Lookup:
    """Return a lookup by the name servers of this machine; needs dnspython."""
    try:
        import dns.exception
        import dns.resolver
    except ImportError as error:
        raise ConfigurationError(
            "looking names up needs dnspython; install crmcore-email-link[dns], or give a lookup"
        ) from error
    resolver = dns.resolver.Resolver()
    resolver.lifetime = seconds

    def ask(name: str, kind: str) -> Sequence[str]:
        try:
            found = resolver.resolve(name, kind, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return ()
        except dns.exception.DNSException as error:
            raise LookupFailedError(f"{kind} of {name}: {error}") from error
        if kind == "TXT":
            return [b"".join(each.strings).decode("utf-8", "replace") for each in found]
        return [each.to_text().rstrip(".") for each in found]

    return ask


def tags_of(text: str) -> dict[str, str]:
    """
    Return the tags of a record, such as those of DKIM and DMARC, with names in lower case.

    >>> tags_of("v=DMARC1; p=none;")
    {'v': 'DMARC1', 'p': 'none'}
    """
    pairs = (each.partition("=") for each in text.split(";") if "=" in each)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
