"""The folder in which compiled models are kept: refused if anybody else may write to it.

What is kept there runs when it is loaded: whoever can write to the folder could run code as this user.
"""

import logging
import os
import stat
from contextlib import suppress
from errno import EPERM
from pathlib import Path

log = logging.getLogger(__name__)

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_MAY_DO = stat.S_IRWXG | stat.S_IRWXO


def usable_cache(folder: Path | None) -> Path | None:
    """Return the folder if it is safe to keep compiled models in; otherwise log why not, and return None."""
    if folder is None:
        return None
    try:
        require_own(folder)
    except OSError as error:
        log.warning("nothing is kept in %s: %s", folder, error.strerror)
        return None
    return folder


def require_own(folder: Path) -> None:
    """Make the folder, for this user alone, unless it exists. Raise OSError if that fails or others may write to it."""
    folder.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
    # What a link leads to may be anybody's by the time that it is read.
    if folder.is_symlink():
        raise PermissionError(EPERM, "it is a link")
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        status = os.fstat(descriptor)
        if status.st_uid not in (os.geteuid(), 0):
            raise PermissionError(EPERM, "it belongs to another user")
        if status.st_mode & _OTHERS_MAY_WRITE:
            advice = f"delete it, or run chmod -R go-w {folder} if only this user has written to it"
            raise PermissionError(EPERM, f"other users may write to it; {advice}")
        # Folders that are made in it later may be open to a group, as this user's umask has them. Nobody reaches them.
        if status.st_mode & _OTHERS_MAY_DO and status.st_uid == os.geteuid():
            with suppress(OSError):
                os.fchmod(descriptor, stat.S_IMODE(status.st_mode) & ~_OTHERS_MAY_DO)
    finally:
        os.close(descriptor)
