"""From what the API server lists and the workers say to the view that decide() takes. Pure.

A worker is an index of an Indexed Job. Its pod may be replaced several times and it stays the same worker, with the
same share: the Job's own controller sees to that. It is lost when the Job has given the index up, when its node says
nothing and neither does it, or when for some time there is no node for it; in these two cases it may come back.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from dueby_api.errors import Invalid
from dueby_api.schema import validate
from dueby_api.step_messages import EXIT_INVALID, WorkerProgress
from dueby_api.units import to_micros
from dueby_operator.control.model import Assignment, WorkerState, WorkerView, worker_view
from dueby_operator.jobs import names

Document = Mapping[str, Any]
# A worker without a node for so long is planned without.
ABSENT_US = 30_000_000
# Reasons of the kubelet that don't go away by themselves.
NOT_STARTING = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"}
)


@dataclass(frozen=True, kw_only=True)
class Crew:
    """A Job of workers: one revision, one device class."""

    job: Document
    assignments: Sequence[Assignment]
    """By index."""

    @property
    def name(self) -> str:
        """The Job's."""
        return str(self.job["metadata"]["name"])

    @cached_property
    def done(self) -> set[int]:
        """Indices that have ended well."""
        return _indices(self.job.get("status", {}).get("completedIndexes"))

    @cached_property
    def given_up(self) -> set[int]:
        """Indices that the Job doesn't start anew."""
        return _indices(self.job.get("status", {}).get("failedIndexes"))

    @property
    def revision(self) -> int:
        """The plan's."""
        return int(self.job["metadata"]["labels"][names.REVISION])


@dataclass(frozen=True, kw_only=True)
class Seen:
    """All that was seen of one InferenceJob."""

    document: Document
    steps: Mapping[str, Document] = field(default_factory=dict)
    """The Jobs of the steps there are once: index, finish."""
    profiling: Sequence[Document] = ()
    """The Jobs that measure device classes for it."""
    crews: Sequence[Crew] = ()
    pods: Sequence[Document] = ()
    """Of all those Jobs."""
    progress: Mapping[str, Document] = field(default_factory=dict)
    """What /progress said, by pod."""
    parts_there: frozenset[int] = frozenset()
    """Parts in the sink, as the workers know."""
    now_us: int = 0
    silent_nodes: frozenset[str] = frozenset()
    """Nodes whose kubelet has stopped renewing its Lease."""
    absent_since: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """Since when, in microseconds since 1970, there is no node for a worker, by Job and index."""

    @property
    def namespace(self) -> str:
        """The job's."""
        return str(self.document["metadata"]["namespace"])

    @cached_property
    def workers(self) -> tuple[WorkerView, ...]:
        """Every worker that was ever started, in the order of its start."""
        return worker_views(self)


def micros_of(moment: str | None) -> int | None:
    """Microseconds since 1970 of a Kubernetes time."""
    return None if moment is None else to_micros(datetime.fromisoformat(moment))


def worker_views(seen: Seen) -> tuple[WorkerView, ...]:
    """Every worker that was ever started, in the order of its start."""
    pods = latest_pods(seen.pods)
    return tuple(
        _worker_view(seen, crew, index, pods.get((crew.name, index)))
        for crew in sorted(seen.crews, key=lambda crew: (crew.revision, crew.name))
        for index in range(len(crew.assignments))
    )


def absent_workers(seen: Seen) -> Iterator[tuple[str, int]]:
    """Job and index of the workers that should be there and have no pod, or one that no node takes.

    Not of a Job that its controller hasn't come to yet. By default that makes 20 pods a second, of all Jobs of the
    cluster: help for such workers would wait behind them.
    """
    pods = latest_pods(seen.pods)
    for crew in seen.crews:
        if not crew.job.get("status", {}).get("startTime"):
            continue
        for index in range(len(crew.assignments)):
            pod = pods.get((crew.name, index))
            if _rest_state(crew, index) is None and (pod is None or unschedulable(pod)):
                yield crew.name, index


def running_pods(seen: Seen, step: str = "work") -> list[Document]:
    """Pods of workers that answer questions: with an address, and not about to end."""
    return [
        pod
        for pod in seen.pods
        if pod["metadata"]["labels"].get(names.STEP) == step
        and pod.get("status", {}).get("phase") == "Running"
        and pod["status"].get("podIP")
        and "deletionTimestamp" not in pod["metadata"]
    ]


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a pod ended."""

    words: Mapping[str, Any]
    """Its termination message."""
    exit_code: int | None
    """None while none has ended."""

    @property
    def sentence(self) -> str:
        """What was wrong, with the field where there is one; empty where nothing was said."""
        return ": ".join(str(self.words[key]) for key in ("field", "error") if self.words.get(key))

    @property
    def is_final(self) -> bool:
        """Whether the same step would end so again: the input is wrong."""
        return self.exit_code == EXIT_INVALID


def ending_of(pods: Iterable[Document], job_name: str) -> Ending:
    """How the Job's pod ended that ended last."""
    ended = [
        terminated
        for pod in pods
        if pod["metadata"]["labels"].get(names.JOB_OF_POD) == job_name
        for container in pod.get("status", {}).get("containerStatuses", ())
        if (terminated := container.get("state", {}).get("terminated"))
    ]
    if not ended:
        return Ending(words={}, exit_code=None)
    last = max(ended, key=lambda terminated: terminated.get("finishedAt") or "")
    words = read_words(last.get("message") or last.get("reason") or "")
    return Ending(words=words, exit_code=last.get("exitCode"))


