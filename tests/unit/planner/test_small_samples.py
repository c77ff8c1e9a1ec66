"""How wide a spread is planned that is known from few samples only."""

from math import inf, sqrt

import pytest

from dueby_planner.small_samples import Z95, foresight, student95, widening


@pytest.mark.parametrize(
    ("freedom", "t"),
    [(1, 6.3138), (2, 2.9200), (3, 2.3534), (4, 2.1318), (5, 2.0150), (9, 1.8331), (30, 1.6973), (10**6, 1.6449)],
)
def test_students_t_is_that_of_the_tables(freedom: int, t: float) -> None:
    assert student95(freedom) == pytest.approx(t, rel=0.003)


def test_few_samples_widen_and_many_leave_alone() -> None:
    factors = [foresight(count) for count in range(1, 40)]
    assert factors[0] == widening(0) == inf
    assert factors == sorted(factors, reverse=True)
    assert foresight(4) == pytest.approx(2.3534 / Z95 * sqrt(5 / 4), rel=0.003)
    assert foresight(10**6) == pytest.approx(1, abs=1e-5)
