"""Decode whole images here, and what `source.decode: tolerant` makes of damaged ones in a process of its own.

Pillow knows tolerance only for a whole process. In a worker, whose threads decode at the same time, it would fill up
what is to be refused first. So damaged files go to a child, which is started for the first of them.
"""

import threading
from collections.abc import Callable

from dueby_worker.images.isolation import IsolatedDecoder
from dueby_worker.images.picture import Picture
from dueby_worker.images.unreadable import BeyondLimit, UnreadableImage


class TolerantDecoder:
    """Decodes strictly, and what that refuses in one child, tolerantly. Thread-safe."""

    def __init__(self, decode: Callable[[bytes], Picture], start: Callable[[], IsolatedDecoder]) -> None:
        self._decode = decode
        self._start = start
        self._starting = threading.Lock()
        self._child: IsolatedDecoder | None = None

    def decode(self, data: bytes) -> Picture:
        """Return the image, with a warning if it is damaged. Raise UnreadableImage if it is none, or too large."""
        try:
            return self._decode(data)
        except BeyondLimit:
            raise
        except UnreadableImage:
            with self._starting:
                child = self._child = self._child or self._start()
            return child.decode_alone(data).picture

    def close(self) -> None:
        """End the child, if there is one."""
        if self._child is not None:
            self._child.close()
