"""torch's resize by its Python: where torch is loaded, or its library lacks what aten.py needs, and other filters."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.functional import interpolate

from dueby_worker.images.plain_square import factor_to
from dueby_worker.models.preprocessing import Pixels

# As interpolate(..., antialias=True) has them, which can't be told both the factors and how many pixels to compute.
_SMOOTH = {
    "bilinear": torch.ops.aten._upsample_bilinear2d_aa.default,
    "bicubic": torch.ops.aten._upsample_bicubic2d_aa.default,
}
# What torch says if it gets none from the system. It has a class of error for the memory of GPUs only.
_NO_MEMORY = "can't allocate memory"


def resize_smoothly(
    pixels: Pixels, *, interpolation: str, height: int, width: int, down: float, right: float
) -> Pixels:
    """Return what aten.resize does."""
    with _telling_of_memory():
        resized = _SMOOTH[interpolation](_as_batch(torch.from_numpy(pixels)), (height, width), False, down, right)
    # numpy slices in a tenth of torch's time.
    square: Pixels = resized.permute(0, 2, 3, 1).numpy()[0]
    return square


def resize_plainly(
    pixels: Pixels, *, interpolation: str, height: int, width: int, extent: tuple[float, float]
) -> Pixels:
    """Return the whole image (height, width, 3), resized without antialiasing.

    `extent` is the width and the height that the image stands for.
    """
    wide, high = extent
    factors = factor_to(height, high, pixels.shape[0]), factor_to(width, wide, pixels.shape[1])
    with _telling_of_memory():
        resized = interpolate(_as_batch(torch.from_numpy(pixels)), scale_factor=factors, mode=interpolation)
    image: Pixels = resized.permute(0, 2, 3, 1).numpy()[0]
    return image


@contextmanager
def _telling_of_memory() -> Iterator[None]:
    """Raise MemoryError, as all others do, where torch says in words that there is no memory: no image is damaged."""
    try:
        yield
    except RuntimeError as error:
        if _NO_MEMORY in str(error):
            raise MemoryError(str(error)) from error
        raise


def _as_batch(pixels: torch.Tensor) -> torch.Tensor:
    """Return a view (1, 3, height, width) of an image (height, width, 3), which torch resizes as it lies in memory.

    torch recognises interleaved colours by all four strides, also by that of the one image, which numpy and views leave
    at 0. Without it, the same pixels come as planes, in 1.7 times the time, and interleaving them takes as long again.
    """
    height, width, channels = pixels.shape
    down, right, channel = pixels.stride()
    return pixels.as_strided((1, channels, height, width), (pixels.numel(), channel, down, right))
