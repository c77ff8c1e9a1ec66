"""What a job's workers leave in the profiles that they were planned with."""

from dataclasses import replace
from typing import Any

import pytest

from dueby_api.gpu_profile import GPUProfile, ObservedJob, parse_profile
from dueby_operator.control.conditions import moment
from dueby_operator.control.world import World
from dueby_operator.control.writes import Create, Put
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_state import Seen
from dueby_operator.profiling.observations import note_job
from support.case import MADE, NOW, SECOND, crew_of, indexed, infj, look, pod_of, world
from support.operator import STEP_US, profile

DONE = [{"type": "Complete", "status": "True"}]
FINE = {"batches": 101, "stepMicrosMean": STEP_US * 1.1, "modelMicrosMean": STEP_US, "startupMicros": 2 * SECOND}


def managed(**labels: str) -> GPUProfile:
    """The class's profile, by default of the operator's making."""
    found = profile()
    return found.replace(metadata=found.metadata.replace(labels=labels or names.MANAGED))


def over(*answers: dict[str, Any] | None) -> Seen:
    """A job with so many workers, each of which said this last; None of one whose pod is gone."""
    case = look(infj(status=indexed(), deadline="20s"))
    (create,) = (write for write in case.writes if isinstance(write, Create))
    pods, progress = [], {}
    for index, answer in enumerate(answers):
        started = {"state": {"terminated": {"startedAt": moment(NOW + 3 * SECOND), "exitCode": 0}}}
        pod = pod_of(create, index, phase="Succeeded", containerStatuses=[started])
        if answer is not None:
            pods.append(pod)
            progress[pod["metadata"]["name"]] = answer
    return Seen(document=infj(), crews=[crew_of(create)], pods=pods, progress=progress, now_us=NOW)


def noted(seen: Seen, *profiles: GPUProfile) -> World:
    found = world(profiles=profiles or (managed(),))
    note_job(seen, found)
    return found


def rows(found: World) -> tuple[ObservedJob, ...]:
    return found.profiles[0].spec.observed


@pytest.mark.parametrize(
    ("answers", "workers", "steps", "ratio", "spread"),
    [
        pytest.param([FINE], 1, 100, 1.1, None, id="one worker"),
        pytest.param([FINE, FINE | {"stepMicrosMean": STEP_US}], 2, 200, 1.05, 0.0673, id="two that differ"),
        pytest.param([FINE, FINE | {"batches": 20}], 2, 100, 1.1, None, id="one of them with few steps"),
        pytest.param([FINE, FINE | {"stepMicrosMean": STEP_US * 2}], 2, 100, 1.1, None, id="one short of input"),
        pytest.param([FINE | {"stepMicrosMean": STEP_US * 2}], 1, 0, None, None, id="all short of input"),
        pytest.param([FINE, None], 1, 100, 1.1, None, id="one whose pod is gone"),
        pytest.param([FINE, {"batches": 0}], 1, 100, 1.1, None, id="one that has done nothing"),
    ],
)
def test_a_job_leaves_a_row_with_what_its_workers_steps_took(
    answers: list[dict[str, Any] | None], workers: int, steps: int, ratio: float | None, spread: float | None
) -> None:
    (row,) = rows(noted(over(*answers)))
    assert (row.job, row.workers, row.steps, row.step_ratio) == ("u-1", workers, steps, ratio)
    assert row.step_spread == (None if spread is None else pytest.approx(spread, abs=1e-4))


def test_a_start_up_is_from_the_pods_node_to_its_first_mini_batch() -> None:
    seen = over(FINE)
    assert rows(noted(seen))[0].startup_micros == (5 * SECOND,)
    placed = {"type": "PodScheduled", "status": "True", "lastTransitionTime": moment(NOW + SECOND)}
    seen.pods[0]["status"]["conditions"] = [placed]
    assert rows(noted(seen))[0].startup_micros == (4 * SECOND,)
    assert seen.pods[0]["metadata"]["creationTimestamp"] == MADE


def test_the_ratio_is_to_what_was_measured_not_to_what_was_planned() -> None:
    rows_before = [{"job": f"u{n}", "time": MADE, "workers": 1, "steps": 1000, "stepRatio": 1.1} for n in range(3)]
    document = managed().document()
    document["spec"]["observed"] = rows_before
    learned = parse_profile(document)
    case = look(infj(status=indexed(), deadline="20s"), profiles=(learned,))
    (create,) = (write for write in case.writes if isinstance(write, Create))
    (assignment, *_) = crew_of(create).assignments
    assert assignment.choice.latency_us == 110_000
    pod = pod_of(create, phase="Succeeded")
    seen = Seen(document=infj(), crews=[crew_of(create)], pods=[pod], progress={pod["metadata"]["name"]: FINE})
    assert rows(noted(seen, learned))[-1].step_ratio == 1.1


def test_it_is_written_once_and_with_the_rows_of_jobs_before() -> None:
    first = noted(over(FINE))
    (put,) = first.profile_writes
    assert isinstance(put, Put)
    assert parse_profile(put.document).spec == first.profiles[0].spec
    again = noted(over(FINE), *first.profiles)
    assert again.profile_writes == []
    document = infj()
    document["metadata"]["uid"] = "u-2"
    other = replace(over(FINE), document=document)
    assert [row.job for row in rows(noted(other, *first.profiles))] == ["u-1", "u-2"]


def test_a_job_is_noted_when_it_is_complete() -> None:
    seen = over(FINE, FINE)
    finish = {"metadata": {"name": "job-finish"}, "status": {"completionTime": moment(NOW), "conditions": DONE}}
    words = {"state": {"terminated": {"exitCode": 0, "message": '{"rows":10000,"errors":0}'}}}
    pod = {
        "metadata": {"name": "f", "labels": {names.JOB_OF_POD: "job-finish"}, "creationTimestamp": MADE},
        "status": {"phase": "Succeeded", "containerStatuses": [words]},
    }
    status = indexed(plan={"revision": 1, "partSize": 10_000}, deadlineTime=moment(NOW))
    complete = replace(
        seen,
        document=infj(status=status),
        steps={"finish": finish},
        pods=[*seen.pods, pod],
        parts_there=frozenset({0}),
    )
    case = look(complete.document, seen=complete, profiles=(managed(),))
    assert case.status()["phase"] == "Succeeded"
    assert [row.job for row in rows(case.world)] == ["u-1"]
    assert len(case.world.profile_writes) == 1


def test_a_job_that_its_deadline_has_stopped_is_noted_as_well() -> None:
    late = moment(NOW - SECOND)
    document = infj(status=indexed(plan={"revision": 1, "partSize": 10_000}), onDeadline="Stop", deadlineTime=late)
    del document["spec"]["deadline"]
    case = look(document, seen=replace(over(FINE, FINE), document=document), profiles=(managed(),))
    assert [said["reason"] for said in case.status()["conditions"] if said["type"] == "Failed"] == ["Stopped"]
    assert [row.job for row in rows(case.world)] == ["u-1"]


def test_a_profile_that_somebody_else_made_is_left_alone() -> None:
    assert noted(over(FINE), managed(team="a")).profile_writes == []
