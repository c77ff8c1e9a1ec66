"""What a job may say about its model, and what is said back where it can't be had."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torchvision.models
from torchvision.models import get_model_weights

from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_worker.models.loading import LoadedModel, describe_model, load_model
from support.models import IMAGENET_NAMES, SMALL, loaded, noise, trained, written

State = dict[str, torch.Tensor]


def load(name: str = SMALL, *, image_size: int = 64, **changes: Any) -> LoadedModel:
    return load_model(Model(name=name, image_size=image_size, **changes))


def logits(module: torch.nn.Module, side: int = 64) -> torch.Tensor:
    pictures = torch.from_numpy(noise(2, side)).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        found: torch.Tensor = module(pictures)
    return found


# Names


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
        pytest.param({"name": "qqqq"}, "spec.model.name", ["efficientnet_lite0"], id="a name far off"),
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
            ["1000 classes, not 10"],
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


# Weights in a file


@pytest.mark.parametrize(
    ("file", "wrap", "write"),
    [
        pytest.param("a.pth", lambda state: state, torch.save, id="a state_dict"),
        pytest.param("a.pt", lambda state: {"state_dict": state, "epoch": 3}, torch.save, id="within a checkpoint"),
        pytest.param("a.pth", lambda state: {"model": state, "args": None}, torch.save, id="within torchvision's own"),
        pytest.param(
            "a.pth",
            lambda state: {f"module.{name}": value for name, value in state.items()},
            torch.save,
            id="DataParallel's",
        ),
        pytest.param(
            "a.pth",
            lambda state: {f"_orig_mod.{name}": value for name, value in state.items()},
            torch.save,
            id="compile's",
        ),
        pytest.param("a.safetensors", lambda state: state, safetensors.torch.save_file, id="safetensors"),
    ],
)
def test_weights_are_read_from_a_file(
    tmp_path: Path, file: str, wrap: Callable[[State], Any], write: Callable[..., None]
) -> None:
    network = trained()

    model = load(weights=written(tmp_path / file, wrap(network.state_dict()), write))

    assert torch.equal(logits(model.module), logits(network))
    assert model.weights_digest == load(weights=written(tmp_path / "plain.pth", network.state_dict())).weights_digest


def test_half_precision_weights_are_taken_as_fp32(tmp_path: Path) -> None:
    state = {name: value.half() for name, value in trained().state_dict().items()}

    model = load(weights=written(tmp_path / "half.pth", state))

    assert {value.dtype for value in model.module.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param("googlenet", {"init_weights": False}, id="heads that only training uses are left out"),
        pytest.param("mnasnet0_5", {}, id="a version that safetensors doesn't carry is not taken for the first"),
    ],
)
def test_other_spellings_of_weights_are_understood(tmp_path: Path, name: str, options: dict[str, bool]) -> None:
    network = trained(name, **options)

    model = load(name, weights=written(tmp_path / "a.safetensors", network.state_dict(), safetensors.torch.save_file))

    if name == "googlenet":
        setattr(network, "transform_input", True)  # noqa: B010 # as with torchvision's own weights
    assert torch.allclose(logits(model.module), logits(network), atol=1e-5)


def test_densenets_published_spelling_is_understood(tmp_path: Path) -> None:
    network = trained("densenet121")
    published = {
        name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value
        for name, value in network.state_dict().items()
    }

    model = load("densenet121", weights=written(tmp_path / "old.pth", published))

    assert torch.equal(logits(model.module), logits(network))


class Attack:
    """A pickle that would create a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def test_a_file_that_would_run_code_is_refused_and_does_not_run_it(tmp_path: Path) -> None:
    weights = written(tmp_path / "evil.pth", {"state_dict": Attack(tmp_path / "trace")})

    with pytest.raises(
        Invalid,
        match=r"save only the tensors with torch\.save\(model\.state_dict\(\), path\), because a pickle may run code",
    ):
        load(weights=weights)

    assert not (tmp_path / "trace").exists()


