"""What watches keep: the tables of nodes and pods, and what wakes the loop and is not Kopf's to watch."""

from collections.abc import Callable, Mapping
from typing import Any

from dueby_operator import paths
from dueby_operator.cluster.nodes import PodRow, pod_row
from dueby_operator.jobs import names
from dueby_operator.kube.client import Kube
from dueby_operator.kube.node_table import NodeTable
from dueby_operator.kube.reflector import Reflector
from dueby_operator.kube.scope import Scope
from dueby_operator.kube.trouble import Trouble
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import Pod
from dueby_operator.settings import OperatorSettings


class Tables:
    """The tables of one process."""

    def __init__(self, kube: Kube, settings: OperatorSettings, *, wake: Callable[[], None], outage: Trouble) -> None:
        """`wake` is called when something has happened that a pass should see at once."""
        self._wake = wake
        self.scope = Scope(kube, settings, pod_row=_pod_row, pod_changed=self._pod_changed, outage=outage)
        self.nodes = NodeTable(kube, settings, changed=wake, outage=outage)
        self._wakers: list[Reflector[Any]] = [
            Reflector(kube, path(namespace), reduce=version, changed=self._changed, outage=outage, label=label)
            for namespace in settings.watch_namespaces or (None,)
            for path, version, label in (
                # Kopf would end with the first job of which a tenant has nested a field deeper than Kopf reads.
                (paths.jobs_path, _job_version, ""),
                # Kopf would keep as many megabytes of Jobs as a tenant labels, and end where it may not watch.
                (paths.batch_path, _batch_version, names.JOB),
            )
        ]

    def all(self) -> list[Reflector[Any]]:
        """Return every table, each to be kept by its own task."""
        return [*self.scope.tables(), *self.nodes.tables(), *self._wakers]

    def _pod_changed(self, before: PodRow | None, after: PodRow | None) -> None:
        if any(row is not None and row.ours for row in (before, after)):
            self._wake()

    def _changed(self, before: Any, after: Any) -> None:
        self._wake()


def _job_version(job: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return what changes when a job is edited or goes, and not when its status is written."""
    return job["metadata"].get("generation"), job["metadata"].get("deletionTimestamp")


def _batch_version(job: Mapping[str, Any]) -> str:
    """Return what changes with a Job."""
    return str(job["metadata"]["resourceVersion"])


def _pod_row(pod: dict[str, Any]) -> PodRow | None:
    return pod_row(parse(Pod, pod), label=names.JOB, worker=names.WORKER, yielding=names.PROFILED)
