"""Images made on the fly: the study's dummy images, for measuring without any input.

An image is a window into one block of noise, at a place that its index decides: nothing is computed or copied per
image, so that what is measured is the model, and the same index is the same image in any process.
"""

from functools import lru_cache
from typing import Self

import numpy as np

from dueby_api.inference_job import Source
from dueby_worker.images.geometry import Pixels, cut_out, plan_cut, turn
from dueby_worker.models.preprocessing import Preprocessing

# Different images before they repeat. A prime, so that no mini-batch size sees the same few again and again.
_DIFFERENT = 65_521
_SEED = 20_231_211


class SyntheticImages:
    """Images of width x height, seen through the preprocessing."""

    def __init__(self, *, width: int, height: int, preprocessing: Preprocessing) -> None:
        self.width = width
        self.height = height
        self._preprocessing = preprocessing
        self._is_square = width == height == preprocessing.crop_side
        self._noise = _noise(width * height * 3 + _DIFFERENT)

    @classmethod
    def of(cls, source: Source, preprocessing: Preprocessing) -> Self:
        """A synthetic source's; by default as large as the model sees them."""
        if source.synthetic is None:
            raise ValueError("the source is not synthetic")
        side = preprocessing.crop_side
        width, height = source.synthetic.width or side, source.synthetic.height or side
        return cls(width=width, height=height, preprocessing=preprocessing)

    def pixels(self, index: int) -> Pixels:
        """The square of the image; a read-only view where nothing has to be resized."""
        start = index % _DIFFERENT
        image = self._noise[start : start + self.width * self.height * 3].reshape(self.height, self.width, 3)
        if self._is_square:
            return image
        cut = plan_cut(self.width, self.height, 1, self._preprocessing)
        return turn(cut_out(image.copy(), cut, self._preprocessing), 1)


def synthetic_uris(width: int | None, height: int | None, start: int, end: int) -> list[str]:
    """What stands for URIs in the rows of the images start, ..., end - 1."""
    return [f"synthetic://{width}x{height}/{index}" for index in range(start, end)]


@lru_cache(maxsize=1)
def _noise(size: int) -> Pixels:
    noise = np.random.Generator(np.random.PCG64(_SEED)).integers(0, 256, size, dtype=np.uint8)
    noise.flags.writeable = False
    return noise
