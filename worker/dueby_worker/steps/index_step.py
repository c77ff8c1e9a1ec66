"""The index step: admit the job to its sink, freeze the source's images, and return what planning needs.

It is the only step that runs once per run and before any worker. So it is also the step that carries out
`sink.ifExists`, whatever the source. An index in a sink without a manifest binds nobody and is built again. The
fingerprint is computed here, and every worker checks that it still finds the same one. If the model is known on this
machine (models/known_model.py), that takes no torch, and nothing else here does.
"""

import gc
import sys
import time
from dataclasses import replace
from pathlib import Path

from dueby_api.agreement import Agreement
from dueby_api.parts import text_of_parts
from dueby_api.step_config import IndexConfig
from dueby_api.step_messages import IndexResult
from dueby_api.words import counted, unlisted_words
from dueby_worker.index.additions import require_index
from dueby_worker.index.build import LISTING_RETRY, build_index
from dueby_worker.index.frozen_index import Index
from dueby_worker.models.known_model import know_model
from dueby_worker.output.admission import Admission, SinkChanged, admit
from dueby_worker.output.quantized import copy_quantized
from dueby_worker.output.sink import parts_there, require_create_only
from dueby_worker.output.sink_manifest import (
    SinkManifest,
    components_of,
    read_newest_manifest,
    require_same_job,
    require_same_rows,
)
from dueby_worker.output.success import is_of, read_success
from dueby_worker.storage.retry import DEFAULT_RETRY, RetryPolicy
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from dueby_worker.telemetry.serve import serve_waits

# Progress is printed at most so often, and whenever the time so far has grown by this share.
_REPORT_EVERY_S, _REPORT_EVERY_SHARE = 1.0, 0.05
_OF_ALL = ("freezing", "writing")
# A file's rows are 65,536 tuples, through which the garbage collector looks again and again: a fifth of the time.
_TUPLES_AT_ONCE = 1 << 17


def index_source(config: IndexConfig) -> IndexResult:
    """Index the source and return N, the fingerprint, the input cost, and what the sink already holds of this job."""
    gc.set_threshold(_TUPLES_AT_ONCE)
    sink_waits, source_waits = serve_waits(config)
    store = open_store(config.sink.uri, retry=replace(DEFAULT_RETRY, waits=sink_waits))
    require_create_only(store)
    while True:
        try:
            return _index(config, store, replace(LISTING_RETRY, waits=source_waits))
        except SinkChanged:
            # Who was to overwrite what was there begins again only if it is still wanted: as a new process.
            if config.sink.if_exists == "Overwrite":
                raise


def _index(config: IndexConfig, store: Store, retry: RetryPolicy) -> IndexResult:
    if is_int8 := config.model.precision == "int8":
        # Before the sink is emptied.
        from dueby_worker.steps.quantize import require_int8

        require_int8()
    if is_adding := config.sink.if_exists == "Append":
        _close(store)
    admission = admit(store, config)
    manifest, before = admission.manifest, admission.before
    model = know_model(config.model, config.output, Path(config.cache_dir) if config.cache_dir else None)
    if before is not None:
        require_same_rows(before, model, config.model, config.source, sink=store.uri)
    index = build_index(
        config.source,
        store,
        limit=config.images,
        preprocessing=model.preprocessing,
        max_pixels=config.max_pixels,
        replace=manifest is None,
        is_own=admission.is_own or (is_adding and manifest is not None),
        is_adding=is_adding,
        changed=config.sink.changed,
        generation=admission.generation,
        uid=config.uid,
        before_commit=admission.begin,
        on_progress=_ProgressPrinter().show,
        retry=retry,
    )
    note = _note(admission, index, changed=config.sink.changed) if is_adding else ""
    if index is None:  # nothing is new: the job ends with what is there
        manifest, index = before, require_index(store, admission.newest)
    summary = index.document.summary
    if summary.unlisted:
        print(unlisted_words(summary.unlisted), file=sys.stderr, flush=True)
    if config.sink.if_exists == "Overwrite" and manifest is None:
        # Only now: a misspelt source or model is to cost nobody the rows of the job before.
        admission.empty()
    components = components_of(
        model, config.model, config.source, index_digest=summary.digest, kept_digest=summary.kept
    )
    if manifest is not None:
        require_same_job(manifest, components, sink=store.uri, advice=admission.advice)
    earlier = before if manifest is None else None
    agreement = _quantize(config, store, summary.images, components.fingerprint, earlier, retry) if is_int8 else None
    result = IndexResult(
        images=summary.images,
        digest=summary.digest,
        unlisted=summary.unlisted,
        note=note,
        input_cost=summary.input_cost,
        fingerprint=components.fingerprint,
        classes=components.classes,
        agreement=agreement,
    )
    if manifest is None:
        return result
    # The job goes on with the sink's grid, and with what is there of it.
    return result.replace(part_size=manifest.part_size, parts_there=text_of_parts(parts_there(store, manifest)))


def _quantize(
    config: IndexConfig, store: Store, images: int, fingerprint: str, earlier: SinkManifest | None, retry: RetryPolicy
) -> Agreement | None:
    if earlier is not None:
        # The rows of all generations are one network's.
        copy_quantized(store, earlier.fingerprint, fingerprint)
    # It loads the model and NNCF, and takes up to a minute.
    from dueby_worker.steps.quantize import put_quantized

    reading = replace(DEFAULT_RETRY, waits=retry.waits)
    return put_quantized(config, store, images=images, fingerprint=fingerprint, retry=reading)


def _close(store: Store) -> None:
    """Finish rows that are all there and were not counted, so that a generation may follow them."""
    manifest, success = read_newest_manifest(store), read_success(store)
    if manifest is None or (success is not None and is_of(success, manifest)):
        return
    if len(parts_there(store, manifest)) == manifest.grid.parts:
        from dueby_worker.steps.finish_step import finish

        finish(store)


def _note(admission: Admission, index: Index | None, *, changed: bool) -> str:
    """Return how the images of a job that adds to its sink stand to those that are there."""
    wanted = "new or changed" if changed else "new"
    if index is None:
        return f"Nothing is {wanted}: each image of the source is in {admission.store.uri} already."
    if admission.before is not None:
        images = counted(index.document.first_image or 0, "image")
        became = f"they become generation {index.generation} of a sink of {images}"
        return f"Only images that are {wanted} are counted: {became}."
    if admission.manifest is None or admission.is_own:
        return ""
    return (
        f"Generation {index.generation} of the sink was begun before and is finished now. What is {wanted} in the "
        "source since then is for the next job with sink.ifExists: Append."
    )


class _ProgressPrinter:
    """Prints to stderr how many images are indexed: when a stage begins, and then less often the longer it takes."""

    def __init__(self) -> None:
        self._began_s, self._next_s = time.monotonic(), 0.0
        self._images = dict[str, int]()

    def show(self, stage: str, images: int) -> None:
        """Print that so many images are listed, frozen, sampled or written."""
        now_s = time.monotonic()
        if stage not in self._images or now_s >= self._next_s:
            listed = self._images.get("listing") if stage in _OF_ALL else None
            of = f" of {listed:,} that are listed" if listed else ""
            print(f"{stage}: {counted(images, 'image')}{of}", file=sys.stderr, flush=True)
            self._next_s = now_s + max(_REPORT_EVERY_S, (now_s - self._began_s) * _REPORT_EVERY_SHARE)
        self._images[stage] = images
