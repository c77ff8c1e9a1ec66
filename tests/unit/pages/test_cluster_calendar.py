"""A cluster's calendar: what jobs without devices show, and the last day's refusals, the newest first."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby.cluster.job_list import read_jobs
from dueby_pages.calendar import ShownCalendar, ShownHold, ShownJob, ShownPool, peak
from dueby_pages.cluster_calendar import ClassSize, shown_cluster, within_sizes
from support.cluster_list import job, listed, moment, plan, refused, reserved


def notes(*items: object) -> tuple[str, ...]:
    """What the calendar of these jobs says of what isn't on it."""
    found = read_jobs(listed(*items), origin="the list", namespace=None)
    return shown_cluster(found, now_us=time.time_ns() // 1000, with_namespaces=True).notes


def test_the_last_days_refusals_are_told_with_their_reasons() -> None:
    *told, over = notes(
        refused("late-yesterday", at_s=-80_000, message="Reason 1."),
        refused("just-now", at_s=-1, message="Reason 2."),
        refused("long-ago", at_s=-90_000, message="Reason 3."),
        refused("broken", at_s=-1, message="The sink is another job's.", reason="SinkInUse"),
    )
    assert len(told) == 2
    assert re.fullmatch(r"team/just-now was refused at (\d+ \w+ )?\d\d:\d\d:\d\d\. Reason 2\.", told[0])
    assert told[1].startswith("team/late-yesterday was refused at ")
    assert over == "4 jobs are over: 4 Failed."


def test_of_many_refusals_the_newest_are_told() -> None:
    *told, _ = notes(*(refused(f"job-{ago}", at_s=-ago, message="No.") for ago in (6, 2, 4, 1, 5, 3)))
    assert [note.partition(" ")[0] for note in told] == [f"team/job-{ago}" for ago in (1, 2, 3, 4, 5)]


def test_a_refusal_whose_time_cannot_be_read_is_told_of() -> None:
    *_, unreadable = notes(refused("x", at_s="noon", message="Too early."))
    assert unreadable.startswith("team/x can't be read: status.conditions.lastTransitionTime: must be a time")


def test_a_job_whose_rows_are_being_counted_has_no_devices_and_the_slack_that_its_workers_reported() -> None:
    finishing = job("all-in", phase="Finishing", ends=moment(600), plan=plan(1200, gpus=3))
    scheduled = reserved("promised", ("a100", 2, 600, 1200))
    found = read_jobs(listed(finishing, scheduled), origin="the list", namespace=None)
    shown = shown_cluster(found, now_us=time.time_ns() // 1000, with_namespaces=False)
    assert {job.name: job.gpus for job in shown.jobs} == {"all-in": None, "promised": 1}
    slacks = {job.name: job.slack_s for job in shown.jobs}
    assert slacks == {"all-in": pytest.approx(3000, abs=2), "promised": pytest.approx(2400, abs=2)}


@st.composite
def holds(draw: st.DrawFn) -> list[ShownHold]:
    """What a job holds of two classes, of which it is known how many there are of one."""
    count = draw(st.integers(0, 4))
    begins = [draw(st.integers(-5, 20)) for _ in range(count)]
    return [
        ShownHold(
            device_class=draw(st.sampled_from(["known", "unknown"])),
            from_s=float(begin),
            to_s=float(draw(st.integers(max(0, begin + 1), 30))),
            count=draw(st.integers(1, 9)),
        )
        for begin in begins
    ]


def held_at(shown: ShownCalendar, moment_s: float, *, device_class: str = "known") -> list[int]:
    """How many devices each job holds then."""
    return [
        sum(
            hold.count
            for hold in job.holds
            if hold.device_class == device_class and hold.from_s <= moment_s < hold.to_s
        )
        for job in shown.jobs
    ]


@given(st.lists(holds(), max_size=6), st.integers(0, 12))
def test_jobs_hold_together_all_that_their_statuses_say_up_to_what_there_is(
    jobs: list[list[ShownHold]], devices: int
) -> None:
    every = [hold for job in jobs for hold in job if hold.device_class == "known"]
    before = ShownCalendar(
        now_us=0,
        jobs=tuple(
            ShownJob(name=str(at), deadline_class="Soft", state="Running", holds=tuple(job))
            for at, job in enumerate(jobs)
        ),
        pool=(
            ShownPool(device_class="known", devices=devices, peak=peak(every)),
            ShownPool(device_class="unknown", devices=None, peak=1),
        ),
        device="device",
    )
    after = within_sizes(before)
    for moment_s in (second + 0.5 for second in range(30)):
        wanted, found = held_at(before, moment_s), held_at(after, moment_s)
        assert all(some <= all_ for some, all_ in zip(found, wanted, strict=True))
        assert sum(found) == min(devices, sum(wanted))
        assert held_at(after, moment_s, device_class="unknown") == held_at(before, moment_s, device_class="unknown")
    assert (after == before) == (peak(every) <= devices)
    assert bool(after.notes) == (after != before)
    assert after.pool[0].peak <= devices or after == before


def test_devices_that_were_asked_for_are_shown_apart_until_they_are_there() -> None:
    running = reserved("burst", ("a100", 2, 600, 1200))
    running["status"]["plan"]["windows"][0]["pool"] = "big"
    running["status"] |= {"gpus": 4, "ends": moment(1200)}
    running["status"]["held"] = [
        {"deviceClass": "a100", "count": 3, "pool": "big"},
        {"deviceClass": "a100", "count": 1},
    ]
    found = read_jobs(listed(running), origin="the list", namespace=None)
    shown = shown_cluster(found, now_us=time.time_ns() // 1000, with_namespaces=False)
    assert {pool.device_class: pool.peak for pool in shown.pool} == {"a100": 1, "a100, asked for of big": 5}


def test_announced_devices_are_shown_apart_from_those_that_there_are() -> None:
    waiting = reserved("night", ("a100", 2, 600, 1200), ("a100", 3, 600, 1200))
    waiting["status"]["plan"]["windows"][0]["announced"] = True
    found = read_jobs(listed(waiting), origin="the list", namespace=None)
    sizes = {"a100": ClassSize(devices=4)}
    shown = shown_cluster(found, now_us=time.time_ns() // 1000, with_namespaces=False, sizes=sizes)
    assert within_sizes(shown) == shown
    assert {pool.device_class: (pool.devices, pool.peak) for pool in shown.pool} == {
        "a100": (4, 3),
        "a100, announced": (None, 2),
    }
