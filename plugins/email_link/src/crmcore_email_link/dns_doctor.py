"""
The doctor: whether big receivers will take a domain's mail, as far as the DNS tells.

Source:
    What Gmail, Yahoo and Microsoft ask of bulk senders (https://support.google.com/a/answer/81126,
    https://senders.yahooinc.com/best-practices), RFC 7208, RFC 6376, RFC 8301 and RFC 9989.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Final, Literal

from attrs import frozen

from crmcore.errors import InputError
from crmcore_email_link import dmarc, spf
from crmcore_email_link.dns_lookup import (
    Lookup,
    LookupFailedError,
    remembering,
    system_lookup,
    tags_of,
)

Status = Literal["pass", "fail", "unknown"]

SHORTEST_KEY: Final = 1024  # bits; receivers must not take less (RFC 8301, 3.2)
GOOD_KEY: Final = 2048
_ED25519: Final = 32  # octets
_SHOWN: Final = 200
_GONE: Final = ("pct", "rf", "ri")  # of DMARC, before RFC 9989


@frozen(kw_only=True)
class Check:
    """
    One thing that was looked at.

    Attributes:
        name: Of what was looked at, such as `spf`.
        status: `unknown` where it cannot be told from here, or no name server answered.
        found: What there is, in a sentence.
        cure: What to do; also where it passes and could be better; None: nothing.
        is_optional: Whether mail is taken without it too.
    """

    name: str
    status: Status
    found: str
    cure: str | None = None
    is_optional: bool = False


@frozen(kw_only=True)
class Sending:
    """
    How a domain's mail is sent, as far as the DNS does not tell.

    Attributes:
        domain: Of the `From`.
        selectors: Of the DKIM keys that sign.
        signer: The domain that signs (`d=`).
        return_path: The domain of the return path.
        addresses: Of the machines that hand mail to receivers; none, if a provider does.
    """

    domain: str
    selectors: Sequence[str]
    signer: str
    return_path: str
    addresses: Sequence[str]


Examination = Callable[[Sending, Lookup], Sequence[Check]]
"""Looks at one thing that receivers ask for."""


def examine(
    domain: str,
    lookup: Lookup | None = None,
    *,
    selectors: Sequence[str] = (),
    signer: str | None = None,
    return_path: str | None = None,
    addresses: Sequence[str] = (),
) -> list[Check]:
    """
    Look at all that big receivers ask of a domain, and return what there is to say of each.

    Args:
        domain: Of the `From`, such as `news.example.com`.
        lookup: Looks names up; None: by the name servers of this machine, which needs dnspython.
        selectors: Of the DKIM keys that sign.
        signer: The domain that signs; None: *domain*.
        return_path: The domain of the return path; None: *domain*.
        addresses: Of the machines that hand mail to receivers; none, if a provider does.

    Raises:
        InputError: If one of *addresses* is none.
    """
    for each in addresses:
        _check_address(each)
    ask, domain = remembering(lookup or system_lookup()), domain.lower().rstrip(".")
    sending = Sending(
        domain=domain,
        selectors=selectors,
        signer=(signer or domain).lower().rstrip("."),
        return_path=(return_path or domain).lower().rstrip("."),
        addresses=addresses,
    )
    return [check for name, look in _EXAMINATIONS for check in _made(name, look, sending, ask)]


def _made(name: str, look: Examination, sending: Sending, ask: Lookup) -> Sequence[Check]:
    """Return what one examination says; that nothing can be told, where nobody answers."""
    try:
        return look(sending, ask)
    except LookupFailedError as error:
        said = f"no name server answered: {error}"
        return [Check(name=name, status="unknown", found=said, cure="Look again later.")]


# ------------------------------------------------------------------------------------- each one


def _mx(sending: Sending, lookup: Lookup) -> Sequence[Check]:
    """Whether what comes back arrives: bounces, complaints and replies."""
    return [_mx_of(each, lookup) for each in dict.fromkeys([sending.domain, sending.return_path])]


def _mx_of(domain: str, lookup: Lookup) -> Check:
    name = f"mx {domain}"
    cure = f"Name a server that takes mail for {domain}: an MX record with a name, not an address."
    hosts = [each.split()[-1].rstrip(".") for each in lookup(domain, "MX")]
    if hosts == [""]:
        return Check(name=name, status="fail", found=f"{domain} takes no mail (MX .)", cure=cure)
    if not hosts:
        if not _addresses(domain, lookup):
            found = f"{domain} has no MX, and no address either"
            return Check(name=name, status="fail", found=found, cure=cure)
        return Check(name=name, status="pass", found=f"{domain} has an address, no MX", cure=cure)
    lost = [each for each in hosts if not _addresses(each, lookup)]
    if lost:
        found = f"{', '.join(lost)} has no address"
        return Check(name=name, status="fail", found=found, cure=cure)
    return Check(name=name, status="pass", found=f"mail goes to {', '.join(hosts)}")


def _spf(sending: Sending, lookup: Lookup) -> Sequence[Check]:
    domain = sending.return_path
    record = spf.read(domain, lookup)
    problems = [*record.problems]
    if record.lookups > spf.MOST_LOOKUPS:
        problems.append(f"it takes {record.lookups} lookups; {spf.MOST_LOOKUPS} are allowed")
    if record.empty > spf.MOST_EMPTY:
        problems.append(f"{record.empty} lookups find nothing; {spf.MOST_EMPTY} are allowed")
    if record.last == "+":
        problems.append("+all lets everybody send")
    if record.text is None and not problems:
        problems.append(f"{domain} has no SPF record")
    if problems:
        cure = (
            f"Publish one TXT record at {domain}, such as 'v=spf1 include:PROVIDER -all', and name "
            "in it only those who send; replace includes by networks if there are too many."
        )
        return [Check(name="spf", status="fail", found="; ".join(problems), cure=cure)]
    advice = [
        *(["Do without ptr: receivers skip it."] if record.uses_ptr else []),
        *(
            []
            if record.last in ("-", "~") or "redirect=" in (record.text or "")
            else ["End it with -all or ~all, so that it says something of all others."]
        ),
    ]
    found = f"{record.text!r}, {record.lookups} lookups"[:_SHOWN]
    return [
        Check(name="spf", status="pass", found=found, cure=" ".join(advice) or None),
        *(_covers(domain, each, lookup) for each in sending.addresses),
    ]


def _covers(domain: str, address: str, lookup: Lookup) -> Check:
    result = spf.check(domain, address, lookup)
    name, found = f"spf {address}", f"{domain} says {result} of {address}"
    if result == "pass":
        return Check(name=name, status="pass", found=found)
    status: Status = "unknown" if result == "unknown" else "fail"
    return Check(name=name, status=status, found=found, cure=f"Name {address} in the SPF record.")


def _dkim(sending: Sending, lookup: Lookup) -> Sequence[Check]:
    if not sending.selectors:
        cure = "Say which selectors sign; they cannot be found out from the DNS."
        return [Check(name="dkim", status="unknown", found="no selector was named", cure=cure)]
    return [_selector(sending.signer, each, lookup) for each in sending.selectors]


def _selector(domain: str, selector: str, lookup: Lookup) -> Check:
    name, where = f"dkim {selector}", f"{selector}._domainkey.{domain}"
    cure = f"Publish the public key of the selector at {where}, as one TXT record."
    texts = [each for each in lookup(where, "TXT") if "p=" in each.replace(" ", "")]
    if len(texts) != 1:
        found = f"{where} has {len(texts)} keys instead of one"
        return Check(name=name, status="fail", found=found, cure=cure)
    tags = tags_of(texts[0])
    kind = tags.get("k", "rsa").lower()
    if tags.get("v", "DKIM1") != "DKIM1" or kind not in ("rsa", "ed25519"):
        found = f"{where} is no key of DKIM: {texts[0][:_SHOWN]!r}"
        return Check(name=name, status="fail", found=found, cure=cure)
    key = "".join(tags.get("p", "").split())
    if not key:
        found = f"the key at {where} was revoked"
        return Check(name=name, status="fail", found=found, cure="Sign with another selector.")
    bits = _bits(kind, key)
    if bits is None:
        found = f"the key at {where} cannot be read"
        return Check(name=name, status="fail", found=found, cure=cure)
    if "y" in tags.get("t", "").lower().split(":"):
        found = f"the key at {where} is on trial (t=y), and receivers may pass it over"
        return Check(name=name, status="fail", found=found, cure="Take t=y out of the record.")
    found = f"{kind}, {bits} bits"
    if kind == "rsa" and bits < GOOD_KEY:
        longer = f"Make a key of {GOOD_KEY} bits under a new selector."
        status: Status = "pass" if bits >= SHORTEST_KEY else "fail"
        return Check(name=name, status=status, found=found, cure=longer)
    if kind == "ed25519":
        found += "; not all receivers know it, so an RSA key has to sign too"
    return Check(name=name, status="pass", found=found)


def _dmarc(sending: Sending, lookup: Lookup) -> Sequence[Check]:
    standing = dmarc.standing_of(sending.domain, lookup)
    cure = f"Publish a TXT record at _dmarc.{standing.organisation}, such as 'v=DMARC1; p=none'."
    if standing.policy is None or standing.request is None:
        found = f"no DMARC record counts for {sending.domain}"
        return [Check(name="dmarc", status="fail", found=found, cure=cure)]
    tags = standing.policy.tags
    old = [each for each in _GONE if each in tags]
    advice = [
        *([f"Take out {', '.join(old)}: nobody reads it any more (RFC 9989)."] if old else []),
        *([] if "mailto:" in tags.get("rua", "") else ["Have reports sent to you, by rua."]),
    ]
    found = f"{standing.request}, by the record at {standing.policy.domain}"
    if tags.get("t", "").lower() == "y":
        found += ", which is on trial (t=y)"
    return [
        Check(name="dmarc", status="pass", found=found, cure=" ".join(advice) or None),
        *_alignment(sending, tags, lookup),
    ]


def _alignment(sending: Sending, tags: dict[str, str], lookup: Lookup) -> Sequence[Check]:
    """Whether what authenticates is of the same organisation as the `From`; one is enough."""
    found = []
    for name, other, tag in (
        ("alignment dkim", sending.signer, "adkim"),
        ("alignment spf", sending.return_path, "aspf"),
    ):
        strict = tags.get(tag, "r").lower() == "s"
        if dmarc.is_aligned(sending.domain, other, lookup, strict=strict):
            said = f"{other} speaks for {sending.domain}"
            found.append(Check(name=name, status="pass", found=said))
        else:
            said = f"{other} does not speak for {sending.domain}{' (strict)' if strict else ''}"
            cure = f"Use {sending.domain}{'' if strict else ' or a name of its organisation'}."
            found.append(
                Check(name=name, status="fail", found=said, cure=cure, is_optional=tag == "aspf")
            )
    return found


def _reverse(sending: Sending, lookup: Lookup) -> Sequence[Check]:
    if not sending.addresses:
        said = "no address was named; where a provider hands mail over, its names are its own care"
        return [Check(name="reverse dns", status="unknown", found=said)]
    return [_reverse_of(each, lookup) for each in sending.addresses]


def _reverse_of(address: str, lookup: Lookup) -> Check:
    name = f"reverse dns {address}"
    parsed = ip_address(address)
    names = [each.rstrip(".") for each in lookup(parsed.reverse_pointer, "PTR")]
    cure = f"Have whoever gave you {address} name it, and let that name have this address."
    if not names:
        return Check(name=name, status="fail", found=f"{address} has no name", cure=cure)
    kind = "A" if parsed.version == 4 else "AAAA"
    for each in names:
        if any(ip_address(there) == parsed for there in lookup(each, kind)):
            return Check(name=name, status="pass", found=f"{address} is {each}, and back")
    found = f"{address} is {', '.join(names)}, which is not {address}"
    return Check(name=name, status="fail", found=found, cure=cure)


def _tls(sending: Sending, lookup: Lookup) -> Sequence[Check]:
    """Whether the domain asks for TLS itself; how mail goes out is seen in the sending only."""
    domain = sending.domain
    policy = any(each.startswith("v=STSv1") for each in lookup(f"_mta-sts.{domain}", "TXT"))
    reports = any(each.startswith("v=TLSRPTv1") for each in lookup(f"_smtp._tls.{domain}", "TXT"))
    cure = "Send with TLS: set the relay's tls to 'verified'; the DNS cannot show it."
    if policy:
        found = f"{domain} asks for TLS (MTA-STS){', and for reports' if reports else ''}"
        return [Check(name="tls", status="pass", found=found, cure=cure, is_optional=True)]
    found = f"{domain} does not ask for TLS itself (MTA-STS, RFC 8461)"
    return [Check(name="tls", status="unknown", found=found, cure=cure, is_optional=True)]


def _bimi(sending: Sending, lookup: Lookup) -> Sequence[Check]:
    standing = dmarc.standing_of(sending.domain, lookup)
    texts: Sequence[str] = ()
    for domain in dict.fromkeys([sending.domain, standing.organisation]):
        texts = [
            each for each in lookup(f"default._bimi.{domain}", "TXT") if each.startswith("v=BIMI1")
        ]
        if texts:
            break
    if not texts:
        found = "there is no BIMI record, so no logo is shown"
        return [Check(name="bimi", status="unknown", found=found, is_optional=True)]
    problems = []
    if len(texts) > 1:
        problems.append("there are several records")
    if not tags_of(texts[0]).get("l", "").lower().startswith("https://"):
        problems.append("its l= is no https address of a logo")
    if standing.request not in ("quarantine", "reject"):
        problems.append(f"the DMARC policy is {standing.request}")
    if problems:
        cure = "Name an SVG by https, and ask for quarantine or reject in DMARC."
        found = "; ".join(problems)
        return [Check(name="bimi", status="fail", found=found, cure=cure, is_optional=True)]
    return [Check(name="bimi", status="pass", found=texts[0][:_SHOWN], is_optional=True)]


_EXAMINATIONS: Final[Sequence[tuple[str, Examination]]] = (
    ("mx", _mx),
    ("spf", _spf),
    ("dkim", _dkim),
    ("dmarc", _dmarc),
    ("reverse dns", _reverse),
    ("tls", _tls),
    ("bimi", _bimi),
)


def _bits(kind: str, key: str) -> int | None:
    """Return the length of a public key; None, if it is none."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        raw = base64.b64decode(key, validate=True)
        if kind == "ed25519":
            return 8 * len(raw) if len(raw) == _ED25519 else None
        found = load_der_public_key(raw)
    except (binascii.Error, ValueError, UnsupportedAlgorithm):
        return None
    return found.key_size if isinstance(found, RSAPublicKey) else None


def _addresses(name: str, lookup: Lookup) -> Sequence[str]:
    return lookup(name, "A") or lookup(name, "AAAA")


def _check_address(address: str) -> None:
    try:
        ip_address(address)
    except ValueError as error:
        raise InputError(f"{address!r} is no address; one such as 192.0.2.1 is expected") from error
