"""The clock that durations are counted with: nobody sets it, and time in which the machine was suspended counts."""

import time


def steady_clock_s() -> float:
    """Return seconds of a clock that never goes back and, on Linux, goes on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
