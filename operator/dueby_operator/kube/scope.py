"""Where the operator looks for jobs: everywhere, or in some namespaces. Lists of them, and the tables of their pods.

An operator of some namespaces has no rights elsewhere, and loses those in a namespace that is deleted. That namespace
is then left out, and the others' jobs go on. It is left out whole: workers whose pods can't be read would look lost.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dueby_api.capacity import RequestKind
from dueby_api.schema import Raw
from dueby_operator import paths
from dueby_operator.cluster.nodes import PodRow
from dueby_operator.jobs import names
from dueby_operator.jobs.capacity_requests import requests_path
from dueby_operator.kube.client import Kube, Missing, Refused, parse_list, read_list
from dueby_operator.kube.job_list import JobList, ReadJob, TurnAway
from dueby_operator.kube.reflector import Reflector
from dueby_operator.kube.trouble import Trouble
from dueby_operator.kube.watched_lists import WatchedList, Watches
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.objects.capacity_requests import REQUESTS, CapacityRequest
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.nodes import ResourceQuota
from dueby_operator.objects.parse import parse
from dueby_operator.settings import EVERYWHERE, OperatorSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class NamespacedObjects:
    """What there is in the namespaces."""

    jobs: Sequence[JobSnapshot] = ()
    """InferenceJobs."""
    batch: Sequence[BatchJob] = ()
    """Kubernetes' Jobs of their steps and workers."""
    quotas: Sequence[ResourceQuota] = ()
    """ResourceQuotas."""
    requests: Sequence[CapacityRequest] = ()
    """Those of workers' Jobs, of the kinds by which pools are asked."""
    unserved: frozenset[RequestKind] = frozenset()
    """Of these kinds, those that the cluster doesn't serve."""
    rows: Sequence[PodRow] = ()
    """Of all pods that count."""


class Scope:
    """The namespaces with jobs, and those whose pods count."""

    def __init__(
        self,
        kube: Kube,
        settings: OperatorSettings,
        *,
        pod_row: Callable[[Raw], PodRow | None],
        pod_changed: Callable[[PodRow | None, PodRow | None], None],
        outage: Trouble | None = None,
        watches: Watches | None = None,
    ) -> None:
        """`pod_row`, `pod_changed` and `outage` are what a Reflector takes.

        Without watches each pass asks for all lists.
        """
        self._kube = kube
        self._namespaces = settings.job_namespaces
        self._pods = {
            namespace: Reflector(
                kube, paths.core_path("pods", namespace), reduce=pod_row, changed=pod_changed, outage=outage
            )
            for namespace in settings.pod_namespaces
        }
        self._lists = {
            namespace: _Lists(kube, namespace, watches, kinds=settings.request_kinds) for namespace in self._namespaces
        }
        self._refusals: dict[str, str] = {}
        """Why a namespace is left out, by its name."""

    def tables(self) -> list[Reflector[PodRow]]:
        return list(self._pods.values())

    def amend(self, rows: Mapping[str, PodRow | None]) -> None:
        """Keep these rows of pods, by uid, until the pods change; None: none."""
        for table in self._pods.values():
            table.amend(rows)

    async def read(self, read_job: ReadJob, turn_away: TurnAway) -> NamespacedObjects:
        """Return what there is in all of them. Raise Refused if nothing of the cluster may be read.

        `read_job` makes jobs of what is stored, `turn_away` of what there is no room for.
        """
        everywhere = dict.fromkeys([*self._namespaces, *self._pods])
        lists = await asyncio.gather(*(self._read_unless_refused(one, read_job, turn_away) for one in everywhere))
        return NamespacedObjects(
            jobs=[job for one in lists for job in one.jobs],
            batch=[job for one in lists for job in one.batch],
            quotas=[quota for one in lists for quota in one.quotas],
            requests=[request for one in lists for request in one.requests],
            unserved=frozenset(kind for one in lists for kind in one.unserved),
            rows=[row for one in lists for row in one.rows],
        )

    async def _read_unless_refused(self, namespace: str, read_job: ReadJob, turn_away: TurnAway) -> NamespacedObjects:
        try:
            objects = await self._read_one(namespace, read_job, turn_away)
        except Refused as error:
            if namespace == EVERYWHERE:
                raise
            if self._refusals.get(namespace) != str(error):
                self._refusals[namespace] = str(error)
                log.warning("the namespace %s is left out: %s", namespace, error)
            return NamespacedObjects()
        if self._refusals.pop(namespace, None):
            log.info("the namespace %s can be read again", namespace)
        return objects

    async def _read_one(self, namespace: str, read_job: ReadJob, turn_away: TurnAway) -> NamespacedObjects:
        rows = await self._pods[namespace].rows() if namespace in self._pods else []
        if namespace not in self._namespaces:
            return NamespacedObjects(rows=rows)
        found = await self._lists[namespace].read(read_job, turn_away)
        return replace(found, rows=rows)


class _Lists:
    """The lists of one namespace, or of all."""

    def __init__(self, kube: Kube, namespace: str, watches: Watches | None, *, kinds: Iterable[RequestKind]) -> None:
        self._kube = kube
        self._namespace = namespace
        self._jobs = JobList(kube, paths.jobs_path(namespace))
        self._batch_path, self._quotas_path = paths.batch_path(namespace), paths.core_path("resourcequotas", namespace)
        of = watches.of if watches else lambda path, label="": None
        self._kept_jobs = WatchedList[JobSnapshot](of(paths.jobs_path(namespace)))
        self._kept_batch = WatchedList[BatchJob](of(self._batch_path, names.JOB))
        self._kept_quotas = WatchedList[ResourceQuota](of(self._quotas_path))
        self._kept_requests = {
            kind: WatchedList[CapacityRequest](of(requests_path(kind, namespace), names.JOB)) for kind in sorted(kinds)
        }

    async def read(self, read_job: ReadJob, turn_away: TurnAway) -> NamespacedObjects:
        jobs, batch, quotas, requests = await asyncio.gather(
            self._kept_jobs.read(lambda: self._jobs.read(read_job, turn_away)),
            self._kept_batch.read(lambda: read_list(self._kube, self._batch_path, _own_job, labelSelector=names.JOB)),
            self._kept_quotas.read(lambda: parse_list(self._kube, self._quotas_path, ResourceQuota)),
            asyncio.gather(*map(self._read_requests, self._kept_requests)),
        )
        by_kind = dict(zip(self._kept_requests, requests, strict=True))
        return NamespacedObjects(
            jobs=jobs,
            batch=batch,
            quotas=quotas,
            requests=[request for found in by_kind.values() for request in found or ()],
            unserved=frozenset(kind for kind, found in by_kind.items() if found is None),
        )

    async def _read_requests(self, kind: RequestKind) -> Sequence[CapacityRequest] | None:
        """Return the objects of this kind; None if the cluster doesn't serve them."""
        path, model = requests_path(kind, self._namespace), REQUESTS[kind]
        try:
            return await self._kept_requests[kind].read(
                lambda: parse_list(self._kube, path, model, labelSelector=names.JOB)
            )
        except Missing:
            return None


def _own_job(document: Raw) -> BatchJob:
    return parse(BatchJob, document).own_part()
