"""The lists of what measures nodes and, on demand, models: CronJobs and Jobs in the operator's namespace."""

from collections.abc import Sequence

from dueby_operator import paths
from dueby_operator.jobs import names
from dueby_operator.kube.client import Kube
from dueby_operator.kube.read_list import parse_list
from dueby_operator.kube.watched_lists import WatchedList, Watches
from dueby_operator.objects.jobs import BatchJob, CronJob
from dueby_operator.settings import ProfilerSettings


class MeasuringLists:
    """The lists of one namespace."""

    def __init__(self, kube: Kube, profiler: ProfilerSettings, watches: Watches | None) -> None:
        self._kube = kube
        self._jobs_path = paths.batch_path(profiler.namespace)
        self._cron_jobs_path = paths.cron_jobs_path(profiler.namespace)
        self._kept_on_demand, self._kept_jobs = (
            WatchedList[BatchJob](watches.of(self._jobs_path, label) if watches else None)
            for label in (names.ON_DEMAND, names.PROFILED)
        )
        self._kept_cron_jobs = WatchedList[CronJob](
            watches.of(self._cron_jobs_path, names.PROFILED) if watches else None
        )

    async def on_demand_jobs(self) -> Sequence[BatchJob]:
        """Return the Jobs that measure on demand for everybody."""
        return await self._kept_on_demand.read(lambda: self._list(names.ON_DEMAND))

    async def jobs(self) -> Sequence[BatchJob]:
        """Return the Jobs of CronJobs, and those that were made out of turn."""
        return await self._kept_jobs.read(lambda: self._list(names.PROFILED))

    async def cron_jobs(self) -> Sequence[CronJob]:
        """Return the CronJobs that measure nodes."""
        return await self._kept_cron_jobs.read(
            lambda: parse_list(self._kube, self._cron_jobs_path, CronJob, labelSelector=names.PROFILED)
        )

    async def _list(self, label: str) -> list[BatchJob]:
        return await parse_list(self._kube, self._jobs_path, BatchJob, labelSelector=label)
