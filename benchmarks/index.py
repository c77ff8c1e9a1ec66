"""Whether the index step's memory depends on the number of images, and what it takes to find the new ones among many.

    python benchmarks/index.py                      # ten minutes, 2 GB in /tmp; writes results/index.json
    python benchmarks/index.py --added 10000000     # some minutes; prints how 10 million and 1,000 more are compared
    python benchmarks/index.py --changed            # 15 minutes; prints the same of 1 and 3 million files with ETags
    python benchmarks/index.py --killed             # two minutes; prints what a step takes that goes on after a kill

The real step, as a process of its own, over lists of a million and ten million URIs in no order, on a web server of
this machine that has the same photo for every path, and what a hundred million would take by these two. The peak is the
whole process's, with PyTorch and the model if the machine doesn't know the model yet. Then the step of a job with
`sink.ifExists: Append`, over 1 and 4 million and 1,000 more, into a sink that has a row of each but these.
With `sink.changed: true` the photos are in a bucket that this process stands in for, and some have another ETag.
Killed is a step over such a bucket without folders, whose pages take as long as S3's, once it has listed it all.
"""

import argparse
import hashlib
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
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image

from dueby_api.schema import validate
from dueby_api.step_config import IndexConfig
from dueby_api.step_messages import FinishResult
from dueby_worker.models.known_model import know_model
from dueby_worker.output.sink_manifest import SINK_MANIFEST, SinkManifest, components_of, encode_sink_manifest
from dueby_worker.output.success import SUCCESS, encode_success
from dueby_worker.storage.stores import open_store

RESULTS = Path(__file__).parent / "results"
IMAGES = (1_000_000, 10_000_000)
BAR = 1.25
# Odd, so that its multiples are different ones, and in no order.
SPREAD = 0x9E3779B97F4A7C15
PART_SIZE = 65_536
# Known images, and the new ones among them. Below a million, what is sorted at a time is not full.
ADDED, NEW = (1_000_000, 4_000_000), 1_000
# The same with sink.changed, each with few files that were written again, and the first with many.
CHANGED, FEW, LARGE_SHARE = (1_000_000, 3_000_000), 1_000, 4
# Files of the bucket over which a step is killed, and how long a page of 1,000 takes.
KILLED, PAGE_S = 200_000, 0.1
# What so many images may take.
MANY, MOST_MIB, MOST_S = 100_000_000, 1024, 900
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


class Bucket(Photo):
    """S3 with the same photo under each key of a bucket, whose first ones were written again."""

    page = 1000
    images, changed = 0, 0
    page_s = 0.0
    pages = 0

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if "list-type" not in query:
            super().do_GET()
            return
        Bucket.pages += 1
        time.sleep(self.page_s)
        first = int(query.get("continuation-token", ["0"])[0])
        end = min(first + self.page, self.images)
        items = "".join(map(self._item, range(first, end)))
        more = f"<NextContinuationToken>{end}</NextContinuationToken>" if end < self.images else ""
        is_cut = str(bool(more)).lower()
        text = f"<ListBucketResult><IsTruncated>{is_cut}</IsTruncated>{more}{items}</ListBucketResult>".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _item(self, number: int) -> str:
        etag = hashlib.md5(b"%d %d" % (number, number < self.changed), usedforsecurity=False).hexdigest()
        stamp = "<LastModified>2026-12-01T00:00:00Z</LastModified>"
        return f"<Contents><Key>photos/{number:09d}.jpg</Key>{stamp}<ETag>&quot;{etag}&quot;</ETag></Contents>"


