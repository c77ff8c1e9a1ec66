"""What the monitor writes of one device class: samples as they come, warm-ups at the end, and the cost of sampling.

A thread takes samples at the moments of a schedule, while the profiler's own thread waits for its processes. It runs in
the profiler's process and not in those that are measured, so it takes no turn of their interpreters. An error in it is
raised where it was started and stops the profile: a monitor with unreported gaps is worth nothing.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from dueby_api.engines import EngineName
from dueby_api.words import counted
from dueby_profiler.machine.layouts import Layout
from dueby_profiler.monitor.sampler import Row, Sampler
from dueby_profiler.monitor.schedule import Schedule, affordable_period
from dueby_profiler.monitor.tables import SampleFile

# Samples that show what one costs. The first of them finds nothing in the caches, so the median counts.
_TRIALS = 3


class Journal:
    """The journal of one device class while it is measured."""

    def __init__(
        self, folder: Path, name: str, *, layout: Layout, clock: Callable[[], float], period_s: float | None
    ) -> None:
        """`period_s` is the time between two samples; None takes the shortest that is affordable."""
        self.layout = layout
        self.warmups: list[Row] = []
        self.rounds: Counter[EngineName] = Counter()
        """Groups of fresh processes so far, by engine."""
        self._clock, self._period_s = clock, period_s
        self._first_s = clock()
        self._file = SampleFile(folder / "samples" / f"{name}.parquet")
        self._lock = threading.Lock()
        self._samples = 0
        self._cost_s = self._watched_s = 0.0

    @contextmanager
    def sampled(self, sampler: Sampler) -> Iterator[None]:
        """Take samples and write them down at every moment of the schedule until the context ends."""
        if self._period_s is None:
            self._period_s = affordable_period(median(_core_seconds(sampler.take) for _ in range(_TRIALS)))
        began_s = self._clock()
        schedule = Schedule(first_s=self._first_s, period_s=self._period_s)
        self.take_sample(sampler)
        with sampling(lambda: self.take_sample(sampler), schedule, self._clock):
            yield
        self._watched_s += self._clock() - began_s

    def take_sample(self, sampler: Sampler) -> list[Row]:
        """Take a sample now and write it down; return its rows."""
        # Two threads take samples: that of the schedule, and whoever needs one right before a first mini-batch.
        with self._lock:
            began_s = time.thread_time()
            rows = sampler.take()
            self._file.add(rows)
            self._samples += 1
            self._cost_s += time.thread_time() - began_s
        return rows

    @property
    def share_of_a_core(self) -> float:
        """CPU time of sampling, over the time in which anything was watched."""
        return self._cost_s / self._watched_s if self._watched_s else 0.0

    @property
    def sentence(self) -> str:
        """A message: how many samples were taken, and what they cost."""
        period_s = self._period_s or 0.0
        return (
            f"{self.layout.device_class}: the monitor took {counted(self._samples, 'sample')}, "
            f"one every {period_s:g} s, and used {self.share_of_a_core:.2%} of a core."
        )

    def close(self) -> Path:
        """Finish the file of samples; return its path."""
        return self._file.close({"period_s": f"{self._period_s}", "share_of_a_core": f"{self.share_of_a_core:.6f}"})

    def drop(self) -> None:
        """Delete the file of samples."""
        self._file.drop()


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


def _core_seconds(take: Callable[[], Sequence[Row]]) -> float:
    began_s = time.thread_time()
    take()
    return time.thread_time() - began_s
