"""The search for the least number for which something holds: exact, or a little less where that is enough."""

from hypothesis import given
from hypothesis import strategies as st

from dueby_planner.model.problem import NEVER_US, find_least_near

numbers = st.integers(1, NEVER_US) | st.integers(1, 3000)


@given(numbers, numbers)
def test_it_is_the_least_wherever_it_is_sought_first(least: int, near: int) -> None:
    assert find_least_near(lambda number: number >= least, 0, near=near, most=NEVER_US) == least


@given(numbers, numbers, st.integers(2, 2000))
def test_nearly_the_least_is_none_greater_and_less_by_no_more_than_such_a_part(
    least: int, near: int, nearly: int
) -> None:
    found = find_least_near(lambda number: number >= least, 0, near=near, most=NEVER_US, nearly=nearly)
    assert found is not None
    assert 0 < found <= least
    # It holds for the number that is found with it, of which it is less by 1 / `nearly` at most.
    assert (least - found) * (nearly - 1) <= found


def test_where_it_never_holds_nothing_is_found() -> None:
    assert find_least_near(lambda _: False, 0, near=5, most=NEVER_US, nearly=10) is None
