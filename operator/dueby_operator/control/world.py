"""What the control loop sees of the cluster at one moment, and what it remembers between two."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import InferenceJob
from dueby_operator.cluster import quotas
from dueby_operator.cluster.kueue import Queue
from dueby_operator.cluster.nodes import CPU_CLASS, DeviceKind, Need, Node, device_kinds, free_devices
from dueby_operator.control.writes import Put, Write
from dueby_operator.jobs import names
from dueby_planner.replan import FRESH, LagMemory

Document = dict[str, Any]
Key = tuple[str, str]


@dataclass(kw_only=True)
class World:
    """What all jobs have in common at one moment."""

    now_us: int
    nodes: dict[str, Node]
    profiles: tuple[GPUProfile, ...] = ()
    jobs: list[Document] = field(default_factory=list)
    """The InferenceJobs."""
    batch: dict[Key, list[Document]] = field(default_factory=dict)
    """Jobs of steps and workers, by the InferenceJob's namespace and name."""
    pods: dict[Key, list[Document]] = field(default_factory=dict)
    """Their pods, by the same."""
    silent_nodes: frozenset[str] = frozenset()
    """Nodes whose kubelet has stopped renewing its Lease, before Kubernetes calls them not ready."""
    unscheduled: Counter[str] = field(default_factory=Counter)
    """Workers by device class that are wanted and on no node yet, so that nodes don't show them."""
    room: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    """What ResourceQuotas leave, by namespace."""
    measured: dict[tuple[str, str], str] = field(default_factory=dict)
    """By class and model, for which job they are being measured, those that a job before this one begins with."""
    profiled: list[Document] = field(default_factory=list)
    """Pods that measure nodes by the clock, of whichever namespace."""
    generations: dict[str, int] = field(default_factory=dict)
    """Of the profiles' specs, by name."""
    queues: dict[Key, Queue | None] = field(default_factory=dict)
    """Kueue's LocalQueues that jobs name, by namespace and name; None for one that isn't there."""
    profile_writes: list[Write] = field(default_factory=list)
    """What is to be written of classes' profiles, for no job in particular."""
    _counted: dict[str, int] = field(default_factory=dict)

    @cached_property
    def kinds(self) -> dict[str, DeviceKind]:
        """How each class of GPUs that any node has is asked for."""
        return device_kinds(self.nodes.values())

    def kind_of(self, device_class: str) -> DeviceKind | None:
        """How a device of the class is asked for; None where no node has GPUs of it."""
        slice_kind = DeviceKind(node=names.node_of(device_class)) if CPU_CLASS.match(device_class) else None
        return self.kinds.get(device_class, slice_kind)

    def avoided(self, device_class: str) -> frozenset[str]:
        """Nodes that workers of the class are kept off: silent ones and, unless it is a slow node's own, slow ones."""
        slow = () if names.node_of(device_class) else (node.name for node in self.nodes.values() if node.is_slow)
        return self.silent_nodes.union(slow)

    def keep_profile(self, profile: GPUProfile) -> None:
        """Have a class's profile written, and known from now on to whoever comes next."""
        self.profiles = (*(known for known in self.profiles if known.name != profile.name), profile)
        self.profile_writes.append(Put(kind=names.profiles_path(), document=profile.document()))

    def with_slow_nodes(self, job: InferenceJob) -> InferenceJob:
        """The job, with the slow nodes' own classes of those that it names.

        Who names a class means the product; a slow node of it is one. A node that has recovered is of its class again.
        """
        there = {*self.kinds, *(profile.spec.device_class for profile in self.profiles)}
        named = [name if name in there else names.class_of(name) for name in job.spec.gpus.classes]
        own = sorted(name for name in there if names.node_of(name) and names.class_of(name) in named)
        classes = tuple(dict.fromkeys([*named, *own]))
        return job.replace(spec=job.spec.replace(gpus=job.spec.gpus.replace(classes=classes)))

    def count_free(
        self, device_class: str, *, need: Need, tolerations: Sequence[Document], selector: Mapping[str, str] | None
    ) -> int:
        """Devices that workers which need this could have, on nodes that aren't silent, whoever else wants them.

        A thousand nodes take 2 ms, and most jobs ask in the same words: what was counted is kept.
        """
        words = repr((device_class, need, tolerations, selector, self.silent_nodes))
        if words not in self._counted:
            nodes = (node for node in self.nodes.values() if node.name not in self.silent_nodes)
            self._counted[words] = free_devices(
                nodes, device_class, need=need, tolerations=tolerations, selector=selector
            )
        return self._counted[words]

    def reserve(self, namespace: str, device_class: str, asked: Mapping[str, float], count: int) -> None:
        """Take from what is free what workers will ask for that are about to be made."""
        self.unscheduled[device_class] += count
        quotas.take(self.room[namespace], asked, count)


@dataclass(kw_only=True)
class Memories:
    """What the loop remembers of a job; an operator that starts again does without."""

    lag: LagMemory = FRESH
    generation: int | None = None
    """Of the spec that was last decided on."""
    lost: frozenset[str] = frozenset()
    """Workers that were lost at the last look."""
    parts_there: frozenset[int] = frozenset()
    commits: int = -1
    """Parts that workers had committed when `parts_there` was asked for."""
    queued: frozenset[str] = frozenset()
    """Workers that waited in a queue at the last look."""
    absent_since: dict[tuple[str, int], int] = field(default_factory=dict)
    """Since when there is no node for a worker, by Job and index."""
    written_us: int = 0
    """When the status was written last."""
    refused_until_us: int = 0
    """Until when nothing is made, since the API server has forbidden it."""
