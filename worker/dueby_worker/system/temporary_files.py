"""Temporary files and folders: all of them are made here, and those of killed processes are deleted here.

Files get their name once they are whole, and are made beside what they become. Until then their names begin with a dot,
because readers of Parquet ignore such files.

A process can't clean up after its own kill. So whoever makes one deletes those that nobody holds any more. A lock tells
whether the process that made it still lives: the kernel lets go of the lock when that process ends, however it ends.
Age says less: a writer may be stopped for hours, and a machine's clock may be set.
"""

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_PREFIX = "dueby-scratch-"
# multiprocessing puts a socket below the folder, whose name adds 32 characters, and the kernel takes 107 in all.
_MAX_PATH = 107 - 32
# Where that socket goes if the folder's own path is too long. POSIX systems have this one.
_SHORT = "/tmp"
PREFIX = ".dueby-"
# Where a file system knows no locks, a temporary file of this age was left by a writer that was killed.
_LEFTOVER_AGE_S = 3600.0


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
            _delete_folder_if_left(path)


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


def _delete_folder_if_left(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(descriptor).st_uid == os.geteuid() and is_left(descriptor):
            shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)


def hold(descriptor: int) -> bool:
    """Lock the open file or folder until it is closed. Return False if another process holds it or has deleted it.

    Where a file system knows no locks, it is held all the same, since nobody else can find it left.
    """
    try:
        if not _lock(descriptor):
            return False
    except OSError:
        return True
    return os.fstat(descriptor).st_nlink > 0


def is_left(descriptor: int) -> bool:
    """Return whether its maker has ended. Raise OSError where that can't be known.

    If so, nobody else finds it left until it is closed.
    """
    return _lock(descriptor)


def _lock(descriptor: int) -> bool:
    import fcntl  # Windows lacks it, where rows are read and nothing is locked

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
    return sum(map(_delete_if_left, _temporary_in(folder, is_deep=is_deep)))


def _temporary_in(folder: Path, *, is_deep: bool) -> Iterator[Path]:
    # Not Path.glob, which holds all entries of a folder together: a sink may have millions.
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX):
                yield Path(entry.path)
            elif is_deep and entry.is_dir(follow_symlinks=False):
                yield from _temporary_in(Path(entry.path), is_deep=True)


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
