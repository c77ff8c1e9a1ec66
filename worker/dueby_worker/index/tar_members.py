"""List a tar's images by its headers, without reading what is between them where that is much.

Python's tarfile knows the formats (ustar, GNU, pax). It reads from a file that has one block in memory: a block is a
request, and a header in it costs none. Nothing is ever unpacked, so that a member's name is a label, whatever it says.

tarfile is lenient. What it takes for the end of the tar is looked at again here: an index without the images after a
damaged header would be complete in nobody's eyes.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dueby_api.words import counted
from dueby_worker.images.members import HEADER_BYTES, header_checksum
from dueby_worker.index.globs import is_image_name

# The most that tarfile may ask for: a header with the longest name and attributes. A damaged one may claim to be huge.
_MAX_READ = 256 * 1024
# The most that may be kept a part of: a file beside an image.
MAX_BESIDE = 64 * 1024
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
UNPACK = "an image can't be read without all that is before it, so unpack the file to a plain .tar"
_MAKE_PLAIN = "make the tar with --dereference --hard-dereference and without --sparse"
_DAMAGED = "is no tar, or is damaged at byte {at:,}"
# What tarfile raises for headers that make no sense.
_FAULTS = (tarfile.TarError, ValueError, ArithmeticError, LookupError, RecursionError)


@dataclass(frozen=True, slots=True)
class Found:
    """An image in a tar."""

    name: str
    offset: int
    """Its first byte in the tar."""
    length: int
    header: int
    """Checksum of its header."""


@dataclass(frozen=True, slots=True)
class Beside:
    """Another file in a tar."""

    name: str
    data: bytes
    """Its first bytes: one more than MAX_BESIDE if it has more."""


def list_members(
    read: Callable[[int, int], bytes], *, size: int, block_bytes: int, wants: Callable[[str], bool] = lambda name: False
) -> Iterator[Found | Beside]:
    """Yield the images of a tar of this size, in its order. Raise ValueError, with a sentence, if it is damaged.

    `read` returns so many bytes (second) from an offset (first); at least `block_bytes` are asked for. `wants` says of
    a file that is no image whether it is yielded, too.
    """
    file = _BlockFile(read, size=size, block_bytes=block_bytes)
    if file.peek(0, 6).startswith(_COMPRESSED):
        raise ValueError(f"is compressed, although its name ends in .tar; {UNPACK}")
    for member in _members(file):
        end = member.offset_data + member.size
        if member.isreg() and end > size:
            raise ValueError(f"is cut off: {member.name!r} ends at byte {end:,}, and the tar has {size:,}")
        if member.isreg() and not is_image_name(member.name) and wants(member.name):
            yield Beside(member.name, file.peek(member.offset_data, min(member.size, MAX_BESIDE + 1)))
        if member.isdir() or not _is_image(member.name):
            continue
        if not member.isreg() or member.issparse():
            raise ValueError(f"{member.name!r} in it is {_kind_of(member)}, not a plain file; {_MAKE_PLAIN}")
        header = file.peek(member.offset_data - HEADER_BYTES, HEADER_BYTES)
        yield Found(member.name, member.offset_data, member.size, header_checksum(header))


def _members(file: _BlockFile) -> Iterator[tarfile.TarInfo]:
    at = 0
    try:
        with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
            while (member := tar.next()) is not None:
                # tarfile keeps them for those who want to go back.
                tar.members.clear()  # type: ignore[attr-defined]
                if member.size < 0 or tar.offset <= at:
                    raise tarfile.ReadError("a member that ends before it begins")
                at = tar.offset
                yield member
    except _FAULTS as error:
        raise ValueError(f"{_DAMAGED.format(at=at)} ({error})") from None
    # At a header that it can't read, tarfile ends as if there were no more.
    if file.peek(at, HEADER_BYTES).strip(b"\0"):
        raise ValueError(_DAMAGED.format(at=at))


def _is_image(name: str) -> bool:
    """Return whether the name is an image's, and not hidden: macOS hides a ._a.jpg beside each a.jpg."""
    is_hidden = any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))
    return is_image_name(name) and not is_hidden


def _kind_of(member: tarfile.TarInfo) -> str:
    if member.issparse():
        return "sparse"
    if member.islnk():
        return "a hard link"
    return "a symbolic link" if member.issym() else "a device, or something else"


class _BlockFile(io.RawIOBase):
    """What tarfile needs of a file, with one block in memory."""

    def __init__(self, read: Callable[[int, int], bytes], *, size: int, block_bytes: int) -> None:
        self._read_range = read
        self._size = size
        self._block_bytes = block_bytes
        self._at = 0
        self._begin = 0
        self._block = b""

    def tell(self) -> int:
        return self._at

    def seek(self, at: int, whence: int = io.SEEK_SET) -> int:
        self._at = at
        return at

    def read(self, length: int = -1) -> bytes:
        data = self.peek(self._at, length)
        self._at += len(data)
        return data

    def peek(self, at: int, length: int) -> bytes:
        """Return the bytes from `at`, fewer at the end."""
        if not 0 <= length <= _MAX_READ or at < 0:
            raise tarfile.ReadError(f"a header of {counted(length, 'byte')}")
        end = min(at + length, self._size)
        if at >= end:
            return b""
        if not self._begin <= at <= end <= self._begin + len(self._block):
            self._begin = at
            self._block = self._read_range(at, min(max(length, self._block_bytes), self._size - at))
        return self._block[at - self._begin : end - self._begin]
