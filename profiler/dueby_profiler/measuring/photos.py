"""Measure on photos what a precision changes: how often the best class is fp32's, and how often either is right.

Weights decide that, so of random ones there is nothing to measure. The photos are listed before anything is measured,
so that a wrong address costs nobody two minutes. Then a fresh process on the layout's first device reads and classifies
them, which is not part of the layout's time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from dueby_api.agreement import Agreement
from dueby_api.errors import Invalid, Transient
from dueby_api.inference_job import Model
from dueby_api.source import Source
from dueby_profiler.measuring.messages import Agree, Agreed
from dueby_profiler.measuring.process_group import ProcessGroup

if TYPE_CHECKING:
    from dueby_profiler.measuring.bench import Bench

# A thousand photos tell a share of 0.9 within 0.02.
_MOST = 1000
# Plain fp32 takes a core 20 to 100 ms for a photo.
_LIMIT_S = 15.0
# An engine computes as it does in a job, and fits everywhere.
_MAX_MINI_BATCH = 8


@dataclass(frozen=True, kw_only=True)
class PhotoList:
    """A source's photos, listed and frozen as the index step does it."""

    source: Source
    folder: Path
    """Where the list is."""
    images: int
    digest: str

    def compare(self, group: ProcessGroup, sizes: list[int]) -> Agreement | None:
        """Let the group's one process compare; `sizes` fit into its memory. Raise Invalid or OutOfMemory if it can't.

        Return None if none of the photos can be read.
        """
        group.build(max((size for size in sizes if size <= _MAX_MINI_BATCH), default=sizes[0]))
        message = Agree(
            source=self.source,
            folder=str(self.folder),
            images=self.images,
            digest=self.digest,
            most=_MOST,
            limit_us=int(1e6 * _LIMIT_S),
        )
        (agreement,) = group.agree(message)
        return agreement


def list_photos(model: Model, source: Source | None, folder: Path, say: Callable[[str], None]) -> PhotoList | None:
    """Return the photos on which the model's precision is to be compared with fp32, listed in a new folder.

    Return None if it can't be compared; `say` is told why. Raise Invalid if the source is wrong.
    """
    if model.precision == "fp32":
        return None
    if source is None and model.precision == "int8":
        reason = "there are no photos here, and each job measures it on its own when it is indexed"
    elif source is None or source.synthetic is not None:
        reason = "there are no photos"
    elif model.weights == "none":
        reason = "the weights are random"
    else:
        return _list(source, folder)
    say(f"How far {model.precision} is from fp32 is not measured: {reason}.")
    return None


def _list(source: Source, folder: Path) -> PhotoList:
    # They load what lists and keeps images, which nothing else here needs.
    from dueby_worker.index.build import LISTING_RETRY
    from dueby_worker.index.freeze import freeze

    folder.mkdir()
    frozen = freeze(source, folder, None, lambda stage, count: None, LISTING_RETRY)
    return PhotoList(source=source, folder=folder, images=frozen.images, digest=frozen.digest)


def compare_photos(bench: "Bench", agree: Agree) -> Agreed:
    """Compare the bench's engine with plain fp32, in a measuring process."""
    import torch

    from dueby_worker.engines.agreement import measure_agreement
    from dueby_worker.index.freeze import FrozenFiles
    from dueby_worker.index.photos import draw_rows, read_photos

    frozen = FrozenFiles(folder=Path(agree.folder), images=agree.images, digest=agree.digest)
    rows = draw_rows(frozen.rows, images=frozen.images, digest=frozen.digest, most=agree.most)
    photos = read_photos(rows, agree.source, bench.loaded.preprocessing, threads=bench.setup.threads)
    try:
        if bench.setup.model.precision == "int8":
            bench.quantize_on(photos, images=len(rows))
        # OpenVINO leaves torch one thread, and here plain fp32 takes longest.
        torch.set_num_threads(bench.setup.threads)
        end_s = monotonic() + 1e-6 * agree.limit_us
        agreement = measure_agreement(bench.ready_engine(), bench.loaded, photos, is_over=lambda: monotonic() >= end_s)
    except Transient as error:
        raise Invalid("the photos", str(error)) from None
    return Agreed(agreement=agreement)
