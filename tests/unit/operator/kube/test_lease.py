"""One holder at a time: taking, keeping, losing and giving back, against a server that refuses old versions."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from dueby_operator.kube.client import Kube
from dueby_operator.kube.lease import Lease, LeaseLost
from support.api import served


class Store:
    """One object, with a version that a writer must know."""

    def __init__(self, **spec: Any) -> None:
        self.lease: dict[str, Any] = {"metadata": {"resourceVersion": "1"}, "spec": spec}

    async def answer(self, request: web.Request) -> web.Response:
        if request.method == "PUT":
            put = await request.json()
            if put["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
                return web.json_response({"message": "changed"}, status=409)
            version = str(int(put["metadata"]["resourceVersion"]) + 1)
            self.lease = {**put, "metadata": {"resourceVersion": version}}
        return web.json_response(self.lease)

    @property
    def holder(self) -> str:
        return str(self.lease["spec"].get("holderIdentity") or "")


class Clock:
    """Seconds that pass at each look."""

    def __init__(self, step_s: float = 0.0) -> None:
        self.now_s, self.step_s = 0.0, step_s

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


def lease(kube: Kube, holder: str, clock: Clock | None = None) -> Lease:
    return Lease(kube=kube, path="/lease", holder=holder, clock_s=clock or Clock())


def test_a_free_lease_is_taken_and_given_back() -> None:
    store = Store()

    async def go() -> None:
        async with served(store.answer) as kube:
            mine = lease(kube, "a")
            await mine.take()
            assert store.holder == "a"
            await mine.give_back()

    asyncio.run(go())
    assert store.holder == ""


def test_one_that_is_held_is_taken_only_after_its_time_has_stood_still() -> None:
    store = Store(holderIdentity="a", renewTime="t", leaseDurationSeconds=15)

    async def go() -> None:
        async with served(store.answer) as kube:
            waiting = asyncio.create_task(lease(kube, "b", Clock(step_s=0.0)).take())
            done, _ = await asyncio.wait([waiting], timeout=0.5)
            assert not done
            waiting.cancel()
            await lease(kube, "b", Clock(step_s=10.0)).take()

    asyncio.run(go())
    assert store.holder == "b"


def test_who_finds_another_name_in_it_has_lost_it() -> None:
    store = Store(holderIdentity="b", renewTime="t")

    async def go() -> None:
        async with served(store.answer) as kube:
            with pytest.raises(LeaseLost, match="held by b"):
                await lease(kube, "a").keep(pause_s=0.01)

    asyncio.run(go())


def test_who_cannot_renew_it_in_time_has_lost_it() -> None:
    async def broken(_: web.Request) -> web.Response:
        return web.json_response({"message": "no"}, status=500)

    async def go() -> None:
        async with served(broken) as kube:
            with pytest.raises(LeaseLost, match="could not be renewed"):
                await lease(kube, "a", Clock(step_s=4.0)).keep(pause_s=0.01)

    asyncio.run(go())


def test_of_two_that_want_it_one_gets_it() -> None:
    store = Store()

    async def go() -> None:
        async with served(store.answer) as kube:
            both = [asyncio.create_task(lease(kube, name).take()) for name in "ab"]
            done, waiting = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED, timeout=10)
            assert (len(done), len(waiting)) == (1, 1)
            waiting.pop().cancel()

    asyncio.run(go())
    assert store.holder in ("a", "b")
