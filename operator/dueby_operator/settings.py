"""What the operator is told when it starts: the worker's image and sizes, and profiling on nodes. Values only.

Profiling on nodes is one option in JSON, since it is one part of the chart's values and has lists in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from dueby_api.budgets import BudgetList, NamespaceBudget
from dueby_api.capacity import (
    AnnouncedDevices,
    CapacityList,
    ClockTime,
    NodePool,
    NodePools,
    RequestKind,
    SpotNodes,
    Timed,
)
from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_api.prices import PriceFile
from dueby_api.schema import Duration, Meta, Spec, decode, require_duration
from dueby_api.store_limits import StoreLimits, StoreList
from dueby_api.units import MICROS_PER_SECOND, parse_duration_us
from dueby_api.volumes import ClaimVolume, HostPathVolume
from dueby_planner.deadline_classes import NO_LIMITS, Promises
from dueby_planner.model.cost import Tariff, tariff_of

# In place of a namespace: all of them.
EVERYWHERE = ""
# Where a GPU's class is read from, the first label that is there: GPU feature discovery, GKE, AMD's labeller.
CLASS_LABELS = ("nvidia.com/gpu.product", "cloud.google.com/gke-accelerator", "amd.com/gpu.product-name")


class ProfilingWindow(Spec, frozen=True, kw_only=True):
    """When nodes are measured: each at a time of its own within some hours of a day."""

    start: ClockTime = "01:00"
    """When the window begins."""
    hours: Annotated[int, Meta(ge=1, le=24)] = 4
    """How long the window is."""
    days: Annotated[str, Meta(pattern=r"^[0-9A-Za-z*,/-]{1,32}$")] = "*"
    """Days of the week, as in a CronJob."""
    time_zone: Annotated[str, Meta(max_length=64)] = ""
    """Time zone; empty: the cluster's own. Some API servers know no zone, not even Etc/UTC."""

    @property
    def start_minutes(self) -> int:
        """Minutes from midnight to the start."""
        hours, _, minutes = self.start.partition(":")
        return 60 * int(hours) + int(minutes)


