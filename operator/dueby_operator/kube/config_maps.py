"""The ConfigMaps of Jobs: the assignments of workers in them, and which of them are gone.

They are immutable, so each is read once. One that is deleted later is missed when a pod of its Job doesn't start: the
kubelet waits for it for ever, and says so nowhere but in an Event. Only then, and not often, is it asked for again.
"""

from collections.abc import Collection

from dueby_api.errors import Invalid
from dueby_operator import paths
from dueby_operator.jobs.manifests import read_assignments
from dueby_operator.kube.client import Kube, Missing
from dueby_operator.model.job_model import Assignment
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.meta import ObjectMeta
from dueby_operator.objects.parse import parse

# A pod that has not started after this long may lack its ConfigMap, although most such pods pull a large image.
SLOW_START_US = 30_000_000
CHECK_US = 30_000_000


class ConfigMaps:
    """Reads ConfigMaps of Jobs, and remembers what can't change."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._assignments: dict[str, list[Assignment]] = {}
        self._checked_us: dict[str, int] = {}
        """Both by the uid of the Job."""

    def forget_all_but(self, uids: Collection[str]) -> None:
        """Forget what is known of other Jobs than these."""
        self._assignments = {uid: found for uid, found in self._assignments.items() if uid in uids}
        self._checked_us = {uid: at_us for uid, at_us in self._checked_us.items() if uid in uids}

    async def assignments(self, job: BatchJob, *, owner: str) -> list[Assignment] | None:
        """Return the assignments of a Job of workers; None if there is no ConfigMap of this owner that says them."""
        uid = job.metadata.uid
        if uid not in self._assignments:
            document = await self._read(job, owner)
            if document is None:
                return None
            try:
                self._assignments[uid] = read_assignments(document)
            except Invalid:
                return None
        return self._assignments[uid]

    async def is_missed(self, job: BatchJob, *, owner: str, now_us: int) -> bool:
        """Return whether a Job of which a pod is slow to start has no ConfigMap of this owner any more."""
        uid = job.metadata.uid
        if now_us - self._checked_us.get(uid, 0) < CHECK_US:
            return False
        self._checked_us[uid] = now_us
        return await self._read(job, owner) is None

    async def _read(self, job: BatchJob, owner: str) -> dict[str, object] | None:
        """Return the Job's ConfigMap; None if it is gone, or another has its name."""
        try:
            found = await self._kube.get(paths.core_path("configmaps", job.metadata.namespace, job.name))
        except Missing:
            return None
        return found if parse(ObjectMeta, found.get("metadata") or {}).is_owned_by(owner) else None
