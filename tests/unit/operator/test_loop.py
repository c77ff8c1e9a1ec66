"""The loop goes on after a bug and after passes that fail. And it stops at once when it must."""

import asyncio

import pytest

from dueby_api.errors import Transient
from dueby_operator import loop as loop_module
from dueby_operator.kube.lease import LeaseLost, claim
from dueby_operator.loop import ControlLoop
from dueby_operator.passes.pace import Pace
from dueby_operator.web.calendar_page import CalendarPage
from support.api import Open
from support.decisions import SETTINGS
from support.outage_server import LEASE_PATH
from support.resting_loop import Clock, Passes, resting, until


def test_a_bug_costs_a_pass_and_its_traceback_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    passes = Passes(KeyError("metadata"))

    async def go() -> None:
        task = asyncio.create_task(resting(Clock()).repeat(passes))
        await asyncio.wait_for(passes.done.wait(), 60)
        task.cancel()

    asyncio.run(go())
    (record,) = caplog.records
    assert record.exc_info
    assert "KeyError" in record.getMessage()


def passes_while_something_always_happens(*, cpu_s: float) -> int:
    """How many passes of this cost there are before the clock moves on."""
    clock, used_s, done = Clock(), [0.0], [0]
    loop = resting(clock)

    class Busy(Passes):
        async def reconcile(self) -> float:
            done[0] += 1
            used_s[0] += cpu_s
            loop.wake.set()
            return 2.0

    async def go() -> None:
        pace = Pace(clock_s=clock, cpu_s=lambda: used_s[0])
        task = asyncio.create_task(loop.repeat(Busy(), pace=pace))
        for _ in range(100):
            await asyncio.sleep(0)
        task.cancel()

    asyncio.run(go())
    return done[0]


def test_passes_that_cost_much_leave_the_processor_a_rest_even_if_something_always_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop_module, "DEBOUNCE_S", 0.0)
    assert passes_while_something_always_happens(cpu_s=4.0) == 1
    assert passes_while_something_always_happens(cpu_s=0.0) > 5


def test_the_calendars_page_shows_what_a_pass_has_left() -> None:
    page, passes = CalendarPage(), Passes()
    loop = ControlLoop(SETTINGS, sign_in=lambda: Open(""), claim=None, page=page)

    async def go() -> None:
        task = asyncio.create_task(loop.repeat(passes))
        await until(page.draw)
        task.cancel()

    assert page.draw() is None
    asyncio.run(go())


def test_the_loss_of_the_lease_is_no_bug() -> None:
    with pytest.raises(LeaseLost):
        asyncio.run(resting(Clock()).repeat(Passes(LeaseLost("gone"))))


def test_passes_that_fail_for_seconds_are_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    loop = resting(clock)
    passes = Passes(*[Transient("no answer")] * 5)

    async def go() -> None:
        task = asyncio.create_task(loop.repeat(passes))
        while passes.errors:
            clock.now_s += 6
            loop.wake.set()
            await asyncio.sleep(0.1)
        await asyncio.wait_for(passes.done.wait(), 60)
        task.cancel()

    asyncio.run(go())
    assert [line.split(" after")[0] for line in caplog.messages] == [
        "reconciling fails: no answer",
        "reconciling works again",
    ]


def test_work_that_a_bug_has_ended_is_begun_again() -> None:
    attempts: list[int] = []
    done = asyncio.Event()

    async def work() -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise KeyError("object")
        done.set()
        await asyncio.sleep(3600)

    async def go() -> None:
        task = asyncio.create_task(resting(Clock()).keep_going(work))
        await asyncio.wait_for(done.wait(), 60)
        task.cancel()

    asyncio.run(go())


@pytest.mark.parametrize(("pod_uid", "predecessor"), [("uid", True), ("", False)])
def test_only_a_pods_uid_tells_which_processes_are_dead(pod_uid: str, predecessor: bool) -> None:
    before, now = (claim("dueby/dueby-operator", pod_uid=pod_uid) for _ in range(2))
    assert now.path == LEASE_PATH
    assert before.holder != now.holder
    assert bool(now.predecessors and before.holder.startswith(now.predecessors)) == predecessor
