"""Measure one layout within its time: grow the sizes, then rounds of fresh processes, and contention.

    explore     sizes grown from 1; also fills the cache of compiled models     one group of fresh processes
    soak        on GPUs, the fastest size until they are hot                    the same group
    rounds      start-up, warm-up and memory of one size, then all sizes        a group for each round
                (on GPUs the two fastest)
    contention  decoding beside the model, at the fastest size                  the first round's group; on GPUs the one
                                                                                that explores, while they are hot
    decoding    on GPUs, photos through 1, 2, 4, ... cores, and no model        the first round's group

Rounds for which there is no time are left out. If all of them are, start-up and warm-up are those seen while the sizes
grew. A round during which other programs were seen to use the cores is made again while there is time. If the rounds
differ widely, more of them follow, until it is known how widely. Within a round the sizes come in turns, and each gets
an equal share of the time left.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from dueby_api.engines import EngineName
from dueby_profiler.analysis.document import is_spread_known
from dueby_profiler.analysis.groups import MeasuredGroups
from dueby_profiler.analysis.memory import Largest, fitting_size, largest
from dueby_profiler.analysis.points import Measurements
from dueby_profiler.machine.interference import CpuTimes, foreign_cores
from dueby_profiler.machine.layouts import Layout
from dueby_profiler.measuring.budget import Budget
from dueby_profiler.measuring.messages import Built, Contended, DecodingRates, Point
from dueby_profiler.measuring.process_group import Crashed, OutOfMemory, contention_s, decoding_s
from dueby_profiler.measuring.sweep import STEPS_OF_A_POINT, SweepEnd, next_size, warmup_sizes
from dueby_profiler.presets import ENOUGH_GROUPS, Preset, builds_s

WhileAlive = Callable[["MeasuringGroup", int], None]
"""Called with a group that has grown its sizes, and with the peak memory of its processes in MiB."""
_Measure = Callable[["MeasuringGroup", Measurements], None]
OnPhase = Callable[[str, float], None]
"""Called with what is being done, and with the most seconds that the rest of this layout may take."""
# Share of a layout's time; the rest is for the rounds, whose measurements count for more.
_EXPLORE_SHARE = 0.4
# A round on a GPU measures so many sizes besides its first.
_OTHERS_ON_GPU = 2
# Making the device hot may take at most this share of the time left.
_MAX_SOAK_SHARE = 0.2
# A phase of `contend` must hold at least so many mini-batches for their mean to say anything.
_MIN_CONTENDING = 10


class MeasuringGroup(Protocol):
    """Fresh processes that measure side by side, one on each device. ProcessGroup is one."""

    def build(self, size: int) -> list[Built]:
        """Let every process build its engine for this size."""

    def run(self, limit_s: float, at_end: Callable[[], None] | None = None) -> list[Point]:
        """Let every process run mini-batches until each knows its mean, or for this long.

        If there is something to be done `at_end`, they run for the whole time, and while it is done.
        """

    def contend(self, phase_s: float, folder: Path) -> list[Contended]:
        """Let every process decode, run its model, and do both, each for this long and all at the same time."""

    def decode(self, phase_s: float, cores: Sequence[int], folder: Path) -> list[DecodingRates]:
        """Let every process read photos and decode none, then with each number of cores, all at the same time."""


@dataclass(frozen=True, kw_only=True)
class MeasuringTarget:
    """What is measured: a model with an engine on a layout's devices."""

    layout: Layout
    engine: EngineName
    open_group: Callable[[], AbstractContextManager[MeasuringGroup]]
    """Starts fresh processes."""
    usable_mib: int
    """Memory of one device."""
    usable_host_mib: int
    """The host's memory that one process may take."""
    gpu_states: Callable[[], Sequence[Mapping[str, float]]]
    """Returns what NVML says now of each of the layout's GPUs."""
    folder: Path
    """A folder that is deleted afterwards."""
    clock: Callable[[], float]
    read_times: Callable[[], CpuTimes]
    """Reads the CPU time of the cores that are measured."""
    allowed_cores: float
    """Other programs that use more cores than this disturb what is measured."""


