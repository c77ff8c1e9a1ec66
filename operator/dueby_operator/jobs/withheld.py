"""Devices and quota that jobs are about to use: by workers on no node yet, by pods that are still to be made. Pure.

Nodes show pods once they are on them. Until then a worker's device would look free to the next job, so it is withheld
from the others: for a Job that an open InferenceJob owns, that nobody has suspended, for no more workers than it was
given assignments for, and for a limited time. A worker that waits for what never comes, such as a missing volume, or a
Job that somebody made by hand, withholds nothing for longer than that.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from dueby_operator.jobs import names
from dueby_operator.jobs.pod_state import index_of, job_of
from dueby_operator.model.job_snapshot import JobSnapshot, WorkerJob
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.pods import Pod

# A thousand pods are made within a minute, and scheduled as they come. Who has no node after two gets none soon.
WITHHELD_US = 120_000_000


class WithheldDevices:
    """Remembers since when a job's workers have lacked a node. An operator that starts again counts anew."""

    def __init__(self) -> None:
        self._since_us: dict[tuple[str, str], int] = {}
        """By the job's uid and the device class."""

    def count(self, jobs: Iterable[JobSnapshot], *, now_us: int) -> Counter[str]:
        """Return the devices of each class that these open jobs withhold from others now."""
        wanted = {(job.uid, name): count for job in jobs for name, count in unscheduled_workers(job).items()}
        self._since_us = {key: self._since_us.get(key, now_us) for key in wanted}
        withheld: Counter[str] = Counter()
        for key, count in wanted.items():
            if now_us - self._since_us[key] <= WITHHELD_US:
                withheld[key[1]] += count
        return withheld


def unscheduled_workers(job: JobSnapshot) -> Counter[str]:
    """Return the workers by device class that should be there and are on no node yet; what measures counts as one."""
    wanted: Counter[str] = Counter()
    placed = _placed_by_job(job.pods)
    for worker_job in job.worker_jobs:
        if _is_under_way(worker_job.job):
            gone = worker_job.done | worker_job.given_up | placed[worker_job.name]
            wanted.update(
                assignment.device_class
                for index, assignment in enumerate(worker_job.assignments[: worker_job.job.spec.completions])
                if index not in gone
            )
    measured = {
        found.metadata.annotations.get(names.DEVICE_CLASS, "")
        for found in job.profiling
        if _is_under_way(found) and not placed[found.name]
    }
    return wanted + Counter(measured - {""})


def pods_to_come(job: JobSnapshot) -> Iterator[tuple[BatchJob, int]]:
    """Return each Job of this job with the number of pods that its controller has yet to make, if there are any."""
    made = Counter(map(job_of, job.pods))
    once = [*job.profiling, *job.steps.values()]
    for found, count in [*((each, 1) for each in once), *map(_with_count, job.worker_jobs)]:
        if _is_under_way(found) and count > made[found.name]:
            yield found, count - made[found.name]


def _with_count(worker_job: WorkerJob) -> tuple[BatchJob, int]:
    return worker_job.job, min(worker_job.job.spec.completions, len(worker_job.assignments))


def _is_under_way(job: BatchJob) -> bool:
    return not (job.spec.suspend or job.is_over or job.metadata.is_deleting)


def _placed_by_job(pods: Iterable[Pod]) -> dict[str, set[int]]:
    """Return the indices of each Job's pods that are on a node."""
    placed: dict[str, set[int]] = defaultdict(set)
    for pod in pods:
        index = index_of(pod)
        if index is not None and pod.spec.node_name and pod.status.phase not in ("Succeeded", "Failed"):
            placed[job_of(pod)].add(index)
    return placed
