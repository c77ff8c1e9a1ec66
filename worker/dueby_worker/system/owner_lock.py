"""Tell by a lock whether the process that made a file or a folder still lives.

The kernel lets go of the lock when that process ends, however it ends, so that what carries no lock was left by one
that was killed. Age says less: a writer may be stopped for hours, and a machine's clock may be set.
"""

import os


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
