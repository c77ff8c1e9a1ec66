"""A small real job for `dueby run`: real files, a real model, real processes, and profiles written down beforehand."""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds
import yaml
from PIL import Image

MAX_WAIT_S = 400.0
MARK = "DUEBY_TEST_JOB"
# With OpenVINO the second worker with a network needs no PyTorch: it starts in a third of the time of a core. An image
# takes a millisecond, so that a job isn't over before a test has interrupted it.
SIDE = 224
MODEL = {"name": "mobilenet_v3_small", "weights": "none", "imageSize": SIDE, "engine": "openvino"}


def write_photos(folder: Path, count: int) -> None:
    """Small JPEGs, all different."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0)
    for number in range(count):
        Image.fromarray(noise.integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(folder / f"{number:05d}.jpg")


# With steps that take this, a part is one mini-batch of 8, so that a job has parts to be interrupted between.
SMALL_PARTS_US = 5_000_000


def profile_document(*, latency_us: int = 40_000, startup_us: int = 2_000_000, slices: int = 2) -> dict[str, Any]:
    """A `cpu-1` that does 8 images a step; what it says need not be true of this machine."""
    return {
        "apiVersion": "dueby.dev/v1alpha1",
        "kind": "GPUProfile",
        "metadata": {"name": "cpu-1"},
        "spec": {
            "deviceClass": "cpu-1",
            "model": {"name": MODEL["name"], "imageSize": SIDE, "precision": "fp32"},
            "engine": MODEL["engine"],
            "device": {"threads": 1, "slices": slices},
            "startupMicros": {"p50": startup_us, "p95": startup_us},
            "spread": {"run": 0.02, "node": 0.02},
            "steps": [
                {
                    "miniBatchSize": 8,
                    "latencyMicros": {"mean": latency_us},
                    "warmupMicros": {"p50": latency_us, "p95": latency_us},
                }
            ],
        },
    }


@dataclass(kw_only=True)
class Job:
    """A manifest, its profiles and its sink in one folder."""

    folder: Path
    name: str = "small"
    spec: dict[str, Any] = field(default_factory=dict)
    profile: dict[str, Any] = field(default_factory=profile_document)
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spec = {
            "deadline": "10m",
            "model": MODEL,
            "source": {"uri": str(self.folder / "photos")},
            "sink": {"uri": str(self.sink)},
        } | self.spec
        (self.folder / "profiles").mkdir()
        (self.folder / "profiles" / "cpu-1.yaml").write_text(yaml.safe_dump(self.profile))
        self.write()

    @property
    def sink(self) -> Path:
        return self.folder / "rows"

    @property
    def manifest(self) -> Path:
        return self.folder / "job.yaml"

    def write(self, **changes: Any) -> None:
        """Write the manifest, with some fields of its spec changed; in one move, as editors do."""
        self.spec |= changes
        document = {
            "apiVersion": "dueby.dev/v1alpha1",
            "kind": "InferenceJob",
            "metadata": {"name": self.name},
            "spec": self.spec,
        }
        fresh = self.manifest.with_suffix(".new")
        fresh.write_text(yaml.safe_dump(document))
        fresh.replace(self.manifest)

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        """`dueby run` in the background; what it says goes into said()."""
        with (self.folder / "said.txt").open("ab") as said:
            process = subprocess.Popen(
                self._command(*options),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=os.environ | {MARK: str(self.folder)},
            )
        self.running.append(process)
        return process

    def run(self, *options: str) -> int:
        """`dueby run` to its end; the exit code."""
        return self.start(*options).wait(MAX_WAIT_S)

    def run_in_terminal(self, *, columns: int, rows: int = 24) -> int:
        """`dueby run` to its end in a terminal of this size; the exit code."""
        primary, secondary = pty.openpty()
        fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        process = subprocess.Popen(
            self._command(),
            stdin=subprocess.DEVNULL,
            stdout=secondary,
            stderr=secondary,
            env=os.environ | {MARK: str(self.folder), "TERM": "xterm-256color"},
        )
        self.running.append(process)
        os.close(secondary)
        with (self.folder / "said.txt").open("ab") as said, suppress(OSError):  # EIO: the terminal's last user is gone
            while data := os.read(primary, 65_536):
                said.write(data)
        os.close(primary)
        return process.wait(MAX_WAIT_S)

    def said(self) -> str:
        return (self.folder / "said.txt").read_text()

    def parts(self) -> list[Path]:
        return sorted(self.sink.glob("part-*.parquet"))

    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = ds.dataset([str(p) for p in self.parts()]).to_table().sort_by("index").to_pylist()
        return rows

    def record(self, name: str) -> dict[str, Any]:
        """A document of the newest run."""
        newest = max((self.sink / "_dueby" / "runs").iterdir())
        document: dict[str, Any] = json.loads((newest / name).read_text())
        return document

    def part_size(self) -> int:
        """Images in a part, as the sink's manifest says."""
        return int(json.loads((self.sink / "_dueby" / "job.json").read_text())["partSize"])

    def worker_pids(self) -> list[int]:
        """Worker processes of this job: they inherit the mark of the command that started them."""
        mark = f"{MARK}={self.folder}"
        found = [(Path(f"/proc/{pid}") / "environ", pid) for pid, words in _processes() if "dueby_worker" in words]
        return sorted(pid for environ, pid in found if mark in _strings(environ))

    def _command(self, *options: str) -> list[str]:
        profiles = ["--profiles", str(self.folder / "profiles")]
        return [sys.executable, "-m", "dueby.cli.main", "run", "-f", str(self.manifest), *profiles, *options]

    def clean_up(self) -> None:
        """Whatever happened, nothing is left running."""
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.wait()
        wait_until(lambda: not self.worker_pids(), "the workers are gone with their parent")


def wait_until(holds: Callable[[], object], what: str) -> None:
    """Wait for a condition, not for a time; an AssertionError names what never came."""
    give_up = time.monotonic() + MAX_WAIT_S
    while not holds():
        assert time.monotonic() < give_up, f"after {MAX_WAIT_S:.0f} s still not: {what}"
        time.sleep(0.05)


def kill(pid: int) -> None:
    """SIGKILL; fine if it is gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _processes() -> list[tuple[int, list[str]]]:
    """(pid, words of the command line) of every process."""
    folders = [folder for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    return [(int(folder.name), _strings(folder / "cmdline")) for folder in folders]


def _strings(path: Path) -> list[str]:
    """The NUL-separated strings of a file in /proc; none if the process is gone."""
    try:
        return path.read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []
