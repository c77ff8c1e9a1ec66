"""ONNX files: they answer as the same network in PyTorch does, and what can't be exact is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dueby_api.engines import EngineName
from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_api.output import Output, Threshold
from dueby_worker.engines.build import build_engine, engine_module
from dueby_worker.engines.network import Network as EngineNetwork
from dueby_worker.engines.network import RowNetwork
from dueby_worker.engines.onnx_cuda import bound
from dueby_worker.engines.parity import check_parity, made_up_images
from dueby_worker.images.decode import decode_image
from dueby_worker.models.columns import Columns
from dueby_worker.models.known_model import know_model
from dueby_worker.models.loading import LoadedModel, describe_model, load_model
from dueby_worker.models.onnx_network import OnnxNetwork
from support.foreign_models import PHOTO
from support.onnx_files import FEATURES, LABELS, SIDE, Network, OnnxModel, describe, write_model

NHWC = ("b", SIDE, SIDE, 3)
TF: dict[str, Any] = {"input": {"layout": "NHWC", "channels": "BGR", "divideBy": 1, "mean": [10, 20, 30]}}
PLAIN: dict[str, Any] = {"divideBy": 1, "mean": [0, 0, 0], "std": [1, 1, 1]}
CASES: dict[str, dict[str, Any]] = {
    "as PyTorch exports it": {},
    "channels last, blue first, as TensorFlow's and OpenCV's": {"shape": NHWC, "description": TF},
    "probabilities": {"softmax": True, "shown": ("probabilities",), "description": {"values": "Probabilities"}},
    "one of two outputs": {"shown": ("map", "logits"), "description": {"output": "logits"}},
    "any size": {"shape": ("b", 3, "h", "w")},
    "one image at a time": {"shape": (1, 3, SIDE, SIDE)},
    "weights in another file": {"external": True},
    "half floats": {"type_name": "float16"},
    "bytes": {"type_name": "uint8", "description": {"input": PLAIN}},
}


def load(model: OnnxModel, **output: Any) -> LoadedModel:
    return load_model(Model(name="onnx/small", weights=str(model.path), image_size=SIDE), Output(**output))


def run(loaded: LoadedModel, images: np.ndarray, cache_dir: Path | None = None) -> Columns:
    engine = build_engine(
        name="openvino",
        loaded=loaded,
        mini_batch_size=len(images),
        precision="fp32",
        threads=1,
        cache_dir=cache_dir,
    )
    buffer = engine.buffer()
    buffer[...] = images
    engine.submit(buffer)
    found = engine.collect()
    parity = check_parity(engine, loaded)
    assert parity.ok, parity.sentence
    engine.close()
    return found


def expected(model: OnnxModel, loaded: LoadedModel, images: np.ndarray, description: dict[str, Any]) -> torch.Tensor:
    """What the network in PyTorch says, with the description's own arithmetic."""
    told: dict[str, Any] = {"channels": "RGB", "divideBy": 255, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}
    told |= description.get("input", {})
    values = torch.from_numpy(images.copy()).float()
    if told["channels"] == "BGR":
        values = values.flip(3)
    values = (values / told["divideBy"] - torch.tensor(told["mean"])) / torch.tensor(told["std"])
    with torch.inference_mode():
        logits: torch.Tensor = model.network(values.permute(0, 3, 1, 2))
    return logits.softmax(dim=1)


def refusal(model: OnnxModel, **output: Any) -> str:
    with pytest.raises(Invalid) as refused:
        load(model, **output)
    return str(refused.value)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_file_answers_as_the_network_in_pytorch_does(tmp_path: Path, case: dict[str, Any]) -> None:
    model = write_model(tmp_path / "model", **case)
    loaded = load(model, kind="Probabilities")
    images = made_up_images(3, SIDE)

    for _ in ("converted", "from the cache"):
        found = run(loaded, images, tmp_path / "cache")["probabilities"]

    wanted = expected(model, loaded, images, case.get("description", {}))
    assert loaded.labels == tuple(LABELS)
    np.testing.assert_allclose(found, wanted, atol=2e-3 if case.get("type_name") == "float16" else 1e-5)
    assert wanted.max() - wanted.min() > 0.2


def test_a_photo_is_prepared_as_the_description_says(tmp_path: Path) -> None:
    model = write_model(tmp_path, description={"input": {"resize": 80, "interpolation": "bicubic", "stretch": True}})
    loaded = load(model)

    square = decode_image(PHOTO, loaded.preprocessing).pixels
    found = run(loaded, square[None])

    assert (loaded.preprocessing.resize_side, loaded.preprocessing.crop_side) == (80, SIDE)
    wanted = expected(model, loaded, square[None], {})
    assert found["classes"][0].tolist() == wanted[0].argsort(descending=True).tolist()
    np.testing.assert_allclose(found["scores"][0], wanted[0].sort(descending=True).values, atol=1e-5)


