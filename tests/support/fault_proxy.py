"""A proxy in front of a real object store that answers some requests itself, as a store with a fault does."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from support.azure import AzureServer
from support.s3 import S3Server

_LIMIT_S = 30.0
# These are about one connection, and the proxy has two.
_OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a client asks for."""

    method: str
    path: str
    is_conditional: bool
    """Whether an object is to be created only if there is none."""
    connection: int
    """Which of the client's connections it comes by."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An answer of S3's that says what went wrong; without a code it is somebody else's, and empty."""

    status: int
    code: str = ""
    message: str = ""
    retry_after_s: int | None = None

    @property
    def body(self) -> bytes:
        if not self.code:
            return b""
        return f"<Error><Code>{self.code}</Code><Message>{self.message}</Message></Error>".encode()


NOT_IMPLEMENTED = Refusal(
    status=501, code="NotImplemented", message="A header you provided implies functionality that is not implemented."
)
# What a gateway says that has lost the server behind it.
GATEWAYS_404 = Refusal(status=404)
BUSY = Refusal(status=503)
SLOW_DOWN = Refusal(status=503, code="SlowDown", message="Please reduce your request rate.")
FORBIDDEN = Refusal(status=403, code="AccessDenied", message="Access Denied.")
Fault = Callable[[Request], Refusal | None]


def no_fault(request: Request) -> None:
    """Let the server answer."""


@dataclass(kw_only=True)
class FaultProxy:
    """A running proxy. Its fault may be changed at any time."""

    endpoint: str
    fault: Fault = no_fault
    requests: list[Request] = field(default_factory=list)
    """What it was asked for so far."""

    def asked(self, method: str, part_of_path: str) -> int:
        """Return how often it was asked so."""
        return sum(request.method == method and part_of_path in request.path for request in self.requests)


@contextmanager
def fault_proxy(upstream: str, *, host: str = "127.0.0.1") -> Iterator[FaultProxy]:
    """Run a proxy in front of the server at the endpoint, at this address of the machine, until the block ends."""
    proxy = FaultProxy(endpoint="")
    server = ThreadingHTTPServer((host, 0), _handler_of(proxy, upstream.removeprefix("http://")))
    server.daemon_threads = True
    proxy.endpoint = f"http://{host}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join(_LIMIT_S)
        server.server_close()


@contextmanager
def proxied(server: S3Server | AzureServer) -> Iterator[FaultProxy]:
    """Run a proxy in front of the server, which whoever opens a store meanwhile is sent to."""
    with fault_proxy(server.endpoint) as proxy, pytest.MonkeyPatch.context() as patch:
        for name, value in server.env.items():
            patch.setenv(name, value.replace(server.endpoint, proxy.endpoint))
        yield proxy


def _handler_of(proxy: FaultProxy, upstream: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = _LIMIT_S

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Request(
                method=self.command,
                path=self.path,
                is_conditional=self.headers.get("If-None-Match") == "*",
                connection=self.client_address[1],
            )
            proxy.requests.append(request)
            refusal = proxy.fault(request)
            if refusal is not None:
                later = {} if refusal.retry_after_s is None else {"Retry-After": str(refusal.retry_after_s)}
                self._send(refusal.status, {"Content-Type": "application/xml", **later}, refusal.body)
            else:
                self._forward(body)

        def _forward(self, body: bytes) -> None:
            connection = HTTPConnection(upstream, timeout=_LIMIT_S)
            try:
                # The headers as they are, the host among them: they are signed.
                connection.request(self.command, self.path, body=body, headers=dict(self.headers.items()))
                answer = connection.getresponse()
                self._send(answer.status, dict(answer.headers.items()), answer.read())
            finally:
                connection.close()

        def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            length = headers.get("Content-Length") if self.command == "HEAD" else str(len(body))
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in _OF_THE_CONNECTION:
                    self.send_header(name, value)
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._answer)
    return Handler
