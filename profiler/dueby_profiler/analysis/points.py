"""What the processes measured, collected by mini-batch size.

Only steps during which every slice of the layout was busy count. The slices reach their first steady step at different
moments, and a slice that knows its mean early goes on until all slices do, so the steps at both ends may have run while
another slice was idle.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from statistics import fmean
from typing import TypeVar

from dueby_profiler.measuring.messages import Built, DecodingRates, Point

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Visit:
    """The steady steps of one process at one size."""

    process: int
    durations_us: tuple[int, ...]

    @property
    def mean_us(self) -> float:
        """Mean of its steps."""
        return fmean(self.durations_us)


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """Everything that was measured of one layout with one engine."""

    visits: defaultdict[int, list[Visit]] = field(default_factory=lambda: defaultdict(list))
    """Steady steps, by size."""
    warmups_us: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    """First mini-batches of fresh processes, by size."""
    rough_warmups_us: dict[int, int] = field(default_factory=dict)
    """First mini-batches at a size of processes that had run other sizes before: rather too short. Used if nothing
    better is known.
    """
    startups_us: list[int] = field(default_factory=list)
    """Start-ups with the compiled model in its cache, as workers find it, including the check after the first
    mini-batch.
    """
    rough_startups_us: list[int] = field(default_factory=list)
    """Start-ups of the first processes, which had to compile and took longer. Used if nothing better is known."""
    peak_mib: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Peak memory of fresh processes, by the size they began with."""
    host_mib: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Peak of the host's memory beside a GPU's, likewise."""
    contentions: list[float] = field(default_factory=list)
    """The contention factor of each process."""
    decodings: list[DecodingRates] = field(default_factory=list)
    """What each process beside a GPU made of its cores."""
    hot_us: list[tuple[int, float]] = field(default_factory=list)
    """Of each process that was run until its device was hot: the size, and the mean step at the end."""
    group_size: int = 1
    """Processes that count as one sample because they ran side by side: those on a machine's slices of cores. On
    several GPUs it is 1, since each GPU has a profile of its own."""

    @property
    def sizes(self) -> list[int]:
        """Sizes with steady steps, ascending."""
        return sorted(size for size, visits in self.visits.items() if visits)

    @property
    def processes(self) -> int:
        """How many fresh processes measured steady steps."""
        return len({visit.process for visits in self.visits.values() for visit in visits})

    @property
    def groups(self) -> int:
        """How many groups of processes measured steady steps."""
        return len({visit.process // self.group_size for visits in self.visits.values() for visit in visits})

    def group_means_us(self, size: int) -> dict[int, float]:
        """Return for each group the mean over its processes of each one's mean step."""
        by_group: defaultdict[int, list[float]] = defaultdict(list)
        for visit in self.visits[size]:
            by_group[visit.process // self.group_size].append(visit.mean_us)
        return {group: fmean(means) for group, means in by_group.items()}

    def mean_us(self, size: int) -> float:
        """Return L: the mean over processes of each one's mean step, because processes differ more than steps do."""
        return fmean(visit.mean_us for visit in self.visits[size])

    @property
    def heat(self) -> float:
        """How many times as long steps take on a hot device as they took when they were measured; 1 at least."""
        ratios = [hot_us / self.mean_us(size) for size, hot_us in self.hot_us if size in self.sizes]
        return max(1.0, fmean(ratios)) if ratios else 1.0

    def images_per_second(self, size: int) -> float:
        return size * 1e6 / self.mean_us(size)

    def fastest_size(self) -> int:
        return max(self.sizes, key=self.images_per_second)

    def add_steady(self, first_process: int, points: Sequence[Point]) -> None:
        """Add the steady steps of processes that ran side by side, numbered from `first_process` on."""
        for process, durations in enumerate(while_all_busy(points), start=first_process):
            self.visits[points[0].size].append(Visit(process=process, durations_us=durations))

    def add_hot(self, points: Sequence[Point]) -> None:
        """Add what the last third of so many steady steps shows."""
        for durations in while_all_busy(points):
            ends_us = list(accumulate(durations))
            hot = [step for step, end_us in zip(durations, ends_us, strict=True) if 3 * end_us >= 2 * ends_us[-1]]
            self.hot_us.append((points[0].size, fmean(hot)))

    def add_fresh(self, built: Sequence[Built], points: Sequence[Point], *, cached: bool) -> None:
        """Add what only the first mini-batch size of a process shows.

        `cached` says whether the engine's compiled model was in its cache already.
        """
        for ready, point in zip(built, points, strict=True):
            startups_us = self.startups_us if cached else self.rough_startups_us
            startups_us.append(ready.startup_us + point.check_us)
            self.warmups_us[point.size].append(point.warmup_us)
            self.peak_mib[point.size].append(point.device_mib)
            if point.gpu_mib is not None:
                self.host_mib[point.size].append(point.peak_mib)

    def add_rough(self, points: Sequence[Point]) -> None:
        """Add the warm-up at a size that was not the first of its processes."""
        self.rough_warmups_us[points[0].size] = max(point.warmup_us for point in points)

    def add(self, other: "Measurements") -> None:
        """Add what other processes measured."""
        for size, visits in other.visits.items():
            self.visits[size].extend(visits)
        for size, warmups_us in other.warmups_us.items():
            self.warmups_us[size].extend(warmups_us)
        for size, peaks_mib in other.peak_mib.items():
            self.peak_mib[size].extend(peaks_mib)
        for size, peaks_mib in other.host_mib.items():
            self.host_mib[size].extend(peaks_mib)
        self.hot_us.extend(other.hot_us)
        self.startups_us.extend(other.startups_us)
        self.contentions.extend(other.contentions)
        self.decodings.extend(other.decodings)
        self.rough_startups_us.extend(other.rough_startups_us)
        self.rough_warmups_us.update(other.rough_warmups_us)

    def of_device(self, number: int, devices: int) -> "Measurements":
        """Return only what device `number` of several measured; the processes of each group are numbered device by
        device.
        """
        return Measurements(
            visits=_grouped({s: [v for v in vs if v.process % devices == number] for s, vs in self.visits.items()}),
            warmups_us=_grouped({s: w[number::devices] for s, w in self.warmups_us.items()}),
            startups_us=self.startups_us[number::devices],
            peak_mib=_grouped({s: p[number::devices] for s, p in self.peak_mib.items()}),
            host_mib=_grouped({s: p[number::devices] for s, p in self.host_mib.items()}),
            contentions=self.contentions[number::devices],
            decodings=self.decodings[number::devices],
            hot_us=self.hot_us[number::devices],
            rough_startups_us=self.rough_startups_us,
            rough_warmups_us=self.rough_warmups_us,
        )

    def drop_from(self, size: int) -> None:
        """Remove this size and all larger ones."""
        for by_size in (self.visits, self.warmups_us, self.peak_mib, self.host_mib):
            for measured in [measured for measured in by_size if measured >= size]:
                del by_size[measured]


def _grouped(groups: Mapping[int, list[Value]]) -> defaultdict[int, list[Value]]:
    return defaultdict(list, groups)


def while_all_busy(points: Sequence[Point]) -> list[tuple[int, ...]]:
    """Return for each process the durations of its steps that lie within the time when all were in steady steps.

    If that time is shorter than a step of some process, its last step counts nevertheless: the other processes were
    busy meanwhile, with a warm-up or a step of their own.
    """
    begin = max(point.started_us for point in points)
    end = min(point.ended_us[-1] for point in points)
    return [_durations(point, begin, end) for point in points]


def _durations(point: Point, begin: int, end: int) -> tuple[int, ...]:
    steps = list(pairwise((point.started_us, *point.ended_us)))
    common = [after - before for before, after in steps if before >= begin and after <= end]
    return tuple(common) or (steps[-1][1] - steps[-1][0],)
