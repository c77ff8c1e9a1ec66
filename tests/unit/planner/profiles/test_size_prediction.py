"""Predicted profiles of image sizes that were not measured."""

from typing import Any

import pytest

from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import Model
from dueby_planner.profiles.class_profiles import class_profiles
from dueby_planner.profiles.pool import build_pool
from dueby_planner.profiles.size_prediction import error_at, latency_of_images, predict, predictions
from support.planner import A100, job, profile, step_document

MODEL = {"name": "efficientnet_b0", "imageSize": 224, "precision": "fp32"}
# A step of 4 images takes as long as one of 8, and one of 32 four times as long as that: launches, then images.
STEPS = [step_document(4, 1000, 5000), step_document(8, 1000, 5000), step_document(32, 4000, 9000)]


def source(image_size: int = 224, **spec: Any) -> GPUProfile:
    return profile(**{"name": f"at-{image_size}", "steps": STEPS, "model": {**MODEL, "imageSize": image_size}, **spec})


def wanted(image_size: int = 448, **fields: Any) -> Model:
    return Model(image_size=image_size, **fields)


def times(found: GPUProfile | None) -> dict[int, tuple[int, int]]:
    """Return L, and W at p95, by mini-batch size."""
    assert found is not None
    steps = found.spec.steps
    return {s.mini_batch_size: (s.latency_micros.mean, s.warmup_micros.p95) for s in steps if s.warmup_micros}


# ---- one profile from another


@pytest.mark.parametrize(
    ("images", "latency"),
    [
        pytest.param(8, 1000, id="a measured size"),
        pytest.param(16, 2000, id="between two, in a straight line of logarithms"),
        pytest.param(64, 8000, id="beyond the largest, in proportion"),
        pytest.param(1, 1000, id="below the least, as it begins"),
    ],
)
def test_what_a_step_costs_is_how_many_images_are_in_it(images: float, latency: int) -> None:
    assert latency_of_images([(4, 1000), (8, 1000), (32, 4000)])(images) == latency


@pytest.mark.parametrize(
    ("points", "images", "latency"),
    [
        pytest.param([(8, 1000)], 4, 500, id="one size alone: in proportion below it"),
        pytest.param([(8, 1000)], 16, 2000, id="and above it"),
        pytest.param([(4, 1000), (8, 900)], 2, 1000, id="fewer images never take longer"),
        pytest.param([(4, 1000), (8, 4000)], 2, 500, id="nor less than their share"),
    ],
)
def test_a_curve_of_few_points_stays_between_flat_and_proportional(
    points: list[tuple[int, int]], images: float, latency: int
) -> None:
    assert latency_of_images(points)(images) == latency


def test_images_with_four_times_the_pixels_cost_what_four_do_and_fewer_fit() -> None:
    found = predict(source(maxMiniBatchSize=40), 448)
    assert times(found) == {4: (2000, 6000), 8: (4000, 8000), 10: (5000, 10_000)}
    assert found is not None
    assert found.spec.max_mini_batch_size == 10


def test_of_smaller_images_no_more_fit_and_the_warm_up_stays() -> None:
    found = predict(source(), 112)
    assert times(found) == {4: (1000, 5000), 8: (1000, 5000), 32: (1000, 9000)}


def test_memory_grows_with_the_pixels_and_never_shrinks() -> None:
    steps = [{**step_document(8, 1000, 5000), "memoryMiB": 300}]
    larger, smaller = (predict(source(steps=steps, maxMiniBatchSize=64), size) for size in (317, 158))
    assert [found and found.spec.steps[0].memory_mib for found in (larger, smaller)] == [601, 300]


def test_the_error_is_margin_and_the_profile_says_what_it_was_predicted_from() -> None:
    found = predict(source(spread={"run": 0.05}), 256)
    assert found is not None
    error = error_at((256 / 224) ** 2)
    assert error
    assert found.spec.spread.run == pytest.approx((0.05**2 + error**2) ** 0.5, abs=1e-4)
    assert found.name == "predicted-at-256-px-from-at-224"
    spec = job(images=1000, model={"imageSize": 256}).spec
    warnings = build_pool(spec, [found], {A100: 4}).warnings
    assert any("is predicted from at-224, at 224 px, and was not measured" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("ratio", "is_near"),
    [(1.3, True), (4.0, True), (0.25, True), (4.5, False), (0.2, False)],
    ids=["near", "four times the pixels", "a quarter of them", "more than that", "less than that"],
)
def test_what_is_too_far_is_not_predicted(ratio: float, is_near: bool) -> None:
    assert (error_at(ratio) is not None) is is_near
    assert (predict(source(), round(224 * ratio**0.5)) is not None) is is_near


def test_nothing_is_predicted_where_no_mini_batch_would_fit() -> None:
    assert predict(source(steps=[step_document(3, 1000, 5000)]), 448) is None
    assert times(predict(source(steps=[step_document(8, 1000, 5000)]), 448)) == {2: (1000, 5000)}


# ---- from which profile


@pytest.mark.parametrize(
    ("profiles", "name"),
    [
        pytest.param([source(224), source(320)], "at-320", id="the nearest in pixels"),
        pytest.param([source(448)], None, id="none where there is one of this size"),
        pytest.param([source(96)], None, id="none that is too far"),
        pytest.param([source(model={**MODEL, "name": "resnet50"})], None, id="none of another model"),
        pytest.param([source(model={**MODEL, "precision": "fp16"})], None, id="none of another precision"),
        pytest.param(
            [source(predicted={"profile": "x", "imageSize": 160, "error": 0.1})], None, id="none that was predicted"
        ),
    ],
)
def test_the_nearest_measured_size_is_the_source(profiles: list[GPUProfile], name: str | None) -> None:
    found = predictions(profiles, wanted())
    assert [p.spec.predicted and p.spec.predicted.profile for p in found] == ([name] if name else [])


def test_each_engine_and_each_node_is_a_source_of_its_own() -> None:
    on = [source(name=f"n{i}", device={"node": f"n{i}"}) for i in range(2)]
    other = source(320, engine="cuda")
    found = predictions([*on, other], wanted())
    assert sorted(p.spec.predicted.profile for p in found if p.spec.predicted) == ["at-320", "n0", "n1"]
    assert len(class_profiles(found)[A100]) == 2
    assert len(predictions([*on, other], wanted(engine="cuda"))) == 1


def test_what_was_measured_goes_before_what_was_predicted() -> None:
    measured, predicted = source(448, name="measured"), predict(source(), 448)
    assert predicted is not None
    assert class_profiles([predicted, measured])[A100] == (measured,)
