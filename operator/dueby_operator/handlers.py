"""Kopf's part: signing in, start and stop, probes, and watches that wake the one loop, which reads everything anew.

Events say when, lists say what: nothing is lost with an event that is missed, and a storm of them is one pass.
"""

import asyncio
import logging
import socket
import time
import uuid
from collections.abc import Coroutine, Mapping
from typing import Any

import kopf

from dueby_api.errors import DueByError
from dueby_operator import paths
from dueby_operator.cluster.nodes import Node, PodRow, pod_row, read_node
from dueby_operator.fault_log import FaultLog
from dueby_operator.jobs import names
from dueby_operator.kube.client import Kube
from dueby_operator.kube.gather import Gatherer
from dueby_operator.kube.lease import Lease
from dueby_operator.kube.progress import JobObserver
from dueby_operator.kube.reflector import Reflector
from dueby_operator.kube.scope import Scope
from dueby_operator.kube.worker_client import WorkerClient
from dueby_operator.metrics import count_fault, count_request, record_reconcile
from dueby_operator.objects.nodes import NodeObject
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import Pod
from dueby_operator.reconciler import Reconciler
from dueby_operator.settings import OperatorSettings

# Events within this time are answered by one pass.
DEBOUNCE_S = 0.3
# After this long without a successful pass the operator's probe fails, and it is started anew.
STUCK_S = 120.0
log = logging.getLogger(__name__)


