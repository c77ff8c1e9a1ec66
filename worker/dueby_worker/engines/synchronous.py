"""What engines for CPUs share that compute while the caller waits, without torch."""

from collections.abc import Callable

import numpy as np

from dueby_api.engines import EngineName, Precision
from dueby_worker.models.columns import Columns
from dueby_worker.models.preprocessing import Pixels

# Maps (b, side, side, 3) uint8 to the columns of b rows.
Run = Callable[[Pixels], Columns]


class SynchronousEngine:
    """Runs a network on the CPU, inside collect()."""

    depth = 1

    def __init__(self, *, name: EngineName, precision: Precision, run: Run, shape: tuple[int, ...]) -> None:
        self.name = name
        self.precision = precision
        self._run = run
        self._shape = shape
        self._batch: Pixels | None = None

    def buffer(self) -> Pixels:
        """Return a new array for a mini-batch."""
        return np.empty(self._shape, dtype=np.uint8)

    def submit(self, batch: Pixels) -> None:
        """Keep the mini-batch for collect()."""
        self._batch = batch

    def collect(self) -> Columns:
        """Run the submitted mini-batch."""
        batch, self._batch = self._batch, None
        assert batch is not None
        return self._run(batch)

    def close(self) -> None:
        """Drop the submitted mini-batch. The network's memory is freed with this object."""
        self._batch = None
