"""The part that a worker takes when its own share is done, in a table and in simulated runs of many workers."""

import heapq
import random
import tracemalloc
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.grid import Share
from dueby_api.parts import all_parts, parts_of, parts_of_runs
from dueby_planner.model.shares import cut_shares
from dueby_worker.work.order import next_part
from support.examples import examples


def shares_of(*ends: int) -> tuple[Share, ...]:
    """Shares that end there, one after the other from part 0."""
    return tuple(Share(first=first, end=end) for first, end in zip((0, *ends), ends))


@pytest.mark.parametrize(
    ("missing", "ends", "place", "expected"),
    [
        pytest.param([], (4, 8), 0, None, id="nothing is missing, so nothing is taken"),
        pytest.param([5, 6, 7], (4, 8), 0, 7, id="a helper starts at the tail of the other share"),
        pytest.param([5], (4, 8), 0, 5, id="the open part of an owner is taken when nothing else is left"),
        pytest.param([2, 3, 5, 6, 7], (4, 8, 9), 2, 7, id="the share with most left is helped first"),
        pytest.param([1, 2, 3, 7], (4, 8, 9), 2, 3, id="and that may be an earlier one"),
        pytest.param([3, 6, 7], (4, 8, 9), 2, 7, id="open parts wait while others have more than theirs left"),
        pytest.param([9], (4, 8), 0, 9, id="a part of no share is nobody's, and done"),
    ],
)
def test_a_helper_takes(missing: list[int], ends: tuple[int, ...], place: int, expected: int | None) -> None:
    assert next_part(parts_of(missing), shares_of(*ends), place=place) == expected


@given(st.data())
def test_whatever_is_missing_is_taken_by_every_worker_sooner_or_later(data: st.DataObject) -> None:
    parts = data.draw(st.integers(1, 60))
    workers = data.draw(st.integers(1, 8))
    shares = cut_shares(parts, [1] * workers)
    missing = set(data.draw(st.sets(st.integers(0, parts - 1))))
    place = data.draw(st.integers(0, workers - 1))
    taken = []
    while (part := next_part(parts_of(missing), shares, place=place)) is not None:
        taken.append(part)
        missing.remove(part)
    assert not missing
    assert len(set(taken)) == len(taken)


def test_helpers_with_the_same_listing_take_different_parts_where_there_are_enough() -> None:
    shares = shares_of(*range(1, 9), 208)
    missing = list(range(8, 208))
    taken = [next_part(parts_of(missing), shares, place=helper) for helper in range(8)]
    assert len(set(taken)) == 8


def test_a_large_pool_is_decided_quickly_enough_to_be_decided_for_every_part() -> None:
    shares = cut_shares(400_000, [1] * 4096)
    assert next_part(parts_of_runs([(350_000, 400_000)]), shares, place=0) is not None


def test_a_helper_of_a_hundred_million_images_in_parts_of_64_holds_no_list_of_them() -> None:
    missing = all_parts(100_000_000 // 64)
    shares = cut_shares(len(missing), [1] * 20)
    tracemalloc.start()
    try:
        assert next_part(missing, shares, place=3) is not None
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4 * 2**20


@dataclass
class Simulation:
    """Workers that do a part in a time of their own, see each other's finished parts, and may die."""

    shares: tuple[Share, ...]
    seconds_a_part: list[float]
    dies_at: dict[int, float] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    computed: Counter[int] = field(default_factory=Counter)

    def run(self) -> float:
        """Time at which the last part is there."""
        parts = range(max(share.end for share in self.shares))
        events = [(0.0, worker, -1) for worker in range(len(self.shares))]
        heapq.heapify(events)
        now = 0.0
        while len(self.done) < len(parts):
            now, worker, finished = heapq.heappop(events)
            if now > self.dies_at.get(worker, float("inf")):
                continue
            if finished >= 0:
                self.done.add(finished)
                self.computed[finished] += 1
            part = self._choose(worker, parts)
            if part is not None:
                heapq.heappush(events, (now + self.seconds_a_part[worker], worker, part))
        return now

    def _choose(self, worker: int, parts: range) -> int | None:
        share = self.shares[worker]
        own = next((part for part in range(share.first, share.end) if part not in self.done), None)
        if own is not None:
            return own
        return next_part(all_parts(len(parts)) - parts_of(self.done), self.shares, place=worker)


@examples(60)
@given(st.integers(2, 10), st.integers(20, 300), st.randoms(use_true_random=False))
def test_doubles_stay_within_a_part_per_hand_over(workers: int, parts: int, chance: random.Random) -> None:
    shares = cut_shares(parts, [1] * workers)
    simulation = Simulation(shares=shares, seconds_a_part=[chance.uniform(0.8, 1.6) for _ in range(workers)])
    simulation.run()
    doubles = simulation.computed.total() - parts
    # Each worker hands over once: when its share is done, or when helpers come to its open part.
    assert doubles <= 2 * workers


@examples(60)
@given(st.integers(2, 8), st.integers(20, 200), st.randoms(use_true_random=False))
def test_the_survivors_finish_what_dead_workers_leave(workers: int, parts: int, chance: random.Random) -> None:
    shares = cut_shares(parts, [1] * workers)
    dead = chance.sample(range(workers), chance.randrange(workers))
    horizon = parts / workers
    simulation = Simulation(
        shares=shares, seconds_a_part=[1.0] * workers, dies_at={worker: chance.uniform(0, horizon) for worker in dead}
    )
    finish = simulation.run()
    assert simulation.done == set(range(parts))
    assert finish <= parts + 2 * workers


def test_a_slow_worker_does_not_hold_the_others_up() -> None:
    shares = cut_shares(400, [1] * 4)
    finish = Simulation(shares=shares, seconds_a_part=[1.0, 1.0, 1.0, 4.0]).run()
    ideal = 400 / (3 + 1 / 4)
    assert finish <= ideal + 4
