"""Decoding beside the model, with the worker's own reader: on a GPU the cores decode whether or not it wants images."""

import threading
from collections import deque
from pathlib import Path

import numpy as np

from dueby_api.engines import EngineName, Precision
from dueby_profiler.measuring.bench import Bench, now_us
from dueby_profiler.measuring.contention import run_contention
from dueby_profiler.measuring.messages import Contend, Setup
from dueby_worker.models.columns import Columns
from dueby_worker.models.preprocessing import Pixels
from support.profiler import TINY

SIDE, SIZE, PHASE_US = 64, 2, 50_000
PATIENCE_S = 60.0


class StandInGPU:
    """An engine with two mini-batches in flight, whose steps end when photos have been decoded beside them."""

    name: EngineName = "cudagraph"
    precision: Precision = "fp32"
    depth = 2

    def __init__(self) -> None:
        self.buffers: list[Pixels] = []
        self.in_flight: deque[Pixels] = deque()
        self.most_in_flight = 0
        self.computed: list[Pixels] = []
        self.decoded_beside = 0

    def buffer(self) -> Pixels:
        """Return a black mini-batch, for decoders to fill."""
        self.buffers.append(np.zeros((SIZE, SIDE, SIDE, 3), np.uint8))
        return self.buffers[-1]

    def submit(self, batch: Pixels) -> None:
        """Begin a step."""
        self.in_flight.append(batch)
        self.most_in_flight = max(self.most_in_flight, len(self.in_flight))

    def collect(self) -> Columns:
        """End the oldest step, when something else has been decoded since the last one, if anybody decodes."""
        waited = threading.Event()
        for _ in range(int(1000 * PATIENCE_S) if self.buffers else 0):
            if any(buffer.any() for buffer in self.buffers):
                self.decoded_beside += 1
                break
            waited.wait(0.001)
        for buffer in self.buffers:
            buffer[...] = 0
        self.computed.append(self.in_flight.popleft())
        return {}

    def close(self) -> None:
        """Nothing has to be given back."""


def test_beside_a_gpu_the_cores_go_on_decoding_and_the_gpu_takes_none_of_it(tmp_path: Path) -> None:
    bench = Bench(Setup(model=TINY.replace(engine="cudagraph"), engine="cudagraph", threads=1, spawned_us=0))
    gpu = StandInGPU()
    bench.engine, bench.size = gpu, SIZE
    bench.buffers = [np.ones((SIZE, SIDE, SIDE, 3), np.uint8) for _ in range(gpu.depth)]
    begin_us = now_us()
    moments_us = (begin_us, begin_us + PHASE_US, begin_us + 2 * PHASE_US, begin_us + 3 * PHASE_US)

    times = run_contention(bench, Contend(moments_us=moments_us, folder=str(tmp_path)))

    assert times.model_us > 0
    assert times.both_us > 0
    # At least the step that isn't timed, and one that is.
    assert gpu.decoded_beside >= 2
    assert (gpu.most_in_flight, len(gpu.in_flight)) == (gpu.depth, 0)
    assert all((pixels == 1).all() for pixels in gpu.computed)
