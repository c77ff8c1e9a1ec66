"""The pace at which a store is asked: never above its limit, cut when the store refuses, found by simulation."""

import heapq
import math
import random
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_worker.storage.pace import RequestPace


class Reading(NamedTuple):
    """What came of workers that read a store side by side, after a third of the time."""

    used: float
    """How much of what the store gives they got."""
    refused: float
    """Share of the requests."""
    granted: tuple[int, ...]
    """Requests, by worker."""


@dataclass(order=True)
class Event:
    """One thread's request at some time: its turn comes, or its answer."""

    at_s: float
    number: int
    worker: int = field(compare=False)
    asked_s: float | None = field(default=None, compare=False)
    """When it was made; None: its turn has come."""
    is_granted: bool = field(default=False, compare=False)


def read(
    paces: list[RequestPace], *, rate: float, seconds: float, threads: int, latency_s: float = 0.1, late_s: float = 0.0
) -> Reading:
    """Let each worker's threads read as fast as its pace allows from a store that gives them so much together.

    The store grants a tenth of a second's requests at once, or five. All workers begin at the same time. Who waits for
    a turn wakes up to `late_s` after it.
    """
    draw, numbers, tokens, filled_s = random.Random(1), count(), max(5.0, rate / 10), 0.0
    granted, refused, waiting = [0] * len(paces), 0, [threads] * len(paces)
    events = [Event(0.0, next(numbers), worker) for worker in range(len(paces))]
    while (event := heapq.heappop(events)).at_s < seconds:
        now_s, pace, worker = event.at_s, paces[event.worker], event.worker
        if event.asked_s is None:
            if wait_s := pace.wait_s(now_s):
                heapq.heappush(events, Event(now_s + wait_s + late_s * draw.random(), next(numbers), worker))
                continue
            tokens, filled_s = min(max(5.0, rate / 10), tokens + (now_s - filled_s) * rate), now_s
            is_granted = tokens >= 1
            tokens -= is_granted
            heapq.heappush(events, Event(now_s + latency_s, next(numbers), worker, now_s, is_granted))
            waiting[worker] -= 1
        else:
            if event.is_granted:
                pace.note_answer(now_s)
            else:
                pace.note_refusal(now_s, asked_s=event.asked_s)
            if now_s > seconds / 3:
                granted[worker] += event.is_granted
                refused += not event.is_granted
            waiting[worker] += 1
            if waiting[worker] > 1:
                # Another thread waits for its turn already.
                continue
        if waiting[worker]:
            heapq.heappush(events, Event(now_s, next(numbers), worker))
    total = sum(granted)
    return Reading(total / rate / (2 * seconds / 3), refused / max(1, total + refused), tuple(granted))


def paces_of(workers: int, *, limit: float = math.inf) -> list[RequestPace]:
    draw = random.Random(1)
    return [RequestPace(limit=limit, draw=draw.random) for _ in range(workers)]


# Fair shares of a store in requests a second, among so many workers, and how long they read.
FLEETS = [
    pytest.param(workers, share, seconds, id=f"{workers} of {share:g}/s")
    for share, seconds, most in ((0.1, 1500, 64), (0.67, 240, 64), (10, 30, 64), (100, 9, 16), (1000, 9, 1))
    for workers in (1, 4, 16, 64)
    if workers <= most
]


@pytest.mark.parametrize(("workers", "share", "seconds"), FLEETS)
def test_workers_that_are_told_their_share_take_all_that_the_store_gives(
    workers: int, share: float, seconds: float
) -> None:
    threads = 4 + round(0.3 * share)
    reading = read(paces_of(workers, limit=share), rate=workers * share, seconds=seconds, threads=threads)
    assert reading.used > 0.9
    assert reading.refused < 0.05
    assert min(reading.granted) > 0.5 * max(reading.granted)


@pytest.mark.parametrize(("workers", "share", "seconds"), FLEETS)
def test_workers_that_are_told_nothing_find_nearly_all_that_the_store_gives(
    workers: int, share: float, seconds: float
) -> None:
    threads = 4 + round(0.3 * share)
    reading = read(paces_of(workers), rate=workers * share, seconds=seconds, threads=threads)
    assert reading.used > 0.8
    assert reading.refused < 0.1


@pytest.mark.parametrize(("workers", "share"), [(4, 100), (16, 100), (4, 300)])
def test_workers_that_are_told_nothing_come_to_equal_shares_where_rounds_are_seconds(workers: int, share: int) -> None:
    reading = read(paces_of(workers), rate=workers * share, seconds=15, threads=4 + round(0.3 * share))
    assert min(reading.granted) > 0.7 * max(reading.granted)


@pytest.mark.parametrize("told", [1.0, 10.0])
def test_a_store_that_gives_a_tenth_of_what_was_told_is_found_out(told: float) -> None:
    reading = read(paces_of(16, limit=told), rate=1.6 * told, seconds=1000 / told, threads=8)
    assert reading.used > 0.9
    assert reading.refused < 0.2


