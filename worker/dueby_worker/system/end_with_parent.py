"""Let a process end with the one that started it, however that one ends: done, interrupted or killed.

The kernel sees to it. A child that watched its input or asked from time to time would notice only between two steps,
and a step may take half a minute.
"""

import ctypes
import os
import signal
from collections.abc import Callable

# prctl's option: a signal to this process when the thread that has started it ends. Python has no name for it.
_PR_SET_PDEATHSIG = 1
# Looked up here and not in the child: another thread may have held the loader's lock when the child was forked.
_prctl = ctypes.CDLL(None).prctl


def end_with_parent() -> None:
    """Have the kernel kill this process when its parent ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def ending_with_me() -> Callable[[], None]:
    """Return a `preexec_fn` with which a child is killed when this process ends. Start the child in the main thread."""
    parent = os.getpid()

    def prepare() -> None:
        end_with_parent()
        # The parent may have ended before the kernel was told.
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return prepare
