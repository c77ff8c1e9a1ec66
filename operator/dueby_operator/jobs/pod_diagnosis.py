"""What keeps pods from working, in the words of who knows: the scheduler, the kubelet, the Job's controller. Pure.

None of it ends a job: a node may come, a quota may be lifted, an image may be pushed. Until then a condition says what
is wrong, and the plan goes on without the workers that it concerns.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from dueby_api.conditions import Reason
from dueby_api.words import counted
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_state import (
    Ending,
    awaits_nodes,
    endings_of,
    index_of,
    is_queued,
    is_slow_to_start,
    job_of,
    latest_pods,
    not_starting,
    pods_by_job,
    unschedulable,
)
from dueby_operator.model.conditions import NewCondition
from dueby_operator.model.job_snapshot import JobSnapshot, WorkerJob
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.pods import Pod
from dueby_planner.schedule.job import Assignment

# Their controller makes 20 pods a second for all Jobs of the cluster together.
NO_POD_US = 30_000_000
# An image of some gigabytes is pulled within this time.
SLOW_START_US = 180_000_000
# The exit code of a container that was killed. Of some that are for their memory, container runtimes miss the reason.
KILLED = 137
# Jobs that a message names.
MAX_LISTED = 3


@dataclass(frozen=True, kw_only=True)
class MemoryFailure:
    """A worker whose container was ended since it needed more memory than its limit, and that doesn't work again."""

    worker_job: WorkerJob
    assignment: Assignment
    times: int
    """How often in a row."""
    ending: Ending
    """How it ended last."""


def diagnose_step(job: BatchJob, pods: Iterable[Pod], *, now_us: int) -> str:
    """Return why the pod of a step's Job doesn't start; empty if nothing is wrong."""
    job_pods = [pod for pod in pods if job_of(pod) == job.name]
    if not job_pods and now_us - (job.metadata.created_us or now_us) > NO_POD_US:
        return f"Job {job.name} has no pod; `kubectl describe job {job.name}` says why: a quota, a policy"
    reasons = (unschedulable(pod) or not_starting(pod) or slow_to_start(pod, now_us=now_us) for pod in job_pods)
    return next(filter(None, reasons), "")


def slow_to_start(pod: Pod, *, now_us: int) -> str:
    """Return that the pod's node has had it for long and has not started it; empty if not."""
    if not is_slow_to_start(pod, SLOW_START_US, now_us=now_us):
        return ""
    where = f"pod {pod.name} is on node {pod.spec.node_name} and has not started for minutes"
    return f"{where}; `kubectl describe pod {pod.name}` says why: a volume is missing, or a large image is pulled"


def diagnose_admission(job: JobSnapshot) -> NewCondition:
    """Return whether the cluster has room for every worker."""
    waiting = [worker_job.job for worker_job in job.worker_jobs if is_queued(worker_job.job)]
    if waiting:
        queue = waiting[0].metadata.labels[names.QUEUE]
        jobs, verb = _listed([batch_job.name for batch_job in waiting]), "wait" if waiting[1:] else "waits"
        message = f"{jobs} {verb} in the queue {queue}; `kubectl describe workloads` says for what."
        return NewCondition(reason=Reason.QUEUED, message=message)
    autoscaler_says = _told_of_nodes(job)
    if not job.absent:
        message = f"Workers wait for nodes: {autoscaler_says}." if autoscaler_says else ""
        return NewCondition(reason=Reason.ADMITTED, message=message)
    workers = counted(len(job.absent), "worker")
    others = ", and the plan goes on with the others" if any(not worker.is_gone for worker in job.workers) else ""
    scheduler_says = next((sentence for pod in job.pods if (sentence := unschedulable(pod))), "")
    if autoscaler_says or scheduler_says:
        why = f"{autoscaler_says}." if autoscaler_says else scheduler_says
        message = f"No node takes {workers}{others}: {why}"
        return NewCondition(reason=Reason.UNSCHEDULABLE, message=message)
    name = min(name for name, _ in job.absent)
    message = f"There is no pod for {workers}{others}. `kubectl describe job {name}` says why."
    return NewCondition(reason=Reason.PODS_NOT_CREATED, message=message)


def _told_of_nodes(job: JobSnapshot) -> str:
    """Return what an autoscaler says of the nodes that workers wait for; empty if none has been asked for them."""
    if not job.requests:
        return ""
    waiting = {job_of(pod) for pod in job.pods if unschedulable(pod)}
    waiting |= {worker_job.name for worker_job in job.worker_jobs if awaits_nodes(worker_job.job)}
    return "; ".join([job.requests[name].told for name in sorted(job.requests) if name in waiting][:MAX_LISTED])


def _listed(jobs: Sequence[str]) -> str:
    """Return the first few, since a large plan has many, and a message has room for 4,096 letters."""
    more = len(jobs) - MAX_LISTED
    return ", ".join(jobs[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")


def diagnose_start(pods: Iterable[Pod], *, now_us: int) -> NewCondition | None:
    """Return why workers' containers don't start; None if nothing is wrong."""
    sentences = [sentence for pod in pods if (sentence := not_starting(pod) or slow_to_start(pod, now_us=now_us))]
    if not sentences:
        return None
    pods_that, verb = counted(len(sentences), "pod"), "doesn't" if len(sentences) == 1 else "don't"
    return NewCondition(reason=Reason.PODS_NOT_STARTING, message=f"{pods_that} {verb} start: {sentences[0]}")


def out_of_memory(job: JobSnapshot) -> Iterator[MemoryFailure]:
    """Yield the workers that have ended so, and whose pods of now have run no mini-batch."""
    latest, by_job = latest_pods(job.pods), pods_by_job(job.pods)
    for worker_job in job.worker_jobs:
        job_pods = by_job.get(worker_job.name, ())
        if not any(ending.is_out_of_memory for ending in endings_of(job_pods, worker_job.name)):
            continue
        for index, assignment in enumerate(worker_job.assignments):
            endings = endings_of([pod for pod in job_pods if index_of(pod) == index], worker_job.name)
            killed = [*takewhile(lambda ending: ending.exit_code == KILLED, reversed(endings))]
            last = next((ending for ending in killed if ending.is_out_of_memory), None)
            report = job.progress.get(latest[worker_job.name, index].name) if last else None
            if last and not (report and report.batches):
                yield MemoryFailure(worker_job=worker_job, assignment=assignment, times=len(killed), ending=last)


def diagnose_memory(job: JobSnapshot) -> NewCondition | None:
    """Return that workers' memory was too little; None if it wasn't."""
    killed = list(out_of_memory(job))
    if not killed:
        return None
    workers = f"{counted(len(killed), 'worker')}, {killed[0].assignment.worker} among them"
    message = f"{killed[0].ending.sentence}. It has ended {workers}, and they are started again."
    return NewCondition(reason=Reason.OUT_OF_MEMORY, message=message)
