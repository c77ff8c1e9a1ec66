"""How one layout is measured within its time: sizes grown, rounds of fresh processes, contention.

    explore     sizes grown from 1; also fills the cache of compiled models     one crew of fresh processes
    rounds      start-up, warm-up and memory of one size, then all sizes        a crew each
    contention  decoding beside the model, at the fastest size                  the first round's crew

Rounds for which there is no time are left out; were it all of them, start-up and warm-up would be those seen while the
sizes grew. Within a round the sizes come in turns, and each gets an equal share of what is left.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from dueby_api.engines import EngineName
from dueby_profiler.analysis.memory import fitting_size
from dueby_profiler.analysis.points import Measurements
from dueby_profiler.analysis.statistics import MIN_STEPS
from dueby_profiler.machine.layouts import Layout
from dueby_profiler.measuring.budget import Budget
from dueby_profiler.measuring.messages import Built, Contended, Point
from dueby_profiler.measuring.process_group import OutOfMemory, contention_s
from dueby_profiler.measuring.sweep import End, next_size, warmup_sizes
from dueby_profiler.presets import ROUNDS, Effort

Say = Callable[[str, float], None]
"""What is being done, and how many seconds everything of this layout will still take at most."""
# Of a layout's time; the rest is for the rounds, whose measurements count for more.
_EXPLORE_SHARE = 0.4


class Measuring(Protocol):
    """Fresh processes that measure side by side, one on each device, as Crew is."""

    def build(self, size: int) -> list[Built]:
        """Every process makes its engine for this size."""

    def run(self, limit_s: float) -> list[Point]:
        """Every process runs mini-batches until each knows its mean, or for this long."""

    def contend(self, phase_s: float, folder: Path) -> list[Contended]:
        """Every process decodes, runs its model, and does both, each for this long and all at the same time."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is measured: a model with an engine on a layout's devices."""

    layout: Layout
    engine: EngineName
    open_crew: Callable[[], AbstractContextManager[Measuring]]
    """Starts fresh processes."""
    usable_mib: int
    """Memory of one device."""
    peaks_mib: Callable[[Sequence[Point]], list[int]]
    """Peak memory of each device, after these points."""
    folder: Path
    """What goes away afterwards."""
    clock: Callable[[], float]


