"""Read files of which nothing is known but their path.

A path among someone's images may be a FIFO, on which opening blocks for ever, a device such as /dev/zero, which never
ends, or a sparse file larger than any memory. Only regular files are read, and links to such; their size is looked at
first, and no more than the caller takes is ever in memory.
"""

import os
import stat
from collections.abc import Callable
from io import FileIO

from dueby_worker.storage.store import BLOCK_BYTES, TooLarge, Unavailable

_OTHERS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_regular(path: str) -> FileIO:
    """Open a regular file, or a link to one, without ever blocking. Raise Unavailable if it is anything else."""
    # Before opening, because that alone has effects on some devices; and after it, because the path may lead to
    # another file by then.
    _require_regular(os.stat(path).st_mode)
    # Opening a FIFO blocks otherwise. On regular files O_NONBLOCK has no effect.
    file = FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC))
    try:
        _require_regular(os.fstat(file.fileno()).st_mode)
    except BaseException:
        file.close()
        raise
    return file


def read_at_most(file: FileIO, max_bytes: int) -> bytes:
    """Return the file's content. Raise TooLarge if there is more of it, or as soon as more has been written to it."""
    size = os.fstat(file.fileno()).st_size
    if size > max_bytes:
        raise TooLarge(size=size, max_bytes=max_bytes)
    # One byte more shows that the file has grown.
    blocks, held = [file.read(size + 1)], 0
    while blocks[-1]:
        held += len(blocks[-1])
        if held > max_bytes:
            raise TooLarge(size=None, max_bytes=max_bytes)
        blocks.append(file.read(BLOCK_BYTES))
    return b"".join(blocks)


def _require_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((words for is_kind, words in _OTHERS if is_kind(mode)), "something else")
        raise Unavailable(f"it is {kind}, not a file")
