"""What is counted of jobs, from the statuses of two passes."""

from collections.abc import Sequence
from typing import Any

import pytest

from dueby_api.conditions import Reason
from dueby_api.inference_job import DeadlineClass
from dueby_api.plan import PlannedGroup
from dueby_api.status import JobStatus, PlanStatus, Replan
from dueby_api.units import format_time
from dueby_operator.control.outcomes import FollowedJob, break_reason, follow, outcomes, waited_s
from dueby_operator.model.conditions import NewCondition, merge_conditions
from support.decisions import NOW, SECOND
from support.operator import plan_status


def status(*reasons: Reason, at_us: int = NOW, **more: Any) -> JobStatus:
    """A status with these reasons."""
    found = merge_conditions([], [NewCondition(reason=reason) for reason in reasons], generation=1, now_us=at_us)
    return JobStatus(conditions=found, **more)


def plan(revision: int = 1, devices: int = 3) -> PlanStatus:
    return plan_status(
        format_time(NOW),
        revision=revision,
        gpus=devices,
        proof="ClosedForm",
        confidence=0.99,
        probability=1,
        solve_micros=0,
        groups=(PlannedGroup(device_class="a", engine="eager", count=devices, mini_batch_size=1, iterations=1),),
    )


def replan(reason: str, before: int = 2, after: int = 3, time: str = "t") -> Replan:
    return Replan(time=time, reason=reason, before=before, after=after)


def counted(*statuses: JobStatus, deadline_class: DeadlineClass | None = "Hard") -> list[tuple[str, str, int]]:
    """What these statuses of a job, one after the other, make count; a new job's first one included."""
    found: list[tuple[str, str, int]] = []
    before: FollowedJob | None = None
    for each in statuses:
        after = follow(before, each, deadline_class)
        found += [news for news in outcomes(before, after) if news[2]]
        before = after
    return found


NEW = status(Reason.INDEXED)
RESERVED, PLANNED, WAITS = status(Reason.RESERVED), status(Reason.PLANNED), status(Reason.WAITING)
IN_TIME = status(Reason.PLANNED, Reason.MET, Reason.EVERY_IMAGE_HAS_A_ROW)
LATE = status(Reason.PLANNED, Reason.MISSED)
MADE, KEPT = ("made", "", 1), ("kept", "", 1)


@pytest.mark.parametrize(
    ("statuses", "news"),
    [
        pytest.param([NEW, PLANNED, PLANNED], [MADE], id="a plan is a promise, once"),
        pytest.param([NEW, RESERVED, PLANNED], [MADE], id="so is a reservation, and its start is no other one"),
        pytest.param([NEW, status(Reason.STARTED_LATE)], [], id="a late start is none"),
        pytest.param([NEW, WAITS], [], id="waiting is none"),
        pytest.param([PLANNED, IN_TIME, IN_TIME], [MADE, KEPT], id="kept when the job ends in time, once"),
        pytest.param([PLANNED, LATE, LATE], [MADE, ("broken", "Late", 1)], id="broken when the deadline passes, once"),
        pytest.param([WAITS, LATE], [("made", "", 1), ("broken", "Late", 1)], id="both in one pass"),
        pytest.param([RESERVED, WAITS, RESERVED, IN_TIME], [MADE, KEPT], id="one that was taken back for a while"),
        pytest.param(
            [RESERVED, WAITS, status(Reason.WAITING, Reason.MISSED)],
            [MADE, ("broken", "Late", 1)],
            id="one that was taken back permanently",
        ),
        pytest.param(
            [PLANNED, status(Reason.PLANNED, Reason.NO_PROGRESS)],
            [MADE, ("broken", "NoProgress", 1)],
            id="a job that fails before its deadline",
        ),
        pytest.param(
            [PLANNED, status(Reason.PLANNED, Reason.MET, Reason.TOO_MANY_FAILED_IMAGES)],
            [MADE, KEPT],
            id="in time although images failed",
        ),
    ],
)
def test_a_promise_is_made_and_kept_or_broken(statuses: Sequence[JobStatus], news: list[tuple[str, str, int]]) -> None:
    assert counted(*statuses) == news


