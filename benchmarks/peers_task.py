"""What the peers of peers.py share, each in a process of its own: what they are told, and the rows that they write.

A peer reads the photos of a folder, prepares and classifies them, and writes a row for each into Parquet: path, label,
score, when it was done, and by which worker. There is no network for the task "decode": label is 0 then, and score is
the mean of the prepared square's first channel, so that nobody can skip the work.

torch is not imported here: the processes that only hand out the work do without it.
"""

import argparse
import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

DECODE = "decode"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a peer is to do."""

    photos: Path
    models: Path
    """Folder with the networks, as peers_prepare.py writes them."""
    model: str
    """Name of the network, or "decode"."""
    batch: int
    cores: int
    tuned: bool
    output: Path

    @property
    def preset(self) -> Mapping[str, Any]:
        """How the network wants its photos."""
        preset: Mapping[str, Any] = json.loads((self.models / f"{self.model}.json").read_text())
        return preset

    def paths(self) -> list[str]:
        """The photos in the order of their names."""
        return sorted(map(str, self.photos.glob("*.jpg")))


def read_task(parser: argparse.ArgumentParser) -> Task:
    """The task on the command line."""
    for name in ("photos", "models", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--cores", type=int, required=True)
    parser.add_argument("--tuned", action="store_true")
    return Task(**vars(parser.parse_args()))


class Rows:
    """The rows of a peer, or of one of its processes."""

    def __init__(self) -> None:
        self._columns: dict[str, list[Any]] = {"path": [], "label": [], "score": [], "at": [], "worker": []}

    def add(self, paths: Sequence[str], labels: Sequence[int], scores: Sequence[float]) -> None:
        """Add those of a mini-batch that is done now."""
        added = {"path": paths, "label": labels, "score": scores, **done_by_me(len(paths))}
        for name, values in added.items():
            self._columns[name].extend(values)

    def write(self, folder: Path, *, name: str = "rows") -> None:
        """Write the file."""
        folder.mkdir(exist_ok=True)
        pq.write_table(pa.table(self._columns), folder / f"{name}.parquet")


def done_by_me(count: int) -> dict[str, list[Any]]:
    """The columns that say when and by which worker rows were made, now."""
    worker = f"{os.getpid()}/{threading.get_native_id()}"
    return {"at": [time.time()] * count, "worker": [worker] * count}
