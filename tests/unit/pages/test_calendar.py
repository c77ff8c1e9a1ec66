"""A calendar as it is shown: blocks that don't lie on each other, what fits on the axis, and the times on it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.units import MICROS_PER_SECOND, parse_time_us
from dueby_pages.calendar import ShownCalendar, ShownHold, ShownJob, ShownPool, peak
from dueby_pages.calendar_blocks import stacked
from dueby_pages.calendar_page import held
from dueby_pages.charts.axes import clock_ticks, name_moment

NOW = parse_time_us("2026-11-27T23:40:10Z")


def hold(from_s: float, to_s: float, count: int = 1, device_class: str = "a") -> ShownHold:
    return ShownHold(device_class=device_class, from_s=from_s, to_s=to_s, count=count)


def job(*holds: ShownHold, deadline_s: float | None = None, deadline_class: str = "Hard") -> ShownJob:
    return ShownJob(name="j", deadline_class=deadline_class, state="Start", deadline_s=deadline_s, holds=holds)


def calendar(*jobs: ShownJob) -> ShownCalendar:
    pool = (ShownPool(device_class="a", devices=1, peak=1),)
    return ShownCalendar(now_us=NOW, jobs=jobs, pool=pool, device="GPU")


HOLDS = st.builds(
    lambda from_s, length_s, count: hold(from_s, from_s + length_s, count),
    st.integers(-5, 30),
    st.integers(1, 20),
    st.integers(1, 9),
)


@given(st.lists(HOLDS, max_size=12), st.integers(0, 3))
def test_blocks_cover_what_is_held_and_never_each_other(holds: list[ShownHold], spare: int) -> None:
    devices = peak(holds) + spare
    blocks = stacked([job(found) for found in holds], "a", devices)
    for number, found in enumerate(holds):
        assert sum(b.rows[1] - b.rows[0] for b in blocks if b.number == number) == found.count
    for i, one in enumerate(blocks):
        assert 0 <= one.rows[0] < one.rows[1] <= devices
        for other in blocks[i + 1 :]:
            at_once = one.hold.from_s < other.hold.to_s and other.hold.from_s < one.hold.to_s
            assert not (at_once and one.rows[0] < other.rows[1] and other.rows[0] < one.rows[1])


def test_a_block_is_whole_where_there_is_room_and_divided_where_there_is_none() -> None:
    # The middle one ends first, and leaves one device between two that are held.
    jobs = [job(hold(0, 9)), job(hold(0, 5)), job(hold(0, 9)), job(hold(5, 9, 2))]
    assert [b.rows for b in stacked(jobs, "a", 5) if b.number == 3] == [(3, 5)]
    assert sorted(b.rows for b in stacked(jobs, "a", 4) if b.number == 3) == [(1, 2), (3, 4)]


def test_blocks_of_other_classes_are_elsewhere() -> None:
    assert stacked([job(hold(0, 1, device_class="b"))], "a", 1) == []


def test_what_ends_makes_room_for_what_begins_then() -> None:
    assert peak([hold(0, 5, 3), hold(5, 9, 2), hold(6, 7, 2)]) == 4
    assert peak([]) == 0


@pytest.mark.parametrize(
    ("jobs", "horizon_s"),
    [
        pytest.param([job(hold(0, 10), deadline_s=20)], 20, id="a deadline soon after the last window"),
        pytest.param([job(hold(0, 10), deadline_s=21)], 10, id="a deadline far behind it is beyond the edge"),
        pytest.param(
            [job(hold(0, 10)), job(hold(0, 900), deadline_class="BestEffort")],
            10,
            id="what promises nothing doesn't squeeze what does",
        ),
        pytest.param([job(hold(0, 900), deadline_class="BestEffort")], 900, id="alone it is shown whole"),
        pytest.param([job(deadline_s=30)], 30, id="without windows there are deadlines"),
        pytest.param([job(deadline_s=-30)], 1, id="everything is over"),
        pytest.param([], 1, id="no jobs"),
    ],
)
def test_the_axis_ends_where_promises_do(jobs: list[ShownJob], horizon_s: float) -> None:
    assert calendar(*jobs).horizon_s == horizon_s


def test_windows_that_touch_are_one_bar() -> None:
    assert held(job(hold(5, 9), hold(0, 2), hold(2, 4), hold(1, 3))) == [(0, 4), (5, 9)]


def test_ticks_are_round_times_of_the_day() -> None:
    assert clock_ticks(NOW, 3600) == [
        (590, "23:50"),
        (1190, "28 Nov"),
        (1790, "00:10"),
        (2390, "00:20"),
        (2990, "00:30"),
        (3590, "00:40"),
    ]
    assert clock_ticks(NOW, 20)[:2] == [(0, "23:40:10"), (5, "23:40:15")]
    assert clock_ticks(NOW + MICROS_PER_SECOND // 2, 3)[0] == (0.5, "23:40:11")
    assert 0 < len(clock_ticks(NOW, 1e9)) <= 9


def test_a_moment_of_another_day_says_so() -> None:
    assert name_moment(NOW, 60) == "23:41:10"
    assert name_moment(NOW, 3600) == "28 Nov 00:40:10"
