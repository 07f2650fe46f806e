"""
The conversation: one connection to one SMTP server, ready to carry mails.

aiosmtplib opens it (see `opening`). Its own way of sending waits for an answer after each command,
and does not tell whether a connection broke before or after the final dot; so once it is open,
mails go through `Conversation`, which takes the connection over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from ipaddress import ip_address
from typing import Final, Literal

from attrs import field, frozen
from typing_extensions import override

from crmcore.errors import ConfigurationError, nearest
from crmcore_email_link.transports.replies import Reply

Tls = Literal["never", "offered", "required", "verified", "implicit"]
_TLS: Final = ("never", "offered", "required", "verified", "implicit")

_LONGEST_REPLY: Final = 65_536
_CHUNK: Final = 65_536  # octets written before it is seen whether they are taken
_GOODBYE: Final = 5.0  # seconds
_IN_WORDS: Final = 200  # characters of a line that is no reply


@frozen(kw_only=True)
class Relay:
    """
    A server that takes mails, and how it is talked to.

    Attributes:
        host, port: Where it is.
        tls: `never`; `offered`: where the server has STARTTLS, with whatever certificate;
            `required`: the same, and nothing goes without; `verified`: and the certificate is
            the host's; `implicit`: TLS from the first octet, verified, as on port 465.
        username, password: To log in with, over a verified connection only; None: nobody does.
        authority: A file of certificates to trust instead of the system's.
        notify: When delivery reports are wanted, where the server has DSN (RFC 3461, 4.1).
        connect_seconds: For each step until mails can be sent.
        command_seconds: For the answer to a command; five minutes by RFC 5321, 4.5.3.2.
        dot_seconds: For the answer to a whole mail; ten minutes by RFC 5321, 4.5.3.2.6. Who waits
            less gets mails of unknown fate from servers that are merely slow.
    """

    host: str
    port: int = 25
    tls: Tls = "offered"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    authority: str | None = None
    notify: str = "FAILURE,DELAY"
    connect_seconds: float = 30.0
    command_seconds: float = 300.0
    dot_seconds: float = 600.0

    def __attrs_post_init__(self) -> None:
        """Refuse a relay that cannot be talked to, or one that a password is told in the clear."""
        if self.tls not in _TLS:
            hint = nearest(self.tls, _TLS)
            raise ConfigurationError(
                f"tls is {self.tls!r}{hint}; one of {', '.join(_TLS)} is expected"
            )
        if self.username is not None and self.tls not in ("verified", "implicit"):
            if _is_loopback(self.host):
                return
            raise ConfigurationError(
                f"{self.host} is logged in to with tls {self.tls!r}, so anybody in between could "
                "read the password; 'verified' or 'implicit' is expected"
            )


class Unreachable(Exception):  # noqa: N818 - it is no mistake of ours
    """No conversation came about; *reply* is what the server said, if it did."""

    def __init__(self, reason: str, reply: Reply | None = None) -> None:
        super().__init__(reason)
        self.reply = reply


class Lost(Exception):  # noqa: N818 - it is no mistake of ours
    """The server hung up, or did not answer in time."""


class Conversation(asyncio.Protocol):
    """
    One open connection. At most one task waits on it.

    Attributes:
        host: Of the server.
        extensions: What the server offers, in lower case, with its parameters.
        mails: How many were taken up in it.
        is_rested: Whether it lay idle, so that the server may have hung up unnoticed.
        needs_reset: Whether a mail was begun and not finished, which the next one has to say.
    """

    def __init__(
        self, host: str, extensions: dict[str, str], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.host = host
        self.extensions = extensions
        self.mails = 0
        self.is_rested = self.needs_reset = False
        self.has_pipelining = "pipelining" in extensions
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._lines: list[str] = []
        self._replies: deque[Reply] = deque()
        self._lost: str | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._deadline = self._seconds = 0.0
        self._watch: asyncio.TimerHandle | None = None

    def take_over(self, transport: asyncio.Transport) -> None:
        """Carry on a connection that is open."""
        self._transport = transport
        transport.set_protocol(self)
        if transport.is_closing():
            self._lose("hung up")

    @property
    def is_open(self) -> bool:
        """Whether nobody hung up."""
        return self._lost is None

    @property
    def is_quiet(self) -> bool:
        """Whether nobody hung up, and nothing was said that nobody asked for, such as a 421."""
        return self._lost is None and not self._replies

    def write(self, data: bytes) -> None:
        """Say something; raises `Lost` if nobody can have heard any of it."""
        transport = self._transport
        if self._lost is not None or transport is None or transport.is_closing():
            raise Lost(self._lost or "hung up")
        transport.write(data)
        if transport.is_closing():  # the system refused it whole
            raise Lost("hung up")

    async def write_slowly(self, data: bytes, seconds: float) -> None:
        """Say something long, in pieces, and return when the last one has left this process."""
        if self._transport is None:
            raise Lost("hung up")
        self._transport.set_write_buffer_limits(high=1)  # TLS never resumes from 0
        for start in range(0, len(data), _CHUNK):
            self.write(data[start : start + _CHUNK])
            if self._room is not None:
                self._limit(seconds)
                await self._room
        if self._lost is not None:
            raise Lost(self._lost)

    async def reply(self, seconds: float) -> Reply:
        """Return the next answer; raises `Lost` if none comes in time."""
        if not self._replies:
            if self._lost is not None:
                raise Lost(self._lost)
            self._waiter = self._loop.create_future()
            self._limit(seconds)
            try:
                await self._waiter
            finally:
                self._waiter = None
        try:
            return self._replies.popleft()
        except IndexError:
            raise Lost(self._lost or "hung up") from None

    async def quit(self) -> None:
        """Take leave, and hang up."""
        with suppress(Lost):
            self.write(b"QUIT\r\n")
            await self.reply(_GOODBYE)
        self.abort("hung up")

    def abort(self, reason: str) -> None:
        """Hang up at once."""
        self._lose(reason)
        if self._transport is not None:
            self._transport.abort()

    # ------------------------------------------------------------ what the transport tells

    @override
    def data_received(self, data: bytes) -> None:
        """Take in what the server says, in pieces of any size."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._hear(line.rstrip(b"\r"))
        if len(self._buffer) + sum(map(len, self._lines)) > _LONGEST_REPLY:
            self.abort("answered without end")
        if self._replies and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the server hung up."""
        self._lose(f"hung up: {exc}" if exc else "hung up")

    @override
    def pause_writing(self) -> None:
        """Note that what was written last has not left yet."""
        if self._room is None and self._lost is None:
            self._room = self._loop.create_future()

    @override
    def resume_writing(self) -> None:
        """Note that all has left."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def _hear(self, line: bytes) -> None:
        code, text = line[:3], line[4:].decode("utf-8", "backslashreplace").strip()
        if not (len(code) == 3 and code.isdigit() and line[3:4] in (b"", b" ", b"-")):
            shown = line[:_IN_WORDS].decode("utf-8", "backslashreplace")
            self.abort(f"said what is no answer: {shown!r}")
            return
        self._lines.append(text)
        if line[3:4] != b"-":
            self._replies.append(Reply(int(code), " ".join(self._lines)))
            self._lines = []

    def _lose(self, reason: str) -> None:
        if self._lost is None:
            self._lost = reason
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self.resume_writing()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _limit(self, seconds: float) -> None:
        """Hang up unless what is waited for next comes within *seconds*."""
        # One timer that is moved when it goes off costs less than one for each answer.
        self._seconds, self._deadline = seconds, self._loop.time() + seconds
        if self._watch is not None and self._watch.when() > self._deadline:
            self._watch.cancel()
            self._watch = None
        if self._watch is None:
            self._watch = self._loop.call_at(self._deadline, self._look)

    def _look(self) -> None:
        self._watch = None
        if self._waiter is None and self._room is None:
            return
        if self._loop.time() < self._deadline:
            self._watch = self._loop.call_at(self._deadline, self._look)
        else:
            self.abort(f"did not answer within {self._seconds:g} s")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
