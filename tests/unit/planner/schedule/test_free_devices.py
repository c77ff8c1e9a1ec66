"""Free devices over time, against a count at each moment."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dueby_planner.model.problem import NEVER_US
from dueby_planner.schedule.free_devices import FreeDevices, Taken, always_free, level_spans, rounded, without

END = 15
TAKEN = st.builds(
    lambda from_us, length, devices: Taken(from_us, from_us + length, devices),
    st.integers(0, 9),
    st.integers(1, 5),
    st.integers(1, 3),
)


def at(free: FreeDevices, time_us: int) -> int:
    return next(step.free for step in free if step.from_us <= time_us < step.to_us)


def free_beside(count: int, taken: Sequence[Taken]) -> FreeDevices:
    """Take all that are there of these, one after the other."""
    free = always_free(count)
    for each in taken:
        if all(at(free, time_us) >= each.devices for time_us in range(each.from_us, each.to_us)):
            free = without(free, [each])
    return free


@given(count=st.integers(0, 5), taken=st.lists(TAKEN, max_size=6))
def test_what_is_taken_is_missing_exactly_then(count: int, taken: list[Taken]) -> None:
    free = always_free(count)
    there = [count] * END
    for each in taken:
        held = range(each.from_us, each.to_us)
        if all(there[time_us] >= each.devices for time_us in held):
            free = without(free, [each])
            for time_us in held:
                there[time_us] -= each.devices
    assert [at(free, time_us) for time_us in range(END)] == there
    assert (free[0].from_us, free[-1].to_us) == (0, NEVER_US)
    assert all(one.to_us == other.from_us for one, other in pairwise(free))


@given(count=st.integers(0, 5), taken=st.lists(TAKEN, max_size=6), unit=st.integers(1, 4))
def test_rounded_is_what_is_free_all_the_time_between_two_multiples(count: int, taken: list[Taken], unit: int) -> None:
    free = free_beside(count, taken)
    coarse = rounded(free, unit)
    assert all(one.to_us == other.from_us and one.free != other.free for one, other in pairwise(coarse))
    assert (coarse[0].from_us, coarse[-1].to_us) == (0, NEVER_US)
    for time_us in range(END):
        first = time_us // unit * unit
        assert at(coarse, time_us) == min(at(free, first + other) for other in range(unit))


def test_where_more_is_taken_than_is_free_nothing_is_left() -> None:
    free = without(without(always_free(3), [Taken(0, 10, 2)]), [Taken(5, 15, 2)])
    assert [at(free, time_us) for time_us in (0, 5, 10, 15)] == [1, 0, 1, 3]


@given(count=st.integers(0, 5), taken=st.lists(TAKEN, max_size=6), until=st.integers(0, END), most=st.integers(0, 6))
def test_a_level_is_there_exactly_while_so_many_devices_are_free(
    count: int, taken: list[Taken], until: int, most: int
) -> None:
    free = free_beside(count, taken)
    spans = level_spans(free, until, most)
    for time_us in range(until):
        there = [
            level
            for span in spans
            if span.from_us <= time_us < span.to_us
            for level in range(span.low + 1, span.high + 1)
        ]
        assert sorted(there) == list(range(1, min(most, at(free, time_us)) + 1))
    assert all(span.to_us <= until for span in spans)


@given(count=st.integers(1, 5), taken=st.lists(TAKEN, max_size=6))
def test_a_level_is_not_cut_where_it_goes_on(count: int, taken: list[Taken]) -> None:
    spans = level_spans(free_beside(count, taken), END, count)
    for level in range(1, count + 1):
        times = sorted((span.from_us, span.to_us) for span in spans if span.low < level <= span.high)
        assert all(one[1] < other[0] for one, other in pairwise(times))


@given(count=st.integers(0, 5), taken=st.lists(TAKEN, min_size=9, max_size=12), more=st.integers(0, 2))
def test_to_take_many_at_once_is_to_take_one_after_the_other(count: int, taken: list[Taken], more: int) -> None:
    free = without(always_free(count + more), [Taken(3, 9, more)])
    one_by_one = free
    for each in taken:
        one_by_one = without(one_by_one, [each])
    assert without(free, taken) == one_by_one
    assert all(one.free != other.free for one, other in pairwise(one_by_one))
