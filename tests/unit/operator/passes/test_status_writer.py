"""How often a job's status is written: a worker that comes and goes has a budget, plans and ends have none."""

import asyncio
import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from dueby_api.status import Condition, JobStatus, Replan
from dueby_operator.control.job_decision import JobDecision
from dueby_operator.kube.client import Conflict, Missing
from dueby_operator.model.actions import StopEverything
from dueby_operator.model.job_snapshot import NOTHING
from dueby_operator.passes.status_writer import MAX_WRITES, REFILL_US, JobStatusWriter, StoredStatus, without_words
from support.api import served
from support.decisions import MADE, NOW, SECOND, infj, job
from support.operator import plan_status

JOB = job(infj())
PASSES = 100
PLAN = plan_status(MADE)


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
            writer = JobStatusWriter(kube)
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
            writer = JobStatusWriter(kube)
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


class EditedJob:
    """A job that somebody changes whenever its status is about to be written, so many times."""

    def __init__(self, *, times: int, of_spec: bool) -> None:
        self.times, self.of_spec = times, of_spec
        self.version, self.generation = 1, JOB.generation
        self.status: dict[str, Any] = {}

    async def answer(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            assert request.query["fieldSelector"] == f"metadata.name={JOB.name}"
            item = {"metadata": self._identity(), "status": self.status}
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": [item]})
        if self.times:
            self.times -= 1
            self.version += 1
            self.generation += self.of_spec
        if json.loads(await request.read())["metadata"]["resourceVersion"] != str(self.version):
            return web.json_response({"message": "the object has been modified"}, status=409)
        self.version += 1
        return web.json_response({"metadata": self._identity()})

    def _identity(self) -> dict[str, Any]:
        identity = {"name": JOB.name, "namespace": JOB.namespace, "uid": JOB.uid}
        return {**identity, "resourceVersion": str(self.version), "generation": self.generation}


def passes_until_written(edited: EditedJob) -> int:
    """How many passes it takes until the status is there; a pass reads the job before it decides."""

    async def go() -> int:
        async with served(edited.answer) as kube:
            writer = JobStatusWriter(kube)
            for number in range(1, PASSES):
                read = replace(JOB, generation=edited.generation)
                decision = JobDecision(job=read, manifest=JOB.manifest, status=status(number), memory=NOTHING)
                stored = StoredStatus(status=JobStatus(), version=str(edited.version))
                with suppress(Conflict):
                    await writer.write(decision, stored, now_us=NOW + number * 60 * SECOND)
                    return number
        return PASSES

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("edited", "passes"),
    [
        pytest.param(EditedJob(times=0, of_spec=False), 1, id="nobody edits it"),
        pytest.param(EditedJob(times=3, of_spec=False), 1, id="its labels change"),
        pytest.param(EditedJob(times=1, of_spec=True), 2, id="it is edited once, and decided on again"),
        pytest.param(EditedJob(times=5, of_spec=True), 4, id="it is edited all the time"),
    ],
)
def test_a_job_that_is_edited_while_it_is_decided_on_is_started_after_some_passes(
    edited: EditedJob, passes: int
) -> None:
    assert passes_until_written(edited) == passes


def test_a_status_that_another_operator_has_written_is_not_written_over() -> None:
    edited = EditedJob(times=1, of_spec=False)
    edited.status = {"images": 60}

    async def go() -> None:
        async with served(edited.answer) as kube:
            decision = JobDecision(job=JOB, manifest=JOB.manifest, status=status(1), memory=NOTHING)
            with pytest.raises(Conflict, match="somebody else has written"):
                await JobStatusWriter(kube).write(decision, StoredStatus(status=JobStatus(), version="1"), now_us=NOW)

    asyncio.run(go())


def test_the_status_of_a_job_that_was_made_again_meanwhile_is_not_written() -> None:
    edited = EditedJob(times=1, of_spec=False)

    async def go() -> None:
        async with served(edited.answer) as kube:
            before = replace(JOB, uid="before")
            decision = JobDecision(job=before, manifest=JOB.manifest, status=status(1), memory=NOTHING)
            with pytest.raises(Missing, match="is gone"):
                await JobStatusWriter(kube).write(decision, StoredStatus(status=JobStatus(), version="1"), now_us=NOW)

    asyncio.run(go())
