"""What a job's workers leave in the profiles that they were planned with."""

from dataclasses import replace
from typing import Any

import pytest

from dueby_api.gpu_profile import GPUProfile, ObservedJob, parse_profile
from dueby_api.parts import all_parts
from dueby_api.status import ProfileStatus
from dueby_api.units import format_time
from dueby_operator.jobs import names
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.meta import StatusCondition
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import Pod
from dueby_operator.profiling.observations import observed_profiles
from dueby_planner.profiles.observed import learn
from support.decisions import MADE, NOW, SECOND, Look, indexed, infj, job, look, pod_of, worker_job_of
from support.operator import STEP_US, profile

Document = dict[str, Any]
DONE = [{"type": "Complete", "status": "True"}]
FINE = {
    "batches": 101,
    "stepMicrosMean": round(STEP_US * 1.1),
    "modelMicrosMean": STEP_US,
    "startupMicros": 2 * SECOND,
}
ALL_PARTS = all_parts(10_000)


def managed(**labels: str) -> GPUProfile:
    """The class's profile, by default one that the operator has made."""
    found = profile()
    return found.replace(metadata=found.metadata.replace(labels=labels or names.MANAGED))


def planned() -> Look:
    """A job whose plan was just made."""
    return look(infj(status=indexed(), deadline="20s"))


def over(*answers: Document | None, document: Document | None = None, **status: Any) -> JobSnapshot:
    """A job with so many workers, each of which has reported this last; None for one whose pod is gone."""
    (create,) = planned().created
    pods, progress = [], {}
    for index, answer in enumerate(answers):
        started = {
            "name": "dueby",
            "state": {"terminated": {"startedAt": format_time(NOW + 3 * SECOND), "exitCode": 0}},
        }
        pod = pod_of(create, index, phase="Succeeded", containerStatuses=[started], **status)
        if answer is not None:
            pods.append(pod)
            progress[pod["metadata"]["name"]] = answer
    return job(document or infj(), worker_jobs=[worker_job_of(create)], pods=pods, progress=progress)


def observed(seen: JobSnapshot, *profiles: GPUProfile) -> list[GPUProfile]:
    """The profiles that are to be written, by default of the operator's only one."""
    return observed_profiles(seen, profiles or (managed(),), now_us=NOW)


def rows(profiles: list[GPUProfile]) -> tuple[ObservedJob, ...]:
    """The rows of the only profile."""
    (found,) = profiles
    return found.spec.observed


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
    answers: list[Document | None], workers: int, steps: int, ratio: float | None, spread: float | None
) -> None:
    (row,) = rows(observed(over(*answers)))
    assert (row.job, row.workers, row.steps, row.step_ratio) == ("u-1", workers, steps, ratio)
    assert row.step_spread == (None if spread is None else pytest.approx(spread, abs=1e-4))


def test_a_start_up_is_from_the_pods_scheduling_to_its_first_mini_batch() -> None:
    seen = over(FINE)
    assert seen.pods[0].metadata.creation_timestamp == MADE
    assert rows(observed(seen))[0].startup_micros == (5 * SECOND,)
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": format_time(NOW + SECOND)}
    seen = over(FINE, conditions=[scheduled])
    assert rows(observed(seen))[0].startup_micros == (4 * SECOND,)
    assert seen.pods[0].metadata.creation_timestamp == MADE


PARTS = {"import": 500_000, "load": 1_200_000, "images": 300_000}


@pytest.mark.parametrize(
    ("answers", "parts"),
    [
        pytest.param(
            [FINE | {"startParts": PARTS, "warmupMicros": 90_000}],
            {"schedule": SECOND, "pull": 2 * SECOND, **PARTS, "firstBatch": 90_000},
            id="what the pod shows, then what the worker reports",
        ),
        pytest.param([FINE], {"schedule": SECOND, "pull": 2 * SECOND}, id="a worker that reports none"),
        pytest.param(
            [FINE | {"startParts": PARTS}, FINE | {"startParts": PARTS | {"load": 2_000_000}}],
            {"schedule": SECOND, "pull": 2 * SECOND, **PARTS, "load": 1_600_000},
            id="the mean of two workers",
        ),
        pytest.param(
            [FINE | {"startParts": {"pull": 7, "schedule": 7, "lunch": 7}}],
            {"schedule": SECOND, "pull": 2 * SECOND},
            id="parts that a worker can't know",
        ),
        pytest.param(
            [FINE | {"startParts": {"load": 3600 * SECOND}}], {}, id="parts that are longer than the pod has existed"
        ),
    ],
)
def test_what_start_ups_consisted_of_is_noted(answers: list[Document | None], parts: dict[str, int]) -> None:
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": format_time(NOW + SECOND)}
    assert rows(observed(over(*answers, conditions=[scheduled])))[0].start_parts == (parts or None)


