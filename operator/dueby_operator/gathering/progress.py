"""Observe jobs: their Jobs and pods, and what their workers answer, all asked at once and none for long.

What it remembers between two passes could be found again: assignments lie in immutable ConfigMaps, parts in the sink.
How long a worker has been without a node, or a node silent, counts again after a restart.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from dueby_api.errors import DueByError, Invalid, Transient
from dueby_api.grid import Grid
from dueby_api.parts import MAX_RUNS, NONE, Parts, all_parts, parts_of_runs
from dueby_api.schema import Spec, decode
from dueby_api.step_messages import OnceProgress, ProfilingProgress, SinkParts, WorkerProgress
from dueby_operator import paths
from dueby_operator.gathering.worker_poll import Ask, WorkerPoll
from dueby_operator.jobs import names
from dueby_operator.jobs.manifests import ONCE, current_and_outdated
from dueby_operator.jobs.pod_state import (
    ABSENT_US,
    PodKey,
    absent_workers,
    answering_pods,
    answering_workers,
    is_slow_to_start,
    job_of,
    jobs_by_step,
    progress_of_ended,
    worker_models,
)
from dueby_operator.kube.client import Kube, Missing, Refused
from dueby_operator.kube.config_maps import AT_ONCE, SLOW_START_US, ConfigMaps
from dueby_operator.model.job_snapshot import Fault, JobSnapshot, WorkerJob
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.parse import MAX_INDEX, parse_index
from dueby_operator.objects.pods import Pod
from dueby_planner.schedule.job import MAX_WORKERS, WorkerModel

log = logging.getLogger(__name__)
Answer = TypeVar("Answer", bound=Spec)
# Workers of a job that are asked in one pass which parts there are, one after the other until one answers.
MAX_ASKED_FOR_PARTS = 2
# Two renewals of the Lease: one may be late on a busy node.
SILENT_US = 20_000_000


@dataclass(kw_only=True)
class JobCache:
    """What is remembered of a job that was observed."""

    parts_there: Parts = NONE
    commits: int = -1
    """Parts that workers had committed when `parts_there` was asked for."""
    answered_since: dict[str, int] = field(default_factory=dict)
    """When a pod answered first, by its name, in microseconds since 1970."""
    absent_since: dict[PodKey, int] = field(default_factory=dict)
    """Since when a worker has had no node, by Job and index, in microseconds since 1970."""

    def add(self, parts: Parts) -> None:
        """Note an answer. Each worker lists the sink at times of its own, so none takes parts away."""
        both = self.parts_there | parts
        self.parts_there = both if len(both.runs) <= MAX_RUNS else parts


class JobObserver:
    """Observes jobs, and remembers what is costly to ask again."""

    def __init__(self, kube: Kube, *, ask: Ask, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._kube = kube
        self._poll = WorkerPoll(ask, clock_s=clock_s)
        self._config_maps = ConfigMaps(kube)
        self._told: set[str] = set()
        """Pods whose answers made no sense, by uid."""
        self._heartbeats = NodeHeartbeats()
        self._caches: dict[str, JobCache] = defaultdict(JobCache)

    async def observe(
        self,
        jobs: Sequence[JobSnapshot],
        batch: Mapping[str, Sequence[BatchJob]],
        pods: Mapping[str, Sequence[Pod]],
        *,
        others: Sequence[Pod] = (),
        now_us: int,
    ) -> tuple[list[JobSnapshot], frozenset[str]]:
        """Return the jobs as they are now, and the nodes that have fallen silent.

        `batch` and `pods` are their Jobs and the pods of those, by the uids of the jobs. `others` are pods that will be
        asked in this pass, too (ask_profiling).
        """
        all_pods = [*others, *(pod for job_pods in pods.values() for pod in job_pods)]
        self._poll.begin(all_pods)
        self._told &= {pod.metadata.uid for pod in all_pods}
        seen = await asyncio.gather(
            *(
                _guarded(job, self._look(job, batch.get(job.uid, ()), pods.get(job.uid, ()), now_us=now_us))
                for job in jobs
            )
        )
        silent = await self._silent_nodes(seen, now_us=now_us)
        observed = await asyncio.gather(*(_guarded(job, self._complete(job, silent, now_us=now_us)) for job in seen))
        return observed, silent

    async def ask_profiling(self, pods: Sequence[Pod]) -> dict[str, ProfilingProgress]:
        return await self._ask_all(answering_pods(pods, names.PROFILE), ProfilingProgress)

    def forget_all_but(self, jobs: Iterable[JobSnapshot], batch: Iterable[BatchJob]) -> None:
        """Forget what doesn't exist any more."""
        job_uids, batch_uids = {job.uid for job in jobs}, {batch_job.metadata.uid for batch_job in batch}
        for uid in self._caches.keys() - job_uids:
            del self._caches[uid]
        self._config_maps.begin(batch_uids)

    async def _look(
        self, job: JobSnapshot, batch: Sequence[BatchJob], pods: Sequence[Pod], *, now_us: int
    ) -> JobSnapshot:
        by_step = jobs_by_step(batch)
        worker_jobs, untold = await self._worker_jobs(job, by_step["work"], now_us=now_us)
        steps, outdated = current_and_outdated(job, by_step)
        slow = {job_of(pod) for pod in pods if is_slow_to_start(pod, SLOW_START_US, now_us=now_us)}
        told = [*(worker_job.job for worker_job in worker_jobs), *steps.values()]
        starting = [batch_job for batch_job in told if batch_job.name in slow]
        missed = await self._config_maps.missed(starting, owner=job.uid, now_us=now_us)
        of_steps = [pod for step in ONCE for pod in answering_pods(pods, step)]
        workers, once, profiling = await asyncio.gather(
            self._ask_all(answering_workers(worker_jobs, pods), WorkerProgress),
            self._ask_all(of_steps, OnceProgress),
            self.ask_profiling(pods),
        )
        return replace(
            job,
            worker_jobs=worker_jobs,
            profiling=by_step[names.PROFILE],
            steps=steps,
            outdated_steps=outdated,
            without_config=(*untold, *missed),
            pods=pods,
            progress=workers | progress_of_ended(pods),
            step_waits={pod: said.waits_for for pod, said in once.items() if said.waits_for},
            profiling_progress=profiling,
        )

    async def _worker_jobs(
        self, job: JobSnapshot, batch: Sequence[BatchJob], *, now_us: int
    ) -> tuple[list[WorkerJob], list[BatchJob]]:
        """Return the Jobs of workers, and those of which nobody knows any more what their workers do.

        The status has the last revision and the number of workers before any is made. So the operator has made no Job
        of a later revision, which is passed over, nor one of more workers than that, or of those of another Job.
        """
        worker_jobs: list[WorkerJob] = []
        untold: list[BatchJob] = []
        read = {
            batch_job.metadata.uid: parse_index(batch_job.metadata.labels.get(names.REVISION, ""))
            for batch_job in batch
        }
        last = job.status.plan.revision if job.status.plan else MAX_INDEX
        revisions = {uid: revision for uid, revision in read.items() if revision is not None and revision <= last}
        ours = [batch_job for batch_job in batch if batch_job.metadata.uid in revisions]
        numbers = set(range(job.status.workers_made or MAX_WORKERS)) if ours else set()
        for first in range(0, len(ours), AT_ONCE):
            some = ours[first : first + AT_ONCE]
            readable = some if numbers else ()
            told = await self._config_maps.assignments(readable, owner=job.uid, now_us=now_us)
            for batch_job in some:
                assignments = told.get(batch_job.metadata.uid)
                job_numbers = {assignment.number for assignment in assignments or ()}
                if assignments is None or not job_numbers <= numbers:
                    untold.append(batch_job)
                    self._config_maps.forget(batch_job, now_us=now_us)
                else:
                    numbers -= job_numbers
                    revision = revisions[batch_job.metadata.uid]
                    worker_jobs.append(WorkerJob(job=batch_job, revision=revision, assignments=assignments))
        return worker_jobs, untold

    async def _complete(self, job: JobSnapshot, silent: Collection[str], *, now_us: int) -> JobSnapshot:
        """Return the job with its workers, and with the parts that are in the sink."""
        if job.unreadable or job.forbidden or job.fault:
            return job
        absent = self._absent(job, now_us)
        workers = worker_models(
            job.worker_jobs,
            job.pods,
            job.progress,
            answered_since=self._answered_since(job, now_us),
            part_size=job.status.plan.part_size if job.status.plan else 1,
            silent_nodes=silent,
            absent=absent,
            now_us=now_us,
        )
        parts = await self._parts_there(job, workers)
        is_told = self._caches[job.uid].commits >= 0
        return replace(job, absent=absent, workers=workers, parts_there=parts, is_told_parts=is_told)

    async def _ask_all(self, pods: Sequence[Pod], kind: type[Answer]) -> dict[str, Answer]:
        """Return the answers by pod, of the pods that answer with this kind."""
        answers = await asyncio.gather(*(self._ask_one(pod, "/progress", kind) for pod in pods))
        return {pod.name: answer for pod, answer in zip(pods, answers, strict=True) if answer is not None}

    async def _ask_one(self, pod: Pod, page: str, kind: type[Answer]) -> Answer | None:
        data = await self._poll.ask(pod, page)
        if data is None:
            return None
        try:
            return decode(kind, data)
        except Invalid as error:
            self._tell(pod, page, error)
            return None

    def _tell(self, pod: Pod, page: str, error: Invalid) -> None:
        """Log once for each pod that it answers with something else: there may be thousands, in each pass."""
        if pod.metadata.uid not in self._told:
            self._told.add(pod.metadata.uid)
            log.info("pod %s/%s answers %s with something else: %s", pod.metadata.namespace, pod.name, page, error)

    async def _parts_there(self, job: JobSnapshot, workers: Sequence[WorkerModel]) -> Parts:
        """Return the parts in the sink. One running worker is asked, when a worker has committed another part."""
        plan, images = job.status.plan, job.status.images
        if plan is None or not images:
            return NONE
        parts = Grid(images=images, part_size=plan.part_size).parts
        if any(worker.state == "done" for worker in workers) and not _may_be_spent(job):
            # A worker is done once every part is there.
            return all_parts(parts)
        cache = self._caches[job.uid]
        commits = sum(report.parts_committed for report in job.progress.values())
        if commits != cache.commits:
            heard = [pod for pod in answering_workers(job.worker_jobs, job.pods) if pod.name in job.progress]
            for pod in heard[:MAX_ASKED_FOR_PARTS]:
                answer = await self._ask_one(pod, "/parts", SinkParts)
                if answer is not None:
                    cache.add(parts_of_runs(answer.runs, of=parts))
                    cache.commits = commits
                    break
        return cache.parts_there

    async def _silent_nodes(self, jobs: Sequence[JobSnapshot], *, now_us: int) -> frozenset[str]:
        """Return the nodes of workers that don't answer, if the nodes don't either."""
        nodes = sorted(
            {
                pod.spec.node_name
                for job in jobs
                for pod in answering_workers(job.worker_jobs, job.pods)
                if pod.name not in job.progress
            }
        )
        self._heartbeats.forget_all_but(nodes)
        silent = await asyncio.gather(*(self._is_silent(node, now_us) for node in nodes))
        return frozenset(node for node, is_silent in zip(nodes, silent, strict=True) if is_silent)

    async def _is_silent(self, node: str, now_us: int) -> bool:
        try:
            lease = await self._kube.get(paths.node_lease_path(node))
        except Missing:  # the node is gone, and Kubernetes knows
            return True
        except (Refused, Transient):  # nothing is known of it
            return False
        renewed = (lease.get("spec") or {}).get("renewTime")
        return self._heartbeats.is_silent(node, str(renewed), now_us=now_us)

    def _answered_since(self, job: JobSnapshot, now_us: int) -> dict[str, int]:
        """Return since when the workers have answered that answer now, by pod."""
        since = self._caches[job.uid].answered_since
        for gone in since.keys() - {pod.name for pod in job.pods}:
            del since[gone]
        return {name: since.setdefault(name, now_us) for name in job.progress}

    def _absent(self, job: JobSnapshot, now_us: int) -> frozenset[PodKey]:
        """Return the workers that have been without a node for too long."""
        since = self._caches[job.uid].absent_since
        refused = [name for name, request in job.requests.items() if request.is_hopeless]
        absent = set(absent_workers(job.worker_jobs, job.pods, refused=refused, now_us=now_us))
        for key in since.keys() - absent:
            del since[key]
        for key in absent - since.keys():
            since[key] = now_us
        return frozenset(key for key, since_us in since.items() if now_us - since_us > ABSENT_US)


