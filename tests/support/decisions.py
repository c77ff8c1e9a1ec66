"""What tests of the operator's decisions are made of: a job as the API server shows it, its Jobs and pods, a node."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dueby_api.conditions import ConditionType
from dueby_api.errors import Invalid
from dueby_api.schema import validate
from dueby_api.status import Condition, JobStatus
from dueby_api.step_messages import ProfilingProgress, StoreWait, WorkerProgress
from dueby_api.units import format_time
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.cluster.host_memory import measured_memory
from dueby_operator.cluster.nodes import Node, read_node
from dueby_operator.control.conditions import condition
from dueby_operator.control.decide import Decisions, decide
from dueby_operator.control.job_decision import JobDecision
from dueby_operator.control.render import render
from dueby_operator.control.snapshot import ClusterSnapshot
from dueby_operator.jobs import names
from dueby_operator.jobs.manifests import read_assignments
from dueby_operator.jobs.pod_state import worker_models
from dueby_operator.model.actions import StepName
from dueby_operator.model.job_snapshot import NOTHING, JobMemory, JobSnapshot, WorkerJob
from dueby_operator.model.writes import Create, Write
from dueby_operator.objects.jobs import BatchJob, ConfigMap
from dueby_operator.objects.nodes import NodeObject
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import Pod
from dueby_operator.settings import OperatorSettings
from dueby_planner.profiles.observed import learn_provision
from support.operator import NOW, SECOND, profile
from support.stored import snapshot

SETTINGS = OperatorSettings(image="dueby/worker:1")
MADE = format_time(NOW)
# The name of the Job of the first plan of `infj()` on CPU slices.
FIRST_WORKERS = names.workers_name("job", "u-1", revision=1, device_class="cpu-1")
Document = dict[str, Any]


def infj(*, status: Document | None = None, metadata: Document | None = None, **spec: Any) -> Document:
    """A job of 10,000 images with a minute, made now."""
    return {
        "apiVersion": "dueby.dev/v1alpha1",
        "kind": "InferenceJob",
        "metadata": {
            "name": "job",
            "namespace": "team",
            "uid": "u-1",
            "generation": 1,
            "resourceVersion": "1",
            "creationTimestamp": MADE,
            **(metadata or {}),
        },
        "spec": {
            "deadline": "60s",
            "model": {"name": "efficientnet_lite0"},
            "source": {"uri": "photos"},
            "sink": {"uri": "rows"},
            **spec,
        },
        **({"status": status} if status else {}),
    }


def indexed(**more: Any) -> Document:
    """The status of a job whose index step is done."""
    said = {"type": "Indexed", "status": "True", "reason": "Indexed", "message": "", "lastTransitionTime": MADE}
    return {"images": 10_000, "fingerprint": "f", "conditions": [said], **more}


def job(
    document: Document,
    *,
    memory: JobMemory = NOTHING,
    steps: Mapping[StepName, Document] | None = None,
    worker_jobs: Sequence[WorkerJob] = (),
    profiling: Sequence[Document] = (),
    pods: Sequence[Document] = (),
    progress: Mapping[str, Document] | None = None,
    step_waits: Mapping[str, Document] | None = None,
    profiling_progress: Mapping[str, Document] | None = None,
    silent_nodes: Collection[str] = (),
    absent: frozenset[tuple[str, int]] = frozenset(),
    **more: Any,
) -> JobSnapshot:
    """The job with its Jobs and pods as the API server shows them, and with what they answer."""
    made = snapshot(document, {document["metadata"]["uid"]: memory})
    found = [parse(Pod, pod) for pod in pods]
    reports = {name: validate(WorkerProgress, said) for name, said in (progress or {}).items()}
    part_size = made.status.plan.part_size if made.status.plan else 1
    workers = worker_models(
        worker_jobs,
        found,
        reports,
        answered_since=dict.fromkeys(reports, NOW),
        part_size=part_size,
        silent_nodes=silent_nodes,
        absent=absent,
        now_us=NOW,
    )
    return replace(
        made,
        steps={name: parse(BatchJob, step) for name, step in (steps or {}).items()},
        worker_jobs=worker_jobs,
        profiling=[parse(BatchJob, each) for each in profiling],
        pods=found,
        progress=reports,
        step_waits={name: validate(StoreWait, said) for name, said in (step_waits or {}).items()},
        profiling_progress={
            name: validate(ProfilingProgress, said) for name, said in (profiling_progress or {}).items()
        },
        absent=absent,
        workers=workers,
        **more,
    )


def node_document(name: str = "n", cpus: int = 8) -> Document:
    """A node without GPUs, as the API server shows it."""
    return {
        "metadata": {"name": name, "labels": {}},
        "spec": {},
        "status": {
            "allocatable": {"cpu": str(cpus), "memory": "64Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def node(name: str = "n", cpus: int = 8, *, slice_cpus: int = 1) -> Node:
    """A node without GPUs."""
    return read_node(parse(NodeObject, node_document(name, cpus)), slice_cpus=slice_cpus)


def cluster(*jobs: JobSnapshot, nodes: Mapping[str, Node] | None = None, **more: Any) -> ClusterSnapshot:
    """One node of eight cores, and the profile of a slice of one. `more` are fields of the snapshot or its devices."""
    found = {"n": node()} if nodes is None else nodes
    own = ("late", "room", "queues", "silent_nodes", "unscheduled", "uncounted")
    of_devices = {name: more.pop(name) for name in own if name in more}
    now_us = more.get("now_us", NOW)
    settings = more.pop("settings", SETTINGS)
    fields = {"now_us": NOW, "profiles": (profile(),), "worker_image": SETTINGS.image, **more}
    host_memory = measured_memory(fields["profiles"])
    of_devices["provision"] = learn_provision(settings.node_pools, fields["profiles"])
    devices = ClusterDevices(settings=settings, now_us=now_us, nodes=found, host_memory=host_memory, **of_devices)
    return ClusterSnapshot(jobs=jobs, devices=devices, nodes=found, **fields)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one pass decides about one job."""

    decisions: Decisions
    decision: JobDecision
    writes: tuple[Write, ...]
    """What carries it out."""

    @property
    def status(self) -> JobStatus:
        """What is to be stored."""
        return self.decision.status

    @property
    def memory(self) -> JobMemory:
        """What is remembered."""
        return self.decision.memory

    @property
    def created(self) -> list[Create]:
        """The Jobs that are made."""
        return [write for write in self.writes if isinstance(write, Create)]

    @property
    def started_names(self) -> list[str]:
        """The names of the Jobs that are made."""
        return [create.job["metadata"]["name"] for create in self.created]

    def condition(self, kind: str) -> Condition:
        """The condition of this type, which must be there."""
        found = condition(self.status, ConditionType(kind))
        assert found is not None, f"there is no condition {kind}"
        return found

    def said(self, kind: str) -> tuple[str, str]:
        """Status and reason of the condition."""
        found = self.condition(kind)
        return found.status, found.reason

    def message(self, kind: str) -> str:
        """The condition's message."""
        return self.condition(kind).message


