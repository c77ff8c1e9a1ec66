"""What raises for one job while all are planned together is that job's fault, and the others are planned without it."""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import pytest

from dueby_api.errors import Invalid
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.control import schedule as control
from dueby_operator.control.job_decision import JobDecision
from dueby_planner.schedule import place_all, schedule, usable
from dueby_planner.schedule.calendar import make_calendar
from support.decisions import NOW, SECOND, cluster, indexed, infj, job, look_at, started
from support.shared_cluster import cluster_with_a_promise


def raising(original: Callable[..., Any], *, argument: int = 0) -> Callable[..., Any]:
    """The function, but that it raises where the job `bad` is in one of its arguments."""

    def call(*arguments: Any, **named: Any) -> Any:
        about = getattr(arguments[argument], "job", arguments[argument])
        if "'bad'" in repr(about) or "team/bad" in repr(about):
            raise ZeroDivisionError("one of them")
        return original(*arguments, **named)

    return call


def decided() -> dict[str, JobDecision]:
    made = [
        job(infj(status=indexed(), metadata={"name": name, "uid": f"u-{name}"}, gpus={"max": 2}))
        for name in ("bad", "good", "other")
    ]
    return {found.decision.job.name: found.decision for found in look_at(cluster(*made))}


@pytest.mark.parametrize("name", ["build_job", "find_holds", "make_calendar", "decide_placed"])
def test_a_fault_of_one_job_is_that_jobs_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = {"build_job": control, "find_holds": schedule, "make_calendar": place_all, "decide_placed": schedule}[name]
    monkeypatch.setattr(module, name, raising(getattr(module, name)))
    found = decided()
    assert isinstance(found["bad"].fault.error if found["bad"].fault else None, ZeroDivisionError)
    for other in ("good", "other"):
        assert found[other].fault is None
        assert found[other].actions


def test_a_job_that_cannot_be_counted_is_planned_by_nobody_and_the_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClusterDevices, "groups", raising(ClusterDevices.groups, argument=1))
    found = decided()
    assert found["bad"].fault
    assert found["good"].actions
    assert found["other"].actions


def test_where_no_calendar_of_all_can_be_made_new_jobs_come_after_what_was_promised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    busy = cluster_with_a_promise()
    windows = busy.status("promised").plan.windows

    def of_one(jobs: Sequence[Any], *arguments: Any, **named: Any) -> Any:
        if len(jobs) > 1:
            raise ZeroDivisionError("none of them alone")
        return make_calendar(jobs, *arguments, **named)

    monkeypatch.setattr(place_all, "make_calendar", of_one)
    busy.add("new", images=160 * 60, deadline_s=140)
    for passes in (1, 2):  # what is kept in the first one, lest it be noise, may move in the second
        busy.decide()
        assert busy.status("promised").plan.windows == windows
        assert busy.status("new").phase == "Queued"
        assert [repr(fault.error) for fault in busy.faults] == passes * ["ZeroDivisionError('none of them alone')"]


def beside_a_running_job(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, error: Exception
) -> dict[str, JobDecision]:
    """What is decided about a job that runs and one that waits if this raises for the first."""
    running = started(deadlineClass="Hard").once_seen()
    waiting = job(infj(status=indexed(), metadata={"name": "other", "uid": "u-other"}, deadlineClass="Hard"))
    original = getattr(module, name)

    def call(about: Any, *arguments: Any, **named: Any) -> Any:
        if getattr(about, "job", about).has_started:
            raise error
        return original(about, *arguments, **named)

    monkeypatch.setattr(module, name, call)
    seen = cluster(running.job(), waiting, now_us=NOW + SECOND)
    return {found.decision.job.name: found.decision for found in look_at(seen)}


def test_a_fault_about_a_running_job_is_none_of_those_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    found = beside_a_running_job(monkeypatch, schedule, "running_job", ZeroDivisionError("one of them"))
    assert isinstance(found["job"].fault.error if found["job"].fault else None, ZeroDivisionError)
    assert found["other"].fault is None
    assert found["other"].actions


def test_a_running_job_that_can_have_no_other_device_goes_on_and_the_others_are_planned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = beside_a_running_job(monkeypatch, usable, "_find_usable", Invalid("spec.source.decoder", "no GPU is left"))
    assert found["job"].fault is None
    assert found["job"].status.phase in ("Starting", "Running")
    assert found["other"].actions
