"""The Hugging Face hub's models: they answer as transformers' own pipeline does, and what is not exact is refused."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoImageProcessor,
    AutoModelForImageClassification,
    ConvNextConfig,
    ConvNextForImageClassification,
    ConvNextImageProcessor,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)

from dueby_api.engines import EngineName
from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_profiler.monitor.warmup_rows import weigh
from dueby_worker.engines.build import build_engine
from dueby_worker.engines.parity import check_parity
from dueby_worker.models.loading import describe_model, load_model
from support.foreign_models import LABELS, SIDE, hugging_face_folder, photo, scores

NAMES: dict[str, Any] = {"id2label": dict(enumerate(LABELS)), "label2id": {name: i for i, name in enumerate(LABELS)}}
SQUARE = {"height": SIDE, "width": SIDE}


def vit() -> ViTForImageClassification:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    return ViTForImageClassification(ViTConfig(image_size=SIDE, patch_size=16, **sizes, **NAMES))


def resnet() -> ResNetForImageClassification:
    sizes = {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "layer_type": "basic"}
    return ResNetForImageClassification(ResNetConfig(**sizes, **NAMES))


def convnext() -> ConvNextForImageClassification:
    sizes = {"hidden_sizes": [8, 16, 16, 32], "depths": [1, 1, 1, 1]}
    return ConvNextForImageClassification(ConvNextConfig(**sizes, **NAMES))


CROPPED = {"size": {"shortest_edge": 121}, "do_center_crop": True, "crop_size": SQUARE}
CASES = {
    "a square of the whole image": (vit, ViTImageProcessor(size=SQUARE)),
    "a crop, bicubic, as it is": (resnet, ViTImageProcessor(**CROPPED, resample=3, do_normalize=False)),
    "ConvNeXt's crop": (convnext, ConvNextImageProcessor(size={"shortest_edge": SIDE}, crop_pct=0.8)),
}


def transformers_scores(folder: str) -> dict[str, float]:
    """What transformers itself says of the photo."""
    network, processor = (
        AutoModelForImageClassification.from_pretrained(folder),
        AutoImageProcessor.from_pretrained(folder),
    )
    with torch.inference_mode():
        found = network(**processor(photo(), return_tensors="pt")).logits.softmax(dim=1)[0]
    return dict(zip(LABELS, found.tolist(), strict=True))


def refusal(**fields: Any) -> tuple[str, str]:
    with pytest.raises(Invalid) as refused:
        load_model(Model(image_size=SIDE, **fields))
    return refused.value.field, refused.value.message


@pytest.fixture(autouse=True)
def same_each_time() -> Iterator[None]:
    """Networks that a test makes have the same random weights each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        yield


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return hugging_face_folder(tmp_path, vit(), ViTImageProcessor(size=SQUARE))


def edit(folder: str, file: str, **changes: Any) -> None:
    path = Path(folder) / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("engine", ["eager", "openvino"])
def test_a_folder_answers_as_transformers_does(tmp_path: Path, engine: EngineName, case: str) -> None:
    network, processor = CASES[case]
    folder = hugging_face_folder(tmp_path, network(), processor)
    loaded = load_model(Model(name="hf/mine", weights=folder, image_size=SIDE))

    found, expected = scores(loaded, engine), transformers_scores(folder)

    assert loaded.labels == tuple(LABELS)
    assert found == pytest.approx(expected, abs=0.02)
    assert max(expected.values()) - min(expected.values()) > 0.2
    built = build_engine(name=engine, loaded=loaded, mini_batch_size=3, precision="fp32", threads=1, cache_dir=None)
    parity = check_parity(built, loaded)
    assert parity.ok, parity.sentence


def digest_of(folder: str) -> str:
    return load_model(Model(name="hf/mine", weights=folder, image_size=SIDE)).weights_digest


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"num_attention_heads": 4}, id="heads"),
        pytest.param({"hidden_act": "relu"}, id="activation"),
        pytest.param({"layer_norm_eps": 0.1}, id="the norm's constant"),
    ],
)
def test_the_digest_changes_with_the_architecture_s_settings(folder: str, changes: dict[str, Any]) -> None:
    before = digest_of(folder)
    edit(folder, "config.json", **changes)

    assert digest_of(folder) != before


def test_a_network_with_other_settings_is_converted_again(folder: str, tmp_path: Path) -> None:
    for heads in (2, 4):
        edit(folder, "config.json", num_attention_heads=heads)
        loaded = load_model(Model(name="hf/mine", weights=folder, image_size=SIDE))
        built = build_engine(
            name="openvino", loaded=loaded, mini_batch_size=2, precision="fp32", threads=1, cache_dir=tmp_path / "cache"
        )
        parity = check_parity(built, loaded)
        assert parity.ok, parity.sentence


