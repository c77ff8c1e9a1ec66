"""How much of the images' files is in memory at once.

Files are read far ahead of the decoders, so that many requests are in flight. Photos are small: as many as there are
readers fit in any memory. Large files share one room, and a reader waits until there is space for its file.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Files up to this size are read without asking for room: twice a photo of 12 million pixels.
SMALL_FILE_BYTES = 8 * 1024**2
# For all larger files together. The largest image that is read fits, with others beside it.
ROOM_BYTES = 512 * 1024**2


class MemoryRoom:
    """Memory for so many bytes of large files. Thread-safe."""

    def __init__(self, total: int = ROOM_BYTES) -> None:
        self._free = total
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Take room for a file, for the time of this context; wait until there is enough of it."""
        self.take(size)
        try:
            yield
        finally:
            self.free(size)

    def take(self, size: int) -> None:
        """Take room; wait until there is enough of it."""
        with self._changed:
            self._changed.wait_for(lambda: self._free >= size)
            self._free -= size

    def free(self, size: int) -> None:
        """Give room back that was taken."""
        with self._changed:
            self._free += size
            self._changed.notify_all()


class SharedRoom:
    """Room for several images that are read together, which is given back when each of them was taken. Thread-safe."""

    def __init__(self, room: MemoryRoom, size: int, *, images: int) -> None:
        """Take the room; wait until there is enough of it."""
        room.take(size)
        self._room, self._size, self._left = room, size, images
        self._lock = threading.Lock()

    def let_go(self) -> None:
        with self._lock:
            self._left -= 1
            is_empty = not self._left
        if is_empty:
            self._room.free(self._size)
