"""`objective: MinCost` in a cluster of a fast dear class and a slow cheap one: what is started, said and refused.

An A100 does 160 images a second once it is warm, and an L4 80 for a third of the price or less.
"""

from typing import Any

import pytest

from dueby_api.gpu_profile import GPUProfile, Latency
from dueby_planner.model.cost import HOUR_US, Price, Tariff
from support.decisions import Look, cluster, indexed, infj, job, look, look_at
from support.operator import profile
from support.profiling import A100, L4, gpu_node, nodes

COIN = HOUR_US // 1_000_000
"""A price of a millionth in each second."""


def profiles() -> tuple[GPUProfile, ...]:
    """Return what both classes do."""
    both = []
    for device_class, factor in ((A100, 1), (L4, 2)):
        found = profile(device_class)
        steps = tuple(
            step.replace(latency_micros=Latency(mean=factor * step.latency_micros.mean)) for step in found.spec.steps
        )
        both.append(found.replace(spec=found.spec.replace(engine="cudagraph", steps=steps)))
    return tuple(both)


PRICES = Tariff(currency="EUR", prices={A100: Price(hourly=30 * COIN), L4: Price(hourly=10 * COIN)})


def asked(**spec: Any) -> Look:
    """Decide on a job of 10,000 images on idle devices."""
    fields = {"objective": "MinCost", "deadline": "100s"} | spec
    return look(infj(status=indexed(), **fields), **devices())


def devices(**more: Any) -> dict[str, Any]:
    """Return four devices of each class, with prices."""
    there = nodes(gpu_node("a", A100, gpus=4), gpu_node("b", L4, gpus=4))
    return {"profiles": profiles(), "nodes": there, "tariff": PRICES} | more


@pytest.mark.parametrize(
    ("spec", "classes"),
    [
        pytest.param({"objective": "MinGPUs"}, {A100: 1}, id="the fewest devices are dear"),
        pytest.param({}, {L4: 2}, id="the least cost"),
        pytest.param({"deadlineClass": "Hard"}, {L4: 2}, id="of a Hard job"),
        pytest.param({"deadlineClass": "BestEffort"}, {L4: 2}, id="of a BestEffort job"),
        pytest.param({"deadline": "30s"}, {A100: 1, L4: 4}, id="a tight deadline forces the dear ones"),
    ],
)
def test_a_job_starts_on_the_devices_that_its_objective_asks_for(spec: dict[str, Any], classes: dict[str, int]) -> None:
    found = asked(**spec)
    plan = found.status.plan
    assert plan is not None
    assert {group.device_class: group.count for group in plan.groups} == classes
    assert plan.objective == spec.get("objective", "MinCost")
    assert plan.cost is not None


def test_the_status_says_the_cost_its_bound_and_what_is_proved() -> None:
    plan = asked().status.plan
    assert plan is not None
    assert plan.cost is not None
    assert plan.cost.lower_bound == plan.cost.total
    assert plan.proof_sentence == "No GPUs of this pool that meet the deadline cost less."


def test_beside_others_the_cheapest_place_that_was_found_has_its_bound() -> None:
    hard = {"objective": "MinCost", "deadlineClass": "Hard", "images": 10_000}
    first, second = (
        job(infj(status=indexed(), metadata={"name": name, "uid": name}, deadline=f"{deadline_s}s", **hard))
        for name, deadline_s in (("first", 80), ("second", 150))
    )
    there = nodes(gpu_node("a", A100, gpus=1), gpu_node("b", L4, gpus=2))
    one, other = look_at(cluster(first, second, **devices(nodes=there)))
    assert one.status.plan is not None
    assert {group.device_class: group.count for group in one.status.plan.groups} == {L4: 2}
    plan = other.status.plan
    assert plan is not None
    assert {window.device_class for window in plan.windows} == {L4}
    assert plan.cost is not None
    assert plan.cost.lower_bound is not None
    assert 0 < plan.cost.lower_bound <= plan.cost.total
    assert "No GPUs that the job may use, whoever has them, are in time for less than" in plan.proof_sentence


@pytest.mark.parametrize(
    ("tariff", "sentence"),
    [
        pytest.param(None, "in a cluster as prices in the chart's values", id="without prices"),
        pytest.param(
            Tariff(currency="EUR", prices={L4: Price(hourly=1)}),
            f"a price of every device class that the job may use, and {A100} has none; add its price",
            id="without that of a class",
        ),
    ],
)
@pytest.mark.parametrize("deadline_class", ["Hard", "Soft", "Relaxed", "BestEffort"])
def test_without_the_price_of_a_class_a_job_is_refused_by_its_name(
    deadline_class: str, tariff: Tariff | None, sentence: str
) -> None:
    found = look(infj(status=indexed(), objective="MinCost", deadlineClass=deadline_class), **devices(tariff=tariff))
    assert found.said("Failed") == ("True", "InvalidJob")
    assert found.message("Failed").startswith("spec.objective: MinCost needs ")
    assert sentence in found.message("Failed")
    assert not found.created


def test_a_class_that_the_job_does_not_name_needs_no_price() -> None:
    prices = Tariff(currency="EUR", prices={L4: Price(hourly=1)})
    found = look(infj(status=indexed(), objective="MinCost", gpus={"classes": [L4]}), **devices(tariff=prices))
    assert found.created