def test_any_tensor_is_an_embedding(tmp_path: Path) -> None:
    model = write_model(tmp_path, external=True)
    images = made_up_images(2, SIDE)
    planes = (torch.from_numpy(images) / 255).permute(0, 3, 1, 2)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in ([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]))
    with torch.inference_mode():
        wanted = model.network.features((planes - mean) / std)

    for layer in ("features", "map"):
        loaded = load(model, kind="Embedding", layer=layer)
        assert loaded.values == FEATURES
        np.testing.assert_allclose(run(loaded, images)["embedding"], wanted, atol=1e-5)
    assert load(model).weights_digest == loaded.weights_digest
    assert "small.onnx can't give 'attic'" in refusal(model, kind="Embedding", layer="attic")
    assert "name a tensor of the graph; its outputs are logits" in refusal(model, kind="Embedding")


def test_onnx_runtime_reads_and_writes_torch_s_memory_in_place(tmp_path: Path) -> None:
    """The engine for GPUs without a GPU: the same calls, on the CPU's memory."""
    for case in ({}, {"shape": NHWC, "description": TF}, {"type_name": "float16"}):
        model = write_model(tmp_path, **case)
        loaded = load(model, kind="Probabilities")
        assert isinstance(loaded.module, OnnxNetwork)
        images = made_up_images(3, SIDE)
        plain = RowNetwork(EngineNetwork(loaded.module, loaded.preprocessing), loaded.rule)

        tied = RowNetwork(EngineNetwork(torch.nn.Identity(), loaded.preprocessing), loaded.rule)
        tied = bound(tied, loaded.module, images.shape, stream=None)

        with torch.inference_mode():
            for pixels in (images, images[::-1].copy()):
                found, wanted = (network(torch.from_numpy(pixels))["probabilities"] for network in (tied, plain))
                torch.testing.assert_close(found, wanted)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["onnxruntime", "tensorrt"])
def test_an_engine_on_a_gpu_agrees_with_onnx_runtime_on_the_cpu(tmp_path: Path, name: EngineName) -> None:
    if (obstacle := engine_module(name).find_obstacle("fp32")) is not None:
        pytest.skip(obstacle)
    for case in CASES.values():
        loaded = load(write_model(tmp_path, **case))
        size = 1 if case.get("shape") == (1, 3, SIDE, SIDE) else 4
        engine = build_engine(name=name, loaded=loaded, mini_batch_size=size, precision="fp32", threads=1)
        parity = check_parity(engine, loaded)
        assert parity.ok, parity.sentence


def test_the_digest_is_that_of_all_files_and_of_what_is_said_of_them(tmp_path: Path) -> None:
    digests = [
        load(model).weights_digest
        for model in (
            write_model(tmp_path / "a", external=True),
            write_model(tmp_path / "b", external=True, shift=0.5),
            write_model(tmp_path / "c", external=True, shown=("logits", "map"), description={"output": "logits"}),
        )
    ]
    assert len(set(digests)) == 3
    assert load(write_model(tmp_path / "elsewhere", external=True)).weights_digest == digests[0]

    (tmp_path / "a" / "small.onnx.data").write_bytes((tmp_path / "b" / "small.onnx.data").read_bytes())
    mixed = OnnxModel(path=tmp_path / "a" / "small.onnx", network=Network())
    assert load(mixed).weights_digest == digests[1]


