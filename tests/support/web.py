"""Web servers for tests, over a folder: one that sends parts of files, and one that can't."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path


class Whole(http.server.SimpleHTTPRequestHandler):
    """Python's own server, which knows no ranges."""

    def log_message(self, *args: object) -> None:
        """Tests say enough."""


class Ranges(Whole):
    """Sends parts of files."""

    def do_GET(self) -> None:
        """Answer as servers do that know the header Range."""
        first, _, last = (self.headers["Range"] or "").removeprefix("bytes=").partition("-")
        path = Path(self.translate_path(self.path))
        if first and path.is_file():
            data = path.read_bytes()[int(first) : int(last) + 1]
            self.send_response(206)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        else:
            super().do_GET()


@contextmanager
def serving(folder: Path, kind: type[Whole]) -> Iterator[str]:
    """Serve the folder until the block ends; give the server's address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(kind, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
