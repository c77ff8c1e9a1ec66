"""The table of nodes with what they publish: as before where that isn't served or may not be read."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp import web

from dueby_api.capacity import Timed
from dueby_api.schema import validate
from dueby_operator import paths
from dueby_operator.cluster.absences import DRAIN_AT
from dueby_operator.cluster.nodes import SLICE_CPUS, Node, classes_on
from dueby_operator.kube.node_table import NodeTable
from dueby_planner.model.problem import NEVER_US
from dueby_planner.schedule.spans import Span
from support.api import served
from support.decisions import SETTINGS, node_document
from support.resource_slices import GPU, claim, device_class, gpu, resource_slice

Document = dict[str, Any]
SLICES, CLASSES, CLAIMS = map(paths.resource_path, ("resourceslices", "deviceclasses", "resourceclaims"))
LABEL, A100 = "nvidia.com/gpu.product", "NVIDIA-A100-PCIE-40GB"
PUBLISHED = {
    SLICES: [resource_slice("n", [gpu(number) for number in range(4)])],
    CLASSES: [device_class()],
    CLAIMS: [claim("c", "n", ["gpu-2"])],
}


@dataclass(kw_only=True)
class Server:
    """An API server with one node."""

    objects: Mapping[str, list[Document]] = field(default_factory=lambda: PUBLISHED)
    statuses: Mapping[str, int] = field(default_factory=dict)
    """What is answered instead, by path."""
    events: Mapping[str, asyncio.Queue[Document]] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Of the node."""
    taints: tuple[str, ...] = ()
    """Their keys."""
    labels: Mapping[str, str] = field(default_factory=lambda: {LABEL: A100})
    """Likewise."""
    asked: set[str] = field(default_factory=set)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.add(request.path)
        if status := self.statuses.get(request.path):
            return web.json_response({"message": "no"}, status=status)
        if "watch" in request.query:
            response = web.StreamResponse()
            await response.prepare(request)
            while request.path in self.events:
                await response.write(json.dumps(await self.events[request.path].get()).encode() + b"\n")
            await asyncio.sleep(3600)
        node = node_document()
        node["metadata"] |= {"uid": "u", "labels": dict(self.labels), "annotations": dict(self.annotations)}
        node["spec"]["taints"] = [{"key": key, "effect": "NoSchedule"} for key in self.taints]
        found = {paths.core_path("nodes"): [node], **self.objects}[request.path]
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": found})


async def rows(
    server: Server, *, until: Callable[[Node], bool] = lambda node: True, **changes: Any
) -> tuple[Node, int]:
    """The node, once it is as it should be, and how often the loop was woken."""
    woken: list[None] = []
    settings = replace(SETTINGS, **changes)
    async with served(server.answer) as kube:
        table = NodeTable(kube, settings, changed=lambda: woken.append(None))
        tasks = [asyncio.create_task(each.run()) for each in table.tables()]
        try:
            async with asyncio.timeout(20):
                while True:
                    (node,) = await table.rows()
                    if until(node):
                        return node, len(woken)
                    await asyncio.sleep(0.01)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


def test_a_node_has_what_it_publishes_less_what_is_claimed() -> None:
    node, woken = asyncio.run(rows(Server()))
    assert node.devices[A100].resource == GPU
    assert (node.devices[A100].count, node.free[GPU]) == (4, 3.0)
    assert woken == 3  # for the node, the slice and the class


def test_a_claim_that_comes_or_goes_is_seen_and_wakes_nobody() -> None:
    async def look() -> None:
        queue: asyncio.Queue[Document] = asyncio.Queue()
        server = Server(events={CLAIMS: queue})
        more = claim("d", "n", ["gpu-0", "gpu-1"])
        more["metadata"]["resourceVersion"] = "2"
        queue.put_nowait({"type": "ADDED", "object": more})
        _, woken = await rows(server, until=lambda node: node.free[GPU] == 1.0)
        assert woken == 3

    asyncio.run(look())


