"""Servers that take mail: real ones (aiosmtpd), with faults where a test wants them."""
# ruff: noqa: N802 - the names are those of the library

import asyncio
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

from aiosmtpd.smtp import SMTP
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HANG_UP = "hang up"
TAKE_AND_HANG_UP = "take it and hang up"
SILENCE = "silence"


class Receiver:
    """
    A server in a thread of its own; *fault* is asked at each step, and answers for it.

    It is called with the step (`greeting`, `EHLO`, `MAIL`, `RCPT`, `DATA`, `content`) and the
    session's recipient, where there is one, and returns a reply, a fault above, or None: as always.
    """

    def __init__(self, fault=None, *, offers=("PIPELINING", "DSN"), in_pieces=False, **options):
        self.fault = fault or (lambda step, recipient: None)
        self.offers = offers
        self.in_pieces = in_pieces
        self.options = options
        self.tls = options.pop("implicit_tls", None)
        self.taken = []
        self.said = []
        self.connections = 0
        self.open = self.most_open = 0
        self.sessions = []

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        started = threading.Event()
        self.thread = threading.Thread(target=self._serve, args=[started], daemon=True)
        self.thread.start()
        assert started.wait(10)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    def recipients(self):
        return [recipient for _, recipient, _ in self.taken]

    def hang_up(self, words=None):
        """Hang up on all that are connected."""
        done = threading.Event()

        def act():
            for each in self.sessions:
                if each.transport is not None:
                    if words is not None:
                        each.transport.write(words.encode())
                    each.transport.close()
            self.loop.call_later(0.05, done.set)

        self.loop.call_soon_threadsafe(act)
        assert done.wait(10)

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        return [*(f"250-{each}" for each in self.offers), *responses]

    async def handle_DATA(self, server, session, envelope):
        said = self.fault("content", envelope.rcpt_tos[0])
        if said == SILENCE:
            await asyncio.sleep(3600)
        if said in (None, TAKE_AND_HANG_UP):
            self.taken.append((envelope.mail_from, envelope.rcpt_tos[0], envelope.original_content))
        if said in (HANG_UP, TAKE_AND_HANG_UP):
            server.transport.abort()
        elif said is not None and said.startswith("421"):
            self.loop.call_later(0.05, server.transport.close)
        return said or "250 2.0.0 Ok: queued as 4F2"

    def _session(self):
        return Session(self, **self.options)

    def _serve(self, started):
        asyncio.set_event_loop(self.loop)
        # What a fault leaves behind is no news.
        self.loop.set_exception_handler(lambda *_: None)
        make = self.loop.create_server(self._session, "127.0.0.1", 0, ssl=self.tls)
        server = self.loop.run_until_complete(make)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        self.loop.run_forever()
        server.close()
        left = asyncio.all_tasks(self.loop)
        for each in left:
            each.cancel()
        with suppress(Exception):
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()


class Session(SMTP):
    """One connection."""

    transport: Any

    def __init__(self, receiver, **options):
        self.receiver = receiver
        self.recipient = None
        self.is_greeted = False
        super().__init__(receiver, enable_SMTPUTF8=True, **options)

    def connection_made(self, transport):
        if self.transport is None:
            self.receiver.connections += 1
            self.receiver.open += 1
            self.receiver.most_open = max(self.receiver.most_open, self.receiver.open)
            self.receiver.sessions.append(self)
        super().connection_made(transport)

    def connection_lost(self, error):
        self.receiver.open -= 1
        super().connection_lost(error)

    async def push(self, status):
        if not self.is_greeted:
            self.is_greeted = True
            if await self._fails("greeting"):
                return
        if not self.receiver.in_pieces:
            await super().push(status)
            return
        for octet in status.encode() + b"\r\n":
            self._writer.write(bytes([octet]))
            await self._writer.drain()
            await asyncio.sleep(0)

    async def smtp_EHLO(self, hostname):
        if not await self._fails("EHLO"):
            await super().smtp_EHLO(hostname)

    async def smtp_HELO(self, hostname):
        if not await self._fails("HELO"):
            await super().smtp_HELO(hostname)

    async def smtp_MAIL(self, arg):
        self.receiver.said.append(f"MAIL {arg}")
        kept = [each for each in arg.split() if not each.startswith(("RET=", "ENVID="))]
        self.recipient = None
        if not await self._fails("MAIL"):
            await super().smtp_MAIL(" ".join(kept))

    async def smtp_RCPT(self, arg):
        self.receiver.said.append(f"RCPT {arg}")
        kept = [each for each in arg.split() if not each.startswith(("NOTIFY=", "ORCPT="))]
        self.recipient = kept[0].removeprefix("TO:").strip("<>")
        if not await self._fails("RCPT"):
            await super().smtp_RCPT(" ".join(kept))

    async def smtp_DATA(self, arg):
        if not await self._fails("DATA"):
            await super().smtp_DATA(arg)

    async def smtp_RSET(self, arg):
        self.receiver.said.append("RSET")
        await super().smtp_RSET(arg)

    async def _fails(self, step):
        """Do what is to go wrong here; return whether something did."""
        said = self.receiver.fault(step, self.recipient)
        if said is None:
            return False
        if said == HANG_UP:
            self.transport.abort()
        elif said == SILENCE:
            await asyncio.sleep(3600)
        else:
            await super().push(said)
            if said.startswith("421"):
                self.transport.close()
        return True


def certificate(folder, name="localhost"):
    """Write a certificate for *name* that vouches for itself; return its file and its key's."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names = [x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.1"))]
    if name != "localhost":
        names.pop()
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / f"{name}.pem", folder / f"{name}.key"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files