def without(name: str) -> Callable[[State], Any]:
    return lambda state: {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(without("classifier.1.bias"), ["classifier.1.bias is missing"], id="a missing tensor"),
        pytest.param(
            lambda state: state | {"extra.weight": torch.zeros(1)},
            ["extra.weight has no place"],
            id="a tensor too many",
        ),
        pytest.param(
            lambda state: state | {"features.0.bias": torch.zeros(3)},
            ["features.0.bias is 3, not 64"],
            id="another shape",
        ),
        pytest.param(
            lambda state: {f"other.{key}": value for key, value in state.items()},
            ["features.0.weight is missing", "and 101 more"],
            id="another model",
        ),
        pytest.param(
            lambda state: state | {"features.0.bias": torch.full((64,), float("nan"))},
            ["are not finite", "features.0.bias"],
            id="values that are no numbers",
        ),
        pytest.param(lambda state: {"epoch": 3}, ["holds no state_dict"], id="no tensors at all"),
        pytest.param(lambda state: list(state.values()), ["holds no state_dict"], id="tensors without names"),
        pytest.param(lambda state: {}, ["holds no state_dict"], id="nothing"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_a_few_of_the_names(
    tmp_path: Path, change: Callable[[State], Any], words: list[str]
) -> None:
    with pytest.raises(Invalid) as refused:
        load(weights=written(tmp_path / "a.pth", change(trained().state_dict())))

    assert refused.value.field == "spec.model.weights"
    assert "a.pth" in refused.value.message
    for word in words:
        assert word in refused.value.message


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
@pytest.mark.parametrize("content", [b"", b"weights, honestly", b"PK\x03\x04" + bytes(100)])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(Invalid, match=name):
        load(weights=str(tmp_path / name))


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = Path(written(tmp_path / "a.pth", trained().state_dict()))
    path.write_bytes(path.read_bytes()[:-1000])

    with pytest.raises(Invalid, match=r"a\.pth can't be read as weights"):
        load(weights=str(path))


# Weights by name


def test_published_weights_are_taken_from_torchs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    network = trained("efficientnet_b0")
    written(tmp_path / "hub" / "checkpoints" / "efficientnet_b0_rwightman-7f5810bc.pth", network.state_dict())

    by_name, by_default = (load("efficientnet_b0", weights=name) for name in ("IMAGENET1K_V1", "DEFAULT"))

    assert torch.equal(logits(by_name.module), logits(network))
    assert by_name.weights_digest == by_default.weights_digest


def test_without_the_internet_the_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")  # nobody listens there

    with pytest.raises(Invalid, match=r"IMAGENET1K_V1 can't be downloaded.*path of a file") as refused:
        load("efficientnet_b0", weights="DEFAULT")

    assert refused.value.field == "spec.model.weights"
    assert "efficientnet_b0_rwightman-7f5810bc.pth" in refused.value.message


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
        pytest.param(b"a\nb\n", {}, "spec.model.labels", ["1000 classes, not 2"], id="not the weights' number"),
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


def test_weights_with_another_class_count_say_which(tmp_path: Path) -> None:
    weights = written(tmp_path / "a.pth", trained(classes=10).state_dict())

    with pytest.raises(
        Invalid, match=r"a\.pth has 10 outputs, but the job has 1000 classes; set classes to 10"
    ) as refused:
        load(weights=weights)

    assert refused.value.field == "spec.model.classes"
    assert len(load(weights=weights, classes=10).labels) == 10


# Digest


def test_one_bit_makes_another_digest(tmp_path: Path) -> None:
    state = trained().state_dict()
    digests = [load(weights=written(tmp_path / "a.pth", state)).weights_digest]
    state["features.0.bias"].view(torch.int32)[0] ^= 1
    digests.append(load(weights=written(tmp_path / "b.pth", state)).weights_digest)

    assert digests[0] != digests[1]
    assert [len(digest) for digest in digests] == [64, 64]


def test_a_loaded_model_is_ready_to_infer() -> None:
    module = loaded().module

    assert not module.training
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="save only the tensors"):
        load(weights=written(tmp_path / "a.pth", trained()))