def test_the_digest_is_the_same_wherever_the_folder_lies_and_whoever_wrote_it(folder: str) -> None:
    before = digest_of(folder)
    edit(folder, "config.json", transformers_version="5.0.0", _name_or_path="/elsewhere", dtype="float16")
    settings = json.loads((Path(folder) / "config.json").read_text())
    (Path(folder) / "config.json").write_text(json.dumps(dict(reversed(settings.items()))))

    assert digest_of(shutil.copytree(folder, f"{folder}-copy")) == before


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}, id="dropout"),
        pytest.param({"drop_path_rate": 0.1, "classifier_dropout": 0.1, "dropout": 0.1}, id="other dropout"),
        pytest.param({"initializer_range": 0.01}, id="first weights"),
        pytest.param({"output_hidden_states": False, "torch_dtype": "float16"}, id="what the network gives besides"),
        pytest.param({"problem_type": "single_label_classification"}, id="how it was trained"),
    ],
)
def test_the_digest_is_the_same_after_what_changes_no_row(folder: str, changes: dict[str, Any]) -> None:
    before = digest_of(folder)
    edit(folder, "config.json", **changes)

    assert digest_of(folder) == before


def test_the_digest_is_the_same_with_a_transformers_that_has_more_settings(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, plain = digest_of(folder), ViTConfig.to_dict
    monkeypatch.setattr(ViTConfig, "to_dict", lambda config: plain(config) | {"tie_word_embeddings": True})

    assert digest_of(folder) == before


def test_how_heavy_a_model_is_can_be_counted(folder: str) -> None:
    weight = weigh(Model(name="hf/mine", weights=folder, image_size=SIDE))

    assert weight.parameters == sum(parameter.numel() for parameter in vit().parameters())
    assert weight.image_flops > weight.parameters


def test_another_size_than_the_processor_s_is_refused(folder: str) -> None:
    with pytest.raises(Invalid, match=f"fits images of {SIDE} px only; set {SIDE}"):
        describe_model(Model(name="hf/mine", weights=folder))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"resample": 1}, "with resample 1; DueBy has 2 (bilinear) and 3 (bicubic) only", id="lanczos"),
        pytest.param({"do_resize": False}, "leaves out do_resize", id="images as they are"),
        pytest.param({"rescale_factor": 1 / 127.5}, "other than 1/255", id="another scale"),
        pytest.param({"size": {"height": SIDE, "width": 64}}, "an equal height and width", id="no square"),
        pytest.param({"size": {"shortest_edge": SIDE}}, "without do_center_crop", id="an edge without a crop"),
        pytest.param(
            {"size": {"shortest_edge": SIDE, "longest_edge": 200}}, "resizes to a shortest_edge, or", id="two edges"
        ),
        pytest.param(
            {"do_center_crop": True, "crop_size": {"height": 128, "width": 128}}, "not larger", id="a crop that pads"
        ),
        pytest.param(
            {"image_processor_type": "LevitImageProcessor"},
            "is of LevitImageProcessor",
            id="a processor of its own kind",
        ),
    ],
)
def test_preparation_that_can_not_be_exact_is_refused(folder: str, changes: dict[str, Any], words: str) -> None:
    edit(folder, "preprocessor_config.json", **changes)

    field, message = refusal(name="hf/mine", weights=folder)

    assert field == "spec.model.name"
    assert words in message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"architectures": ["ViTModel"]}, "is of ViTModel; DueBy runs those with", id="no classifier"),
        pytest.param({"problem_type": "multi_label_classification"}, "exclude each other", id="several labels at once"),
        pytest.param({"model_type": "no_such"}, "config.json can't be used", id="no model that is known"),
        pytest.param({"id2label": None}, "id2label is null; it must have a label", id="no names of classes"),
        pytest.param({"id2label": {"1": "a", "2": "b"}}, "id2label must have a label for each class", id="no class 0"),
        pytest.param({"id2label": ["a", "b"]}, "config.json can't be used", id="a list of names"),
    ],
)
def test_a_network_that_is_no_classifier_is_refused(folder: str, changes: dict[str, Any], words: str) -> None:
    edit(folder, "config.json", **changes)

    assert words in refusal(name="hf/mine", weights=folder)[1]


def test_weights_that_are_missing_are_refused(folder: str) -> None:
    edit(folder, "config.json", num_hidden_layers=3)
    assert "which would be random" in refusal(name="hf/mine", weights=folder)[1]

    (Path(folder) / "model.safetensors").unlink()
    assert "holds no weights of its network" in refusal(name="hf/mine", weights=folder)[1]

    (Path(folder) / "preprocessor_config.json").unlink()
    assert "has no preprocessor_config.json" in refusal(name="hf/mine", weights=folder)[1]


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        pytest.param({"weights": "/no/such"}, "spec.model.weights", "there is no folder /no/such", id="no folder"),
        pytest.param({}, "spec.model.name", "can't be had here", id="a model that the hub doesn't have"),
    ],
)
def test_what_is_not_there_is_refused(fields: dict[str, Any], field: str, words: str) -> None:
    found = refusal(name="hf/dueby-tests/no-such-model", **fields)

    assert found[0] == field
    assert words in found[1]
