"""An API server that doesn't answer to what is written about one job: the others go on."""

import asyncio

import pytest
from aiohttp import web

from dueby_operator import paths
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.passes.reconciler import BUSY_S, UnderWay
from support.control_loop import Clock, Store, reconciler, synthetic
from support.decisions import SECOND


class Slow(Store):
    """Answers to what is written about the job `a` when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = asyncio.Event()
        self.asked = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.method == "GET" or "/inferencejobs/a/" not in request.path:
            return await super().answer(request)
        self.asked += 1
        answer = await super().answer(request)
        await self.answers.wait()
        return answer


def jobs_of(store: Store) -> set[str]:
    """The InferenceJobs for which there are Jobs."""
    return {path.rpartition("/")[2].partition("-")[0] for path in store.objects if "/batch/v1/" in path}


def test_a_job_whose_write_is_not_answered_is_left_alone_until_it_is_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dueby_operator.passes.reconciler.UnderWay", lambda: UnderWay(patience_s=0.1))

    async def run() -> None:
        store, clock = Slow(), Clock()
        store.add(paths.jobs_path("team", "a"), synthetic("a"))
        async with reconciler(store, clock, {}) as loop:
            await asyncio.wait_for(loop.reconcile(), 30)
            assert (store.asked, jobs_of(store)) == (1, set())
            assert await asyncio.wait_for(loop.reconcile(), 30) == BUSY_S
            store.add(paths.jobs_path("team", "b"), synthetic("b"))
            clock.now_us += 2 * SECOND
            await asyncio.wait_for(loop.reconcile(), 30)
            while jobs_of(store) != {"b"}:  # it may have been left under way, too, by a slow machine
                await asyncio.sleep(0.01)
            assert store.asked == 1
            assert {job.name: job.is_under_way for job in loop.snapshot.jobs} == {"a": True, "b": False}
            # What a's workers are to have is nobody else's.
            assert isinstance(loop.snapshot.devices, ClusterDevices)
            assert sum(loop.snapshot.devices.unscheduled.values()) > 0
            store.answers.set()
            while jobs_of(store) != {"a", "b"}:  # what was decided first is carried out
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), 60))
