"""A sink: a process that takes all mails, with a line of answer for each, and keeps none."""

from __future__ import annotations

import asyncio
import sys

from typing_extensions import override

OFFERS = b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 10000000\r\n250 DSN\r\n"
_END = b"\r\n.\r\n"


class Sink(asyncio.Protocol):
    """One connection, with as much of SMTP (RFC 5321) as a sender sees."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.is_data = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(b"220 sink\r\n")

    @override
    def data_received(self, data: bytes) -> None:
        self.buffer += data
        said = bytearray()
        while (end := self.buffer.find(_END if self.is_data else b"\r\n")) >= 0:
            if self.is_data:
                del self.buffer[: end + len(_END)]
                self.is_data = False
                said += b"250 2.0.0 Ok: queued as 4F2\r\n"
                continue
            command = bytes(self.buffer[:4]).upper()
            del self.buffer[: end + 2]
            self.is_data = command == b"DATA"
            said += {
                b"EHLO": OFFERS,
                b"DATA": b"354 Go on\r\n",
                b"QUIT": b"221 2.0.0 Bye\r\n",
            }.get(command, b"250 2.0.0 Ok\r\n")
        self.transport.write(bytes(said))


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