class ProfilerSettings(Spec, frozen=True, kw_only=True):
    """The profiler on each node with GPUs."""

    namespace: str
    """The release's, where the CronJobs are."""
    name: str
    """Name of its ServiceAccount, which may do nothing, and of its PriorityClass, which is below every worker's."""
    enabled: bool = True
    """Whether there is a profiler. If not, what it has made is deleted."""
    window: ProfilingWindow = ProfilingWindow()
    """When it measures."""
    models: tuple[Model, ...] = ()
    """Models that are measured on every node with GPUs, besides those of jobs."""
    time_limit: Duration = "1h"
    """After this long a node's run is over, whether or not a device was idle."""
    tolerations: tuple[dict[str, Any], ...] = ()
    """Taints that its pods tolerate besides those that workers tolerate."""

    def __post_init__(self) -> None:
        require_duration("timeLimit", self.time_limit)

    @property
    def on_demand_priority(self) -> str:
        """The PriorityClass of what a job waits for: above what is measured on a clock, and below every worker's."""
        return f"{self.name}-on-demand"

    @property
    def limit_s(self) -> int:
        """The time limit in seconds, at least one."""
        return max(1, parse_duration_us(self.time_limit) // MICROS_PER_SECOND)


class MaintenanceWindows(Spec, frozen=True, kw_only=True):
    """The value of the option --maintenance."""

    windows: Annotated[tuple[Timed, ...], Meta(max_length=100)]


class CacheVolume(Spec, frozen=True, kw_only=True):
    """The value of the option --cache-volume: one of these."""

    persistent_volume_claim: ClaimVolume | None = None
    """A claim of this name in each namespace with jobs, and in the profiler's."""
    host_path: HostPathVolume | None = None
    """A folder of each node, which is the worker's user's."""

    def __post_init__(self) -> None:
        if (self.persistent_volume_claim is None) == (self.host_path is None):
            raise ValueError("give one of persistentVolumeClaim and hostPath")


@dataclass(frozen=True, kw_only=True)
class OperatorSettings:
    """What all jobs of this operator have in common."""

    image: str
    """The worker image of jobs that name none."""
    pull_policy: str = "IfNotPresent"
    """When that image is pulled."""
    gpu_worker_cpus: int = 2
    """Cores of a GPU's worker, for decoding, at least, if the job's `worker.resources` don't say."""
    slice_cpus: int = 1
    """Cores of each CPU slice of a node whose label doesn't say."""
    worker_memory: str = "2Gi"
    """Memory of a worker, likewise."""
    memory_limit_factor: float = 4.0
    """How many times the memory that it asks for a worker or a step may use, if the job's own limits don't say.

    Of 2 GiB a worker usually needs a quarter, and beside a GPU more than half for CUDA. But a thread that decodes an
    image of 100 million pixels holds 600 MB for a moment, and a large mini-batch on cores takes a few GB."""
    scratch_size: str = "16Gi"
    """The most that a pod may keep on its node's disk: weights and compiled models, of which the largest have 3 GB."""
    cache: CacheVolume | None = None
    """Where workers and profilers keep compiled models; None: each pod for itself, as long as it is there."""
    worker_grace_s: int = 30
    """How long a worker that is told to stop may take to finish the part that it has open."""
    runtime_class: str = ""
    """The RuntimeClass of pods with a GPU, if the job names none; empty: the container runtime's default."""
    best_effort_priority: str = ""
    """The PriorityClass of BestEffort jobs' workers, if the job names none; empty: as other pods."""
    ttl_after_finished: str = ""
    """How long a job that is over is kept, if it doesn't say; empty: permanently."""
    class_labels: tuple[str, ...] = CLASS_LABELS
    """Node labels that say which GPU a node has; the first that a node has counts."""
    profiler: ProfilerSettings | None = None
    """Profiling on nodes; None: there is none, and nothing of it is looked for."""
    maintenance: tuple[Timed, ...] = ()
    """When nodes are not there."""
    capacity: tuple[AnnouncedDevices, ...] = ()
    """Devices that come and go."""
    node_pools: tuple[NodePool, ...] = ()
    """Pools that are asked for nodes."""
    spot: SpotNodes = field(default_factory=SpotNodes)
    """What is assumed of spot nodes."""
    promises: Promises = NO_LIMITS
    """What may be promised to jobs."""
    stores: tuple[StoreLimits, ...] = ()
    """What stores serve, by prefix of what jobs read."""
    tariff: Tariff | None = None
    """What devices cost; None: nobody has said it."""
    budgets: Mapping[str, NamespaceBudget] = field(default_factory=dict)
    """What the jobs of a namespace may use, by namespace; `*`: each one that is not named."""
    watch_namespaces: tuple[str, ...] = ()
    """Namespaces whose jobs are this operator's; empty: all."""
    ignores_other_pods: bool = False
    """Whether pods of other namespaces are not read. What they use counts as free then."""

    names_nodes: bool = False
    """Whether jobs' messages name nodes, and say what is free on each: whoever may read a job reads them."""

    @property
    def time_to_live_us(self) -> int | None:
        """That time in microseconds; None: permanently."""
        return parse_duration_us(self.ttl_after_finished) if self.ttl_after_finished else None

    @property
    def request_kinds(self) -> frozenset[RequestKind]:
        """Kinds of objects by which pools are asked for nodes."""
        return frozenset(pool.ask for pool in self.node_pools if pool.ask != "PendingPods")

    def pool(self, name: str) -> NodePool | None:
        """Return the pool of this name; None if there is none."""
        return next((pool for pool in self.node_pools if pool.name == name), None)

    @property
    def job_namespaces(self) -> tuple[str, ...]:
        """Where there may be jobs."""
        return self.watch_namespaces or (EVERYWHERE,)

    @property
    def pod_namespaces(self) -> tuple[str, ...]:
        """Where pods are read: everywhere, or where jobs and the profiler's pods are."""
        if not self.ignores_other_pods:
            return (EVERYWHERE,)
        of_profiler = (self.profiler.namespace,) if self.profiler else ()
        return tuple(dict.fromkeys([*self.watch_namespaces, *of_profiler]))


def read_profiler(text: str) -> ProfilerSettings:
    """Return the value of the option --profiler. Raise Invalid with the field that is wrong."""
    return decode(ProfilerSettings, text, origin="--profiler")


def read_cache(text: str) -> CacheVolume:
    """Return the value of the option --cache-volume. Raise Invalid with the field that is wrong."""
    return decode(CacheVolume, text, origin="--cache-volume")


def read_promises(text: str) -> Promises:
    """Return the value of the option --promises. Raise Invalid with the field that is wrong."""
    return decode(Promises, text, origin="--promises")


def read_stores(text: str) -> tuple[StoreLimits, ...]:
    """Return the value of the option --stores. Raise Invalid with the field that is wrong."""
    return decode(StoreList, text, origin="--stores").stores


def read_maintenance(text: str) -> tuple[Timed, ...]:
    """Return the value of the option --maintenance. Raise Invalid with the field that is wrong."""
    return decode(MaintenanceWindows, text, origin="--maintenance").windows


def read_capacity(text: str) -> tuple[AnnouncedDevices, ...]:
    """Return the value of the option --capacity. Raise Invalid with the field that is wrong."""
    return decode(CapacityList, text, origin="--capacity").capacity


def read_node_pools(text: str) -> tuple[NodePool, ...]:
    """Return the value of the option --node-pools. Raise Invalid with the field that is wrong."""
    return decode(NodePools, text, origin="--node-pools").node_pools


def read_spot(text: str) -> SpotNodes:
    """Return the value of the option --spot. Raise Invalid with the field that is wrong."""
    return decode(SpotNodes, text, origin="--spot")


def read_prices(text: str) -> Tariff:
    """Return the value of the option --prices. Raise Invalid with the field that is wrong."""
    return tariff_of(decode(PriceFile, text, origin="--prices").prices, origin="--prices: prices")


def read_budgets(text: str) -> Mapping[str, NamespaceBudget]:
    """Return the value of the option --budgets. Raise Invalid with the field that is wrong."""
    return decode(BudgetList, text, origin="--budgets").budgets


def require_prices_of_budgets(budgets: Mapping[str, NamespaceBudget], tariff: Tariff | None) -> None:
    """Raise Invalid unless the budgets can be judged by these prices."""
    if budgets and tariff is None:
        raise Invalid("--budgets", "needs prices: without them nothing of what jobs use is recorded; set prices, too")
    for name, budget in budgets.items():
        if tariff is not None and budget.money is not None:
            tariff.require_currency(budget.money, origin=f"--budgets: budgets.{name}.cost")
