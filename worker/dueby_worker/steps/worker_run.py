"""Put a worker together and run it: every object is made here once and handed to those who use it.

The order is chosen for a short start-up: first what may refuse the job, then reading ahead, and last the engine, which
takes longest, while the first images are already being decoded. Where the engine keeps the network from an earlier time
(job_network.py), neither torch nor the plain network is loaded.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from math import ceil, inf
from typing import TYPE_CHECKING

from dueby_api.errors import Invalid
from dueby_api.step_config import CAREFUL_AFTER, WorkConfig
from dueby_worker.images.read_ahead import most_ahead, open_reader
from dueby_worker.index.frozen_index import Index, resolve_index
from dueby_worker.models.columns import Columns
from dueby_worker.models.facts import KnownModel
from dueby_worker.models.preprocessing import Preprocessing
from dueby_worker.output.damaged_parts import read_part, require_own_rows
from dueby_worker.output.part_names import part_name
from dueby_worker.output.parts import OpenPart
from dueby_worker.output.quantized import read_quantized
from dueby_worker.output.rows import Origin, decode_rows
from dueby_worker.output.sink import KnownParts, require_sink_manifest
from dueby_worker.output.sink_manifest import SinkManifest, components_of
from dueby_worker.steps.job_network import JobNetwork, open_network
from dueby_worker.steps.process_exit import finish_first
from dueby_worker.storage.paced import Paces
from dueby_worker.storage.retry import DEFAULT_RETRY
from dueby_worker.storage.store import Store
from dueby_worker.telemetry.progress import ProgressTracker
from dueby_worker.work.commits import Commits
from dueby_worker.work.feed import Feed, ImageReader, MiniBatch, count_buffers
from dueby_worker.work.loop import InferenceLoop
from dueby_worker.work.order import BatchBudget, Order

# They load torch, which a worker does without whose network is kept.
if TYPE_CHECKING:
    from dueby_worker.images.listed import ListDecoder
    from dueby_worker.models.loading import LoadedModel

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Departure:
    """How one worker leaves on SIGTERM without losing the open part, if its time is enough for that.

    Nothing stops for it: mini-batches and commits go on, in their threads, until the part is in the sink, and then the
    process exits. A part that can't be expected in time is dropped at once, so that the device is free. Parts have one
    order, so the open part's rows come next, and its commit comes after those of the parts before it.

    `leave` is called in a thread of its own, at any moment of the loop.
    """

    grace_s: float
    """The time that the worker has after it was told to stop."""
    mini_batch_size: int
    loop: InferenceLoop
    commits: Commits
    known_parts: KnownParts
    progress: ProgressTracker

    def leave(self) -> None:
        """Return when what can be finished in time is in the sink, at once if nothing can, or when the time is over."""
        # A retry's part is known to be in the sink, with its old rows, and is not waited for.
        begun = (self.loop.open_part, self.commits.newest)
        wanted = {part.part for part in begun if part is not None and self._expected_s(part) <= self.grace_s}
        if wanted:
            log.info("told to stop; leaving once what is begun is in the sink, in %.0f s at most", self.grace_s)
            self.progress.is_leaving = True
            self.known_parts.wait_for(wanted, limit_s=self.grace_s)

    def _expected_s(self, part: OpenPart) -> float:
        """Return how long the part will take until it is in the sink."""
        seen = self.progress.report()
        if seen.waits_for:
            return inf
        if part.is_complete:
            return self.commits.last_took_s
        if seen.step_us is None or seen.seconds_since_batch is None:
            return inf
        # A mini-batch that takes longer than usual is the measure of the others: the worker may hang.
        step_s = max(seen.step_us / 1e6, seen.seconds_since_batch)
        return ceil(part.left / self.mini_batch_size) * step_s + self.commits.last_took_s


def run_worker(
    config: WorkConfig,
    *,
    store: Store,
    progress: ProgressTracker,
    process_age_us: Callable[[], int],
    losses: int,
    model: "LoadedModel | None" = None,
    imported_us: int | None = None,
) -> bool:
    """Do the share and help with other shares. Return whether every part is in the sink.

    `model` is the job's model if it is loaded already, and `imported_us` the process's age before that.
    """
    progress.end_start_part("import", process_age_us() if imported_us is None else imported_us)
    network = open_network(config, model)
    is_careful = _is_careful(config, losses)
    with _decoder_of_lists(config, network.model.preprocessing, is_careful=is_careful) as lists:
        run = WorkerRun(config, network=network, store=store, progress=progress, is_careful=is_careful, lists=lists)
        return run.run(process_age_us=process_age_us)


class WorkerRun:
    """One run of one worker, with everything that it is made of. `run` may be called once."""

    def __init__(
        self,
        config: WorkConfig,
        *,
        network: JobNetwork,
        store: Store,
        progress: ProgressTracker,
        is_careful: bool = False,
        lists: "ListDecoder | None" = None,
    ) -> None:
        self._config = config
        self._is_careful = is_careful
        self._lists = lists
        self._network = network
        self._model = network.model
        self._store = store
        self._progress = progress
        self._index = resolve_index(config.source, store, images=config.images, preprocessing=self._model.preprocessing)
        self._manifest = require_sink_manifest(
            store,
            _manifest_of(config, self._model, self._index),
            is_overwriting=config.sink.if_exists == "Overwrite",
        )
        self._known_parts = KnownParts(store, self._manifest.grid)
        progress.list_parts = self._known_parts.runs
        # One for the whole run: what a store was found to take holds for the parts of others, too.
        self._paces = _paces_of(config)
        progress.find_observed_requests = lambda: self._paces.observed
        self._feed = Feed()
        # Of lists, one is decoded while the next one is read.
        lists_ahead = 1 if lists is None else 2
        self._ahead = most_ahead(threads=config.decode_threads, mini_batch_size=lists_ahead * config.mini_batch_size)
        self._budget = BatchBudget(
            mini_batch_size=config.mini_batch_size,
            limit=None if config.max_iterations is None else config.max_iterations + 1,
        )
        self._order = Order(
            share=config.own_share,
            shares=config.all_shares,
            place=config.place,
            known_parts=self._known_parts,
            budget=self._budget,
            open_part=self._open_part,
            open_retry=self._open_retry,
            on_part=self._on_part,
            on_tails=self._on_tails,
        )

    def run(self, *, process_age_us: Callable[[], int]) -> bool:
        """Run from reading ahead to the last commit. Return whether every part is in the sink."""
        self._known_parts.refresh()
        self._feed.start(self._order.stretches(retry_failed=self._config.retry_failed), self._reader())
        engine = self._network.make_engine(self._read_quantized)
        self._progress.end_start_part("load", process_age_us())
        size = self._config.mini_batch_size
        count = count_buffers(depth=engine.depth, ahead=self._ahead, mini_batch_size=size)
        self._feed.supply(engine.buffer() for _ in range(count))
        commits = Commits(
            store=self._store,
            known_parts=self._known_parts,
            labels=self._model.labels,
            origin=self._origin(),
            progress=self._progress,
            on_failure=self._feed.fail,
        )
        loop = InferenceLoop(
            engine=engine,
            feed=self._feed,
            progress=self._progress,
            commit=commits.put,
            is_in_sink=self._known_parts.__contains__,
            on_warm_up=lambda: self._progress.start_first_batch(process_age_us()),
            on_first=self._compare_first,
            on_skip=self._budget.give_back,
        )
        departure = Departure(
            grace_s=self._config.grace_seconds,
            mini_batch_size=self._config.mini_batch_size,
            loop=loop,
            commits=commits,
            known_parts=self._known_parts,
            progress=self._progress,
        )
        finish_first(departure.leave)
        loop.run()
        commits.close()
        self._known_parts.stop_watching()
        if not self._known_parts.is_complete:
            # The budget is spent. Another worker may have finished the last part in the meantime.
            self._known_parts.refresh()
        return self._known_parts.is_complete

    def _read_quantized(self) -> bytes:
        return read_quantized(self._store, self._manifest.fingerprint)

    def _origin(self) -> Origin:
        return Origin(
            engine=self._config.engine,
            precision=self._config.model.precision,
            device_class=self._config.device_class,
            fingerprint=self._manifest.fingerprint,
        )

    def _reader(self) -> ImageReader:
        config = self._config
        return open_reader(
            source=config.source,
            preprocessing=self._model.preprocessing,
            threads=config.decode_threads,
            ahead=self._ahead,
            max_pixels=config.max_pixels,
            witnesses=self._index.witnesses,
            retry=replace(DEFAULT_RETRY, waits=self._progress.source_waits),
            is_isolated=self._is_careful,
            begin=None if self._lists is None else self._lists.begin,
            member_of=self._index.member_of,
            paces=self._paces,
        )

    def _compare_first(self, batch: MiniBatch, columns: Columns) -> None:
        """Say how far the first mini-batch is from plain fp32. This is done after it, because the warm-up is timed."""
        self._progress.parity = self._network.compare(batch.pixels, columns)

    def _open_part(self, part: int) -> OpenPart:
        first, last = self._config.grid.bounds(part)
        index, _ = self._manifest.grid.indexes(part)
        uris, from_source = self._index.described(first, last)
        return OpenPart(part, first=index, uris=uris, from_source=from_source, columns=self._model.columns)

    def _open_retry(self, part: int) -> OpenPart | None:
        rows, origin = read_part(self._store, part_name(self._manifest.grid, part), decode_rows)
        # What is kept of the part is written as this job's.
        require_own_rows(
            self._store,
            part,
            manifest=self._manifest,
            first=rows.first,
            rows=len(rows.uris),
            by=origin.fingerprint,
        )
        if not rows.errors:
            return None
        return OpenPart.retry(part, rows, engine=origin.engine, columns=self._model.columns)

    def _on_part(self, part: int) -> None:
        self._progress.next_part = part

    def _on_tails(self) -> None:
        """Help other workers from now on, and watch for parts that they finish at the same time."""
        self._progress.enter("tails")

        def watch() -> None:
            try:
                self._known_parts.watch()
                # Images that others have classified meanwhile are not waited for.
                if self._known_parts.is_complete and not self._config.retry_failed:
                    self._feed.end()
            except BaseException as error:
                self._feed.fail(error)

        threading.Thread(target=watch, name="watch", daemon=True).start()


def _is_careful(config: WorkConfig, losses: int) -> bool:
    """Return whether an image may be what workers are lost to: after some losses, or among images that failed."""
    if losses >= CAREFUL_AFTER:
        log.warning("lost %d times before; each image is decoded in a process that it may kill", losses)
    return losses >= CAREFUL_AFTER or config.retry_failed


def _decoder_of_lists(
    config: WorkConfig, preprocessing: Preprocessing, *, is_careful: bool
) -> "AbstractContextManager[ListDecoder | None]":
    """Return what decodes on the GPU, for as long as the context lasts; None if CPUs decode.

    Raise Invalid, with the reason, if the job wants a GPU to decode and none here can. A careful worker decodes in
    processes on the CPU, since one with CUDA of its own would take memory that the plan has given to the model.
    """
    if config.source.decoder == "cpu" or is_careful:
        return nullcontext()
    from dueby_worker.images.listed import open_on_gpu

    lists = open_on_gpu(
        preprocessing,
        max_pixels=config.max_pixels,
        threads=config.decode_threads,
        most=config.mini_batch_size,
    )
    return closing(lists)


def _manifest_of(config: WorkConfig, model: KnownModel, index: Index) -> SinkManifest:
    """Return the manifest that this job's sink must have. Raise Invalid if weights or index changed after indexing."""
    kept = index.document.summary.kept
    components = components_of(model, config.model, config.source, index_digest=index.digest, kept_digest=kept)
    if config.fingerprint not in (None, components.fingerprint):
        raise Invalid(
            "fingerprint",
            f"the images or the model's weights have changed since the job was indexed (fingerprint "
            f"{config.fingerprint}, now {components.fingerprint}); run the index step again",
        )
    return SinkManifest(
        job=config.job,
        fingerprint=components.fingerprint,
        components=components,
        images=config.images,
        part_size=config.part_size,
        uid=config.uid,
        generation=index.generation if index.generation > 1 else None,
        first_image=index.document.first_image,
    )


def _paces_of(config: WorkConfig) -> Paces:
    """Return how fast the images' stores may be asked: as the plan says, or within the job's own limit.

    Of the job's limit each worker begins with its part, and more than the limit is never asked for.
    """
    if config.requests_per_second is not None:
        return Paces(limit=config.requests_per_second)
    limits = config.source.limits
    if limits is None or limits.requests_per_second is None:
        return Paces()
    return Paces(limit=limits.requests_per_second, start=limits.requests_per_second / len(config.shares))
