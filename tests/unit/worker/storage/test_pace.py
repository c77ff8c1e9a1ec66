"""The pace at which a store is asked: never above its limit, cut when the store refuses, found by simulation."""

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_worker.storage.pace import RequestPace


class TokenStore:
    """A store that grants so many requests a second to all who ask, with a burst of a tenth of a second."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.tokens, self.at_s = max(1.0, rate / 10), 0.0
        self.granted = 0

    def grants(self, now_s: float) -> bool:
        self.tokens = min(max(1.0, self.rate / 10), self.tokens + (now_s - self.at_s) * self.rate)
        self.at_s = now_s
        if self.tokens < 1:
            return False
        self.tokens -= 1
        self.granted += 1
        return True


def ask(
    store: TokenStore, paces: list[RequestPace], *, seconds: float, tick_s: float = 0.002, at_once: int = 1
) -> list[int]:
    """Let each ask whenever its pace allows; return how many requests each was granted."""
    granted, now_s, draw = [0] * len(paces), store.at_s, random.Random(1)
    for number in range(int(seconds / tick_s)):
        at_s = now_s + number * tick_s
        for place in draw.sample(range(len(paces)), len(paces)):
            pace = paces[place]
            # Not even an unlimited worker asks more often than so.
            for _ in range(at_once):
                if pace.wait_s(at_s):
                    break
                if store.grants(at_s):
                    granted[place] += 1
                    pace.note_answer(at_s)
                else:
                    pace.note_refusal(at_s, asked_s=at_s)
    return granted


def test_without_refusals_nobody_waits() -> None:
    pace = RequestPace()
    assert [pace.wait_s(0.0) for _ in range(1000)] == [0.0] * 1000
    assert pace.observed is None


def test_a_rate_to_begin_with_grows_to_the_limit_while_it_is_used() -> None:
    pace, rates = RequestPace(limit=10.0, start=5.0), []
    for number in range(1000):
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
            assert pace.rate < before or pace.rate == min(limit, 1.0)
            # A burst without any pace says nothing.
            assert math.isinf(before) or (pace.observed or 0.0) > 0
            assert event == "refuse" or pace.wait_s(now_s) >= 5.0 - 1e-9
        assert 0 < pace.rate <= limit


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("rate", [40.0, 300.0])
def test_workers_settle_at_what_the_store_gives_and_get_nearly_all_of_it(rate: float, workers: int) -> None:
    store, paces = TokenStore(rate), [RequestPace() for _ in range(workers)]
    ask(store, paces, seconds=20)
    before = store.granted
    granted = ask(store, paces, seconds=40)
    assert 0.85 * rate < (store.granted - before) / 40 <= 1.01 * rate
    assert min(granted) > 0.4 * max(granted)
    observed = sum(pace.observed or 0.0 for pace in paces)
    assert observed == pytest.approx(rate, rel=0.15)


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_that_wake_late_do_not_keep_the_rate_down(workers: int) -> None:
    """On a busy machine a thread that waits for a token comes some time after it."""
    store, paces = TokenStore(30.0), [RequestPace() for _ in range(workers)]
    ask(store, paces, seconds=20, tick_s=0.05, at_once=4)
    before = store.granted
    ask(store, paces, seconds=60, tick_s=0.05, at_once=4)
    assert (store.granted - before) / 60 > 0.75 * 30


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


def test_after_a_refusal_the_rate_grows_by_the_same_amount_in_each_second_in_which_it_is_used() -> None:
    pace = RequestPace()
    for number in range(200):
        pace.note_answer(number / 100)
    pace.note_refusal(2.0, asked_s=2.0)
    rates = []
    for number in range(501):
        pace.wait_s(2.0 + number / 100)
        if number % 100 == 0:
            rates.append(pace.rate)
    grown = [later - earlier for earlier, later in pairwise(rates)]
    assert grown[0] > 0
    assert grown == pytest.approx([grown[0]] * 5)
    # Nothing is learned while nobody asks, and while the store wants no request.
    assert pace.wait_s(100.0) == 0
    assert pace.rate == pytest.approx(rates[-1])
    pace.note_refusal(100.0, asked_s=100.0, retry_after_s=60)
    rate = pace.rate
    assert pace.wait_s(130.0) == pytest.approx(30.0)
    assert pace.rate == rate
