"""From Jobs, pods and what workers report to the workers that a decision is made on. Pure.

A worker is an index of an Indexed Job. Its pod may be replaced several times and it stays the same worker, with the
same share: the Job's own controller sees to that. It is lost when the Job has given the index up, when both its node
and it have fallen silent, or when it has had no node for some time; in these two cases it may come back.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from dueby_api.errors import Invalid
from dueby_api.quantities import Amount
from dueby_api.schema import LenientSpec, decode
from dueby_api.step_messages import EXIT_INVALID, StepError, WorkerProgress, WorkResult
from dueby_operator.jobs import names
from dueby_operator.model.job_snapshot import WorkerJob
from dueby_operator.objects.jobs import CONTROLLER, BatchJob
from dueby_operator.objects.parse import micros_of, parse_index
from dueby_operator.objects.pods import CONTAINER, SCHEDULED, ContainerTerminated, Pod
from dueby_planner.schedule.job import WorkerModel, WorkerState, worker_model

# A worker without a node for this long is planned without.
ABSENT_US = 30_000_000
# A Job that names another controller than Kubernetes' own may wait for it for ever. It is given this time.
BEGUN_WITHIN_US = 90_000_000
# Reasons of the kubelet that don't go away by themselves.
NOT_STARTING = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"}
)
# The kubelet's reason for a container that the kernel has ended.
OOM_KILLED = "OOMKilled"
Words = TypeVar("Words", bound=LenientSpec)
PodKey = tuple[str, int]
"""A Job's name and an index of it."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a pod ended."""

    message: str = ""
    """Its termination message, or else the kubelet's reason."""
    exit_code: int | None = None
    """None while it has not ended."""
    is_out_of_memory: bool = False
    """Whether the kernel has ended it since it needed more memory than its limit."""
    memory_limit: Amount = ""
    """That limit; empty if it had none."""

    def read(self, kind: type[Words]) -> Words | None:
        """Return the termination message as this kind of last words; None if it isn't one."""
        try:
            return decode(kind, self.message)
        except Invalid:
            return None

    @property
    def sentence(self) -> str:
        """What was wrong, after the field if there is one; empty if the pod left no word."""
        error = self.read(StepError)
        # A program that isn't ours, or one that was killed, leaves other words than JSON.
        return error.sentence if error else self.message

    @property
    def is_final(self) -> bool:
        """Whether the input is wrong, so that the same step would end so again."""
        return self.exit_code == EXIT_INVALID


def pods_by_job(pods: Iterable[Pod]) -> Mapping[str, Sequence[Pod]]:
    """Return the pods by the Job that they say they belong to: to look for each Job's among thousands takes seconds."""
    by_job: dict[str, list[Pod]] = defaultdict(list)
    for pod in pods:
        by_job[job_of(pod)].append(pod)
    return by_job


def ending_of(pods: Iterable[Pod], job_name: str) -> Ending:
    """Return how the Job's pod ended that ended last."""
    return next(reversed(endings_of(pods, job_name)), Ending())


def endings_of(pods: Iterable[Pod], job_name: str) -> list[Ending]:
    """Return how the Job's pods ended that have ended, in the order of time."""
    ended = [(terminated, pod) for pod in pods if job_of(pod) == job_name and (terminated := _terminated(pod))]
    return [_ending(terminated, pod) for terminated, pod in sorted(ended, key=lambda one: one[0].finished_at or "")]


def _ending(terminated: ContainerTerminated, pod: Pod) -> Ending:
    if terminated.reason != OOM_KILLED:
        return Ending(message=terminated.message or terminated.reason, exit_code=terminated.exit_code)
    limit = next((one.resources.limits.get("memory") for one in pod.spec.containers if one.name == CONTAINER), None)
    # What measures for everybody is none of a job's pods.
    is_ours = names.PROFILED in pod.metadata.labels
    setting = "the chart's worker.memory" if is_ours else "spec.worker.resources.limits.memory"
    at_limit = f"its limit of {limit}" if limit is not None else "its node has"
    message = f"{OOM_KILLED}: a container needed more memory than {at_limit}; raise {setting}"
    return Ending(message=message, exit_code=terminated.exit_code, memory_limit=limit or "", is_out_of_memory=True)


