"""What calendar_traces.py compares with: policies without a calendar. They are asked at each event and every minute.

Fifo            each job gets the GPUs asked for, in the order of arrival; one that does not fit holds up the others
Preempting      as Kueue does it with preemption: GPUs as asked for, all or none; jobs of higher priority evict those
                of lower priority, and one that does not fit holds up nobody. An earlier deadline is a higher priority
AloneByDeadline in the order of deadlines, each job gets the fewest GPUs that DueBy's rule accepts, once so many are
                free; jobs that could not be done with all GPUs are refused
"""

from collections.abc import Iterable, Sequence
from functools import partial

from calendar_traces_cluster import LATENCY_US, MINI_BATCH, START_US, Cluster, Job, Noise, Worker
from calendar_traces_dueby import GPU, first_snapshot, profile
from dueby_api.errors import Invalid
from dueby_api.units import MICROS_PER_SECOND
from dueby_planner.model.problem import Problem
from dueby_planner.profiles.pool import Pool, build_pool

ASKED_US = 60 * MICROS_PER_SECOND


class Fifo:
    """The GPUs asked for, first come, first served."""

    def act(self, cluster: Cluster, arrived: Sequence[Job]) -> int | None:
        """Start jobs in their order, up to the first that does not fit."""
        for job in cluster.jobs:
            if not job.alive:
                if asked(job, cluster) > cluster.free:
                    break
                cluster.start(job, asked(job, cluster))
        return next_us(cluster)


class Preempting:
    """The GPUs asked for, by priority; what has none of its GPUs left goes on later with the parts that are missing."""

    def act(self, cluster: Cluster, arrived: Sequence[Job]) -> int | None:
        """Start jobs in the order of priority, in the place of those with the lowest."""
        order = by_deadline(cluster.jobs)
        for place, job in enumerate(order):
            if job.alive:
                continue
            need, evicted = asked(job, cluster) - cluster.free, []
            for other in reversed(order[place + 1 :]):
                if need > 0 and other.alive:
                    evicted.append(other)
                    need -= len(other.alive)
            if need <= 0:
                for other in evicted:
                    cluster.resize(other, 0)
                cluster.start(job, asked(job, cluster))
        return next_us(cluster)


class AloneByDeadline:
    """Each job alone on what is free, in the order of deadlines; nothing is kept free for one that waits."""

    def __init__(self, noise: Noise) -> None:
        self.profile = profile(noise)
        self.pools: dict[int, Pool] = {}

    def act(self, cluster: Cluster, arrived: Sequence[Job]) -> int | None:
        """Refuse what all GPUs could not do in time, help what would be late, and start what fits."""
        for job in arrived:
            if self.fewest(job, cluster, cluster.gpus) is None:
                cluster.refuse(job)
        late = []
        for job in by_deadline(cluster.jobs):
            if job.alive:
                cluster.start(job, min(cluster.free, helpers(job, cluster.now_us)))
                continue
            count = self.fewest(job, cluster, cluster.gpus)
            if count is None:
                late.append(job)
            elif count <= cluster.free:
                cluster.start(job, count)
        start_late(late, cluster)
        return next_us(cluster)

    def fewest(self, job: Job, cluster: Cluster, gpus: int) -> int | None:
        """Return the fewest GPUs that DueBy's acceptance rule accepts, of so many; None if all are too few."""
        manifest = first_snapshot(job).manifest
        if isinstance(manifest, Invalid):
            raise manifest
        if gpus not in self.pools:
            self.pools[gpus] = build_pool(manifest.spec, [self.profile], {GPU: gpus})
        return Problem(
            pool=self.pools[gpus],
            images=job.images_left(cluster.now_us),
            time_us=max(0, job.asked.deadline_us - cluster.now_us),
            confidence=manifest.spec.planned_confidence,
            part_size=job.grid.part_size if job.grid else None,
        ).fewest()


def asked(job: Job, cluster: Cluster) -> int:
    """Return the GPUs that the job's user asked for, of those that there are."""
    return min(job.asked.gpus, cluster.gpus)


def by_deadline(jobs: Iterable[Job]) -> list[Job]:
    """Return the jobs by their deadlines, the earliest first."""
    return sorted(jobs, key=lambda job: (job.asked.deadline_us, job.asked.submitted_us, job.asked.name))


def next_us(cluster: Cluster) -> int | None:
    """Return when a policy is asked again even if nothing happens."""
    return cluster.now_us + ASKED_US if cluster.jobs else None


def start_late(jobs: Iterable[Job], cluster: Cluster) -> None:
    """Give jobs that can't be in time any more the GPUs asked for, as far as nobody else has them."""
    for job in jobs:
        if not job.alive:
            cluster.start(job, min(cluster.free, asked(job, cluster)))


def helpers(job: Job, now_us: int) -> int:
    """Return the fewest workers that the job needs beside its own to be in time; 0 if none helps."""
    until_us = job.asked.deadline_us
    able = sum(map(partial(images_by, now_us=now_us, until_us=until_us), job.alive))
    each = MINI_BATCH * max(0, (until_us - now_us - START_US) // LATENCY_US + 1)
    missing = job.images_left(now_us) - able
    return -(-missing // each) if missing > 0 and each else 0


def images_by(worker: Worker, *, now_us: int, until_us: int) -> int:
    """Return what the worker is expected to do from now on: at its own pace, once it has shown one."""
    if worker.batches(now_us):
        return max(0, worker.batches(until_us) - worker.batches(now_us)) * MINI_BATCH
    first_us = max(now_us, worker.created_us + START_US)
    return max(0, (until_us - first_us) // LATENCY_US + 1) * MINI_BATCH
