"""Lists that are asked for again only if there is news: a watch has said something, or the operator has written.

Lists say what there is, and a pass used to ask for all of them, every two seconds, in a cluster in which nothing
happens. A watch says that something has changed. So a list is kept until its watch has news, and for some minutes at
most: a connection may die without a word. Where the watch isn't open, or isn't allowed, each pass asks as before.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from dueby_api.schema import Raw
from dueby_operator import paths
from dueby_operator.jobs import names
from dueby_operator.jobs.capacity_requests import requests_path
from dueby_operator.kube.client import Kube, parse_list
from dueby_operator.kube.reflector import Reflector
from dueby_operator.kube.server_clock import steady_clock_s
from dueby_operator.kube.trouble import Trouble
from dueby_operator.objects.jobs import BatchJob, CronJob
from dueby_operator.objects.meta import HasIdentity
from dueby_operator.objects.parse import parse
from dueby_operator.settings import OperatorSettings, ProfilerSettings

Item = TypeVar("Item")
# A list is asked for again after so long, whatever its watch has said.
KEPT_S = 300.0


class WatchedList(Generic[Item]):
    """What one list had when it was asked for last."""

    def __init__(self, watch: Reflector[Any] | None, *, clock_s: Callable[[], float] = steady_clock_s) -> None:
        """Without a watch there is a list for each pass."""
        self._watch = watch
        self._clock_s = clock_s
        self._items: Sequence[Item] = ()
        self._news: int | None = None
        """What the watch had counted before that; None if it wasn't open."""
        self._due_s = float("-inf")

    async def read(self, ask: Callable[[], Awaitable[Sequence[Item]]]) -> Sequence[Item]:
        """Return the list; `ask` asks the API server for it."""
        news = self._watch.news if self._watch else None
        if news is None or news != self._news or self._clock_s() >= self._due_s:
            self._items = await ask()
            self._news, self._due_s = news, self._clock_s() + KEPT_S
        return self._items


class Watches:
    """The watches of what a pass lists."""

    def __init__(
        self, kube: Kube, settings: OperatorSettings, *, wake: Callable[[], None], outage: Trouble | None = None
    ) -> None:
        """`wake` is called when something has happened that a pass should see at once."""
        self._kube = kube
        self._outage = outage
        self._watches: dict[tuple[str, str], Reflector[Any]] = {}
        """By path and label."""

        def wake_always(before: Any, after: Any) -> None:
            wake()

        for namespace in settings.job_namespaces:
            self._add(paths.jobs_path(namespace))
            # Kopf would keep as many megabytes of Jobs as a tenant labels, and end where it may not watch.
            self._add(paths.batch_path(namespace), names.JOB, changed=wake_always)
            self._add(paths.core_path("resourcequotas", namespace))
            for kind in sorted(settings.request_kinds):
                self._add(requests_path(kind, namespace), names.JOB, changed=wake_always, may_be_absent=True)
        self._add(paths.profiles_path())
        if profiler := settings.profiler:
            self._add(paths.batch_path(profiler.namespace), names.ON_DEMAND)
            self._add(paths.batch_path(profiler.namespace), names.PROFILED)
            self._add(paths.cron_jobs_path(profiler.namespace), names.PROFILED)

    def all(self) -> list[Reflector[Any]]:
        """Return the watches, each to be kept by its own task."""
        return list(self._watches.values())

    def of(self, path: str, label: str = "") -> Reflector[Any] | None:
        return self._watches.get((path, label))

    def note_request(self, method: str, path: str) -> None:
        """Note a request of the operator's own: after a write a list is asked for, whatever became of it."""
        if method not in ("GET", "WATCH"):
            self.note_change(path)

    def note_change(self, path: str) -> None:
        """Note that something of a kind whose plural is in the path has changed: its lists are asked for."""
        for (watched, _), watch in self._watches.items():
            if f"/{watched.rpartition('/')[2]}" in f"/{path}":
                watch.add_news()

    def _add(
        self,
        path: str,
        label: str = "",
        *,
        changed: Callable[[Any, Any], None] = lambda before, after: None,
        may_be_absent: bool = False,
    ) -> None:
        self._watches[path, label] = Reflector(
            self._kube,
            path,
            reduce=_version,
            changed=changed,
            outage=self._outage,
            may_be_absent=may_be_absent,
            label=label,
        )


def _version(document: Raw) -> str:
    """Return what changes with an object."""
    return parse(HasIdentity, document).metadata.resource_version


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
        return await self._kept_cron_jobs.read(
            lambda: parse_list(self._kube, self._cron_jobs_path, CronJob, labelSelector=names.PROFILED)
        )

    async def _list(self, label: str) -> list[BatchJob]:
        return await parse_list(self._kube, self._jobs_path, BatchJob, labelSelector=label)
