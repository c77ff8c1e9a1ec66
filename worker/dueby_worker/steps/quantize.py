"""The part of the index step that only a job at int8 has: quantize its network, and see how far it is from fp32.

Both are done on some of the job's own images: the first that are drawn are for quantizing, as many again for comparing.
The network is in the sink before anything is compared. A step that is killed meanwhile, such as for lack of memory, is
therefore repeated without comparing, and no job fails of it.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import closing
from time import monotonic

from dueby_api.agreement import Agreement
from dueby_api.errors import Invalid, first_line
from dueby_api.output import Output
from dueby_api.step_config import IndexConfig
from dueby_api.untrusted import printable
from dueby_api.words import counted
from dueby_worker.engines.agreement import Photo, measure_agreement
from dueby_worker.engines.build import build_engine
from dueby_worker.engines.openvino import find_obstacle
from dueby_worker.engines.quantizing import CALIBRATION_PHOTOS, quantize
from dueby_worker.index.frozen_index import resolve_index
from dueby_worker.index.listing import field_of
from dueby_worker.index.photos import draw_rows, read_photos, rows_of
from dueby_worker.models.entry import NO_WEIGHTS
from dueby_worker.models.loading import LoadedModel, load_model
from dueby_worker.output.quantized import note_agreement, quantized_path, read_agreement
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.store import Store

# As many tell a share of 0.95 within 0.03, and take plain fp32 some seconds of a core.
_COMPARED_PHOTOS = 64
# The job's devices wait. A network for which that is too short is compared on fewer photos.
_LIMIT_S = 15.0


def require_int8() -> None:
    """Raise Invalid if networks can't be quantized here."""
    if (obstacle := find_obstacle("int8")) is not None:
        raise Invalid("spec.model.precision", obstacle)


def put_quantized(
    config: IndexConfig, store: Store, *, images: int, fingerprint: str, retry: RetryPolicy
) -> Agreement | None:
    """Put the job's int8 network into its sink, unless it is there, and return how far it is from fp32.

    None: that can't be measured, and the reason is on stderr, or the step that made the network did not get so far.
    Raise Invalid if the network can't be made.
    """
    path = quantized_path(fingerprint)
    if store.exists(path):
        return read_agreement(store, fingerprint)
    loaded = load_model(config.model, config.output)
    obstacle = _obstacle_to_comparing(config, images)
    most = CALIBRATION_PHOTOS + (0 if obstacle else _COMPARED_PHOTOS)
    photos = _read(config, store, loaded, images=images, most=most, retry=retry)
    network = quantize(loaded, [pixels for _, pixels in photos[:CALIBRATION_PHOTOS]])
    if not store.create(path, network):
        # Another index step was faster, and compares the network that counts.
        return read_agreement(store, fingerprint)
    agreement = _compare(loaded.replace(quantized=network), photos[CALIBRATION_PHOTOS:], obstacle)
    if agreement is not None:
        note_agreement(store, fingerprint, agreement)
    return agreement


def _obstacle_to_comparing(config: IndexConfig, images: int) -> str:
    """Return why there is nothing to compare; empty if there is something."""
    if config.model.weights == NO_WEIGHTS:
        return "the weights are random"
    if config.source.synthetic is not None:
        return "there are no photos"
    return "" if images > CALIBRATION_PHOTOS else "it was quantized on all images that there are"


def _read(
    config: IndexConfig, store: Store, loaded: LoadedModel, *, images: int, most: int, retry: RetryPolicy
) -> list[Photo]:
    """Return so many of the job's images, drawn at random, but those that can't be read. Raise Invalid if none can."""
    index = resolve_index(config.source, store, images=images, preprocessing=loaded.preprocessing)
    rows = draw_rows(rows_of(index), images=images, digest=index.digest, most=most)
    _say(f"quantizing to int8: {counted(min(len(rows), CALIBRATION_PHOTOS), 'image')}")
    # All at once, since decoders take longer to start than to decode.
    photos = read_photos(
        rows,
        config.source,
        loaded.preprocessing,
        threads=len(os.sched_getaffinity(0)),
        max_pixels=config.max_pixels,
        retry=retry,
    )
    if readable := list(photos):
        return readable
    tried = counted(len(rows), "image")
    raise Invalid(field_of(config.source), f"int8 quantizes the network on images, and none of {tried} can be read")


def _compare(loaded: LoadedModel, photos: Sequence[Photo], obstacle: str) -> Agreement | None:
    """Return how far the quantized network is from plain fp32 on these photos; None, and say why, if nobody knows."""
    reason = obstacle or ("" if photos else "too few images can be read")
    if not reason:
        _say(f"comparing int8 with fp32: {counted(len(photos), 'image')}")
        try:
            return _measure(loaded, photos)
        # Whatever it is, and people's own networks raise anything: the job can do without.
        except Exception as error:
            reason = f"{type(error).__name__}: {first_line(error)}"
    _say(f"how far int8 is from fp32 is not measured: {reason}")
    return None


def _measure(loaded: LoadedModel, photos: Sequence[Photo]) -> Agreement | None:
    """Return how far the quantized network is from plain fp32, on as many of the photos as there is time for."""
    # Of a job that wants all probabilities, the best one is compared.
    compared = loaded if loaded.output.kind == "Embedding" else loaded.replace(output=Output().resolved)
    # One image at a time, so that the limit holds for any network. One thread, as OpenVINO leaves torch, too: a pod of
    # this step may have hardly any core, and several threads then wait for each other.
    engine = build_engine(name="openvino", loaded=compared, mini_batch_size=1, precision="int8", threads=1)
    with closing(engine):
        end_s = monotonic() + _LIMIT_S
        return measure_agreement(engine, compared, photos, is_over=lambda: monotonic() >= end_s)


def _say(sentence: str) -> None:
    print(printable(sentence), file=sys.stderr, flush=True)
