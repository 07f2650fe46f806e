"""Serving: a page on this machine, for whoever sits at it."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from crmcore.errors import ConfigurationError

if TYPE_CHECKING:
    from crmcore_email_link.viewing import View

_HERE = ("localhost", "127.0.0.1")


def server_of(view: View, port: int) -> ThreadingHTTPServer:
    """
    Return a server that shows a mail at `/`, and its octets at `/mail.eml`; nobody else's machine.

    Raises:
        ConfigurationError: If the port is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # A page elsewhere may have its name lead here; it is not to read a mail by that.
            if self.headers.get("Host", "").rpartition(":")[0] not in _HERE:
                self.send_error(403)
            elif self.path == "/":
                self._answer(view.html().encode(), view.headers)
            elif self.path == "/mail.eml":
                self._answer(view.raw, {"Content-Type": "message/rfc822"})
            else:
                self.send_error(404)

        def _answer(self, body: bytes, headers: Any) -> None:
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing of each request."""

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise ConfigurationError(
            f"port {port} cannot be served: {error.strerror}; another --port, or 0, is expected"
        ) from error
