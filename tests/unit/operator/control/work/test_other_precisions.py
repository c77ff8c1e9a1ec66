"""A plan in the cluster says at which other precisions fewer devices would do, and so does a refusal."""

from typing import Any

import pytest

from dueby_api.engines import Precision
from dueby_api.gpu_profile import GPUProfile, Latency
from support.decisions import Look, indexed, infj, look
from support.operator import profile
from support.profiling import L4, gpu_node, nodes

UNKNOWN = "how far its results are from fp32's was not measured (`dueby profile --photos`)"


def at(precision: Precision, step_us: int, device_class: str = L4) -> GPUProfile:
    """Return what was measured of a GPU at this precision: 16 images a step."""
    found = profile(device_class)
    steps = tuple(step.replace(latency_micros=Latency(mean=step_us)) for step in found.spec.steps)
    model = found.spec.model.replace(precision=precision)
    spec = found.spec.replace(engine="cudagraph", steps=steps, model=model)
    return found.replace(metadata=found.metadata.replace(name=f"{found.name}-{precision}".lower()), spec=spec)


def looked_at(*profiles: GPUProfile, **job: Any) -> Look:
    """Decide on a job at fp32 on four L4s, which do 160 images a second each."""
    there = nodes(gpu_node("n", L4))
    return look(infj(status=indexed(), **job), profiles=(at("fp32", 100_000), *profiles), nodes=there)


@pytest.mark.parametrize(
    ("profiles", "warnings"),
    [
        pytest.param([at("fp16", 30_000)], [f"at fp16, 1 GPU would be enough instead of 3; {UNKNOWN}"], id="fewer"),
        pytest.param([at("fp16", 100_000)], [], id="as many"),
        pytest.param([at("fp16", 30_000, "NVIDIA-A100")], [], id="a class that has no device"),
        pytest.param([], [], id="nothing is known"),
    ],
)
def test_a_plan_says_so_in_its_warnings(profiles: list[GPUProfile], warnings: list[str]) -> None:
    found = looked_at(*profiles, deadline="24s")
    assert found.said("Feasible") == ("True", "Planned")
    assert found.status.plan is not None
    assert [warning for warning in found.status.plan.warnings if warning.startswith("at ")] == warnings


def test_a_refusal_says_so_in_its_message() -> None:
    found = looked_at(at("fp16", 30_000), deadline="12s", deadlineClass="Hard")
    assert found.said("Feasible") == ("False", "DeadlineTooEarly")
    assert found.message("Feasible").endswith(f". At fp16, 2 GPUs would be enough; {UNKNOWN}.")
