"""A job's model: what doesn't go together is refused before anything is loaded."""

from typing import Any

import pytest

from dueby_api.engines import ENGINES
from dueby_api.errors import Invalid
from dueby_api.inference_job import JobSpec, Model
from dueby_api.schema import validate

FILE = {"name": "onnx/mine", "weights": "models/mine.onnx"}


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        pytest.param(
            {"name": "onnx/mine"},
            "weights: a model onnx/NAME is a file: give the path of one that ends with .onnx",
            id="no file",
        ),
        pytest.param(
            {"name": "python/birds"},
            "name: python/ is followed by MODULE:FUNCTION, such as python/birds.network:make",
            id="no function",
        ),
        pytest.param(
            {"name": "python/a:b\n"},
            "name: python/ is followed by MODULE:FUNCTION, such as python/birds.network:make",
            id="a line end",
        ),
        pytest.param(
            {"name": "python/birds:make", "weights": "none"},
            "weights: the function makes the weights, too; leave weights out, or give the path of a file",
            id="no weights",
        ),
        pytest.param(
            FILE | {"engine": "eager"},
            "engine: eager doesn't run ONNX files; set auto, onnxruntime, tensorrt or openvino",
        ),
        pytest.param(
            {"engine": "onnxruntime"},
            "engine: onnxruntime doesn't run networks of PyTorch; "
            "set auto, cudagraph, cuda, inductor, tensorrt, openvino, ncnn, eager or compile",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(model: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Invalid) as refused:
        validate(Model, model)
    assert str(refused.value) == sentence


@pytest.mark.parametrize("engine", ["auto", *ENGINES])
def test_each_engine_runs_one_of_the_two_or_both(engine: Any) -> None:
    taken = []
    for model in ({"name": "resnet50"}, FILE):
        try:
            taken.append(validate(Model, model | {"engine": engine}).name)
        except Invalid:
            continue
    assert taken
    assert len(taken) == (2 if engine in ("auto", "openvino", "tensorrt") else 1)


def test_an_onnx_file_is_measured_with_its_weights_and_for_its_job_alone() -> None:
    assert validate(Model, FILE | {"labels": "a.txt"}).measured == validate(Model, FILE)
    assert validate(Model, {"weights": "a.pth", "classes": 3}).measured == Model(weights="none", classes=3)
    places = {"deadline": "1h", "source": {"uri": "a"}, "sink": {"uri": "b"}}
    assert validate(JobSpec, places | {"model": FILE}).is_measured_alone
    assert validate(JobSpec, places | {"model": {"name": "python/birds.network:make"}}).is_measured_alone
    assert not validate(JobSpec, places).is_measured_alone


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"name": "resnet50"}, "--model resnet50"),
        ({"name": "resnet50", "weights": "IMAGENET1K_V1", "labels": "labels.txt"}, "--model resnet50"),
        (
            {"name": "timm/vit base", "imageSize": 384, "precision": "bf16", "engine": "eager"},
            "--model 'timm/vit base' --image-size 384 --precision bf16 --engine eager",
        ),
        ({"name": "onnx/birds", "weights": "a b.onnx"}, "--model onnx/birds --weights 'a b.onnx'"),
        ({"name": "python/birds:make"}, "--model python/birds:make"),
    ],
)
def test_the_command_that_measures_a_model_can_be_pasted(fields: dict[str, Any], options: str) -> None:
    assert validate(Model, fields, origin="the model").profile_command == f"dueby profile {options}"
