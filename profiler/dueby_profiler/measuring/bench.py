"""What a measuring process measures: a model that is loaded and an engine that is built as a worker does it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from dueby_api.errors import DueByError
from dueby_profiler.measuring.messages import Built, Setup
from dueby_profiler.monitor.board import Phase, Silent, Teller

if TYPE_CHECKING:  # the start-up that is measured should import what a worker imports, when a worker does
    from dueby_worker.engines.interface import Engine, TopK
    from dueby_worker.models.loading import LoadedModel
    from dueby_worker.models.preprocessing import Pixels


def now_us() -> int:
    """Microseconds of the clock that all processes of the machine share."""
    return time.monotonic_ns() // 1000


class Bench:
    """The loaded model, and the engine of the size at hand."""

    def __init__(self, setup: Setup, board: Teller | None = None) -> None:
        import dueby_worker.steps.work_step
        import dueby_worker.steps.worker_run  # noqa: F401  # all that a worker imports
        from dueby_worker.models.loading import load_model

        self.setup = setup
        self.board = board or Silent()
        self.loaded: LoadedModel = load_model(setup.model)
        self.size = 0
        self.engine: Engine | None = None
        self.buffers: list[Pixels] = []
        self.is_checked = False

    def build(self, size: int) -> Built:
        """The engine of this size instead of the one before, and as many buffers as it takes."""
        from dueby_worker.engines.build import build_engine

        began_us, self.size = now_us(), size
        self.board.enter(Phase.BUILDING, size)
        if self.engine is not None:
            self.engine.close()
        self.engine = build_engine(
            name=self.setup.engine,
            loaded=self.loaded,
            mini_batch_size=size,
            precision=self.setup.model.precision,
            threads=self.setup.threads,
            cache_dir=Path(self.setup.cache_dir) if self.setup.cache_dir else None,
        )
        self.buffers = [self.engine.buffer() for _ in range(self.engine.depth)]
        ready_us = now_us()
        for buffer in self.buffers:
            _paint(buffer)
        self.board.read()
        self.board.enter(Phase.READY, size)
        return Built(size=size, startup_us=ready_us - self.setup.spawned_us, build_us=ready_us - began_us)

    def check_once(self, batch: "Pixels", top: "TopK") -> str | None:
        """After the very first mini-batch, compare it with plain fp32 as a worker does; what is wrong, if anything."""
        if self.is_checked:
            return None
        from dueby_worker.engines.parity import compare

        self.is_checked = True
        parity = compare(batch, top, loaded=self.loaded, precision=self.setup.model.precision)
        return None if parity.ok else parity.sentence

    def ready_engine(self) -> "Engine":
        """The engine that was built."""
        if self.engine is None:
            raise DueByError("told to run before any engine was built")
        return self.engine


def _paint(buffer: "Pixels") -> None:
    """Noise: a picture of zeros would let arithmetic on denormal numbers decide the speed."""
    import numpy as np

    buffer[...] = np.random.default_rng(0).integers(0, 256, size=buffer.shape, dtype=np.uint8)
