"""What a hostile pod runs: it answers what no worker would, or says last words that no step would. Nothing but Python.

As a script, `answers.py serve` answers every question in another way, and `answers.py words NUMBER` leaves
last words and ends. As `sitecustomize` on a job's PYTHONPATH it takes the place of one step of the job's own image:
HOSTILE_STEP says which, and HOSTILE_DOES what it does instead.
"""

import argparse
import base64
import gzip
import itertools
import os
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 8080
LAST_WORDS = "/dev/termination-log"
# Kubernetes keeps so much of them.
MAX_WORDS = 4096
BODIES = (
    b"",
    b"null",
    b"[]",
    b"\xff\xfe",
    b'{"batches": NaN}',
    b'{"imagesDone": Infinity, "runs": [[0, Infinity]]}',
    b'{"imagesDone": 1e400}',
    b'{"imagesDone": 99999999999999999999999, "batches": -1}',
    b'{"worker": "\\ud800", "images": 5, "runs": "all"}',
    b'{"worker": ["a"], "state": {"b": null}, "share": "0-1", "waitsFor": 7, "parity": []}',
    b'{"runs": [[5, 1], [0, 1000000000000]]}',
    b'{"images": 1000000000000, "fingerprint": "", "rows": 1, "errors": -1, "profile": 5}',
    b'{"error": "' + b"long " * 700 + b'", "field": "' + b"f" * 300 + b'"}',
    b"[" * 60_000,
    b'{"a":' * 10_000,
    b'{"runs": ' + b"[" * 4000,
    b'{"profile": "' + base64.b64encode(gzip.compress(b'{"software": [' + b"[]," * 350_000 + b"[]]}")) + b'"}',
)
BOMB = gzip.compress(bytes(2**24))


def serve() -> None:
    """Answer in each way in turn, until somebody ends this."""
    ThreadingHTTPServer(("", PORT), Answers).serve_forever()


def words(number: int) -> None:
    """Leave last words."""
    with open(LAST_WORDS, "wb") as file:
        file.write(BODIES[number % len(BODIES)][:MAX_WORDS])


class Answers(BaseHTTPRequestHandler):
    """One question."""

    def do_GET(self) -> None:
        """Answer probes as a good worker does, and everything else badly."""
        if self.path in ("/readyz", "/healthz"):
            self._say(b"ok")
        else:
            next(WAYS)(self)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""

    def _say(self, body: bytes, code: int = 200, **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def endless(self) -> None:
        """A body that never ends."""
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b'{"runs": [' + b" " * 65_536)

    def slow(self) -> None:
        """A byte a second."""
        self.send_response(200)
        self.end_headers()
        for _ in range(600):
            self.wfile.write(b" ")
            time.sleep(1)

    def bomb(self) -> None:
        """Little that unpacks to much."""
        self._say(BOMB, Content_Encoding="gzip")

    def elsewhere(self) -> None:
        """A redirection to what only the operator may reach."""
        self._say(b"", 302, Location="http://169.254.169.254/latest/meta-data/")

    def itself(self) -> None:
        """A redirection without an end."""
        self._say(b"", 301, Location=self.path)

    def lying(self) -> None:
        """Less than was promised."""
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.wfile.write(b"{}")


def _saying(body: bytes) -> Callable[[Answers], None]:
    return lambda answers: answers._say(body)


WAYS = itertools.cycle(
    [
        *map(_saying, BODIES),
        *(Answers.endless, Answers.slow, Answers.bomb, Answers.elsewhere, Answers.itself, Answers.lying),
    ]
)


def take_over() -> None:
    """Do what the environment says, where it is this process's step."""
    step, does = os.environ.get("HOSTILE_STEP", ""), os.environ.get("HOSTILE_DOES", "")
    told = sys.orig_argv
    if "dueby_worker" not in told or step not in told:
        return
    if does == "serve":
        serve()
    elif does.startswith("words"):
        words(int(does.removeprefix("words ")))
    os._exit(1 if does == "crash" else 0)


if __name__ == "sitecustomize":
    take_over()
elif __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Answer as a hostile worker does.")
    parser.add_argument("what", choices=("serve", "words"), help="answer every question, or leave last words")
    parser.add_argument("number", type=int, nargs="?", default=0, help="which last words")
    parsed = parser.parse_args()
    serve() if parsed.what == "serve" else words(parsed.number)
