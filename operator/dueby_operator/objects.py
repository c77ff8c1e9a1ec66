"""Kubernetes objects as far as this operator reads them: typed, with unknown fields ignored.

What the API server sends is parsed into these classes once, where it comes in (kube/gather.py, kube/reflector.py), and
everything else works with them. Manifests that the operator sends are plain documents (jobs/manifests.py).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from dueby_api.errors import Invalid
from dueby_api.schema import LenientSpec, field, validate
from dueby_api.units import to_micros

Amount = str | int | float
"""A Kubernetes quantity: 500m, 4 or 2Gi."""
# Indexed Jobs may not have more; what says otherwise is not believed.
MAX_INDEX = 100_000


class OwnerReference(LenientSpec, frozen=True, kw_only=True):
    """Whom an object goes with."""

    kind: str = ""
    name: str = ""
    uid: str = ""


class ObjectMeta(LenientSpec, frozen=True, kw_only=True):
    """Name, labels and age of an object."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    generation: int = 1
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    owner_references: tuple[OwnerReference, ...] = ()

    @property
    def created_us(self) -> int | None:
        """When it was made, in microseconds since 1970; None before the API server has said."""
        return micros_of(self.creation_timestamp)

    @property
    def is_deleting(self) -> bool:
        """Whether it is on its way out."""
        return self.deletion_timestamp is not None

    def is_owned_by(self, uid: str) -> bool:
        """Return whether it goes with the object of this uid."""
        return any(owner.uid == uid for owner in self.owner_references)


class ContainerTerminated(LenientSpec, frozen=True, kw_only=True):
    """How a container ended."""

    exit_code: int | None = None
    message: str = ""
    reason: str = ""
    started_at: str | None = None
    finished_at: str | None = None


class ContainerWaiting(LenientSpec, frozen=True, kw_only=True):
    """Why a container isn't running yet."""

    reason: str = ""
    message: str = ""


class ContainerRunning(LenientSpec, frozen=True, kw_only=True):
    """Since when a container runs."""

    started_at: str | None = None


class ContainerState(LenientSpec, frozen=True, kw_only=True):
    """One of the three."""

    waiting: ContainerWaiting | None = None
    running: ContainerRunning | None = None
    terminated: ContainerTerminated | None = None

    @property
    def started_at(self) -> str | None:
        """When the container started, if it has."""
        found = self.running or self.terminated
        return found.started_at if found else None


class ContainerStatus(LenientSpec, frozen=True, kw_only=True):
    """A container as the kubelet sees it."""

    state: ContainerState = field(default_factory=ContainerState)
    image_id: str = field(default="", name="imageID")


class StatusCondition(LenientSpec, frozen=True, kw_only=True):
    """A condition of a pod, a node or a Job."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class PodStatus(LenientSpec, frozen=True, kw_only=True):
    """A pod as the scheduler and the kubelet see it."""

    phase: str = ""
    pod_ip: str = field(default="", name="podIP")
    conditions: tuple[StatusCondition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


class Resources(LenientSpec, frozen=True, kw_only=True):
    """What a container asks for and may use."""

    requests: dict[str, Amount] = field(default_factory=dict)
    limits: dict[str, Amount] = field(default_factory=dict)


class Container(LenientSpec, frozen=True, kw_only=True):
    """A container of a pod."""

    name: str = ""
    image: str = ""
    resources: Resources = field(default_factory=Resources)
    restart_policy: str = ""


class PodSpec(LenientSpec, frozen=True, kw_only=True):
    """What a pod is made of."""

    node_name: str = ""
    priority: int = 0
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    overhead: dict[str, Amount] = field(default_factory=dict)


class Pod(LenientSpec, frozen=True, kw_only=True):
    """A pod."""

    metadata: ObjectMeta
    spec: PodSpec = field(default_factory=PodSpec)
    status: PodStatus = field(default_factory=PodStatus)

    @property
    def name(self) -> str:
        """Its name."""
        return self.metadata.name


class PodTemplate(LenientSpec, frozen=True, kw_only=True):
    """What a Job's pods are made of."""

    spec: PodSpec = field(default_factory=PodSpec)


class BatchJobSpec(LenientSpec, frozen=True, kw_only=True):
    """What a Job is to do."""

    completions: int = 0
    suspend: bool = False
    template: PodTemplate = field(default_factory=PodTemplate)


class BatchJobStatus(LenientSpec, frozen=True, kw_only=True):
    """How far a Job is."""

    conditions: tuple[StatusCondition, ...] = ()
    completed_indexes: str = ""
    failed_indexes: str = ""
    start_time: str | None = None
    completion_time: str | None = None


