"""What watches keep: the tables of nodes and pods, and what wakes the loop and is not Kopf's to watch."""

from collections.abc import Callable
from typing import Any

from dueby_api.schema import Raw
from dueby_operator.cluster.nodes import PodRow, pod_row
from dueby_operator.jobs import names
from dueby_operator.kube.client import Kube
from dueby_operator.kube.node_table import NodeTable
from dueby_operator.kube.reflector import Reflector
from dueby_operator.kube.scope import Scope
from dueby_operator.kube.trouble import Trouble
from dueby_operator.kube.watched_lists import Watches
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import Pod
from dueby_operator.settings import OperatorSettings


class WatchedTables:
    """The tables of one process."""

    def __init__(self, kube: Kube, settings: OperatorSettings, *, wake: Callable[[], None], outage: Trouble) -> None:
        """`wake` is called when something has happened that a pass should see at once."""
        self._wake = wake
        self.watches = Watches(kube, settings, wake=wake, outage=outage)
        self.scope = Scope(
            kube, settings, pod_row=our_pod_row, pod_changed=self._pod_changed, outage=outage, watches=self.watches
        )
        self.nodes = NodeTable(kube, settings, changed=wake, outage=outage)

    def all(self) -> list[Reflector[Any]]:
        """Return every table, each to be kept by its own task."""
        return [*self.scope.tables(), *self.nodes.tables(), *self.watches.all()]

    def _pod_changed(self, before: PodRow | None, after: PodRow | None) -> None:
        if any(row is not None and row.ours for row in (before, after)):
            self._wake()


def our_pod_row(pod: Raw) -> PodRow | None:
    return pod_row(parse(Pod, pod), label=names.JOB, worker=names.WORKER, yielding=names.PROFILED)
