"""The header of a JPEG file: its segments, up to the scan of its pixels, and what they say about it.

It is parsed here, because libjpeg checks the size only after it has allocated memory for it, and simplejpeg does not
read EXIF. Markers are found as libjpeg finds them: whatever stands between two segments is skipped.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from dueby_worker.images.unreadable import BeyondLimit, UnreadableImage

MAGIC = b"\xff\xd8\xff"
# Metadata is in segments of 64 KB, of which the largest image has 5,000. Millions of empty ones would stop all threads
# for minutes.
MAX_MARKERS = 10_000
# Two 0xFF in a row are a marker and a fill byte before it, and 0xFF with a zero is data.
_MARKER = re.compile(rb"\xff[^\x00\xff]")
# Markers that begin a frame header: SOF0 to SOF15 without DHT, JPG and DAC, which lie between them.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PROGRESSIVE_FRAMES = (0xC2, 0xC6, 0xCA, 0xCE)
_LOSSLESS_FRAMES = (0xC3, 0xC7, 0xCB, 0xCF)
# Bits of a channel.
_BITS = 8
# Where EXIF is kept.
_APP1 = 0xE1
# Where Adobe's programs say what the components are, in the byte of this number.
_APP14, _TRANSFORM = 0xEE, 11
END_OF_IMAGE, START_OF_SCAN = 0xD9, 0xDA
# The tag of the orientation in EXIF.
_ORIENTATION = 0x0112

# A segment: its marker, where it begins (at the marker), and where it ends.
Segment = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Header:
    """What must be known before a JPEG is decoded."""

    width: int
    height: int
    components: int
    progressive: bool
    orientation: int
    """Orientation in EXIF, 1 to 8; 1 is upright."""
    is_rgb: bool
    """Whether the file says that its components are red, green and blue, and not brightness and two differences."""


def header_segments(data: bytes) -> Iterator[Segment]:
    """Yield the segments after the start of the image, up to the first scan's header, or as many as there are."""
    at = 2
    for _ in range(MAX_MARKERS):
        match = _MARKER.search(data, at)
        if match is None:
            return
        begin = match.start()
        marker = data[begin + 1]
        # Markers without a length: TEM, RST0 to RST7, SOI.
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at = begin + 2
            continue
        if marker == END_OF_IMAGE or begin + 4 > len(data):
            return
        # The length counts its own two bytes.
        at = begin + 2 + max(2, data[begin + 2] << 8 | data[begin + 3])
        yield marker, begin, at
        if marker == START_OF_SCAN:
            return
    raise BeyondLimit(f"Its header has more than {MAX_MARKERS:,} markers.")


def read_header(data: bytes) -> Header:
    """Return the header. Raise ValueError, with what is wrong, if it can't be read."""
    orientation, is_rgb = 1, False
    for marker, begin, end in header_segments(data):
        body = data[begin + 4 : end]
        if marker in _FRAMES and len(body) >= 6:
            bits, height, width, components = struct.unpack_from(">BHHB", body)
            _require_kind(marker, bits)
            return Header(
                width=width,
                height=height,
                components=components,
                progressive=marker in PROGRESSIVE_FRAMES,
                orientation=orientation,
                is_rgb=is_rgb or body[6::3][:components] == b"RGB",
            )
        if marker == _APP1 and body.startswith(b"Exif\0\0"):
            orientation = _read_orientation(body[6:])
        if marker == _APP14 and body.startswith(b"Adobe"):
            is_rgb = body[_TRANSFORM : _TRANSFORM + 1] == b"\0"
    raise ValueError("it ends before it says its size")


def _require_kind(marker: int, bits: int) -> None:
    """Raise UnreadableImage if the frame is of a kind that is whole and yet not read."""
    if marker in _LOSSLESS_FRAMES:
        raise UnreadableImage("It is a lossless JPEG, which is not read.")
    if bits != _BITS:
        raise UnreadableImage(f"It is a JPEG of {bits} bits a channel; those of {_BITS} are read.")


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
