"""A thread that looks at the moments of a schedule, while the profiler's own thread waits for its processes.

In the profiler's process and not in those that are measured: it takes no turn of their interpreters. What goes wrong in
it is raised where it was started, and stops the profile: a monitor with holes that nobody told of is worth nothing.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dueby_profiler.monitor.schedule import Schedule


@contextmanager
def sampling(look: Callable[[], object], schedule: Schedule, clock: Callable[[], float]) -> Iterator[None]:
    """Meanwhile, `look` is called at every moment of the schedule."""
    over = threading.Event()
    errors: list[Exception] = []

    def keep_looking() -> None:
        try:
            number = schedule.after(0, clock())
            while not over.wait(max(0.0, schedule.moment(number) - clock())):
                look()
                number = schedule.after(number, clock())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=keep_looking, name="monitor", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if errors:
        raise errors[0]
