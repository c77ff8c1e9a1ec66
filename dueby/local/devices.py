"""The devices of this machine, as the decision sees them: no queue, no quota, and no node beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from dueby_api.inference_job import JobSpec
from dueby_operator.model.devices import Devices, Offer
from dueby_planner.schedule.devices import DeviceGroup, DeviceGroups
from dueby_planner.schedule.job import Claimant


@dataclass(frozen=True, kw_only=True)
class LocalDevices(Devices):
    """What is left of this machine's devices."""

    free: Mapping[str, int]
    """Devices of each class that no worker has."""
    held: Mapping[str, int] = field(default_factory=dict)
    """Devices of each class that workers have."""
    leaving: Mapping[str, int] = field(default_factory=dict)
    """Those of them that were told to go."""
    cores: Mapping[str, int] = field(default_factory=dict)
    """Cores of a GPU's worker, by class."""
    worker_grace_s: int = 0
    """How long a worker that is told to stop may take to finish the part that it is at."""

    def classes_of(self, spec: JobSpec) -> set[str]:
        """Return the classes that the job may use."""
        return {name for name in self.free if not spec.gpus.classes or name in spec.gpus.classes}

    def worker_cores(self, namespace: str, spec: JobSpec, device_class: str) -> int:
        """Return the cores of the slot."""
        return self.cores.get(device_class, 1)

    def offer(self, namespace: str, spec: JobSpec, *, classes: Sequence[str]) -> Offer:
        """Return what is free."""
        return Offer(counts={name: self.free.get(name, 0) for name in classes})

    def groups(self, claimants: Sequence[Claimant]) -> DeviceGroups:
        """Return the devices of each class, for the jobs that may use them."""
        groups = (
            DeviceGroup(
                name=name,
                device_class=name,
                devices=idle + self.held.get(name, 0),
                idle=idle,
                leaving=self.leaving.get(name, 0),
                worked_on=self.held.get(name, 0) - self.leaving.get(name, 0),
                users=frozenset(claimant.key for claimant in claimants if name in claimant.classes),
            )
            for name, idle in sorted(self.free.items())
        )
        return DeviceGroups(all=tuple(groups))

    def free_for_one(self, namespace: str, spec: JobSpec, *, classes: Sequence[str]) -> Mapping[str, int]:
        """Return what is free."""
        return {name: self.free.get(name, 0) for name in classes}

    def without(self, namespace: str, spec: JobSpec, *, device_class: str, count: int) -> Self:
        """Return what is left after so many workers have one each."""
        return replace(self, free={**self.free, device_class: max(0, self.free.get(device_class, 0) - count)})