def test_the_ratio_is_to_what_was_measured_not_to_what_was_planned() -> None:
    rows_before = [{"job": f"u{n}", "time": MADE, "workers": 1, "steps": 1000, "stepRatio": 1.1} for n in range(3)]
    document = managed().document()
    document["spec"]["observed"] = rows_before
    learned = parse_profile(document)
    (create,) = look(infj(status=indexed(), deadline="20s"), profiles=(learned,)).created
    worker_job = worker_job_of(create)
    assert worker_job.assignments[0].choice.latency_us == 110_000
    pod = pod_of(create, phase="Succeeded")
    seen = job(infj(), worker_jobs=[worker_job], pods=[pod], progress={pod["metadata"]["name"]: FINE})
    assert rows(observed(seen, learned))[-1].step_ratio == 1.1


def test_it_is_written_once_and_with_the_rows_of_jobs_before() -> None:
    first = observed(over(FINE))
    (found,) = first
    assert parse_profile(found.document()) == found
    assert [row.job for row in rows(first)] == ["u-1"]
    assert observed(over(FINE), *first) == []
    other = over(FINE, document=infj(metadata={"uid": "u-2"}))
    assert [row.job for row in rows(observed(other, *first))] == ["u-1", "u-2"]


@pytest.mark.parametrize("step_us", [1, STEP_US * 1000], ids=["next to no time", "a thousand times as long"])
def test_what_a_worker_cannot_mean_still_makes_a_profile_that_can_be_written(step_us: int) -> None:
    (found,) = observed(over(FINE | {"batches": 21, "stepMicrosMean": step_us, "modelMicrosMean": step_us}))
    assert parse_profile(found.document()) == found


def test_the_profile_keeps_its_status() -> None:
    status = ProfileStatus(images_per_second=160)
    (found,) = observed(over(FINE), managed().replace(status=status))
    assert found.status == status


def test_a_job_is_observed_when_it_is_complete() -> None:
    step = {
        "metadata": {"name": "job-finish"},
        "status": {"completionTime": format_time(NOW), "conditions": DONE},
    }
    words = {"name": "dueby", "state": {"terminated": {"exitCode": 0, "message": '{"rows":10000,"errors":0}'}}}
    pod = {
        "metadata": {"name": "f", "labels": {names.JOB_OF_POD: "job-finish"}, "creationTimestamp": MADE},
        "status": {"phase": "Succeeded", "containerStatuses": [words]},
    }
    seen = over(FINE, FINE, document=infj(status=planned().status.document(), deadline="20s"))
    complete = replace(
        seen,
        steps={"finish": parse(BatchJob, step)},
        pods=[*seen.pods, parse(Pod, pod)],
        parts_there=ALL_PARTS,
    )
    found = look(complete, profiles=(managed(),))
    assert found.status.phase == "Succeeded"
    (written,) = found.decisions.new_profiles
    assert [row.job for row in rows([written])] == ["u-1"]
    assert found.decisions.left.profiles == (written,)


def test_a_job_that_its_deadline_has_stopped_is_observed_as_well() -> None:
    status = planned().status.document()
    document = infj(status=status, onDeadline="Stop", deadlineTime=format_time(NOW - SECOND))
    del document["spec"]["deadline"]
    found = look(over(FINE, FINE, document=document), profiles=(managed(),))
    assert found.said("Failed") == ("True", "Stopped")
    assert [row.job for row in rows(list(found.decisions.new_profiles))] == ["u-1"]
    assert found.decisions.left.profiles == found.decisions.new_profiles


def test_a_profile_that_somebody_else_made_is_left_alone() -> None:
    assert observed(over(FINE), managed(team="a")) == []


@pytest.mark.parametrize(
    ("spec", "counts"),
    [
        pytest.param({"worker": {"envFrom": [{"secretRef": {"name": "keys"}}]}}, True, id="credentials change no time"),
        pytest.param({"worker": {"image": "mine:1"}}, False, id="an image of its own"),
        pytest.param({"model": {"name": "onnx/a", "weights": "/a.onnx"}}, False, id="a network that only it has"),
        pytest.param(
            {"worker": {"env": [{"name": "OMP_NUM_THREADS", "value": "1"}]}}, False, id="variables of its own"
        ),
        pytest.param({"output": {"kind": "Embedding"}}, True, id="an embedding leaves out one layer"),
        pytest.param({"output": {"kind": "Embedding", "layer": "layer2"}}, False, id="a network that ends early"),
    ],
)
def test_a_job_shows_how_fast_the_operators_workers_are_and_no_others(spec: Document, counts: bool) -> None:
    assert bool(observed(over(FINE, document=infj(**spec)))) is counts


def test_a_row_says_whose_it_is() -> None:
    assert rows(observed(over(FINE)))[0].namespace == "team"


def test_what_takes_more_time_than_has_passed_is_not_believed() -> None:
    lie = FINE | {"stepMicrosMean": STEP_US * 11, "modelMicrosMean": STEP_US * 11, "startupMicros": 3600 * SECOND}
    (row,) = rows(observed(over(lie)))
    assert (row.step_ratio, row.startup_micros) == (None, ())
    (row,) = rows(observed_profiles(over(lie), [managed()], now_us=NOW + 2 * 3600 * SECOND))
    assert (row.step_ratio, len(row.startup_micros)) == (1.1, 1)