@dataclass(kw_only=True)
class Survey:
    """A layout while it is measured: what was found, and what things cost in time."""

    subject: Subject
    effort: Effort
    budget: Budget
    say: Say
    found: Measurements = field(init=False)
    end: End = End.LARGEST
    """Why no larger size was measured."""
    failed_size: int | None = None
    """The size that did not fit, where one was tried."""
    disagreement: str | None = None
    """What is wrong with the engine's results, where anything is."""
    rounds_done: int = 0
    rounds_left_out: int = 0
    round_s: float = float("inf")
    """What the last round took."""
    build_s: dict[int, float] = field(default_factory=dict)
    """What it took lately to build an engine of this size."""

    def __post_init__(self) -> None:
        layout = self.subject.layout
        self.found = Measurements(alike=1 if layout.is_gpu else len(layout.slices))  # each GPU has a profile of its own

    def explore(self) -> None:
        """Grow the sizes; what is learnt of memory here only decides where to stop, since the process isn't fresh."""
        self.say("growing the mini-batch: 1", self.budget.left_s)
        try:
            with self.subject.open_crew() as crew:
                built = self._build(crew, 1)
                budget = self._growing_time(1e-6 * built[0].startup_us)
                points = crew.run(self.effort.look_s)
                peaks = self.subject.peaks_mib(points)
                self.disagreement = points[0].disagreement
                self.found.add_fresh(built, points, peaks, cached=False)
                self.found.add_steady(0, points)
                self._grow(crew, {1: max(peaks)}, budget)
        except OutOfMemory as error:
            self._forget(error.size)

    def _growing_time(self, startup_s: float) -> Budget:
        """A share of what is left after a start that nothing makes faster; all of it, if no second start fits in."""
        budget = self.budget.share(_EXPLORE_SHARE)
        return budget if self.budget.left_s - budget.left_s > startup_s else self.budget

    def _grow(self, crew: Measuring, peaks_mib: dict[int, int], budget: Budget) -> None:
        """Ever larger sizes, until one of the reasons to stop."""
        while True:
            fitting = fitting_size(peaks_mib, self.subject.usable_mib)
            latency_us = {size: self.found.mean_us(size) for size in self.found.sizes}
            size = next_size(latency_us, most_memory=fitting, point_s=budget.left_s / 2)
            if isinstance(size, End):
                self.end = size
                return
            self.say(f"growing the mini-batch: {size}", self.budget.left_s)
            self._build(crew, size)
            points = crew.run(self.effort.look_s)
            self.found.add_rough(points)
            self.found.add_steady(0, points)
            peaks_mib[size] = max(self.subject.peaks_mib(points))

    def measure(self) -> None:
        """Rounds of fresh processes at the sizes that were explored, within the budget."""
        while self.rounds_done < ROUNDS:
            affordable = int(self.budget.left_s // self._least_round_s())
            rounds = min(ROUNDS - self.rounds_done, affordable)
            if rounds == 0:
                break
            began_s = self.subject.clock()
            try:
                self._round(self.rounds_done, self.budget.share(1 / rounds), rounds)
                self.rounds_done += 1
                self.round_s = self.subject.clock() - began_s
            except OutOfMemory as error:
                self._forget(error.size)
        self.rounds_left_out = ROUNDS - self.rounds_done

    def _round(self, number: int, budget: Budget, rounds: int) -> None:
        """Fresh processes: the first size shows start-up, warm-up and memory, the others their steady steps."""
        firsts = warmup_sizes(self.found.sizes)
        first = firsts[number % len(firsts)]
        others = sorted(set(self.found.sizes) - {first}, key=self.found.images_per_second, reverse=True)
        process = (number + 1) * len(self.subject.layout.slices)
        self.say(f"fresh processes, first with mini-batches of {first}", min(self.budget.left_s, rounds * self.round_s))
        contend = number == 0 and not self.subject.layout.is_gpu
        steady = budget.without(contention_s(self.effort.contention_s) if contend else 0)
        with self.subject.open_crew() as crew:
            built = self._build(crew, first)
            points = crew.run(self._point_s(steady, 1 + len(others)))
            peaks = self.subject.peaks_mib(points)
            self.found.add_fresh(built, points, peaks, cached=True)
            self.found.add_steady(process, points)
            for index, size in enumerate(others):
                if self._least_point_s(size) <= steady.left_s:
                    self._build(crew, size)
                    points = crew.run(self._point_s(steady, len(others) - index))
                    self.found.add_steady(process, points)
            if contend:
                self._contend(crew)

    def _contend(self, crew: Measuring) -> None:
        """At the fastest size of which enough mini-batches fit into a phase."""
        fitting = [s for s in self.found.sizes if 10e-6 * self.found.mean_us(s) <= self.effort.contention_s]
        size = max(fitting or self.found.sizes[:1], key=self.found.images_per_second)
        self.say("decoding beside the model", self.budget.left_s)
        self._build(crew, size)
        threads = self.subject.layout.slices[0].threads
        for seen in crew.contend(self.effort.contention_s, self.subject.folder):
            self.found.contentions.append(seen.both_us / (seen.model_us + size * seen.decode_us / threads))

    def _build(self, crew: Measuring, size: int) -> list[Built]:
        built = crew.build(size)
        self.build_s[size] = 1e-6 * max(ready.build_us for ready in built)
        return built

    def _point_s(self, budget: Budget, turns: int) -> float:
        """Seconds of steady steps for the next of so many sizes."""
        return min(self.effort.point_s, budget.left_s / turns)

    def _least_point_s(self, size: int) -> float:
        """What a few steps at a size take, with building its engine and the warm-up, as long as two steps."""
        return self.build_s[size] + 1e-6 * (2 + MIN_STEPS) * self.found.mean_us(size)

    def _least_round_s(self) -> float:
        """What a round takes that measures nothing but a warm-up and a few steps of the largest size."""
        size = self.found.sizes[-1]
        return 1e-6 * max(self.found.startups_us or self.found.rough_startups_us) + self._least_point_s(size)

    def _forget(self, failed_size: int) -> None:
        """This size doesn't fit: keep the smaller ones."""
        self.end, self.failed_size = End.MEMORY, failed_size
        self.found.drop_from(failed_size)
        if not self.found.sizes:
            raise OutOfMemory(failed_size)


def look(subject: Subject, *, size: int, seconds: float) -> float:
    """Images per second of all the layout's devices together at one size, from a brief look."""
    found = Measurements()
    with subject.open_crew() as crew:
        crew.build(size)
        found.add_steady(0, crew.run(seconds))
    return len(subject.layout.slices) * found.images_per_second(size)
