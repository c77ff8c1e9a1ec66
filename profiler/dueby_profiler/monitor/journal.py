"""What is written of one device class: its samples as they come, its warm-ups at the end, and what the looks cost."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from dueby_api.engines import EngineName
from dueby_profiler.machine.layouts import Layout
from dueby_profiler.monitor.samples import Looks, Row
from dueby_profiler.monitor.sampling import sampling
from dueby_profiler.monitor.schedule import Schedule, affordable_period
from dueby_profiler.monitor.tables import SampleFile

# Looks that say what one costs; the first of them finds nothing in the caches.
_TRIALS = 3


class Journal:
    """The journal of one device class while it is measured."""

    def __init__(
        self, folder: Path, name: str, *, layout: Layout, clock: Callable[[], float], period_s: float | None
    ) -> None:
        """`period_s` between two looks; None: as short as they are affordable."""
        self.folder, self.name, self.layout = folder, name, layout
        self.warmups: list[Row] = []
        self.rounds: Counter[EngineName] = Counter()
        """Crews of fresh processes so far, by engine."""
        self.looks = 0
        self._clock, self._period_s = clock, period_s
        self._first_s = clock()
        self._file = SampleFile(folder / "samples" / f"{name}.parquet")
        self._lock = threading.Lock()
        self._cost_s = self._watched_s = 0.0

    @contextmanager
    def sampled(self, looks: Looks) -> Iterator[None]:
        """Meanwhile, looks are taken at every moment of the schedule and written down."""
        if self._period_s is None:
            self._period_s = affordable_period(median(_core_seconds(looks.take) for _ in range(_TRIALS)))
        began_s = self._clock()
        schedule = Schedule(first_s=self._first_s, period_s=self._period_s)
        self.look(looks)
        with sampling(lambda: self.look(looks), schedule, self._clock):
            yield
        self._watched_s += self._clock() - began_s

    def look(self, looks: Looks) -> list[Row]:
        """Take a look now and write it down; the rows."""
        with self._lock:  # the schedule's thread, and whoever wants to know the moment before a first mini-batch
            began_s = time.thread_time()
            rows = looks.take()
            self._file.add(rows)
            self.looks += 1
            self._cost_s += time.thread_time() - began_s
        return rows

    @property
    def share_of_a_core(self) -> float:
        """What the looks took, over the time in which anything was watched."""
        return self._cost_s / self._watched_s if self._watched_s else 0.0

    @property
    def sentence(self) -> str:
        """What it did and cost."""
        period_s = self._period_s or 0.0
        return (
            f"{self.layout.device_class}: the monitor looked {self.looks:,} times, every {period_s:g} s, and took "
            f"{self.share_of_a_core:.2%} of a core."
        )

    def close(self) -> Path:
        """The file of the samples."""
        return self._file.close({"period_s": f"{self._period_s}", "share_of_a_core": f"{self.share_of_a_core:.6f}"})

    def drop(self) -> None:
        """Leave no file."""
        self._file.drop()


def _core_seconds(look: Callable[[], Sequence[Row]]) -> float:
    began_s = time.thread_time()
    look()
    return time.thread_time() - began_s
