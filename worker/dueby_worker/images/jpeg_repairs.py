"""Repair what is wrong in a JPEG file beside its pixels.

libjpeg warns of many faults, reads on, and tells only of the first. So each fault that costs no pixel is repaired in
the bytes, and the file is decoded strictly again: it is whole if nothing is wrong any more. What a repair removes can't
be a part of the picture, because a scan that lacks a single byte is not decoded strictly.

Nothing here repairs a file that ends too early, or a scan whose data make no sense: that would invent pixels.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from dueby_worker.images.jpeg_header import (
    END_OF_IMAGE,
    PROGRESSIVE_FRAMES,
    START_OF_SCAN,
    Segment,
    header_segments,
)

_APP0, _APP2 = 0xE0, 0xE2
_SCAN = re.compile(rb"\xff\xda(..)", re.DOTALL)
_JFIF, _PROFILE = b"JFIF\0", b"ICC_PROFILE\0"
_FILL = b"\xff"
# What writers pad a scan with: zeros to a round size, or the end of a line of whatever the file went through.
_PADDING = b"\0\t\n\r "
# Start and end of the coefficients in a scan of a sequential image, and no approximation.
_SEQUENTIAL = bytes((0, 63, 0))


@dataclass(frozen=True, kw_only=True)
class Repair:
    """One kind of fault, and how it is repaired."""

    warning: re.Pattern[str]
    """What libjpeg says of it."""
    fault: str
    """What is wrong, as the end of "It is whole, although "."""
    apply: Callable[[bytes], bytes]
    """Returns the file without the fault, and any other file as it is."""


def _without_junk(data: bytes) -> bytes:
    """Return the file without what stands between the segments of its header."""
    kept, end = [data[:2]], 2
    for _, begin, end in header_segments(data):
        kept.append(data[begin:end])
    return b"".join((*kept, data[end:]))


def _without_padding(data: bytes) -> bytes:
    """Return the file without the padding between its last scan and its end marker."""
    scan = _scan_start(data)
    end = data.find(bytes((0xFF, END_OF_IMAGE)), scan)
    if end < 0:
        return data
    pixels = data[scan:end].rstrip(_FILL).rstrip(_PADDING)
    # The zero after 0xFF belongs to it.
    stuffing = b"\0" if pixels.endswith(_FILL) else b""
    return b"".join((data[:scan], pixels, stuffing, data[end:]))


def _without_profile(data: bytes) -> bytes:
    """Return the file without its colour profile, which no pixel depends on here."""
    return _without(data, lambda segment: segment[0] == _APP2 and data.startswith(_PROFILE, segment[1] + 4, segment[2]))


def _with_known_version(data: bytes) -> bytes:
    """Return the file with JFIF 1.1."""
    repaired = bytearray(data)
    for marker, begin, end in header_segments(data):
        if marker == _APP0 and data.startswith(_JFIF, begin + 4, end) and end - begin >= 11:
            repaired[begin + 9 : begin + 11] = b"\1\1"
    return bytes(repaired)


def _with_sequential_scans(data: bytes) -> bytes:
    """Return the file with scan headers that cover all coefficients, if its frame is not progressive."""
    segments = {marker: begin for marker, begin, _ in header_segments(data)}
    if START_OF_SCAN not in segments or not segments.keys().isdisjoint(PROGRESSIVE_FRAMES):
        return data
    repaired = bytearray(data)
    # A sequential image may have a scan for each component.
    for scan in _SCAN.finditer(data, segments[START_OF_SCAN]):
        end = scan.start() + 2 + int.from_bytes(scan[1])
        if end <= len(data):
            repaired[end - 3 : end] = _SEQUENTIAL
    return bytes(repaired)


def _without(data: bytes, is_dropped: Callable[[Segment], bool]) -> bytes:
    kept, last = [], 0
    for segment in header_segments(data):
        if is_dropped(segment):
            kept.append(data[last : segment[1]])
            last = segment[2]
    return b"".join((*kept, data[last:]))


def _scan_start(data: bytes) -> int:
    return max((end for _, _, end in header_segments(data)), default=2)


REPAIRS = (
    Repair(
        warning=re.compile(r"extraneous bytes before marker 0x(?!d9)"),
        fault="junk stands between the parts of its header",
        apply=_without_junk,
    ),
    Repair(
        warning=re.compile(r"extraneous bytes before marker 0xd9"),
        fault="there is padding before its end",
        apply=_without_padding,
    ),
    Repair(warning=re.compile(r"bad ICC marker"), fault="its colour profile is broken", apply=_without_profile),
    Repair(
        warning=re.compile(r"unknown JFIF revision number"),
        fault="it is of an unknown version of JFIF",
        apply=_with_known_version,
    ),
    Repair(
        warning=re.compile(r"Invalid SOS parameters for sequential JPEG"),
        fault="the header of its scan makes no sense",
        apply=_with_sequential_scans,
    ),
)
