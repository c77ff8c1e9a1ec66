"""Files that are there as a whole or not at all, for folders in which processes keep what they all may use.

Several may write the same file at once, and each may be killed at any point.
"""

import os
from pathlib import Path

from dueby_worker.system.scratch import scratch_folder


def write_whole(file: Path, data: bytes | memoryview) -> None:
    """Write the file, in place of one that is there, and make the folders that it lies in. Raise OSError if it can't.

    Whoever reads meanwhile has the file before it, whole. After a power cut it is there whole or as it was.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder("made", parent=file.parent) as folder:
        made = folder / file.name
        with made.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        made.replace(file)


def read_whole(file: Path) -> bytes:
    """Return what was written so. Raise OSError if nothing was, or if it is a link, which none is made of here."""
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as stream:
        return stream.read()
