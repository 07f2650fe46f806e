"""Callers: whether a machine or a human follows a link, as far as the request alone tells."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_address,
    ip_network,
)
from typing import Any, Final, Literal

from attrs import define, field, frozen

from crmcore.errors import ConfigurationError

SeenAs = Literal["machine", "human", "unknown"]
SEEN_AS: Final[tuple[SeenAs, ...]] = ("human", "unknown", "machine")
"""The surest first: of what one message's recipient did, that counts which tells most of them."""

Why = Literal[
    "head", "prefetch", "scanner", "privacy", "agent", "early", "proxy", "nameless", "provider"
]
"""
What told it: it asked for the head alone, or in advance; who asks is one of the shop's list, a
proxy that loads all images whoever looks, or a program by its own name; it came too early; it is a
proxy that loads images when somebody looks, or has no name of a browser; or a provider tells of it.
"""

_ASKS_IN_ADVANCE: Final = ("purpose", "sec-purpose", "x-purpose", "x-moz")
_IN_ADVANCE: Final = re.compile(r"pre(?:fetch|render|view)", re.IGNORECASE)
_PROGRAM: Final = re.compile(
    r"(?<!cu)bot\b|crawl|spider|scan|preview|monitor|headless|phantomjs|validator|\bcurl\b|\bwget\b"
    r"|python|\bjava/|okhttp|go-http-client|libwww|httpclient|ruby|node-fetch|axios|barracuda"
    r"|proofpoint|mimecast|facebookexternalhit",
    re.IGNORECASE,
)
_PROXY: Final = re.compile(r"GoogleImageProxy|ggpht\.com|YahooMailProxy|ImageProxy", re.IGNORECASE)

# Apple's Mail Privacy Protection loads every image of every mail, and says no more than this.
_APPLE_PRIVACY: Final = "mozilla/5.0"

# What Apple Mail says, with that protection and without: no browser ends there.
_STRIPPED_WEBKIT: Final = re.compile(
    r"Mozilla/5\.0 \([^()]*\) AppleWebKit/[\d.]+ \(KHTML, like Gecko\)(?: Mobile/\w+)?",
    re.IGNORECASE,
)
_BROWSER: Final = re.compile(r"Mozilla/\d|Opera/\d", re.IGNORECASE)


@frozen(kw_only=True)
class Caller:
    """
    Who follows a link or loads the pixel; looked at, and not kept.

    Attributes:
        method: `GET` or `HEAD`.
        headers: By name in lower case.
        address: Of the network, as the server knows it; empty: it does not say.
    """

    method: str
    headers: Mapping[str, str] = field(factory=dict)
    address: str = ""


Scanners = Callable[[Caller], bool]
"""Tells whether somebody is one of those programs that follow all links of a mail."""

_Address = IPv4Address | IPv6Address


def _collapsed(written: Iterable[str]) -> Mapping[int, Any]:
    found: dict[int, list[IPv4Network | IPv6Network]] = {4: [], 6: []}
    for each in written:
        try:
            network = ip_network(each)
        except ValueError as error:
            raise ConfigurationError(
                f"{each!r} among scanner_networks of email_link is no network: {error}; such as "
                "'192.0.2.0/24' is expected"
            ) from error
        found[network.version].append(network)
    return {
        version: sorted(collapse_addresses(networks))  # type: ignore[type-var]
        for version, networks in found.items()
    }


@frozen
class Networks:
    """
    Networks to which an address may belong, however many.

    Attributes:
        by_version: Those of IPv4 and IPv6, in order, none within another; from text.
    """

    by_version: Mapping[int, Any] = field(converter=_collapsed)

    def __contains__(self, written: object) -> bool:
        address = _address(written)
        if address is None:
            return False
        networks = self.by_version[address.version]
        place = bisect_right(networks, address, key=lambda network: network.network_address)
        return place > 0 and address in networks[place - 1]


def _address(written: object) -> _Address | None:
    try:
        address = ip_address(str(written).partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return address if mapped is None else mapped


@define
class Callers:
    """
    Tells machines from humans.

    Attributes:
        networks: Of programs that follow all links.
        scanners: The shop's own way to know them; None: it has none.
    """

    networks: Networks
    scanners: Scanners | None = None

    def objects(self, caller: Caller) -> bool:
        """Return whether a browser says that nobody is to be tracked (Sec-GPC, DNT)."""
        return any(caller.headers.get(name, "").strip() == "1" for name in ("sec-gpc", "dnt"))

    def tell(self, caller: Caller, *, is_early: bool, is_open: bool) -> tuple[SeenAs, Why | None]:
        """
        Return what a request alone tells, and by what.

        Args:
            caller: Who asks.
            is_early: Whether it came before anybody could have read the mail.
            is_open: Whether an image was loaded, rather than a link followed.
        """
        agent = caller.headers.get("user-agent", "").strip()
        if caller.method != "GET":
            return "machine", "head"
        if any(_IN_ADVANCE.search(caller.headers.get(each, "")) for each in _ASKS_IN_ADVANCE):
            return "machine", "prefetch"
        if caller.address in self.networks or (self.scanners and self.scanners(caller)):
            return "machine", "scanner"
        if agent.lower() == _APPLE_PRIVACY:
            return "machine", "privacy"
        if is_early:
            return "machine", "early"
        if _PROXY.search(agent):
            return ("unknown" if is_open else "machine"), "proxy"
        if _PROGRAM.search(agent):
            return "machine", "agent"
        if not _BROWSER.match(agent):
            return "unknown", "nameless"
        if is_open and _STRIPPED_WEBKIT.fullmatch(agent):
            return "unknown", "proxy"
        return "human", None
