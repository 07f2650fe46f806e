"""
Twilio: text messages by its REST API, over the standard library.

Source:
    https://www.twilio.com/docs/messaging/api/message-resource (the request),
    https://www.twilio.com/docs/usage/twilios-response (its answers), and
    https://www.twilio.com/docs/api/errors (the codes).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from attrs import define, field

from crmcore.domain.message import Accepted, Deferred, Failed, Outcome, Unknown
from crmcore.errors import ConfigurationError

URL: Final = "https://api.twilio.com"

NO_SUCH_NUMBER: Final = frozenset({21211, 21614})
"""Not a number, and not one of a mobile phone: nothing will ever arrive there."""

# About the account and not about the message, so that it is worth trying again once mended:
# authentication, payment, permission, and an account that is not there.
_OF_THE_ACCOUNT: Final = frozenset({401, 402, 403, 404})
_TOO_MANY, _UNAVAILABLE = 429, 503
_LONGEST_ANSWER: Final = 100_000  # bytes; more is not read
_LONGEST_WAIT: Final = 86_400.0  # seconds


@define(kw_only=True)
class Twilio:
    """
    One account at Twilio.

    It takes no key by which it would know a message again, so what was written to it and not
    answered is `Unknown`: it may have been taken.
    """

    account: str
    token: str = field(repr=False)
    sender: str
    url: str = URL
    seconds: float = 10.0

    idempotent: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """Refuse an address that cannot be called, before any message is."""
        parsed = urlsplit(self.url)
        if parsed.scheme not in ("https", "http") or not parsed.hostname:
            raise ConfigurationError(f"{self.url!r} is no address; one such as {URL} is expected")

    def send(self, number: str, text: str, key: str) -> Outcome:
        """Hand one message over."""
        parsed = urlsplit(self.url)
        kind = HTTPSConnection if parsed.scheme == "https" else HTTPConnection
        connection = kind(parsed.hostname or "", parsed.port, timeout=self.seconds)
        try:
            try:
                connection.connect()
            except OSError as error:  # nothing has been said yet
                return Deferred(f"Twilio cannot be reached: {error}")
            try:
                connection.request("POST", self._path, self._form(number, text), self._headers)
                answer = connection.getresponse()
                body = answer.read(_LONGEST_ANSWER)
            except (OSError, HTTPException) as error:
                said = str(error) or type(error).__name__
                return Unknown(f"Twilio was told, and did not answer: {said}")
            return _outcome(answer.status, answer.headers, body)
        finally:
            connection.close()

    @property
    def _path(self) -> str:
        return f"/2010-04-01/Accounts/{quote(self.account, safe='')}/Messages.json"

    def _form(self, number: str, text: str) -> str:
        return urlencode({"To": number, "From": self.sender, "Body": text})

    @property
    def _headers(self) -> dict[str, str]:
        secret = base64.b64encode(f"{self.account}:{self.token}".encode()).decode()
        return {
            "Authorization": f"Basic {secret}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }


def _outcome(status: int, headers: Message, body: bytes) -> Outcome:
    """Return what an answer says of a message."""
    found = _parsed(body)
    if 200 <= status < 300:
        sid = found.get("sid")
        if isinstance(sid, str) and sid:
            return Accepted(sid)
        return Unknown(f"Twilio answered {status}, and not with the message's sid")
    code = found.get("code")
    said = found.get("message")
    reason = f"Twilio answered {status}"
    if isinstance(code, int):
        reason += f", error {code}"
    if isinstance(said, str):
        reason += f": {said[:200]}"
    if status in (_TOO_MANY, _UNAVAILABLE):
        return Deferred(reason, _seconds(headers.get("Retry-After")))
    if status in _OF_THE_ACCOUNT:
        return Deferred(reason)
    if 400 <= status < 500:
        return Failed(reason, undeliverable=code in NO_SUCH_NUMBER)
    # It broke while it had the message, or somebody in between answered for it.
    return Unknown(reason)


def _parsed(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _seconds(wait: str | None) -> float | None:
    """Return how long to wait; a date, which the header may also be, is not waited for."""
    try:
        found = float(wait or "")
    except ValueError:
        return None
    return min(found, _LONGEST_WAIT) if found > 0 else None
