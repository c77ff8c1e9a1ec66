"""Whether the index step's memory depends on the number of images.

    python benchmarks/index.py              # a minute; writes results/index.json

The real step, as a process of its own, over manifests of 10,000 and 1,000,000 URIs on a web server of this machine that
has the same photo for every path. The peak is the whole process's, PyTorch and the model included.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

RESULTS = Path(__file__).parent / "results"
IMAGES = (10_000, 1_000_000)
BAR = 1.25
MODEL = {"name": "mobilenet_v3_small", "weights": "none", "imageSize": 64}


class Photo(BaseHTTPRequestHandler):
    """The same photo everywhere."""

    protocol_version = "HTTP/1.1"
    data = b""

    def do_GET(self) -> None:
        self._head()
        self.wfile.write(self.data)

    def do_HEAD(self) -> None:
        self._head()

    def _head(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.data)))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Not a line for each."""


def main() -> None:
    """Both sizes, side by side."""
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG")
    Photo.data = buffer.getvalue()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Photo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found = [measure(server.server_port, images) for images in IMAGES]
    ratio = found[-1]["peakMiB"] / found[0]["peakMiB"]
    verdict = "ok" if ratio <= BAR else "MORE"
    print(f"{IMAGES[-1]:,} images take {ratio:.2f} times the memory of {IMAGES[0]:,}  {verdict} (bar {BAR})")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "index.json").write_text(json.dumps(found, indent=1))


def measure(port: int, images: int) -> dict[str, Any]:
    """The step over so many URIs."""
    with tempfile.TemporaryDirectory(prefix="dueby-benchmark-") as folder:
        listed = Path(folder) / "images.txt"
        with listed.open("w") as file:
            file.writelines(f"http://127.0.0.1:{port}/photos/{number:09d}.jpg\n" for number in range(images))
        config = Path(folder) / "config.json"
        source, sink = {"manifest": {"uri": str(listed), "anyHost": True}}, {"uri": f"{folder}/sink"}
        config.write_text(json.dumps({"job": "benchmark", "model": MODEL, "source": source, "sink": sink}))
        began_s = time.monotonic()
        command = [sys.executable, "-m", "dueby_worker", "index", "--config", str(config)]
        step = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert step.stdout is not None
        said = json.loads(step.stdout.read().splitlines()[-1])
        _, status, usage = os.wait4(step.pid, 0)
        if status or said.get("images") != images:
            sys.exit(f"index: the step ended with {status}: {said}")
    row = {"images": images, "seconds": time.monotonic() - began_s, "peakMiB": usage.ru_maxrss / 1024}
    print(f"{images:>9,} images: peak {row['peakMiB']:.0f} MiB, {row['seconds']:.1f} s")
    return row


if __name__ == "__main__":
    main()
