"""How far the Jobs are that measure device classes for a job, from what the API server and their pods say. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from dueby_api.errors import Invalid
from dueby_api.gpu_profile import ProfileSpec
from dueby_api.inference_job import Model
from dueby_api.packed_profile import unpack_profile
from dueby_api.step_messages import ProfilingProgress, ProfilingResult
from dueby_api.subject import ModelSubject, model_subject, profile_subject
from dueby_api.units import MICROS_PER_SECOND, format_duration
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_diagnosis import diagnose_step
from dueby_operator.jobs.pod_state import Ending, ending_of, is_queued, job_of
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.pods import Pod
from dueby_operator.profiling.on_demand_jobs import LIMIT_S
from dueby_operator.profiling.provenance import image_of, with_provenance

AttemptState = Literal["waiting", "measuring", "done", "failed"]
# The seconds left are shown in steps, since each change of the message is a write of the job's status.
STEP_S = 5
# Of a pod's own words: a condition has room for 4,096 letters.
MAX_WORDS = 400


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A Job that measures one class."""

    name: str
    device_class: str
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


def attempts_of(job: JobSnapshot, model: Model) -> list[Attempt]:
    """Return the attempts to measure this model."""
    subject = str(model_subject(model))
    return [_read(found, job, model) for found in _alive(job.profiling) if _subject_of(found) == subject]


def outdated_attempts(job: JobSnapshot, model: Model) -> tuple[str, ...]:
    """Return the names of the Jobs that still measure what the job was about before an edit."""
    subject = str(model_subject(model))
    return tuple(found.name for found in _alive(job.profiling) if _subject_of(found) != subject and not found.is_over)


def classes_being_measured(jobs: Sequence[JobSnapshot]) -> dict[tuple[str, str], str]:
    """Return the classes and subjects that are being measured, and for which job (namespace/name)."""
    return {
        (_class_of(found), _subject_of(found)): "/".join(job.key)
        for job in jobs
        for found in job.profiling
        if not found.is_over
    }


def measured_elsewhere(
    measuring: Mapping[tuple[str, str], str], job: JobSnapshot, subject: ModelSubject
) -> dict[str, str]:
    """Return the classes that are being measured for another job with the same model, and for which."""
    own = "/".join(job.key)
    return {
        device_class: other
        for (device_class, about), other in measuring.items()
        if about == str(subject) and other != own
    }


def _alive(jobs: Sequence[BatchJob]) -> list[BatchJob]:
    return [job for job in jobs if not job.metadata.is_deleting]


def _subject_of(job: BatchJob) -> str:
    return job.metadata.annotations.get(names.MODEL, "")


def _class_of(job: BatchJob) -> str:
    return job.metadata.annotations.get(names.DEVICE_CLASS, "")


def _read(attempt: BatchJob, job: JobSnapshot, model: Model) -> Attempt:
    device_class = _class_of(attempt)
    pods = [pod for pod in job.pods if job_of(pod) == attempt.name]
    ending = ending_of(pods, attempt.name)
    if attempt.is_complete:
        return _done(attempt, pods, ending, model)
    if attempt.is_failed or ending.is_final:
        state, message = _failed_message(attempt, ending)
    elif is_queued(attempt):
        state, message = "waiting", "waits in its queue; `kubectl describe workloads` says for what"
    else:
        state, message = _pod_state(attempt, pods, job)
    return Attempt(name=attempt.name, device_class=device_class, state=state, message=message)


def _pod_state(attempt: BatchJob, pods: Sequence[Pod], job: JobSnapshot) -> tuple[AttemptState, str]:
    pod = next((pod for pod in pods if pod.status.phase in ("Running", "Succeeded")), None)
    if pod is None:
        return "waiting", diagnose_step(pods, attempt.name) or "its pod is being started"
    return "measuring", _progress_message(job.profiling_progress.get(pod.name))


def _done(attempt: BatchJob, pods: Sequence[Pod], ending: Ending, model: Model) -> Attempt:
    device_class = _class_of(attempt)
    pod = next((pod for pod in pods if pod.status.phase == "Succeeded"), None)
    try:
        found = _checked(ending, model, device_class)
    except Invalid as error:
        message = str(error)[:MAX_WORDS]
        return Attempt(name=attempt.name, device_class=device_class, state="failed", message=message)
    return Attempt(
        name=attempt.name,
        device_class=device_class,
        state="done",
        found=with_provenance(found, image=image_of(pod) if pod else ""),
        node=pod.spec.node_name if pod else "",
    )


def _checked(ending: Ending, model: Model, device_class: str) -> ProfileSpec:
    """Return the profile in a pod's last words, if it is of what was to be measured."""
    result = ending.read(ProfilingResult)
    if result is None:
        raise Invalid("profile", "its pod is gone, and what it has measured with it")
    spec = unpack_profile(result.profile, origin="profile")
    about = spec.model
    if (spec.device_class, about.name, about.image_size, about.precision) != (
        device_class,
        model.name,
        model.image_size,
        model.precision,
    ):
        raise Invalid("profile", f"is of {spec.device_class} and {profile_subject(spec).about.sentence}")
    return spec


def _progress_message(progress: ProfilingProgress | None) -> str:
    if progress is None:
        return "starting"
    message = progress.doing[:MAX_WORDS]
    if progress.left_seconds is None:
        return message
    rounded_s = -(-progress.left_seconds // STEP_S) * STEP_S
    return f"{message}, at most {format_duration(rounded_s * MICROS_PER_SECOND)} left"


def _failed_message(attempt: BatchJob, ending: Ending) -> tuple[AttemptState, str]:
    if sentence := ending.sentence[:MAX_WORDS]:
        return "failed", sentence
    if any(condition.reason == "DeadlineExceeded" for condition in attempt.status.conditions):
        return "failed", f"it took longer than {format_duration(LIMIT_S * MICROS_PER_SECOND)}"
    return "failed", "see the log of its pod"
