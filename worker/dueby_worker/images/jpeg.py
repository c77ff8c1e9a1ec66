"""Decode JPEG with simplejpeg, which is twice as fast as Pillow, strict, and releases the interpreter's lock.

`strict` refuses damaged files, which Pillow and torchvision fill up with grey. It also refuses whole ones: those whose
fault costs no pixel are repaired (jpeg_repairs.py) and decoded again, just as strictly. There is no second attempt with
another decoder: it would turn a damaged file into an invented image. simplejpeg is imported only here.
"""

from math import ceil

import numpy as np
import simplejpeg

from dueby_worker.images.geometry import Crop, Extent
from dueby_worker.images.jpeg_header import Header
from dueby_worker.images.jpeg_repairs import REPAIRS
from dueby_worker.images.unreadable import BeyondLimit
from dueby_worker.models.preprocessing import Pixels

# Each scan of a progressive image costs a full pass, and a malicious file can repeat scans of a few bytes. Encoders
# write about ten.
MAX_SCANS = 100
# Decoding may reduce the image, but keeps at least this many times the pixels that the cut needs in each direction.
_SPARE = 2
# The reductions that simplejpeg may choose, in eighths of the stored size.
_EIGHTHS = (8, 4, 3, 2, 1)


def decode(
    data: bytes, header: Header, cut: Crop, *, may_reduce: bool = True
) -> tuple[Pixels, Extent, tuple[str, ...]]:
    """Return the pixels (height, width, 3), their extent, and what is wrong in the file beside them.

    The pixels are in stored size or reduced to a half, 3/8, a quarter or an eighth: a half of 75 pixels are 38 pixels
    with an extent of 37.5. To reduce is to average, so who resizes without that must not. Raise ValueError with what is
    wrong if a pixel is lost.
    """
    if (scans := count_scans(data, header)) > MAX_SCANS:
        raise BeyondLimit(f"It has {scans} scans, more than the limit of {MAX_SCANS}.")
    is_cmyk = header.components == 4
    whole = header.width, header.height
    least = tuple(map(min, (_SPARE * cut.width, _SPARE * cut.height), whole)) if may_reduce else whole
    pixels, faults = _decode_whole(data, least, colorspace="CMYK" if is_cmyk else "RGB")
    height, width, _ = pixels.shape
    sizes = ((header.width * eighths / 8, header.height * eighths / 8) for eighths in _EIGHTHS)
    extent = next(size for size in sizes if (ceil(size[0]), ceil(size[1])) == (width, height))
    return (_to_rgb(pixels) if is_cmyk else pixels), extent, faults


def count_scans(data: bytes, header: Header) -> int:
    """Return how many scans a progressive image has; 1 for others, which cost one pass whatever is in them."""
    return data.count(b"\xff\xda") if header.progressive else 1


def _decode_whole(data: bytes, least: tuple[int, ...], *, colorspace: str) -> tuple[Pixels, tuple[str, ...]]:
    """Return the pixels, and the faults that had to be repaired: each kind at most once, so that this ends."""
    unused, faults = list(REPAIRS), list[str]()
    while True:
        try:
            return _decode_strictly(data, least, colorspace), tuple(faults)
        except ValueError as error:
            warning = str(error)
            repairs = ((repair, repair.apply(data)) for repair in unused if repair.warning.search(warning))
            repair, repaired = next(
                ((repair, repaired) for repair, repaired in repairs if repaired != data), (None, data)
            )
            if repair is None:
                raise
        unused.remove(repair)
        faults.append(repair.fault)
        data = repaired


def _decode_strictly(data: bytes, least: tuple[int, ...], colorspace: str) -> Pixels:
    pixels: Pixels = simplejpeg.decode_jpeg(
        data,
        colorspace=colorspace,
        min_width=least[0],
        min_height=least[1],
        # Reducing to 7/8, 6/8 or 5/8 takes longer than decoding in full.
        min_factor=2,
        strict=True,
    )
    return pixels


def _to_rgb(cmyk: Pixels) -> Pixels:
    """Return CMYK as RGB. The inks are inverted, as Adobe stores them and as every reader assumes."""
    light = cmyk[..., :3].astype(np.uint16) * cmyk[..., 3:]
    return ((light + 127) // 255).astype(np.uint8)


def encode(pixels: Pixels, *, quality: int) -> bytes:
    """Return uint8 RGB (height, width, 3) as a JPEG of that quality, 1 to 100."""
    return bytes(
        simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=quality, colorspace="RGB", colorsubsampling="420")
    )
