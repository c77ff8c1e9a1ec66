"""What a measuring process measures: a model loaded, and an engine built, exactly as a worker does it.

Where the engine keeps the network from an earlier time (dueby_worker/engines/kept_network.py), the process opens that,
and loads neither torch nor the plain network before its first mini-batches. It loads them after these, so that its peak
memory is that of a worker that has to.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from dueby_api.engines import runs_on_cpu
from dueby_api.errors import DueByError
from dueby_api.output import Output
from dueby_api.step_config import EarlyConfig
from dueby_profiler.measuring.messages import Built, Setup
from dueby_profiler.monitor.readers.status_page import NoReporter, Phase, StatusReporter

# Start-up time is part of what is measured, so heavy modules are imported at the moment at which a worker does it.
if TYPE_CHECKING:
    from dueby_worker.engines.interface import Engine
    from dueby_worker.engines.kept_network import KeptNetwork
    from dueby_worker.models.columns import Columns
    from dueby_worker.models.known_model import KnownModel
    from dueby_worker.models.loading import LoadedModel
    from dueby_worker.models.preprocessing import Pixels


def now_us() -> int:
    """Return microseconds of the monotonic clock that all processes of the machine share."""
    return time.monotonic_ns() // 1000


class Bench:
    """The model, loaded or kept, with the engine of the current mini-batch size."""

    def __init__(self, setup: Setup, reporter: StatusReporter | None = None) -> None:
        import dueby_worker.steps.work_step
        import dueby_worker.steps.worker_run  # noqa: F401  # so that everything is imported that a worker imports

        self.setup = setup
        self.reporter = reporter or NoReporter()
        self.cache_dir = Path(setup.cache_dir) if setup.cache_dir else None
        self._plain: tuple[LoadedModel, KnownModel] | None = None
        self._kept = self._find_kept()
        if self._kept is None:
            self._load()
        else:
            from dueby_worker.images.geometry import smooth_resize

            # The worker's decoders load it meanwhile. It comes with torch otherwise.
            smooth_resize()
        self.size = 0
        self.engine: Engine | None = None
        self.buffers: list[Pixels] = []
        self.is_checked = False

    def _find_kept(self) -> "KeptNetwork | None":
        """Return the network if a worker would find it kept."""
        if self.setup.starts_empty:
            return None
        from dueby_worker.steps.job_network import find_kept_network

        setup = self.setup
        # The networks that may be kept are classifiers.
        return find_kept_network(
            EarlyConfig(
                model=setup.model,
                output=Output(kind="TopK"),
                engine=setup.engine,
                threads=setup.threads,
                cache_dir=setup.cache_dir,
            )
        )

    @property
    def loaded(self) -> "LoadedModel":
        """The model with its weights, which are loaded now if they aren't yet."""
        return (self._plain or self._load())[0]

    @property
    def is_loaded(self) -> bool:
        """Whether the plain network is in memory."""
        return self._plain is not None

    def _load(self) -> "tuple[LoadedModel, KnownModel]":
        """Load the plain network as a worker does that finds none kept, and note what is to be known of it."""
        from dueby_worker.models.known_model import note_model
        from dueby_worker.models.loading import describe_model, load_model

        model = self.setup.model
        loaded = load_model(model, Output(kind="Embedding" if describe_model(model).is_encoder else "TopK"))
        known = note_model(model, loaded, self.cache_dir)
        self._plain = (self._quantized_for_times(loaded) if model.precision == "int8" else loaded, known)
        return self._plain

    def _quantized_for_times(self, loaded: "LoadedModel") -> "LoadedModel":
        """Return the model with an int8 network, as a job's worker takes one from the sink."""
        from dueby_worker.engines.build import require_engine

        require_engine(self.setup.engine, loaded.name, "int8")
        # Read and not made by all processes but the first, and so NNCF isn't part of their start-up.
        from dueby_worker.engines.quantizing import quantize_for_times

        return replace(loaded, quantized=quantize_for_times(loaded, self.cache_dir))

    def quantize_on(self, photos: "Iterator[tuple[str, Pixels]]", *, images: int) -> None:
        """Quantize the model on the first of the photos, as the index step does it on a job's, and build it again.

        Half of the images are left, if there are few.
        """
        from dueby_worker.engines.quantizing import CALIBRATION_PHOTOS, quantize

        pixels_of = [pixels for _, pixels in islice(photos, min(CALIBRATION_PHOTOS, (images + 1) // 2))]
        if pixels_of:
            loaded, known = self._plain or self._load()
            self._plain = (replace(loaded, quantized=quantize(loaded, pixels_of)), known)
            self.build(self.size)

    def build(self, size: int) -> Built:
        """Build the engine of this size in place of the previous one, with as many buffers as it needs."""
        began_us, self.size = now_us(), size
        self.reporter.enter(Phase.BUILDING, size)
        with self._cache() as cache_dir:
            if self.engine is not None:  # first, since two engines may not fit into memory
                self.engine.close()
            self.engine = self._new_engine(size, cache_dir)
        self.buffers = [self.engine.buffer() for _ in range(self.engine.depth)]
        ready_us = now_us()
        _fill_with_noise(self.buffers)
        self.reporter.read_allocator()
        self.reporter.enter(Phase.READY, size)
        return Built(size=size, startup_us=ready_us - self.setup.spawned_us, build_us=ready_us - began_us)

    def _new_engine(self, size: int, cache_dir: Path | None) -> "Engine":
        from dueby_worker.engines.build import build_engine, reopen_engine

        setup = self.setup
        if self._kept is not None and not self.is_loaded:
            return reopen_engine(
                self._kept,
                name=setup.engine,
                mini_batch_size=size,
                precision=setup.model.precision,
                threads=setup.threads,
            )
        return build_engine(
            name=setup.engine,
            loaded=self.loaded,
            mini_batch_size=size,
            precision=setup.model.precision,
            threads=setup.threads,
            cache_dir=cache_dir,
        )

    @contextmanager
    def _cache(self) -> Iterator[Path | None]:
        """Provide the cache folder for an engine that is to be built."""
        if self.engine is not None or not self.setup.starts_empty:
            yield self.cache_dir
            return
        from dueby_worker.system.scratch import scratch_folder

        with scratch_folder("cache") as folder:
            yield folder

    def check_once(self, batch: "Pixels", columns: "Columns") -> str | None:
        """After the very first mini-batch, compare its result with plain fp32 as a worker does; return what is wrong
        with it. Where the network is kept, so is the answer.
        """
        if self.is_checked:
            return None
        self.is_checked = True
        if not self.is_loaded:
            return None
        return self._compare(batch, columns)

    def load_late(self) -> str | None:
        """Load the plain network, and go with it as far as a worker does that finds none kept; return what is wrong
        with the engine's result.
        """
        # Built again, because torch is in memory when such a worker builds its engine; and it has no second one.
        self.reporter.enter(Phase.CHECKING, self.size)
        self.ready_engine().close()
        self.engine, self.buffers = None, []
        self._load()
        self.engine = engine = self._new_engine(self.size, self.cache_dir)
        self.buffers = [engine.buffer() for _ in range(engine.depth)]
        _fill_with_noise(self.buffers)
        engine.submit(self.buffers[0])
        disagreement = self._compare(self.buffers[0], engine.collect())
        self.reporter.enter(Phase.WAITING, self.size)
        return disagreement

    def _compare(self, batch: "Pixels", columns: "Columns") -> str | None:
        """Compare a result with plain fp32, note the answer for later processes, and return what is wrong."""
        from dueby_worker.steps.job_network import compare_and_note

        setup = self.setup
        loaded, known = self._plain or self._load()
        parity = compare_and_note(
            batch,
            columns,
            loaded=loaded,
            known=known,
            engine=setup.engine,
            precision=setup.model.precision,
            threads=setup.threads,
            cache_dir=None if setup.starts_empty else self.cache_dir,
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


def _fill_with_noise(buffers: "Sequence[Pixels]") -> None:
    """Fill the buffers with random pixels: zeros would let arithmetic on denormal numbers decide the speed."""
    import numpy as np

    for buffer in buffers:
        buffer[...] = np.random.default_rng(0).integers(0, 256, size=buffer.shape, dtype=np.uint8)
