"""The control loop without a cluster: look, decide, act, twice a second, until every job is over.

The decision is the operator's (dueby_operator/control/decide.py): this machine is a small cluster, and its jobs share
its devices by one calendar. What the loop needs of the world is handed in as `Seams`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from dueby.inputs.stores import stores_here
from dueby.local.processes import GRACE_S, TICK_S, stop_together
from dueby.local.running_job import JobEnd, LocalJob, Status
from dueby.local.this_machine import LocalPool
from dueby_api.errors import DueByError
from dueby_api.inference_job import JobSpec
from dueby_operator.control.decide import decide
from dueby_operator.control.job_decision import JobDecision
from dueby_operator.control.snapshot import ClusterSnapshot
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
        return {name for name in self.free if not spec.gpus.classes or name in spec.gpus.classes}

    def worker_cores(self, namespace: str, spec: JobSpec, device_class: str) -> int:
        return self.cores.get(device_class, 1)

    def offer(self, namespace: str, spec: JobSpec, *, classes: Sequence[str]) -> Offer:
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
        return {name: self.free.get(name, 0) for name in classes}

    def without(self, namespace: str, spec: JobSpec, *, device_class: str, count: int) -> Self:
        """Return what is left after so many workers have one each."""
        return replace(self, free={**self.free, device_class: max(0, self.free.get(device_class, 0) - count)})


@dataclass(frozen=True, kw_only=True)
class Seams:
    """What the loop needs of the world."""

    arrived: Callable[[bool], Sequence[LocalJob] | None]
    """The jobs that have been indexed since the last call; None once no more will come. It may wait for the first of
    them for a moment if it is told so, since there is nothing else to do."""
    ended: Callable[[LocalJob, JobEnd], None]
    """Take note of a job's end; its workers are gone."""
    show: Callable[[Sequence[Status]], None]
    now_us: Callable[[], int]
    sleep_s: Callable[[float], None]
    """Sleep so long, or until a worker's process ends."""


class Loop:
    """The control loop of all jobs of one command."""

    def __init__(self, pool: LocalPool, seams: Seams) -> None:
        self.pool = pool
        self.seams = seams
        self.stores = stores_here()
        self.jobs: list[LocalJob] = []
        """Those that aren't over, as they came."""
        self.now_us = 0

    def run(self) -> None:
        """Run until all jobs are over. Their workers are gone when this returns or raises."""
        try:
            while True:
                arrived = self.seams.arrived(not self.jobs)
                self.jobs += arrived or ()
                if not self.jobs:
                    if arrived is None:
                        return
                    continue
                self._look()
                if self._decide(is_last=arrived is None):
                    self.seams.sleep_s(TICK_S)
        finally:
            stop_together(job.processes for job in self.jobs)

    def _look(self) -> None:
        self.now_us = self.seams.now_us()
        for job in list(self.jobs):
            try:
                job.look(self.now_us)
            except DueByError as error:
                self._fail(job, error)

    def _decide(self, *, is_last: bool) -> bool:
        """Decide on all jobs together and carry it out; return whether jobs are left to wait for."""
        by_key = {job.job.key: job for job in self.jobs}
        is_alone = is_last and len(self.jobs) == 1
        shown = []
        for decision in decide(self._snapshot()).jobs:
            status = self._follow(by_key[decision.job.key], decision, is_alone=is_alone)
            shown += [status] if status else []
        if shown:
            self.seams.show(shown)
        return bool(self.jobs)

    def _follow(self, job: LocalJob, decision: JobDecision, *, is_alone: bool) -> Status | None:
        try:
            shown, end = job.follow(decision, is_alone=is_alone)
        except DueByError as error:
            self._fail(job, error)
            return None
        if end:
            self._end(job, end)
        return shown

    def _snapshot(self) -> ClusterSnapshot:
        """Return the machine as a cluster."""
        processes = [process for job in self.jobs for process in job.processes.started if process.has_slot]
        busy = Counter(process.slot.device_class for process in processes)
        devices = LocalDevices(
            free={name: max(0, count - busy[name]) for name, count in self.pool.counts.items()},
            held=busy,
            leaving=Counter(process.slot.device_class for process in processes if process.is_gone),
            cores=self.pool.cores,
            worker_grace_s=GRACE_S,
        )
        jobs = tuple(job.job for job in self.jobs)
        return ClusterSnapshot(
            now_us=self.now_us,
            jobs=jobs,
            devices=devices,
            profiles=self.pool.profiles,
            stores=self.stores,
            tariff=self.pool.tariff,
        )

    def _fail(self, job: LocalJob, error: DueByError) -> None:
        self._end(job, JobEnd(ended="Failed", now_us=self.now_us, error=error))

    def _end(self, job: LocalJob, end: JobEnd) -> None:
        job.processes.stop_all()
        self.jobs.remove(job)
        self.seams.ended(job, end)