def test_without_refusals_nobody_waits() -> None:
    pace = RequestPace()
    assert [pace.wait_s(0.0) for _ in range(1000)] == [0.0] * 1000
    assert pace.observed is None


def test_a_rate_to_begin_with_grows_to_the_limit_while_it_is_used() -> None:
    pace, rates = RequestPace(limit=10.0, start=5.0, draw=lambda: 1.0), []
    for number in range(3000):
        pace.wait_s(number / 100)
        rates.append(pace.rate)
    assert rates[0] == 5.0
    assert rates == sorted(rates)
    assert rates[-1] == 10.0
    assert pace.observed is None


@given(
    limit=st.floats(0.5, 5000),
    gaps=st.lists(st.floats(0, 0.05), min_size=1, max_size=400),
)
def test_a_limit_is_never_exceeded_but_for_a_burst(limit: float, gaps: list[float]) -> None:
    pace, now_s, taken = RequestPace(limit=limit), 0.0, list[float]()
    for gap in gaps:
        now_s += gap
        while pace.wait_s(now_s) == 0:
            taken.append(now_s)
    burst = max(1.0, 0.1 * limit)
    for first in range(0, len(taken), 7):
        for last in range(first, len(taken), 11):
            assert last - first + 1 <= limit * (taken[last] - taken[first]) + burst + 1e-6


@given(
    limit=st.sampled_from([math.inf, 3.0, 200.0]),
    events=st.lists(st.tuples(st.floats(0, 3), st.sampled_from(["ask", "answer", "refuse", "later"])), max_size=200),
)
def test_a_refusal_cuts_the_rate_and_nothing_lifts_it_above_the_limit(
    limit: float, events: list[tuple[float, str]]
) -> None:
    pace, now_s = RequestPace(limit=limit), 0.0
    for gap, event in events:
        now_s += gap
        before = pace.rate
        if event == "ask":
            assert 0 <= pace.wait_s(now_s) < 1000
        elif event == "answer":
            pace.note_answer(now_s)
        else:
            pace.wait_s(now_s)
            before = pace.rate
            pace.note_refusal(now_s, asked_s=now_s, retry_after_s=5.0 if event == "later" else None)
            assert pace.rate < before
            # A burst without any pace says nothing.
            assert math.isinf(before) or (pace.observed or 0.0) > 0
            assert event == "refuse" or pace.wait_s(now_s) >= 5.0 - 1e-9
        assert 0 < pace.rate <= limit


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("rate", [40.0, 300.0])
def test_what_workers_are_refused_at_shows_what_the_store_gives(rate: float, workers: int) -> None:
    paces = paces_of(workers)
    read(paces, rate=rate, seconds=60, threads=round(0.4 * rate))
    assert sum(pace.observed or 0.0 for pace in paces) == pytest.approx(rate, rel=0.15)


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_that_wake_late_do_not_keep_the_rate_down(workers: int) -> None:
    """On a busy machine a thread that waits for a token comes some time after it."""
    reading = read(paces_of(workers), rate=30.0, seconds=90, threads=12, late_s=0.05)
    assert reading.used > 0.75


def test_refusals_of_requests_before_the_cut_do_not_cut_again() -> None:
    pace = RequestPace()
    for number in range(100):
        pace.note_answer(number / 100)
    pace.note_refusal(1.0, asked_s=0.9)
    rate = pace.rate
    for _ in range(50):
        pace.note_refusal(1.05, asked_s=0.95)
    assert pace.rate == pytest.approx(rate, rel=0.01)
    pace.note_refusal(1.1, asked_s=1.06)
    assert pace.rate < rate


@pytest.mark.parametrize("share", [0.1, 1.0, 20.0])
def test_after_a_refusal_the_rate_is_back_in_a_round_and_then_grows_ever_faster(share: float) -> None:
    pace, now_s = RequestPace(start=share, draw=lambda: 1.0), 0.0
    assert pace.wait_s(now_s) == 0
    pace.note_refusal(now_s, asked_s=now_s)
    rates = []
    # A round of 25 requests.
    for number in range(301):
        pace.wait_s(now_s := number / 100 * 25 / share)
        if number % 100 == 0:
            rates.append(pace.rate / share)
    assert rates[0] < 0.98
    assert 1.0 < rates[1] < 1.1
    grown = [math.log(later / earlier) for earlier, later in pairwise(rates)]
    # A round is a second where 25 requests take less.
    assert grown[2] > grown[1] > grown[0]
    # Nothing is learned while nobody asks, and while the store wants no request.
    now_s += 1000 / share
    assert pace.wait_s(now_s) == 0
    assert pace.rate / share == pytest.approx(rates[-1], rel=0.05)
    pace.note_refusal(now_s, asked_s=now_s, retry_after_s=60)
    rate = pace.rate
    assert pace.wait_s(now_s + 30) == pytest.approx(30.0)
    assert pace.rate == rate
