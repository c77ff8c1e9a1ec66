"""Images made on the fly: the study's dummy images, for measuring without any input.

An image is a window into one block of noise, at an offset that depends on its index. Nothing is computed or copied per
image, so that the model alone is measured, and the same index gives the same image in every process.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import lru_cache
from itertools import islice
from typing import Self

import numpy as np

from dueby_api.source import Source
from dueby_worker.images.picture import ImageOutcome
from dueby_worker.images.runs import Taken
from dueby_worker.models.preprocessing import Pixels, Preprocessing

# Number of different images before they repeat. It is a prime, so that they don't repeat in step with the mini-batches.
_DIFFERENT = 65_521
# A task costs more than an image.
_TASK_IMAGES = 16
# Any fixed seed: every process must make the same images.
_SEED = 20_231_211


class SyntheticImages:
    """Images of width x height, as the preprocessing shows them to the model."""

    def __init__(self, *, width: int, height: int, preprocessing: Preprocessing) -> None:
        self.width = width
        self.height = height
        self._preprocessing = preprocessing
        self._is_square = width == height == preprocessing.crop_side
        self._noise = _noise(width * height * 3 + _DIFFERENT)

    @classmethod
    def of(cls, source: Source, preprocessing: Preprocessing) -> Self:
        """Return the images of a synthetic source. By default they have the size of the model's input."""
        if source.synthetic is None:
            raise ValueError("the source is not synthetic")
        side = preprocessing.crop_side
        width, height = source.synthetic.width or side, source.synthetic.height or side
        return cls(width=width, height=height, preprocessing=preprocessing)

    @property
    def task_images(self) -> int:
        """How many images a task should have at most."""
        return _TASK_IMAGES

    def find(self, items: Iterable[tuple[int, str]]) -> Iterator[list[Taken]]:
        """Yield the items in lists. They have no bytes."""
        rest = ((index, uri, _no_bytes) for index, uri in items)
        return iter(lambda: list(islice(rest, _TASK_IMAGES)), [])

    def read(self, images: Sequence[Taken], slots: Pixels) -> Future[Mapping[int, ImageOutcome]]:
        """Make the images at once: that costs microseconds, so it needs no threads."""
        for slot, (index, _, _) in zip(slots, images, strict=True):
            slot[...] = self.pixels(index)
        task: Future[Mapping[int, ImageOutcome]] = Future()
        task.set_result({})
        return task

    def finish(self) -> None:
        """Nothing is left to do."""

    def cancel(self) -> None:
        """Nothing is waited for."""

    def close(self) -> None:
        """Nothing is left to end."""

    def pixels(self, index: int) -> Pixels:
        """Return the image's square; a read-only view if nothing has to be resized."""
        start = index % _DIFFERENT
        image = self._noise[start : start + self.width * self.height * 3].reshape(self.height, self.width, 3)
        if self._is_square:
            return image
        # It brings torch, which nobody else here needs.
        from dueby_worker.images.geometry import cut_out, plan_cut, turn

        cut = plan_cut(self.width, self.height, 1, self._preprocessing)
        return turn(cut_out(image.copy(), cut, self._preprocessing), 1)


def _no_bytes(*, max_bytes: int) -> bytes:
    """Raise what is a bug: nothing is read of a synthetic image."""
    raise ValueError("a synthetic image has no bytes")


def synthetic_uris(width: int | None, height: int | None, start: int, end: int) -> list[str]:
    """Return what stands for URIs in the rows of the images start, ..., end - 1."""
    return [f"synthetic://{width}x{height}/{index}" for index in range(start, end)]


@lru_cache(maxsize=1)
def _noise(size: int) -> Pixels:
    noise = np.random.Generator(np.random.PCG64(_SEED)).integers(0, 256, size, dtype=np.uint8)
    noise.flags.writeable = False
    return noise
