"""Weights: which files and names are accepted, how they are loaded, and the messages if that is not possible."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from dueby_api.errors import Invalid
from support.models import State, load, logits, trained, written

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
            ["extra.weight is unknown"],
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


def test_weights_with_another_class_count_say_which(tmp_path: Path) -> None:
    weights = written(tmp_path / "a.pth", trained(classes=10).state_dict())

    with pytest.raises(
        Invalid, match=r"a\.pth has 10 outputs, but the job has 1,000 classes; set classes to 10"
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


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="save only the tensors"):
        load(weights=written(tmp_path / "a.pth", trained()))
