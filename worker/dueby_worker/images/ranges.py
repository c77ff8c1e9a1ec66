"""A column's bytes, read in ranges ahead of who takes them."""

from collections.abc import Callable
from concurrent.futures import Future

from dueby_worker.images.page_headers import PageStart

# Begins to read so many bytes (second) from an offset (first).
Ask = Callable[[int, int], Future[bytes]]


class ReadAhead:
    """Reads a column's bytes in blocks, each once, some of them ahead of who takes them."""

    def __init__(self, ask: Ask, *, begin: int, end: int, block_bytes: int, blocks: int) -> None:
        """Take the function that begins to read a range, and how many blocks are read ahead of one that is taken."""
        self._ask = ask
        self._begin, self._end = begin, end
        self._block_bytes = block_bytes
        self._blocks = blocks
        self._asked: dict[int, Future[bytes]] = {}
        self.taken_bytes = 0
        """What the blocks have from which bytes were taken."""
        self._last = -1

    def read(self, offset: int, length: int) -> bytes | bytearray:
        """Return these bytes, which mustn't be before those of the last call."""
        if offset < self._begin or offset + length > self._end:
            return self._ask(offset, length).result()
        first = (offset - self._begin) // self._block_bytes
        last = (offset + length - 1 - self._begin) // self._block_bytes
        if first == last:
            return self._cut(first, offset, offset + length)
        # A page of many blocks is put together without holding them all.
        data = bytearray()
        for block in range(first, last + 1):
            data += self._cut(block, offset, offset + length)
        return data

    def _cut(self, block: int, begin: int, end: int) -> bytes:
        at = self._begin + block * self._block_bytes
        for passed in [number for number in self._asked if number < block]:
            del self._asked[passed]
        for number in range(block, block + self._blocks + 1):
            start = self._begin + number * self._block_bytes
            if start < self._end and number not in self._asked:
                self._asked[number] = self._ask(start, min(self._block_bytes, self._end - start))
        data = self._asked[block].result()
        if block > self._last:
            self._last, self.taken_bytes = block, self.taken_bytes + len(data)
        return data[max(begin - at, 0) : end - at]


class Spliced:
    """A column as if pages that are passed over weren't there: its dictionary, if it is needed, and the other pages."""

    def __init__(self, ask: Ask, start: PageStart, *, begin: int, end: int, block_bytes: int, blocks: int) -> None:
        """Take where the column begins and ends, and what ReadAhead takes."""
        self._first, last = start.dictionary or (begin, begin)
        self._begin = begin
        # Where the other pages begin, as pyarrow sees it.
        self._seam = begin + last - self._first
        self._passed = start.begin - self._seam
        self._end = end
        self._dictionary = ReadAhead(ask, begin=self._first, end=last, block_bytes=block_bytes, blocks=blocks)
        self._pages = ReadAhead(ask, begin=start.begin, end=end, block_bytes=block_bytes, blocks=blocks)

    @property
    def taken_bytes(self) -> int:
        """What the blocks have from which bytes were taken."""
        return self._dictionary.taken_bytes + self._pages.taken_bytes

    def read(self, offset: int, length: int) -> bytes | bytearray:
        """Return these bytes, fewer where the column ends if pages are passed over."""
        if self._passed:
            length = max(0, min(length, self._end - self._passed - offset))
        before = max(0, min(length, self._seam - offset))
        if not before:
            return self._pages.read(offset + self._passed, length) if length else b""
        data = self._dictionary.read(self._first + offset - self._begin, before)
        return data if before == length else data + self._pages.read(self._seam + self._passed, length - before)
