"""What a measuring process measures: a model loaded, and an engine built, exactly as a worker does it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from dueby_api.engines import runs_on_cpu
from dueby_api.errors import DueByError
from dueby_api.output import Output
from dueby_profiler.measuring.messages import Built, Setup
from dueby_profiler.monitor.readers.status_page import NoReporter, Phase, StatusReporter

# Start-up time is part of what is measured, so heavy modules are imported at the moment at which a worker does it.
if TYPE_CHECKING:
    from dueby_worker.engines.interface import Engine
    from dueby_worker.models.columns import Columns
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
        from dueby_worker.models.known_model import note_model
        from dueby_worker.models.loading import describe_model, load_model

        self.setup = setup
        self.reporter = reporter or NoReporter()
        self.loaded: LoadedModel = load_model(
            setup.model, Output(kind="Embedding" if describe_model(setup.model).is_encoder else "TopK")
        )
        self.cache_dir = Path(setup.cache_dir) if setup.cache_dir else None
        note_model(setup.model, self.loaded, self.cache_dir)
        if setup.model.precision == "int8":
            self._quantize_for_times()
        self.size = 0
        self.engine: Engine | None = None
        self.buffers: list[Pixels] = []
        self.is_checked = False

    def _quantize_for_times(self) -> None:
        """Give the model an int8 network, as a job's worker takes one from the sink."""
        from dueby_worker.engines.build import require_engine

        require_engine(self.setup.engine, self.loaded.name, "int8")
        # Read and not made by all processes but the first, and so NNCF isn't part of their start-up.
        from dueby_worker.engines.quantizing import quantize_for_times

        self.loaded = self.loaded.replace(quantized=quantize_for_times(self.loaded, self.cache_dir))

    def quantize_on(self, photos: "Iterator[tuple[str, Pixels]]", *, images: int) -> None:
        """Quantize the model on the first of the photos, as the index step does it on a job's, and build it again.

        Half of the images are left, if there are few.
        """
        from dueby_worker.engines.quantizing import CALIBRATION_PHOTOS, quantize

        pixels_of = [pixels for _, pixels in islice(photos, min(CALIBRATION_PHOTOS, (images + 1) // 2))]
        if pixels_of:
            self.loaded = self.loaded.replace(quantized=quantize(self.loaded, pixels_of))
            self.build(self.size)

    def build(self, size: int) -> Built:
        """Build the engine of this size in place of the previous one, with as many buffers as it needs."""
        from dueby_worker.engines.build import build_engine

        began_us, self.size = now_us(), size
        self.reporter.enter(Phase.BUILDING, size)
        with self._cache() as cache_dir:
            if self.engine is not None:  # first, since two engines may not fit into memory
                self.engine.close()
            self.engine = build_engine(
                name=self.setup.engine,
                loaded=self.loaded,
                mini_batch_size=size,
                precision=self.setup.model.precision,
                threads=self.setup.threads,
                cache_dir=cache_dir,
            )
        self.buffers = [self.engine.buffer() for _ in range(self.engine.depth)]
        ready_us = now_us()
        for buffer in self.buffers:
            _fill_with_noise(buffer)
        self.reporter.read_allocator()
        self.reporter.enter(Phase.READY, size)
        return Built(size=size, startup_us=ready_us - self.setup.spawned_us, build_us=ready_us - began_us)

    @contextmanager
    def _cache(self) -> Iterator[Path | None]:
        """Provide the cache folder for an engine that is to be built."""
        if self.engine is not None or not self.setup.starts_empty:
            yield self.cache_dir
            return
        from dueby_worker.system.temporary_files import scratch_folder

        with scratch_folder("cache") as folder:
            yield folder

    def check_once(self, batch: "Pixels", columns: "Columns") -> str | None:
        """After the very first mini-batch, compare its result with plain fp32 as a worker does; return what is wrong
        with it.
        """
        if self.is_checked:
            return None
        from dueby_worker.engines.parity import compare

        self.is_checked = True
        parity = compare(
            batch,
            columns,
            loaded=self.loaded,
            precision=self.setup.model.precision,
            threads=self.setup.threads,
        )
        return None if parity.ok else parity.sentence

    def gpu_mib(self) -> int | None:
        """Return how much of the GPU's memory is in use; None if the engine runs on CPUs."""
        if runs_on_cpu(self.setup.engine):
            return None
        from dueby_worker.engines.cuda import used_mib

        return used_mib()

    def ready_engine(self) -> "Engine":
        """Return the engine that was built last."""
        if self.engine is None:
            raise DueByError("asked to run mini-batches before an engine was built")
        return self.engine


def _fill_with_noise(buffer: "Pixels") -> None:
    """Fill the buffer with random pixels: zeros would let arithmetic on denormal numbers decide the speed."""
    import numpy as np

    buffer[...] = np.random.default_rng(0).integers(0, 256, size=buffer.shape, dtype=np.uint8)
