"""torch's resize by its Python: where torch is loaded, or its library lacks what aten.py needs, and other filters."""

from math import inf, nextafter

import torch
from torch.nn.functional import interpolate

from dueby_worker.models.preprocessing import Pixels

# As interpolate(..., antialias=True) has them, which can't be told both the factors and how many pixels to compute.
_SMOOTH = {
    "bilinear": torch.ops.aten._upsample_bilinear2d_aa.default,
    "bicubic": torch.ops.aten._upsample_bicubic2d_aa.default,
}


def has_smooth(interpolation: str) -> bool:
    """Return whether there is an antialiased filter of this name."""
    return interpolation in _SMOOTH


def resize_smoothly(
    pixels: Pixels, *, interpolation: str, height: int, width: int, down: float, right: float
) -> Pixels:
    """Return what aten.resize does."""
    resized = _SMOOTH[interpolation](_as_batch(torch.from_numpy(pixels)), (height, width), False, down, right)
    # numpy slices in a tenth of torch's time.
    found: Pixels = resized.permute(0, 2, 3, 1).numpy()[0]
    return found


def resize_plainly(
    pixels: Pixels, *, interpolation: str, height: int, width: int, extent: tuple[float, float]
) -> Pixels:
    """Return the whole image (height, width, 3), resized without antialiasing.

    `extent` is the width and the height that the image stands for.
    """
    wide, high = extent
    factors = _factor(height, high, pixels.shape[0]), _factor(width, wide, pixels.shape[1])
    resized = interpolate(_as_batch(torch.from_numpy(pixels)), scale_factor=factors, mode=interpolation)
    found: Pixels = resized.permute(0, 2, 3, 1).numpy()[0]
    return found


def _as_batch(pixels: torch.Tensor) -> torch.Tensor:
    """Return a view (1, 3, height, width) of an image (height, width, 3), which torch resizes as it lies in memory.

    torch recognises interleaved colours by all four strides, also by that of the one image, which numpy and views leave
    at 0. Without it, the same pixels come as planes, in 1.7 times the time, and interleaving them takes as long again.
    """
    height, width, channels = pixels.shape
    down, right, channel = pixels.stride()
    return pixels.as_strided((1, channels, height, width), (pixels.numel(), channel, down, right))


def _factor(wanted: int, extent: float, length: int) -> float:
    """Return the factor from the extent to the wanted length.

    torch makes floor(factor * length) pixels, and rounding must not lose the last of them.
    """
    factor = wanted / extent
    return factor if int(factor * length) >= wanted else nextafter(factor, inf)
