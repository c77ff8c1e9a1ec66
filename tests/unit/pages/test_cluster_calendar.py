"""A cluster's calendar: what jobs without devices show, and the last day's refusals, the newest first."""

import re
import time

import pytest

from dueby.cluster.job_list import read_jobs
from dueby_pages.cluster_calendar import shown_cluster
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
