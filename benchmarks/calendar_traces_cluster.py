"""A simulated cluster of equal GPUs on which jobs run that arrive one after the other, each with a deadline.

A worker has one GPU from its start until it leaves. Its first mini-batch takes S + W, each further one L; how long they
really take is its fate, drawn by the seed, the job's name and the worker's number, so that the same worker has the same
fate whoever starts it. A worker that has started takes one part of its job after the other. If it is stopped, its
open part is another's, who does all of it again unless the one that was stopped could save what it had done. A worker
that finds no part leaves.

The clock jumps from one commit of a part to the next: an hour in which nobody starts and nothing ends costs nothing.
"""

import heapq
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from dueby_api.grid import Grid
from dueby_api.parts import Parts, all_parts, parts_of
from dueby_api.units import MICROS_PER_SECOND

# A GPU does 100 images in a second, in one mini-batch.
MINI_BATCH, LATENCY_US = 100, MICROS_PER_SECOND
# S and W; what a worker does in W is one mini-batch.
STARTUP_US, WARMUP_US = 50 * MICROS_PER_SECOND, 10 * MICROS_PER_SECOND
START_US = STARTUP_US + WARMUP_US
# GPU time that a start takes and no image is done in.
LOST_US = START_US - LATENCY_US
# The 95th percentile of a normal distribution, in standard deviations.
P95 = 1.645
# What happens within this time is answered at once, as by the operator's loop.
DEBOUNCE_US = 300_000