def unscheduled(job: Document, pods: Iterable[Document]) -> int:
    """How many workers of the Job are still wanted and have no pod on a node."""
    status, completions = job.get("status", {}), int(job["spec"].get("completions") or 0)
    if is_failed(job) or "deletionTimestamp" in job["metadata"]:
        return 0
    ended = _indices(status.get("completedIndexes")) | _indices(status.get("failedIndexes"))
    placed: int = sum(
        pod["metadata"]["labels"].get(names.JOB_OF_POD) == job["metadata"]["name"]
        and bool(pod["spec"].get("nodeName"))
        and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
        for pod in pods
    )
    return max(0, completions - len(ended) - placed)


def unschedulable(pod: Document) -> str:
    """Why no node takes the pod, in the scheduler's words; empty where one does, or none was looked for yet."""
    for found in pod.get("status", {}).get("conditions", ()):
        if found["type"] == "PodScheduled" and found["status"] == "False":
            return str(found.get("message") or found.get("reason"))
    return ""


def not_starting(pod: Document) -> str:
    """Why the pod's container doesn't start, in the kubelet's words; empty where nothing is wrong."""
    for container in pod.get("status", {}).get("containerStatuses", ()):
        waiting = container.get("state", {}).get("waiting", {})
        if waiting.get("reason") in NOT_STARTING:
            return ": ".join(filter(None, (waiting["reason"], waiting.get("message"))))
    return ""


def is_queued(job: Document) -> bool:
    """Whether the Job waits for Kueue to set it going."""
    return bool(job["spec"].get("suspend")) and names.QUEUE in job["metadata"]["labels"]


def is_complete(job: Document) -> bool:
    """Whether the Job has succeeded."""
    return _condition(job, "Complete")


def is_failed(job: Document) -> bool:
    """Whether the Job was given up."""
    return _condition(job, "Failed")


def _condition(job: Document, name: str) -> bool:
    return any(c["type"] == name and c["status"] == "True" for c in job.get("status", {}).get("conditions", ()))


def latest_pods(pods: Iterable[Document]) -> dict[tuple[str, int], Document]:
    """The youngest pod of each index of each Job."""
    latest: dict[tuple[str, int], Document] = {}
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"])):
        labels = pod["metadata"]["labels"]
        if names.INDEX_OF_POD in labels:
            latest[labels[names.JOB_OF_POD], int(labels[names.INDEX_OF_POD])] = pod
    return latest


def _worker_view(seen: Seen, crew: Crew, index: int, pod: Document | None) -> WorkerView:
    assignment = crew.assignments[index]
    progress = {} if pod is None else seen.progress.get(pod["metadata"]["name"], {})
    # Without a pod: since its Job was begun, which may be later than it was made, or still to come.
    made = pod["metadata"]["creationTimestamp"] if pod else crew.job.get("status", {}).get("startTime")
    return worker_view(
        assignment,
        _rest_state(crew, index) or _pod_state(seen, crew, index, pod, progress),
        created_us=micros_of(made) or seen.now_us,
        progress=_typed(progress),
        part_size=int(seen.document.get("status", {}).get("plan", {}).get("partSize") or 1),
    )


def _typed(progress: Document) -> WorkerProgress:
    try:
        return validate(WorkerProgress, progress)
    except Invalid:
        return WorkerProgress()


def _rest_state(crew: Crew, index: int) -> WorkerState | None:
    """The state of a worker that isn't meant to work now, whatever its pod does; None for one that is."""
    if index >= int(crew.job["spec"].get("completions") or 0):
        return "stopped"
    if index in crew.done:
        return "done"
    if index in crew.given_up or is_failed(crew.job):
        return "lost"
    if is_queued(crew.job):
        return "queued"
    if crew.job["spec"].get("suspend") or "deletionTimestamp" in crew.job["metadata"]:
        return "stopped"
    return None


def _pod_state(seen: Seen, crew: Crew, index: int, pod: Document | None, progress: Document) -> WorkerState:
    absent_us = seen.absent_since.get((crew.name, index))
    if absent_us is not None and seen.now_us - absent_us > ABSENT_US:
        return "lost"
    if pod is None or pod.get("status", {}).get("phase") != "Running":
        return "starting"
    if not progress and pod["spec"].get("nodeName") in seen.silent_nodes:
        return "lost"
    return "running" if progress.get("batches") else "starting"


def _indices(text: str | None) -> set[int]:
    """The numbers of `1,3-5`."""
    found: set[int] = set()
    for run in filter(None, (text or "").split(",")):
        first, _, last = run.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def progress_of_ended(pods: Sequence[Document]) -> dict[str, dict[str, Any]]:
    """What workers that have ended said last."""
    found = {}
    for pod in pods:
        for container in pod.get("status", {}).get("containerStatuses", ()):
            ended = container.get("state", {}).get("terminated")
            if ended and (progress := read_words(ended.get("message") or "").get("progress")):
                found[pod["metadata"]["name"]] = {**progress, "imagesPerSecond": 0}
    return found


def read_words(text: str) -> dict[str, Any]:
    """A termination message: JSON of ours, or whatever it was as its `error`."""
    try:
        said = json.loads(text)
    except ValueError:
        return {"error": text} if text else {}
    return said if isinstance(said, dict) else {}
