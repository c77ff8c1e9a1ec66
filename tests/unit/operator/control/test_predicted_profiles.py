"""Jobs of an image size that was not measured: planned at once on a prediction, and corrected by their first steps."""

from dataclasses import replace

import pytest

from dueby_operator.jobs import names
from dueby_operator.profiling.class_profiles import keep_profiles
from dueby_planner.profiles.size_prediction import predict
from dueby_planner.schedule.request import Start, Stop
from dueby_planner.schedule.watch import decide_workers
from support.decisions import cluster, indexed, infj, job, look, look_at, node, pod_of, worker_job_of
from support.operator import NOW, SECOND, model, profile, worker
from support.operator import spec as job_spec
from support.profiling import L4, created, gpu_node, nodes

SMALL = {"name": "efficientnet_lite0", "imageSize": 192}
STORED = "nvidia-l4-efficientnet-lite0-192-fp32-openvino-predicted"


def test_a_job_of_another_image_size_is_planned_at_once_on_a_prediction() -> None:
    found = look(infj(status=indexed(), model=SMALL), profiles=(profile(L4),), nodes=nodes(gpu_node("a", L4)))
    assert found.said("Profiled") == ("True", "Predicted")
    assert f"It is predicted for {L4} from {L4}, at 224 px, with a standard error of 20%." in found.message("Profiled")
    plan = found.status.plan
    assert plan is not None
    assert [group.profile for group in plan.groups] == [STORED]
    assert any("is predicted from" in warning for warning in plan.warnings)
    assert not created(found)


def test_nothing_that_is_predicted_is_stored_however_many_sizes_are_asked_for() -> None:
    jobs = [
        job(
            infj(
                metadata={"name": f"job-{size}", "uid": f"u-{size}"},
                status=indexed(),
                model={**SMALL, "imageSize": size},
            )
        )
        for size in range(180, 200)
    ]
    (*_, last) = look_at(cluster(*jobs, profiles=(profile(L4),), nodes=nodes(gpu_node("a", L4))))
    assert last.decisions.new_profiles == ()
    assert [found.name for found in last.decisions.left.profiles] == [L4]


def test_a_job_goes_on_with_what_is_predicted_while_its_node_is_away_and_another_class_is_measured() -> None:
    there = nodes(gpu_node("a", L4))
    first = look(infj(status=indexed(), model=SMALL), profiles=(profile(L4),), nodes=there)
    (create,) = [write for write in first.created if write.job["spec"].get("completionMode")]
    smaller = profile().spec.model.replace(image_size=192)
    other = profile().replace(spec=profile().spec.replace(model=smaller))
    begun = job(
        infj(status=first.status.document(), model=SMALL),
        worker_jobs=[worker_job_of(create)],
        pods=[pod_of(create, node="a")],
        memory=first.memory,
    )
    for seen in (nodes(), there):
        found = look(begun, profiles=(profile(L4), other), nodes={**seen, "n": node()})
        assert found.decision.scheduled is not None
        assert {known.spec.device_class for known in found.decision.scheduled.profiles} == {L4, "cpu-1"}


@pytest.mark.parametrize("named", [[], ["cpu-1"]], ids=["not named", "named"])
def test_slices_are_predicted_for_as_they_are_planned_by_a_measured_profile(named: list[str]) -> None:
    found = look(infj(status=indexed(), model=SMALL, gpus={"classes": named}))
    assert found.status.plan is not None
    assert [group.device_class for group in found.status.plan.groups] == ["cpu-1"]
    other = look(infj(status=indexed(), model=SMALL, gpus={"classes": ["cpu-2"]}))
    assert other.status.plan is None


@pytest.mark.parametrize(
    ("size", "confidence"),
    [
        pytest.param(64, 0.95, id="none is near"),
        pytest.param(120, 0.99, id="the margin of one is too large for the confidence"),
    ],
)
def test_a_job_without_a_prediction_that_is_good_enough_is_measured_for(size: int, confidence: float) -> None:
    document = infj(status=indexed(), model={**SMALL, "imageSize": size}, confidence=confidence)
    found = look(document, profiles=(profile(L4),), nodes=nodes(gpu_node("a", L4)))
    assert len(created(found)) == 1
    assert found.decisions.new_profiles == ()


def test_what_earlier_operators_have_predicted_and_stored_is_deleted_and_what_others_wrote_is_left() -> None:
    predicted = predict(profile(L4), 192)
    assert predicted is not None
    stored = predicted.replace(metadata=predicted.metadata.replace(name=STORED, labels=names.MANAGED))
    kept = keep_profiles([stored, predicted])
    assert (kept.profiles, kept.new, kept.gone) == ((predicted,), (), (STORED,))


@pytest.mark.parametrize(
    ("factor", "action"),
    [
        pytest.param(2.0, Start, id="steps that take twice as long: help is added"),
        pytest.param(1.0, None, id="steps as predicted: nothing"),
        pytest.param(0.2, Stop, id="steps that take a fifth: one is given back"),
    ],
)
def test_a_plan_on_a_prediction_is_corrected_by_the_first_real_steps(factor: float, action: type | None) -> None:
    predicted = predict(profile(), 192)
    assert predicted is not None
    found = model(profiles=(predicted,), spec=job_spec(model=SMALL), deadline_us=NOW + 40 * SECOND)
    decision = decide_workers(found)
    start = decision.action
    assert isinstance(start, Start)
    seen_us = NOW + 5 * SECOND
    workers = tuple(
        worker(
            a.worker,
            first=a.share.first,
            end=a.share.end,
            created_us=NOW,
            step_us=round(a.choice.latency_us * factor),
            last_step_us=seen_us,
        )
        for a in start.assignments
    )
    running = model(
        profiles=(predicted,),
        spec=job_spec(model=SMALL),
        deadline_us=NOW + 40 * SECOND,
        promised_us=decision.expected_finish_us,
        now_us=seen_us,
        part_size=start.part_size,
        revision=1,
        workers=workers,
    )
    actions: list[object] = []
    for _ in range(2):  # one low reading may be chance
        after = decide_workers(running)
        actions += [after.action] if after.action else []
        running = replace(running, lag=after.lag)
    assert [type(found) for found in actions[:1]] == ([action] if action else [])
