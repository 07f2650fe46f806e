"""
Signature Version 4: how Amazon's APIs know who calls.

Source:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

from attrs import field, frozen

_ALGORITHM = "AWS4-HMAC-SHA256"
_END = "aws4_request"


@frozen(kw_only=True)
class Credentials:
    """Who calls; `token` is that of a temporary session."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


def signed(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    credentials: Credentials,
    region: str,
    service: str,
    at: datetime,
) -> dict[str, str]:
    """Return *headers* with those that sign the request, all of which are signed."""
    stamp = at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    parsed = urlsplit(url)
    found = {**headers, "Host": parsed.netloc, "X-Amz-Date": stamp}
    if credentials.token is not None:
        found["X-Amz-Security-Token"] = credentials.token
    lines = {name.lower(): " ".join(value.split()) for name, value in found.items()}
    names = ";".join(sorted(lines))
    canonical = "\n".join(
        [
            method,
            quote(parsed.path or "/", safe="/-_.~%"),
            _query(parsed.query),
            *(f"{name}:{lines[name]}" for name in sorted(lines)),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{stamp[:8]}/{region}/{service}/{_END}"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"{_ALGORITHM}\n{stamp}\n{scope}\n{digest}"
    key = signing_key(credentials.secret_key, stamp[:8], region, service)
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    found["Authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return found


def signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    """Return the key of one day, region and service."""
    key = f"AWS4{secret}".encode()
    for each in (day, region, service, _END):
        key = hmac.new(key, each.encode(), hashlib.sha256).digest()
    return key


def _query(query: str) -> str:
    pairs = parse_qsl(query, keep_blank_values=True)
    quoted = [(quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in pairs]
    return "&".join(f"{name}={value}" for name, value in sorted(quoted))
