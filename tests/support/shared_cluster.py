"""A cluster in small: decide(), and jobs whose workers do what they were planned to, a second at a time.

A slice of one core does 16 images in 100 ms, and its worker's first mini-batch is done as long after its start as the
profile says. There are no pods and Jobs here: the workers are in the snapshot as the operator has read them.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from dueby_api.budgets import NamespaceBudget
from dueby_api.capacity import AnnouncedDevices, NodePool
from dueby_api.conditions import ConditionType, Reason
from dueby_api.gpu_profile import GPUProfile, Quantiles
from dueby_api.grid import Grid
from dueby_api.parts import parts_of_runs
from dueby_api.store_limits import StoreLimits
from dueby_operator.cluster.announced import with_times
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.cluster.node_pools import count_late, pool_of
from dueby_operator.cluster.nodes import SLICE, Node
from dueby_operator.cluster.queues import Queue
from dueby_operator.cluster.quotas import Room
from dueby_operator.cluster.requests import worker_requests
from dueby_operator.cluster.spot import is_spot
from dueby_operator.control.budgets import use_by_now
from dueby_operator.control.conditions import condition, is_over
from dueby_operator.control.decide import decide
from dueby_operator.control.job_decision import JobDecision
from dueby_operator.control.snapshot import ClusterSnapshot, SeenUse
from dueby_operator.control.spending import with_spent
from dueby_operator.model.actions import StartStep, StartWorkers, StopWorkers
from dueby_operator.model.conditions import NewCondition, merge_conditions
from dueby_operator.model.job_snapshot import Fault, JobSnapshot
from dueby_planner.deadline_classes import NO_LIMITS, Promises
from dueby_planner.model.cost import Tariff
from dueby_planner.model.problem import NEVER_US
from dueby_planner.profiles.observed import learn_provision
from dueby_planner.schedule.job import Assignment, WorkerModel, WorkerState
from dueby_planner.schedule.spans import Span
from support.decisions import NOW, SETTINGS, indexed, infj, node
from support.decisions import job as job_of
from support.operator import SECOND, profile
from support.shared_cluster_jobs import Running, Working

# A worker that is told to stop is gone after this long.
LEAVING_US = 2 * SECOND
Document = dict[str, Any]


def slowly_started(found: GPUProfile) -> GPUProfile:
    """The same class, with workers that take five seconds to start."""
    startup = Quantiles(p50=5 * SECOND, p95=5 * SECOND)
    return found.replace(spec=found.spec.replace(startup_micros=startup))


def asking(cores: float) -> Document:
    """The `worker` of a job whose workers ask for so many."""
    return {"resources": {"requests": {"cpu": str(cores)}}}


def cpus_of(running: Running) -> float:
    """The cores that each of the job's workers asks for."""
    manifest: Any = running.snapshot.manifest
    return float(worker_requests(manifest.spec, SETTINGS, "cpu-1")["cpu"])


