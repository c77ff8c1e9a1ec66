"""How often a job's status is written: a worker that comes and goes has a budget, plans and ends have none."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from dueby_api.status import Condition, JobStatus, PlanStatus, Replan
from dueby_operator.control.job_decision import JobDecision
from dueby_operator.model.actions import StopEverything
from dueby_operator.model.memory import NOTHING
from dueby_operator.status_writer import MAX_WRITES, REFILL_US, StatusWriter, StoredStatus, without_words
from support.api import served
from support.decisions import MADE, NOW, SECOND, infj, job

JOB = job(infj())
PASSES = 100
PLAN = PlanStatus(
    revision=1,
    gpus=1,
    lower_bound=1,
    proof="ClosedForm",
    confidence=0.95,
    probability=0.999,
    part_size=1,
    expected_finish=MADE,
    finish_at_confidence=MADE,
    slack="1s",
)


async def accept(request: web.Request) -> web.Response:
    return web.json_response({**json.loads(await request.read()), "metadata": {"resourceVersion": "2"}})


def status(number: int, **more: Any) -> JobStatus:
    """A status that says something else in each pass."""
    reason = "InTime" if number % 2 else "Late"
    on_track = Condition(type="OnTrack", status="True", reason=reason, message="", last_transition_time=MADE)
    return JobStatus(conditions=(on_track,), **more)


def writes(change: Any = lambda decision, number: decision) -> int:
    """How often the status is written in so many passes, one every two seconds."""

    async def go() -> int:
        count, stored = 0, StoredStatus(status=JobStatus(), version="1")
        async with served(accept) as kube:
            writer = StatusWriter(kube)
            for number in range(PASSES):
                decision = JobDecision(job=JOB, manifest=JOB.manifest, status=status(number), memory=NOTHING)
                after = await writer.write(change(decision, number), stored, now_us=NOW + 2 * number * SECOND)
                count += after is not stored
                stored = after
        return count

    return asyncio.run(go())


def test_a_job_that_flips_in_each_pass_is_written_within_its_budget() -> None:
    assert writes() <= MAX_WRITES + PASSES * 2 * SECOND // REFILL_US


def test_the_newest_status_is_written_once_the_job_is_quiet() -> None:
    async def go() -> StoredStatus:
        stored = StoredStatus(status=JobStatus(), version="1")
        async with served(accept) as kube:
            writer = StatusWriter(kube)
            for number in range(PASSES):
                found = status(min(number, PASSES // 2))
                decision = JobDecision(job=JOB, manifest=JOB.manifest, status=found, memory=NOTHING)
                stored = await writer.write(decision, stored, now_us=NOW + 2 * number * SECOND)
        return stored

    assert asyncio.run(go()).status == status(PASSES // 2)


def with_plan(decision: JobDecision, number: int) -> JobDecision:
    return replace(decision, status=decision.status.replace(plan=PLAN.replace(revision=number + 1)))


def with_action(decision: JobDecision, number: int) -> JobDecision:
    return replace(decision, actions=(StopEverything(),))


def with_replan(decision: JobDecision, number: int) -> JobDecision:
    replan = Replan(time=f"2026-11-26T12:00:{number % 60:02}Z", reason="WorkerLost", before=1, after=number)
    return replace(decision, status=decision.status.replace(replans=(replan,)))


def with_end(decision: JobDecision, number: int) -> JobDecision:
    failed = Condition(type="Failed", status="True", reason="IndexFailed", message="", last_transition_time=MADE)
    return replace(decision, status=decision.status.replace(conditions=(*decision.status.conditions, failed)))


@pytest.mark.parametrize("change", [with_plan, with_action, with_replan, with_end])
def test_what_others_depend_on_is_written_whatever_is_left_of_the_budget(change: Any) -> None:
    assert writes(change) == PASSES


def test_other_words_beside_the_same_reason_are_no_news_and_another_reason_is() -> None:
    def said(reason: str, message: str) -> JobStatus:
        found = Condition(type="Profiled", status="False", reason=reason, message=message, last_transition_time=MADE)
        return JobStatus(conditions=(found,), message=message)

    first = said("Profiling", "at most 50s left")
    assert without_words(first) == without_words(said("Profiling", "at most 40s left"))
    assert without_words(first) != without_words(said("NoProfile", "at most 50s left"))
