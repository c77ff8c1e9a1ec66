"""Device time that is left beside jobs, against sums over all of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_planner.schedule.calendar_job import CalendarJob
from dueby_planner.schedule.free_devices import Free
from dueby_planner.schedule.place import free_us
from dueby_planner.schedule.place_job import DeviceTime
from support.calendar import calendar_job, changes

_NAMES = st.sampled_from(["a", "b", "ab"]).map(frozenset)
_TIMES = st.lists(st.integers(1, 200), max_size=5, unique=True).map(lambda found: [0, *sorted(found)])


@st.composite
def free_devices(draw: st.DrawFn) -> Free:
    tables = {}
    for name in "ab":
        times = draw(_TIMES)
        counts = st.lists(st.integers(0, 4), min_size=len(times), max_size=len(times))
        tables[name] = changes(times, draw(counts))
    return tables


@st.composite
def takes(draw: st.DrawFn) -> list[tuple[CalendarJob, int]]:
    """Draw jobs and how much device time each takes."""
    found = []
    for number in range(draw(st.integers(0, 6))):
        devices = dict.fromkeys(sorted(draw(_NAMES)), 4)
        job = calendar_job(f"job-{number}", images=1, time=draw(st.integers(1, 250)), devices=devices)
        found.append((job, draw(st.integers(0, 300))))
    return found


@given(jobs=takes(), free=free_devices(), from_us=st.integers(0, 250), names=_NAMES)
def test_it_is_the_least_that_is_left_by_a_time_and_by_each_later_deadline(
    jobs: list[tuple[CalendarJob, int]], free: Free, from_us: int, names: frozenset[str]
) -> None:
    counted = [(job.problem.time_us, took_us) for job, took_us in jobs if job.device_names <= names]
    left = [
        1.01 * free_us(free, until_us, names) - sum(took_us for due_us, took_us in counted if due_us <= until_us)
        for until_us in {from_us, *(due_us for due_us, _ in counted if due_us > from_us)}
    ]
    assert DeviceTime(jobs, free).left_us(from_us, names) == pytest.approx(min(left))