def main() -> None:
    """Measure both sizes, and what is found to be new among many."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--added", type=int, metavar="N", help="only this: find what is new beside N images")
    parser.add_argument("--changed", action="store_true", help="only this: find what is new and what has changed")
    parser.add_argument("--killed", action="store_true", help="only this: kill a step, and let it go on")
    arguments = parser.parse_args()
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG")
    Photo.data = buffer.getvalue()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket if arguments.changed or arguments.killed else Photo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_port
    if arguments.changed or arguments.killed:
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_REGION": "us-east-1",
            **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "benchmark"),
        }
        (measure_killed if arguments.killed else measure_changed)()
        return
    if arguments.added:
        measure(port, arguments.added, adds=True)
        return
    found = [measure(port, images) for images in IMAGES]
    ratio = found[-1]["peakMiB"] / found[0]["peakMiB"]
    verdict = "ok" if ratio <= BAR else "MORE"
    print(f"{IMAGES[-1]:,} images take {ratio:.2f} times the memory of {IMAGES[0]:,}  {verdict} (bar {BAR})")
    extrapolate(found, kept_bytes=0)
    expected_s, cores_s = (found[-1][name] * MANY / IMAGES[-1] for name in ("seconds", "coreSeconds"))
    verdict = "ok" if expected_s <= MOST_S else "MORE"
    print(f"at this rate, they would take {expected_s:.0f} s  {verdict} (bar {MOST_S}), {cores_s:.0f} s of a core")
    rows = [measure(port, images, adds=True) for images in ADDED]
    extrapolate(rows)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "index.json").write_text(json.dumps(found + rows, indent=1))


def measure_changed() -> None:
    """Find what is new and what has changed in a bucket: few files of each size, and a large share of the first."""
    rows = [measure_bucket(images, changed=FEW) for images in CHANGED]
    extrapolate(rows)
    measure_bucket(CHANGED[0], changed=CHANGED[0] // LARGE_SHARE)


def measure_killed() -> None:
    """Kill a step that has listed a bucket, and start it again."""
    Bucket.images, Bucket.page_s = KILLED, PAGE_S
    with tempfile.TemporaryDirectory(prefix="dueby-benchmark-") as folder:
        document = {"job": "benchmark", "uid": "benchmark", "model": MODEL, "source": {"uri": "s3://bucket/photos/"}}
        (Path(folder) / "config.json").write_text(json.dumps(document | {"sink": {"uri": f"{folder}/sink"}}))
        began_s = time.monotonic()
        step = subprocess.Popen(step_words(Path(folder)), stderr=subprocess.PIPE, text=True)
        assert step.stderr is not None
        listed_s = next(time.monotonic() - began_s for line in step.stderr if line.startswith("freezing"))
        step.kill()
        _, _, usage = os.wait4(step.pid, 0)
        took = f"{listed_s:.1f} s, {usage.ru_utime + usage.ru_stime:.1f} s of a core, {Bucket.pages} pages"
        kept = sum(file.stat().st_size for file in Path(folder, "sink", "_dueby", "listing").iterdir())
        print(f"{KILLED:>11,} images, killed once they are listed: {took}; {kept / 2**20:.1f} MiB are kept", flush=True)
        Bucket.pages = 0
        said, row = run_step(Path(folder))
    shown(KILLED, said, row, f", and {Bucket.pages} pages, after the kill", expected=KILLED)


def extrapolate(rows: list[dict[str, Any]], *, kept_bytes: int = 1) -> None:
    """Print what a hundred million images would take, by the slope between two measurements.

    So many bytes are kept for each image, which may be hidden by what is freed before the peak.
    """
    (few, many), (fewer, more) = ([row[name] for row in rows] for name in ("peakMiB", "images"))
    expected = many + max((many - few) / (more - fewer), kept_bytes * 2**-20) * (MANY - more)
    verdict = "ok" if expected <= MOST_MIB else "MORE"
    print(f"at this slope, {MANY:,} images would take {expected:.0f} MiB  {verdict} (bar {MOST_MIB})")


def measure(port: int, images: int, *, adds: bool = False) -> dict[str, Any]:
    """The step over so many URIs; if it `adds`, over some more, into a sink that has a row of each of these."""
    with tempfile.TemporaryDirectory(prefix="dueby-benchmark-") as folder:
        said, row = index(Path(folder), listed(Path(folder), port, images))
        if adds:
            finish(Path(folder), said)
            said, row = index(Path(folder), listed(Path(folder), port, images + NEW))
    what = f" and {NEW:,} new ones" if adds else ""
    return shown(images, said, row, what, expected=NEW if adds else images) | ({"new": NEW} if adds else {})


def measure_bucket(images: int, *, changed: int) -> dict[str, Any]:
    """The step over some more files than a sink has rows of, of which so many have changed."""
    with tempfile.TemporaryDirectory(prefix="dueby-benchmark-") as folder:
        Bucket.images, Bucket.changed = images, 0
        finish(Path(folder), index(Path(folder), {"uri": "s3://bucket/photos/"}, changed=True)[0])
        Bucket.images, Bucket.changed = images + NEW, changed
        said, row = index(Path(folder), {"uri": "s3://bucket/photos/"}, changed=True)
    return shown(images, said, row, f", {NEW:,} new and {changed:,} changed ones", expected=NEW + changed)


def shown(images: int, said: dict[str, Any], row: dict[str, Any], what: str, *, expected: int) -> dict[str, Any]:
    """Print what the step took, and return it. End if it has counted others than those expected."""
    if said["images"] != expected:
        sys.exit(f"index: the step has counted others: {said}")
    took = f"{row['seconds']:.1f} s, {row['coreSeconds']:.1f} s of a core"
    print(f"{images:>11,} images{what}: peak {row['peakMiB']:.0f} MiB, {took}", flush=True)
    return row | {"images": images}


def listed(folder: Path, port: int, images: int) -> dict[str, Any]:
    """Return a source that is a list of so many images on a web server."""
    path = folder / "images.txt"
    with path.open("w") as file:
        names = (f"{number * SPREAD % 2**64:016x}.jpg" for number in range(images))
        file.writelines(f"http://127.0.0.1:{port}/photos/{name}\n" for name in names)
    return {"manifest": {"uri": str(path), "anyHost": True}}


def index(folder: Path, source: dict[str, Any], *, changed: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the step; return its last words, and what it took."""
    document = {
        "job": "benchmark",
        "model": MODEL,
        "source": source,
        "sink": {"uri": f"{folder}/sink", "ifExists": "Append", "changed": changed},
    }
    (folder / "config.json").write_text(json.dumps(document))
    return run_step(folder)