def worker_models(
    worker_jobs: Iterable[WorkerJob],
    pods: Iterable[Pod],
    progress: Mapping[str, WorkerProgress],
    *,
    answered_since: Mapping[str, int],
    part_size: int,
    silent_nodes: Collection[str],
    absent: Collection[PodKey],
    now_us: int,
) -> tuple[WorkerModel, ...]:
    """Return every worker that was ever started, in the order of its start.

    `answered_since` says since when the pods have answered that answer now, by name.
    """
    latest = latest_pods(pods)
    workers = []
    for worker_job in worker_jobs:
        for index, assignment in enumerate(worker_job.assignments):
            pod = latest.get((worker_job.name, index))
            report = progress.get(pod.name, WorkerProgress()) if pod else WorkerProgress()
            state = rest_state(worker_job, index) or _pod_state(
                pod, report, is_absent=(worker_job.name, index) in absent, silent_nodes=silent_nodes
            )
            # Without a pod the start is the Job's, which may be later than its creation, or still to come.
            started_us = asked_us(worker_job.job, pod)
            workers.append(
                worker_model(
                    assignment,
                    "spent" if state == "done" and report.state == "spent" else state,
                    created_us=now_us if started_us is None else started_us,
                    progress=report,
                    read_us=now_us,
                    answers_since_us=answered_since.get(pod.name) if pod else None,
                    part_size=part_size,
                    is_absent=state == "lost" and (worker_job.name, index) in absent,
                    node=pod.spec.node_name if pod and pod.status.phase not in ("Succeeded", "Failed") else "",
                    group=worker_job.name,
                    can_shrink=names.QUEUE not in worker_job.job.metadata.labels,
                )
            )
    return tuple(sorted(workers, key=lambda worker: worker.assignment.number))


def absent_workers(
    worker_jobs: Iterable[WorkerJob], pods: Iterable[Pod], *, refused: Collection[str] = (), now_us: int
) -> Iterator[PodKey]:
    """Return Job and index of the workers that should be there and have no pod, or one that no node takes.

    One that waits for its volume is none of them: any other would wait for it, too, and it starts once that is there.
    Nor is one that has asked for a node, for as long as that may take, unless its Job is among those that were
    `refused`.
    Jobs that Kubernetes hasn't come to yet are passed over. By default it makes 20 pods a second for all Jobs of the
    cluster together: help for such workers would wait behind them.
    """
    latest = latest_pods(pods)
    for worker_job in worker_jobs:
        job = worker_job.job
        if not (job.status.start_time or awaits_nodes(job) or _is_left_alone(job, now_us)):
            continue
        for index, assignment in enumerate(worker_job.assignments):
            pod = latest.get((worker_job.name, index))
            lacks_node = pod is None or (unschedulable(pod) and not waits_for_volume(pod))
            since_us = (asked_us(job, pod) if pod else job.metadata.created_us) or now_us
            may_come = now_us < since_us + assignment.may_come_us and worker_job.name not in refused
            if rest_state(worker_job, index) is None and lacks_node and not may_come:
                yield worker_job.name, index


def _is_left_alone(job: BatchJob, now_us: int) -> bool:
    """Return whether a Job that has not begun names a controller that should have begun it."""
    created_us = job.metadata.created_us
    return job.spec.managed_by != CONTROLLER and created_us is not None and now_us > created_us + BEGUN_WITHIN_US


def answering_pods(pods: Iterable[Pod], step: str) -> list[Pod]:
    """Return the step's pods that answer questions: running, with an address, and not about to end."""
    return [
        pod
        for pod in pods
        if pod.metadata.labels.get(names.STEP) == step
        and pod.status.phase == "Running"
        and pod.status.pod_ip
        and not pod.metadata.is_deleting
    ]


def answering_workers(worker_jobs: Iterable[WorkerJob], pods: Iterable[Pod]) -> list[Pod]:
    """Return the pods of these Jobs' workers that answer. Whoever makes pods may say that they belong to any Job."""
    counts = {worker_job.name: len(worker_job.assignments) for worker_job in worker_jobs}
    return [pod for pod in answering_pods(pods, "work") if index_of(pod) in range(counts.get(job_of(pod), 0))]


def progress_of_ended(pods: Iterable[Pod]) -> dict[str, WorkerProgress]:
    """Return what workers that have ended reported last, by pod. They classify nothing any more.

    How long ago their last mini-batch was is not known: they said its age when they ended, and only their node's clock
    says when that was. None is needed, because one that has ended can't hang, so they count as seen just now.
    """
    reports = {}
    for pod in pods:
        ended = _terminated(pod)
        result = Ending(message=ended.message).read(WorkResult) if ended else None
        if result and result.progress.worker:
            reports[pod.name] = result.progress.replace(images_per_second=0.0, seconds_since_batch=0.0)
    return reports


