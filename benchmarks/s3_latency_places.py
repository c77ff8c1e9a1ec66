"""Where the photos of s3_latency.py lie: files of this machine, and an S3 server that answers at once or later.

The server is versitygw, a program that must be on the PATH, as for the tests of the S3 store. It and the proxies before
it, one for each delay, have a core of their own where there are two.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# The server is started by what starts it for the tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from photos import write_photos
from support.s3 import S3Server, versitygw_server

BUCKET = "photos"
PROXY = Path(__file__).parent / "s3_latency_proxy.py"
# Each tar has so many photos: 4 MB, a few of the worker's blocks.
PHOTOS_A_TAR = 64
CORES = sorted(os.sched_getaffinity(0))
CLIENT_CORES, SERVER_CORES = CORES[:1], CORES[-1:]


@dataclass(frozen=True, kw_only=True)
class Place:
    """A way to the same photos."""

    name: str
    """"local", or the delay in milliseconds."""
    root: str
    """URI of what has the folders `single` and `tars`."""
    environment: Mapping[str, str]
    """The variables with which AWS's libraries find it."""
    counter: str | None = None
    """URL of the proxy's counts."""

    def uri(self, form: str) -> str:
        """The source of a job: single objects or tars."""
        return f"{self.root}/single" if form == "single" else f"{self.root}/tars/*.tar"

    def take_counts(self) -> dict[str, int]:
        """What the proxy counted since the last call; nothing of files."""
        if not self.counter:
            return {}
        with urllib.request.urlopen(self.counter) as answer:
            found: dict[str, int] = json.load(answer)
            return found


def require_server() -> None:
    """End with a sentence that says where to get the program, unless it is there."""
    if shutil.which("versitygw") is None:
        sys.exit(
            "s3_latency: there is no S3 server here: put the program versitygw on the PATH; its releases are at "
            "github.com/versity/versitygw"
        )


def write_data(folder: Path, count: int) -> None:
    """The photos, as single files and in tars."""
    photos = write_photos(folder / "single", count)
    (folder / "tars").mkdir()
    for number in range(0, count, PHOTOS_A_TAR):
        with tarfile.open(folder / "tars" / f"{number // PHOTOS_A_TAR:04d}.tar", "w") as tar:
            for photo in photos[number : number + PHOTOS_A_TAR]:
                tar.add(photo, photo.name)


@contextlib.contextmanager
def open_places(folder: Path, photos: int, delays_ms: Sequence[int]) -> Iterator[list[Place]]:
    """Write the photos and run the server and its proxies until the block ends."""
    write_data(folder / "s3" / BUCKET, photos)
    with contextlib.ExitStack() as stack:
        with _on_cores_of_the_server():
            server = stack.enter_context(versitygw_server(folder, bucket=BUCKET))
        places = [Place(name="local", root=f"file://{server.folder}", environment={})]
        for delay_ms in delays_ms:
            with _on_cores_of_the_server():
                port = stack.enter_context(run_proxy(server, delay_ms, folder / f"proxy-{delay_ms}.log"))
            endpoint = f"http://127.0.0.1:{port}"
            places.append(
                Place(
                    name=str(delay_ms),
                    root=server.uri().rstrip("/"),
                    environment={**server.env, "AWS_ENDPOINT_URL": endpoint},
                    counter=f"{endpoint}/-/counts",
                )
            )
        yield places


@contextlib.contextmanager
def _on_cores_of_the_server() -> Iterator[None]:
    """Whatever is started meanwhile is on these cores, with all of its threads."""
    os.sched_setaffinity(0, SERVER_CORES)
    try:
        yield
    finally:
        os.sched_setaffinity(0, CORES)


@contextlib.contextmanager
def run_proxy(server: S3Server, delay_ms: int, log: Path, limits: Sequence[str] = ()) -> Iterator[int]:
    """Run a proxy before the server until the block ends; its port. `limits` are more of its words."""
    address = server.endpoint.removeprefix("http://")
    words = [sys.executable, str(PROXY), address, "--delay-ms", str(delay_ms), *limits]
    with log.open("ab") as output:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=output)
    try:
        assert process.stdout
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(10)
