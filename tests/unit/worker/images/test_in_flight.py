"""How many requests are in flight: simulated stores of a latency and a most rate, and a consumer that wants so many."""

import heapq
from collections import deque

import pytest

from dueby_worker.images.in_flight import MOST_IN_FLIGHT, RequestsInFlight

FILE, PIXELS = 77_000, 3 * 224 * 224


def settle(*, wanted: float, latency_s: float, most_rate: float = 1e9, file: int = FILE, images: int = 20_000) -> int:
    """Return the limit after so many images of which `wanted` a second are taken, from a store that gives so many."""
    now = [0.0]
    flight = RequestsInFlight(least=32, image_bytes=PIXELS, clock=lambda: now[0])
    under_way: list[tuple[float, float]] = []
    free_s = next_s = 0.0
    for _ in range(images):
        while len(under_way) < flight.limit:
            # The store begins an answer when it has given the ones before.
            free_s = max(free_s, now[0]) + 1 / most_rate
            heapq.heappush(under_way, (max(free_s, now[0] + latency_s), now[0]))
        done_s, asked_s = heapq.heappop(under_way)
        was_waited_for = done_s > now[0] and done_s > next_s
        now[0] = max(now[0], done_s, next_s)
        next_s = now[0] + 1 / wanted
        flight.note_answer(done_s - asked_s)
        flight.note_file(file)
        flight.note_taken(was_waited_for=was_waited_for)
    return flight.limit


@pytest.mark.parametrize(
    ("wanted", "latency_s", "at_least", "at_most"),
    [
        pytest.param(500, 0.01, 32, 32, id="near, and what is there to begin with is enough"),
        pytest.param(1000, 0.2, 200, 400, id="200 ms take 200 requests"),
        pytest.param(1000, 0.1, 100, 200, id="100 ms take half of them"),
        pytest.param(100, 0.2, 32, 40, id="a slow model needs no more"),
    ],
)
def test_latency_is_hidden_with_twice_as_many_requests_as_it_takes_at_most(
    wanted: float, latency_s: float, at_least: int, at_most: int
) -> None:
    assert at_least <= settle(wanted=wanted, latency_s=latency_s) <= at_most


def test_a_store_that_gives_no_more_is_asked_for_no_more() -> None:
    # What it gives at 20 ms are 20 requests; more would only wait.
    assert settle(wanted=10_000, latency_s=0.02, most_rate=1000, images=3000) <= 100


def test_there_is_an_end_to_it() -> None:
    assert settle(wanted=100_000, latency_s=1.0, file=1000) <= MOST_IN_FLIGHT


def test_large_files_are_fewer_at_a_time() -> None:
    limit = settle(wanted=5_000, latency_s=0.2, file=2_000_000)
    assert limit * (2_000_000 + 2 * PIXELS) <= 128 * 1024**2
    assert limit > 32


def test_what_was_there_to_begin_with_always_is() -> None:
    assert settle(wanted=5_000, latency_s=0.2, file=100_000_000) == 32


def test_images_that_come_in_bursts_do_not_look_like_another_rate() -> None:
    """What is asked for together is answered together, and a decoder takes one after the other."""
    now, decoded_s, half_s = [0.0], 0.0, 0.0
    flight = RequestsInFlight(least=33, image_bytes=PIXELS, clock=lambda: now[0])
    ahead, active = deque[float](), list[float]()
    images, rate, latency_s = 12_000, 550.0, 0.2
    for image in range(images):
        while len(ahead) < 64 + 2 * (flight.limit - flight.least):
            begin_s = now[0]
            while len(active) >= flight.limit:
                begin_s = max(begin_s, heapq.heappop(active))
            decoded_s = max(decoded_s, begin_s + latency_s) + 1 / rate
            heapq.heappush(active, decoded_s)
            ahead.append(decoded_s)
        done_s = ahead.popleft()
        was_waited_for = done_s > now[0]
        now[0] = max(now[0], done_s)
        flight.note_answer(latency_s)
        flight.note_file(FILE)
        flight.note_taken(was_waited_for=was_waited_for)
        if image == images // 2:
            half_s = now[0]
    assert images / 2 / (now[0] - half_s) >= 0.97 * rate
