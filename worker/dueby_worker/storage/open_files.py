"""Files and datasets that are open: to open one takes requests, and rows of it are read many times."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# A worker reads one tar after another, and the index step as many at a time as there are readers.
MAX_OPEN = 32


@dataclass(eq=False)
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    file: Any = None


class OpenFiles:
    """The files that were used last. Thread-safe: of several who want a file at the same time, one opens it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def get(self, name: str, open_file: Callable[[str], Any]) -> Any:
        """Return the file, which is opened if it isn't open."""
        with self._lock:
            entry = self._entries.setdefault(name, _Entry())
            self._entries.move_to_end(name)
            if len(self._entries) > MAX_OPEN:
                # It is closed when nobody reads it any more.
                self._entries.popitem(last=False)
        with entry.lock:
            if entry.file is None:
                entry.file = open_file(name)
            return entry.file

    def forget(self, name: str) -> None:
        """Open the file again when it is next wanted."""
        with self._lock:
            self._entries.pop(name, None)
