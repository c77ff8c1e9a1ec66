"""A thread that takes samples at the moments of a schedule, while the profiler's own thread waits for its processes.

It runs in the profiler's process and not in those that are measured, so it takes no turn of their interpreters. An
error in it is raised where it was started and stops the profile: a monitor with unreported gaps is worth nothing.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dueby_profiler.monitor.schedule import Schedule


@contextmanager
def sampling(take: Callable[[], object], schedule: Schedule, clock: Callable[[], float]) -> Iterator[None]:
    """Call `take` at every moment of the schedule until the context ends."""
    over = threading.Event()
    errors: list[Exception] = []

    def keep_sampling() -> None:
        try:
            number = schedule.after(0, clock())
            while not over.wait(max(0.0, schedule.moment(number) - clock())):
                take()
                number = schedule.after(number, clock())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=keep_sampling, name="monitor", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    # Only now: an error of the measuring itself, which is raised above, comes first.
    if errors:
        raise errors[0]
