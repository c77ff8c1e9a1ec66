"""One holder at a time: taking, keeping, losing and giving back, against a server that refuses old versions."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web

from dueby_operator.kube.client import Kube
from dueby_operator.kube.connection import UNSENT_S
from dueby_operator.kube.lease import Claim, Lease, LeaseLost, LeaseTimes, Term
from support.api import served
from support.lease import LeaseStore

# As long as a test needs to see what happens, and no longer.
TIMES = LeaseTimes(duration_s=15, renew_s=0.01, retry_s=0.01, margin_s=2)


@dataclass
class Clock:
    """Seconds that pass when the test says so, and `step_s` of them at each look."""

    now_s: float = 0.0
    step_s: float = 0.0

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


def lease(kube: Kube, holder: str, clock: Clock | None = None, **fields: Any) -> Lease:
    claim = Claim(path="/lease", holder=holder, times=TIMES, **fields)
    return Lease(kube=kube, claim=claim, clock_s=clock or Clock())


def held_by(holder: str) -> LeaseStore:
    return LeaseStore(holderIdentity=holder, renewTime="t", leaseDurationSeconds=15)


def with_server(store: LeaseStore, run: Callable[[Kube], Awaitable[None]]) -> None:
    async def go() -> None:
        async with served(store.answer) as kube:
            await asyncio.wait_for(run(kube), 60)

    asyncio.run(go())


def test_a_free_lease_is_taken_and_given_back() -> None:
    store = LeaseStore()

    async def run(kube: Kube) -> None:
        mine = lease(kube, "a")
        await mine.take()
        assert store.holder == "a"
        await mine.give_back()

    with_server(store, run)
    assert store.holder == ""


def test_one_that_is_held_is_taken_only_after_its_time_has_stood_still() -> None:
    store = held_by("a")

    async def run(kube: Kube) -> None:
        clock = Clock()
        waiting = asyncio.create_task(lease(kube, "b", clock).take())
        await store.wait_for_requests(5)
        assert store.holder == "a"
        clock.now_s = 15.1
        await waiting

    with_server(store, run)
    assert store.holder == "b"


@pytest.mark.parametrize(
    ("holder", "is_taken"),
    [
        pytest.param("pod-a_uid-1_second", True, id="its own, from before it lost it"),
        pytest.param("pod-a_uid-1_first", True, id="a dead process's of the same container"),
        pytest.param("pod-a_uid-2_first", False, id="a pod's with the same name"),
        pytest.param("pod-b_uid-3_first", False, id="another pod's"),
    ],
)
def test_a_lease_that_nobody_else_can_hold_is_taken_at_once(holder: str, is_taken: bool) -> None:
    store = held_by(holder)

    async def run(kube: Kube) -> None:
        clock = Clock()
        mine = lease(kube, "pod-a_uid-1_second", clock, predecessors="pod-a_uid-1_")
        clock.now_s = UNSENT_S
        taking = asyncio.create_task(mine.take())
        await store.wait_for_requests(5 if not is_taken else 2)
        assert (store.holder == mine.claim.holder) == is_taken
        taking.cancel()

    with_server(store, run)


def test_what_a_dead_process_of_the_container_has_sent_arrives_before_the_next_one_holds_the_lease() -> None:
    store, clock = held_by("pod-a_uid-1_first"), Clock()

    async def run(kube: Kube) -> None:
        for at_s, is_held in ((UNSENT_S - 60, False), (UNSENT_S, True)):
            mine = lease(kube, "pod-a_uid-1_second", clock, predecessors="pod-a_uid-1_")
            clock.now_s += at_s
            taking = asyncio.create_task(mine.take())
            await store.wait_for_requests(3 if is_held else 1)
            await asyncio.sleep(0.05)
            assert (store.holder == mine.claim.holder) == is_held
            taking.cancel()

    with_server(store, run)


def test_without_a_pod_no_process_is_a_predecessor() -> None:
    store = held_by("laptop_first")

    async def run(kube: Kube) -> None:
        taking = asyncio.create_task(lease(kube, "laptop_second").take())
        await store.wait_for_requests(5)
        taking.cancel()

    with_server(store, run)
    assert store.holder == "laptop_first"


def test_who_finds_another_name_in_it_has_lost_it_and_sends_nothing_more() -> None:
    store = LeaseStore()

    async def run(kube: Kube) -> None:
        mine = lease(kube, "a")
        term = await mine.take()
        store.put(holderIdentity="b")
        with pytest.raises(LeaseLost, match="held by b"):
            await mine.keep(term)
        with pytest.raises(LeaseLost, match="has run out"):
            term.seconds_to_write()

    with_server(store, run)
    assert store.holder == "b"


def test_who_cannot_renew_it_in_time_has_lost_it_and_says_why() -> None:
    store, clock = LeaseStore(), Clock()

    async def run(kube: Kube) -> None:
        mine = lease(kube, "a", clock)
        term = await mine.take()
        store.status = 500
        clock.step_s = 0.5
        with pytest.raises(LeaseLost, match=r"was not renewed for 1[3-5] s: .*no"):
            await mine.keep(term)

    with_server(store, run)


def test_a_process_that_was_stopped_has_lost_it_before_it_sends_anything() -> None:
    store, clock = LeaseStore(), Clock()

    async def run(kube: Kube) -> None:
        mine = lease(kube, "a", clock)
        term = await mine.take()
        keeping = asyncio.create_task(mine.keep(term))
        await store.wait_for_requests(4)
        requests, clock.now_s = store.requests, 60.0
        with pytest.raises(LeaseLost, match="has run out"):
            term.seconds_to_write()
        with pytest.raises(LeaseLost, match="was not renewed for 60 s: this process or its machine stood still"):
            await keeping
        assert store.requests - requests <= 1  # one may have been under way

    with_server(store, run)


def test_a_renewal_without_an_answer_that_was_carried_out_loses_nothing() -> None:
    store = LeaseStore()

    async def run(kube: Kube) -> None:
        mine = lease(kube, "a")
        term = await mine.take()
        store.put(holderIdentity="a")  # as a renewal does whose answer was lost
        keeping = asyncio.create_task(mine.keep(term))
        await store.wait_for_requests(8)
        keeping.cancel()

    with_server(store, run)
    assert store.holder == "a"


def test_a_write_ends_before_another_may_take_the_lease() -> None:
    clock = Clock()
    term = Term(document={}, until_s=15.0, margin_s=2.0, clock_s=clock)
    clock.now_s = 10.0
    assert term.seconds_to_write() == 3.0
    clock.now_s = 13.0
    with pytest.raises(LeaseLost):
        term.seconds_to_write()


def test_of_two_that_want_it_one_gets_it() -> None:
    store = LeaseStore()

    async def run(kube: Kube) -> None:
        both = [asyncio.create_task(lease(kube, name).take()) for name in "ab"]
        done, waiting = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        assert (len(done), len(waiting)) == (1, 1)
        waiting.pop().cancel()

    with_server(store, run)
    assert store.holder in ("a", "b")


async def refuse(_: web.Request) -> web.Response:
    return web.json_response({"message": "no"}, status=403)


def test_a_lease_that_cannot_be_read_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    clock, asked = Clock(step_s=0.2), asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        if clock.now_s > 20:
            asked.set()
        return await refuse(request)

    async def go() -> None:
        async with served(answer) as kube:
            taking = asyncio.create_task(lease(kube, "a", clock).take())
            await asyncio.wait_for(asked.wait(), 60)
            taking.cancel()

    asyncio.run(go())
    assert [record.getMessage() for record in caplog.records] == ["taking the Lease /lease: no"]
