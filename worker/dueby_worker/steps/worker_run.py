"""What a worker is made of, put together: everything is made here once and handed to those who use it.

The order is chosen for a short start-up: first what may refuse the job, then reading ahead, and last the engine, which
takes longest, while the first images are already being decoded.
"""

import logging
import threading
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path

from dueby_api.errors import Invalid
from dueby_api.step_config import WorkConfig
from dueby_worker.engines.build import build_engine
from dueby_worker.engines.interface import MAX_CLASSES, Engine, TopK
from dueby_worker.engines.parity import compare
from dueby_worker.images.read_ahead import READERS, Decoded, read_images
from dueby_worker.index.index import Index, resolve_index
from dueby_worker.models.loading import LoadedModel, load_model
from dueby_worker.work.commits import Commits
from dueby_worker.output.parts import OpenPart, part_name
from dueby_worker.output.rows import Origin, decode_rows
from dueby_worker.output.sink import Holdings, lay_claim
from dueby_worker.output.sink_manifest import Claim, components_of
from dueby_worker.storage.store import Store
from dueby_worker.telemetry.progress import Progress
from dueby_worker.work.feed import Feed, MiniBatch
from dueby_worker.work.loop import Loop
from dueby_worker.work.order import Order

# Beside the mini-batches in the model: one that is ready, one that is being filled.
_BUFFERS_AHEAD = 2
log = logging.getLogger(__name__)


def run_worker(config: WorkConfig, *, store: Store, progress: Progress, process_age_us: Callable[[], int]) -> None:
    """Do the share and help with the others'; returns when every part is in the sink."""
    loaded = load_model(config.model)
    worker = Worker(config, loaded=loaded, store=store, progress=progress)
    worker.run(lambda: _build(config, loaded), process_age_us=process_age_us)


class Worker:
    """What one worker is made of; `run` may be called once."""

    def __init__(self, config: WorkConfig, *, loaded: LoadedModel, store: Store, progress: Progress) -> None:
        self._config = config
        self._loaded = loaded
        self._store = store
        self._progress = progress
        self._index = resolve_index(config.source, store, images=config.images, preprocessing=loaded.preprocessing)
        self._claim = _claim(config, loaded, self._index)
        lay_claim(store, self._claim)
        self._holdings = Holdings(store, config.grid)
        progress.list_parts = self._holdings.runs
        self._feed = Feed()
        self._order = Order(
            share=config.own_share,
            shares=config.all_shares,
            place=config.place,
            holdings=self._holdings,
            open_part=self._open_part,
            open_retry=self._open_retry,
            on_part=self._on_part,
            on_tails=self._on_tails,
        )

    def run(self, make_engine: Callable[[], Engine], *, process_age_us: Callable[[], int]) -> None:
        """From reading ahead to the last commit."""
        self._holdings.refresh()
        self._feed.start(self._order.stretches(retry_failed=self._config.retry_failed), self._read)
        engine = make_engine()
        self._feed.supply(engine.buffer() for _ in range(engine.depth + _BUFFERS_AHEAD))
        commits = Commits(
            store=self._store,
            holdings=self._holdings,
            labels=self._loaded.labels,
            origin=self._origin(),
            progress=self._progress,
            on_failure=self._feed.fail,
        )
        loop = Loop(
            engine=engine,
            feed=self._feed,
            progress=self._progress,
            commit=commits.put,
            is_in_sink=self._holdings.__contains__,
            on_warm_up=lambda: self._progress.start_up(process_age_us()),
            on_first=partial(self._check_parity, engine),
        )
        loop.run()
        commits.close()

    def _origin(self) -> Origin:
        return Origin(
            engine=self._config.engine,
            precision=self._config.model.precision,
            device_class=self._config.device_class,
            fingerprint=self._claim.fingerprint,
        )

    def _read(self, items: Iterator[tuple[int, str]]) -> Generator[Decoded, None, None]:
        config = self._config
        # A mini-batch, and enough for every thread that reads and decodes.
        ahead = max(config.mini_batch_size, 2 * (config.decode_threads + READERS))
        yield from read_images(
            items,
            source=config.source,
            preprocessing=self._loaded.preprocessing,
            threads=config.decode_threads,
            ahead=ahead,
            max_pixels=config.max_pixels,
            witnesses=self._index.witnesses,
        )

    def _check_parity(self, engine: Engine, batch: MiniBatch, top: TopK) -> None:
        """Compare the first mini-batch with plain fp32: after it, since it is the warm-up and is timed."""
        parity = compare(batch.pixels, top, loaded=self._loaded, precision=engine.precision)
        self._progress.parity = {
            "maxDifference": parity.max_difference,
            "sameTop1": parity.same_top1,
            "ok": parity.ok,
            "sentence": parity.sentence,
        }
        log.log(logging.INFO if parity.ok else logging.WARNING, "%s %s", engine.name, parity.sentence)

    def _open_part(self, part: int) -> OpenPart:
        first, last = self._config.grid.bounds(part)
        return OpenPart(part, first=first, uris=self._index.uris(first, last), k=self._k)

    def _open_retry(self, part: int) -> OpenPart | None:
        rows, origin = decode_rows(self._store.read(part_name(self._config.grid, part)))
        return OpenPart.retry(part, rows, engine=origin.engine, k=self._k) if rows.errors else None

    @property
    def _k(self) -> int:
        return min(MAX_CLASSES, len(self._loaded.labels))

    def _on_part(self, part: int) -> None:
        self._progress.next_part = part

    def _on_tails(self) -> None:
        """Help the others from now on, and see when they do what this worker does."""
        self._progress.enter("tails")

        def watch() -> None:
            try:
                self._holdings.watch(self._order.taken)
            except BaseException as error:
                self._feed.fail(error)

        threading.Thread(target=watch, name="watch", daemon=True).start()


def _claim(config: WorkConfig, loaded: LoadedModel, index: Index) -> Claim:
    """This job's claim to the sink; Invalid where weights or index are others than the index step saw."""
    components = components_of(loaded, config.model, index_digest=index.digest)
    if config.fingerprint not in (None, components.fingerprint):
        raise Invalid(
            "fingerprint",
            f"the images or the model's weights have changed since the job was indexed (fingerprint "
            f"{config.fingerprint}, now {components.fingerprint}); index it anew",
        )
    return Claim(
        job=config.job,
        fingerprint=components.fingerprint,
        components=components,
        images=config.images,
        part_size=config.part_size,
    )


def _build(config: WorkConfig, loaded: LoadedModel) -> Engine:
    return build_engine(
        name=config.engine,
        loaded=loaded,
        mini_batch_size=config.mini_batch_size,
        precision=config.model.precision,
        threads=config.threads,
        cache_dir=Path(config.cache_dir) if config.cache_dir else None,
    )
