"""How far the Jobs are that measure device classes on demand, from what the API server and their pods say. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from dueby_api.errors import Invalid
from dueby_api.gpu_profile import ProfileSpec
from dueby_api.inference_job import Model
from dueby_api.step_messages import ProfilingProgress
from dueby_api.subject import model_subject
from dueby_api.units import MICROS_PER_SECOND, format_duration
from dueby_api.words import times
from dueby_operator.cluster.nodes import Node, has_class
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_diagnosis import diagnose_step
from dueby_operator.jobs.pod_state import Ending, ending_of, is_queued, pods_by_job
from dueby_operator.jobs.repeats import MAX_ATTEMPTS, attempt_of, is_given_up, is_long_complete
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.pods import Pod
from dueby_operator.profiling.measurements import read_measured
from dueby_operator.profiling.on_demand_jobs import PATIENCE_S
from dueby_operator.profiling.provenance import image_name_of, image_of, with_provenance, with_time_of
from dueby_operator.profiling.release_pods import LIMIT_S

# One that is lost is made again: its pod was gone before what it has measured was read, or was on a wrong node.
AttemptState = Literal["waiting", "measuring", "done", "failed", "lost"]
# The seconds left are shown in steps, since each change of the message is a write of the job's status.
STEP_S = 5
# Of a pod's own words: a condition has room for 4,096 letters.
MAX_WORDS = 400


@dataclass(frozen=True, kw_only=True)
class OnDemandSnapshot:
    """What there is of Jobs that measure for everybody, in the operator's namespace."""

    jobs: Sequence[BatchJob] = ()
    pods: Sequence[Pod] = ()
    progress: Mapping[str, ProfilingProgress] = field(default_factory=dict)
    """What their pods reported last, by pod."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A Job that measures one class."""

    name: str
    namespace: str = ""
    uid: str = ""
    """Empty if it is only about to be made."""
    number: int = 1
    """Which attempt it is, of those that were lost before it."""
    device_class: str
    begun_for: str = ""
    """The namespace of the job that it was begun for, if it measures for everybody; empty if it is one job's own."""
    state: AttemptState
    message: str = ""
    """How far it is, or why it failed."""
    found: ProfileSpec | None = None
    """What was measured, once it is done."""
    node: str = ""
    """The node that it was measured on."""

    @property
    def is_open(self) -> bool:
        """Whether something may still come of it."""
        return self.state in ("waiting", "measuring")


def attempts_of(job: JobSnapshot, model: Model, nodes: Mapping[str, Node], *, now_us: int) -> list[Attempt]:
    """Return the attempts to measure this model for this job alone."""
    subject = str(model_subject(model))
    batch_jobs = [batch_job for batch_job in job.profiling if _subject_of(batch_job) == subject]
    seen = OnDemandSnapshot(jobs=batch_jobs, pods=job.pods, progress=job.profiling_progress)
    return list(shared_attempts(seen, nodes, now_us=now_us).values())


def shared_attempts(snapshot: OnDemandSnapshot, nodes: Mapping[str, Node], *, now_us: int) -> dict[str, Attempt]:
    """Return the attempts to measure something for everybody, by name."""
    by_job, batch_jobs = pods_by_job(snapshot.pods), _alive(snapshot.jobs)
    attempts = (
        _read(batch_job, by_job.get(batch_job.name, ()), snapshot.progress, now_us=now_us) for batch_job in batch_jobs
    )
    return {attempt.name: _without_stranger(attempt, nodes) for attempt in attempts}


def outdated_attempts(job: JobSnapshot, model: Model | None) -> tuple[str, ...]:
    """Return the names of the Jobs that still measure for the job alone what it was about before an edit.

    Without a model nothing is measured for it alone any more.
    """
    subject = str(model_subject(model)) if model else ""
    return tuple(
        batch_job.name
        for batch_job in _alive(job.profiling)
        if _subject_of(batch_job) != subject and not batch_job.is_over
    )


def _alive(jobs: Sequence[BatchJob]) -> list[BatchJob]:
    return [job for job in jobs if not job.metadata.is_deleting]


