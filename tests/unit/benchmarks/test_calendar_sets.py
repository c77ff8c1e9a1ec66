"""Small random sets of Hard jobs, placed by DueBy and, with start costs, by CP-SAT."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calendar_sets import Drawn, compare, draw, solve_exactly

LIMIT_S = 5.0


@given(st.integers(min_value=0, max_value=10**6))
def test_no_set_is_proved_impossible_that_an_exact_solver_can_place(seed: int) -> None:
    found = compare(*draw(random.Random(seed)), limit_s=LIMIT_S)
    assert not (found.exact == "feasible" and found.is_proved)
    assert found.is_placed or not found.is_placed_one_by_one, "it fits without moving anybody"


@pytest.mark.parametrize(
    ("deadline", "exact"), [(59, "infeasible"), (60, "feasible")], ids=["a unit too early", "just in time"]
)
def test_both_say_the_same_of_two_jobs_that_fit_one_after_the_other(deadline: int, exact: str) -> None:
    # A start of 10 with the first mini-batch, and 4 more of 5: 30 for each.
    jobs = [
        Drawn(name=name, images=5, deadline=time, batch=1, step=5, start=10)
        for name, time in (("a", 30), ("b", deadline))
    ]
    assert solve_exactly(jobs, 1, limit_s=LIMIT_S) == exact
    found = compare(jobs, 1, limit_s=LIMIT_S)
    assert (found.is_placed, found.is_proved) == (exact == "feasible", exact == "infeasible")
