"""What a measuring process measures: a model loaded, and an engine built, exactly as a worker does it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from dueby_api.errors import DueByError
from dueby_profiler.measuring.messages import Built, Setup
from dueby_profiler.monitor.readers.status_page import NoReporter, Phase, StatusReporter

# Start-up time is part of what is measured, so heavy modules are imported at the moment at which a worker does it.
if TYPE_CHECKING:
    from dueby_worker.engines.interface import Engine, TopK
    from dueby_worker.models.loading import LoadedModel
    from dueby_worker.models.preprocessing import Pixels


def now_us() -> int:
    """Return microseconds of the monotonic clock that all processes of the machine share."""
    return time.monotonic_ns() // 1000


class Bench:
    """The loaded model, with the engine of the current mini-batch size."""

    def __init__(self, setup: Setup, reporter: StatusReporter | None = None) -> None:
        import dueby_worker.steps.work_step
        import dueby_worker.steps.worker_run  # noqa: F401  # so that everything is imported that a worker imports
        from dueby_worker.models.loading import load_model

        self.setup = setup
        self.reporter = reporter or NoReporter()
        self.loaded: LoadedModel = load_model(setup.model)
        self.size = 0
        self.engine: Engine | None = None
        self.buffers: list[Pixels] = []
        self.is_checked = False

    def build(self, size: int) -> Built:
        """Build the engine of this size in place of the previous one, with as many buffers as it needs."""
        from dueby_worker.engines.build import build_engine

        began_us, self.size = now_us(), size
        self.reporter.enter(Phase.BUILDING, size)
        if self.engine is not None:  # first, since two engines may not fit into memory
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
            _fill_with_noise(buffer)
        self.reporter.read_allocator()
        self.reporter.enter(Phase.READY, size)
        return Built(size=size, startup_us=ready_us - self.setup.spawned_us, build_us=ready_us - began_us)

    def check_once(self, batch: "Pixels", top: "TopK") -> str | None:
        """After the very first mini-batch, compare its result with plain fp32 as a worker does; return what is wrong
        with it.
        """
        if self.is_checked:
            return None
        from dueby_worker.engines.parity import compare

        self.is_checked = True
        parity = compare(batch, top, loaded=self.loaded, precision=self.setup.model.precision)
        return None if parity.ok else parity.sentence

    def ready_engine(self) -> "Engine":
        """Return the engine that was built last."""
        if self.engine is None:
            raise DueByError("asked to run mini-batches before an engine was built")
        return self.engine


def _fill_with_noise(buffer: "Pixels") -> None:
    """Fill the buffer with random pixels: zeros would let arithmetic on denormal numbers decide the speed."""
    import numpy as np

    buffer[...] = np.random.default_rng(0).integers(0, 256, size=buffer.shape, dtype=np.uint8)