def look_at(seen: ClusterSnapshot) -> list[Look]:
    """Decide on all jobs, in the order of their deadlines."""
    decisions = decide(seen)
    devices = decisions.left.devices
    assert isinstance(devices, ClusterDevices)
    return [
        Look(decisions=decisions, decision=decision, writes=_writes(decision, devices)) for decision in decisions.jobs
    ]


def look(seen: JobSnapshot | Document, **more: Any) -> Look:
    """Decide on one job, alone in the cluster."""
    (found,) = look_at(cluster(seen if isinstance(seen, JobSnapshot) else job(seen), **more))
    return found


def worker_job_of(create: Create, **status: Any) -> WorkerJob:
    """The Job that was to be created, as it is once it is there."""
    metadata = {**create.job["metadata"], "uid": "j", "creationTimestamp": MADE}
    found = parse(BatchJob, {**create.job, "metadata": metadata, "status": status})
    revision = int(found.metadata.labels[names.REVISION])
    assignments = read_assignments(parse(ConfigMap, create.config_map))
    return WorkerJob(job=found, revision=revision, assignments=assignments)


def pod_of(create: Create, index: int = 0, *, node: str = "n", **status: Any) -> Document:
    """A running pod of the Job."""
    metadata = create.job["metadata"]
    labels = {**metadata["labels"], names.JOB_OF_POD: metadata["name"], names.INDEX_OF_POD: str(index)}
    return {
        "metadata": {"name": f"{metadata['name']}-{index}", "labels": labels, "creationTimestamp": MADE},
        "spec": {"nodeName": node},
        "status": {"phase": "Running", "podIP": "10.0.0.1", **status},
    }


@dataclass(frozen=True, kw_only=True)
class Started:
    """A job whose plan was just made, once its pods run and say nothing yet."""

    look: Look
    document: Document
    """With its status."""
    worker_jobs: list[WorkerJob]
    pods: list[Document]

    @property
    def name(self) -> str:
        """The name of the Job of its workers."""
        return self.worker_jobs[0].name

    def job(self, **changes: Any) -> JobSnapshot:
        """As it is seen then."""
        fields: dict[str, Any] = {"worker_jobs": self.worker_jobs, "pods": self.pods, "memory": self.look.memory}
        fields |= changes
        return job(fields.pop("document", self.document), **fields)

    def once_seen(self) -> "Started":
        """As it is after the next pass, which has seen the workers."""
        second = look(self.job(), now_us=NOW + SECOND)
        return replace(self, look=second, document={**self.document, "status": second.status.document()})


def started(**spec: Any) -> Started:
    """Plan a job and start its workers."""
    first = look(infj(status=indexed(), **spec))
    (create,) = first.created
    return Started(
        look=first,
        document=infj(status=first.status.document(), **spec),
        worker_jobs=[worker_job_of(create)],
        pods=[pod_of(create, index) for index in range(create.job["spec"]["completions"])],
    )


def a_batch(**more: Any) -> Document:
    """What a worker reports after its first mini-batch."""
    return {
        "batches": 1,
        "imagesDone": 16,
        "imagesPerSecond": 160,
        "secondsSinceBatch": 0.0,
        "stepMicros": 100_000,
        **more,
    }


def _writes(decision: JobDecision, devices: ClusterDevices) -> tuple[Write, ...]:
    if isinstance(decision.manifest, Invalid):
        return ()
    return render(decision.actions, decision.job, decision.manifest, devices)


__all__ = ["NOW", "SECOND"]
