"""Builders for the worker's tests: numbered images, an engine that reads the numbers, and a worker in one call."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dueby_api.engines import EngineName, Precision
from dueby_api.grid import Grid, Share
from dueby_api.output import Output
from dueby_worker.images.picture import ImageOutcome
from dueby_worker.images.runs import Taken
from dueby_worker.models.columns import Columns, columns_of
from dueby_worker.models.preprocessing import Pixels
from dueby_worker.output.parts import OpenPart
from dueby_worker.output.rows import Origin, Rows, decode_rows
from dueby_worker.output.sink import KnownParts
from dueby_worker.output.sink_manifest import SINK_MANIFEST, Components, SinkManifest, encode_sink_manifest
from dueby_worker.steps.worker_run import Departure
from dueby_worker.storage.store import Store
from dueby_worker.telemetry.progress import ProgressTracker
from dueby_worker.work.commits import Commits
from dueby_worker.work.feed import Feed
from dueby_worker.work.loop import InferenceLoop
from dueby_worker.work.order import BatchBudget, Order

SIDE = 2
# The two best classes.
COLUMNS = columns_of(Output(k=2), 1000)
LABELS = tuple(f"label {number}" for number in range(1000))
ORIGIN = Origin(engine="eager", precision="fp32", device_class="cpu-1", fingerprint="f00")
COMPONENTS = Components(
    index="i" * 64,
    weights="w" * 64,
    model="efficientnet_b0",
    preprocessing={"resize_side": 256, "mean": [0.1, 0.2, 0.3]},
    image_size=224,
    precision="fp32",
    labels="l" * 64,
    classes=1000,
)


def a_manifest(
    *,
    images: int = 100,
    part_size: int = 10,
    components: Components = COMPONENTS,
    job: str = "catalog",
    uid: str | None = None,
) -> SinkManifest:
    return SinkManifest(
        job=job,
        fingerprint=components.fingerprint,
        components=components,
        images=images,
        part_size=part_size,
        uid=uid,
    )


def uri_of(index: int) -> str:
    return f"file:///photos/{index:06d}.jpg"


@dataclass(kw_only=True)
class Album:
    """Reads numbered images, of which some are unreadable. Their pixels hold their number."""

    unreadable: frozenset[int] = frozenset()
    faulty: frozenset[int] = frozenset()
    """Those that are read with a warning."""
    task_images: int = 2

    def find(self, items: Iterable[tuple[int, str]]) -> Iterator[list[Taken]]:
        rest = ((index, uri, no_bytes) for index, uri in items)
        yield from iter(lambda: list(islice(rest, 3)), [])

    def read(self, images: Sequence[Taken], slots: Pixels) -> Future[Mapping[int, ImageOutcome]]:
        task: Future[Mapping[int, ImageOutcome]] = Future()
        outcomes = {}
        for place, (index, _, _) in enumerate(images):
            if index in self.unreadable:
                outcomes[place] = ImageOutcome(error=f"{index} is damaged")
                continue
            pixels = np.frombuffer(index.to_bytes(SIDE * SIDE * 3, "little"), dtype=np.uint8)
            slots[place] = pixels.reshape(SIDE, SIDE, 3)
            if index in self.faulty:
                outcomes[place] = ImageOutcome(warning=f"{index} is padded")
        task.set_result(outcomes)
        return task

    def finish(self) -> None:
        """Nothing is left to do."""

    def cancel(self) -> None:
        """Nothing is waited for."""

    def close(self) -> None:
        """Nothing is left to end."""


def no_bytes(*, max_bytes: int) -> bytes:
    raise AssertionError("nothing is read of it")


@dataclass(kw_only=True)
class NumberEngine:
    """An engine whose best class is the image's number modulo 1000, for mini-batches of a fixed size."""

    batch: int
    depth: int = 1
    name: EngineName = "eager"
    precision: Precision = "fp32"
    batches: list[Pixels] = field(default_factory=list)
    """A copy of each mini-batch that was run."""
    most_in_flight: int = 0
    _in_flight: list[Pixels] = field(default_factory=list)

    def buffer(self) -> Pixels:
        return np.full((self.batch, SIDE, SIDE, 3), 255, dtype=np.uint8)

    def submit(self, batch: Pixels) -> None:
        assert batch.shape == (self.batch, SIDE, SIDE, 3)
        self._in_flight.append(batch)
        self.most_in_flight = max(self.most_in_flight, len(self._in_flight))

    def collect(self) -> Columns:
        batch = self._in_flight.pop(0)
        self.batches.append(batch.copy())
        numbers = np.array([int.from_bytes(image.tobytes()[:8], "little") % 1000 for image in batch], dtype=np.int32)
        scores = np.tile(np.array([0.75, 0.25], dtype=np.float32), (len(batch), 1))
        return {"classes": np.stack((numbers, (numbers + 1) % 1000), axis=1), "scores": scores}

    def close(self) -> None:
        self._in_flight.clear()


