"""What every engine is: it takes fixed mini-batches of uint8 images and returns what their rows are to hold.

An engine is built for one model, one output, one mini-batch size and one precision, and never departs from them. It
takes images as the decoder leaves them (uint8, NHWC, RGB), normalises them itself, because that moves a quarter of the
bytes to a GPU, and returns columns (models/columns.py). The worker's loop is the same for all engines:

    buffer = engine.buffer()        # one per mini-batch in flight, and more to fill in the meantime
    engine.submit(buffer)           # the buffer belongs to the engine ...
    columns = engine.collect()      # ... until its results are collected, oldest first

A module of an engine is named by the table in dueby_api/engines.py and offers `find_obstacle` and `build`, as
`EngineModule` says. build.py goes by that table, parity.py compares an engine with plain fp32, and host.py prepares the
process.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dueby_api.engines import EngineName, Precision
from dueby_worker.models.columns import Columns
from dueby_worker.models.facts import KnownModel
from dueby_worker.models.preprocessing import Pixels

# Whoever opens a network that is kept is spared torch.
if TYPE_CHECKING:
    from dueby_worker.models.loading import LoadedModel


class Engine(Protocol):
    """A model ready for mini-batches of one size at one precision. Not thread-safe: one caller at a time."""

    @property
    def name(self) -> EngineName:
        """The engine's name in jobs and profiles."""

    @property
    def precision(self) -> Precision:
        """The job's precision, in which the network computes."""

    @property
    def depth(self) -> int:
        """How many mini-batches may be submitted and not yet collected: 1 on CPUs, 2 on GPUs."""

    def buffer(self) -> Pixels:
        """Return a new array (b, side, side, 3), to be filled and submitted any number of times; pinned for GPUs."""

    def submit(self, batch: Pixels) -> None:
        """Start on exactly b images. The array must not change until its results are collected."""

    def collect(self) -> Columns:
        """Wait for the oldest submitted mini-batch and return its columns, b rows each.

        Never called with nothing in flight. The arrays are the caller's.
        """

    def close(self) -> None:
        """Release the memory and drop what is in flight. The engine can't be used afterwards."""


@dataclass(frozen=True, kw_only=True)
class EngineRequest:
    """What an engine is built of, and for."""

    loaded: "LoadedModel"
    mini_batch_size: int
    precision: Precision
    threads: int
    """Cores in a CPU's slice."""
    cache_dir: Path | None = None
    """Keeps what takes time once (converted networks, compiled code), and may be shared by processes; None: nothing is
    kept.
    """

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of a mini-batch: (b, side, side, 3)."""
        side = self.loaded.preprocessing.crop_side
        return self.mini_batch_size, side, side, 3


class EngineModule(Protocol):
    """A module that the table of engines names."""

    def find_obstacle(self, precision: Precision) -> str | None:
        """Return why the engine can't run on this machine at that precision, and what to do; None if it can."""

    def build(self, request: EngineRequest) -> Engine:
        """Return the engine, ready for its first mini-batch. Called only if there is no obstacle.

        An engine ignores what it has no use for.
        """


class KeepingModule(EngineModule, Protocol):
    """A module of an engine that keeps what it has made of a network, and needs nothing else of it the next time."""

    def entry_of(self, loaded: "LoadedModel", cache_dir: Path) -> Path:
        """Return the folder in `cache_dir` that what was made of the network is kept in."""

    def reopen(
        self, entry: Path, *, model: KnownModel, mini_batch_size: int, precision: Precision, threads: int
    ) -> Engine:
        """Return the engine of what is kept in the folder `entry`, as `build` would."""
