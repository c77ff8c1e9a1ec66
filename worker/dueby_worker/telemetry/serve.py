"""A worker's pages: /metrics for Prometheus, /healthz and /readyz for the kubelet, two pages for the operator.

/progress shows how far this worker is. /parts lists the parts in the sink, for which the operator has no credentials.
An index or finish step has /progress alone, which says what store it waits for.

The standard library's server is enough for a handful of requests per second. Port 0 takes any free port, and the real
one is written to a file, which is how local workers are found: no port has to be agreed on, and none can be taken.
"""

import json
import os
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from dueby_api.errors import Invalid
from dueby_api.schema import Spec
from dueby_api.step_config import OnceConfig
from dueby_api.step_messages import OnceProgress, SinkParts
from dueby_worker.telemetry.progress import ProgressTracker, StoreWaits

# A client that stalls must not hold a thread forever.
_REQUEST_TIMEOUT_S = 10
# Status, content type, body.
Page = tuple[int, str, bytes]


class _Server(ThreadingHTTPServer):
    """http.server without its look-up of the host's name, which takes seconds if there is no name server."""

    daemon_threads = True

    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), handler)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)
        self.server_port = self.server_address[1]


def serve_progress(progress: ProgressTracker, *, host: str, port: int, port_file: Path | None) -> int:
    """Answer requests about a worker from now on; return the port."""
    return serve_pages(lambda path: _page(progress, path), host=host, port=port, port_file=port_file)


def serve_waits(config: OnceConfig) -> tuple[StoreWaits, StoreWaits]:
    """Return what notes a step's waits for its sink and for its source; from now on, tell of them whoever asks."""
    sink, source = StoreWaits("sink"), StoreWaits("source")

    def page(path: str) -> Page:
        if path != "/progress":
            return 404, "text/plain", b"there is /progress"
        now_s = time.monotonic()
        return _json_page(OnceProgress(waits_for=sink.longest(now_s=now_s) or source.longest(now_s=now_s)))

    if config.port is not None:
        serve_pages(page, host=config.host, port=config.port)
    return sink, source


def serve_pages(page: Callable[[str], Page], *, host: str, port: int, port_file: Path | None = None) -> int:
    """Answer each request with the page of its path, in threads that end with the process; return the port."""
    try:
        server = _Server(host, port, _handler_of(page))
    except OSError as error:
        raise Invalid("port", f"can't listen on {host}, port {port}: {error.strerror}") from None
    threading.Thread(target=server.serve_forever, name="server", daemon=True).start()
    if port_file is not None:
        write_atomically(port_file, str(server.server_port))
    return server.server_port


def write_atomically(path: Path, text: str) -> None:
    """Write the file so that a reader sees all of it or none."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)


def _handler_of(page: Callable[[str], Page]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_TIMEOUT_S

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, *, with_body: bool) -> None:
            status, content_type, body = page(self.path.partition("?")[0])
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing: probes every few seconds are not worth a line each."""

    return Handler


def _page(progress: ProgressTracker, path: str) -> Page:
    match path:
        case "/progress":
            return _json_page(progress.report())
        case "/parts":
            # The server starts before the sink is open.
            if progress.list_parts is None:
                return 503, "text/plain", progress.state.encode()
            return _json_page(SinkParts(runs=tuple(progress.list_parts())))
        case "/metrics":
            # Importing it takes 40 ms, so only a worker that is scraped pays for it.
            from dueby_worker.telemetry import metrics

            return 200, metrics.CONTENT_TYPE, metrics.render(progress)
        case "/healthz":
            reason = progress.why_stuck()
            return (503, "text/plain", reason.encode()) if reason else (200, "text/plain", b"ok")
        case "/readyz":
            return (200, "text/plain", b"ok") if progress.is_ready else (503, "text/plain", progress.state.encode())
    return 404, "text/plain", b"there are /progress, /parts, /metrics, /healthz and /readyz"


def _json_page(message: Spec) -> Page:
    return 200, "application/json", json.dumps(message.complete_document()).encode()
