"""Devices and quota that jobs are about to use: by workers on no node yet, by pods that are still to be made. Pure.

Nodes show pods once they are on them. Until then a worker's device would look free to the next job, so it is withheld
from the others: for a Job that the operator made for an open InferenceJob, that nobody has suspended, for no more
workers than it was given assignments for, and for a limited time. A job whose assignments can't be read in a pass
withholds what its Jobs ask for. A worker that waits for what never comes, such as a
missing volume, withholds nothing for longer than that.

Whoever may make Jobs can make ones that look like the operator's, again and again. So each namespace has a budget of
time for which devices may be withheld for nothing, and it fills up slowly. A wait costs nothing if it ends with a node.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from dueby_operator.jobs import names
from dueby_operator.jobs.manifests import MAX_WORKERS_OF_JOB
from dueby_operator.jobs.pod_state import index_of, is_suspended, job_of
from dueby_operator.model.job_snapshot import JobSnapshot, WorkerJob
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.pods import Pod
from dueby_planner.schedule.job import MAX_WORKERS

# A thousand pods are made within a minute, and scheduled as they come. Who has no node after two gets none soon.
WITHHELD_US = 120_000_000
# A namespace's budget is as large, and what it has spent comes back this many times as slowly.
_FILLS_UP = 20
# Jobs of one class that one revision is made of (model/job_model.py).
_MAX_CHUNKS = MAX_WORKERS // MAX_WORKERS_OF_JOB
_Key = tuple[str, str]
"""A job's uid and a device class."""


@dataclass(frozen=True, kw_only=True)
class _Wait:
    """Workers of one job that have no node yet, on devices of one class."""

    namespace: str
    since_us: int
    placed: int
    """The job's pods of this class that had a node when the wait began."""
    is_charged: bool = False


class WithheldDevices:
    """Remembers since when a job's workers have lacked a node. An operator that restarts counts from zero."""

    def __init__(self) -> None:
        self._waits: dict[_Key, _Wait] = {}
        self._spent_us: dict[str, int] = {}
        """By namespace, for how long devices were withheld for waits that have come to nothing."""
        self._counted_us = 0

    def count(self, jobs: Sequence[JobSnapshot], *, now_us: int) -> Counter[str]:
        """Return the devices of each class that these open jobs withhold from others now."""
        wanted = {(job.uid, name): (job, count) for job in jobs for name, count in unscheduled_workers(job).items()}
        placed = {(job.uid, name): count for job in jobs for name, count in _placed_by_class(job).items()}
        self._give_back(now_us)
        for key, wait in [*self._waits.items()]:
            is_vain = key not in wanted and placed.get(key, 0) <= wait.placed
            if is_vain or now_us - wait.since_us > WITHHELD_US:
                self._charge(key, wait, now_us)
        self._waits = {
            key: self._waits.get(key) or _Wait(namespace=job.namespace, since_us=now_us, placed=placed.get(key, 0))
            for key, (job, _) in wanted.items()
        }
        withheld: Counter[str] = Counter()
        for key, wait in self._waits.items():
            spent_us = self._spent_us.get(wait.namespace, 0) + now_us - wait.since_us
            if not wait.is_charged and spent_us <= WITHHELD_US:
                withheld[key[1]] += wanted[key][1]
        return withheld

    def _charge(self, key: _Key, wait: _Wait, now_us: int) -> None:
        """Charge the namespace once for a wait that has come to nothing."""
        if not wait.is_charged:
            spent_us = min(now_us - wait.since_us, WITHHELD_US)
            self._spent_us[wait.namespace] = self._spent_us.get(wait.namespace, 0) + spent_us
            self._waits[key] = replace(wait, is_charged=True)

    def _give_back(self, now_us: int) -> None:
        back_us = max(0, now_us - self._counted_us) // _FILLS_UP
        self._counted_us = now_us
        self._spent_us = {name: rest_us for name, spent in self._spent_us.items() if (rest_us := spent - back_us) > 0}


