"""SPF: who may send with a domain's return path, and whether its record can be read (RFC 7208)."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal

from attrs import define, field

from crmcore_email_link.dns_lookup import Lookup

MOST_LOOKUPS: Final = 10  # 4.6.4; more is an error, and nothing is passed then
MOST_EMPTY: Final = 2  # lookups that find nothing
_MOST_HOSTS: Final = 10  # of one mx

Result = Literal["pass", "fail", "softfail", "neutral", "none", "error", "unknown"]
"""`unknown`: it depends on a macro, that is on the very mail."""

_QUALIFIERS: Final[dict[str, Result]] = {
    "+": "pass",
    "-": "fail",
    "~": "softfail",
    "?": "neutral",
}
_LOOKS_UP: Final = frozenset({"include", "a", "mx", "ptr", "exists"})
_KNOWN: Final = _LOOKS_UP | {"all", "ip4", "ip6"}

Address = IPv4Address | IPv6Address


@define
class Record:
    """
    One record, and what it takes to read it with all that it includes.

    Attributes:
        text: As it stands; None: there is none.
        lookups: How many lookups it takes at most.
        empty: How many of them find nothing.
        problems: Why it cannot be read, in words.
        uses_ptr: Whether it has `ptr`, which nobody should use (5.5).
        last: How it ends: the qualifier of its `all`; None: it has none.
    """

    text: str | None = None
    lookups: int = 0
    empty: int = 0
    problems: list[str] = field(factory=list)
    uses_ptr: bool = False
    last: str | None = None


def texts_at(domain: str, lookup: Lookup) -> Sequence[str]:
    """Return the SPF records of a domain; there should be one."""
    texts = lookup(domain, "TXT")
    return [each for each in texts if each.lower() == "v=spf1" or each.lower()[:7] == "v=spf1 "]


def read(domain: str, lookup: Lookup) -> Record:
    """Return what there is to say of a domain's record, with all it includes, matched or not."""
    record = Record()
    _read(domain, lookup, record, [])
    return record


def check(domain: str, address: str, lookup: Lookup) -> Result:
    """Return whether a machine may send with a return path of *domain*."""
    return _check(domain, ip_address(address), lookup, [0])


def _read(domain: str, lookup: Lookup, record: Record, above: list[str]) -> None:
    found = texts_at(domain, lookup)
    if len(found) != 1:
        if above or found:
            record.problems.append(f"{domain} has {len(found)} SPF records instead of one")
        return
    if not above:
        record.text = found[0]
    for term in _terms(found[0]):
        name, value = _split(term)
        if name == "all" and not above:
            record.last = term[0] if term[0] in _QUALIFIERS else "+"
        if name not in _KNOWN and name not in ("redirect", "exp") and "=" not in term:
            record.problems.append(f"{term!r} of {domain} is no mechanism of SPF")
        if name in ("ip4", "ip6") and _network(value) is None:
            record.problems.append(f"{term!r} of {domain} is no network")
        record.uses_ptr = record.uses_ptr or name == "ptr"
        if name in _LOOKS_UP or name == "redirect":
            record.lookups += 1
            if record.lookups <= 2 * MOST_LOOKUPS:  # no further, however it goes on
                _follow(domain, name, value, lookup, record, above)
    _has_redirect_behind_all(found[0], record)


def _follow(
    domain: str, name: str, value: str, lookup: Lookup, record: Record, above: list[str]
) -> None:
    target = _target(value) or domain
    if "%" in value:
        return
    if name in ("include", "redirect"):
        if target in [*above, domain]:
            record.problems.append(f"{domain} includes {target}, which includes it again")
        else:
            _read(target, lookup, record, [*above, domain])
    elif name in ("a", "exists") and not _addresses(target, lookup):
        record.empty += 1
    elif name == "mx":
        hosts = lookup(target, "MX")
        record.empty += not hosts
        if len(hosts) > _MOST_HOSTS:
            record.problems.append(f"mx of {target} names more than {_MOST_HOSTS} servers")


def _has_redirect_behind_all(text: str, record: Record) -> None:
    names = [_split(each)[0] for each in _terms(text)]
    if "all" in names and "redirect" in names:
        record.problems.append("its redirect is never read, as it has an all")


def _check(domain: str, address: Address, lookup: Lookup, spent: list[int]) -> Result:
    found = texts_at(domain, lookup)
    if len(found) != 1:
        return "error" if found else "none"
    redirect: str | None = None
    for term in _terms(found[0]):
        name, value = _split(term)
        if name == "redirect":
            redirect = _target(value)
            continue
        if name not in _KNOWN and "=" in term:  # a modifier that says nothing of who may send
            continue
        if name in _LOOKS_UP:
            spent[0] += 1
            if spent[0] > MOST_LOOKUPS:
                return "error"
        if "%" in value or name in ("ptr", "exists"):
            return "unknown"
        matches = _matches(name, value, domain, address, lookup, spent)
        if matches in ("error", "unknown"):
            return matches
        if matches == "pass":
            return _QUALIFIERS.get(term[0], "pass")
    if redirect is None:
        return "neutral"
    spent[0] += 1
    result = "error" if spent[0] > MOST_LOOKUPS else _check(redirect, address, lookup, spent)
    return "error" if result == "none" else result


def _matches(
    name: str, value: str, domain: str, address: Address, lookup: Lookup, spent: list[int]
) -> Result:
    """Return `pass` if a mechanism matches, and `fail` if it does not."""
    if name == "all":
        return "pass"
    if name == "include":
        result = _check(_target(value), address, lookup, spent)
        if result in ("none", "error"):
            return "error"
        return result if result in ("pass", "unknown") else "fail"
    if name in ("ip4", "ip6"):
        network = _network(value)
        return "error" if network is None else _yes(address in network)
    target = _target(value) or domain
    if name == "a":
        return _yes(_is_among(address, value, [target], lookup))
    if name == "mx":
        hosts = [each.split()[-1] for each in lookup(target, "MX")][:_MOST_HOSTS]
        return _yes(_is_among(address, value, hosts, lookup))
    return "error"


def _is_among(address: Address, value: str, hosts: Sequence[str], lookup: Lookup) -> bool:
    bits = value.partition("/")[2]
    four, _, six = bits.partition("//") if not bits.startswith("/") else ("", "", bits[1:])
    length = (four or "32") if address.version == 4 else (six or "128")
    for host in hosts:
        for each in lookup(host, "A" if address.version == 4 else "AAAA"):
            network = _network(f"{each}/{length}")
            if network is not None and address in network:
                return True
    return False


def _addresses(name: str, lookup: Lookup) -> Sequence[str]:
    return lookup(name, "A") or lookup(name, "AAAA")


def _terms(text: str) -> Sequence[str]:
    return text.split()[1:]


def _split(term: str) -> tuple[str, str]:
    """Return a term's name and what stands behind it: `a/24` is an `a` with `/24`."""
    bare = term[1:] if term[0] in _QUALIFIERS else term
    for place, character in enumerate(bare):
        if character in ":=/":
            return bare[:place].lower(), bare[place if character == "/" else place + 1 :]
    return bare.lower(), ""


def _target(value: str) -> str:
    return value.partition("/")[0].lower().rstrip(".")


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _yes(matches: bool) -> Result:
    return "pass" if matches else "fail"
