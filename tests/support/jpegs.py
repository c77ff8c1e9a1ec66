"""JPEG files with faults, made byte by byte from a whole one."""

import struct
from dataclasses import dataclass
from itertools import pairwise

from dueby_worker.images.jpeg_header import header_segments

APP2, FRAME, PROGRESSIVE_FRAME, SCAN = 0xE2, 0xC0, 0xC2, 0xDA
END = b"\xff\xd9"


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def profile_chunk(number: int, of: int) -> bytes:
    """Return a piece of a colour profile that says which of how many it is."""
    return segment(APP2, b"ICC_PROFILE\0" + bytes((number, of)) + b"profile")


@dataclass(frozen=True)
class Jpeg:
    """A JPEG file whose places have names."""

    data: bytes

    def begin(self, *markers: int) -> int:
        """Return where the first segment of these markers begins."""
        return next(begin for marker, begin, _ in header_segments(self.data) if marker in markers)

    @property
    def frame(self) -> int:
        """Where the segment with the size begins."""
        return self.begin(FRAME, PROGRESSIVE_FRAME)

    @property
    def scan(self) -> int:
        """Where the data of the first scan begin."""
        return next(end for marker, _, end in header_segments(self.data) if marker == SCAN)

    @property
    def end(self) -> int:
        """Where the end marker is."""
        return len(self.data) - len(END)

    @property
    def scans(self) -> list[tuple[int, int]]:
        """Where each scan of a progressive image begins and ends, tables included."""
        begins = [self.begin(SCAN)]
        while (found := self.data.find(b"\xff\xda", begins[-1] + 2)) >= 0:
            begins.append(found)
        return list(pairwise((*begins, self.end)))

    def insert(self, at: int, added: bytes) -> "Jpeg":
        return Jpeg(self.data[:at] + added + self.data[at:])

    def overwrite(self, at: int, new: bytes) -> "Jpeg":
        return Jpeg(self.data[:at] + new + self.data[at + len(new) :])

    def cut(self, begin: int, end: int) -> "Jpeg":
        return Jpeg(self.data[:begin] + self.data[end:])

    def with_jfif(self, version: bytes) -> "Jpeg":
        return self.overwrite(self.data.index(b"JFIF\0") + 5, version)

    def with_range(self, coefficients: bytes) -> "Jpeg":
        """Return the file with another range of coefficients in its first scan's header."""
        return self.overwrite(self.scan - 3, coefficients)