async def _guarded(job: JobSnapshot, seen: Awaitable[JobSnapshot]) -> JobSnapshot:
    """Return the job as it is seen; if it can't be, as it was, with the reason: the others don't wait for it."""
    try:
        return await seen
    except Refused as error:
        return replace(job, forbidden=str(error))
    except DueByError as error:
        log.warning("%s/%s is left alone: %s", job.namespace, job.name, error)
        return replace(job, unreadable=str(error))
    except Exception as error:  # whatever it is, it is this job's alone
        return replace(job, fault=Fault(stage="observing", error=error))


def _may_be_spent(job: JobSnapshot) -> bool:
    """Return whether a worker may end with parts missing, since it has run its iterations."""
    return isinstance(job.manifest, Invalid) or job.manifest.spec.gpus.max_iterations is not None


@dataclass(kw_only=True)
class NodeHeartbeats:
    """The Leases of nodes whose workers don't answer, as they were seen: half a minute before Kubernetes acts on them.

    A worker that doesn't answer may be busy; one that doesn't answer on a node whose Lease has stood still for 20 s is
    lost. Time is counted from the first look at the Lease, by this process's clock: a node's own may be wrong.
    """

    since: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By node: the time in its Lease, and when that was seen first, in microseconds since 1970."""

    def is_silent(self, node: str, renewed: str, *, now_us: int) -> bool:
        """Note what the node's Lease says now, and return whether it has said that for too long."""
        before = self.since.get(node)
        if before is None or before[0] != renewed:
            self.since[node] = (renewed, now_us)
            return False
        return now_us - before[1] > SILENT_US

    def forget_all_but(self, nodes: Collection[str]) -> None:
        """Forget the nodes whose workers answer again."""
        self.since = {node: seen for node, seen in self.since.items() if node in nodes}
