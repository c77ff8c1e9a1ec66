"""GPU profiles as they are read: what is wrong is refused in a sentence that names the field."""

from typing import Any

import pytest

from dueby_api.errors import Invalid
from dueby_api.gpu_profile import parse_profile
from support.planner import profile, profile_document, step_document

NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        pytest.param(
            {"steps": [step_document(64, 10, 1), step_document(64, 11, 1)]},
            "spec.steps: two rows of miniBatchSize 64; keep one",
            id="double rows",
        ),
        pytest.param(
            {"steps": [step_document(64, 10, 1), step_document(32, 10, 1)]},
            "spec.steps: must ascend in miniBatchSize, but 32 comes after 64",
            id="rows out of order",
        ),
        pytest.param(
            {"decoding": [{"cores": cores, "imagesPerSecond": 500.0} for cores in (1, 4, 4)]},
            "spec.decoding: must ascend in cores, but 4 comes after 4",
            id="one number of cores twice",
        ),
        pytest.param(
            {"steps": [step_document(64, 0, 1)]},
            "spec.steps[0].latencyMicros.mean: must be an integer of at least 1, but is 0",
            id="no latency",
        ),
        pytest.param(
            {"steps": [step_document(8, 5, 1), {"miniBatchSize": 64, "latencyMicros": {"mean": NAN}}]},
            "spec.steps[1].latencyMicros.mean: must be an integer, but is nan",
            id="a latency that is not a number",
        ),
        pytest.param(
            {"steps": [step_document(-8, 10, 1)]},
            "spec.steps[0].miniBatchSize: must be an integer of at least 1, but is -8",
            id="a negative size",
        ),
        pytest.param(
            {"steps": [step_document(8, 10, -1)]},
            "spec.steps[0].warmupMicros.p50: must be an integer of at least 0, but is -1",
            id="a negative warm-up",
        ),
        pytest.param(
            {"steps": [step_document(8, 10, 90, p50=91)]},
            "spec.steps[0].warmupMicros.p95: 90 is below the median, 91",
            id="a p95 below the median",
        ),
        pytest.param(
            {"steps": [step_document(8, 10, 1), step_document(64, 10, None)]},
            "spec.steps: the largest size, 64, has no warmupMicros, and there is no larger one to take it from",
            id="no warm-up of the largest",
        ),
        pytest.param(
            {"startupMicros": {"p50": 5}},
            "spec.startupMicros.p95: is missing",
            id="half a start-up",
        ),
        pytest.param(
            {"spread": {"run": NAN}},
            "spec.spread.run: must be a number of at least 0.0, but is nan",
            id="a spread that is not a number",
        ),
        pytest.param(
            {"spread": {"node": 1}}, "spec.spread.node: must be a number below 1.0, but is 1", id="a spread of all"
        ),
        pytest.param(
            {"contention": INFINITE},
            "spec.contention: must be a number of at most 100.0, but is inf",
            id="endless contention",
        ),
        pytest.param(
            {"maxMiniBatchSize": 8},
            "spec.maxMiniBatchSize: 8 is below the least size measured, 64",
            id="nothing measured fits",
        ),
        pytest.param(
            {"engine": "gpu"},
            "spec.engine: must be one of cudagraph, cuda, inductor, onnxruntime, tensorrt, openvino, ncnn, eager, "
            "compile, but is 'gpu'",
            id="an unknown engine",
        ),
        pytest.param({"model": None}, "spec.model: is missing", id="no model"),
        pytest.param(
            {"observed": [{"job": "a", "time": "2026-11-25T02:00:00", "workers": 1}]},
            "spec.observed[0].time: 2026-11-25T02:00:00 has no offset from UTC; end it with Z or +01:00",
            id="a job's time without an offset, which can't be compared with others'",
        ),
        pytest.param(
            {"measuredAt": "yesterday"},
            "spec.measuredAt: must be a time such as 2026-12-01T06:00:00Z, but is 'yesterday'",
            id="not a time",
        ),
    ],
)
def test_a_wrong_profile_is_refused_in_a_sentence_that_names_the_field(spec: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Invalid) as error:
        profile(**spec)
    assert str(error.value) == sentence


def test_a_profile_without_any_row_is_refused() -> None:
    document = profile_document()
    document["spec"]["steps"] = []
    with pytest.raises(Invalid, match=r"^spec\.steps: must be a list of length at least 1, but is \[\]$"):
        parse_profile(document)
