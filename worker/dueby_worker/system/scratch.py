"""Temporary folders: made here, all of them, and those of killed processes are deleted here.

Whoever makes one deletes before and after it those that nobody holds any more, as owner_lock.py tells: a process can't
clean up after its own kill.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dueby_worker.system.owner_lock import hold, is_left

_PREFIX = "dueby-scratch-"
# multiprocessing puts a socket below the folder, whose name adds 32 characters, and the kernel takes 107 in all.
_MAX_PATH = 107 - 32
# Where that socket goes if the folder's own path is too long. POSIX systems have this one.
_SHORT = "/tmp"


@contextmanager
def scratch_folder(purpose: str, *, parent: Path | None = None) -> Iterator[Path]:
    """Make a folder in `parent`, by default the system's for temporary files, and delete it when the block ends.

    The purpose is part of its name. What killed processes have left in `parent` is deleted, too.
    """
    parent = parent or Path(tempfile.gettempdir())
    sweep_scratch(parent)
    path, descriptor = _make(parent, purpose)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)
        # Children that had to be killed.
        sweep_scratch(parent)


def temporary_files_in(folder: Path) -> dict[str, str]:
    """Return what to add to the environment of a child, so that its temporary files go with the folder."""
    return {"TMPDIR": str(folder)} if len(str(folder)) <= _MAX_PATH else {}


@contextmanager
def room_for_sockets() -> Iterator[None]:
    """Let multiprocessing choose its temporary folder here, where its sockets' paths are not too long."""
    chosen = tempfile.gettempdir()
    if len(chosen) > _MAX_PATH:
        tempfile.tempdir = _SHORT
    try:
        yield
    finally:
        tempfile.tempdir = chosen


def sweep_scratch(parent: Path) -> None:
    """Delete this user's folders in `parent` that killed processes have left."""
    for path in parent.glob(f"{_PREFIX}*"):
        # It is another user's, or gone meanwhile, or on a file system without locks.
        with suppress(OSError):
            _delete_if_left(path)


def _make(parent: Path, purpose: str) -> tuple[Path, int]:
    """Return a new folder and the descriptor that holds it."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{purpose}-", dir=parent))
        # Another process may take it for one that was left, as long as it isn't held.
        with suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            if hold(descriptor) and path.exists():
                return path, descriptor
            os.close(descriptor)


def _delete_if_left(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(descriptor).st_uid == os.geteuid() and is_left(descriptor):
            shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)
