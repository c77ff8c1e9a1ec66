"""Gather the snapshot: lists, the tables of nodes and pods that watches keep, and what workers answer."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from dueby_api.capacity import RequestKind
from dueby_api.errors import Invalid, Transient
from dueby_api.gpu_profile import ASSUMED_IN_CLUSTER, GPUProfile
from dueby_api.inference_job import API_VERSION, InferenceJob
from dueby_api.schema import Raw, decode
from dueby_api.status import ProfileStatus, read_status
from dueby_api.units import MICROS_PER_SECOND
from dueby_operator import paths
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.cluster.host_memory import measured_memory
from dueby_operator.cluster.node_pools import count_late, find_answers
from dueby_operator.cluster.nodes import Node, PodRow
from dueby_operator.cluster.pods_on_nodes import take_pods
from dueby_operator.cluster.queues import UNKNOWN, Queue
from dueby_operator.cluster.quotas import Room, asked_by, room_by_namespace, take
from dueby_operator.cluster.shortage import describe_uncounted
from dueby_operator.control.conditions import is_done_with
from dueby_operator.control.snapshot import ClusterSnapshot
from dueby_operator.gathering.progress import JobObserver
from dueby_operator.jobs import names
from dueby_operator.jobs.manifests import ONCE
from dueby_operator.jobs.pod_state import jobs_by_step
from dueby_operator.jobs.pod_templates import GRACE_S
from dueby_operator.jobs.withheld import WithheldDevices, pods_to_come
from dueby_operator.kube.claims import NamespaceClaims
from dueby_operator.kube.client import Kube, Refused, read_list
from dueby_operator.kube.node_table import Strangers, without_strangers
from dueby_operator.kube.queues import QueueKey, Queues, read_queues
from dueby_operator.kube.read_job import NewerJobs, read_job, turn_away
from dueby_operator.kube.scope import Scope
from dueby_operator.kube.trouble import Trouble
from dueby_operator.kube.watched_lists import MeasuringLists, WatchedList, Watches
from dueby_operator.model.job_snapshot import NOTHING, JobMemory, JobSnapshot, WorkerJob, is_full
from dueby_operator.objects.capacity_requests import REQUESTS
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.nodes import ResourceQuota
from dueby_operator.objects.parse import parse_index
from dueby_operator.objects.pods import Pod
from dueby_operator.objects.stored_jobs import StoredProfile
from dueby_operator.profiling.attempts import OnDemandSnapshot
from dueby_operator.profiling.upkeep import ProfilingSnapshot
from dueby_operator.settings import OperatorSettings
from dueby_planner.profiles.observed import learn_provision

log = logging.getLogger(__name__)
# Between two looks at profiling on nodes: in a large cluster that is a thousand CronJobs of some kilobytes each.
PROFILING_US = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Lists:
    """What the API server lists, parsed."""

    jobs: Sequence[JobSnapshot]
    profiles: Sequence[GPUProfile]
    batch: Mapping[str, Sequence[BatchJob]]
    """Jobs of steps and workers, by the uid of the InferenceJob that owns them."""
    pods: Mapping[str, Sequence[Pod]]
    """Their pods, by the same."""
    profiling_pods: Sequence[Pod]
    """Pods that measure for everybody."""
    quotas: Sequence[ResourceQuota]
    rows: Sequence[PodRow]
    """Of all pods of all tenants."""
    unserved: frozenset[RequestKind]
    """Kinds of objects by which pools are to be asked, and that the cluster doesn't serve."""


class Nodes(Protocol):
    """A table of nodes."""

    async def rows(self) -> list[Node]:
        """Return them as they are, whatever runs on them."""


