"""Pods: what they ask for, and how they are."""

from collections.abc import Iterable, Mapping
from itertools import islice

from dueby_api.quantities import Amount
from dueby_api.schema import LenientSpec, field
from dueby_operator.objects.meta import KubeObject, StatusCondition, own_meta

# The container of a step's pod. Others, such as a mesh's sidecar, are none of ours.
CONTAINER = "dueby"
# The condition in which the scheduler says why no node takes a pod.
SCHEDULED = "PodScheduled"


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
        begun = self.running or self.terminated
        return begun.started_at if begun else None


class ContainerStatus(LenientSpec, frozen=True, kw_only=True):
    """A container as the kubelet sees it."""

    name: str = ""
    state: ContainerState = field(default_factory=ContainerState)
    image_id: str = field(default="", name="imageID")


class PodStatus(LenientSpec, frozen=True, kw_only=True):
    """A pod as the scheduler and the kubelet see it."""

    phase: str = ""
    pod_ip: str = field(default="", name="podIP")
    conditions: tuple[StatusCondition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


class Resources(LenientSpec, frozen=True, kw_only=True):
    """What a container, or a pod as a whole, asks for and may use."""

    requests: dict[str, Amount] = field(default_factory=dict)
    limits: dict[str, Amount] = field(default_factory=dict)

    def bounded(self) -> "Resources":
        """Return some of them, which are all in what a pod of a job can ask for."""
        return Resources(requests=_some(self.requests), limits=_some(self.limits))


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
    resources: Resources = field(default_factory=Resources)
    """What is said of the pod as a whole counts instead of what its containers say."""


# Of a pod of the operator's, with what a mesh and others add. No node has more kinds of resources.
MAX_CONTAINERS, MAX_RESOURCES = 32, 64
# Of such a pod, as JSON: what a node's pod is to measure has 16 KiB at most, and what it says at its end 4.
MAX_OWN_BYTES = 2**15


def own_spec(spec: PodSpec) -> PodSpec:
    """Return the spec with so many containers, and so many resources in each, as a pod of a job can have."""
    return spec.replace(
        containers=_bounded(spec.containers),
        init_containers=_bounded(spec.init_containers),
        overhead=_some(spec.overhead),
        resources=spec.resources.bounded(),
    )


def _bounded(containers: Iterable[Container]) -> tuple[Container, ...]:
    some = islice(containers, MAX_CONTAINERS)
    return tuple(container.replace(resources=container.resources.bounded()) for container in some)


def _some(amounts: Mapping[str, Amount]) -> dict[str, Amount]:
    return dict(islice(amounts.items(), MAX_RESOURCES))


class Pod(KubeObject, frozen=True, kw_only=True):
    """A pod."""

    spec: PodSpec = field(default_factory=PodSpec)
    status: PodStatus = field(default_factory=PodStatus)

    def own_part(self) -> "Pod | None":
        """Return what is kept of a pod of a job; None if it is more than such a pod has."""
        statuses = tuple(status for status in self.status.container_statuses if status.name == CONTAINER)
        conditions = tuple(condition for condition in self.status.conditions if condition.type == SCHEDULED)
        reduced = self.replace(
            metadata=own_meta(self.metadata),
            spec=own_spec(self.spec),
            status=self.status.replace(container_statuses=statuses[:1], conditions=conditions[:1]),
        )
        return reduced if reduced.length <= MAX_OWN_BYTES else None

    @property
    def container(self) -> ContainerStatus | None:
        """The step's container, once the kubelet has seen it."""
        return next((status for status in self.status.container_statuses if status.name == CONTAINER), None)
