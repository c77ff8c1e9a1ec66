"""Compute the square alone, by filters that don't antialias: each of its pixels is made of 1, 4 or 16 of the image.

torch resizes whole images only, and a whole panorama may fill the memory: one of 100,000 x 2 pixels would take 9 GB.
The filters are torch's. The nearest pixels are the very same, and are found in less time. The others differ by at most
2 of 255, since torch rounds the weights, to as many bits as they leave room for.
"""

from collections.abc import Callable, Iterable
from math import inf, nextafter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dueby_worker.models.preprocessing import Pixels

Positions = NDArray[np.int64]
Numbers = NDArray[np.floating[Any]]
# Some pixels of the image, one for each of the square's along an axis, and what they weigh in it.
Tap = tuple[Positions, Numbers]
# torch's, and OpenCV's. Pillow's is -0.5.
_CUBIC = -0.75


def factor_to(wanted: int, extent: float, length: int) -> float:
    """Return the factor from the extent to the wanted length.

    torch makes floor(factor * length) pixels, and rounding must not lose the last of them.
    """
    factor = wanted / extent
    return factor if int(factor * length) >= wanted else nextafter(factor, inf)


class Axis:
    """Where the square's pixels lie in the image, along one axis."""

    def __init__(self, *, begin: int, side: int, resized: int, extent: float, length: int) -> None:
        """Take where the square begins in the resized image, its side, and the lengths of that image and of this one.

        `extent` is the length that the image stands for.
        """
        self._wanted = np.arange(begin, begin + side)
        self._scale = 1 / factor_to(resized, extent, length)
        self._length = length

    def nearest(self) -> Positions:
        """Return the pixel that is taken for each of the square's."""
        # In single precision, as torch has it.
        return self._within(np.floor(self._wanted.astype(np.float32) * np.float32(self._scale)))

    def bilinear(self) -> list[Tap]:
        """Return the two pixels of which each of the square's is made."""
        at = np.maximum(self._scale * (self._wanted + 0.5) - 0.5, 0)
        first = np.floor(at)
        return [(self._within(first), 1 - (at - first)), (self._within(first + 1), at - first)]

    def bicubic(self) -> list[Tap]:
        """Return the four pixels of which each of the square's is made."""
        at = self._scale * (self._wanted + 0.5) - 0.5
        first = np.floor(at)
        return [(self._within(first + tap), _cubic(np.abs(at - first - tap))) for tap in (-1, 0, 1, 2)]

    def _within(self, positions: Numbers) -> Positions:
        return np.clip(positions.astype(np.int64), 0, self._length - 1)


_FILTERS: dict[str, Callable[[Axis], list[Tap]]] = {"bilinear": Axis.bilinear, "bicubic": Axis.bicubic}


def take_nearest(pixels: Pixels, down: Axis, right: Axis) -> Pixels:
    """Return the square (side, side, 3) of an image (height, width, 3), each of whose pixels is one of the image's."""
    return pixels[down.nearest()[:, None], right.nearest()]


def interpolate(pixels: Pixels, down: Axis, right: Axis, *, interpolation: str) -> Pixels:
    """Return the square (side, side, 3) of an image (height, width, 3) by this filter."""
    rows, columns = (_FILTERS[interpolation](axis) for axis in (down, right))
    # Each row first, rounded, and then the rows: as torch does it.
    return _sum(
        (_sum((pixels[row[:, None], column], weight[:, None]) for column, weight in columns), weight[:, None, None])
        for row, weight in rows
    )


def _sum(terms: Iterable[tuple[Pixels, Numbers]]) -> Pixels:
    exact = sum(pixels * weight for pixels, weight in terms)
    return np.clip(np.floor(exact + 0.5), 0, 255).astype(np.uint8)


def _cubic(distance: Numbers) -> Numbers:
    """Return the weight of a pixel at this distance, which is 2 or less."""
    near = ((_CUBIC + 2) * distance - (_CUBIC + 3)) * distance**2 + 1
    far = _CUBIC * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance <= 1, near, far)