@dataclass(kw_only=True)
class Survey:
    """A layout while it is measured: what was found, and how long things take."""

    target: MeasuringTarget
    preset: Preset
    budget: Budget
    on_phase: OnPhase
    groups: MeasuredGroups = field(init=False)
    end: SweepEnd = SweepEnd.LARGEST
    """Why no larger size was measured."""
    failed_size: int | None = None
    """The size that did not fit, or at which a process crashed, if one was tried."""
    crash: str | None = None
    """What the process said that crashed."""
    disagreement: str | None = None
    """What is wrong with the engine's results, if anything."""
    round_s: float = float("inf")
    """How long the last round took."""
    gpu_states: Sequence[Mapping[str, float]] = ()
    """What NVML said of each GPU when it was hot."""
    build_s: dict[int, float] = field(default_factory=dict)
    """How long it lately took to build an engine of each size."""
    built_size: int = 0
    """The size of the engine that the processes have now; 0 before the first."""

    def __post_init__(self) -> None:
        target = self.target
        slices, is_gpu = len(target.layout.slices), target.layout.is_gpu
        self.groups = MeasuredGroups(slices=slices, is_gpu=is_gpu, allowed_cores=target.allowed_cores)

    @property
    def found(self) -> Measurements:
        """What was measured, in disturbed groups, too."""
        return self.groups.found

    def largest(self, measurements: Measurements) -> Largest:
        """Return MB of a device of which this was measured."""
        memories = (
            (measurements.peak_mib, self.target.usable_mib),
            (measurements.host_mib, self.target.usable_host_mib),
        )
        return largest(measurements.sizes, *memories, failed=self.failed_size)

    def explore(self, before_end: WhileAlive = lambda group, peak_mib: None) -> None:
        """Grow the sizes from 1; call `before_end` then, unless a size was too large for the processes to survive it.

        Memory seen here only decides where to stop: the process is not fresh at any but its first size.
        """
        self.on_phase("growing the mini-batch: 1", self.budget.left_s)
        try:
            with self._fresh_processes() as (group, measurements):
                built = self._build(group, 1)
                budget = self._growing_time(1e-6 * built[0].startup_us)
                points = group.run(self.preset.explore_s)
                # All slices run the same model with the same engine: one check stands for all of them.
                self.disagreement = points[0].disagreement
                measurements.add_fresh(built, points, cached=False)
                measurements.add_steady(0, points)
                peaks_mib = {1: max(point.device_mib for point in points)}
                self._grow(group, measurements, peaks_mib, budget)
                self._soak(group, measurements)
                if self.target.layout.is_gpu and contention_s(self.preset.contention_s) <= self.budget.left_s:
                    self._contend(group, measurements)
                before_end(group, max(peaks_mib.values()))
        except (OutOfMemory, Crashed) as error:
            self._forget(error)

    @contextmanager
    def _fresh_processes(self) -> Iterator[tuple[MeasuringGroup, Measurements]]:
        """Start a group; yield it with what is to be filled with what it measures, and see whether it was disturbed."""
        # Whole groups only: the CPU time of processes that are still alive can't be told from that of others.
        before, measured = self.target.read_times(), self.groups.begin()
        self.built_size = 0
        try:
            with self.target.open_group() as group:
                yield group, measured.found
        finally:
            measured.foreign_cores = foreign_cores(before, self.target.read_times())

    def _growing_time(self, startup_s: float) -> Budget:
        """Return a share of the time left, with builds that take long; all of it if no second start-up would fit
        into the rest.
        """
        building_s = min(builds_s([self.target.engine]), self.budget.left_s)
        budget = self.budget.without(building_s).share(_EXPLORE_SHARE).without(-building_s)
        return budget if self.budget.left_s - budget.left_s > startup_s else self.budget

    def _grow(
        self, group: MeasuringGroup, measurements: Measurements, peaks_mib: dict[int, int], budget: Budget
    ) -> None:
        """Measure ever larger sizes until there is a reason to stop."""
        while True:
            fitting = fitting_size(peaks_mib, self.target.usable_mib)
            latency_us = {size: measurements.mean_us(size) for size in measurements.sizes}
            gpu = self.target.layout.is_gpu
            size = next_size(
                latency_us,
                max_fitting=fitting,
                point_s=budget.left_s / 2,
                overhead_s=self.build_s[measurements.sizes[-1]] + (self.preset.explore_s if gpu else 0),
                gpu=gpu,
            )
            if isinstance(size, SweepEnd):
                self.end = size
                return
            self.on_phase(f"growing the mini-batch: {size}", self.budget.left_s)
            self._build(group, size)
            points = group.run(self.preset.explore_s)
            measurements.add_rough(points)
            measurements.add_steady(0, points)
            peaks_mib[size] = max(point.device_mib for point in points)

    def _soak(self, group: MeasuringGroup, measurements: Measurements) -> None:
        """Run the fastest size until the devices are hot, as jobs make them."""
        seconds = min(self.preset.soak_s, _MAX_SOAK_SHARE * self.budget.left_s)
        if not seconds:
            return

        def read_states() -> None:
            self.gpu_states = self.target.gpu_states()

        self.on_phase("running until the device is hot", self.budget.left_s)
        self._build_if_other(group, measurements.fastest_size())
        measurements.add_hot(group.run(seconds, read_states))

    def measure(self) -> None:
        """Run rounds of fresh processes at the explored sizes, as many as the budget allows and the profile needs."""
        while rounds := self._rounds_to_come():
            began_s = self.target.clock()
            try:
                self._round(self.budget.share(1 / rounds))
                self.round_s = self.target.clock() - began_s
            except (OutOfMemory, Crashed) as error:
                # The round is made again without this size.
                self.groups.every.pop()
                self._forget(error)

    def _rounds_to_come(self) -> int:
        """Return how many rounds are to share the time left; 0 if there are to be no more."""
        missing = ENOUGH_GROUPS - len(self.groups.quiet)
        if missing > 0:
            return min(missing, int(self.budget.left_s // self._min_round_s()))
        if all(is_spread_known(measurements) for measurements in self.groups.counted_by_profile):
            return 0
        # A shorter round than the last one would differ from the others for that alone.
        return 1 if self.budget.left_s >= self.round_s else 0

    def _round(self, budget: Budget) -> None:
        """Run one round: the first size shows start-up, warm-up and memory, the others their steady steps."""
        first = self._first_size()
        # If time runs short, the slowest sizes go without: plans hardly use them.
        others = sorted(set(self.found.sizes) - {first}, key=self.found.images_per_second, reverse=True)
        if self.target.layout.is_gpu:
            # Each costs a build; one process has measured all.
            others = others[:_OTHERS_ON_GPU]
        process = len(self.groups.every) * len(self.target.layout.slices)
        self.on_phase(f"fresh processes, first size {first}", self.budget.left_s)
        due = self._decoding_due(budget)
        steady = budget.without(sum(seconds for seconds, _ in due))
        with self._fresh_processes() as (group, measurements):
            built = self._build(group, first)
            points = group.run(self._point_s(steady, 1 + len(others)))
            measurements.add_fresh(built, points, cached=True)
            measurements.add_steady(process, points)
            for index, size in enumerate(others):
                if self._min_point_s(size) <= steady.left_s:
                    self._build(group, size)
                    points = group.run(self._point_s(steady, len(others) - index))
                    measurements.add_steady(process, points)
            for _, measure in due:
                measure(group, measurements)

    def _first_size(self) -> int:
        """Return the size whose warm-up the fewest processes have shown: quiet ones, or else any."""
        seen = [self.groups.quiet_found.warmups_us, self.found.warmups_us]
        return min(warmup_sizes(self.found.sizes), key=lambda size: [len(warmups[size]) for warmups in seen])

    def _decoding_due(self, budget: Budget) -> list[tuple[float, _Measure]]:
        """Return what of decoding is to be measured in this round, and how many seconds that takes."""
        quiet, is_gpu, phase_s = self.groups.quiet_found, self.target.layout.is_gpu, self.preset.contention_s
        unknown: list[tuple[float, _Measure]] = []
        if is_gpu and not quiet.decodings:
            unknown.append((decoding_s(phase_s, self.target.layout.core_counts), self._decode))
        if not quiet.contentions:
            # That of a GPU was measured while the sizes grew, if there was time. Here it may take another engine.
            building_s = max(self.build_s.values()) if is_gpu else 0
            unknown.append((contention_s(phase_s) + building_s, self._contend))
        due: list[tuple[float, _Measure]] = []
        for seconds, measure in unknown:
            # Engines for GPUs that take long to build may leave no time for it.
            is_needed = not (is_gpu or self.found.contentions)
            # Where it was disturbed, it is measured again if that leaves the steps as much of the round as it takes.
            if is_needed or 2 * (seconds + sum(taken_s for taken_s, _ in due)) <= budget.left_s:
                due.append((seconds, measure))
        return due

    def _decode(self, group: MeasuringGroup, measurements: Measurements) -> None:
        """Measure what the workers of GPUs make of their cores."""
        self.on_phase("decoding with more and more cores", self.budget.left_s)
        cores = self.target.layout.core_counts
        measurements.decodings.extend(group.decode(self.preset.contention_s, cores, self.target.folder))

    def _contend(self, group: MeasuringGroup, measurements: Measurements) -> None:
        """Measure contention at the fastest size of which enough mini-batches fit into a phase.

        On a CPU slice the times of model and decoding add up, and it is by how much both together take longer than
        that. On a GPU they overlap, and it is by how much the model alone takes longer.
        """
        phase_us = 1e6 * self.preset.contention_s
        fitting = [size for size in self.found.sizes if _MIN_CONTENDING * self.found.mean_us(size) <= phase_us]
        size = max(fitting or self.found.sizes[:1], key=self.found.images_per_second)
        self.on_phase("decoding beside the model", self.budget.left_s)
        self._build_if_other(group, size)
        layout = self.target.layout
        for times in group.contend(self.preset.contention_s, self.target.folder):
            added_us = 0 if layout.is_gpu else size * times.decode_us / layout.slices[0].threads
            measurements.contentions.append(times.both_us / (times.model_us + added_us))

    def _build(self, group: MeasuringGroup, size: int) -> list[Built]:
        built = group.build(size)
        self.build_s[size], self.built_size = 1e-6 * max(ready.build_us for ready in built), size
        return built

    def _build_if_other(self, group: MeasuringGroup, size: int) -> None:
        if self.built_size != size:
            self._build(group, size)

    def _point_s(self, budget: Budget, turns: int) -> float:
        """Return the seconds of steady steps for the next size, of which there are `turns` left."""
        return min(self.preset.point_s, budget.left_s / turns)

    def _min_point_s(self, size: int) -> float:
        """Return how long the shortest useful point at a size takes, including the building of its engine."""
        return self.build_s[size] + 1e-6 * STEPS_OF_A_POINT * self.found.mean_us(size)

    def _min_round_s(self) -> float:
        """Return how long a round takes that measures only a warm-up and a few steps of the largest size."""
        size = self.found.sizes[-1]
        return 1e-6 * max(self.found.startups_us or self.found.rough_startups_us) + self._min_point_s(size)

    def _forget(self, error: OutOfMemory | Crashed) -> None:
        """Note that this size can't be measured, and keep the smaller ones; raise the error if there are none."""
        self.failed_size = error.size
        self.end = SweepEnd.MEMORY if isinstance(error, OutOfMemory) else SweepEnd.CRASH
        self.crash = error.brief if isinstance(error, Crashed) else None
        for group in self.groups.every:
            group.found.drop_from(error.size)
        if not self.found.sizes:  # not even one image
            raise error
