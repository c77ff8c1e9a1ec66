"""Cut the square that a model sees out of an image: resize, crop the centre, turn as EXIF says.

torch's antialiased resize on uint8 is the fastest of those measured: 640x480 to 256 takes 0.2 ms, Pillow 0.8 ms for the
square alone (bilinear, with AVX2). It releases the interpreter's lock, runs in the calling thread alone, and differs by
at most 1 of 255 from Pillow's resize, with which torchvision's presets were evaluated. Images are cut as they are
stored and turned afterwards, when they are small. The filters that don't antialias are torch's, too, unless they need
the square alone: then plain_square.py has them.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from dueby_worker.images.plain_square import Axis, interpolate, take_nearest
from dueby_worker.models.preprocessing import Pixels, Preprocessing

# Width and height of an image in its own pixels. They are fractions if it was reduced while it was decoded.
Extent = tuple[float, float]
# Resizes as aten.resize does.
Resize = Callable[..., Pixels]

# If resizing the whole image needs more than this many times the pixels of the square, only the square is resized:
# an image of 100,000 x 10 pixels would otherwise fill the memory.
_PANORAMA = 32

# EXIF orientation -> what turns the stored image upright: mirror top to bottom, mirror left to right, then transpose.
_TURNS = {
    1: (False, False, False),
    2: (False, True, False),
    3: (True, True, False),
    4: (True, False, False),
    5: (False, False, True),
    6: (True, False, True),
    7: (True, True, True),
    8: (False, True, True),
}


@dataclass(frozen=True, kw_only=True)
class Crop:
    """Resize to width x height, then take the square of `side` at (left, top), all as the image is stored."""

    width: int
    height: int
    left: int
    top: int
    side: int


def plan_cut(width: int, height: int, orientation: int, preprocessing: Preprocessing) -> Crop:
    """Return the cut of a stored image of this size, rounded as its library rounds it for the upright image."""
    side = preprocessing.crop_side
    short = min(width, height)
    wide, high = (int(preprocessing.resize_side * length / short) for length in (width, height))
    if preprocessing.stretches:
        wide = high = preprocessing.resize_side
    bottom_up, right_to_left, _ = _TURNS[orientation]
    left, top = (int(spare / 2) if preprocessing.floors else round(spare / 2) for spare in (wide - side, high - side))
    if right_to_left:
        left = wide - side - left
    if bottom_up:
        top = high - side - top
    return Crop(width=wide, height=high, left=left, top=top, side=side)


def is_panorama(cut: Crop) -> bool:
    """Return whether the whole image is too large to be resized before its square is cut out."""
    return cut.width * cut.height > _PANORAMA * cut.side**2


def cut_out(pixels: Pixels, cut: Crop, preprocessing: Preprocessing, extent: Extent | None = None) -> Pixels:
    """Return the square (side, side, 3) of a stored image (height, width, 3).

    `extent` is the image's true size if its pixels are a reduced copy with a fraction of a pixel at the edge.
    """
    height, width, _ = pixels.shape
    if (width, height) != (cut.width, cut.height):
        wide, high = extent or (width, height)
        if not preprocessing.averages:
            return _cut_plainly(pixels, cut, preprocessing.interpolation, (wide, high))
        # What lies right of the square or below it is not computed.
        pixels = _smooth()(
            pixels,
            interpolation=preprocessing.interpolation,
            height=_end(cut.top + cut.side, height, cut.height),
            width=_end(cut.left + cut.side, width, cut.width),
            down=cut.height / high,
            right=cut.width / wide,
        )
    return pixels[cut.top : cut.top + cut.side, cut.left : cut.left + cut.side]


def _cut_plainly(pixels: Pixels, cut: Crop, interpolation: str, extent: Extent) -> Pixels:
    """Return the square by a filter that doesn't antialias."""
    height, width, _ = pixels.shape
    wide, high = extent
    if interpolation == "nearest" or is_panorama(cut):
        down = Axis(begin=cut.top, side=cut.side, resized=cut.height, extent=high, length=height)
        right = Axis(begin=cut.left, side=cut.side, resized=cut.width, extent=wide, length=width)
        if interpolation == "nearest":
            return take_nearest(pixels, down, right)
        return interpolate(pixels, down, right, interpolation=interpolation)
    from dueby_worker.images.torch_resize import resize_plainly

    resized = resize_plainly(pixels, interpolation=interpolation, height=cut.height, width=cut.width, extent=extent)
    return resized[cut.top : cut.top + cut.side, cut.left : cut.left + cut.side]


@lru_cache
def _smooth() -> Resize:
    """Return the antialiased resize. Who hasn't loaded torch is spared it."""
    if "torch" not in sys.modules:
        with suppress(ImportError):
            from dueby_worker.images import aten

            return aten.resize
    from dueby_worker.images import torch_resize

    return torch_resize.resize_smoothly


def _end(wanted: int, length: int, resized: int) -> int:
    """Return how many of the resized pixels to compute to have the wanted ones.

    torch resizes only where the number of pixels changes, whatever the factor.
    """
    if length == resized:
        return resized
    return wanted + 1 if wanted == length else wanted


def turn(pixels: Pixels, orientation: int) -> Pixels:
    """Return the stored square upright, as a contiguous array."""
    bottom_up, right_to_left, transposed = _TURNS[orientation]
    pixels = pixels[:: -1 if bottom_up else 1, :: -1 if right_to_left else 1]
    return np.ascontiguousarray(pixels.transpose(1, 0, 2) if transposed else pixels)