def unschedulable(pod: Pod) -> str:
    """Return why no node takes the pod, in the scheduler's words; empty if one does, or none was looked for yet."""
    for condition in pod.status.conditions:
        if condition.type == SCHEDULED and condition.status == "False":
            return condition.message or condition.reason
    return ""


def waits_for_volume(pod: Pod) -> str:
    """Return what the scheduler says of a pod whose volume is missing; empty if it says nothing of the kind."""
    sentence = unschedulable(pod)
    return sentence if "persistentvolumeclaim" in sentence.lower() else ""


def not_starting(pod: Pod) -> str:
    """Return why the pod doesn't start, in the scheduler's or the kubelet's words; empty if nothing is wrong.

    That no node takes it counts only where its volume is missing: otherwise the rest is planned without it.
    """
    if sentence := waits_for_volume(pod):
        return sentence
    waiting = pod.container.state.waiting if pod.container else None
    if waiting and waiting.reason in NOT_STARTING:
        return ": ".join(filter(None, (waiting.reason, waiting.message)))
    return ""


def jobs_by_step(batch: Iterable[BatchJob]) -> Mapping[str, list[BatchJob]]:
    """Return a job's Jobs by the step that their label names; no Jobs for other steps."""
    by_step: dict[str, list[BatchJob]] = defaultdict(list)
    for batch_job in batch:
        by_step[batch_job.metadata.labels.get(names.STEP, "")].append(batch_job)
    return by_step


def is_slow_to_start(pod: Pod, limit_us: int, *, now_us: int) -> bool:
    """Return whether the pod is on a node and has not started for longer than the limit."""
    is_pending = bool(pod.spec.node_name) and pod.status.phase == "Pending" and not pod.metadata.is_deleting
    return is_pending and now_us - (pod.metadata.created_us or now_us) > limit_us


def is_queued(job: BatchJob) -> bool:
    """Return whether the Job waits for Kueue to set it going."""
    return job.spec.suspend and names.QUEUE in job.metadata.labels


def awaits_nodes(job: BatchJob) -> bool:
    """Return whether the Job has its pods made once nodes have come for them, and none has."""
    return job.spec.suspend and job.metadata.annotations.get(names.BUFFER) == names.AWAITED


def is_suspended(job: BatchJob) -> bool:
    """Return whether somebody keeps the Job from having pods: Kueue, or a person."""
    return job.spec.suspend and not awaits_nodes(job)


def asked_us(job: BatchJob, pod: Pod | None) -> int | None:
    """Return since when the worker's device is asked for, in microseconds since 1970; None if that isn't known.

    A pod asks from its creation. Pods of a Job that awaited its nodes come later than these were asked for; those in
    the place of others that have failed ask for themselves.
    """
    is_first = names.BUFFER in job.metadata.annotations and not job.status.failed
    if is_first:
        return job.metadata.created_us
    return pod.metadata.created_us if pod else micros_of(job.status.start_time)


def latest_pods(pods: Iterable[Pod]) -> dict[PodKey, Pod]:
    """Return the youngest pod of each index of each Job."""
    latest: dict[PodKey, Pod] = {}
    for pod in sorted(pods, key=lambda pod: pod.metadata.creation_timestamp or ""):
        index = index_of(pod)
        if index is not None:
            latest[job_of(pod), index] = pod
    return latest


def job_of(pod: Pod) -> str:
    """Return the name of the Job that the pod says it belongs to."""
    return pod.metadata.labels.get(names.JOB_OF_POD, "")


def index_of(pod: Pod) -> int | None:
    """Return the pod's index of its Job; None if its label says none, as on a pod that somebody else made."""
    return parse_index(pod.metadata.labels.get(names.INDEX_OF_POD, ""))


def rest_state(worker_job: WorkerJob, index: int) -> WorkerState | None:
    """Return the state of a worker that isn't meant to work now, whatever its pod does; None for one that is."""
    job = worker_job.job
    if index >= job.spec.completions:
        return "stopped"
    if index in worker_job.done:
        return "done"
    if index in worker_job.given_up or job.is_failed:
        return "lost"
    if is_queued(job):
        return "queued"
    if is_suspended(job) or job.metadata.is_deleting:
        return "stopped"
    return None


def _pod_state(
    pod: Pod | None, report: WorkerProgress, *, is_absent: bool, silent_nodes: Collection[str]
) -> WorkerState:
    if is_absent:
        return "lost"
    if pod is None or pod.status.phase != "Running":
        return "starting"
    if report == WorkerProgress() and pod.spec.node_name in silent_nodes:
        return "lost"
    return "running" if report.batches else "starting"


def _terminated(pod: Pod) -> ContainerTerminated | None:
    return pod.container.state.terminated if pod.container else None
