"""The cluster in small with Kueue: a Job in a queue waits until all of it fits into the quota, the oldest Job first."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dueby_api.capacity import NodePool
from dueby_operator.cluster.queues import ClusterQueue, Queue, read_queue
from dueby_operator.objects.parse import parse
from dueby_planner.schedule.job import Assignment
from support.shared_cluster import LEAVING_US, SharedCluster
from support.shared_cluster_jobs import Running, Working


@dataclass(kw_only=True)
class Share:
    """What one ClusterQueue has; a LocalQueue of the same name leads to it."""

    cores: int
    cohort: str = ""
    borrows: int | None = None
    """Cores that it may borrow at most; None: all that its cohort has."""
    others: int = 0
    """Cores that somebody else's workloads use of it."""
    has_check: bool = False
    """Whether Kueue itself asks for nodes, and admits a Job once they are there."""


class KueueCluster(SharedCluster):
    """Nodes of so many cores, and queues."""

    def __init__(self, cores: Mapping[str, int], *, node_pools: tuple[NodePool, ...] = (), **shares: Share) -> None:
        super().__init__(cores, node_pools=node_pools)
        self.shares = shares

    def queued(self, name: str) -> list[Working]:
        """Workers of the job that wait for Kueue."""
        return [worker for worker in self.jobs[name].alive if worker.is_queued]

    def used(self, queue: str) -> int:
        """Cores that are used of a ClusterQueue."""
        jobs = [running for running in self.jobs.values() if _queue_of(running) == queue]
        there = [worker for running in jobs for worker in running.workers if self._counts(worker)]
        return self.shares[queue].others + len(there)

    def _counts(self, worker: Working) -> bool:
        is_there = worker.stopped_us is None or self.now_us < worker.stopped_us + LEAVING_US
        return is_there and not worker.is_queued and not worker.is_lost

    def _queues(self) -> Mapping[tuple[str, str], Queue]:
        read = {name: self._cluster_queue(name) for name in self.shares}
        return {
            ("team", name): read_queue(queue, {}, [other for other in read.values() if other.cohort == queue.cohort])
            for name, queue in read.items()
        }

    def _cluster_queue(self, name: str) -> ClusterQueue:
        share = self.shares[name]
        quota: dict[str, Any] = {"name": "cpu", "nominalQuota": str(share.cores)}
        if share.borrows is not None:
            quota["borrowingLimit"] = str(share.borrows)
        used = {"name": "cpu", "total": str(self.used(name))}
        document = {
            "metadata": {"name": name},
            "spec": {
                "cohortName": share.cohort,
                "resourceGroups": [{"flavors": [{"name": "any", "resources": [quota]}]}],
            },
            "status": {"flavorsUsage": [{"name": "any", "resources": [used]}]},
        }
        return parse(ClusterQueue, document)

    def _started(self, running: Running, assignment: Assignment, rather: Collection[str]) -> Working:
        if not _queue_of(running):
            return super()._started(running, assignment, rather)
        group = f"{running.snapshot.name}-{assignment.revision}"
        return Working(assignment=assignment, node="", born_us=self.now_us, group=group, is_queued=True)

    def _pass_time(self, time_us: int) -> None:
        for running, workers in self._waiting():
            if self._has_room(_queue_of(running), len(workers)) and self._has_nodes(_queue_of(running), workers):
                for worker in workers:
                    worker.is_queued, worker.born_us = False, self.now_us
                    if not worker.assignment.pool:
                        worker.node, worker.node_us = self._node_for(running, worker.assignment, ()), self.now_us
        super()._pass_time(time_us)

    def _waiting(self) -> Iterator[tuple[Running, list[Working]]]:
        """Yield the Jobs that wait, the oldest first."""
        groups: dict[str, tuple[Running, list[Working]]] = {}
        for name, running in self.jobs.items():
            for worker in self.queued(name):
                groups.setdefault(worker.group, (running, []))[1].append(worker)
        yield from sorted(groups.values(), key=lambda group: group[1][0].born_us)

    def _has_nodes(self, queue: str, workers: Sequence[Working]) -> bool:
        pool = workers[0].assignment.pool
        if not self.shares[queue].has_check or not pool:
            return True
        return sum(node.free["cpu"] for node in self._nodes_left().values() if node.pool == pool) >= len(workers)

    def _has_room(self, queue: str, count: int) -> bool:
        share = self.shares[queue]
        if not share.cohort:
            return self.used(queue) + count <= share.cores
        cohort = [name for name, other in self.shares.items() if other.cohort == share.cohort]
        whole = sum(self.shares[name].cores for name in cohort)
        most = whole if share.borrows is None else share.cores + share.borrows
        return self.used(queue) + count <= most and sum(map(self.used, cohort)) + count <= whole


def _queue_of(running: Running) -> str:
    manifest: Any = running.snapshot.manifest
    queue: str = manifest.spec.queue_name
    return queue
