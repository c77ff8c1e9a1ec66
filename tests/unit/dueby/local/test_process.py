"""One worker's process, as it is observed: what it doesn't answer is no news."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from dueby.local.process import Process
from dueby.local.this_machine import Slot
from support.operator import worker

Answer = Callable[[BaseHTTPRequestHandler], None]


def cut_off(handler: BaseHTTPRequestHandler) -> None:
    """As a process does that is killed while it answers."""
    handler.send_response(200)
    handler.send_header("Content-Length", "589")
    handler.end_headers()


def not_http(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"what?\n\n")


def not_json(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b"\xff{")


@contextmanager
def answering(answer: Answer) -> Iterator[int]:
    """The port on which everything is answered so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("answer", [cut_off, not_http, not_json])
def test_an_answer_that_is_none_is_no_news(answer: Answer, tmp_path: Path) -> None:
    with (
        answering(answer) as port,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as running,
    ):
        (tmp_path / "port").write_text(str(port))
        seen = Process(
            assignment=worker("w0").assignment,
            slot=Slot(name="0", device_class="cpu-1", threads=1),
            process=running,
            created_us=1,
            folder=tmp_path,
            part_size=16,
        )
        seen.refresh()
        assert (seen.state, seen.read_us) == ("starting", 0)
        running.communicate(b"\n")
