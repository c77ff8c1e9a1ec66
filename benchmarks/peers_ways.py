"""The ways that peers.py compares, and one run of one: its command, what it costs, its rows.

DueBy runs as its users run it, by `dueby run`, with a profile of this machine. Its deadline is so short that the plan
takes all cores; the job is then late, which is exit code 4 and no fault. The peers are programs of their own
(peers_dataloader.py and its like). Whatever runs may use the given cores only.
"""

import importlib.util
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from dueby_worker.engines.host import process_environment
from metering import Command, Cost, run_metered
from peers_task import DECODE

HERE = Path(__file__).parent
# Mini-batches of the published comparison of Ray Data and Daft.
DOCUMENTED_BATCH = 100
# Smaller ones suit a CPU better; DueBy's are its plan's.
TUNED_BATCH = 32
LATE = 4
# A peer that hangs is left out.
LIMIT_S = 600.0


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to classify the photos."""

    name: str
    title: str
    package: str = ""
    """What must be installed."""
    program: str = ""
    """The peer's; empty for DueBy."""
    tuned: bool = True
    threads: Callable[[int], int] = lambda cores: 1
    """Threads of the network in each of its processes."""
    engine: str = ""
    """DueBy's."""
    needs_network: bool = False
    """Whether it has no part in the task without one."""


def _all(cores: int) -> int:
    return cores


WAYS = (
    Way(name="dataloader", title="DataLoader, as documented", program="dataloader", tuned=False),
    Way(name="spdl", title="SPDL, as documented", package="spdl", program="spdl", tuned=False),
    Way(name="ray", title="Ray Data, as documented", package="ray", program="ray", tuned=False),
    Way(name="daft", title="Daft, as documented", package="daft", program="daft", tuned=False),
    Way(name="dataloader-tuned", title="DataLoader, tuned", program="dataloader", threads=_all),
    Way(name="spdl-tuned", title="SPDL, tuned", package="spdl", program="spdl", threads=_all),
    Way(name="ray-tuned", title="Ray Data, tuned", package="ray", program="ray"),
    Way(name="daft-tuned", title="Daft, tuned", package="daft", program="daft"),
    Way(name="openvino", title="OpenVINO, by hand", package="openvino", program="openvino", needs_network=True),
    Way(name="ncnn", title="ncnn, by hand", package="ncnn", program="ncnn", needs_network=True),
    Way(name="dueby-eager", title="DueBy, eager", engine="eager", needs_network=True),
    Way(name="dueby-openvino", title="DueBy, OpenVINO", package="openvino", engine="openvino", needs_network=True),
    Way(name="dueby-ncnn", title="DueBy, ncnn", package="ncnn", engine="ncnn", needs_network=True),
    # Only for the task without a network.
    Way(name="dueby-decode", title="DueBy", program="dueby_decode"),
)
BY_NAME = {way.name: way for way in WAYS}


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where everything lies."""

    folder: Path
    ffmpeg: str
    """Folders of FFmpeg's libraries, for SPDL alone."""

    @property
    def models(self) -> Path:
        """The networks."""
        return self.folder / "models"

    def photos(self, count: int) -> Path:
        """The folder with so many photos."""
        return self.folder / f"photos-{count}"

    def profiles(self, model: str, engine: str) -> Path:
        """DueBy's profile."""
        return self.folder / "profiles" / f"{model}-{engine}"


@dataclass(frozen=True, kw_only=True)
class Group:
    """What is compared with each other: a task on some cores."""

    model: str
    cores: int
    photos: int

    @property
    def name(self) -> str:
        """As progress and results name it."""
        return f"{self.model}-{self.cores}"

    def has(self, way: Way) -> bool:
        """Whether the way has this task: DueBy has one of its own where there is no network."""
        if self.model == DECODE:
            return not way.needs_network
        return way.name != "dueby-decode"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One way, once."""

    cost: Cost
    first_row_s: float
    """From nothing to the first rows."""
    steady: float | None
    """Images per second after each worker's first rows; None if a worker had no second ones."""
    rows: Mapping[str, tuple[int, float]]
    """Label and score by file name."""