class SharedCluster:
    """Nodes of so many cores, and jobs that come one after the other."""

    def __init__(
        self,
        cores: Mapping[str, int],
        *,
        promises: Promises = NO_LIMITS,
        stores: tuple[StoreLimits, ...] = (),
        capacity: tuple[AnnouncedDevices, ...] = (),
        node_pools: tuple[NodePool, ...] = (),
        tariff: Tariff | None = None,
        budgets: Mapping[str, NamespaceBudget] | None = None,
    ) -> None:
        self.promises, self.stores, self.tariff, self.budgets = promises, stores, tariff, budgets or {}
        self.seen: Mapping[str, SeenUse] = {}
        """What jobs had used of budgets by the last pass."""
        self.settings = replace(SETTINGS, capacity=capacity, node_pools=node_pools)
        self.nodes = {name: node(name, count) for name, count in cores.items()}
        self.profiles: tuple[GPUProfile, ...] = (slowly_started(profile()),)
        self.now_us = NOW
        self.jobs: dict[str, Running] = {}
        self.faults: list[Fault] = []
        """What went wrong with all jobs together."""
        self._started_now: list[Working] = []
        self._devices = ClusterDevices(settings=self.settings, now_us=NOW, nodes={})

    def add(
        self,
        name: str,
        *,
        images: int,
        deadline_s: int,
        deadline_class: str = "Hard",
        namespace: str = "team",
        **spec: Any,
    ) -> None:
        """Apply a job now."""
        metadata = {"name": name, "namespace": namespace, "uid": f"u-{name}"}
        spec |= {"deadline": f"{deadline_s}s", "deadlineClass": deadline_class}
        made = job_of(infj(status=indexed(images=images), metadata=metadata, **spec))
        self.jobs[name] = Running(snapshot=replace(made, created_us=self.now_us), images=images)

    def join(self, name: str, cores: int, labels: Mapping[str, str]) -> None:
        """Let a node join the cluster."""
        pools = self.settings.node_pools
        pool = pool_of(labels, pools)
        spot = is_spot(labels, pool, pools)
        self.nodes[name] = replace(node(name, cores), labels=dict(labels), pool=pool, is_spot=spot)

    def take_away(self, name: str, from_s: int, to_s: int | None = None) -> None:
        """Let a node be away, in seconds after the beginning."""
        to_us = NEVER_US if to_s is None else NOW + to_s * SECOND
        self.nodes[name] = replace(self.nodes[name], away=(Span(NOW + from_s * SECOND, to_us),))

    def edit(self, name: str, **spec: Any) -> None:
        """Edit a job."""
        running = self.jobs[name]
        manifest: Any = running.snapshot.manifest
        running.snapshot = replace(
            running.snapshot,
            manifest=manifest.replace(spec=manifest.spec.replace(**spec)),
            generation=running.snapshot.generation + 1,
        )

    def forget(self) -> None:
        """Start the operator again: it remembers nothing."""
        self.seen = {}
        for running in self.jobs.values():
            fresh = job_of(infj()).memory
            running.snapshot = replace(running.snapshot, memory=fresh)

    def run(self, seconds: int, *, every_s: int = 1, until: Callable[[], bool] = lambda: False) -> None:
        """Let the time pass, with a decision every so often."""
        for second in range(seconds):
            if second % every_s == 0:
                self.decide()
                assert not self.faults
            self._pass_time(SECOND)
            if until():
                return

    def decide(self) -> None:
        """Make one pass."""
        seen, nodes, now_us = tuple(map(self._seen, self.jobs.values())), self._nodes_left(), self.now_us
        devices = ClusterDevices(
            settings=self.settings,
            now_us=now_us,
            nodes=nodes,
            queues=self._queues(),
            room=self._room(),
            late=count_late((job.namespace, worker) for job in seen for worker in job.workers),
            provision=learn_provision(self.settings.node_pools, self.profiles),
        )
        snapshot = ClusterSnapshot(
            now_us=now_us,
            jobs=seen,
            devices=devices,
            profiles=self.profiles,
            nodes=nodes,
            promises=self.promises,
            stores=self.stores,
            tariff=self.tariff,
            budgets=self.budgets,
            seen=self.seen,
        )
        self.seen = use_by_now(snapshot)
        self._devices = devices
        decided = decide(snapshot)
        self.faults += decided.left.faults
        for decision in sorted(decided.jobs, key=lambda each: any(isinstance(a, StartWorkers) for a in each.actions)):
            self._carry_out(self.jobs[decision.job.name], decision)

    def status(self, name: str) -> Any:
        return self.jobs[name].snapshot.status

    def said(self, name: str, kind: str) -> tuple[str, str]:
        """The reason of a condition, and its message."""
        found = condition(self.status(name), ConditionType(kind))
        return (found.reason, found.message) if found else ("", "")

    def changes(self, name: str) -> list[tuple[str, int, int]]:
        """Why the number of the job's workers was changed, from how many and to how many."""
        return [(replan.reason, replan.before, replan.after) for replan in self.status(name).replans]

    def ended_s(self, name: str) -> float:
        """When the job ended, in seconds after the beginning."""
        ended_us = self.jobs[name].ended_us
        assert ended_us is not None, f"{name} has not ended: {self.status(name).phase} {self.status(name).message}"
        return (ended_us - NOW) / SECOND

    def _carry_out(self, running: Running, decision: JobDecision) -> None:
        if decision.fault:
            raise decision.fault.error
        running.snapshot = replace(running.snapshot, status=decision.status, memory=decision.memory)
        running.phases.append(decision.status.phase)
        for action in decision.actions:
            self._started_now = []
            match action:
                case StartWorkers():
                    rather = action.nodes.get("cpu-1", ())
                    running.workers += [self._started(running, each, rather) for each in action.assignments]
                    running.most = max(running.most, len(running.alive))
                case StopWorkers():
                    for worker in running.alive:
                        if worker.assignment.worker in action.workers:
                            worker.stopped_us = self.now_us
                case StartStep():
                    self._end(running)

    def _queues(self) -> Mapping[tuple[str, str], Queue]:
        """Queues of the cluster; none here."""
        return {}

    def _room(self) -> Mapping[str, Room]:
        """What ResourceQuotas bound; nothing here."""
        return {}

    def _started(self, running: Running, assignment: Assignment, rather: Collection[str]) -> Working:
        node = "" if assignment.pool else self._node_for(running, assignment, rather)
        worker = Working(
            assignment=assignment,
            node=node,
            cpus=cpus_of(running),
            born_us=self.now_us,
            node_us=self.now_us if node else None,
        )
        self._started_now.append(worker)
        return worker

    def _node_for(self, running: Running, assignment: Assignment, rather: Collection[str]) -> str:
        """As the scheduler chooses one: where there is room, of the preferred ones first."""
        manifest: Any = running.snapshot.manifest
        deadline_us = manifest.spec.deadline_us(accepted_us=running.snapshot.accepted_us)
        avoid = self._devices.avoided_nodes("cpu-1", until_us=assignment.until_us or deadline_us)
        ready = {name: found.free["cpu"] for name, found in self._nodes_left().items() if found.is_ready}
        kept = {"Only": True, "Avoid": False}.get(manifest.spec.spot_use, assignment.is_spot)
        avoid |= {name for name, found in self.nodes.items() if kept not in (None, found.is_spot)}
        left = {name: free for name, free in ready.items() if free + 1e-9 >= cpus_of(running) and name not in avoid}
        assert left, f"there is no node for {assignment.worker}"
        return max(left, key=lambda name: (name in rather, left[name]))

    def _end(self, running: Running) -> None:
        running.ended_us = self.now_us
        for worker in running.alive:
            worker.stopped_us = self.now_us - LEAVING_US
        status, ended = running.snapshot.status, NewCondition(reason=Reason.EVERY_IMAGE_HAS_A_ROW)
        found = merge_conditions(status.conditions, [ended], generation=1, now_us=self.now_us)
        status = with_spent(status.replace(conditions=found), (), self.tariff, now_us=self.now_us)
        running.snapshot = replace(running.snapshot, status=status)
        assert is_over(running.snapshot.status)

    def _nodes_left(self) -> dict[str, Node]:
        there = [worker for running in self.jobs.values() for worker in running.workers]
        started = [worker for worker in self._started_now if not any(worker is each for each in there)]
        working, leaving = defaultdict[str, Counter[str]](Counter), defaultdict[str, Counter[str]](Counter)
        for worker in [*there, *started]:
            if not worker.is_lost and not self._is_away(worker):
                asked = Counter({"millicores": round(1000 * worker.cpus), SLICE: 1})
                (working if worker.stopped_us is None else leaving)[worker.node].update(asked)
        nodes = with_times(self.nodes.values(), self.settings.capacity)
        return {
            found.name: replace(
                found,
                free={**found.free, **_less(found.free, working[found.name] + leaving[found.name])},
                leaving=_amounts(leaving[found.name]),
                workers=_amounts(working[found.name]),
            )
            for found in nodes
        }

    def _seen(self, running: Running) -> JobSnapshot:
        status = running.snapshot.status
        part_size = status.plan.part_size if status.plan and status.plan.revision else None
        parts = Grid(images=running.images, part_size=part_size).parts if part_size else 0
        whole = parts if running.done >= running.images else int(running.done) // part_size if part_size else 0
        rest = max(0.0, min(running.done, running.images) - whole * part_size) if part_size else 0.0
        alive = running.alive
        # A Job of which all workers are stopped is deleted, and nobody knows of them any more.
        is_deleted = not alive and all(self._is_away(worker) for worker in running.workers)
        workers = tuple(
            self._model(worker, open_images=int(rest) if alive and worker is alive[0] else 0)
            for worker in ([] if is_deleted else running.workers)
        )
        return replace(running.snapshot, workers=workers, parts_there=parts_of_runs([(0, whole)] if whole else []))

    def _is_away(self, worker: Working) -> bool:
        return worker.stopped_us is not None and self.now_us >= worker.stopped_us + LEAVING_US

    def _model(self, worker: Working, *, open_images: int) -> WorkerModel:
        has_begun = worker.images >= 1
        alive: WorkerState = "queued" if worker.is_queued else "running" if has_begun else "starting"
        is_absent = worker.is_absent(self.now_us)
        return WorkerModel(
            assignment=worker.assignment,
            state="lost" if worker.is_lost or is_absent else "stopped" if worker.is_gone else alive,
            created_us=worker.born_us,
            open_images=open_images,
            batches=int(worker.images) // 16,
            step_us=round(worker.assignment.choice.latency_us / worker.speed) if has_begun else None,
            last_step_us=self.now_us if has_begun else None,
            node="" if worker.is_gone else worker.node,
            group=worker.group,
            is_absent=is_absent,
            can_shrink=not worker.group,
        )

    def _pass_time(self, time_us: int) -> None:
        self._schedule_pending()
        for running in self.jobs.values():
            for worker in [] if running.is_done else running.workers:
                did = 0.0 if worker.is_lost else worker.images_in(self.now_us, self.now_us + time_us)
                worker.images += did
                running.done += did
        self.now_us += time_us

    def _schedule_pending(self) -> None:
        """As the scheduler does it with pods that wait: put them on nodes of their pool that have come."""
        alive = [worker for running in self.jobs.values() for worker in running.alive]
        for worker in (each for each in alive if each.node_us is None and not each.is_queued):
            there = [
                name
                for name, found in self._nodes_left().items()
                if found.is_ready
                and found.pool == worker.assignment.pool
                and worker.assignment.is_spot in (None, found.is_spot)
                and found.free["cpu"] >= worker.cpus
            ]
            if there:
                worker.node, worker.node_us = there[0], self.now_us


def _amounts(asked: Counter[str]) -> dict[str, float]:
    return {"cpu": asked["millicores"] / 1000, SLICE: float(asked[SLICE])}


def _less(free: Mapping[str, float], asked: Counter[str]) -> dict[str, float]:
    return {name: free[name] - value for name, value in _amounts(asked).items()}


def cluster_with_a_promise() -> SharedCluster:
    """A device on which one Hard job runs, and that is promised to another one after it."""
    cluster = SharedCluster({"n": 1})
    cluster.add("first", images=160 * 60, deadline_s=100)
    cluster.run(3)
    cluster.add("promised", images=160 * 80, deadline_s=160)
    cluster.run(10)
    assert cluster.said("promised", "Feasible")[0] == "Reserved"
    return cluster
