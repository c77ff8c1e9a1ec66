"""Decode JPEG with simplejpeg, which is twice as fast as Pillow, strict, and releases the interpreter's lock.

The header is parsed here, because libjpeg checks the size only after it has allocated memory for it, and simplejpeg
does not read EXIF. `strict` refuses damaged files, which Pillow and torchvision fill up with grey. There is no second
attempt with another decoder: it would turn a damaged file into an invented image. simplejpeg is imported only here.
"""

import re
import struct
from dataclasses import dataclass
from math import ceil

import numpy as np
import simplejpeg

from dueby_worker.images.geometry import Cut, Extent
from dueby_worker.images.unreadable import UnreadableImage
from dueby_worker.models.preprocessing import Pixels

MAGIC = b"\xff\xd8\xff"
# Each scan of a progressive image costs a full pass, and a malicious file can repeat scans of a few bytes. Encoders
# write about ten.
MAX_SCANS = 100
# Metadata is in segments of 64 KB, of which the largest image has 5,000. Millions of empty ones would stop all threads
# for minutes.
MAX_MARKERS = 10_000
_FILL_BYTES = re.compile(rb"\xff+")
# Decoding may reduce the image, but keeps at least this many times the pixels that the cut needs in each direction.
_SPARE = 2
# The reductions that simplejpeg may choose, in eighths of the stored size.
_EIGHTHS = (8, 4, 3, 2, 1)
# Markers that begin a frame header: SOF0 to SOF15 without DHT, JPG and DAC, which lie between them.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE_FRAMES = (0xC2, 0xC6, 0xCA, 0xCE)
# Where EXIF is kept.
_APP1 = 0xE1
_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA
# The tag of the orientation in EXIF.
_ORIENTATION = 0x0112


@dataclass(frozen=True, kw_only=True)
class Header:
    """What must be known before a JPEG is decoded."""

    width: int
    height: int
    components: int
    progressive: bool
    orientation: int
    """Orientation in EXIF, 1 to 8; 1 is upright."""


def read_header(data: bytes) -> Header:
    """Return the header. Raise ValueError, with what is wrong, if it can't be read."""
    orientation, at, markers = 1, 2, 0
    # A marker may be preceded by any number of fill bytes.
    while (filled := _FILL_BYTES.match(data, at)) and filled.end() + 3 <= len(data):
        at = filled.end() - 1
        marker = data[at + 1]
        markers += 1
        if markers > MAX_MARKERS:
            raise UnreadableImage(f"Its header has more than {MAX_MARKERS:,} markers.")
        # Markers without a length: TEM, RST0 to RST7, SOI.
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        body = data[at + 4 : at + 2 + length]
        if marker in _FRAMES:
            if len(body) < 6:
                break
            height, width, components = struct.unpack_from(">HHB", body, 1)
            return Header(
                width=width,
                height=height,
                components=components,
                progressive=marker in _PROGRESSIVE_FRAMES,
                orientation=orientation,
            )
        if marker == _APP1 and body.startswith(b"Exif\0\0"):
            orientation = _read_orientation(body[6:])
        if marker in (_END_OF_IMAGE, _START_OF_SCAN):
            break
        at += 2 + length
    raise ValueError("a marker is missing" if at + 4 <= len(data) and not filled else "it ends before it says its size")


def decode(data: bytes, header: Header, cut: Cut) -> tuple[Pixels, Extent]:
    """Return the pixels (height, width, 3), in stored size or reduced to a half, 3/8, a quarter or an eighth, and their
    extent: a half of 75 pixels are 38 pixels with an extent of 37.5. Raise ValueError with what is wrong.
    """
    if header.progressive and (scans := data.count(b"\xff\xda")) > MAX_SCANS:
        raise UnreadableImage(f"It has {scans} scans, more than the limit of {MAX_SCANS}.")
    is_cmyk = header.components == 4
    pixels: Pixels = simplejpeg.decode_jpeg(
        data,
        colorspace="CMYK" if is_cmyk else "RGB",
        min_width=min(_SPARE * cut.width, header.width),
        min_height=min(_SPARE * cut.height, header.height),
        # Reducing to 7/8, 6/8 or 5/8 takes longer than decoding in full.
        min_factor=2,
        strict=True,
    )
    height, width, _ = pixels.shape
    sizes = ((header.width * eighths / 8, header.height * eighths / 8) for eighths in _EIGHTHS)
    extent = next(size for size in sizes if (ceil(size[0]), ceil(size[1])) == (width, height))
    return (_to_rgb(pixels) if is_cmyk else pixels), extent


def _to_rgb(cmyk: Pixels) -> Pixels:
    """Return CMYK as RGB. The inks are inverted, as Adobe stores them and as every reader assumes."""
    light = cmyk[..., :3].astype(np.uint16) * cmyk[..., 3:]
    return ((light + 127) // 255).astype(np.uint8)


def _read_orientation(tiff: bytes) -> int:
    """Return the orientation in an EXIF block; 1 if it is missing or makes no sense."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return 1
    try:
        (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, directory)
        for entry in range(entries):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, directory + 2 + 12 * entry)
            if tag == _ORIENTATION:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1


def encode(pixels: Pixels, *, quality: int) -> bytes:
    """Return uint8 RGB (height, width, 3) as a JPEG of that quality, 1 to 100."""
    return bytes(
        simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=quality, colorspace="RGB", colorsubsampling="420")
    )
