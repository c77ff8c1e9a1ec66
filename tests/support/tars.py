"""Tars of images for tests, and reading an index of them."""

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

from dueby_worker.storage.local_store import LocalStore
from dueby_worker.storage.store import Unavailable
from support.index import HURRIED
from support.pictures import encode, photo

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def jpeg(number: int) -> bytes:
    """Return a photo that differs for each number."""
    return encode(photo(size=(40 + number % 50, 30 + number % 7)), "JPEG")


def tar_of(members: Iterable[tuple[str | tarfile.TarInfo, bytes]], *, kind: str = "ustar") -> bytes:
    """Return a tar of these members, each with its name or its header."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=FORMATS[kind]) as tar:
        for named, data in members:
            header = tarfile.TarInfo(named) if isinstance(named, str) else named
            if header.isreg():
                header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return buffer.getvalue()


def write_shards(folder: Path, shards: int, *, images: int) -> list[list[str]]:
    """Write 000.tar and so on, as webdataset does: a photo and its class for each key. Return the photos' names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [[f"{shard:03d}/{image:04d}.jpg" for image in range(images)] for shard in range(shards)]
    for shard in range(shards):
        members = []
        for image, name in enumerate(names[shard]):
            members += [(name, jpeg(shard * images + image)), (name.replace(".jpg", ".cls"), b"7")]
        (folder / f"{shard:03d}.tar").write_bytes(tar_of(members))
    return names


def linked(name: str, kind: bytes, target: str) -> tarfile.TarInfo:
    """Return the header of a member that is not a plain file."""
    header = tarfile.TarInfo(name)
    header.type, header.linkname = kind, target
    return header


class CountingStore(LocalStore):
    """A folder that counts what is read from it, and in which some bytes of some files are bad."""

    def __init__(self, folder: Path, *, bad: tuple[int, int] = (0, 0)) -> None:
        super().__init__(str(folder), field="spec.source.uri", retry=HURRIED)
        self.ranges: list[tuple[int, int]] = []
        """Offset and length of what was read."""
        self._bad = range(*bad)

    def read_range_once(self, path: str, offset: int, length: int) -> bytes:
        self.ranges.append((offset, length))
        if offset < self._bad.stop and offset + length > self._bad.start:
            raise Unavailable("input/output error")
        return super().read_range_once(path, offset, length)