class Gatherer:
    """Gathers one snapshot after the other."""

    def __init__(
        self,
        kube: Kube,
        settings: OperatorSettings,
        *,
        observer: JobObserver,
        nodes: Nodes,
        scope: Scope,
        watches: Watches | None = None,
        lease: str = "",
    ) -> None:
        """Without watches each pass asks for lists; without the path of a Lease there is no other release."""
        self._claims = NamespaceClaims(kube, lease=lease) if lease else None
        self._kube = kube
        self._settings = settings
        self._observer = observer
        self._nodes = nodes
        self._scope = scope
        self._withheld = WithheldDevices()
        self._newer = NewerJobs()
        self._strangers = Strangers()
        self._queues: Mapping[QueueKey, Queue] = {}
        """Those of the last pass."""
        self._queue_trouble = Trouble("jobs that wait in queues are left alone", "queues can be read again", short_s=0)
        self._request_troubles = {
            kind: Trouble(
                f"pools whose ask is {kind} are asked for no nodes", "they are asked for nodes again", short_s=0
            )
            for kind in sorted(settings.request_kinds)
        }
        self._profiles = WatchedList[GPUProfile](watches.of(paths.profiles_path()) if watches else None)
        self._measuring = MeasuringLists(kube, settings.profiler, watches) if settings.profiler else None
        self._profiling_us = 0
        """When profiling on nodes was looked at last."""

    async def gather(self, memories: Mapping[str, JobMemory], *, now_us: int) -> ClusterSnapshot:
        """Return everything as it is now. `memories` are what is remembered of jobs, by their uid."""
        lists = await self._list(memories, now_us=now_us)
        queues = await self._read_queues(lists.jobs)
        all_batch = [job for batch_jobs in lists.batch.values() for job in batch_jobs]
        self._observer.forget_all_but(lists.jobs, all_batch)
        open_jobs = [job for job in lists.jobs if not is_done_with(job) and not job.is_deleting]
        seen, silent = await self._observer.observe(
            open_jobs, lists.batch, lists.pods, others=lists.profiling_pods, now_us=now_us
        )
        observed = [_unless_unknown(job, queues) for job in seen]
        holding = [_with_what_it_holds(job, lists) for job in observed]
        open_uids = {job.uid for job in open_jobs}
        over = [_with_jobs(job, lists.batch.get(job.uid, ())) for job in lists.jobs if job.uid not in open_uids]
        grace_us = (self._settings.worker_grace_s + GRACE_S) * MICROS_PER_SECOND
        nodes = take_pods(await self._nodes.rows(), lists.rows, now_us=now_us, grace_us=grace_us)
        return ClusterSnapshot(
            now_us=now_us,
            jobs=(*observed, *over),
            devices=ClusterDevices(
                settings=self._settings,
                now_us=now_us,
                nodes=nodes,
                unscheduled=self._withheld.count(holding, now_us=now_us),
                room=_room(lists, holding),
                queues={**queues.found, **dict.fromkeys(queues.unknown, UNKNOWN)},
                late=count_late((job.namespace, worker) for job in observed for worker in job.workers),
                answers=find_answers(
                    (job.namespace, worker, job.requests) for job in observed for worker in job.workers
                ),
                unserved=lists.unserved,
                provision=learn_provision(self._settings.node_pools, lists.profiles),
                silent_nodes=silent,
                host_memory=measured_memory(lists.profiles),
                uncounted=describe_uncounted(nodes.values(), names_nodes=self._settings.names_nodes),
            ),
            profiles=tuple(lists.profiles),
            nodes=nodes,
            time_to_live_us=self._settings.time_to_live_us,
            promises=self._settings.promises,
            stores=self._settings.stores,
            tariff=self._settings.tariff,
            budgets=self._settings.budgets,
            worker_image=self._settings.image,
            keeps_profiles=True,
            on_demand=await self._on_demand(lists.profiling_pods),
            profiling=await self._profiling(lists.profiling_pods, now_us=now_us),
        )

    def seconds_to_profiling(self, now_us: int) -> float:
        """Return how long it is until profiling on nodes is looked at again."""
        return max(0.0, (self._profiling_us + PROFILING_US - now_us) / 1e6)

    async def _list(self, memories: Mapping[str, JobMemory], *, now_us: int) -> Lists:
        ttl_us = self._settings.time_to_live_us
        read = partial(read_job, memories=memories, now_us=now_us)
        wait = partial(turn_away, memories=memories, now_us=now_us, time_to_live_us=ttl_us)
        objects, profiles = await asyncio.gather(
            self._scope.read(read, wait),
            self._profiles.read(lambda: read_list(self._kube, paths.profiles_path(), read_profile)),
        )
        ours = [row.ours for row in objects.rows if row.ours is not None]
        place = self._settings.profiler.namespace if self._settings.profiler else None
        measuring = [pod for pod in ours if names.PROFILED in pod.metadata.labels and pod.metadata.namespace == place]
        owners = {owner.uid for pod in measuring for owner in pod.metadata.owner_references}
        owners |= {batch_job.metadata.uid for batch_job in objects.batch}
        self._scope.amend(self._strangers.note(objects.rows, owners=owners))
        self._tell_of_requests(objects.unserved)
        # Those that were kept since an earlier pass know what was remembered then.
        jobs = [replace(job, memory=memories.get(job.uid, NOTHING)) for job in objects.jobs]
        self._newer.note(jobs)
        jobs = await self._claims.leave_alone(jobs) if self._claims else jobs
        batch = _by_owner(objects.batch, {(job.namespace, job.uid): job.uid for job in jobs})
        owning = {
            (batch_job.metadata.namespace, batch_job.metadata.uid): uid
            for uid, owned in batch.items()
            for batch_job in owned
        }
        pods = _by_owner(ours, owning)
        requests = _by_owner(objects.requests, owning)
        jobs = [
            replace(job, requests={request.name: request for request in own}) if (own := requests.get(job.uid)) else job
            for job in jobs
        ]
        return Lists(
            jobs=jobs,
            unserved=objects.unserved,
            profiles=profiles,
            batch=batch,
            pods=pods,
            profiling_pods=measuring,
            quotas=objects.quotas,
            rows=without_strangers(objects.rows, pods),
        )

    def _tell_of_requests(self, unserved: Collection[RequestKind]) -> None:
        for kind, trouble in self._request_troubles.items():
            if kind in unserved:
                trouble.failed(f"the cluster has no {REQUESTS[kind].api_version}; its autoscaler brings it")
            else:
                trouble.worked()

    async def _read_queues(self, jobs: Iterable[JobSnapshot]) -> Queues:
        """Return the queues that are named by jobs that aren't over."""
        named = {(job.namespace, name) for job in jobs if (name := _queue_name(job)) and not is_done_with(job)}
        queues = await read_queues(self._kube, named, before=self._queues)
        self._queues = queues.found
        if queues.unknown:
            self._queue_trouble.failed(next(iter(queues.unknown.values())))
        else:
            self._queue_trouble.worked()
        return queues

    async def _on_demand(self, pods: Sequence[Pod]) -> OnDemandSnapshot | None:
        """Return what is measured on demand for everybody; None if there is no namespace for it."""
        profiler = self._settings.profiler
        if profiler is None or self._measuring is None:
            return None
        try:
            jobs = await self._measuring.on_demand_jobs()
        except (Refused, Transient) as error:  # jobs with a profile go on without
            log.warning("nothing is measured on demand: %s", error)
            return OnDemandSnapshot()
        # Anybody may put the label on a pod of theirs.
        labelled = [pod for pod in pods if names.ON_DEMAND in pod.metadata.labels]
        profiler_pods = [pod for pod in labelled if pod.metadata.namespace == profiler.namespace]
        progress = await self._observer.ask_profiling(profiler_pods)
        return OnDemandSnapshot(jobs=jobs, pods=profiler_pods, progress=progress)

    async def _profiling(self, pods: Sequence[Pod], *, now_us: int) -> ProfilingSnapshot | None:
        """Return what there is of profiling on nodes; None if there is none, or it is not its turn."""
        profiler = self._settings.profiler
        if profiler is None or self._measuring is None or self.seconds_to_profiling(now_us) > 0:
            return None
        self._profiling_us = now_us
        try:
            cron_jobs, jobs = await asyncio.gather(self._measuring.cron_jobs(), self._measuring.jobs())
        except (Refused, Transient) as error:  # jobs go on without
            log.warning("nodes are not profiled: %s", error)
            return None
        return ProfilingSnapshot(
            settings=self._settings,
            profiler=profiler,
            cron_jobs=cron_jobs,
            jobs=jobs,
            pods=pods,
        )