def step_words(folder: Path) -> list[str]:
    """Return the command of the step whose configuration is in the folder."""
    return [sys.executable, "-m", "dueby_worker", "index", "--config", str(folder / "config.json")]


def run_step(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the step whose configuration is in the folder; return its last words, and what it took."""
    began_s = time.monotonic()
    step = subprocess.Popen(step_words(folder), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert step.stdout is not None
    said = json.loads(step.stdout.read().splitlines()[-1])
    _, status, usage = os.wait4(step.pid, 0)
    if status:
        sys.exit(f"index: the step ended with {status}: {said}")
    cores_s = usage.ru_utime + usage.ru_stime
    return said, {"seconds": time.monotonic() - began_s, "coreSeconds": cores_s, "peakMiB": usage.ru_maxrss / 1024}


def finish(folder: Path, indexed: dict[str, Any]) -> None:
    """Have the sink say that each image of its index has a row. The index step doesn't look at rows."""
    config = validate(IndexConfig, json.loads((folder / "config.json").read_text()))
    model = know_model(config.model, config.output, None)
    store = open_store(config.sink.uri)
    manifest = SinkManifest(
        job=config.job,
        fingerprint=indexed["fingerprint"],
        components=components_of(model, config.model, config.source, index_digest=indexed["digest"], kept_digest=""),
        images=indexed["images"],
        part_size=PART_SIZE,
    )
    store.create(SINK_MANIFEST, encode_sink_manifest(manifest))
    result = FinishResult(
        images=manifest.images,
        rows=manifest.images,
        errors=0,
        fingerprint=manifest.fingerprint,
        part_size=PART_SIZE,
    )
    store.create(SUCCESS, encode_success(result))


if __name__ == "__main__":
    main()