@pytest.mark.parametrize("deadline_class", ["Soft", "Relaxed", "BestEffort", None])
def test_only_hard_jobs_are_promised_anything(deadline_class: DeadlineClass | None) -> None:
    assert counted(NEW, PLANNED, LATE, deadline_class=deadline_class) == []


def test_a_job_whose_manifest_turns_wrong_keeps_its_promise() -> None:
    before = follow(None, PLANNED, "Hard")
    after = follow(before, LATE, None)
    assert ("broken", "Late", 1) in list(outcomes(before, after))


@pytest.mark.parametrize(
    ("late", "reason"),
    [
        pytest.param(status(Reason.MISSED, replans=(replan("WorkerLost"),)), "WorkerLost", id="a worker was lost"),
        pytest.param(
            status(Reason.MISSED, Reason.LAGGING, replans=(replan("WorkerLost"), replan("Lagging"), replan("Ahead"))),
            "Lagging",
            id="the last that says why, and not that there was time to spare",
        ),
        pytest.param(
            status(Reason.MISSED, Reason.SINK_NOT_WRITABLE, replans=(replan("Lagging"),)),
            "SinkNotWritable",
            id="what stands in its way now",
        ),
        pytest.param(status(Reason.MISSED, Reason.UNSCHEDULABLE), "Unschedulable", id="its pods have no node"),
        pytest.param(status(Reason.STOPPED_AT_DEADLINE, Reason.STOPPED), "Late", id="it was stopped when it was late"),
        pytest.param(status(Reason.OPERATOR_ERROR, Reason.PODS_NOT_STARTING), "OperatorError", id="why it failed"),
    ],
)
def test_a_broken_promise_has_a_reason(late: JobStatus, reason: str) -> None:
    assert break_reason(late) == reason


@pytest.mark.parametrize(
    ("before", "refused", "reason"),
    [
        pytest.param(NEW, Reason.DEADLINE_TOO_EARLY, "DeadlineTooEarly", id="alone it can't be done"),
        pytest.param(NEW, Reason.PROMISED_TO_OTHERS, "PromisedToOthers", id="beside others it can't"),
        pytest.param(WAITS, Reason.PROMISED_TO_OTHERS, "PromisedToOthers", id="proved while it waited"),
        pytest.param(NEW, Reason.OVER_COST, "OverMaxCost", id="it costs more than it may"),
        pytest.param(WAITS, Reason.OVER_BUDGET, "OverBudget", id="more than its namespace's budget"),
        pytest.param(WAITS, Reason.DEADLINE_TOO_EARLY, "Waited", id="its latest start has passed"),
    ],
)
def test_a_refusal_is_counted_once_by_what_proves_it(before: JobStatus, refused: Reason, reason: str) -> None:
    after = status(refused, Reason.INFEASIBLE)
    assert counted(before, after, after) == [("refused", reason, 1)]


def test_workers_that_start_and_that_give_way_are_counted() -> None:
    first = status(plan=plan(devices=3))
    later = first.replace(replans=(replan("GaveWay", 3, 1, "1"), replan("WindowBegins", 1, 5, "2")))
    last = later.replace(replans=(*later.replans, replan("Ahead", 5, 4, "3")))
    assert counted(NEW, first, later, last, deadline_class="Relaxed") == [
        ("started", "Relaxed", 3),
        ("started", "Relaxed", 4),
        ("gave way", "Relaxed", 2),
    ]


def test_a_reservation_starts_no_workers() -> None:
    assert counted(NEW, status(plan=plan(revision=0)), deadline_class="Soft") == []


def test_a_job_has_waited_since_it_was_indexed_and_profiled() -> None:
    ready = [
        *status(Reason.INDEXED, at_us=NOW).conditions,
        *status(Reason.PROFILED, at_us=NOW + 20 * SECOND).conditions,
    ]
    waiting = JobStatus(conditions=tuple(ready), plan=plan(revision=0))
    begun = waiting.replace(plan=plan(), starts=format_time(NOW + 50 * SECOND))
    assert waited_s(waiting, begun) == 30
    assert waited_s(waiting, waiting) is None
    assert waited_s(begun, begun) is None
