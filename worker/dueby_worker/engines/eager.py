"""PyTorch on the CPU, tuned: channels_last, folded batch norms, inference mode, one thread per core of the slice.

It runs wherever torch does. bf16 means the whole network in bf16, not autocast: that is as accurate and a tenth faster.
On CPUs without bf16 instructions bf16 is twenty times slower than fp32. It is not refused there: the profile shows it,
and an engine computes what the job asks for.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from dueby_api.engines import EngineName, Precision
from dueby_worker.engines.host import find_cpu_obstacle
from dueby_worker.engines.network import tuned_network
from dueby_worker.models.columns import Columns
from dueby_worker.models.loading import LoadedModel
from dueby_worker.models.preprocessing import Pixels

# Maps uint8 images to the columns of their rows.
Run = Callable[[torch.Tensor], dict[str, torch.Tensor]]


class SynchronousEngine:
    """Runs a network on the CPU, inside collect()."""

    depth = 1

    def __init__(
        self, *, name: EngineName, precision: Precision, network: Run, mini_batch_size: int, side: int
    ) -> None:
        self.name = name
        self.precision = precision
        self._network = network
        self._shape = (mini_batch_size, side, side, 3)
        self._batch: Pixels | None = None

    def buffer(self) -> Pixels:
        """Return a new array for a mini-batch."""
        return np.empty(self._shape, dtype=np.uint8)

    def submit(self, batch: Pixels) -> None:
        """Keep the mini-batch for collect()."""
        self._batch = batch

    def collect(self) -> Columns:
        """Run the submitted mini-batch."""
        with torch.inference_mode():
            columns = self._network(torch.from_numpy(self._batch))
        self._batch = None
        return {name: column.numpy() for name, column in columns.items()}

    def close(self) -> None:
        """Drop the submitted mini-batch. The network's memory is freed with this object."""
        self._batch = None


def find_obstacle(precision: Precision) -> str | None:
    """Return why the engine can't run here at that precision; None if it can."""
    return find_cpu_obstacle(precision)


def build(
    *, loaded: LoadedModel, mini_batch_size: int, precision: Precision, threads: int, cache_dir: Path | None
) -> SynchronousEngine:
    """Return the engine `eager`."""
    # Nothing is converted or compiled, so there is nothing to keep.
    del cache_dir
    torch.set_num_threads(threads)
    return SynchronousEngine(
        name="eager",
        precision=precision,
        network=tuned_network(loaded, precision),
        mini_batch_size=mini_batch_size,
        side=loaded.preprocessing.crop_side,
    )
