"""The cluster's time: the API server's, and steady whatever either machine's clock does."""

import asyncio
from datetime import UTC
from email.utils import format_datetime, parsedate_to_datetime

import pytest
from aiohttp import web

from dueby_api.units import from_micros
from dueby_operator.kube.client import Missing
from dueby_operator.kube.server_clock import FIRST_ANSWERS, ROUNDED_US, ServerClock
from support.api import served
from support.decisions import NOW, SECOND


class Clocks:
    """This machine's two clocks, and the API server's."""

    steady_us = 77 * SECOND
    wall_us = NOW - 3600 * SECOND
    server_us = NOW

    def __init__(self) -> None:
        self.clock = ServerClock(steady_us=lambda: self.steady_us, wall_us=lambda: self.wall_us)

    def after(self, seconds: float) -> None:
        self.steady_us += round(seconds * SECOND)
        self.wall_us += round(seconds * SECOND)
        self.server_us += round(seconds * SECOND)

    def hear(self, *, wrong_by_s: float = 0) -> None:
        said_us = self.server_us + round(wrong_by_s * SECOND)
        self.clock.hear(format_datetime(from_micros(said_us), usegmt=True))

    def set_clock(self) -> None:
        """Hear as many answers as the clock is set by."""
        for _ in range(FIRST_ANSWERS):
            self.hear()

    @property
    def ahead_s(self) -> float:
        """How far it is before the API server's."""
        return (self.clock.now_us() - self.server_us) / SECOND


def test_it_is_the_api_servers_time_and_not_this_machines() -> None:
    clocks = Clocks()
    assert clocks.clock.now_us() == clocks.wall_us
    clocks.hear()
    assert clocks.clock.now_us() == NOW + ROUNDED_US
    clocks.after(10)
    assert clocks.clock.now_us() == NOW + ROUNDED_US + 10 * SECOND


def test_it_is_within_half_a_second_though_answers_say_whole_seconds() -> None:
    clocks = Clocks()
    for _ in range(500):
        clocks.after(0.37)
        clocks.hear()
        assert abs(clocks.ahead_s) <= 0.5 + 0.05 * 0.37


@pytest.mark.parametrize("step_s", [60, -60, 3600, -3600], ids=lambda step: f"{step} s")
def test_this_machines_time_of_day_may_be_set_meanwhile(step_s: int) -> None:
    clocks = Clocks()
    clocks.hear()
    clocks.wall_us += step_s * SECOND
    clocks.after(1)
    assert clocks.clock.now_us() == NOW + ROUNDED_US + SECOND


@pytest.mark.parametrize("step_s", [60, -60], ids=lambda step: f"{step} s")
def test_a_jump_of_the_api_servers_clock_is_followed_slowly(step_s: int) -> None:
    clocks = Clocks()
    clocks.set_clock()
    clocks.server_us += step_s * SECOND
    before_us = clocks.clock.now_us()
    clocks.after(10)
    clocks.hear()
    assert abs((clocks.clock.now_us() - before_us) / SECOND - 10) <= 0.5
    for _ in range(2000):
        clocks.after(1)
        clocks.hear()
    assert abs(clocks.ahead_s) <= 0.6


@pytest.mark.parametrize(
    "wrong_by_s",
    [
        pytest.param([3600, 0, 0, 0, 0], id="the first answer"),
        pytest.param([0, 0, 0, 0, -3600], id="the last answer"),
        pytest.param([0, -3600, 0, 7 * 86_400, 0], id="two answers of five"),
    ],
)
def test_one_api_server_of_several_may_have_a_wrong_clock(wrong_by_s: list[int]) -> None:
    clocks = Clocks()
    for error_s in wrong_by_s:
        clocks.hear(wrong_by_s=error_s)
    assert abs(clocks.ahead_s) <= 0.5
    # Each later answer moves the clock by no more than 5 % of the time since the one before.
    clocks.after(10)
    clocks.hear(wrong_by_s=3600)
    assert abs(clocks.ahead_s) <= 1


@pytest.mark.parametrize("date", [None, "", "soon", "Tue, 99 Nov 2026 25:00:00 GMT", "Thu, 26 Nov 2026 17:00:00"])
def test_what_is_no_time_is_ignored(date: str | None) -> None:
    clocks = Clocks()
    clocks.clock.hear(date)
    assert clocks.clock.now_us() == clocks.wall_us


def test_every_answer_of_the_api_server_is_heard() -> None:
    heard: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({}, status=404 if request.path == "/gone" else 200)

    async def call() -> None:
        async with served(answer, hear=heard.append) as kube:
            await kube.get("/there")
            with pytest.raises(Missing):
                await kube.get("/gone")

    asyncio.run(call())
    assert [parsedate_to_datetime(date or "").tzinfo for date in heard] == [UTC, UTC]
