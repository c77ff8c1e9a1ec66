"""What a job may ask of its model, and the messages if it can't have it."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision.models
from torchvision.models import get_model_weights

from dueby_api.classifiers import CLASSIFIERS, LITE0
from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_worker.models.loading import describe_model, require_image_size
from support.models import IMAGENET_NAMES, SMALL, load, loaded, logits, trained, written

# Names


def test_the_names_for_who_has_no_torch_are_those_that_torchvision_has() -> None:
    assert sorted(CLASSIFIERS) == sorted([LITE0, *torchvision.models.list_models(module=torchvision.models)])


@pytest.mark.parametrize("name", [*torchvision.models.list_models(module=torchvision.models), "efficientnet_lite0"])
def test_every_classifier_is_known_with_its_labels(name: str) -> None:
    side = 224 if name == "efficientnet_lite0" else get_model_weights(name).DEFAULT.transforms().crop_size[0]

    facts = describe_model(Model(name=name, image_size=side))

    assert facts.name == name
    assert (len(facts.labels), facts.labels[0], facts.labels[-1]) == (IMAGENET_NAMES, "tench", "toilet tissue")
    assert facts.warnings == ()


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        pytest.param(
            {"name": "efficientnet_b9"},
            "spec.model.name",
            ["did you mean", "efficientnet_b7"],
            id="a name nearly right",
        ),
        pytest.param({"name": "qqqq"}, "spec.model.name", ["There are alexnet, convnext*"], id="a name far off"),
        pytest.param(
            {"name": "fcn_resnet50"}, "spec.model.name", ["no model 'fcn_resnet50'"], id="a model that doesn't classify"
        ),
        pytest.param(
            {"weights": "IMAGENET1K_V9"},
            "spec.model.weights",
            ["IMAGENET1K_V1", "DEFAULT", "path", "none"],
            id="weights nobody published",
        ),
        pytest.param(
            {"name": "efficientnet_lite0", "weights": "IMAGENET1K_V1"},
            "spec.model.weights",
            ["efficientnet_lite0 has no weights"],
            id="torchvision's weights for a model that isn't its",
        ),
        pytest.param(
            {"name": "vgg16", "weights": "IMAGENET1K_FEATURES"},
            "spec.model.weights",
            ["vgg16 has no weights"],
            id="weights without a classifier",
        ),
        pytest.param(
            {"weights": "models/b0.pth"}, "spec.model.weights", ["no file models/b0.pth"], id="a missing file"
        ),
        pytest.param(
            {"weights": "~nobody/b0.pth"}, "spec.model.weights", ["no file ~nobody/b0.pth"], id="nobody's home"
        ),
        pytest.param(
            {"weights": 300 * "w"}, "spec.model.weights", ["has no weights"], id="a name that no file can have"
        ),
        pytest.param({"weights": "\0"}, "spec.model.weights", ["has no weights"], id="another such name"),
        pytest.param({"weights": "b0.safetensors"}, "spec.model.weights", ["no file b0.safetensors"], id="another one"),
        pytest.param(
            {"classes": 10},
            "spec.model.classes",
            ["1,000 classes, not 10"],
            id="a class count that the weights don't have",
        ),
        pytest.param(
            {"name": "vit_h_14", "image_size": 224},
            "spec.model.imageSize",
            ["fits images of 518 px only", "set 518"],
            id="an image size that the weights don't fit",
        ),
        pytest.param({"labels": "missing.txt"}, "spec.model.labels", ["missing.txt"], id="a missing label file"),
        pytest.param({"labels": "\0"}, "spec.model.labels", ["can't be read"], id="labels that can be no file"),
    ],
)
def test_what_can_not_be_is_refused_in_a_sentence(changes: dict[str, Any], field: str, words: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        describe_model(Model(**changes))

    assert refused.value.field == field
    for word in words:
        assert word in refused.value.message


@pytest.mark.parametrize(
    ("name", "side", "warned"),
    [("efficientnet_b0", 224, False), ("efficientnet_b0", 128, True), ("inception_v3", 224, True)],
)
def test_another_image_size_than_the_weights_own_is_warned_of(name: str, side: int, warned: bool) -> None:
    warnings = describe_model(Model(name=name, image_size=side)).warnings

    assert any("spec.model.imageSize" in warning for warning in warnings) is warned


@pytest.mark.parametrize(
    ("name", "side"),
    [
        pytest.param("vit_b_32", 225, id="a transformer whose patches don't fit"),
        pytest.param("maxvit_t", 225, id="windows that don't fit"),
        pytest.param("alexnet", 32, id="a picture smaller than the strides"),
    ],
)
def test_an_image_size_that_the_model_can_not_take_is_refused(name: str, side: int) -> None:
    with pytest.raises(Invalid, match=f"{name} can't take images of {side} px: .+") as refused:
        load(name, weights="none", image_size=side)

    assert refused.value.field == "spec.model.imageSize"
    with pytest.raises(Invalid, match=f"{name} can't take images of {side} px: .+"):
        require_image_size(Model(name=name, image_size=side))
    require_image_size(Model(name=name, image_size=448))


def test_an_image_size_is_tried_of_a_network_whose_builder_computes() -> None:
    require_image_size(Model(name="regnet_y_400mf", image_size=160))


# No weights


def test_no_weights_are_the_same_everywhere_and_said_loudly(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with caplog.at_level(logging.WARNING):
        first = load(weights="none")
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    second = load(weights="none")

    assert torch.equal(logits(first.module), logits(second.module))
    assert first.weights_digest == "random:0"
    assert "the weights of squeezenet1_1 are random, so the results are meaningless" in caplog.text


# Labels and classes


def test_own_weights_with_own_labels(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes("\ufeffapple\r\nbee\n cödfish \n\n".encode())
    weights = written(tmp_path / "a.pth", trained(classes=3).state_dict())

    model = load(weights=weights, labels=str(tmp_path / "labels.txt"))

    assert model.labels == ("apple", "bee", "cödfish")
    assert logits(model.module).shape == (2, 3)


def test_classes_without_labels_are_numbered_with_a_warning() -> None:
    facts = describe_model(Model(name=SMALL, weights="none", classes=3))

    assert facts.labels == ("0", "1", "2")
    assert any("spec.model.labels" in warning for warning in facts.warnings)


@pytest.mark.parametrize(
    ("content", "changes", "field", "words"),
    [
        pytest.param(
            b"a\nb\n", {"classes": 3, "weights": "none"}, "spec.model.labels", ["2 labels", "is 3"], id="not that many"
        ),
        pytest.param(b"a\nb\n", {}, "spec.model.labels", ["1,000 classes, not 2"], id="not the weights' number"),
        pytest.param(b"a\n\nb\n", {"weights": "none"}, "spec.model.labels", ["line 2"], id="an empty line"),
        pytest.param(b"", {"weights": "none"}, "spec.model.labels", ["line 1"], id="an empty file"),
        pytest.param(b"\xff\xfe\x00", {"weights": "none"}, "spec.model.labels", ["text"], id="not a text"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    tmp_path: Path, content: bytes, changes: dict[str, Any], field: str, words: list[str]
) -> None:
    (tmp_path / "labels.txt").write_bytes(content)

    with pytest.raises(Invalid) as refused:
        describe_model(Model(name=SMALL, labels=str(tmp_path / "labels.txt"), **changes))

    assert refused.value.field == field
    for word in words:
        assert word in refused.value.message


def test_a_loaded_model_is_ready_to_infer() -> None:
    module = loaded().module

    assert not module.training
    assert not any(parameter.requires_grad for parameter in module.parameters())
