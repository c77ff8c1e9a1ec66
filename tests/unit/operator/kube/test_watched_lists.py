"""When a list is asked for: once, and then only if there is news, or while nobody would hear of any."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from dueby_operator import paths
from dueby_operator.kube.client import Kube
from dueby_operator.kube.watched_lists import KEPT_S, WatchedList, Watches
from support.api import served
from support.decisions import SETTINGS

PATH = paths.jobs_path()


class Server:
    """An API server with one watch, on which a test says what happens."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self.may_watch = True

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})
        if not self.may_watch:
            return web.json_response({"message": "no"}, status=403)
        response = web.StreamResponse()
        await response.prepare(request)
        while request.path == PATH and (event := await self.events.get()):
            await response.write(json.dumps(event).encode() + b"\n")
        if request.path != PATH:
            await asyncio.sleep(3600)
        return response

    def happens(self, **metadata: Any) -> None:
        """Something happens to an InferenceJob."""
        found = {"uid": "u", "resourceVersion": "2", "generation": 1, **metadata}
        self.events.put_nowait({"type": "MODIFIED", "object": {"metadata": found}})


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Asked:
    """A list, as often as it was asked for."""

    def __init__(self, watched: WatchedList[str]) -> None:
        self.times = 0
        self._watched = watched

    async def is_asked(self) -> bool:
        """Return whether a pass asks the API server for it."""
        before = self.times
        assert await self._watched.read(self._ask) == ["a"]
        return self.times > before

    async def _ask(self) -> list[str]:
        self.times += 1
        return ["a"]


@asynccontextmanager
async def watching(server: Server, clock: Clock, woken: list[None]) -> AsyncIterator[tuple[Asked, Watches, Kube]]:
    async with served(server.answer) as kube:
        watches = Watches(kube, SETTINGS, wake=lambda: woken.append(None))
        tasks = [asyncio.create_task(watch.run()) for watch in watches.all()]
        watch = watches.of(PATH)
        assert watch
        try:
            yield Asked(WatchedList(watch, clock_s=clock)), watches, kube
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


async def nothing(server: Server, clock: Clock, watches: Watches) -> None:
    pass


async def a_status(server: Server, clock: Clock, watches: Watches) -> None:
    watch = watches.of(PATH)
    assert watch
    before = watch.news
    server.happens()
    await until(lambda: watch.news != before)


async def own_write(server: Server, clock: Clock, watches: Watches) -> None:
    watches.note_request("PUT", paths.jobs_path("team", "a", "status"))


async def own_read(server: Server, clock: Clock, watches: Watches) -> None:
    watches.note_request("GET", paths.jobs_path())


async def write_of_another_kind(server: Server, clock: Clock, watches: Watches) -> None:
    watches.note_request("POST", paths.batch_path("team"))


async def minutes(server: Server, clock: Clock, watches: Watches) -> None:
    clock.now_s += KEPT_S


async def a_watch_that_breaks(server: Server, clock: Clock, watches: Watches) -> None:
    watch = watches.of(PATH)
    assert watch
    server.may_watch = False
    server.events.put_nowait(None)
    await until(lambda: watch.news is None)


@pytest.mark.parametrize(
    ("happens", "is_asked", "is_asked_again"),
    [
        pytest.param(nothing, False, False, id="nothing"),
        pytest.param(a_status, True, False, id="a status is written"),
        pytest.param(own_write, True, False, id="the operator writes"),
        pytest.param(own_read, False, False, id="the operator reads"),
        pytest.param(write_of_another_kind, False, False, id="it writes something else"),
        pytest.param(minutes, True, False, id="some minutes pass"),
        pytest.param(a_watch_that_breaks, True, True, id="nobody would hear of any news"),
    ],
)
def test_a_list_is_asked_for_again_after(
    happens: Callable[[Server, Clock, Watches], Awaitable[None]], is_asked: bool, is_asked_again: bool
) -> None:
    async def go() -> None:
        server, clock = Server(), Clock()
        async with watching(server, clock, []) as (asked, watches, _):
            watch = watches.of(PATH)
            assert watch
            await until(lambda: watch.news is not None)
            assert await asked.is_asked()
            assert not await asked.is_asked()
            await happens(server, clock, watches)
            assert (await asked.is_asked(), await asked.is_asked()) == (is_asked, is_asked_again)

    asyncio.run(go())


def test_without_a_watch_each_pass_asks() -> None:
    async def go() -> None:
        asked = Asked(WatchedList(None))
        assert [await asked.is_asked() for _ in range(3)] == [True] * 3

    asyncio.run(go())
