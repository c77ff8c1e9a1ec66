"""Kueue's queues as they are read: one that is odd concerns the jobs that name it, and no others."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from aiohttp import web

from dueby_api.errors import Invalid
from dueby_operator import paths
from dueby_operator.cluster.queues import Queue
from dueby_operator.kube.queues import AT_ONCE, GROUP_PATH, read_queues
from support.api import served

VERSION = "kueue.x-k8s.io/v1beta1"
API = f"/apis/{VERSION}"


def local(cluster_queue: Any) -> dict[str, Any]:
    return {"spec": {"clusterQueue": cluster_queue}}


def whole(quota: Any, flavor: str = "any") -> dict[str, Any]:
    resources = [{"name": "cpu", "nominalQuota": quota}]
    return {"spec": {"resourceGroups": [{"flavors": [{"name": flavor, "resources": resources}]}]}}


THERE: dict[str, Any] = {
    GROUP_PATH: {"preferredVersion": {"groupVersion": VERSION}},
    f"{API}/resourceflavors/any": {"spec": {"nodeLabels": {"zone": "a"}}},
    f"{API}/clusterqueues/night": whole("40"),
    f"{API}/clusterqueues/lots": whole("lots"),
    f"{API}/clusterqueues/flavorless": whole("40", "gone"),
    f"{API}/namespaces/team/localqueues/night": local("night"),
    f"{API}/namespaces/team/localqueues/lots": local("lots"),
    f"{API}/namespaces/team/localqueues/flavorless": local("flavorless"),
    f"{API}/namespaces/team/localqueues/number": local(7),
    f"{API}/namespaces/team/localqueues/up": local(".."),
    f"{API}/namespaces/team/localqueues/way": local("../../../../api/v1/nodes"),
    f"{API}/namespaces/team/localqueues/nowhere": local("nowhere"),
    f"{API}/namespaces/team/localqueues/forbidden": 403,
    f"{API}/namespaces/team/localqueues/wrong": 422,
}
KEPT = Queue(name="kept", groups=())
ODD = ("lots", "flavorless", "number", "up", "way", "nowhere", "forbidden", "wrong", "absent", "a/b")


def test_an_odd_queue_is_left_out_and_the_others_are_read() -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.raw_path)
        found = THERE.get(request.raw_path, 404)
        if isinstance(found, int):
            return web.json_response({"message": "no"}, status=found)
        return web.json_response(found)

    async def read() -> None:
        async with served(answer) as kube:
            named = [("team", name) for name in (*ODD, "night", "night")]
            found = (await read_queues(kube, named)).found
            assert list(found) == [("team", "night")]
            ((flavor,),) = found["team", "night"].groups
            assert (flavor.quota, flavor.node_labels) == ({"cpu": 40.0}, {"zone": "a"})

    asyncio.run(read())
    assert f"{API}/namespaces/team/localqueues/a%2Fb" in asked
    assert f"{API}/clusterqueues/..%2F..%2F..%2F..%2Fapi%2Fv1%2Fnodes" in asked
    assert len(asked) == len(set(asked)), "what queues have in common is read once"


def test_a_queue_is_read_with_all_cluster_queues_of_its_cohort() -> None:
    one, two, alone = whole("4"), whole("6"), whole("50")
    one["spec"]["cohortName"] = two["spec"]["cohortName"] = "all"
    there = THERE | {f"{API}/clusterqueues/night": one, f"{API}/clusterqueues": {"items": [one, two, alone]}}

    async def answer(request: web.Request) -> web.Response:
        found = there.get(request.path, 404)
        return web.json_response(found) if isinstance(found, dict) else web.json_response({}, status=404)

    async def read() -> None:
        async with served(answer) as kube:
            found = (await read_queues(kube, [("team", "night")])).found
            ((flavor,),) = found["team", "night"].groups
            assert (flavor.quota, flavor.shared) == ({"cpu": 10.0}, {"cpu": 10.0})

    asyncio.run(read())


def test_a_queue_that_the_server_fails_to_show_is_as_it_was_before_or_unknown_and_the_others_are_read() -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith(("localqueues/kept", "localqueues/other")):
            return web.json_response({"message": "conversion webhook failed"}, status=500)
        return web.json_response(THERE[request.path])

    async def read() -> None:
        async with served(answer) as kube:
            named = [("team", name) for name in ("kept", "night", "other")]
            queues = await read_queues(kube, named, before={("team", "kept"): KEPT})
            assert set(queues.found) == {("team", "kept"), ("team", "night")}
            assert queues.found["team", "kept"] is KEPT
            ((key, why),) = queues.unknown.items()
            assert key == ("team", "other")
            assert "conversion webhook failed" in why

    asyncio.run(read())


def test_a_webhook_that_hangs_is_not_waited_for() -> None:
    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(3600)
        return web.json_response({})

    async def read() -> None:
        async with served(answer) as kube:
            queues = await read_queues(kube, [("team", "night"), ("team", "other")], wait_s=0.1)
            assert (len(queues.found), len(queues.unknown)) == (0, 2)

    asyncio.run(asyncio.wait_for(read(), 60))


@pytest.mark.parametrize("there", [pytest.param(THERE, id="of Kueue's"), pytest.param({}, id="without Kueue")])
def test_queues_that_are_not_there_are_asked_for_several_at_once(there: dict[str, Any]) -> None:
    together: list[web.Request] = []
    requests: Counter[str] = Counter()
    most = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal most
        together.append(request)
        most = max(most, len(together))
        requests[request.path] += 1
        await asyncio.sleep(0.05)
        together.remove(request)
        found = there.get(request.path)
        return web.json_response(found or {}, status=200 if found else 404)

    async def read() -> None:
        async with served(answer) as kube:
            queues = await read_queues(kube, [("team", f"q-{number}") for number in range(3 * AT_ONCE)])
            assert not queues.found
            assert not queues.unknown

    asyncio.run(read())
    assert requests[GROUP_PATH] == 1
    assert len(requests) == (1 + 3 * AT_ONCE if there else 1)
    assert most <= AT_ONCE
    assert most > 1 or not there


def test_a_name_is_one_segment_of_a_path() -> None:
    assert paths.jobs_path("team", "a") == "/apis/dueby.dev/v1alpha1/namespaces/team/inferencejobs/a"
    assert paths.core_path("pods", "a/b", "c?d#e%f") == "/api/v1/namespaces/a%2Fb/pods/c%3Fd%23e%25f"
    assert paths.batch_path("team") == "/apis/batch/v1/namespaces/team/jobs"
    for name in (".", ".."):
        with pytest.raises(Invalid, match="is not the name of an object"):
            paths.jobs_path("team", name)
