"""Of a class's engines, those count that the workers' image was measured with."""

from typing import Any

import pytest

from dueby_api.gpu_profile import GPUProfile, Latency
from dueby_operator.profiling.provenance import IMAGE_NAME
from support.decisions import SETTINGS, indexed, infj, job, look, pod_of, worker_job_of
from support.operator import STEP_US, profile

BEFORE, NOW = "dueby/worker:0", SETTINGS.image


def measured(engine: str, step_us: int, image: str | None) -> GPUProfile:
    """The class's profile with an engine, as it was measured with an image; None if it was by hand."""
    found = profile()
    (step,) = found.spec.steps
    spec = found.spec.replace(
        engine=engine,
        software={IMAGE_NAME: image} if image else {},
        steps=(step.replace(latency_micros=Latency(mean=step_us)),),
    )
    return found.replace(metadata=found.metadata.replace(name=engine), spec=spec)


@pytest.mark.parametrize(
    ("image", "model", "engine"),
    [
        pytest.param(BEFORE, {}, "eager", id="what the image of before was fast with is left out"),
        pytest.param(NOW, {}, "openvino", id="of two that were measured with this image the faster one"),
        pytest.param(None, {}, "openvino", id="what was measured by hand stands"),
        pytest.param(BEFORE, {"engine": "openvino"}, "openvino", id="who names an engine gets it"),
    ],
)
def test_auto_is_planned_with_the_engine_that_the_image_was_measured_with(
    image: str | None, model: dict[str, Any], engine: str
) -> None:
    profiles = measured("openvino", STEP_US // 2, image), measured("eager", STEP_US, NOW)
    document = infj(status=indexed(), deadline="20s", model={"name": "efficientnet_lite0", **model})
    plan = look(document, profiles=profiles).status.plan
    assert plan is not None
    assert {group.engine for group in plan.groups} == {engine}


def test_without_one_of_this_image_the_one_of_before_is_planned_with() -> None:
    found = look(infj(status=indexed(), deadline="20s"), profiles=[measured("openvino", STEP_US, BEFORE)])
    assert found.status.plan is not None


def test_workers_of_a_former_engine_go_on() -> None:
    before = measured("openvino", STEP_US, BEFORE)
    document = infj(status=indexed(), deadline="20s")
    first = look(document, profiles=[before])
    (create,) = first.created
    pods = [pod_of(create, index) for index in range(create.job["spec"]["completions"])]
    document["status"] = first.status.document()
    seen = job(document, worker_jobs=[worker_job_of(create)], pods=pods)
    found = look(seen, profiles=[before, measured("eager", STEP_US, NOW)])
    assert (found.decision.fault, found.decision.actions) == (None, ())
