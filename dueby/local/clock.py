"""What time it is on this machine, by a clock that nobody sets while a run is under way.

A time of day that is put right in the middle of a run would make every worker look as if it had hung for that long.
"""

import time

# It goes on while a laptop sleeps, and so does a deadline. Only Linux has it by this name.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_OFFSET_NS = time.time_ns() - time.clock_gettime_ns(_STEADY)


def now_us() -> int:
    """Return the time in microseconds since 1970, as this process's first look at the time of day has it."""
    return (_OFFSET_NS + time.clock_gettime_ns(_STEADY)) // 1000
