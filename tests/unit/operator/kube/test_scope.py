"""What an operator of some namespaces asks the API server, and what it does without one that it may not read."""

import asyncio
from collections.abc import Callable, Collection

import pytest
from aiohttp import web

from dueby_api.schema import Raw
from dueby_operator.cluster.nodes import PodRow, pod_row
from dueby_operator.jobs import names
from dueby_operator.kube.client import Refused
from dueby_operator.kube.scope import NamespacedObjects, Scope
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import Pod
from dueby_operator.settings import OperatorSettings, ProfilerSettings
from support.api import served
from support.stored import read_stored, read_waiting

PROFILER = ProfilerSettings(namespace="release", name="p")
OURS, BATCH, CORE = "/apis/dueby.dev/v1alpha1", "/apis/batch/v1", "/api/v1"
TEAMS = ("a", "b")


class Server:
    """Shows one object of each kind in each namespace, and notes what it is asked for."""

    def __init__(self, *, forbids: Collection[str] = ()) -> None:
        self.forbids = forbids
        """Beginnings of paths."""
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            await asyncio.sleep(3600)
        self.asked.append(request.path)
        if request.path.startswith(tuple(self.forbids)):
            return web.json_response({"message": f"{request.path} is forbidden"}, status=403)
        *_, place, kind = request.path.split("/")
        metadata = {"name": f"{kind}-of-{place}", "namespace": place, "uid": place, "labels": {names.JOB: "j"}}
        listed = {"metadata": {"resourceVersion": "1"}, "items": [{"metadata": metadata, "spec": {}, "status": {}}]}
        return web.json_response(listed)


def settings(*, ignores_other_pods: bool = False, namespaces: tuple[str, ...] = TEAMS) -> OperatorSettings:
    return OperatorSettings(
        image="w", profiler=PROFILER, watch_namespaces=namespaces, ignores_other_pods=ignores_other_pods
    )


def read_pod(document: Raw) -> PodRow | None:
    return pod_row(parse(Pod, document), label=names.JOB, worker=names.WORKER)


def read(
    server: Server, told: OperatorSettings, *, again: Callable[[NamespacedObjects], bool] = lambda _: False
) -> NamespacedObjects:
    """What the scope reads; as often as `again` wants it."""

    async def go() -> NamespacedObjects:
        async with served(server.answer) as kube:
            scope = Scope(kube, told, pod_row=read_pod, pod_changed=lambda *_: None)
            tasks = [asyncio.create_task(table.run()) for table in scope.tables()]
            try:
                async with asyncio.timeout(20):
                    while again(found := await scope.read(read_stored, read_waiting)):
                        await asyncio.sleep(0.1)
                return found
            finally:
                for task in tasks:
                    task.cancel()

    return asyncio.run(go())


def names_of(found: NamespacedObjects) -> set[str]:
    listed = {each.name for each in found.batch} | {each.metadata.name for each in found.quotas}
    pods = {row.ours.name for row in found.rows if row.ours}
    return listed | pods | {job.name for job in found.jobs}


def of(*namespaces: str, kinds: str = "inferencejobs jobs resourcequotas pods") -> set[str]:
    return {f"{kind}-of-{namespace}" for namespace in namespaces for kind in kinds.split()}


def test_an_operator_of_the_cluster_asks_for_all_namespaces_at_once() -> None:
    server = Server()
    read(server, settings(namespaces=()))
    everything = [f"{OURS}/inferencejobs", f"{BATCH}/jobs", f"{CORE}/resourcequotas", f"{CORE}/pods"]
    assert sorted(server.asked) == sorted(everything)


def test_one_of_some_namespaces_asks_for_nothing_else_but_all_pods() -> None:
    server = Server()
    assert names_of(read(server, settings())) == of("a", "b", kinds="inferencejobs jobs resourcequotas") | {
        "pods-of-v1"
    }
    assert {path for path in server.asked if "/namespaces/" not in path} == {f"{CORE}/pods"}


def test_and_where_it_may_not_read_those_for_its_own_and_the_profilers() -> None:
    server = Server()
    found = read(server, settings(ignores_other_pods=True))
    assert names_of(found) == of(*TEAMS) | of("release", kinds="pods")
    assert all("/namespaces/" in path for path in server.asked)


@pytest.mark.parametrize("kind", [f"{OURS}/namespaces/a/inferencejobs", f"{CORE}/namespaces/a/pods"])
def test_a_namespace_that_may_not_be_read_is_left_out_whole_and_the_others_are_not(kind: str) -> None:
    found = read(Server(forbids=[kind]), settings(ignores_other_pods=True))
    assert names_of(found) == of("b") | of("release", kinds="pods")


def test_it_is_there_again_once_it_may_be_read() -> None:
    server = Server(forbids=[f"{CORE}/namespaces/a"])

    def is_left_out(found: NamespacedObjects) -> bool:
        is_out = not names_of(found) & of("a")
        if is_out:
            server.forbids = ()
        return is_out

    found = read(server, settings(ignores_other_pods=True), again=is_left_out)
    assert names_of(found) >= of(*TEAMS)


@pytest.mark.parametrize("kind", [f"{OURS}/inferencejobs", f"{CORE}/pods"])
def test_an_operator_of_the_cluster_can_do_nothing_without_its_rights(kind: str) -> None:
    with pytest.raises(Refused, match="is forbidden"):
        read(Server(forbids=[kind]), settings(namespaces=()))
