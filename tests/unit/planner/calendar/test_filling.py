"""Whether divisible work fits: by the theorem of the minimum cut, if and only if every subset of it does."""

from collections.abc import Sequence
from itertools import chain, combinations

from hypothesis import given
from hypothesis import strategies as st

from dueby_planner.calendar.filling import Column, Demand, find_overfull

ENDS = (4, 7, 12)
DEMANDS = st.lists(
    st.builds(Demand, st.integers(1, 30), st.sampled_from(ENDS), st.integers(1, 4)), min_size=1, max_size=5
).map(lambda found: sorted(found, key=lambda demand: demand.until_us))
DEVICES = st.tuples(*(st.integers(0, 4) for _ in ENDS))


def columns_of(devices: tuple[int, ...]) -> list[Column]:
    begins = (0, *ENDS)
    return [
        Column(from_us, to_us - from_us, count) for from_us, to_us, count in zip(begins, ENDS, devices, strict=False)
    ]


def is_too_much(chosen: Sequence[Demand], columns: Sequence[Column]) -> bool:
    """Whether these need more than what there is for them."""
    there = 0
    for column in columns:
        may_hold = sum(demand.at_once for demand in chosen if demand.until_us > column.from_us)
        there += column.length_us * min(column.devices, may_hold)
    return sum(demand.device_us for demand in chosen) > there


@given(demands=DEMANDS, devices=DEVICES)
def test_there_is_room_for_all_if_no_subset_is_too_much(demands: list[Demand], devices: tuple[int, ...]) -> None:
    columns = columns_of(devices)
    subsets = chain.from_iterable(combinations(demands, size) for size in range(1, len(demands) + 1))
    found = find_overfull(demands, columns)
    assert (found is None) == (not any(is_too_much(chosen, columns) for chosen in subsets))
    if found is not None:
        assert is_too_much([demands[number] for number in found], columns)
