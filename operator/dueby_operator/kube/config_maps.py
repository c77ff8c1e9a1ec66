"""The ConfigMaps of Jobs: the assignments of workers in them, and which of them are gone.

They are immutable, so each is read once. One that is deleted later is missed when a pod of its Job doesn't start: the
kubelet waits for it for ever, and says so nowhere but in an Event. Only then, and not often, is it asked for again.

Nor is one asked for often that isn't there. Anybody may make thousands of Jobs without one for a job of theirs, and a
finalizer keeps them; and a pass waits for every answer.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from dueby_api.errors import Invalid
from dueby_operator import paths
from dueby_operator.jobs.manifests import read_assignments
from dueby_operator.kube.client import Kube, Missing
from dueby_operator.kube.turns import FairSemaphore
from dueby_operator.objects.jobs import BatchJob, ConfigMap
from dueby_planner.schedule.job import Assignment

# A pod that has not started after this long may lack its ConfigMap, although most such pods pull a large image.
SLOW_START_US = 30_000_000
CHECK_US = 30_000_000
# ConfigMaps of a job that are asked for at once, and those of all jobs that are looked for again.
AT_ONCE = 16
# Of one namespace, in one pass: 600 in the time after which each may be looked for again.
MAX_CHECKS = 40


class ConfigMaps:
    """Reads ConfigMaps of Jobs, and remembers what can't change."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._assignments: dict[str, list[Assignment]] = {}
        self._checked_us: dict[str, int] = {}
        """When it was looked whether one that was known is still there."""
        self._lacked_us: dict[str, int] = {}
        """When one was asked for in vain. All three by the uid of the Job."""
        self._checks: Counter[str] = Counter()
        """How many were looked for again in this pass, by namespace."""
        self._turns = FairSemaphore(AT_ONCE)

    def begin(self, uids: Collection[str]) -> None:
        """Begin a pass, and forget what is known of other Jobs than these."""
        self._checks.clear()
        self._assignments = {uid: assignments for uid, assignments in self._assignments.items() if uid in uids}
        self._checked_us = {uid: at_us for uid, at_us in self._checked_us.items() if uid in uids}
        self._lacked_us = {uid: at_us for uid, at_us in self._lacked_us.items() if uid in uids}

    async def assignments(
        self, jobs: Sequence[BatchJob], *, owner: str, now_us: int
    ) -> dict[str, list[Assignment] | None]:
        """Return the assignments of some Jobs of workers, by their uids.

        Those are None if there was no ConfigMap of this owner that says them when it was asked for last.
        """
        read = await asyncio.gather(*(self._of(job, owner, now_us) for job in jobs))
        return {job.metadata.uid: assignments for job, assignments in zip(jobs, read, strict=True)}

    async def _of(self, job: BatchJob, owner: str, now_us: int) -> list[Assignment] | None:
        uid = job.metadata.uid
        if uid not in self._assignments and now_us - self._lacked_us.get(uid, -CHECK_US) >= CHECK_US:
            config_map = await self._read(job, owner)
            try:
                self._assignments[uid] = read_assignments(config_map or ConfigMap())
            except Invalid:
                self._lacked_us[uid] = now_us
        return self._assignments.get(uid)

    def forget(self, job: BatchJob, *, now_us: int) -> None:
        """Forget assignments that can't be what they say: they are as good as none."""
        if self._assignments.pop(job.metadata.uid, None) is not None:
            self._lacked_us[job.metadata.uid] = now_us

    async def missed(self, jobs: Iterable[BatchJob], *, owner: str, now_us: int) -> list[BatchJob]:
        """Return which of a job's Jobs that are slow to start have no ConfigMap of this owner any more.

        Of a tenant's thousands some are looked at in this pass, the others in later ones.
        """
        due = [job for job in jobs if now_us - self._checked_us.get(job.metadata.uid, 0) >= CHECK_US]
        doubtful = [job for job in due if self._may_check(job, now_us)]
        gone = await asyncio.gather(*(self._is_gone(job, owner) for job in doubtful))
        return [job for job, is_gone in zip(doubtful, gone, strict=True) if is_gone]

    def _may_check(self, job: BatchJob, now_us: int) -> bool:
        namespace = job.metadata.namespace
        if self._checks[namespace] >= MAX_CHECKS:
            return False
        self._checks[namespace] += 1
        self._checked_us[job.metadata.uid] = now_us
        return True

    async def _is_gone(self, job: BatchJob, owner: str) -> bool:
        async with self._turns.take(job.metadata.namespace, owner):
            return await self._read(job, owner) is None

    async def _read(self, job: BatchJob, owner: str) -> ConfigMap | None:
        """Return the Job's ConfigMap; None if it is gone, or another has its name."""
        try:
            config_map = await self._kube.read(
                paths.core_path("configmaps", job.metadata.namespace, job.name), ConfigMap
            )
        except Missing:
            return None
        return config_map if config_map.metadata.is_owned_by(owner) else None
