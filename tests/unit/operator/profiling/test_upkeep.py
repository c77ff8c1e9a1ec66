"""Profiling on nodes against an API server: how often it is asked, how much is written in a pass, what stops it."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from dueby_api.schema import Raw
from dueby_operator import paths
from dueby_operator.cluster.nodes import Node, PodRow
from dueby_operator.gathering.gather import PROFILING_US, Gatherer
from dueby_operator.gathering.progress import JobObserver
from dueby_operator.kube.reflector import Reflector
from dueby_operator.kube.scope import Scope
from dueby_operator.objects.meta import HasIdentity
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import Pod
from dueby_operator.passes.reconciler import Reconciler
from dueby_operator.profiling.upkeep import MAX_WRITES
from dueby_operator.settings import OperatorSettings
from support.api import served
from support.decisions import NOW, SECOND
from support.node_profiles import NAMESPACE, Site
from support.profiling import gpu_node

SETTINGS = Site(nodes=[]).settings
CRON_JOBS, JOBS = paths.cron_jobs_path(NAMESPACE), paths.batch_path(NAMESPACE)


class Server:
    """It has these nodes, keeps the CronJobs that are created, and refuses what it is told to."""

    def __init__(self, nodes: Sequence[Node], *, refuses: str = "") -> None:
        self.nodes = {node.name: node for node in nodes}
        self.refuses = refuses
        """A method, for CronJobs and the Jobs beside them."""
        self.asked: Counter[str] = Counter()
        """Requests for those, by their method."""
        self.made: dict[str, Any] = {}
        self.now_us = NOW

    async def answer(self, request: web.Request) -> web.Response:
        if "watch" in request.query:
            await asyncio.sleep(3600)
        if request.path in (CRON_JOBS, JOBS):
            self.asked[request.method] += 1
            if request.method == self.refuses:
                return web.json_response({"message": "no"}, status=403)
        if request.method == "GET":
            items: dict[str, list[Any]] = {
                CRON_JOBS: list(self.made.values()),
                paths.core_path("nodes"): [{"metadata": {"name": name, "uid": name}} for name in self.nodes],
            }
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items.get(request.path, [])})
        document = json.loads(await request.read())
        self.made[document["metadata"]["name"]] = document
        return web.json_response(document)


@asynccontextmanager
async def reconciler(server: Server, settings: OperatorSettings) -> AsyncIterator[Reconciler]:
    """An operator that has just started."""

    async def ask(pod: Pod, page: str) -> bytes | None:
        raise AssertionError(f"there are no workers, and {pod.name} was asked for {page}")

    def read_node(document: Raw) -> Node:
        return server.nodes[parse(HasIdentity, document).metadata.name]

    def read_pod(document: Raw) -> PodRow | None:
        raise AssertionError(f"there are no pods, and {bytes(document)!r} was read")

    async with served(server.answer) as kube:
        nodes = Reflector(kube, paths.core_path("nodes"), reduce=read_node, changed=lambda *_: None)
        scope = Scope(kube, settings, pod_row=read_pod, pod_changed=lambda *_: None)
        tables = [asyncio.create_task(run) for run in (nodes.run(), *(table.run() for table in scope.tables()))]
        gatherer = Gatherer(kube, settings, observer=JobObserver(kube, ask=ask), nodes=nodes, scope=scope)
        yield Reconciler(kube, gatherer, now_us=lambda: server.now_us)
        for table in tables:
            table.cancel()


def pauses(server: Server, *after_s: int, settings: OperatorSettings = SETTINGS) -> list[float]:
    """Reconcile so long after the start, and return how many seconds to wait after each pass."""

    async def reconcile() -> list[float]:
        found = []
        async with reconciler(server, settings) as loop:
            for seconds in after_s:
                server.now_us = NOW + seconds * SECOND
                found.append(await loop.reconcile())
        return found

    return asyncio.run(reconcile())


def test_the_server_is_asked_once_in_a_while_and_the_next_time_is_known() -> None:
    server = Server([gpu_node("a")])
    pause_s = PROFILING_US // SECOND
    assert pauses(server, 0, 3, pause_s) == [pause_s, pause_s - 3, pause_s]
    # Twice for CronJobs and their Jobs, and in each pass for what is measured on demand.
    assert server.asked == {"GET": 4 + 3, "POST": 1}


def test_for_many_nodes_some_are_written_in_each_pass() -> None:
    server = Server([gpu_node(f"node-{i}") for i in range(MAX_WRITES + 10)])
    pauses(server, 0)
    assert len(server.made) == MAX_WRITES
    pauses(server, 0)
    assert len(server.made) == len(server.nodes)


def test_what_the_api_server_refuses_stops_nothing_else() -> None:
    assert pauses(Server([gpu_node("a")], refuses="GET"), 0) == [PROFILING_US / SECOND]
    server = Server([gpu_node("a"), gpu_node("b")], refuses="POST")
    pauses(server, 0)
    assert server.asked["POST"] == 2


def test_an_operator_without_the_option_asks_for_nothing() -> None:
    server = Server([gpu_node("a")])
    pauses(server, 0, settings=OperatorSettings(image="dueby/worker:1"))
    assert not server.asked
