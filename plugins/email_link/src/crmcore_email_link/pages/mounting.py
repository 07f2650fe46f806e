"""Mounting: the pages as an application for servers of Python, synchronous or asynchronous."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Any

from crmcore_email_link.pages.exchange import LONGEST_BODY, Request, Response
from crmcore_email_link.pages.site import Pages

_LONGEST_NUMBER = 18

StartResponse = Callable[..., Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def wsgi_app(pages: Pages) -> Callable[[dict[str, Any], StartResponse], Iterable[bytes]]:
    """Return an application for WSGI servers (PEP 3333), to be mounted at the base of the links."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        headers = {
            name[len("HTTP_") :].replace("_", "-").lower(): str(value)
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        headers["content-type"] = str(environ.get("CONTENT_TYPE") or "")
        request = Request(
            method=str(environ.get("REQUEST_METHOD", "GET")).upper(),
            path=str(environ.get("PATH_INFO", "")),
            headers=headers,
            body=_body(environ),
            address=str(environ.get("REMOTE_ADDR") or ""),
        )
        response = pages.respond(request)
        status = f"{response.status} {HTTPStatus(response.status).phrase}"
        start_response(status, list(_headers(response).items()))
        return [response.body]

    return app


def _body(environ: dict[str, Any]) -> bytes:
    """Return what was sent, one octet more than is taken at most."""
    said = str(environ.get("CONTENT_LENGTH") or "")
    is_number = said.isascii() and said.isdigit() and len(said) <= _LONGEST_NUMBER
    length = int(said) if is_number else 0
    if not length or environ.get("wsgi.input") is None:
        return b""
    return bytes(environ["wsgi.input"].read(min(length, LONGEST_BODY + 1)))


def asgi_app(
    pages: Pages,
) -> Callable[[dict[str, Any], Receive, Send], Awaitable[None]]:
    """
    Return an application for ASGI servers (version 3), to be mounted at the base of the links.

    Each request is answered in a thread, so that no page holds up the others.
    """

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            return
        body = await _received(receive)
        if body is None:
            return
        headers = {
            bytes(name).decode("latin-1").lower(): bytes(value).decode("latin-1")
            for name, value in scope.get("headers", ())
        }
        path = str(scope.get("path", ""))
        root = str(scope.get("root_path", "")).rstrip("/")
        request = Request(
            method=str(scope.get("method", "GET")).upper(),
            path=path.removeprefix(root) if root else path,
            headers=headers,
            body=body,
            address=str((scope.get("client") or ("",))[0]),
        )
        response = await asyncio.to_thread(pages.respond, request)
        told = [(n.lower().encode(), v.encode()) for n, v in _headers(response).items()]
        start = {"type": "http.response.start", "status": response.status, "headers": told}
        await send(start)
        await send({"type": "http.response.body", "body": response.body})

    return app


async def _received(receive: Receive) -> bytes | None:
    """Return what was sent, cut off beyond what is taken; None: whoever sent it has gone."""
    pieces, size = [], 0
    while True:
        said = await receive()
        if said["type"] == "http.disconnect":
            return None
        piece = bytes(said.get("body", b""))[: LONGEST_BODY + 1 - size]
        pieces.append(piece)
        size += len(piece)
        if not said.get("more_body"):
            return b"".join(pieces)


async def _live(receive: Receive, send: Send) -> None:
    while True:
        said = await receive()
        await send({"type": f"{said['type']}.complete"})
        if said["type"] == "lifespan.shutdown":
            return


def _headers(response: Response) -> dict[str, str]:
    return {**response.headers, "Content-Length": str(len(response.body))}
