"""What jobs need of the GPU time of a simulated cluster, at least: whether a policy refuses what could be done."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from calendar_traces_cluster import LATENCY_US, LOST_US, MINI_BATCH, P95, START_US, Cluster, Job, Noise
from dueby_api.inference_job import CLASS_CONFIDENCE
from dueby_planner.model.rule import quantile


@dataclass(frozen=True, kw_only=True)
class Margins:
    """How much more than in the median a promise plans with."""

    late_us: int = 0
    """How much longer a start is planned."""
    rate: float = 0.0
    """Share by which one device is planned slower; of k devices it is this over the root of k."""


def margins_of_promises(noise: Noise) -> Margins:
    """Return the margins of the confidence that Hard jobs are promised at."""
    z = quantile(CLASS_CONFIDENCE["Hard"])
    return Margins(late_us=round(START_US * (math.exp(P95 * noise.start) - 1) * z / P95), rate=z * noise.rate)


def demanded(job: Job, cluster: Cluster, margins: Margins = Margins()) -> float:
    """Return what jobs need at least of the GPU time until a deadline: the largest share of any cut with this job.

    On equal GPUs, the jobs of such a cut are all those whose deadlines come no later than one of them, this job's or a
    later one. Beside its work a job needs a start on each of the fewest GPUs that could be in time, less those it has.
    """
    by_deadline = sorted(cluster.jobs, key=lambda each: each.asked.deadline_us)
    cuts, needed_us, share = [Cut()], 0.0, 0.0
    for each in by_deadline:
        left_us = each.asked.deadline_us - cluster.now_us
        needed_us += _needed_us(each, cluster, left_us, margins, cuts)
        cuts.append(Cut(end_us=left_us, room_us=cluster.gpus * left_us - needed_us))
        if each.asked.deadline_us >= job.asked.deadline_us and left_us > 0:
            share = max(share, needed_us / (cluster.gpus * left_us))
    return share


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A deadline, and the most GPU time before it that is left to jobs with later ones."""

    end_us: int = 0
    room_us: float = 0.0


def _needed_us(job: Job, cluster: Cluster, left_us: int, margins: Margins, cuts: Sequence[Cut]) -> float:
    """Return the GPU time that the job needs: its work, and its starts.

    It has no more than a cut's room before the cut's end, and after it no more than all of its GPUs' time.
    """
    work_us = job.images_left(cluster.now_us) * LATENCY_US // MINI_BATCH
    if not work_us:
        return 0.0
    lost_us = LOST_US + margins.late_us
    there = len(job.alive)

    def planned_us(gpus: int) -> float:
        return work_us / (1 - margins.rate / math.sqrt(gpus)) + max(0, gpus - there) * lost_us

    # What a GPU more adds between a cut's end and the deadline is more than its start takes.
    within = [(left_us - cut.end_us, max(0.0, cut.room_us)) for cut in cuts if left_us - cut.end_us > lost_us]

    def may_do(gpus: int) -> bool:
        return all(planned_us(gpus) <= room_us + gpus * each_us for each_us, room_us in within)

    # More than there are can't be, and then the cut's share is too large in any case.
    return planned_us(next(filter(may_do, range(1, cluster.gpus)), cluster.gpus))