def read_profile(document: Raw) -> GPUProfile:
    """Return a GPUProfile as the API server shows it. Raise Invalid if it makes no sense."""
    stored = decode(StoredProfile, document)
    if stored.spec.assumed:
        raise Invalid("spec.assumed", ASSUMED_IN_CLUSTER)
    status = read_status(ProfileStatus, stored.status)
    return GPUProfile(
        api_version=API_VERSION, kind="GPUProfile", metadata=stored.metadata, spec=stored.spec, status=status
    )


def _queue_name(job: JobSnapshot) -> str:
    return job.manifest.spec.queue_name if isinstance(job.manifest, InferenceJob) else ""


def _unless_unknown(job: JobSnapshot, queues: Queues) -> JobSnapshot:
    """Return the job; one that waits for a queue that can't be read now is left alone in this pass.

    One that has workers, or all parts, waits for no quota: its deadline, its losses and its end are seen as always.
    """
    why = queues.unknown.get((job.namespace, _queue_name(job)))
    if not why or job.has_workers or is_full(job.status, job.parts_there):
        return job
    return replace(job, unreadable=job.unreadable or why)


def _by_owner(objects: Iterable[Any], owners: Mapping[tuple[str, str], str]) -> dict[str, list[Any]]:
    """Return objects by what `owners` says of the namespace and uid of the object that owns them.

    Others are left out: anybody may put the operator's labels on an object of theirs.
    """
    by_owner: dict[str, list[Any]] = defaultdict(list)
    for one in objects:
        for owner in one.metadata.owner_references:
            if uid := owners.get((one.metadata.namespace, owner.uid)):
                by_owner[uid].append(one)
                break
    return dict(by_owner)


