"""The shares of the part grid: every part in one share, in proportion, always the same."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.grid import Grid, Share
from dueby_planner.model.shares import cut_runs, cut_shares

# Images that each worker is planned to do. Some do nothing, but not all.
PLANNED = st.lists(st.integers(0, 10**7), min_size=1, max_size=40).filter(any)


def parts_of(shares: tuple[Share, ...]) -> list[int]:
    """Return the parts of all shares, one share after another."""
    return [part for share in shares for part in range(share.first, share.end)]


@given(st.integers(0, 2_000), PLANNED)
def test_the_shares_are_runs_of_whole_parts_that_hold_each_part_once(parts: int, planned: list[int]) -> None:
    shares = cut_shares(parts, planned)
    assert len(shares) == len(planned)
    assert parts_of(shares) == list(range(parts))


@given(st.integers(1, 3_000), st.integers(1, 700), PLANNED)
def test_the_shares_of_a_grid_hold_every_image_once(images: int, part_size: int, planned: list[int]) -> None:
    grid = Grid(images=images, part_size=part_size)
    shares = cut_shares(grid.parts, planned)
    done = [i for part in parts_of(shares) for i in range(grid.bounds(part)[0], grid.bounds(part)[1] + 1)]
    assert done == list(range(images))


@given(st.integers(0, 10**8), PLANNED)
def test_no_share_is_off_its_exact_length_by_a_whole_part(parts: int, planned: list[int]) -> None:
    for share, images in zip(cut_shares(parts, planned), planned, strict=True):
        assert abs(len(share) - Fraction(parts * images, sum(planned))) < 1


@given(st.integers(0, 10**8), PLANNED, st.integers(2, 9))
def test_shares_depend_on_the_ratio_of_what_is_planned_alone(parts: int, planned: list[int], factor: int) -> None:
    assert cut_shares(parts, [factor * images for images in planned]) == cut_shares(parts, planned)


def test_equal_workers_get_equal_shares() -> None:
    assert [len(share) for share in cut_shares(4_096 * 3, [640] * 4_096)] == [3] * 4_096


def test_a_worker_that_is_planned_to_do_nothing_gets_nothing() -> None:
    assert [len(share) for share in cut_shares(10, [5, 0, 5])] == [5, 0, 5]


def test_more_workers_than_parts_leave_some_without_a_share() -> None:
    assert [len(share) for share in cut_shares(2, [1, 1, 1, 1])] == [0, 1, 0, 1]


@given(st.sets(st.integers(0, 500)).map(sorted), PLANNED)
def test_the_runs_of_a_replan_hold_each_missing_part_once(missing: list[int], planned: list[int]) -> None:
    runs = cut_runs(missing, planned)
    assert len(runs) == len(planned)
    wanted = set(missing)
    assert [part for part in parts_of(runs) if part in wanted] == missing


@pytest.mark.parametrize(
    ("missing", "planned", "runs"),
    [
        pytest.param([3, 4, 5, 6], [1, 1], [(3, 5), (5, 7)], id="what is left is cut in two"),
        pytest.param([0, 7, 8, 9], [1, 1], [(0, 8), (8, 10)], id="a run spans parts that are done"),
        pytest.param([5], [1, 1], [(0, 0), (5, 6)], id="nothing is left for one of them"),
        pytest.param([], [1, 1], [(0, 0), (0, 0)], id="nothing is left at all"),
    ],
)
def test_a_replan_cuts_only_what_is_missing(
    missing: list[int], planned: list[int], runs: list[tuple[int, int]]
) -> None:
    assert [(run.first, run.end) for run in cut_runs(missing, planned)] == runs
