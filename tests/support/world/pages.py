"""`http.server` as workers use it: a process that listens has an address in the simulated network."""

import io
from typing import Any

from support.world.library import module_of
from support.world.network import Reply, Request, network_of
from support.world.scheduler import World


class BaseHTTPRequestHandler:
    """One request."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.status = 0
        self.wfile = io.BytesIO()

    def send_response(self, status: int) -> None:
        """Note the status."""
        self.status = status

    def send_header(self, name: str, value: str) -> None:
        """Headers are of no matter here."""

    def end_headers(self) -> None:
        """Nor is their end."""


class ThreadingHTTPServer:
    """A server of pages, each in a thread of its own."""

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        world = World.current
        self._process = world.my_thread().process
        self._handler = handler
        self.server_port = address[1]
        network_of(world).hosts[f"{self._process.attributes['ip']}:{address[1]}"] = self._serve

    def serve_forever(self) -> None:
        """Wait for ever: requests have threads of their own."""
        World.current.my_thread().park()

    def _serve(self, request: Request, come_back: Any) -> None:
        def answer() -> None:
            handler = self._handler(request.path)
            handler.do_GET()
            come_back(Reply(handler.status, handler.wfile.getvalue()))

        World.current.spawn(self._process, answer, name=request.path)


MODULE = module_of(
    "http.server", {"ThreadingHTTPServer": ThreadingHTTPServer, "BaseHTTPRequestHandler": BaseHTTPRequestHandler}
)
