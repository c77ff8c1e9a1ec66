"""What every engine is: fixed mini-batches of uint8 pictures in, the best classes out.

An engine is made for one model, one mini-batch size and one precision, and never departs from them. It takes pictures
as the decoder leaves them (uint8, NHWC, RGB), normalises them itself (on a GPU that moves a quarter of the bytes) and
returns softmax probabilities. The worker's loop is the same for all:

    buffer = engine.buffer()        # once per mini-batch in flight, and one more to fill meanwhile
    engine.submit(buffer)           # from here the buffer is the engine's ...
    top = engine.collect()          # ... until its result is collected, oldest first

`build.build_engine` makes one, `build.available_engines` says which ones this machine has, `parity.check_parity`
compares one with eager fp32, and `host` prepares the process.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dueby_api.engines import EngineName, Precision

Pixels = NDArray[np.uint8]
MAX_CLASSES = 5


@dataclass(frozen=True, kw_only=True)
class TopK:
    """The best classes of each picture of a mini-batch of b, best first; k = min(5, number of classes)."""

    classes: NDArray[np.int32]
    """(b, k) class numbers."""
    scores: NDArray[np.float32]
    """(b, k) probabilities after softmax over all classes."""


class Engine(Protocol):
    """A model ready to classify mini-batches of one size at one precision. Not thread-safe: one caller at a time."""

    @property
    def name(self) -> EngineName:
        """The engine's name in jobs and profiles."""

    @property
    def precision(self) -> Precision:
        """The job's precision, in which it computes."""

    @property
    def depth(self) -> int:
        """How many mini-batches may be submitted and not yet collected: 1 on CPUs, 2 on GPUs."""

    def buffer(self) -> Pixels:
        """A new array (b, side, side, 3) to fill and submit, any number of times; pinned memory on GPUs."""

    def submit(self, batch: Pixels) -> None:
        """Start on exactly b pictures. The array must not change until its result is collected."""

    def collect(self) -> TopK:
        """Wait for the oldest submitted mini-batch; its result. Never called with nothing in flight."""

    def close(self) -> None:
        """Give memory back, dropping what is in flight. The engine is of no use afterwards."""
