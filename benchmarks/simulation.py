"""A job on simulated workers, through the product's own planner and decide_workers(): only the machines are made up.

A worker starts after S, warms up for W, then does a mini-batch every L; how long each of these takes is its fate, drawn
from a made-up nature here, or from what was measured (calibration.py). It does its share front to back and then takes
parts from the tail of the share with most left, the open parts of lost workers included, as the real one does. The
clock is simulated, so a run of ten minutes takes milliseconds, and the same seed gives the same run.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from typing import Protocol

from dueby_api.grid import Grid
from dueby_api.parts import parts_of
from dueby_planner.schedule.job import GONE, Assignment, ScheduledJob, WorkerModel, WorkerState
from dueby_planner.schedule.request import Refuse, Start, Stop
from dueby_planner.schedule.watch import decide_workers

TICK_US = 500_000


def processes() -> ProcessPoolExecutor:
    """One for each core; fresh ones, since those forked beside the thread of a progress bar may hang."""
    return ProcessPoolExecutor(mp_context=get_context("spawn"))


@dataclass(frozen=True, kw_only=True)
class Nature:
    """What the simulated world does to a run, beyond what the profile says on average."""

    step_cv: float = 0.03
    """Of each step, on its own."""
    run: float = 0.0
    """Standard deviation of the factor that all steps of a run share."""
    node: float = 0.0
    """Standard deviation of the factor that all steps of a worker share."""
    startup_sigma: float = 0.12
    """Of the logarithm of the start-up."""
    slow_share: float = 0.0
    """Share of the devices that are slower."""
    slow_factor: float = 1.25
    loss_per_worker: float = 0.0
    """Probability that a worker is lost during the run."""


@dataclass(frozen=True, kw_only=True)
class Fate:
    """How long everything takes that one worker does, in microseconds."""

    startup_us: float
    warmup_us: float
    step_us: Callable[[], float]
    """The next steady step."""
    lost_after_us: float = float("inf")
    """Since it was created."""


class Fates(Protocol):
    """Where fates come from."""

    def draw(self, assignment: Assignment, *, span_us: int) -> Fate:
        """Of a worker that is created now; the deadline is `span_us` away."""


class NaturalFates:
    """Fates drawn from a made-up nature around what the plan expects; what a run has in common is drawn once."""

    def __init__(self, nature: Nature, seed: int) -> None:
        self.nature = nature
        self.chance = random.Random(seed)
        self.run_factor = max(0.5, self.chance.gauss(1, nature.run))

    def draw(self, assignment: Assignment, *, span_us: int) -> Fate:
        """Of a worker that is created now; the deadline is `span_us` away."""
        choice, chance, nature = assignment.choice, self.chance, self.nature
        is_slow = chance.random() < nature.slow_share
        node = max(0.5, chance.gauss(1, nature.node)) * (nature.slow_factor if is_slow else 1)
        startup = choice.expected_start_us - choice.expected_warmup_us
        startup_us = startup * chance.lognormvariate(0, nature.startup_sigma)
        is_lost = chance.random() < nature.loss_per_worker
        factor = node * self.run_factor
        return Fate(
            startup_us=startup_us,
            warmup_us=choice.expected_warmup_us * factor,
            step_us=lambda: max(0.2, chance.gauss(1, nature.step_cv)) * choice.latency_us * factor,
            lost_after_us=chance.uniform(0, max(1, span_us)) if is_lost else float("inf"),
        )


@dataclass(frozen=True, kw_only=True)
class Story:
    """How a simulated run went."""

    finish_us: int
    """Since the start."""
    expected_us: int
    in_time: bool
    planned_gpus: int
    max_gpus: int
    changes: int
    doubled_images: int


@dataclass(kw_only=True)
class _Worker:
    assignment: Assignment
    created_us: int
    fate: Fate
    next_us: float
    state: WorkerState = "starting"
    own: deque[int] = field(default_factory=deque)
    part: int | None = None
    in_part: int = 0
    steps: int = 0
    step_total_us: float = 0.0
    last_us: int | None = None


class Simulation:
    """One run of the job that the model describes."""

    def __init__(self, model: ScheduledJob, fates: Fates, *, replanning: bool = True) -> None:
        """`replanning`: whether decide_workers() is asked again once the plan runs."""
        self.model = model
        self.fates = fates
        self.replanning = replanning
        self.start_us = model.now_us
        self.workers: list[_Worker] = []
        self.queue: list[tuple[float, int]] = []
        """(time of the next step's end, worker), the earliest first."""
        self.grid = Grid(images=model.images, part_size=model.part_size or model.images)
        self.there: set[int] = set(model.parts_there)
        self.last_commit_us = model.now_us
        self.changes = 0
        self.doubled = 0

    def run(self) -> Story:
        """To the last part."""
        planned, expected_us, most = 0, 0, 0
        while True:
            if planned and not self.replanning:
                if len(self.there) == self.grid.parts:
                    return self._story(planned, expected_us, most)
                self._advance(self.model.now_us + max(TICK_US, self.model.deadline_us))
                continue
            if self.model.is_complete or self.model.must_stop:
                return self._story(planned, expected_us, most)
            decision = decide_workers(self.model)
            self.model = replace(self.model, lag=decision.lag, news=None)
            match decision.action:
                case Refuse():
                    return self._story(planned, expected_us, most)
                case Start() as start:
                    if not planned:
                        planned = len(start.assignments)
                        expected_us = (decision.expected_finish_us or 0) - self.start_us
                        self.grid = replace(self.grid, part_size=start.part_size)
                        self.model = replace(self.model, promised_us=decision.expected_finish_us)
                    else:
                        self.changes += 1
                    self._start(start)
                case Stop() as stop:
                    self.changes += 1
                    self._stop(stop.workers)
            most = max(most, sum(worker.state not in GONE for worker in self.workers))
            self._advance(self.model.now_us + TICK_US)

    def _start(self, start: Start) -> None:
        self.model = replace(self.model, part_size=start.part_size, revision=self.model.revision + 1)
        for assignment in start.assignments:
            fate = self.fates.draw(assignment, span_us=self.model.deadline_us - self.model.now_us)
            self.workers.append(
                _Worker(
                    assignment=assignment,
                    created_us=self.model.now_us,
                    fate=fate,
                    next_us=self.model.now_us + fate.startup_us + fate.warmup_us,
                    own=deque(range(assignment.share.first, assignment.share.end)),
                )
            )
            heapq.heappush(self.queue, (self.workers[-1].next_us, len(self.workers) - 1))

    def _stop(self, names: tuple[str, ...]) -> None:
        for worker in self.workers:
            if worker.assignment.worker in names:
                worker.state = "stopped"
        self._look()

    def _advance(self, until_us: int) -> None:
        """Let the workers work; their steps in the order of time, since they look at each other's parts."""
        lost = False
        while self.queue and self.queue[0][0] <= until_us:
            _, number = heapq.heappop(self.queue)
            worker = self.workers[number]
            if worker.state in GONE:
                continue
            if worker.next_us >= worker.created_us + worker.fate.lost_after_us:
                worker.state, lost = "lost", True
                continue
            self._step(worker)
            if worker.state not in GONE:
                heapq.heappush(self.queue, (worker.next_us, number))
        self.model = replace(self.model, now_us=until_us, news="WorkerLost" if lost else None)
        self._look()

    def _step(self, worker: _Worker) -> None:
        """A mini-batch: images of one part after another, committing each part that is complete."""
        left = worker.assignment.choice.mini_batch_size
        while left:
            if worker.part is None or worker.part in self.there:
                self.doubled += worker.in_part if worker.part is not None else 0
                worker.part, worker.in_part = self._next_part(worker), 0
                if worker.part is None:
                    break
            done = min(left, self.grid.size(worker.part) - worker.in_part)
            worker.in_part += done
            left -= done
            if worker.in_part == self.grid.size(worker.part):
                self.there.add(worker.part)
                self.last_commit_us = round(worker.next_us)
                worker.part, worker.in_part = None, 0
        if worker.part is None and left == worker.assignment.choice.mini_batch_size:
            worker.state = "done"
            return
        worker.state = "running"
        if worker.last_us is not None:
            worker.steps += 1
            worker.step_total_us += worker.next_us - worker.last_us
        worker.last_us = round(worker.next_us)
        worker.next_us += worker.fate.step_us()

    def _next_part(self, worker: _Worker) -> int | None:
        while worker.own:
            part = worker.own.popleft()
            if part not in self.there:
                return part
        taken = {other.part for other in self.workers if other.state not in GONE and other is not worker}
        missing = [part for part in range(self.grid.parts) if part not in self.there]
        open_shares = [
            [part for part in missing if w.assignment.share.first <= part < w.assignment.share.end]
            for w in self.workers
        ]
        longest = max(open_shares, key=len, default=[])
        free = [part for part in reversed(longest or missing) if part not in taken]
        if free:
            return free[0]
        return (longest or missing)[-1] if missing else None

    def _look(self) -> None:
        """What the control loop sees."""
        self.model = replace(
            self.model,
            parts_there=parts_of(self.there),
            workers=tuple(
                WorkerModel(
                    assignment=worker.assignment,
                    state=worker.state,
                    created_us=worker.created_us,
                    open_images=worker.in_part,
                    step_us=round(worker.step_total_us / worker.steps) if worker.steps else None,
                    last_step_us=worker.last_us,
                )
                for worker in self.workers
            ),
        )

    def _story(self, planned: int, expected_us: int, most: int) -> Story:
        finish_us = self.last_commit_us - self.start_us
        return Story(
            finish_us=finish_us,
            expected_us=expected_us,
            in_time=finish_us <= self.model.deadline_us - self.start_us and len(self.there) == self.grid.parts,
            planned_gpus=planned,
            max_gpus=most,
            changes=self.changes,
            doubled_images=self.doubled,
        )
