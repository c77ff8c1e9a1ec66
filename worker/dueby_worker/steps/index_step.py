"""The index step: admit the job to its sink, freeze the source's images, and return what planning needs.

It is the only step that runs once per run and before any worker. So it is also the step that carries out
`sink.ifExists`, whatever the source. An index in a sink without a manifest binds nobody and is built again. The
fingerprint is computed here, and every worker checks that it still finds the same one. If the model is known on this
machine (models/known_model.py), that takes no torch, and nothing else here does.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

from dueby_api.parts import text_of_parts
from dueby_api.step_config import IndexConfig
from dueby_api.step_messages import IndexResult
from dueby_api.words import counted, unlisted_words
from dueby_worker.index.build import LISTING_RETRY, build_index
from dueby_worker.models.known_model import know_model
from dueby_worker.output.admission import SinkChanged, admit
from dueby_worker.output.sink import parts_there, require_create_only
from dueby_worker.output.sink_manifest import components_of, require_same_job
from dueby_worker.storage.retry import DEFAULT_RETRY, RetryPolicy
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from dueby_worker.telemetry.serve import serve_waits

_REPORT_EVERY_S = 1.0


def index_source(config: IndexConfig) -> IndexResult:
    """Index the source and return N, the fingerprint, the input cost, and what the sink already holds of this job."""
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
    admission = admit(store, config)
    manifest = admission.manifest
    model = know_model(config.model, config.output, Path(config.cache_dir) if config.cache_dir else None)
    summary = build_index(
        config.source,
        store,
        limit=config.images,
        preprocessing=model.preprocessing,
        max_pixels=config.max_pixels,
        replace=manifest is None,
        is_own=admission.is_own,
        require_unchanged=admission.require_unchanged,
        on_progress=_ProgressPrinter().show,
        retry=retry,
    )
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
    agreement = None
    if is_int8:
        # It loads the model and NNCF, and takes up to a minute.
        from dueby_worker.steps.quantize import put_quantized

        reading = replace(DEFAULT_RETRY, waits=retry.waits)
        agreement = put_quantized(
            config, store, images=summary.images, fingerprint=components.fingerprint, retry=reading
        )
    result = IndexResult(
        images=summary.images,
        digest=summary.digest,
        unlisted=summary.unlisted,
        input_cost=summary.input_cost,
        fingerprint=components.fingerprint,
        classes=components.classes,
        agreement=agreement,
    )
    if manifest is None:
        return result
    # The job goes on with the sink's grid, and with what is there of it.
    there = parts_there(store, manifest)
    return result.replace(part_size=manifest.part_size, parts_there=text_of_parts(there))


class _ProgressPrinter:
    """Prints to stderr how many images are indexed, at most once per second and stage."""

    def __init__(self) -> None:
        self._stage, self._next_s = "", 0.0

    def show(self, stage: str, images: int) -> None:
        """Print that so many images are listed, frozen or sampled."""
        now_s = time.monotonic()
        if stage != self._stage or now_s >= self._next_s:
            print(f"{stage}: {counted(images, 'image')}", file=sys.stderr, flush=True)
            self._stage, self._next_s = stage, now_s + _REPORT_EVERY_S
