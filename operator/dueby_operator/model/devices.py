"""The devices that jobs share, as a value: what a job takes is missing in the value that the next job sees.

The cluster's implementation is cluster/devices.py, that of one machine is in dueby/local.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

from dueby_api.inference_job import JobSpec
from dueby_planner.schedule.devices import DeviceGroups
from dueby_planner.schedule.job import Claimant


@dataclass(frozen=True, kw_only=True)
class Offer:
    """The devices that more workers of a job could have now."""

    counts: Mapping[str, int]
    """By device class."""
    in_queue: Mapping[str, int] = field(default_factory=dict)
    """By device class, what the job's queue gives it at most, whoever has that now; empty if it is in no queue."""
    warnings: tuple[str, ...] = ()
    """What makes these numbers less sure than they look."""


class Devices(Protocol):
    """What is left of the devices. Where nothing else is said, nothing but they limit a job, as on one machine."""

    def classes_of(self, spec: JobSpec) -> set[str]:
        """Return the classes of devices on nodes that are open to the job's workers, free or not."""

    def offer(self, namespace: str, spec: JobSpec, *, classes: Sequence[str]) -> Offer:
        """Return what more workers of the job could have."""

    def groups(self, claimants: Sequence[Claimant]) -> DeviceGroups:
        """Return the devices that these jobs may use, free or not, for whom they are."""

    def free_for_one(self, namespace: str, spec: JobSpec, *, classes: Sequence[str]) -> Mapping[str, int]:
        """Return the devices of each class of which a single pod of the job could have one now."""

    def shortage(self, spec: JobSpec, device_class: str) -> str:
        """Return what nodes lack for one more worker on such a device; empty if it isn't nodes that lack something."""
        return ""

    def overdue(self, namespace: str, spec: JobSpec, *, classes: Sequence[str]) -> str:
        """Return which pods that should be gone have what workers of the job could have; empty if none does."""
        return ""

    def coming_classes(self, spec: JobSpec) -> frozenset[str]:
        """Return the classes of devices that are announced or can be asked for, and that the job's workers fit."""
        return frozenset()

    def missing(self, namespace: str, spec: JobSpec, *, classes: Collection[str]) -> str:
        """Return which devices that the job could use should be there and aren't; empty if none."""
        return ""

    def ready_us(self, node: str) -> int | None:
        """Return since when a node is ready, in microseconds since 1970; None if that isn't known."""
        return None

    @property
    def uncounted(self) -> str:
        """Which devices are there and can't be asked for, and why; empty if there are none."""
        return ""

    def without(self, namespace: str, spec: JobSpec, *, device_class: str, count: int) -> Self:
        """Return what is left after so many workers of the job have one each."""

    def has_queue(self, namespace: str, name: str) -> bool:
        """Return whether jobs of the namespace can wait in this queue."""
        return False

    def with_own_classes(self, spec: JobSpec, *, measured: Collection[str]) -> JobSpec:
        """Return the spec with the classes of slow nodes added to the classes that it names.

        `measured` are the classes that there are profiles of. A node that has recovered is of its class again.
        """
        return spec

    def with_slow_nodes(self, slow: Collection[str]) -> Self:
        """Return the same with the devices of slow nodes as classes of their own."""
        return self

    def worker_cores(self, namespace: str, spec: JobSpec, device_class: str) -> int:
        """Return the cores that a worker of the job may have beside a GPU of the class."""

    @property
    def worker_grace_s(self) -> int:
        """How long a worker that is told to stop may take to finish the part that it is at."""

    def has_quota(self, namespace: str) -> bool:
        """Return whether a quota limits the namespace."""
        return False