@dataclass(kw_only=True)
class WorkerUnderTest:
    """One worker of a grid over a store, run in the test's own process."""

    store: Store
    grid: Grid
    shares: Sequence[Share]
    place: int = 0
    batch: int = 4
    depth: int = 1
    album: Album = field(default_factory=Album)
    retry_failed: bool = False
    max_iterations: int | None = None
    origin: Origin = ORIGIN
    grace_s: float = 0.0
    departure: Departure | None = None
    """How it leaves, once it runs."""

    def __post_init__(self) -> None:
        self.engine = NumberEngine(batch=self.batch, depth=self.depth)
        self.progress = ProgressTracker(worker=f"w{self.place}", share=self.shares[self.place])
        self.known_parts = KnownParts(self.store, self.grid)
        limit = None if self.max_iterations is None else self.max_iterations + 1
        self.budget = BatchBudget(mini_batch_size=self.batch, limit=limit)

    def run(self) -> ProgressTracker:
        self._begin_sink()
        feed = Feed()
        feed.supply(self.engine.buffer() for _ in range(self.depth + 2))
        commits = Commits(
            store=self.store,
            known_parts=self.known_parts,
            labels=LABELS,
            origin=self.origin,
            progress=self.progress,
            on_failure=feed.fail,
        )
        loop = InferenceLoop(
            engine=self.engine,
            feed=feed,
            progress=self.progress,
            commit=commits.put,
            is_in_sink=self.known_parts.__contains__,
            on_skip=self.budget.give_back,
        )
        self.departure = Departure(
            grace_s=self.grace_s,
            mini_batch_size=self.batch,
            loop=loop,
            commits=commits,
            known_parts=self.known_parts,
            progress=self.progress,
        )
        feed.start(self.order().stretches(retry_failed=self.retry_failed), self.album)
        try:
            loop.run()
        finally:
            feed.stop()
        commits.close()
        return self.progress

    def _begin_sink(self) -> None:
        manifest = a_manifest(images=self.grid.images, part_size=self.grid.part_size)
        own = manifest.replace(fingerprint=self.origin.fingerprint)
        self.store.create(SINK_MANIFEST, encode_sink_manifest(own))

    def order(self) -> Order:
        return Order(
            share=self.shares[self.place],
            shares=self.shares,
            place=self.place,
            known_parts=self.known_parts,
            budget=self.budget,
            open_part=self._open,
            open_retry=self._open_retry,
            on_tails=lambda: self.progress.enter("tails"),
        )

    def _open(self, part: int) -> OpenPart:
        first, last = self.grid.bounds(part)
        return OpenPart(part, first=first, uris=[uri_of(index) for index in range(first, last + 1)], columns=COLUMNS)

    def _open_retry(self, part: int) -> OpenPart | None:
        first, last = self.grid.bounds(part)
        rows, origin = decode_rows(self.store.read(f"part-{first:012d}-{last:012d}.parquet"))
        return OpenPart.retry(part, rows, engine=origin.engine, columns=COLUMNS) if rows.errors else None


def rows_in(store: Store) -> list[Rows]:
    """Return the rows of every part in the store, in the order of the parts' names."""
    return [decode_rows(store.read(name))[0] for name in store.list_names() if name.startswith("part-")]


def as_older(data: bytes) -> bytes:
    """Return a part as a DueBy wrote it that knew no warnings."""
    table = pq.read_table(pa.BufferReader(data)).drop_columns(["warning"])
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    return bytes(buffer.getvalue().to_pybytes())


def run_together(workers: Sequence[WorkerUnderTest]) -> None:
    """Run all of them at the same time."""
    threads = [threading.Thread(target=worker.run) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
