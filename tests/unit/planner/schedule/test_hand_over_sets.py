"""Whatever jobs run and wait, a calendar in which devices are handed over holds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dueby_planner.schedule.calendar_job import CalendarJob
from dueby_planner.schedule.hand_over import RunningJob
from support.calendar import actions, online, windows
from support.handing_over import DEVICES, hard_job, pool_beside, running_job


@st.composite
def running_jobs(draw: st.DrawFn) -> list[RunningJob]:
    """Draw up to three jobs with workers on all devices, each in time."""
    owners = draw(st.lists(st.integers(0, 2), min_size=DEVICES, max_size=DEVICES))
    jobs = []
    for number in sorted(set(owners)):
        ends = [draw(st.integers(50, 500)) for _ in range(owners.count(number))]
        time = max(ends) + draw(st.integers(0, 500))
        stays = draw(st.sampled_from([None, max(ends)]))
        gives_way = draw(st.sampled_from([5, 30, None]))
        job = running_job(f"job-{number}", images=sum(ends), time=time, ends=ends, gives_way=gives_way, stays=stays)
        jobs.append(job)
    return jobs


@st.composite
def waiting_jobs(draw: st.DrawFn) -> list[CalendarJob]:
    """Draw up to eight jobs, new ones and promised ones that need a part of what they are given at least."""
    jobs = []
    for number in range(draw(st.integers(1, 8))):
        images = draw(st.integers(10, 1600))
        job = hard_job(f"waits-{number}", images=images, time=draw(st.integers(60, 1000)))
        goes_on = draw(st.booleans())
        jobs.append(replace(job, goes_on=True, least_images=images * 9 // 10) if goes_on else job)
    return jobs


@given(running=running_jobs(), waiting=waiting_jobs())
def test_a_calendar_in_which_devices_are_handed_over_passes_its_verification(
    running: list[RunningJob], waiting: list[CalendarJob]
) -> None:
    calendar = online(pool_beside(*running), *waiting, running=running)
    assert {job.name for job in waiting} <= actions(calendar).keys()


@given(running=running_jobs(), images=st.integers(10, 800), time=st.integers(30, 400))
def test_no_device_is_given_twice_and_all_of_them_are_in_time(
    running: list[RunningJob], images: int, time: int
) -> None:
    calendar = online(pool_beside(*running), hard_job("new", images=images, time=time), running=running)
    held: list[tuple[int, int, int]] = []
    for each in running:
        stopped = calendar.handing_over.get(each.job.name, ())
        rest = windows(calendar, each.job.name) if each.job.name in actions(calendar) else []
        held += rest
        done = 0
        for worker in each.workers:
            if worker.name in stopped:
                assert worker.gives_way_us is not None
                held.append((0, worker.gives_way_us, 1))
            else:
                held.append((0, worker.may_stay_us if stopped else worker.ends_us, 1))
                done += worker.images
        if stopped:
            assert "new" in actions(calendar)
            done += sum((to_us - from_us - 10) * count for from_us, to_us, count in rest)
            assert done >= each.job.problem.images
            assert all(to_us <= each.job.problem.time_us for _, to_us, _ in rest)
    _check_counts({"a": DEVICES}, held + windows(calendar, "new"))
    if calendar.handing_over:
        assert all(to_us <= time for _, to_us, _ in windows(calendar, "new"))


def _check_counts(whole: Mapping[str, int], held: Sequence[tuple[int, int, int]]) -> None:
    for at_us in {from_us for from_us, _, _ in held}:
        assert sum(count for from_us, to_us, count in held if from_us <= at_us < to_us) <= whole["a"]
