"""Compare the engines of a layout with the one that is being explored, briefly and at one size.

If another program works while one engine is measured and rests while the other is, it decides which one seems faster.
So both engines' processes are alive at once and take short turns, A B A B A B. Each turn is compared with its
neighbours: wherever a burst begins and ends, it spoils two of the five ratios, and the median is one of the others.

Before, an engine is tried at the smallest size. One that is many times slower there can't win, and turns of it at a
larger size could take minutes.

Engines are measured one after the other where both might not fit into memory, where there is no time for the turns, and
if the explored engine's processes have run out of memory, or any have crashed, as on a GPU that the driver gives to one
process only. So they are beside the monitor, which watches one group at a time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from dueby_api.engines import ENGINES, EngineName
from dueby_api.errors import Invalid
from dueby_profiler.analysis.points import Measurements
from dueby_profiler.measuring.choices import why_unusable
from dueby_profiler.measuring.process_group import Crashed, OutOfMemory
from dueby_profiler.measuring.rounds import MeasuringGroup, MeasuringTarget, OnPhase, Survey

# Engines are compared at a size within these, if one was explored: the least is past the knee of most engines on CPUs,
# the most near that of GPUs. On CPUs some are fastest between them, and slower where activations outgrow the caches.
_COMPARED = range(8, 65)
# Comparing one more engine may take at most this share of the time left; the rest is needed to measure the fastest.
_MAX_COMPARE_SHARE = 0.4
# Turns of each engine. With two there would be three ratios, and a burst could spoil two of them.
_TURNS = 3
# An engine that is so many times slower at the smallest size isn't compared at a larger one. That is more than what an
# engine's own cost for each mini-batch makes of it there, and more than a burst of other programs does.
_HOPELESS = 5
# Operations that are launched one by one take longer while the host decodes, which is no part of the comparison.
_WANTED_LEAD: Mapping[EngineName, float] = {"cuda": 1.1}
# An engine is built at the smallest size and at the one at which engines are compared.
_BUILDS = 2
# What a turn takes beside its time: a warm-up, which may take as long as two steps, and the rest of the last step.
_STEPS_BESIDE = 3


@dataclass(kw_only=True)
class EngineComparison:
    """The comparison of one layout's explored engine with others."""

    others: Sequence[EngineName]
    open_target: Callable[[EngineName], MeasuringTarget]
    seconds: float
    """Steady steps of each engine."""
    takes_turns: bool
    """Whether two groups of processes may be alive at once."""
    on_phase: OnPhase
    on_left_out: Callable[[EngineName, str], None]
    """Called with an engine that can't be compared, and why."""
    ratios: dict[EngineName, float] = field(default_factory=dict)
    """Throughput relative to the explored engine's, of engines that were compared in turns."""
    left_out: set[EngineName] = field(default_factory=set)
    """Engines that can't be compared."""

    def take_turns(self, explored: Survey, group: MeasuringGroup, peak_mib: int) -> None:
        """Compare in turns, while the explored engine's group is alive and has taken so much memory.

        Engines for which that is not possible are left for `rates`.
        """
        # The other engine is unlikely to take less than this one.
        if not self.takes_turns or 2 * peak_mib > explored.target.usable_mib:
            return
        size = compared_size(explored.found)
        beside_s = _TURNS * _STEPS_BESIDE * 1e-6 * explored.found.mean_us(size)
        for engine in self.others:
            if not self._is_affordable(engine, explored, 2 * (self.seconds + beside_s)):
                return
            try:
                with self._trying(engine, explored), self.open_target(engine).open_group() as other:
                    if self._may_win(engine, explored, other):
                        self.ratios[engine] = relative_rate(group, other, size=size, seconds=self.seconds)
            except (OutOfMemory, Crashed):
                # Either group may be the one that is gone.
                return

    def rates(self, explored: Survey) -> dict[EngineName, float]:
        """Return images per second of all devices together, of each engine that can be compared.

        Engines that have not taken turns with the explored one are measured now.
        """
        size, target = compared_size(explored.found), explored.target
        rate = len(target.layout.slices) * explored.found.images_per_second(size)
        rates = {target.engine: rate} | {engine: rate * ratio for engine, ratio in self.ratios.items()}
        for engine in self.others:
            if engine in rates or engine in self.left_out:
                continue
            if not self._is_affordable(engine, explored, self.seconds):
                self._leave_out(engine, "there was no time to compare it")
                continue
            try:
                with self._trying(engine, explored), self.open_target(engine).open_group() as other:
                    if self._may_win(engine, explored, other):
                        other.build(size)
                        rates[engine] = len(target.layout.slices) * _rate(other, size, self.seconds)
            except OutOfMemory as error:
                self._leave_out(engine, str(error))
            except Crashed as error:
                self._leave_out(engine, error.brief)
        return rates

    def _is_affordable(self, engine: EngineName, explored: Survey, seconds: float) -> bool:
        """Return whether there is time for another engine's start-up, for building it twice, and so many seconds."""
        startup_s = max(explored.found.rough_startups_us) / 1e6
        return startup_s + _BUILDS * ENGINES[engine].build_s + seconds <= _MAX_COMPARE_SHARE * explored.budget.left_s

    def _may_win(self, engine: EngineName, explored: Survey, other: MeasuringGroup) -> bool:
        """Try the engine at the smallest size, and leave it out if it is hopeless."""
        size = explored.found.sizes[0]
        other.build(size)
        slowness = explored.found.images_per_second(size) / _rate(other, size, self.seconds / _TURNS)
        if slowness > _HOPELESS:
            self._leave_out(engine, f"it takes {slowness:.0f} times as long at a mini-batch size of {size}")
        return slowness <= _HOPELESS

    @contextmanager
    def _trying(self, engine: EngineName, explored: Survey) -> Iterator[None]:
        """Leave the engine out if it doesn't run here, which only a process that tries to build it finds out."""
        self.on_phase(f"comparing engines: {engine}", explored.budget.left_s)
        try:
            yield
        except Invalid as error:
            if (reason := why_unusable(error)) is None:
                raise
            self._leave_out(engine, reason)

    def _leave_out(self, engine: EngineName, reason: str) -> None:
        self.left_out.add(engine)
        self.on_left_out(engine, reason)


def fastest(rates: Mapping[EngineName, float]) -> EngineName:
    """Return the engine to take, by images per second."""
    return max(rates, key=lambda engine: rates[engine] / _WANTED_LEAD.get(engine, 1.0))


def compared_size(measurements: Measurements) -> int:
    """Return the size at which engines are compared: of those at which any may be fast, the explored one's fastest."""
    within = [size for size in measurements.sizes if size in _COMPARED]
    return max(within, key=measurements.images_per_second) if within else measurements.sizes[-1]


def relative_rate(first: MeasuringGroup, second: MeasuringGroup, *, size: int, seconds: float) -> float:
    """Measure both groups in turns, each for so many seconds in all; return the second one's throughput relative to
    the first one's. The group whose turn it isn't waits idle.
    """
    groups = (first, second)
    for group in groups:
        group.build(size)
    rates = [_rate(group, size, seconds / _TURNS) for _ in range(_TURNS) for group in groups]
    ratios = [later / earlier for earlier, later in pairwise(rates)]
    return median(1 / ratio if number % 2 else ratio for number, ratio in enumerate(ratios))


def _rate(group: MeasuringGroup, size: int, seconds: float) -> float:
    """Return the images per second of one device."""
    measurements = Measurements()
    measurements.add_steady(0, group.run(seconds))
    return measurements.images_per_second(size)
