"""The operator's snapshot of a cluster, gathered once by its own code with a user's rights. Nobody asks workers."""

import asyncio

from dueby_api.errors import Transient
from dueby_operator.control.snapshot import ClusterSnapshot
from dueby_operator.gathering.gather import Gatherer
from dueby_operator.gathering.progress import JobObserver
from dueby_operator.kube.node_table import NodeTable
from dueby_operator.kube.scope import Scope
from dueby_operator.kube.tables import our_pod_row
from dueby_operator.objects.pods import Pod
from dueby_operator.preview.reading import UsersKube
from dueby_operator.preview.settings import read_settings
from dueby_operator.settings import OperatorSettings

# How often the first lists are waited for.
_WAITS = 6
_NO_OPERATOR = (
    "No operator of the chart was found that watches the namespace {namespace}: until there is one, no job starts, and "
    "the plan is made without the chart's values."
)


async def look(kube: UsersKube, namespace: str, *, now_us: int) -> tuple[ClusterSnapshot, tuple[str, ...]]:
    """Return everything as it is now, and what could not be read, in sentences."""
    settings = await read_settings(kube, namespace)
    # Who may not read Deployments is told that instead.
    alone = () if settings or kube.assumptions else (_NO_OPERATOR.format(namespace=namespace),)
    settings = settings or OperatorSettings(image="")
    nodes = NodeTable(kube, settings, changed=lambda: None)
    scope = Scope(kube, settings, pod_row=our_pod_row, pod_changed=lambda before, after: None)
    gatherer = Gatherer(kube, settings, observer=JobObserver(kube, ask=_ask_nobody), nodes=nodes, scope=scope)
    tables = [asyncio.create_task(table.run()) for table in (*nodes.tables(), *scope.tables())]
    try:
        snapshot = await _gathered(gatherer, now_us=now_us)
        return snapshot, (*alone, *kube.assumptions)
    finally:
        for table in tables:
            table.cancel()


async def _gathered(gatherer: Gatherer, *, now_us: int) -> ClusterSnapshot:
    """Return the snapshot. The operator waits ten seconds for a table; from afar a large one takes longer."""
    for _ in range(_WAITS - 1):
        try:
            return await gatherer.gather({}, now_us=now_us)
        except Transient:
            continue
    return await gatherer.gather({}, now_us=now_us)


async def _ask_nobody(pod: Pod, page: str) -> bytes | None:
    """Return an empty report, so that nothing is asked about the worker's node, and no parts."""
    return b"{}" if page == "/progress" else None
