"""Files that get their name once they are whole: made here, beside what they become, and those of killed processes are
deleted here.

Their names begin with a dot, because readers of Parquet ignore such files. Whoever makes one holds it open, so that
others tell by its lock that its maker lives (owner_lock.py).
"""

import os
import secrets
import time
from pathlib import Path
from typing import BinaryIO

from dueby_worker.system.owner_lock import hold, is_left
from dueby_worker.system.scratch import scratch_folder

PREFIX = ".dueby-"
# Where a file system knows no locks, a temporary file of this age was left by a writer that was killed.
_LEFTOVER_AGE_S = 3600.0


def make_temporary(folder: Path) -> BinaryIO:
    """Return a new file in the folder, which is held until it is closed."""
    while True:
        file = (folder / f"{PREFIX}{secrets.token_hex(8)}").open("xb")
        if hold(file.fileno()):
            return file
        # A sweep came between the two lines and has taken it for one that was left.
        file.close()


def sweep_temporary(folder: Path, *, is_deep: bool = False) -> int:
    """Delete temporary files whose makers have ended, also in the folders below if `is_deep`; return how many."""
    return sum(map(_delete_if_left, folder.glob(f"**/{PREFIX}*" if is_deep else f"{PREFIX}*")))


def _delete_if_left(path: Path) -> bool:
    """Delete the temporary file if its maker has ended; return whether it was deleted."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            is_to_go = _is_left(descriptor)
            if is_to_go:
                path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)
    except OSError:  # another user's, or gone meanwhile
        return False
    return is_to_go


def _is_left(descriptor: int) -> bool:
    try:
        return is_left(descriptor)
    except OSError:
        return time.time() - os.fstat(descriptor).st_mtime > _LEFTOVER_AGE_S


def write_whole(file: Path, data: bytes | memoryview) -> None:
    """Write the file, in place of one that is there, and make the folders that it lies in. Raise OSError if it can't.

    Several processes may write the same file at once, and each may be killed at any point.

    Whoever reads meanwhile has the file before it, whole. After a power cut it is there whole or as it was.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder("made", parent=file.parent) as folder:
        scratch = folder / file.name
        with scratch.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        scratch.replace(file)


def read_whole(file: Path) -> bytes:
    """Return what was written so. Raise OSError if nothing was, or if it is a link, which none is made of here."""
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as stream:
        return stream.read()
