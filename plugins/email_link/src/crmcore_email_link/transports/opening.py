"""
Opening a conversation: the greeting, TLS and the login, by aiosmtplib.

It is imported where the first one is opened, so that whoever sends by a provider's API does not
need it.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import lru_cache
from typing import Final

import aiosmtplib

from crmcore_email_link.transports.conversation import Conversation, Relay, Tls, Unreachable
from crmcore_email_link.transports.replies import Reply

_PERMANENT: Final = 500


async def converse(relay: Relay, hello: str) -> Conversation:
    """Return a conversation with *relay* in which mails can be sent; raises `Unreachable`."""
    client = aiosmtplib.SMTP(
        hostname=relay.host,
        port=relay.port,
        local_hostname=hello,
        timeout=relay.connect_seconds,
        use_tls=relay.tls == "implicit",
        start_tls=False,
        tls_context=_context(relay.tls, relay.authority),
    )
    try:
        await _open(client, relay)
        transport = client.transport
        if not isinstance(transport, asyncio.Transport):
            raise Unreachable(f"{relay.host} hung up")
    except aiosmtplib.SMTPResponseException as error:
        _hang_up(client)
        reply = Reply(error.code, error.message.replace("\n", " "))
        raise Unreachable(f"{relay.host} answered {reply} (before any mail)", reply) from error
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        _hang_up(client)
        said = str(error) or type(error).__name__
        raise Unreachable(f"{relay.host} cannot be talked to: {said}") from error
    except BaseException:
        _hang_up(client)
        raise
    conversation = Conversation(
        relay.host, dict(client.esmtp_extensions), asyncio.get_running_loop()
    )
    conversation.take_over(transport)
    return conversation


async def _open(client: aiosmtplib.SMTP, relay: Relay) -> None:
    await client.connect()
    await _greet(client)
    if relay.tls not in ("never", "implicit"):
        if client.supports_extension("starttls"):
            await client.starttls()
            await _greet(client)  # what was offered before says nothing any more (RFC 3207, 4.2)
        elif relay.tls != "offered":
            raise Unreachable(f"{relay.host} does not offer TLS, and nothing goes there without")
    if relay.username is not None:
        await client.login(relay.username, relay.password or "")


def _hang_up(client: aiosmtplib.SMTP) -> None:
    # At once: taking leave of TLS takes turns of a loop that may end with this call.
    if isinstance(client.transport, asyncio.Transport):
        client.transport.abort()
    client.close()


async def _greet(client: aiosmtplib.SMTP) -> None:
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError as error:
        if error.code < _PERMANENT:  # such as a 421, which is no lack of an extension
            raise
        await client.helo()


@lru_cache(maxsize=64)
def _context(tls: Tls, authority: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority)
    if tls in ("offered", "required"):  # RFC 7435: better than nothing against who only listens
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
