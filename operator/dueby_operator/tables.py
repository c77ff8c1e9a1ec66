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
        namespaces = settings.watch_namespaces
        self._wakers: list[Reflector[Any]] = [
            Reflector(kube, path, reduce=version, changed=self._changed, outage=outage)
            for path, version in (
                # Kopf would end with the first job of which a tenant has nested a field deeper than Kopf reads.
                *((paths.jobs_path(namespace), _job_version) for namespace in namespaces or (None,)),
                # In single namespaces Kopf would end with the first that it may not watch.
                *((paths.batch_path(namespace), _batch_version) for namespace in namespaces),
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


def _batch_version(job: Mapping[str, Any]) -> str | None:
    """Return what changes with a Job; None if it isn't an InferenceJob's."""
    metadata = job["metadata"]
    return str(metadata["resourceVersion"]) if names.JOB in (metadata.get("labels") or {}) else None


def _pod_row(pod: dict[str, Any]) -> PodRow | None:
    return pod_row(parse(Pod, pod), label=names.JOB, worker=names.WORKER, yielding=names.PROFILED)