def test_one_job_that_was_slow_for_a_reason_of_its_own_is_no_obstacle_to_the_next_ones() -> None:
    known = [
        {"job": f"u{n}", "namespace": "team", "time": MADE, "workers": 1, "steps": 1000, "stepRatio": 1.0 + n / 100}
        for n in range(9)
    ]
    theirs = [{**row, "job": f"t{n}", "namespace": "other", "stepRatio": 5.0} for n, row in enumerate(known)]
    document = managed().document()
    document["spec"]["observed"] = [*known, *theirs]
    noisy = FINE | {"stepMicrosMean": STEP_US * 8, "modelMicrosMean": STEP_US * 8}
    (found,) = observed_profiles(over(noisy), [parse_profile(document)], now_us=NOW + 3600 * SECOND)
    learned = learn(found.spec, namespace="team")
    assert learned.ratio == pytest.approx(1.04 * 1.1, abs=1e-3)
    assert (learned.spec.spread.run or 0) < 0.5


def test_a_row_from_the_future_goes() -> None:
    before = managed().document()
    ahead = {"job": "u0", "time": format_time(NOW + SECOND), "workers": 1}
    before["spec"]["observed"] = [ahead, ahead | {"job": "u9", "time": format_time(NOW - SECOND)}]
    assert [row.job for row in rows(observed(over(FINE), parse_profile(before)))] == ["u9", "u-1"]


def waiting(*waits_s: int, pool: str = "burst", nodes: str = "ab") -> JobSnapshot:
    """A job whose workers have waited so long for their nodes."""
    scheduled = [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": format_time(NOW + wait_s * SECOND)}
        for wait_s in waits_s
    ]
    seen = over(*[FINE] * len(waits_s))
    (worker_job,) = seen.worker_jobs
    assignments = tuple(replace(each, pool=pool) for each in worker_job.assignments)
    pods = [
        pod.replace(
            spec=pod.spec.replace(node_name=name),
            status=pod.status.replace(conditions=tuple(parse(StatusCondition, each) for each in [condition])),
        )
        for pod, name, condition in zip(seen.pods, nodes, scheduled, strict=False)
    ]
    return replace(seen, pods=tuple(pods), worker_jobs=(replace(worker_job, assignments=assignments),))


def made_later(seen: JobSnapshot, **annotations: str) -> JobSnapshot:
    """The job with pods that were made after 45 s, of a Job with these annotations besides."""
    (worker_job,) = seen.worker_jobs
    metadata = worker_job.job.metadata
    metadata = metadata.replace(annotations={**metadata.annotations, **annotations})
    made = format_time(NOW + 45 * SECOND)
    return replace(
        seen,
        worker_jobs=(replace(worker_job, job=worker_job.job.replace(metadata=metadata)),),
        pods=tuple(pod.replace(metadata=pod.metadata.replace(creation_timestamp=made)) for pod in seen.pods),
    )


@pytest.mark.parametrize(
    ("seen", "ready_s", "times_s"),
    [
        pytest.param(waiting(50, 70), 40, {"burst": (50, 70)}, id="each node as long as its worker has waited"),
        pytest.param(waiting(50, 44, nodes="aa"), 40, {"burst": (50,)}, id="once for a node with two workers"),
        pytest.param(waiting(50), 52, {"burst": (50,)}, id="a node whose clock is ahead"),
        pytest.param(waiting(1), 0, {}, id="a node that was ready before"),
        pytest.param(waiting(50), None, {}, id="a node that is gone"),
        pytest.param(made_later(waiting(50)), 40, {}, id="a node that was ready before the pod"),
        pytest.param(
            made_later(waiting(50), **{names.BUFFER: names.CAME}),
            40,
            {"burst": (50,)},
            id="one that was asked for before the pod",
        ),
        pytest.param(waiting(50, pool=""), 40, {}, id="workers that asked no pool"),
    ],
)
def test_how_long_the_nodes_of_a_pool_took_that_workers_waited_for_is_noted(
    seen: JobSnapshot, ready_s: int | None, times_s: dict[str, tuple[int, ...]]
) -> None:
    ready_us = None if ready_s is None else NOW + ready_s * SECOND
    (row,) = rows(observed_profiles(seen, (managed(),), ready_us=lambda node: ready_us, now_us=NOW + 100 * SECOND))
    assert row.provision_micros == {name: tuple(s * SECOND for s in times) for name, times in times_s.items()}


def test_the_wait_for_a_node_is_told_apart_from_that_for_its_devices() -> None:
    seen = waiting(50)
    (row,) = rows(
        observed_profiles(seen, (managed(),), ready_us=lambda node: NOW + 40 * SECOND, now_us=NOW + 100 * SECOND)
    )
    assert row.start_parts is not None
    assert {name: row.start_parts[name] for name in ("node", "schedule")} == {
        "node": 40 * SECOND,
        "schedule": 10 * SECOND,
    }
