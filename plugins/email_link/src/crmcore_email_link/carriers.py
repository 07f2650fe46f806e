"""Carriers: the transport that the shop's settings name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

from crmcore.errors import ConfigurationError
from crmcore_email_link.transports import (
    Credentials,
    Mailgun,
    Postmark,
    Relay,
    Resend,
    SendGrid,
    Ses,
    Smtp,
    Transport,
)

TRANSPORTS: Final = ("smtp", "ses", "postmark", "mailgun", "sendgrid", "resend")


class CarrierSettings(Protocol):
    """What a carrier is made of."""

    transport: str
    host: str
    port: int
    tls: str
    username: str
    region: str
    provider_domain: str


def carrier(
    settings: CarrierSettings, credential: Callable[[], str], clock: Callable[[], datetime]
) -> Transport:
    """
    Return who carries the shop's mails.

    Args:
        settings: The plugin's.
        credential: Returns the password or key; called where one is needed.
        clock: Returns the present instant, which some sign with each mail.

    Raises:
        ConfigurationError: If a setting is missing that this one needs.
    """
    match settings.transport:
        case "smtp":
            return Smtp(relay=_relay(settings, credential))
        case "ses":
            access, colon, private = credential().partition(":")
            if not colon:
                raise ConfigurationError(
                    "the credential for ses has no colon; the access key, a colon and the secret "
                    "key are expected"
                )
            region = _needed("region", settings.region, settings.transport)
            return Ses(
                credentials=Credentials(access_key=access, secret_key=private),
                region=region,
                clock=clock,
            )
        case "postmark":
            return Postmark(token=credential())
        case "mailgun":
            domain = _needed("provider_domain", settings.provider_domain, settings.transport)
            return Mailgun(domain=domain, key=credential())
        case "sendgrid":
            return SendGrid(key=credential())
        case _:
            return Resend(key=credential())


def _relay(settings: CarrierSettings, credential: Callable[[], str]) -> Relay:
    return Relay(
        host=_needed("host", settings.host, settings.transport),
        port=settings.port,
        tls=settings.tls,  # type: ignore[arg-type]
        username=settings.username or None,
        password=credential() if settings.username else None,
    )


def _needed(name: str, value: str, transport: str) -> str:
    if not value:
        raise ConfigurationError(
            f"{name} is missing, which the transport {transport!r} needs; set it in crm.toml"
        )
    return value
