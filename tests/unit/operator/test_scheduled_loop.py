"""Profiling on nodes against an API server: how often it asks, how much it writes at a time, what stops it."""

import asyncio
import json
from collections import Counter
from typing import Any

from aiohttp import web

from dueby_operator.cluster.nodes import Node
from dueby_operator.control.world import World
from dueby_operator.jobs.manifests import Setting
from dueby_operator.kube.client import Kube
from dueby_operator.profiling.scheduled_loop import MAX_WRITES, PAUSE_US, NodeProfiling
from support.api import served
from support.case import NOW, SECOND
from support.node_profiles import Site
from support.profiling import gpu_node

SETTING = Site(nodes=[]).setting


class Server:
    """It keeps what is created, and refuses what it is told to."""

    def __init__(self, *, refuses: str = "") -> None:
        self.refuses = refuses
        self.asked: Counter[str] = Counter()
        self.made: dict[str, Any] = {}

    async def answer(self, request: web.Request) -> web.Response:
        self.asked[request.method] += 1
        if request.method == self.refuses:
            return web.json_response({"message": "no"}, status=403)
        if request.method == "GET":
            found = list(self.made.values()) if request.path.endswith("/cronjobs") else []
            return web.json_response({"metadata": {}, "items": found})
        document = json.loads(await request.read())
        self.made[document["metadata"]["name"]] = document
        return web.json_response(document)


def world(nodes: list[Node], seconds: int = 0) -> World:
    return World(now_us=NOW + seconds * SECOND, nodes={node.name: node for node in nodes})


def looks(server: Server, *worlds: World, setting: Setting = SETTING) -> list[float]:
    """What each look says of when to look again."""

    async def look(kube: Kube) -> list[float]:
        profiling = NodeProfiling(kube, setting)
        return [await profiling.look(world) for world in worlds]

    async def go() -> list[float]:
        async with served(server.answer) as kube:
            return await look(kube)

    return asyncio.run(go())


def test_it_asks_once_in_a_while_and_says_when_it_will_again() -> None:
    server = Server()
    nodes = [gpu_node("a")]
    pause_s = PAUSE_US // SECOND
    pauses = looks(server, world(nodes), world(nodes, seconds=3), world(nodes, seconds=pause_s))
    assert pauses == [pause_s, pause_s - 3, pause_s]
    assert server.asked == {"GET": 4, "POST": 1}


def test_many_nodes_are_written_some_at_a_time() -> None:
    server = Server()
    nodes = [gpu_node(f"node-{i}") for i in range(MAX_WRITES + 10)]
    looks(server, world(nodes))
    assert len(server.made) == MAX_WRITES
    looks(server, world(nodes))
    assert len(server.made) == len(nodes)


def test_what_the_api_server_refuses_stops_nothing_else() -> None:
    assert looks(Server(refuses="GET"), world([gpu_node("a")])) == [PAUSE_US / SECOND]
    server = Server(refuses="POST")
    looks(server, world([gpu_node("a"), gpu_node("b")]))
    assert server.asked["POST"] == 2


def test_an_operator_without_the_option_asks_for_nothing() -> None:
    server = Server()
    looks(server, world([gpu_node("a")]), setting=Setting(image="dueby/worker:1"))
    assert not server.asked