def unscheduled_workers(job: JobSnapshot) -> Counter[str]:
    """Return the workers by device class that should be there and are on no node yet; what measures counts as one."""
    wanted: Counter[str] = Counter()
    placed = _placed_by_job(job.pods)
    for worker_job in job.worker_jobs:
        # Those that ask for nodes wait for these, and take none of the devices that are there.
        asks = any(assignment.pool for assignment in worker_job.assignments)
        if not asks and _is_under_way(worker_job.job) and _is_ours(job, worker_job):
            gone = worker_job.done | worker_job.given_up | placed[worker_job.name]
            wanted[_class_of(worker_job)] += sum(index not in gone for index in range(_workers_of(worker_job)))
    measured = {
        batch_job.metadata.annotations.get(names.DEVICE_CLASS, "")
        for batch_job in job.profiling
        if _is_under_way(batch_job) and not placed[batch_job.name]
    }
    return wanted + Counter(measured - {""})


def pods_to_come(job: JobSnapshot) -> Iterator[tuple[BatchJob, int]]:
    """Return each Job of this job with the number of pods that its controller has yet to make, if there are any."""
    pods_of = Counter(map(job_of, job.pods))
    once = [*job.profiling, *job.steps.values()]
    for batch_job, count in [*((batch_job, 1) for batch_job in once), *map(_with_count, job.worker_jobs)]:
        if _is_under_way(batch_job) and count > pods_of[batch_job.name]:
            yield batch_job, count - pods_of[batch_job.name]


def _with_count(worker_job: WorkerJob) -> tuple[BatchJob, int]:
    return worker_job.job, _workers_of(worker_job)


def _workers_of(worker_job: WorkerJob) -> int:
    """Return how many workers the Job wants, as far as they have assignments, if these are known."""
    return min(worker_job.job.spec.completions, len(worker_job.assignments) or MAX_WORKERS_OF_JOB)


def _class_of(worker_job: WorkerJob) -> str:
    """Return the device class of the Job's workers."""
    assigned = next((assignment.device_class for assignment in worker_job.assignments), "")
    return assigned or worker_job.job.metadata.annotations.get(names.DEVICE_CLASS, "")


def _is_ours(job: JobSnapshot, worker_job: WorkerJob) -> bool:
    """Return whether the operator has made the Job: as its status says, such a revision was started."""
    plan = job.status.plan
    if plan is None or not 1 <= worker_job.revision <= plan.revision:
        return False
    name = partial(
        names.workers_name,
        job.name,
        job.uid,
        revision=worker_job.revision,
        device_class=_class_of(worker_job),
    )
    return any(worker_job.name == name(chunk=chunk) for chunk in range(_MAX_CHUNKS))


def _placed_by_class(job: JobSnapshot) -> Counter[str]:
    """Return how many pods of the job's workers, and of what measures for it, have or had a node, by device class."""
    classes = {worker_job.name: _class_of(worker_job) for worker_job in job.worker_jobs}
    classes |= {
        batch_job.name: batch_job.metadata.annotations.get(names.DEVICE_CLASS, "") for batch_job in job.profiling
    }
    return Counter(classes.get(job_of(pod), "") for pod in job.pods if pod.spec.node_name)


def _is_under_way(job: BatchJob) -> bool:
    return not (is_suspended(job) or job.is_over or job.metadata.is_deleting)


def _placed_by_job(pods: Iterable[Pod]) -> dict[str, set[int]]:
    """Return the indices of each Job's pods that are on a node to stay: one that is deleted is replaced on another."""
    placed: dict[str, set[int]] = defaultdict(set)
    for pod in (pod for pod in pods if pod.spec.node_name and not pod.metadata.is_deleting):
        index = index_of(pod)
        if index is not None and pod.status.phase not in ("Succeeded", "Failed"):
            placed[job_of(pod)].add(index)
    return placed
