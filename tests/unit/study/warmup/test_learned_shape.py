"""W between a profile's sizes: how the shape is anchored, when nothing is predicted, and what plans make of it."""

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dueby_api.gpu_profile import GPUProfile
from dueby_planner.profiles.interpolation import times_of, warmup_of
from dueby_profiler.monitor.warmup_rows import ModelWeight
from dueby_study.warmup.__main__ import main
from dueby_study.warmup.collecting.rows import write_warmups
from dueby_study.warmup.predicting.anchoring import anchored, next_larger, straight
from dueby_study.warmup.predicting.learned_shape import LearnedShape, learn_shape
from support.planner import profile
from support.source_tree import REPOSITORY
from support.warmups import MODELS, a_row, a_table, some_rows, true_us

PROFILES = REPOSITORY / "docs" / "profiles"


def test_an_anchored_shape_passes_through_what_was_measured_and_keeps_its_form_between() -> None:
    def shape(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.log(10.0 + sizes)

    measured = {1: np.log(22.0), 8: np.log(36.0), 64: np.log(148.0)}  # twice the shape
    guess = anchored(shape, measured)
    assert np.exp(guess(np.array([1.0, 4.0, 8.0, 20.0, 64.0]))) == pytest.approx([22, 28, 36, 60, 148])
    assert np.exp(straight(measured)(np.array([1.0, 4.5, 64.0]))) == pytest.approx([22, 29, 148])
    assert np.exp(next_larger(measured)(np.array([1.0, 2.0, 8.0, 9.0]))) == pytest.approx([22, 36, 36, 148])


@pytest.fixture(scope="module")
def shape() -> LearnedShape:
    return learn_shape(
        a_table([row for row in some_rows() if row["device_class"] == "cpu-1" or row["image_size"] == 128])
    )


def a_profile(device_class: str = "cpu-1", engine: str = "openvino", sizes: Sequence[int] = (1, 8, 32)) -> GPUProfile:
    """Return a profile of the builder's middle model; W was measured, without noise, at these sizes."""
    threads = int(device_class.removeprefix("cpu-"))
    seen = engine if engine in ("eager", "openvino") else "eager"
    row = a_row(np.random.default_rng(0), engine=seen, threads=threads, cpu_busy_cores=1.0)
    warm = {size: ceil(true_us(row | {"mini_batch_size": size})) for size in sizes}
    steps = [
        {
            "miniBatchSize": size,
            "latencyMicros": {"mean": 8000 * size},
            **({"warmupMicros": {"p50": warm[size], "p95": 2 * warm[size]}} if size in warm else {}),
        }
        for size in (1, 2, 4, 8, 16, 32)
    ]
    return profile(device_class=device_class, engine=engine, device={"threads": threads}, steps=steps)


def test_a_profile_gets_w_between_its_sizes_with_the_upper_quantile_of_unseen_rows(shape: LearnedShape) -> None:
    parameters, flops = MODELS["middle"]
    weight = ModelWeight(parameters=parameters, model_bytes=4 * parameters + 1000, image_flops=int(flops))
    added, sentence = shape.add_to(a_profile(), weight)
    assert sentence.startswith("cpu-1: W between the measured sizes is predicted ")
    model = added.spec.warmup_model
    assert model
    assert model.rows == 72
    assert 0 < model.error < 0.4
    predicted = {row.mini_batch_size: row.warmup_micros for row in model.predictions}
    assert set(predicted) == {3, 5, 6, 7, *range(9, 16), *range(18, 32, 2)}
    row = a_row(np.random.default_rng(0), engine="openvino", cpu_busy_cores=1.0)
    for size, found in predicted.items():
        assert found.p50 == pytest.approx(true_us(row | {"mini_batch_size": size}), rel=0.4)
        larger = warmup_of(added.spec, size).p95
        assert found.p95 == pytest.approx(min(larger, shape.upper["cpu-1"] * found.p50), rel=1e-3)
    assert any(found.p95 < warmup_of(added.spec, size).p95 for size, found in predicted.items())


@pytest.mark.parametrize(
    ("given", "doubt"),
    [
        pytest.param(
            {"device_class": "cpu-4"},
            "0 rows of this class lie between measured sizes, and 19 are needed",
            id="other class",
        ),
        pytest.param(
            {"device_class": "cpu-2"},
            "18 rows of this class lie between measured sizes, and 19 are needed",
            id="few rows",
        ),
        pytest.param({"engine": "compile"}, "no row was measured with compile", id="an engine that was not measured"),
        pytest.param({"sizes": (32,)}, "W was measured at too few sizes", id="one size"),
    ],
)
def test_a_profile_about_which_too_little_is_known_is_unchanged(
    shape: LearnedShape, given: dict[str, Any], doubt: str
) -> None:
    before = a_profile(**given)
    after, sentence = shape.add_to(before, ModelWeight(parameters=1, model_bytes=4, image_flops=1))
    assert after == before
    assert sentence == f"{before.spec.device_class}: W between the measured sizes is not predicted: {doubt}."


def test_plans_take_it_only_for_sizes_that_were_not_measured_and_at_its_upper_quantile(shape: LearnedShape) -> None:
    added, _ = shape.add_to(a_profile(), ModelWeight(parameters=1, model_bytes=4, image_flops=10**9))
    bare = a_profile().spec
    assert added.spec.warmup_model
    predicted = {row.mini_batch_size: row.warmup_micros for row in added.spec.warmup_model.predictions}
    for times in times_of(added.spec, interpolate=True):
        if times.interpolation is None:
            assert times.warmup == warmup_of(bare, times.mini_batch_size)
        else:
            assert times.warmup == predicted[times.mini_batch_size]
            assert "W is the upper quantile of the warm-up model's prediction" in times.interpolation
    assert times_of(added.spec, interpolate=False) == times_of(bare, interpolate=False)


def test_the_command_refuses_rows_that_are_too_few(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = write_warmups(tmp_path / "rows.parquet", a_table(some_rows()[:10]))
    assert main(["add", str(rows), str(PROFILES), "-o", str(tmp_path / "profiles")]) == 2
    assert "10 first mini-batches of 5 configurations are too few to learn from" in capsys.readouterr().err
    assert not (tmp_path / "profiles").exists()
