"""How far the Jobs are that measure device classes for a job, from what the API server and their pods say. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dueby_api.errors import Invalid
from dueby_api.gpu_profile import ProfileSpec
from dueby_api.inference_job import Model
from dueby_api.packed_profile import unpack_profile
from dueby_api.units import format_duration
from dueby_operator.control.world import World
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_diagnosis import trouble_of_step
from dueby_operator.jobs.pod_state import Document, Seen, ending_of, is_complete, is_failed, is_queued
from dueby_operator.profiling.on_demand_jobs import LIMIT_S, subject_of
from dueby_operator.profiling.provenance import image_of, with_origin

TryState = Literal["waiting", "measuring", "done", "failed"]
# Seconds left are told in steps, since each word that changes is a write of the job's status.
STEP_S = 5
# Of a pod's own words: a condition has room for 4,096 letters.
MAX_WORDS = 400


@dataclass(frozen=True, kw_only=True)
class Try:
    """A Job that measures one class."""

    name: str
    device_class: str
    state: TryState
    told: str = ""
    """How far it is, or why it failed."""
    found: ProfileSpec | None = None
    """What was measured, once it is done."""
    node: str = ""
    """On which node."""

    @property
    def is_open(self) -> bool:
        """Whether something may still come of it."""
        return self.state in ("waiting", "measuring")


def tries_of(seen: Seen, model: Model) -> list[Try]:
    """Those that measure this model."""
    subject = subject_of(model)
    return [_read(job, seen, model) for job in _alive(seen.profiling) if _subject_of(job) == subject]


def outdated(seen: Seen, model: Model) -> list[str]:
    """Names of the Jobs that still measure what the job was about before an edit."""
    return [
        str(job["metadata"]["name"])
        for job in _alive(seen.profiling)
        if _subject_of(job) != subject_of(model) and not _is_over(job)
    ]


def measured_elsewhere(world: World, seen: Seen, model: Model) -> dict[str, str]:
    """Classes that are being measured for another job with the same model, and for which."""
    subject, own = subject_of(model), (seen.namespace, str(seen.document["metadata"]["name"]))
    found = {device_class: job for (device_class, about), job in world.measured.items() if about == subject}
    for key, batch in world.batch.items():
        for job in batch:
            if key != own and _subject_of(job) == subject and not _is_over(job):
                found[job["metadata"]["annotations"][names.DEVICE_CLASS]] = "/".join(key)
    return found


def _alive(jobs: Sequence[Document]) -> list[Document]:
    return [job for job in jobs if "deletionTimestamp" not in job["metadata"]]


def _is_over(job: Document) -> bool:
    return is_complete(job) or is_failed(job)


def _subject_of(job: Document) -> str:
    return str(job["metadata"].get("annotations", {}).get(names.MODEL, ""))


def _read(job: Document, seen: Seen, model: Model) -> Try:
    name, device_class = job["metadata"]["name"], job["metadata"]["annotations"][names.DEVICE_CLASS]
    pods = [pod for pod in seen.pods if pod["metadata"]["labels"].get(names.JOB_OF_POD) == name]
    state, told, found, node = _state(job, pods, seen, model, device_class)
    return Try(name=name, device_class=device_class, state=state, told=told, found=found, node=node)


def _state(
    job: Document, pods: Sequence[Document], seen: Seen, model: Model, device_class: str
) -> tuple[TryState, str, ProfileSpec | None, str]:
    ending = ending_of(pods, job["metadata"]["name"])
    if is_complete(job):
        done: Document = next((pod for pod in pods if _phase(pod) == "Succeeded"), {"spec": {}})
        try:
            found = with_origin(_checked(ending.words, model, device_class), image=image_of(done))
            return "done", "", found, str(done["spec"].get("nodeName", ""))
        except Invalid as error:
            return "failed", str(error)[:MAX_WORDS], None, ""
    if is_failed(job) or ending.is_final:
        return "failed", ending.sentence[:MAX_WORDS] or _why_failed(job), None, ""
    if is_queued(job):
        return "waiting", "waits in its queue; `kubectl describe workloads` says for what", None, ""
    pod = next((pod for pod in pods if _phase(pod) in ("Running", "Succeeded")), None)
    if pod is None:
        return "waiting", trouble_of_step(seen, job["metadata"]["name"]) or "its pod is being started", None, ""
    return "measuring", _how_far(seen.progress.get(pod["metadata"]["name"], {})), None, ""


def _checked(words: Document, model: Model, device_class: str) -> ProfileSpec:
    """The profile in a pod's last words, if it is of what was to be measured."""
    if "profile" not in words:
        raise Invalid("profile", "its pod is gone, and what it has measured with it")
    spec = unpack_profile(str(words["profile"]), origin="profile")
    measured = spec.model.name, spec.model.image_size, spec.model.precision
    if (spec.device_class, *measured) != (device_class, model.name, model.image_size, model.precision):
        raise Invalid("profile", f"is of {spec.device_class} and {', '.join(map(str, measured))}")
    return spec


def _how_far(progress: Document) -> str:
    if not progress:
        return "starting"
    told, left_s = str(progress.get("doing"))[:MAX_WORDS], progress.get("leftSeconds")
    if left_s is None:
        return told
    rounded_s = -(-int(left_s) // STEP_S) * STEP_S
    return f"{told}, at most {format_duration(rounded_s * 1_000_000)} left"


def _why_failed(job: Document) -> str:
    if any(c.get("reason") == "DeadlineExceeded" for c in job.get("status", {}).get("conditions", ())):
        return f"it took longer than {format_duration(LIMIT_S * 1_000_000)}"
    return "see the log of its pod"


def _phase(pod: Document) -> Any:
    return pod.get("status", {}).get("phase")
