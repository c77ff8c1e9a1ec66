"""The control loop without a cluster: look, decide, act, twice a second, until every job is over.

The decision is the operator's (dueby_operator/control/decide.py): this machine is a small cluster, and its jobs share
its devices by one calendar. What the loop needs of the world is handed in as `Seams`.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dueby.inputs.stores import stores_here
from dueby.local.devices import LocalDevices
from dueby.local.processes import GRACE_S, TICK_S, stop_together
from dueby.local.running_job import JobEnd, LocalJob, Status
from dueby.local.this_machine import LocalPool
from dueby_api.errors import DueByError
from dueby_operator.control.decide import decide
from dueby_operator.control.job_decision import JobDecision
from dueby_operator.control.snapshot import ClusterSnapshot


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
            now_us=self.now_us, jobs=jobs, devices=devices, profiles=self.pool.profiles, stores=self.stores
        )

    def _fail(self, job: LocalJob, error: DueByError) -> None:
        self._end(job, JobEnd(ended="Failed", now_us=self.now_us, error=error))

    def _end(self, job: LocalJob, end: JobEnd) -> None:
        job.processes.stop_all()
        self.jobs.remove(job)
        self.seams.ended(job, end)
