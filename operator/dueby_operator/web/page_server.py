"""Serve the calendar's page over HTTP, read-only: to whoever reaches the port, since nothing here knows who asks.

The address decides who that is: on the pod's loopback those who may forward ports to the pod, else the whole network.
The standard library's server is enough for a page that a few people look at.
"""

import logging
import re
import socketserver
import sys
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from dueby_api.errors import Invalid

# The browser asks for the page again after so many seconds.
REFRESH_S = 10
# A client that stalls must not hold a thread forever, and many of them not the operator's memory.
_REQUEST_TIMEOUT_S = 10
MAX_REQUESTS = 8
_MAX_PORT = 65_535
_HEADERS: Mapping[str, str] = {
    # The page has its style sheet in it, and jobs' colours in their elements. It runs, loads and sends nothing.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
# What a browser calls this machine, besides a port.
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
DrawPage = Callable[[], bytes | None]
"""Returns the page; None if there is nothing to show yet."""
log = logging.getLogger(__name__)


class PageServer(ThreadingHTTPServer):
    """A server of one page, for so many clients at a time and no more."""

    daemon_threads = True

    def __init__(self, host: str, port: int, draw: DrawPage) -> None:
        self.draw = draw
        self._turns = threading.Semaphore(MAX_REQUESTS)
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without http.server's look-up of the host's name, which takes seconds if there is no name server."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, or hang up if too many are being answered."""
        if self._turns.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and let the next one come."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._turns.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a page that can't be drawn. A client that has hung up or stalled is not worth a line."""
        if not isinstance(sys.exception(), OSError):
            log.exception("the calendar's page can't be drawn")


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    timeout = _REQUEST_TIMEOUT_S
    server_version, sys_version = "dueby", ""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        status, body = self._page()
        self.send_response(status)
        kind = "text/html" if status == HTTPStatus.OK else "text/plain"
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if status in (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE):
            self.send_header("Refresh", str(REFRESH_S))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def _page(self) -> tuple[HTTPStatus, bytes]:
        # Whose name leads to the loopback is a site that wants to read the page in a browser that may (DNS rebinding).
        is_local = str(self.server.server_address[0]) in _LOOPBACK
        if is_local and re.sub(r":\d+$", "", self.headers.get("Host", "localhost")) not in _LOOPBACK:
            return HTTPStatus.MISDIRECTED_REQUEST, b"The calendar is at http://localhost.\n"
        if self.path.partition("?")[0] != "/":
            return HTTPStatus.NOT_FOUND, b"The calendar is at /.\n"
        page = self.server.draw()
        if page is None:
            return HTTPStatus.SERVICE_UNAVAILABLE, b"The operator has not looked at the cluster yet.\n"
        return HTTPStatus.OK, page

    def end_headers(self) -> None:
        """Tell browsers with each answer, http.server's own errors too, to do no more than show it."""
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: whoever looks on asks every few seconds."""


def serve_page(draw: DrawPage, address: str) -> PageServer:
    """Answer requests at ADDRESS:PORT from now on, in threads that end with the process; port 0 is any free one.

    Raise Invalid if that is no such address, or nobody can listen there.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > _MAX_PORT:
        raise Invalid("--calendar-page", f"must be an address and a port such as 127.0.0.1:8082, but is {address!r}")
    try:
        server = PageServer(host, int(port), draw)
    except OSError as error:
        raise Invalid("--calendar-page", f"can't listen on {address}: {error.strerror}") from None
    threading.Thread(target=server.serve_forever, name="calendar-page", daemon=True).start()
    return server
