"""
Amazon SES: raw mails by its API, version 2.

Source:
    https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final

from attrs import define

from crmcore import Outcome
from crmcore_email_link.transports.api import Answer, Request, carry, check_url, judge, to_json
from crmcore_email_link.transports.envelope import Envelope
from crmcore_email_link.transports.sigv4 import Credentials, signed

_PATH: Final = "/v2/email/outbound-emails"
_TAG: Final = re.compile(r"[A-Za-z0-9_.@-]{1,256}")

# Of the account or of the moment, and worth trying again; the rest of 400 is about the mail.
_OF_THE_ACCOUNT: Final = frozenset(
    "AccountSuspendedException MailFromDomainNotVerifiedException SendingPausedException "
    "LimitExceededException NotFoundException TooManyRequestsException ThrottlingException "
    "Throttling RequestExpired ExpiredTokenException UnrecognizedClientException "
    "IncompleteSignature InvalidClientTokenId".split()
)


@define(kw_only=True)
class Ses:
    """
    One account at Amazon SES.

    It takes the mail's own bytes, changes `Message-ID` and `Date`, and signs again for its own
    domain; a signature of ours that covers those does not survive. It takes no key by which it
    would know a mail again. The return path is its own, and feedback comes through SNS; the
    envelope's `envid` comes back there as the tag `token`.

    Attributes:
        credentials: Who calls.
        region: Such as `eu-central-1`.
        configuration_set: Which decides what feedback there is; None: the account's default.
        url: Where its API is; None: that of the region.
        seconds: How long it may take to answer.
        connections: How many requests there are at once.
        clock: The present instant, which is signed with each request.
    """

    name: ClassVar[str] = "SES"
    idempotent: ClassVar[bool] = False

    credentials: Credentials
    region: str
    configuration_set: str | None = None
    url: str = ""
    seconds: float = 10.0
    connections: int = 4
    clock: Callable[[], datetime]

    def __attrs_post_init__(self) -> None:
        """Refuse an address that cannot be called, before any mail is."""
        self.url = self.url or f"https://email.{self.region}.amazonaws.com"
        check_url(self.url, "https://email.eu-central-1.amazonaws.com")

    def send(self, envelopes: Sequence[Envelope]) -> Sequence[Outcome]:
        """Hand mails over, and return one outcome for each, in their order."""
        return carry(self, envelopes)

    def close(self) -> None:
        """Hold nothing."""

    def request(self, envelope: Envelope) -> Request:
        """Return how a mail is handed over."""
        said: dict[str, Any] = {
            "Content": {"Raw": {"Data": base64.b64encode(envelope.raw).decode()}},
            "Destination": {"ToAddresses": [envelope.rcpt_to]},
        }
        if self.configuration_set is not None:
            said["ConfigurationSetName"] = self.configuration_set
        if envelope.envid is not None and _TAG.fullmatch(envelope.envid):
            said["EmailTags"] = [{"Name": "token", "Value": envelope.envid}]
        body = to_json(said)
        headers = signed(
            "POST",
            self.url.rstrip("/") + _PATH,
            {"Content-Type": "application/json"},
            body,
            credentials=self.credentials,
            region=self.region,
            service="ses",
            at=self.clock(),
        )
        return Request(path=_PATH, headers=headers, body=body)

    def outcome(self, answer: Answer) -> Outcome:
        """Return what an answer says of the mail."""
        found = answer.fields
        kind = answer.headers.get("x-amzn-ErrorType") or found.get("__type") or ""
        code = str(kind).partition(":")[0].rpartition("#")[2]
        said = found.get("message") or found.get("Message")
        is_unverified = isinstance(said, str) and "not verified" in said
        return judge(
            self,
            answer,
            reference=found.get("MessageId"),
            code=code,
            said=said,
            of_the_account=code in _OF_THE_ACCOUNT or is_unverified,
        )
