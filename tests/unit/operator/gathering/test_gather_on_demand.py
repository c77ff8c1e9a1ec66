"""What the operator takes for measuring on demand: Jobs and pods of its own namespace, whoever else has the labels."""

import asyncio
from dataclasses import replace

from aiohttp import web

from dueby_operator import paths
from dueby_operator.cluster.nodes import pod_row
from dueby_operator.control.snapshot import ClusterSnapshot
from dueby_operator.gathering.gather import Gatherer
from dueby_operator.gathering.progress import JobObserver
from dueby_operator.jobs import names
from dueby_operator.kube.reflector import Reflector
from dueby_operator.kube.scope import Scope
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import Pod
from support.api import served
from support.decisions import NOW, SETTINGS
from support.node_profiles import NAMESPACE, PROFILER, Document, ended
from support.on_demand import begun_for_all
from support.profiling import gpu_node, measured

EVERYBODYS = begun_for_all()[0]
RUNNING = {"phase": "Running", "podIP": "10.0.0.1"}


def pod_in(namespace: str) -> Document:
    """Return a running pod with all the labels of one that measures for everybody."""
    pod = ended(EVERYBODYS, measured().spec, node="gpu", status=RUNNING)
    metadata = {**pod["metadata"], "namespace": namespace, "uid": f"pod-in-{namespace}", "name": f"pod-in-{namespace}"}
    return {**pod, "metadata": metadata, "spec": {**pod["spec"], "priority": -1000}}


def gathered() -> tuple[ClusterSnapshot, list[str]]:
    """Return what is gathered, and the pods that were asked how far they are."""
    asked: list[str] = []
    listed = {
        paths.batch_path(NAMESPACE): [EVERYBODYS],
        paths.core_path("pods"): [pod_in(NAMESPACE), pod_in("team")],
    }

    async def answer(request: web.Request) -> web.Response:
        if "watch" in request.query:
            await asyncio.sleep(3600)
        items = listed.get(request.path, [])
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})

    async def ask(pod: Pod, page: str) -> bytes | None:
        asked.append(pod.name + page)
        return b'{"doing": "growing", "leftSeconds": 9}'

    async def gather() -> ClusterSnapshot:
        settings = replace(SETTINGS, profiler=PROFILER)
        async with served(answer) as kube:
            nodes = Reflector(kube, paths.core_path("nodes"), reduce=lambda _: gpu_node(), changed=lambda *_: None)
            scope = Scope(
                kube,
                settings,
                pod_row=lambda each: pod_row(
                    parse(Pod, each), label=names.JOB, worker=names.WORKER, yielding=names.PROFILED
                ),
                pod_changed=lambda *_: None,
            )
            tables = [asyncio.create_task(run) for run in (nodes.run(), *(table.run() for table in scope.tables()))]
            gatherer = Gatherer(kube, settings, observer=JobObserver(kube, ask=ask), nodes=nodes, scope=scope)
            found = await gatherer.gather({}, now_us=NOW)
            for table in tables:
                table.cancel()
            return found

    return asyncio.run(gather()), asked


def test_only_what_is_in_the_operators_namespace_measures_for_everybody() -> None:
    snapshot, asked = gathered()
    assert snapshot.on_demand is not None
    assert [job.name for job in snapshot.on_demand.jobs] == [EVERYBODYS["metadata"]["name"]]
    assert [pod.name for pod in snapshot.on_demand.pods] == [f"pod-in-{NAMESPACE}"]
    assert asked == [f"pod-in-{NAMESPACE}/progress"]
    (said,) = snapshot.on_demand.progress.values()
    assert said.left_seconds == 9
