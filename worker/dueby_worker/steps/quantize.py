"""The part of the index step that only a job at int8 has: quantize its network on some of its photos."""

import os
import sys

from dueby_api.errors import Invalid
from dueby_api.step_config import IndexConfig
from dueby_api.words import counted
from dueby_worker.engines.openvino import find_obstacle
from dueby_worker.engines.quantizing import CALIBRATION_PHOTOS, quantize
from dueby_worker.index.frozen_index import resolve_index
from dueby_worker.index.listing import field_of
from dueby_worker.index.photos import draw_rows, read_photos, rows_of
from dueby_worker.models.loading import load_model
from dueby_worker.output.quantized import quantized_path
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.store import Store


def require_int8() -> None:
    """Raise Invalid if networks can't be quantized here."""
    if (obstacle := find_obstacle("int8")) is not None:
        raise Invalid("spec.model.precision", obstacle)


def put_quantized(config: IndexConfig, store: Store, *, images: int, fingerprint: str, retry: RetryPolicy) -> None:
    """Put the job's int8 network into its sink, unless it is there. Raise Invalid if it can't be made."""
    path = quantized_path(fingerprint)
    if store.exists(path):
        return
    loaded = load_model(config.model, config.output)
    index = resolve_index(config.source, store, images=images, preprocessing=loaded.preprocessing)
    rows = draw_rows(rows_of(index), images=images, digest=index.digest, most=CALIBRATION_PHOTOS)
    print(f"quantizing to int8: {counted(len(rows), 'image')}", file=sys.stderr, flush=True)
    photos = read_photos(
        rows,
        config.source,
        loaded.preprocessing,
        threads=len(os.sched_getaffinity(0)),
        max_pixels=config.max_pixels,
        retry=retry,
    )
    taken = [pixels for _, pixels in photos]
    if not taken:
        tried = counted(len(rows), "image")
        raise Invalid(field_of(config.source), f"int8 quantizes the network on images, and none of {tried} can be read")
    store.create(path, quantize(loaded, taken))
