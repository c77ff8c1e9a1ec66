"""Images in tars: where they are, and reading neighbours with one request.

A tar is never unpacked. The index says at which byte of which tar an image begins, and images come in the order of the
index, which is that of the tars; so a worker reads a tar from front to back, in blocks of neighbouring images:

    ... | header | a.jpg | header | a.cls | header | b.jpg | ...
          └────────────────── one request ──────────────┘

The header before each image is read with it. It must be the one that was indexed, or the tar is another one by now.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from dueby_worker.images.fetch import MAX_IMAGE_BYTES, Fetcher, changed
from dueby_worker.images.room import SMALL_FILE_BYTES, SharedRoom
from dueby_worker.images.runs import MAX_BLOCK_BYTES, Taken, hand_out, room_for_runs, runs_of
from dueby_worker.storage.store import BLOCK_BYTES, TooLarge, Unavailable

# A tar's headers and members begin at multiples of this.
HEADER_BYTES = 512
# What lies between two images is read with them up to this size: skipping it would cost another request.
MAX_GAP_BYTES = BLOCK_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class TarMember:
    """Where an image is."""

    shard: str
    """URI of the tar."""
    version: str
    """Version of the tar when it was indexed."""
    offset: int
    """Its first byte in the tar."""
    length: int
    header: int
    """Checksum of the header, as `header_checksum` gives it."""

    @property
    def begin(self) -> int:
        return self.offset - HEADER_BYTES

    @property
    def end(self) -> int:
        return self.offset + self.length


def header_checksum(header: bytes) -> int:
    """Return the checksum of a member's header, the block right before its content.

    Not the tar's own, which is a sum: names that differ by the order of their digits have the same.
    """
    return zlib.crc32(header)


def read_member(fetcher: Fetcher, member: TarMember, *, max_bytes: int = MAX_IMAGE_BYTES) -> bytes:
    """Return one image by a request of its own. Raise as `Fetcher.read` does, and Invalid if its tar has changed."""
    if member.length > max_bytes:
        raise TooLarge(size=member.length, max_bytes=max_bytes)
    if member.length <= SMALL_FILE_BYTES:
        return _cut(_read(fetcher, [member]), member, begin=member.begin)
    # Cut out of what is read with its header, it would be in memory twice.
    _require_header(member, fetcher.read_range(member.shard, member.begin, HEADER_BYTES, version=member.version))
    return fetcher.read_range(member.shard, member.offset, member.length, version=member.version)


class BlockReader:
    """Reads the images of tars in blocks, ahead of who takes them."""

    def __init__(self, fetcher: Fetcher, member_of: Callable[[int], TarMember], *, threads: int) -> None:
        self._fetcher = fetcher
        self._member_of = member_of
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="blocks")
        self._room = room_for_runs()

    def read(self, items: Iterable[tuple[int, str]], *, most: int) -> Iterator[list[Taken]]:
        """Yield runs of items (index, URI), each with what waits for its bytes, read ahead as hand_out says."""
        blocks = runs_of(items, self._member_of, most=most, joins=_is_near)
        return hand_out(blocks, self._begin, most=most)

    def close(self) -> None:
        """Begin no more blocks. The fetcher's waits must have been cancelled."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _begin(self, group: list[tuple[int, str, TarMember]]) -> list[Taken]:
        members = [member for _, _, member in group]
        if members[0].length > SMALL_FILE_BYTES:
            # It is alone, and whoever takes it must find room for it first.
            return [(index, uri, partial(read_member, self._fetcher, member)) for index, uri, member in group]
        size = members[-1].end - members[0].begin
        share = SharedRoom(self._room, size, images=len(members))
        data = self._pool.submit(_read, self._fetcher, members)
        block = _Block(self._fetcher, data, share, begin=members[0].begin)
        return [(index, uri, partial(block.take, member)) for index, uri, member in group]


class _Block:
    """Neighbouring images that are being read, each of which is taken once."""

    def __init__(self, fetcher: Fetcher, data: Future[bytes], share: SharedRoom, *, begin: int) -> None:
        self._fetcher = fetcher
        self._data = data
        self._share = share
        self._begin = begin

    def take(self, member: TarMember, *, max_bytes: int) -> bytes:
        """Wait for the block and return the image's bytes, of which there are `max_bytes` or fewer."""
        try:
            return _cut(self._data.result(), member, begin=self._begin)
        except Unavailable:
            # One of them is at fault, and the others need not be.
            return read_member(self._fetcher, member, max_bytes=max_bytes)
        finally:
            self._share.let_go()


def _is_near(block: Sequence[tuple[int, str, TarMember]], member: TarMember) -> bool:
    """Return whether the member may be read with those of the block."""
    first, last = block[0][2], block[-1][2]
    return (
        member.shard == first.shard
        and 0 <= member.begin - last.end <= MAX_GAP_BYTES
        and member.end - first.begin <= MAX_BLOCK_BYTES
    )


def _read(fetcher: Fetcher, members: Sequence[TarMember]) -> bytes:
    """Return what is between the first one's header and the last one's end. Raise Invalid if headers are others."""
    first, last = members[0], members[-1]
    data = fetcher.read_range(first.shard, first.begin, last.end - first.begin, version=first.version)
    for member in members:
        at = member.begin - first.begin
        _require_header(member, data[at : at + HEADER_BYTES])
    return data


def _require_header(member: TarMember, header: bytes) -> None:
    if header_checksum(header) != member.header:
        raise changed(member.shard, f"there is another header at byte {member.begin:,}")


def _cut(data: bytes, member: TarMember, *, begin: int) -> bytes:
    """Return the member's bytes of those that begin at `begin`."""
    return data[member.offset - begin : member.end - begin]