def _with_jobs(job: JobSnapshot, batch: Sequence[BatchJob]) -> JobSnapshot:
    """Return a job that is over with its Jobs, which are cleared away."""
    if not batch:
        return job
    steps = jobs_by_step(batch)
    return replace(
        job,
        worker_jobs=[WorkerJob(job=batch_job, revision=0, assignments=()) for batch_job in steps["work"]],
        profiling=steps[names.PROFILE],
        steps={step: steps[step][-1] for step in ONCE if steps[step]},
    )


def _with_what_it_holds(job: JobSnapshot, lists: Lists) -> JobSnapshot:
    """Return a job that could not be looked at with its Jobs and pods: what their workers are about to have is taken.

    It may be another pass before it is known what each of them was started with.
    """
    batch = lists.batch.get(job.uid, ())
    if not batch or job.worker_jobs or not (job.unreadable or job.forbidden or job.fault):
        return job
    steps = jobs_by_step(batch)
    numbers = (
        (batch_job, parse_index(batch_job.metadata.labels.get(names.REVISION, ""))) for batch_job in steps["work"]
    )
    worker_jobs = [WorkerJob(job=batch_job, revision=number, assignments=()) for batch_job, number in numbers if number]
    return replace(job, worker_jobs=worker_jobs, profiling=steps[names.PROFILE], pods=lists.pods.get(job.uid, ()))


def _room(lists: Lists, jobs: Iterable[JobSnapshot]) -> dict[str, Room]:
    """Return what quotas leave by namespace, without what jobs' pods will use that their controller hasn't made yet."""
    room = room_by_namespace(lists.quotas, (pod for pods in lists.pods.values() for pod in pods))
    for job in jobs:
        if job.namespace in room:
            for batch_job, missing in pods_to_come(job):
                room[job.namespace] = take(room[job.namespace], asked_by(batch_job.spec.template.spec), missing)
    return room
