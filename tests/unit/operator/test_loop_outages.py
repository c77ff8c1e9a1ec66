"""The loop and an API server that goes away: it holds its Lease, asks for little, and is back at once."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from dueby_operator.control.snapshot import ClusterSnapshot
from dueby_operator.kube.lease import Claim, LeaseTimes
from dueby_operator.loop import ControlLoop
from dueby_operator.model.devices import Devices
from dueby_operator.web.calendar_page import CalendarPage
from support.decisions import SETTINGS
from support.outage_server import LEASE_PATH, OutageServer, outage_server
from support.resting_loop import until

# A Lease of a second, and seconds of the loop that are a twentieth as long.
CLAIM = Claim(
    path=LEASE_PATH,
    holder="pod_uid_process",
    times=LeaseTimes(duration_s=1.0, renew_s=0.1, retry_s=0.05, answer_s=0.5, margin_s=0.2),
)


# The first pass after an outage, on a busy machine. A request waits for 30 s for an answer, and a watch for 90.
BACK_S = 10.0


class CountingPage(CalendarPage):
    """Counts passes."""

    shown = 0

    def show(self, snapshot: ClusterSnapshot, left: Devices) -> None:
        self.shown += 1
        super().show(snapshot, left)

    def has_shown(self, count: int) -> bool:
        return self.shown >= count


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
        page = CountingPage()
        async with outage_server() as server, running(server, page=page) as loop:
            await until(lambda: page.shown)
            server.go_away()
            await until(lambda: any("stopped" in line for line in ours(caplog)))
            await until(lambda: any("does not answer" in line for line in ours(caplog)))
            assert loop.health().startswith("waiting")
            passes, server.status = page.shown, 200
            await until(lambda: page.shown > passes)
            assert server.lease.holder == CLAIM.holder
            assert server.lease.lease["spec"]["leaseTransitions"] == 1
        assert server.lease.holder == ""

    asyncio.run(go())
    # On a busy machine a Lease of a second is lost before three failed requests are trouble.
    stopped, back, away = sorted(ours(caplog))
    assert away.startswith("the API server does not answer: ")
    assert stopped.startswith("stopped: the Lease was not renewed for 1 s: ")
    assert back.startswith("the API server answers again after")


def test_after_an_outage_in_which_connections_die_without_a_word_all_is_asked_again_within_seconds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def go() -> None:
        page = CountingPage()
        async with outage_server() as server, running(server, page=page) as loop:
            await until(lambda: page.shown)
            watched = set(server.watched)
            loop.wake.set()  # a pass that asks for what the last one has written, and is never answered
            server.is_silent = True
            await until(lambda: any("does not answer" in line for line in ours(caplog)))
            server.watched.clear()
            shown, server.is_silent = page.shown, False
            async with asyncio.timeout(BACK_S):
                await until(lambda: page.shown > shown and set(server.watched) >= watched)

    asyncio.run(go())


def test_who_has_lost_the_lease_to_another_asks_for_nothing_but_the_lease_until_it_is_free() -> None:
    async def go() -> None:
        page = CountingPage()
        async with outage_server() as server, running(server, page=page) as loop:
            await until(lambda: page.shown)
            server.lease.put(holderIdentity="another", renewTime="now", leaseDurationSeconds=3600)
            await until(lambda: loop.health() == "waiting for the Lease")
            asked = len(server.requests)
            await until(lambda: len(server.requests) > asked + 20)
            assert set(server.requests[asked:]) == {("GET", LEASE_PATH)}
            server.lease.put(holderIdentity="")
            passes = page.shown
            await until(lambda: page.shown > passes)

    asyncio.run(go())


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