def _subject_of(job: BatchJob) -> str:
    return job.metadata.annotations.get(names.MODEL, "")


def _read(job: BatchJob, pods: Sequence[Pod], progress: Mapping[str, ProfilingProgress], *, now_us: int) -> Attempt:
    attempt = Attempt(
        name=job.name,
        namespace=job.metadata.namespace,
        uid=job.metadata.uid,
        number=attempt_of(job),
        device_class=job.metadata.annotations.get(names.DEVICE_CLASS, ""),
        begun_for=job.metadata.annotations.get(names.BEGUN_FOR, ""),
        state="waiting",
    )
    ending = ending_of(pods, job.name)
    if job.is_complete and not ending.message:
        return _without_words(attempt, job, now_us=now_us)
    if job.is_complete:
        return _done(attempt, pods, ending, _subject_of(job))
    if job.is_failed or ending.is_final:
        return replace(attempt, state="failed", message=_failed_message(job, ending))
    if is_queued(job):
        return replace(attempt, message="waits in its queue; `kubectl describe workloads` says for what")
    pod = next((pod for pod in pods if pod.status.phase in ("Running", "Succeeded")), None)
    if pod is None:
        return replace(attempt, message=diagnose_step(job, pods, now_us=now_us) or "its pod is being started")
    return replace(attempt, state="measuring", message=_progress_message(progress.get(pod.name)))


def _without_words(attempt: Attempt, job: BatchJob, *, now_us: int) -> Attempt:
    """Return the attempt whose pod is gone, or isn't seen yet as it ended."""
    if not is_long_complete(job, now_us=now_us):
        return replace(attempt, state="measuring", message="what it has measured is being read")
    if is_given_up(job):
        message = f"it was measured {times(attempt.number)}, and each time its pod was gone before that was read"
        return replace(attempt, state="failed", message=message)
    return replace(attempt, state="lost", message="its pod is gone, and what it has measured with it")


def _done(attempt: Attempt, pods: Sequence[Pod], ending: Ending, subject: str) -> Attempt:
    pod = next((pod for pod in pods if pod.status.phase == "Succeeded"), None)
    try:
        spec = read_measured(ending, device_class=attempt.device_class, subject=subject)
    except Invalid as error:
        return replace(attempt, state="failed", message=str(error)[:MAX_WORDS])
    if pod is None:
        return replace(attempt, state="done", found=spec)
    spec = with_provenance(with_time_of(pod, spec), image=image_of(pod), image_name=image_name_of(pod))
    return replace(attempt, state="done", found=spec, node=pod.spec.node_name)


def _without_stranger(attempt: Attempt, nodes: Mapping[str, Node]) -> Attempt:
    """Return the attempt; one whose pod was on a node that has no such device is lost, or has failed at last."""
    node = nodes.get(attempt.node)
    if attempt.found is None or node is None or has_class(node, attempt.device_class):
        return attempt
    message = f"its pod was on a node that has no {attempt.device_class}, so what it has measured is not used"
    state: AttemptState = "failed" if attempt.number >= MAX_ATTEMPTS else "lost"
    return replace(attempt, state=state, found=None, message=message)


def _progress_message(progress: ProfilingProgress | None) -> str:
    if progress is None:
        return "starting"
    message = progress.doing[:MAX_WORDS]
    if progress.left_seconds is None:
        return message
    rounded_s = -(-progress.left_seconds // STEP_S) * STEP_S
    return f"{message}, at most {format_duration(rounded_s * MICROS_PER_SECOND)} left"


def _failed_message(job: BatchJob, ending: Ending) -> str:
    if sentence := ending.sentence[:MAX_WORDS]:
        return sentence
    if any(condition.reason == "DeadlineExceeded" for condition in job.status.conditions):
        limit_s = PATIENCE_S if names.ON_DEMAND in job.metadata.labels else LIMIT_S
        return f"it took longer than {format_duration(limit_s * MICROS_PER_SECOND)}"
    return "see the log of its pod"