class LoopTask:
    """The loop's task, and what wakes it."""

    def __init__(self, settings: OperatorSettings, *, lease: str | None) -> None:
        self.settings = settings
        self.lease = lease
        self.wake = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.last_good_s = time.monotonic()
        self._versions: dict[str, tuple[Any, Any]] = {}
        """Generation and deletion of each job, by its uid."""

    def on_job_event(self, kind: str | None, job: Mapping[str, Any]) -> None:
        """Wake the loop for a job that came, goes or was edited, not for one whose status it has written itself."""
        metadata = job["metadata"]
        version = _job_version(job)
        if kind == "DELETED":
            self._versions.pop(metadata["uid"], None)
        elif self._versions.get(metadata["uid"]) == version:
            return
        else:
            self._versions[metadata["uid"]] = version
        self.wake.set()

    async def run(self) -> None:
        """Hold the Lease, keep the tables of nodes and pods, and reconcile again and again; end when any of it ends."""
        kube, workers = Kube(sign_in, count=count_request), WorkerClient()
        lease = self._lease(kube)
        try:
            if lease:
                await self._until_held(lease)
            scope = Scope(kube, self.settings, pod_row=self._pod_row, pod_changed=self._pod_changed)
            nodes = Reflector(kube, paths.core_path("nodes"), reduce=self._node_row, changed=self._node_changed)
            observer = JobObserver(kube, ask=workers.ask)
            gatherer = Gatherer(kube, self.settings, observer=observer, nodes=nodes, scope=scope)
            faults = FaultLog(count=count_fault)
            reconciler = Reconciler(kube, gatherer, now_us=lambda: time.time_ns() // 1000, faults=faults)
            kept = [*scope.tables(), nodes.run(), *(table.run() for table in self._wakers(kube))]
            tasks: list[Coroutine[Any, Any, None]] = [*kept, self._reconcile(reconciler)]
            async with asyncio.TaskGroup() as together:
                for task in [*tasks, *([lease.keep()] if lease else [])]:
                    together.create_task(task)
        finally:
            if lease:
                await lease.give_back()
            await workers.close()
            await kube.close()

    def health(self) -> str:
        """Return how long ago a pass succeeded. Raise kopf.PermanentError if the loop has ended or is stuck."""
        if self.task is None or self.task.done():
            raise kopf.PermanentError("The control loop has ended.")
        silent_s = time.monotonic() - self.last_good_s
        if silent_s > STUCK_S:
            raise kopf.PermanentError(f"No successful reconcile pass for {silent_s:.0f} s.")
        return f"{silent_s:.0f} s ago"

    async def _reconcile(self, reconciler: Reconciler) -> None:
        while True:
            self.wake.clear()
            pause_s, began_s = 5.0, time.monotonic()
            try:
                pause_s = await reconciler.reconcile()
                self.last_good_s = time.monotonic()
                record_reconcile(reconciler.snapshot, seconds=self.last_good_s - began_s)
            except DueByError as error:
                log.warning("reconciling again in %.0f s: %s", pause_s, error)
            try:
                await asyncio.wait_for(self.wake.wait(), pause_s)
                await asyncio.sleep(DEBOUNCE_S)
            except TimeoutError:
                pass

    async def _until_held(self, lease: Lease) -> None:
        """Wait for the Lease; waiting is not being stuck."""
        taking = asyncio.create_task(lease.take())
        while not (await asyncio.wait([taking], timeout=STUCK_S / 4))[0]:
            self.last_good_s = time.monotonic()
        taking.result()
        self.last_good_s = time.monotonic()

    def _lease(self, kube: Kube) -> Lease | None:
        if not self.lease:
            return None
        namespace, _, name = self.lease.partition("/")
        holder = f"{socket.gethostname()}_{uuid.uuid4()}"
        return Lease(kube=kube, path=paths.lease_path(namespace, name), holder=holder)

    def _pod_row(self, pod: dict[str, Any]) -> PodRow | None:
        return pod_row(parse(Pod, pod), label=names.JOB, yielding=names.PROFILED)

    def _pod_changed(self, before: PodRow | None, after: PodRow | None) -> None:
        if any(row is not None and row.ours for row in (before, after)):
            self.wake.set()

    def _node_row(self, node: dict[str, Any]) -> Node:
        return read_node(parse(NodeObject, node), self.settings.class_labels)

    def _wakers(self, kube: Kube) -> list[Reflector[Any]]:
        """Return what wakes the loop in single namespaces: Kopf would end with the first that it may not watch."""
        tables: list[Reflector[Any]] = []
        for namespace in self.settings.watch_namespaces:
            kinds = ((paths.jobs_path(namespace), _job_version), (paths.batch_path(namespace), _batch_version))
            tables += [
                Reflector(kube, path, reduce=version, changed=lambda *_: self.wake.set()) for path, version in kinds
            ]
        return tables

    def _node_changed(self, before: Node | None, after: Node | None) -> None:
        self.wake.set()


def _job_version(job: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return what changes when a job is edited or goes, and not when its status is written."""
    return job["metadata"].get("generation"), job["metadata"].get("deletionTimestamp")


def _batch_version(job: Mapping[str, Any]) -> str | None:
    """Return what changes with a Job; None if it isn't an InferenceJob's."""
    metadata = job["metadata"]
    return str(metadata["resourceVersion"]) if names.JOB in (metadata.get("labels") or {}) else None


def sign_in() -> kopf.ConnectionInfo:
    """Return the credentials of the pod's service account, or those of a kubeconfig."""
    settings = kopf.OperatorSettings()
    found = kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(settings=settings)
    if found is None:
        raise SystemExit("No cluster: this is no pod, and neither KUBECONFIG nor ~/.kube/config leads to one.")
    return found


def operate(settings: OperatorSettings, *, liveness: str | None, lease: str | None) -> None:
    """Run the operator until it is told to stop, answering probes at the address `liveness`."""
    registry = register(LoopTask(settings, lease=lease))
    asyncio.run(kopf.operator(registry=registry, clusterwide=True, standalone=True, liveness_endpoint=liveness))


def register(loop: LoopTask) -> kopf.OperatorRegistry:
    """Return the handlers of an operator with this loop."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def login(**_: Any) -> kopf.ConnectionInfo:
        return sign_in()

    @kopf.on.startup(registry=registry)
    async def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.posting.enabled = False  # these are kopf's own Events; the loop posts ours
        settings.scanning.disabled = True
        loop.task = asyncio.create_task(loop.run())

    @kopf.on.cleanup(registry=registry)
    async def stop(**_: Any) -> None:
        if loop.task:
            loop.task.cancel()
            await asyncio.wait([loop.task])

    @kopf.on.probe(id="loop", registry=registry)
    def probe(**_: Any) -> str:
        return loop.health()

    def wake(**_: Any) -> None:
        loop.wake.set()

    def on_job_event(type: str | None, body: Mapping[str, Any], **_: Any) -> None:
        loop.on_job_event(type, body)

    kopf.on.event(names.GROUP, names.VERSION, "gpuprofiles", registry=registry)(wake)
    if not loop.settings.watch_namespaces:
        kopf.on.event(names.GROUP, names.VERSION, "inferencejobs", registry=registry)(on_job_event)
        kopf.on.event("batch", "v1", "jobs", labels={names.JOB: kopf.PRESENT}, registry=registry)(wake)
    return registry