@dataclass(frozen=True, kw_only=True)
class TraceJob:
    """A job as it was submitted."""

    name: str
    submitted_us: int
    deadline_us: int
    gpus: int
    """GPUs that its user asked for."""
    images: int

    @property
    def work_us(self) -> int:
        """GPU time of its mini-batches, without any start."""
        return -(-self.images // MINI_BATCH) * LATENCY_US


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Relative spreads of what a worker takes."""

    rate: float = 0.05
    """Standard deviation of the factor that all mini-batches of a worker share."""
    start: float = 0.3
    """Of the logarithm of S + W."""


@dataclass(kw_only=True, eq=False)
class Worker:
    """A worker and its fate."""

    number: int
    created_us: int
    first_us: int
    """When its first mini-batch is done."""
    step_us: int
    """What each further one takes."""
    state: Literal["working", "done", "stopped"] = "working"
    taken: int = 0
    """Images that it has taken on, those of its open part included."""
    part: int | None = None
    part_images: int = 0
    """Images that it has taken on with its open part."""

    def batches(self, now_us: int) -> int:
        """Mini-batches that it has done by then."""
        return 0 if now_us < self.first_us else 1 + (now_us - self.first_us) // self.step_us

    @property
    def commit_us(self) -> int:
        """When it has done all that it has taken; before it has taken anything, when it has started."""
        return self.first_us + (-(-self.taken // MINI_BATCH) - 1) * self.step_us

    def open_images(self, now_us: int) -> int:
        """Images that it has done of its open part."""
        if self.part is None:
            return 0
        return max(0, min(self.batches(now_us) * MINI_BATCH, self.taken) - (self.taken - self.part_images))


@dataclass(kw_only=True, eq=False)
class Job:
    """A job that has arrived: its parts and workers, and what came of it."""

    asked: TraceJob
    grid: Grid | None = None
    next_part: int = 0
    returned: list[int] = field(default_factory=list)
    """Parts that stopped workers had open."""
    saved: dict[int, int] = field(default_factory=dict)
    """Images of parts that are not committed that stopped workers have done and saved, by part."""
    workers: list[Worker] = field(default_factory=list)
    """All that were ever started, by their numbers."""
    held_us: int = 0
    """GPU time of the workers that have left."""
    stops: int = 0
    """Workers that were stopped before they found nothing left to do."""
    ended_us: int | None = None
    is_refused: bool = False

    @property
    def alive(self) -> list[Worker]:
        """Workers that have a GPU."""
        return [worker for worker in self.workers if worker.state == "working"]

    @property
    def open_parts(self) -> list[int]:
        """Parts that its workers have taken and not committed."""
        return [worker.part for worker in self.alive if worker.part is not None]

    @property
    def parts_there(self) -> Parts:
        """Parts that are committed."""
        return all_parts(self.next_part) - parts_of([*self.returned, *self.open_parts])

    @property
    def is_complete(self) -> bool:
        """Whether every part is committed."""
        is_taken = self.grid is not None and self.next_part == self.grid.parts
        return is_taken and not self.returned and not self.open_parts

    def images_left(self, now_us: int) -> int:
        """Images that are neither committed nor done in an open part."""
        if self.grid is None:
            return self.asked.images
        opened = sum(worker.open_images(now_us) for worker in self.alive) + sum(self.saved.values())
        return self.asked.images - self.grid.images_in(self.parts_there) - opened


class Policy(Protocol):
    """Whoever decides which job has how many GPUs."""

    def act(self, cluster: "Cluster", arrived: Sequence[Job]) -> int | None:
        """Refuse, start and stop. Return when to be asked again even if nothing happens; None: not before it does."""


class Cluster:
    """Equal GPUs, the jobs that are there, and the clock."""

    def __init__(self, *, gpus: int, noise: Noise, seed: int) -> None:
        self.gpus = gpus
        self.noise = noise
        self.seed = seed
        self.now_us = 0
        self.free = gpus
        self.jobs: list[Job] = []
        """Jobs that are not over, in the order of their arrival."""
        self.over: list[Job] = []
        self._commits: list[tuple[int, int, Job, Worker]] = []
        self._count = 0

    def refuse(self, job: Job, *, breaks_promise: bool = False) -> None:
        """Send a job away; one that was promised its end is late and not refused."""
        job.is_refused = not breaks_promise
        self._end(job)

    def start(self, job: Job, count: int, *, part_size: int | None = None) -> None:
        """Start workers. Without a part size, a part is a hundredth of what each of the first workers has to do."""
        if not 0 <= count <= self.free:
            raise ValueError(f"{count} workers of {job.asked.name} on {self.free} free GPUs")
        if count and job.grid is None:
            part_size = part_size or max(MINI_BATCH, job.asked.images // (100 * count))
            job.grid = Grid(images=job.asked.images, part_size=part_size)
        self.free -= count
        for _ in range(count):
            worker = self._worker(job)
            job.workers.append(worker)
            self._await(job, worker)

    def stop(self, job: Job, worker: Worker, *, saves: bool) -> None:
        """Stop a worker, which may save what it has done of its open part."""
        if worker.part is not None:
            job.returned.append(worker.part)
            if saves:
                done = worker.open_images(self.now_us)
                job.saved[worker.part] = job.saved.get(worker.part, 0) + done
        job.stops += 1
        self._leave(job, worker, "stopped")

    def resize(self, job: Job, count: int) -> None:
        """Start workers, or stop the youngest once they have saved what they did, until the job has so many."""
        alive = job.alive
        for worker in alive[count:]:
            self.stop(job, worker, saves=True)
        self.start(job, max(0, count - len(alive)))

    def advance(self, until_us: int | None) -> None:
        """Let the workers work until then, or until a worker leaves."""
        while self._commits and (until_us is None or self._commits[0][0] <= until_us):
            commit_us, _, job, worker = heapq.heappop(self._commits)
            if worker.state != "working":
                continue
            self.now_us = commit_us
            self._go_on(job, worker)
            if worker.state != "working":
                until_us = min(commit_us + DEBOUNCE_US, until_us or commit_us + DEBOUNCE_US)
        if until_us is None:
            raise RuntimeError(f"{len(self.jobs)} jobs wait, and nobody will ever start them")
        self.now_us = until_us

    def _worker(self, job: Job) -> Worker:
        number = len(job.workers)
        chance = random.Random(f"{self.seed}/{job.asked.name}/{number}")
        start_us = round(START_US * chance.lognormvariate(0, self.noise.start))
        step_us = round(LATENCY_US * max(0.5, chance.gauss(1, self.noise.rate)))
        return Worker(number=number, created_us=self.now_us, first_us=self.now_us + start_us, step_us=step_us)

    def _go_on(self, job: Job, worker: Worker) -> None:
        """Commit the worker's part, if it has one, and give it another; if there is none, it leaves."""
        if worker.part is not None:
            job.saved.pop(worker.part, None)
        worker.part = None
        if job.grid is None:
            raise ValueError(f"{job.asked.name} has no parts yet")
        if job.returned:
            worker.part = job.returned.pop()
        elif job.next_part < job.grid.parts:
            worker.part = job.next_part
            job.next_part += 1
        else:
            self._leave(job, worker, "done")
            if job.is_complete:
                job.ended_us = self.now_us
                self._end(job)
            return
        worker.part_images = job.grid.size(worker.part) - job.saved.get(worker.part, 0)
        worker.taken += worker.part_images
        self._await(job, worker)

    def _await(self, job: Job, worker: Worker) -> None:
        self._count += 1
        heapq.heappush(self._commits, (worker.commit_us, self._count, job, worker))

    def _leave(self, job: Job, worker: Worker, state: Literal["done", "stopped"]) -> None:
        worker.state, worker.part = state, None
        self.free += 1
        job.held_us += self.now_us - worker.created_us

    def _end(self, job: Job) -> None:
        for worker in job.alive:
            self._leave(job, worker, "done")
        self.jobs.remove(job)
        self.over.append(job)


def simulate(
    jobs: Sequence[TraceJob],
    policy: Policy,
    *,
    gpus: int,
    noise: Noise,
    seed: int,
    show: Callable[[int], None] = lambda over: None,
) -> list[Job]:
    """Return what came of each job; `show` is told from time to time how many are over."""
    cluster, coming = Cluster(gpus=gpus, noise=noise, seed=seed), sorted(jobs, key=lambda job: job.submitted_us)
    arrived, wake_us = 0, None
    while arrived < len(coming) or cluster.jobs:
        times_us = [coming[arrived].submitted_us] if arrived < len(coming) else []
        if wake_us is not None:
            times_us.append(max(wake_us, cluster.now_us))
        cluster.advance(min(times_us, default=None))
        new = [Job(asked=asked) for asked in _until(coming[arrived:], cluster.now_us)]
        arrived += len(new)
        cluster.jobs += new
        wake_us = policy.act(cluster, new)
        show(len(cluster.over))
    return cluster.over


def _until(coming: Sequence[TraceJob], now_us: int) -> Iterator[TraceJob]:
    for job in coming:
        if job.submitted_us > now_us:
            return
        yield job
