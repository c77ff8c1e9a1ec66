"""Whether divisible work fits: by the theorem of the minimum cut, if and only if every subset of it does."""

from collections.abc import Sequence
from itertools import chain, combinations

from hypothesis import given
from hypothesis import strategies as st

from dueby_planner.schedule.cut import Demand, Filling

ENDS = (4, 7, 12)
DEMANDS = st.lists(
    st.builds(Demand, st.integers(1, 30), st.sampled_from(ENDS), st.integers(1, 4)), min_size=1, max_size=6
).map(lambda found: sorted(found, key=lambda demand: demand.until_us))


def is_too_much(chosen: Sequence[Demand], devices: int) -> bool:
    """Whether these need more than what there is for them."""
    there = 0
    for at_us in range(max(ENDS)):
        there += min(devices, sum(demand.at_once for demand in chosen if demand.until_us > at_us))
    return sum(demand.device_us for demand in chosen) > there


def has_room(demands: Sequence[Demand], devices: int) -> bool:
    """Whether no subset is too much."""
    subsets = chain.from_iterable(combinations(demands, size) for size in range(1, len(demands) + 1))
    return not any(is_too_much(chosen, devices) for chosen in subsets)


@given(demands=DEMANDS, devices=st.integers(0, 6), asked=st.lists(st.integers(0, 5), min_size=1, max_size=3))
def test_there_is_room_for_all_if_no_subset_is_too_much(demands: list[Demand], devices: int, asked: list[int]) -> None:
    for place in (number % len(demands) for number in asked):
        others = [*demands[:place], *demands[place + 1 :]]
        filling = Filling(others, devices)
        # What was kept of an earlier question doesn't change the answer.
        filling.find_overfull(demands[-1], len(others))
        found = filling.find_overfull(demands[place], place)
        is_full_before = not has_room(others[:place], devices)
        assert (found is None) == (has_room(demands, devices) or is_full_before)
        if found is not None:
            assert is_too_much([demands[number] for number in found], devices)