@pytest.mark.parametrize(
    "statuses",
    [
        pytest.param(dict.fromkeys((SLICES, CLASSES, CLAIMS), 404), id="an API server without the kinds"),
        pytest.param(dict.fromkeys((SLICES, CLASSES, CLAIMS), 403), id="no right to any of them"),
        pytest.param({CLAIMS: 403}, id="no right to claims"),
        pytest.param({CLASSES: 403}, id="no right to classes"),
    ],
)
def test_without_them_or_the_right_to_read_them_a_node_has_what_it_allocates(statuses: Mapping[str, int]) -> None:
    node, _ = asyncio.run(rows(Server(statuses=statuses)))
    assert not node.devices


def test_an_operator_that_reads_no_pods_of_others_asks_for_none_of_it() -> None:
    server = Server()
    node, _ = asyncio.run(rows(server, ignores_other_pods=True))
    assert not node.devices
    assert server.asked == {paths.core_path("nodes")}


def test_a_node_says_when_it_is_drained() -> None:
    node, _ = asyncio.run(rows(Server(annotations={DRAIN_AT: "1970-01-01T00:00:05Z"})))
    assert node.away == (Span(5_000_000, NEVER_US),)


def test_a_node_that_is_being_taken_away_is_away_whatever_its_annotation_says() -> None:
    for annotations in ({}, {DRAIN_AT: "2999-01-01T00:00:00Z"}):
        server = Server(annotations=annotations, taints=("pool", "karpenter.sh/disrupted"))
        node, _ = asyncio.run(rows(server))
        assert node.away == (Span(0, NEVER_US),)


@pytest.mark.parametrize(
    ("labels", "classes", "told"),
    [
        pytest.param({}, ["cpu-4"], [], id="the settings"),
        pytest.param({SLICE_CPUS: "2"}, ["cpu-2"], [], id="the label"),
        pytest.param({SLICE_CPUS: "two"}, ["cpu-4"], ["two"], id="the settings where the label is no number"),
        pytest.param({SLICE_CPUS: "2", LABEL: A100}, [A100], [], id="none beside GPUs"),
    ],
)
def test_the_cores_of_a_node_are_slices_of_one_size(
    labels: dict[str, str], classes: list[str], told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(objects={**PUBLISHED, SLICES: []} if LABEL not in labels else PUBLISHED, labels=labels)
    node, _ = asyncio.run(rows(server, slice_cpus=4))
    assert classes_on(node) == classes
    logged = [record.getMessage() for record in caplog.records if SLICE_CPUS in record.getMessage()]
    assert [words for words in told if f"but is '{words}'" in "".join(logged)] == told
    assert len(logged) == len(told)


def test_a_node_is_away_in_the_windows_that_select_it() -> None:
    once, weekly = (
        {"from": "1970-01-02T00:00:00Z", "to": "1970-01-03T00:00:00Z"},
        {"weekly": {"days": "*", "start": "00:00", "hours": 1}},
    )
    others = {**weekly, "nodeSelector": {"pool": "others"}}
    maintenance = tuple(validate(Timed, each) for each in (once, weekly, others))
    node, _ = asyncio.run(rows(Server(), maintenance=maintenance))
    day_us = 24 * 3600 * 1_000_000
    assert node.absences(day_us)[-1].from_us > 20 * day_us
    assert [node.leaves_us(now_us) for now_us in (2, day_us // 2, day_us + 2, 3 * day_us - 1)] == [
        *(0, day_us, day_us, 3 * day_us),
    ]


def test_a_drain_that_is_no_time_is_ignored_and_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    async def look() -> Node:
        queue: asyncio.Queue[Document] = asyncio.Queue()
        server = Server(events={paths.core_path("nodes"): queue}, annotations={DRAIN_AT: "soon"})
        again = node_document()
        again["metadata"] |= {"uid": "u", "resourceVersion": "2", "annotations": dict(server.annotations)}
        queue.put_nowait({"type": "MODIFIED", "object": again})
        node, _ = await rows(server, until=lambda node: LABEL not in node.labels)
        return node

    assert asyncio.run(look()).away == ()
    told = [record.getMessage() for record in caplog.records if DRAIN_AT in record.getMessage()]
    assert len(told) == 1
    assert "node n" in told[0]
    assert "soon" in told[0]
