"""How wide a spread is planned that is known from few samples only."""

import random
from collections.abc import Sequence
from math import inf, sqrt

import pytest

from dueby_planner.small_samples import Z95, foresight, own_share, student95, widening


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


@pytest.mark.parametrize(
    ("groups", "share"),
    [
        pytest.param([], None, id="no group"),
        pytest.param([[1, 2, 3], [4]], None, id="one group of several"),
        pytest.param([[1, 1], [5, 5]], 0.0, id="all in common"),
        pytest.param([[3, 3], [3, 3]], 0.0, id="no spread: nothing is known to be own"),
        pytest.param([[1, 5], [5, 1], [3, 3]], 1.0, id="nothing in common"),
        # Of 3 +- 2 and 5 +- 2 the means differ by a variance of 2, for two groups times 22.1, of which 4 are own.
        pytest.param([[1, 5], [3, 7]], 8 / (8 + 2 * foresight(2) ** 2 - 4), id="few groups are widened"),
    ],
)
def test_what_each_has_alone_is_what_those_of_a_group_differ_by(
    groups: Sequence[Sequence[float]], share: float | None
) -> None:
    assert own_share([(values, len(values)) for values in groups]) == (share if share is None else pytest.approx(share))


def test_of_many_groups_the_share_is_the_true_one_and_thinned_ones_show_no_more() -> None:
    chance = random.Random(1)
    groups = []
    for _ in range(400):
        common = chance.gauss(100, 3)
        groups.append([chance.gauss(common, 4) for _ in range(12)])
    share = own_share([(values, 12) for values in groups])
    assert share == pytest.approx(16 / 25, abs=0.05)
    assert (own_share([(values, 100) for values in groups]) or 1) <= (share or 0)
