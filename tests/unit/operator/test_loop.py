"""The loop goes on: through an outage, after the Lease is lost, after a bug. And it stops at once when it must."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from dueby_api.errors import Transient
from dueby_operator import loop as loop_module
from dueby_operator.calendar_page import CalendarPage
from dueby_operator.control.snapshot import ClusterSnapshot
from dueby_operator.kube.lease import LeaseLost, LeaseTimes
from dueby_operator.loop import Claim, ControlLoop, claim
from dueby_operator.model.devices import Devices
from dueby_operator.pace import Pace
from support.api import Open
from support.decisions import SETTINGS
from support.outage_server import LEASE_PATH, OutageServer, outage_server
from support.resting_loop import Clock, Passes, resting, until

# A Lease of a second, and seconds of the loop that are a twentieth as long.
CLAIM = Claim(
    path=LEASE_PATH,
    holder="pod_uid_process",
    times=LeaseTimes(duration_s=1.0, renew_s=0.1, retry_s=0.05, answer_s=0.5, margin_s=0.2),
)


@asynccontextmanager
async def running(server: OutageServer, *, page: CalendarPage | None = None) -> AsyncIterator[ControlLoop]:
    """A loop that runs against this server."""
    loop = ControlLoop(SETTINGS, sign_in=server.sign_in, claim=CLAIM, page=page, clock_s=lambda: 20 * time.monotonic())
    task = asyncio.create_task(loop.run())
    try:
        yield loop
    finally:
        task.cancel()
        await asyncio.wait([task])


def ours(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the operator has logged at the level of warnings, without tracebacks."""
    records = [r for r in caplog.records if r.name.startswith("dueby_operator") and r.levelno >= logging.WARNING]
    assert not [record for record in records if record.exc_info]
    return [record.getMessage() for record in records]


def test_after_an_outage_the_same_process_goes_on_and_the_log_has_a_line_for_each_turn(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def go() -> None:
        async with outage_server() as server, running(server) as loop:
            await until(lambda: server.passes)
            server.go_away()
            await until(lambda: any("stopped" in line for line in ours(caplog)))
            await until(lambda: any("does not answer" in line for line in ours(caplog)))
            assert loop.health().startswith("waiting")
            passes, server.status = server.passes, 200
            await until(lambda: server.passes > passes)
            assert server.lease.holder == CLAIM.holder
            assert server.lease.lease["spec"]["leaseTransitions"] == 1
        assert server.lease.holder == ""

    asyncio.run(go())
    away, stopped, back = ours(caplog)
    assert away.startswith("the API server does not answer: ")
    assert stopped.startswith("stopped: the Lease was not renewed for 1 s: ")
    assert back.startswith("the API server answers again after")


def test_who_has_lost_the_lease_to_another_asks_for_nothing_but_the_lease_until_it_is_free() -> None:
    async def go() -> None:
        async with outage_server() as server, running(server) as loop:
            await until(lambda: server.passes)
            server.lease.put(holderIdentity="another", renewTime="now", leaseDurationSeconds=3600)
            await until(lambda: loop.health() == "waiting for the Lease")
            asked = len(server.requests)
            await until(lambda: len(server.requests) > asked + 20)
            assert set(server.requests[asked:]) == {("GET", LEASE_PATH)}
            server.lease.put(holderIdentity="")
            passes = server.passes
            await until(lambda: server.passes > passes)

    asyncio.run(go())


class CountingPage(CalendarPage):
    """Counts passes."""

    shown = 0

    def show(self, snapshot: ClusterSnapshot, left: Devices) -> None:
        self.shown += 1
        super().show(snapshot, left)

    def has_shown(self, count: int) -> bool:
        return self.shown >= count


def test_an_operator_with_nothing_to_do_asks_for_nothing_but_its_lease() -> None:
    async def go() -> None:
        page = CountingPage()
        async with outage_server() as server, running(server, page=page) as loop:
            # The first passes may begin before watches are open.
            for count in (1, 2, 3, 4, 5, 6):
                asked = len(server.requests)
                loop.wake.set()
                await until(partial(page.has_shown, count))
            assert {path for _, path in server.requests[asked:]} <= {LEASE_PATH}

    asyncio.run(go())


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
