"""ElasticFlow's minimum share (ASPLOS '23), as a policy of the simulated cluster.

In the order of deadlines each job is given the least number of GPUs with which it is done in time, where it takes no
more at any time than the jobs before it leave. A job is admitted if all that were admitted before still have a share
then. Shares are computed again at each event and every minute, and workers are started and stopped until all have
theirs.

In the paper a GPU that a job is given works at once. With `knows_starts` each start costs the time that it is expected
to take. What the paper does with GPUs that nobody needs is left out: here a job that gets more ends earlier, for the
same GPU time and more starts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from calendar_traces_cluster import LATENCY_US, LOST_US, MINI_BATCH, Cluster, Job
from calendar_traces_peers import by_deadline, next_us, start_late
from dueby_planner.model.problem import find_least

Steps = list[tuple[int, int]]
"""Free GPUs over time: from when on, and how many; the last until for ever."""


class ElasticFlow:
    """The policy."""

    def __init__(self, *, knows_starts: bool) -> None:
        self.start_us = LOST_US if knows_starts else 0

    def act(self, cluster: Cluster, arrived: Sequence[Job]) -> int | None:
        """Admit what leaves everybody a share, and give all their shares."""
        admitted = [job for job in cluster.jobs if job not in arrived]
        for job in arrived:
            before, after = self.shares(admitted, cluster), self.shares([*admitted, job], cluster)
            if before.keys() | {job.asked.name} <= after.keys():
                admitted.append(job)
            else:
                cluster.refuse(job)
        shares = self.shares(admitted, cluster)
        # What would be late, if only by a second, keeps what it has.
        late = [job for job in by_deadline(admitted) if job.asked.name not in shares]
        shares |= {job.asked.name: len(job.alive) for job in late}
        # GPUs are free before others take them.
        for job in sorted(admitted, key=lambda job: shares[job.asked.name] - len(job.alive)):
            cluster.resize(job, min(shares[job.asked.name], len(job.alive) + cluster.free))
        start_late(late, cluster)
        return next_us(cluster)

    def shares(self, jobs: Sequence[Job], cluster: Cluster) -> dict[str, int]:
        """Return what each job is to have now, by name; without those that can't be in time."""
        free: Steps = [(cluster.now_us, cluster.gpus)]
        found = {}
        for job in by_deadline(jobs):
            used = self._need(job, cluster.now_us).least(free, cluster.gpus)
            if used is not None:
                found[job.asked.name] = used[0][1]
                free = without(free, used)
        return found

    def _need(self, job: Job, now_us: int) -> "Need":
        left_us = LATENCY_US * job.images_left(now_us) // MINI_BATCH
        if self.start_us:
            starting = (worker for worker in job.alive if not worker.batches(now_us))
            left_us += sum(max(0, worker.created_us + self.start_us - now_us) for worker in starting)
        part_us = LATENCY_US * job.grid.part_size // MINI_BATCH if job.grid else 0
        return Need(
            left_us=left_us,
            part_us=part_us,
            start_us=self.start_us,
            workers=len(job.alive),
            deadline_us=job.asked.deadline_us,
        )


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a job needs from now on."""

    left_us: int
    """GPU time, that of the workers' starts that have begun included."""
    part_us: int
    """GPU time of a part, which each worker may lose at the end, when there is no other part."""
    start_us: int
    """GPU time that a further worker's start costs."""
    workers: int
    deadline_us: int

    def least(self, free: Steps, gpus: int) -> Steps | None:
        """Return the GPUs over time with the least level that is enough; None if the job can't be in time."""
        if self.used(free, gpus) is None:
            return None
        return self.used(free, find_least(lambda level: self.used(free, level) is not None, 1, gpus))

    def used(self, free: Steps, level: int) -> Steps | None:
        """Return the GPUs over time until the job is done, at most `level` of them; None if it is not in time."""
        left_us, had, used = self.left_us + level * self.part_us, self.workers, []
        for (from_us, there), end_us in zip(free, [*(from_us for from_us, _ in free[1:]), self.deadline_us]):
            until_us = min(end_us, self.deadline_us)
            count = min(level, there)
            left_us += self.start_us * max(0, count - had)
            used.append((from_us, count))
            if left_us <= count * (until_us - from_us):
                return [*used, (from_us - (-left_us // max(1, count)), 0)]
            if until_us == self.deadline_us:
                return None
            left_us -= count * (until_us - from_us)
            had = count
        return None


def without(free: Steps, used: Steps) -> Steps:
    """Return what is left of the free GPUs; `used` begins with them and ends with 0."""
    times_us = sorted({from_us for from_us, _ in (*free, *used)})
    left: Steps = []
    for from_us in times_us:
        count = at(free, from_us) - at(used, from_us)
        if not left or left[-1][1] != count:
            left.append((from_us, count))
    return left


def at(steps: Steps, time_us: int) -> int:
    """Return the value of the steps at a time."""
    return next(
        (count for (from_us, count), (end_us, _) in pairwise(steps) if from_us <= time_us < end_us), steps[-1][1]
    )