def obstacle(way: Way, bench: Bench, photo: Path) -> str | None:
    """Why the way can't run here, or None."""
    if way.package and importlib.util.find_spec(way.package) is None:
        return f"{way.package} isn't installed here; pip install 'dueby[peers]' brings it"
    if way.name == "spdl":
        program = f"import spdl.io; spdl.io.load_image_batch([{str(photo)!r}], width=8, height=8)"
        environment = {**os.environ, **_environment(way, bench, 1)}
        tried = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=False)
        if tried.returncode:
            return "SPDL finds no libraries of FFmpeg 4 to 9 (libavfilter, libavdevice); install them, or name --ffmpeg"
    return None


def run(way: Way, group: Group, bench: Bench, *, label: str, cores: Sequence[int]) -> Run:
    """Run one way in a folder of its own, with its log. Raise Failed if it doesn't end well."""
    folder = bench.folder / f"{group.name}-{way.name}-{label}"
    folder.mkdir()
    command = _dueby if way.engine else _peer
    began = time.time()
    cost = run_metered([[command(way, group, bench, folder, cores)]], folder / "log.txt", limit_s=LIMIT_S)
    rows = _rows_of_dueby(folder) if way.engine else pq.read_table(folder / "rows").to_pylist()
    return Run(
        cost=cost,
        first_row_s=min(row["at"] for row in rows) - began,
        steady=steady_rate(rows),
        rows={row["path"].rpartition("/")[2]: (row["label"], row["score"]) for row in rows},
    )


def steady_rate(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Images per second of all workers, each from its first mini-batch's end to its last one's."""
    by_worker: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        by_worker[row["worker"]].append(row["at"])
    total = 0.0
    for times in by_worker.values():
        first, last = min(times), max(times)
        if first == last:
            return None
        total += sum(at > first for at in times) / (last - first)
    return total


def _peer(way: Way, group: Group, bench: Bench, folder: Path, cores: Sequence[int]) -> Command:
    arguments: dict[str, Any] = {
        "photos": bench.photos(group.photos),
        "models": bench.models,
        "model": group.model,
        "batch": TUNED_BATCH if way.tuned else DOCUMENTED_BATCH,
        "cores": len(cores),
        "output": folder / "rows",
    }
    words = [word for name, value in arguments.items() for word in (f"--{name}", str(value))]
    return Command(
        arguments=[sys.executable, str(HERE / f"peers_{way.program}.py"), *words, *(["--tuned"] if way.tuned else [])],
        environment=_environment(way, bench, len(cores)),
        cores=cores,
    )


def _environment(way: Way, bench: Bench, cores: int) -> dict[str, str]:
    paths = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH", "")]))
    # Nobody reports home, which takes time where there is no internet.
    found = {"PYTHONPATH": paths, "RAY_USAGE_STATS_ENABLED": "0", "DO_NOT_TRACK": "true"}
    if way.program == "spdl" and bench.ffmpeg:
        found["LD_LIBRARY_PATH"] = bench.ffmpeg
    if way.tuned:
        found |= process_environment("eager", way.threads(cores)) | {"DAFT_PROGRESS_BAR": "0"}
    return found


def _dueby(way: Way, group: Group, bench: Bench, folder: Path, cores: Sequence[int]) -> Command:
    # Lite0's weights are in a package, where DEFAULT finds them.
    weights = "DEFAULT" if group.model == "efficientnet_lite0" else str(bench.models / f"{group.model}.pth")
    job = {
        "apiVersion": "dueby.dev/v1alpha1",
        "kind": "InferenceJob",
        "metadata": {"name": "peers"},
        "spec": {
            "deadline": "1s",
            "model": {"name": group.model, "weights": weights, "engine": way.engine},
            "source": {"uri": str(bench.photos(group.photos))},
            "sink": {"uri": str(folder / "rows")},
        },
    }
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    profiles = bench.profiles(group.model, way.engine)
    words = ["run", "-f", str(folder / "job.yaml"), "--profiles", str(profiles)]
    return Command(
        arguments=[sys.executable, "-m", "dueby.cli.main", *words], environment={}, cores=cores, codes=(0, LATE)
    )


def _rows_of_dueby(folder: Path) -> list[dict[str, Any]]:
    """DueBy's rows: when a part was done is its file's time."""
    rows = []
    for part in (folder / "rows").glob("*.parquet"):
        at = part.stat().st_mtime
        for row in pq.read_table(part, columns=["uri", "classes", "scores"]).to_pylist():
            found = {"path": row["uri"], "label": row["classes"][0], "score": row["scores"][0]}
            rows.append(found | {"at": at, "worker": "all"})
    return rows
