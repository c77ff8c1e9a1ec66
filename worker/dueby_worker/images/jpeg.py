"""JPEG, by simplejpeg: twice as fast as Pillow, strict, without the interpreter's lock.

The header is read by hand, since libjpeg only looks at the size after it has allocated for it, and simplejpeg says
nothing about EXIF. `strict` refuses what Pillow and torchvision fill up with grey: there is no second try with another
decoder, which would turn a damaged file into a made-up picture. simplejpeg is imported here and nowhere else.
"""

import struct
from dataclasses import dataclass
from math import ceil

import numpy as np
import simplejpeg

from dueby_worker.images.geometry import Cut, Extent, Pixels
from dueby_worker.images.unreadable import UnreadableImage

MAGIC = b"\xff\xd8\xff"
# A progressive picture of some scans over and over costs a full pass for each of a few bytes; encoders write about ten.
MAX_SCANS = 100
# Scaling while decoding keeps at least this many times the pixels that the cut needs in each direction.
_SPARE = 2
_EIGHTHS = (8, 4, 3, 2, 1)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ORIENTATION = 0x0112


@dataclass(frozen=True, kw_only=True)
class Header:
    """What has to be known before a JPEG is decoded."""

    width: int
    height: int
    components: int
    progressive: bool
    orientation: int
    """As in EXIF, 1 to 8; 1 is upright."""


def read_header(data: bytes) -> Header:
    """The header; ValueError with what is wrong with it."""
    orientation, at = 1, 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise ValueError("a marker is missing")
        marker = data[at + 1]
        if marker in (0xFF, 0x01) or 0xD0 <= marker <= 0xD8:  # filling, and markers without a length
            at += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        body = data[at + 4 : at + 2 + length]
        if marker in _FRAMES:
            if len(body) < 6:
                break
            height, width, components = struct.unpack_from(">HHB", body, 1)
            progressive = marker in (0xC2, 0xC6, 0xCA, 0xCE)
            return Header(
                width=width,
                height=height,
                components=components,
                progressive=progressive,
                orientation=orientation,
            )
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):
            orientation = _read_orientation(body[6:])
        if marker in (0xD9, 0xDA):
            break
        at += 2 + length
    raise ValueError("it ends before it says its size")


def decode(data: bytes, header: Header, cut: Cut) -> tuple[Pixels, Extent]:
    """The picture (height, width, 3), as large as it is stored or a half to an eighth of it, and its extent: a half of
    75 pixels is 38, of which the last is half a pixel. ValueError with what is wrong."""
    if header.progressive and (scans := data.count(b"\xff\xda")) > MAX_SCANS:
        raise UnreadableImage(f"It has {scans} scans, more than the {MAX_SCANS} of any picture.")
    inks = header.components == 4
    pixels: Pixels = simplejpeg.decode_jpeg(
        data,
        colorspace="CMYK" if inks else "RGB",
        min_width=min(_SPARE * cut.width, header.width),
        min_height=min(_SPARE * cut.height, header.height),
        min_factor=2,  # 7/8 to 5/8 take longer than decoding in full
        strict=True,
    )
    height, width, _ = pixels.shape
    sizes = ((header.width * eighths / 8, header.height * eighths / 8) for eighths in _EIGHTHS)
    extent = next(size for size in sizes if (ceil(size[0]), ceil(size[1])) == (width, height))
    return (_to_rgb(pixels) if inks else pixels), extent


def _to_rgb(inks: Pixels) -> Pixels:
    """Ink is stored inverted, as Adobe does and as every reader has come to assume."""
    light = inks[..., :3].astype(np.uint16) * inks[..., 3:]
    return ((light + 127) // 255).astype(np.uint8)


def _read_orientation(tiff: bytes) -> int:
    """Orientation in an EXIF block; 1 where it isn't said or makes no sense."""
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
    """uint8 RGB (height, width, 3) as a JPEG of that quality, 1 to 100."""
    return bytes(
        simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=quality, colorspace="RGB", colorsubsampling="420")
    )