def test_what_is_noted_of_a_model_holds_until_a_file_of_it_changes(tmp_path: Path) -> None:
    model = write_model(tmp_path, external=True)
    spec = Model(name="onnx/small", weights=str(model.path), image_size=SIDE)
    known = know_model(spec, Output(), tmp_path / "cache")
    names = {Path(stamp.path).name for stamp in known.files or ()}
    assert {"small.onnx", "small.onnx.data", "small.yaml"} <= names

    describe(model.path, labels=[*LABELS[1:], "fly"])
    assert know_model(spec, Output(), tmp_path / "cache").labels[-1] == "fly"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"labels": LABELS[1:]}, "small.yaml: labels: has 4, but logits has 5 values", id="fewer labels"),
        pytest.param({"labels": [1, 2]}, "labels[0]: must be a text, but is 1", id="numbers as labels"),
        pytest.param({"values": "Scores"}, "values: must be one of Logits, Probabilities", id="another kind of values"),
        pytest.param({"values": "Probabilities"}, "the values of logits are none: set Logits", id="not softmaxed"),
        pytest.param({"output": "attic"}, "there is no output 'attic'; name one of logits", id="no such output"),
        pytest.param({"sizes": 3}, "there is no such field", id="another field"),
        pytest.param({"input": {"std": [1, 0, 1]}}, "input.std: must be finite and above 0", id="a zero to divide by"),
        pytest.param({"input": {"divideBy": float("nan")}}, "input.divideBy: must be finite", id="no number"),
        pytest.param(
            {"input": {"resize": 32}}, "input.resize: must be at least size, which is 64", id="a crop that pads"
        ),
        pytest.param({"input": {"size": 96}}, "input.size: is 96, but the file's input is ? x 3 x 64 x 64", id="size"),
        pytest.param({"input": {"layout": "NHWC"}}, "input.layout: is NHWC, but the file's input", id="another layout"),
        pytest.param({"input": {"channels": "GBR"}}, "input.channels: must be one of RGB, BGR", id="other channels"),
    ],
)
def test_a_description_that_is_wrong_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    model = write_model(tmp_path)
    describe(model.path, **changes)

    assert words in refusal(model)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("values: [", "small.yaml: is no YAML", id="no YAML"),
        pytest.param("- a", "is no mapping of fields", id="a list"),
        pytest.param("values: Logits\nvalues: Logits\n", "values is there twice", id="a key that is there twice"),
        pytest.param("x: " + "[" * 5000, "small.yaml: is no YAML", id="nested too deeply"),
        pytest.param("a" * 2**22 + "aa", "has more than 4,194,304 characters", id="too long"),
        pytest.param("values: Logits", "small.yaml: input: is missing", id="too little"),
    ],
)
def test_a_description_that_can_not_be_read_is_refused(tmp_path: Path, text: str, words: str) -> None:
    model = write_model(tmp_path)
    model.path.with_suffix(".yaml").write_text(text)

    assert words in refusal(model)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({"inputs": 2}, "takes 2 inputs (images, images1); DueBy gives it images and nothing", id="inputs"),
        pytest.param({"type_name": "double"}, "takes tensor(double) of the shape ? x 3 x 64 x 64", id="no floats"),
        pytest.param({"shape": ("b", 3, SIDE, 32)}, "takes images of 32 x 64 px; DueBy makes squares", id="no square"),
        pytest.param({"shown": ("logits", "map")}, "has several outputs; name one of logits, map", id="two outputs"),
        pytest.param({"flat_for": 1}, "export it with a dynamic axis of the mini-batch", id="a number in the graph"),
        pytest.param({"type_name": "uint8"}, "normalises images, but the file takes them as bytes", id="bytes"),
        pytest.param(
            {"softmax": True, "shown": ("probabilities",)},
            "values: is Logits, but the values of probabilities are probabilities, each from 0 to 1 and 1 in all; set",
            id="softmax twice",
        ),
    ],
)
def test_a_file_that_can_not_be_run_is_refused(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    assert words in refusal(write_model(tmp_path, **fields))


def test_files_that_are_missing_or_no_models_are_refused(tmp_path: Path) -> None:
    model = write_model(tmp_path, external=True)
    (tmp_path / "small.onnx.data").unlink()
    assert "keeps weights in small.onnx.data, which is not beside it; put it there" in refusal(model)

    for data in (b"", b"no model at all", model.path.read_bytes()[:-7]):
        model.path.write_bytes(data)
        assert "small.onnx is no ONNX file" in refusal(model) or "ONNX Runtime can't load" in refusal(model)
    model.path.with_suffix(".yaml").unlink()
    assert "can't say how images are prepared and what its values mean: write" in refusal(model)
    model.path.unlink()
    assert f"there is no file {model.path}" in refusal(model)


def test_weights_outside_of_the_folder_are_refused(tmp_path: Path) -> None:
    model = write_model(tmp_path / "deep", external=True)
    data = model.path.read_bytes()
    model.path.write_bytes(data.replace(b"small.onnx.data", b"../mine/a.dataa"))

    assert "keeps weights in '../mine/a.dataa', which is outside of its folder" in refusal(model)


def test_the_label_of_a_threshold_is_that_of_one_class(tmp_path: Path) -> None:
    model = write_model(tmp_path, description={"labels": ["ant", "bee", "cat", "cat", "eel"]})

    assert load(model, threshold=Threshold(label="eel", above=0.5)).rule.watched == 4
    assert "several classes of the model have the label 'cat'" in refusal(
        model, threshold=Threshold(label="cat", above=0.5)
    )
    assert "the model has no label 'bees'; did you mean bee or eel?" in refusal(
        model, threshold=Threshold(label="bees", above=0.5)
    )


def test_another_size_is_taken_with_a_warning_or_refused(tmp_path: Path) -> None:
    fixed, open_sized = write_model(tmp_path / "a"), write_model(tmp_path / "b", shape=("b", 3, "h", "w"))
    with pytest.raises(Invalid, match="fits images of 64 px only; set 64"):
        describe_model(Model(name="onnx/small", weights=str(fixed.path), image_size=96))
    facts = describe_model(Model(name="onnx/small", weights=str(open_sized.path), image_size=96))
    assert "was trained for 64 px" in facts.warnings[0]


@pytest.mark.parametrize("engine", ["eager", "cuda"])
def test_engines_for_pytorch_s_networks_are_refused(tmp_path: Path, engine: Any) -> None:
    loaded = load(write_model(tmp_path))
    with pytest.raises(Invalid, match=f"{engine} doesn't run ONNX files; set auto, onnxruntime, tensorrt or openvino"):
        build_engine(name=engine, loaded=loaded, mini_batch_size=1, precision="fp32", threads=1, cache_dir=None)
