"""A disk of a few megabytes for tests, which can be full or read-only: a tmpfs, mounted by root."""

import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_BALLAST = "ballast"


@contextmanager
def small_disk(folder: Path, *, megabytes: int = 4) -> Iterator[Path]:
    """Mount a disk at the folder until the block ends."""
    folder.mkdir(exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "dueby-test", str(folder))
    try:
        yield folder
    finally:
        # Whatever still writes there is of this test, and about to end.
        _run("umount", "--lazy", str(folder))


def fill(disk: Path) -> None:
    """Leave no room on the disk."""
    with (disk / _BALLAST).open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(4096))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def make_room(disk: Path) -> None:
    """Undo `fill`."""
    (disk / _BALLAST).unlink()


def remount(disk: Path, mode: str) -> None:
    """Make the disk read-only ("ro"), or writable again ("rw")."""
    _run("mount", "-o", f"remount,{mode}", str(disk))


@cache
def may_mount() -> bool:
    """Return whether this process may mount a disk."""
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            with small_disk(Path(folder)):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
