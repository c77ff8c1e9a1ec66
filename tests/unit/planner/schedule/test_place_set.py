"""Sets of jobs of which some are left out where there is no place for all."""

from hypothesis import given
from hypothesis import strategies as st

from dueby_planner.schedule.calendar_job import CalendarJob
from dueby_planner.schedule.free_devices import idle_pool
from dueby_planner.schedule.place_job import place_set
from support.calendar import calendar_job, job_sets

ONE = {"a": 1}
# On one device these take 50, 50 and 100 us.
FIRST = calendar_job("first", images=40, time=60, devices=ONE)
SECOND = calendar_job("second", images=40, time=110, devices=ONE)


def placed(*jobs: CalendarJob, optional: tuple[str, ...], at_least: int = 0) -> list[str] | None:
    """Return the names of the jobs that have a place on one device."""
    pool = idle_pool(ONE)
    found = place_set(jobs, pool.free["Hard"], optional=optional, at_least=at_least)
    return None if found is None else [placement.job.name for placement in found]


def last(time: int) -> CalendarJob:
    return calendar_job("last", images=90, time=time, devices=ONE)


def test_all_have_a_place_where_there_is_one_for_all() -> None:
    assert placed(FIRST, SECOND, last(200), optional=("first", "second")) == ["first", "second", "last"]


def test_of_those_that_are_left_out_for_another_job_the_latest_are_the_first() -> None:
    assert placed(FIRST, SECOND, last(160), optional=("first", "second")) == ["first", "last"]
    assert placed(FIRST, SECOND, last(100), optional=("first", "second")) == ["last"]


def test_what_has_no_place_with_nothing_to_leave_out_is_not_placed() -> None:
    assert placed(FIRST, SECOND, last(160), optional=()) is None
    assert placed(FIRST, SECOND, last(90), optional=("first", "second")) is None


def test_one_that_has_no_place_itself_is_left_out_alone() -> None:
    assert placed(FIRST, SECOND, last(160), optional=("last",)) == ["first", "second"]


def test_fewer_than_are_asked_for_are_none() -> None:
    assert placed(FIRST, SECOND, last(160), optional=("last",), at_least=2) == ["first", "second"]
    assert placed(FIRST, SECOND, last(160), optional=("last",), at_least=3) is None


@given(job_sets(), st.data())
def test_only_optional_jobs_are_left_out(jobs: list[CalendarJob], data: st.DataObject) -> None:
    names = [job.name for job in jobs]
    optional = data.draw(st.sets(st.sampled_from(names)))
    pool = idle_pool({group.device_class: group.count for job in jobs for group in job.problem.groups})
    found = place_set(jobs, pool.free["Hard"], optional=optional)
    if found is not None:
        kept = [placement.job.name for placement in found]
        assert len(kept) == len(set(kept))
        assert set(names) - optional <= set(kept)
