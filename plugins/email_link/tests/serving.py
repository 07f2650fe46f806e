"""Servers for the tests of pages: the standard library's for WSGI, and a small one for ASGI."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def wsgi_server(app: Any) -> Iterator[int]:
    """Serve a WSGI application on a port of its own."""
    with make_server("127.0.0.1", 0, app, handler_class=_Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def asgi_server(app: Any) -> Iterator[int]:
    """Serve an ASGI application on a port of its own, one request for each connection."""
    loop = asyncio.new_event_loop()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = [line.split(": ", 1) for line in head[1:] if line]
        length = next((int(v) for n, v in headers if n.lower() == "content-length"), 0)

        async def receive() -> dict[str, Any]:
            nonlocal length
            body = await reader.read(min(length, 1000))  # in pieces, as servers do
            length -= len(body)
            if length and not body:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": body, "more_body": length > 0}

        async def send(said: dict[str, Any]) -> None:
            if said["type"] == "http.response.start":
                writer.write(f"HTTP/1.1 {said['status']} OK\r\n".encode())
                for name, value in said["headers"]:
                    writer.write(name + b": " + value + b"\r\n")
                writer.write(b"connection: close\r\n\r\n")
            else:
                writer.write(said["body"])
                await writer.drain()

        scope = {
            "type": "http",
            "method": method,
            "path": path.partition("?")[0],
            "root_path": "",
            "headers": [(n.lower().encode(), v.encode("latin-1")) for n, v in headers],
        }
        await app(scope, receive, send)
        writer.close()

    server = loop.run_until_complete(asyncio.start_server(talk, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def ask(
    port: int, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], str]:
    """Return status, headers and body of what a server answers; no redirect is followed."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        told = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, told, answer.read().decode()
    finally:
        connection.close()
