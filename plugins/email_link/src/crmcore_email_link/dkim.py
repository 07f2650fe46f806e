"""
DKIM: a mail signed by the shop's domain, so that what was added or changed since is seen.

Names are signed once more than the mail has them (RFC 6376, sections 5.4.2 and 8.15): a second
`Subject` or `List-Unsubscribe` put before ours breaks the signature, where otherwise it would
stand for a mail that we did not write. There is no `l=`, so nothing can be appended, and no
instant, so that an attempt that is made again sends the same octets.

Source:
    RFC 6376 (DKIM), RFC 8301 (its keys and hashes), RFC 8463 (ed25519-sha256).
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from attrs import Attribute, field, frozen
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from crmcore.errors import ConfigurationError, InputError
from crmcore_email_link.canonical import (
    OVERSIGNED,
    Field,
    canonical_body,
    canonical_header,
    split,
)

PrivateKey = RSAPrivateKey | Ed25519PrivateKey

SIGNED: Final = ("Sender", "Precedence", "Auto-Submitted")
"""Headers that are signed where a mail has them; to one without, a list may add its own."""

_COVERED: Final = tuple(
    (name, name.lower().encode(), name in OVERSIGNED) for name in (*OVERSIGNED, *SIGNED)
)
_SMALLEST_KEY: Final = 2048  # bits: RFC 8301, section 3.2, says what signers should use
_LONGEST_LINE: Final = 76
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9_-]*[a-z0-9])?)*")
_HASH: Final = Prehashed(SHA256())
_PADDING: Final = PKCS1v15()


def _loaded(key: Any) -> Any:
    """Return a key from its PEM form; the key itself is repeated in no error."""
    if isinstance(key, str):
        key = key.encode()
    if not isinstance(key, bytes):
        return key
    try:
        return load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(
            "the DKIM key cannot be read; an unencrypted private key in PEM is expected, as "
            "`openssl genrsa 2048` writes it"
        ) from error


def _is_key(_: object, __: Attribute[PrivateKey], key: object) -> None:
    if isinstance(key, Ed25519PrivateKey):
        return
    if not isinstance(key, RSAPrivateKey):
        raise ConfigurationError(
            f"the DKIM key is of type {type(key).__name__}; an RSA or Ed25519 key is expected"
        )
    if key.key_size < _SMALLEST_KEY:
        raise ConfigurationError(
            f"the DKIM key has {key.key_size} bits; at least {_SMALLEST_KEY} are expected"
        )


def _is_name(_: object, attribute: Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ConfigurationError(
            f"the DKIM {attribute.name} is {value!r}; labels in lower case and ASCII are "
            "expected, such as 'shop.example'"
        )


@frozen
class Signer:
    """
    Signs mails for a domain.

    Attributes:
        domain: Whose mails they are: that of the From, or one above it, for DMARC.
        selector: Under which the DNS has the public key; a new key gets a new one.
        key: RSA of 2048 bits or more, or Ed25519; or its PEM.
        second: Signs the same mails as well; Ed25519 beside RSA, as not every receiver knows it.
    """

    domain: str = field(validator=_is_name)
    selector: str = field(validator=_is_name)
    key: PrivateKey = field(converter=_loaded, validator=_is_key, repr=False, eq=False)
    second: Signer | None = None

    @property
    def algorithm(self) -> str:
        """What `a=` says."""
        return "rsa-sha256" if isinstance(self.key, RSAPrivateKey) else "ed25519-sha256"

    @property
    def record(self) -> tuple[str, str]:
        """The name and the text of the DNS record (TXT) that lets others check the signatures."""
        public = self.key.public_key()
        if isinstance(self.key, RSAPrivateKey):
            kind = "rsa"
            data = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        else:
            kind, data = "ed25519", public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        name = f"{self.selector}._domainkey.{self.domain}"
        return name, f"v=DKIM1; k={kind}; p={b64encode(data).decode()}"

    def sign(self, raw: bytes) -> bytes:
        """
        Return a mail with its signature before it, and that of the second signer.

        Raises:
            InputError: If the mail has a bare CR or LF: servers mend them, each in its way, and
                no signature would fit what arrives.
        """
        if not raw.count(b"\r\n") == raw.count(b"\n") == raw.count(b"\r"):
            raise InputError("the mail has a bare CR or LF; CRLF is expected at the end of lines")
        fields, body = split(raw)
        names, signed = _chosen(fields)
        hashed = b64encode(hashlib.sha256(canonical_body(body)).digest()).decode()
        signatures = []
        signer: Signer | None = self
        while signer is not None:
            signatures.append(signer._signature(names, signed, hashed))
            signer = signer.second
        return b"".join((*signatures, raw))

    def _signature(self, names: tuple[str, ...], signed: bytes, hashed: str) -> bytes:
        start = _start(self.algorithm, self.domain, self.selector, names)
        header = f"{start} bh={hashed};\r\n b=".encode()
        digest = hashlib.sha256(signed + canonical_header(header)).digest()
        if isinstance(self.key, RSAPrivateKey):
            value = self.key.sign(digest, _PADDING, _HASH)
        else:
            value = self.key.sign(digest)  # RFC 8463, section 3: the hash is what is signed
        return header + _in_lines(b64encode(value), room=_LONGEST_LINE - len(" b=")) + b"\r\n"


def _chosen(fields: Sequence[Field]) -> tuple[tuple[str, ...], bytes]:
    """Return the names that are signed, each as often as it is, and those headers' relaxed form."""
    found: dict[bytes, list[bytes]] = {}
    for each in reversed(fields):  # of several, the lowest is taken first: RFC 6376, 5.4.2
        found.setdefault(each.name, []).append(each.raw)
    if b"from" not in found:
        raise InputError("the mail has no From; RFC 6376 (section 5.4) has it signed always")
    names: list[str] = []
    signed: list[bytes] = []
    for name, in_mail, is_always in _COVERED:
        raws = found.get(in_mail, ())
        signed += map(canonical_header, raws)
        names += [name] * (len(raws) + 1 if raws or is_always else 0)
    return tuple(names), b"\r\n".join((*signed, b""))


@lru_cache(maxsize=64)
def _start(algorithm: str, domain: str, selector: str, names: tuple[str, ...]) -> str:
    """Return a signature's header down to the names that it covers."""
    lines = [f"DKIM-Signature: v=1; a={algorithm}; c=relaxed/relaxed; d={domain};"]
    line = f" s={selector}; h={names[0]}"
    for name in names[1:]:
        if len(line) + len(name) + 2 > _LONGEST_LINE:
            lines.append(line + ":")
            line = f"  {name}"
        else:
            line += f":{name}"
    return "\r\n".join((*lines, f"{line};\r\n"))


def _in_lines(value: bytes, room: int) -> bytes:
    pieces, value = [value[:room]], value[room:]
    step = _LONGEST_LINE - 2
    pieces += [value[start : start + step] for start in range(0, len(value), step)]
    return b"\r\n  ".join(pieces)