class BatchJob(LenientSpec, frozen=True, kw_only=True):
    """A Job of Kubernetes."""

    metadata: ObjectMeta
    spec: BatchJobSpec = field(default_factory=BatchJobSpec)
    status: BatchJobStatus = field(default_factory=BatchJobStatus)

    @property
    def name(self) -> str:
        """Its name."""
        return self.metadata.name

    @property
    def is_complete(self) -> bool:
        """Whether it has succeeded."""
        return self._has("Complete")

    @property
    def is_failed(self) -> bool:
        """Whether it was given up."""
        return self._has("Failed")

    @property
    def is_over(self) -> bool:
        """Whether it has ended, well or not."""
        return self.is_complete or self.is_failed

    def _has(self, condition: str) -> bool:
        return any(found.type == condition and found.status == "True" for found in self.status.conditions)


class TemplateMeta(LenientSpec, frozen=True, kw_only=True):
    """Labels and annotations of a template."""

    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


class JobTemplate(LenientSpec, frozen=True, kw_only=True):
    """What a CronJob makes Jobs of. The spec is copied into a Job as it is, so it stays a document."""

    metadata: TemplateMeta = field(default_factory=TemplateMeta)
    spec: dict[str, Any] = field(default_factory=dict)


class CronJobSpec(LenientSpec, frozen=True, kw_only=True):
    """When a CronJob makes which Jobs."""

    schedule: str = ""
    time_zone: str = ""
    suspend: bool = False
    job_template: JobTemplate = field(default_factory=JobTemplate)


class CronJob(LenientSpec, frozen=True, kw_only=True):
    """A CronJob of Kubernetes."""

    metadata: ObjectMeta
    spec: CronJobSpec = field(default_factory=CronJobSpec)

    @property
    def name(self) -> str:
        """Its name."""
        return self.metadata.name


class Taint(LenientSpec, frozen=True, kw_only=True):
    """What keeps pods off a node."""

    key: str = ""
    value: str = ""
    effect: str = ""


class Toleration(LenientSpec, frozen=True, kw_only=True):
    """A taint that a pod bears."""

    key: str = ""
    """Empty: any."""
    operator: str = ""
    """Exists or Equal, which is the default."""
    value: str = ""
    effect: str = ""
    """Empty: any."""

    def covers(self, taint: Taint) -> bool:
        """Return whether a pod with this toleration bears the taint."""
        if self.effect not in ("", taint.effect):
            return False
        if self.operator == "Exists":
            return self.key in ("", taint.key)
        return (self.key, self.value) == (taint.key, taint.value)


class NodeSpec(LenientSpec, frozen=True, kw_only=True):
    """What is said of a node."""

    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class NodeStatus(LenientSpec, frozen=True, kw_only=True):
    """What a node has, and how it is."""

    allocatable: dict[str, Amount] = field(default_factory=dict)
    conditions: tuple[StatusCondition, ...] = ()


class NodeObject(LenientSpec, frozen=True, kw_only=True):
    """A node as the API server shows it; cluster/nodes.py makes a Node of it."""

    metadata: ObjectMeta
    spec: NodeSpec = field(default_factory=NodeSpec)
    status: NodeStatus = field(default_factory=NodeStatus)


class QuotaStatus(LenientSpec, frozen=True, kw_only=True):
    """What a ResourceQuota allows and what is used of it."""

    hard: dict[str, Amount] = field(default_factory=dict)
    used: dict[str, Amount] = field(default_factory=dict)


class ResourceQuota(LenientSpec, frozen=True, kw_only=True):
    """A bound on what the pods of a namespace ask for together."""

    metadata: ObjectMeta
    status: QuotaStatus = field(default_factory=QuotaStatus)


Parsed = TypeVar("Parsed", bound=LenientSpec)


def parse(kind: type[Parsed], document: Mapping[str, Any]) -> Parsed:
    """Return the object. Raise Invalid, with its name, if it isn't of this kind."""
    try:
        return validate(kind, document)
    except Invalid:
        # Some programs send null for what is absent, and the API server keeps it in places.
        return validate(kind, _without_nulls(document), origin=_name_of(document))


def micros_of(moment: str | None) -> int | None:
    """Return the microseconds since 1970 of a Kubernetes time; None if there is none, or none that can be read."""
    if moment is None:
        return None
    try:
        return to_micros(datetime.fromisoformat(moment))
    except (ValueError, TypeError):  # TypeError: it has no offset from UTC
        return None


def parse_indices(text: str) -> frozenset[int]:
    """Return the numbers of `1,3-5`, as a Job's status lists them. What is no such list holds none."""
    found: set[int] = set()
    for run in filter(None, text.split(",")):
        first, _, last = run.partition("-")
        last = last or first
        if first.isdecimal() and last.isdecimal():
            found.update(range(int(first), min(int(last), MAX_INDEX) + 1))
    return frozenset(found)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _name_of(document: Mapping[str, Any]) -> str:
    metadata = document.get("metadata")
    return str(metadata.get("name", "")) if isinstance(metadata, Mapping) else ""
