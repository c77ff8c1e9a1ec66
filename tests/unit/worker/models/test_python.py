"""Networks that people's own code makes: they answer as they are, and what fails becomes a sentence."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dueby_api.engines import EngineName
from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_api.output import Output
from dueby_profiler.monitor.warmup_rows import weigh
from dueby_worker.engines.build import build_engine
from dueby_worker.engines.openvino_network import network_key
from dueby_worker.engines.parity import check_parity, made_up_images
from dueby_worker.models.known_model import note_model
from dueby_worker.models.loading import LoadedModel, load_model

SIDE = 64
CODE = """
import torch
from torch import nn

class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 6, 3, stride=2)
        self.head = nn.Linear(6, 3)

    def forward(self, images):
        found = self.body(images).relu().mean((2, 3))
        if found.dim() == 2 and len(images) > 0:  # control flow, which torch.fx can't trace
            found = 8 * found
        return self.head(found)

def make():
    preparation = {"size": 64, "interpolation": "bicubic", "divideBy": 127.5, "mean": [1, 1, 1], "std": [1, 1, 1]}
    return {"network": Own(), "input": preparation, "values": "Logits", "labels": ["ant", "bee", "cat"]}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder where dueby runs; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def load(code: str, *, module: str = "own_network", weights: str = "DEFAULT", **output: Any) -> LoadedModel:
    sys.modules.pop(module, None)
    Path(f"{module}.py").write_text(code)
    return load_model(Model(name=f"python/{module}:make", weights=weights, image_size=SIDE), Output(**output))


def refusal(code: str, **changes: Any) -> str:
    with pytest.raises(Invalid) as refused:
        load(code, **changes)
    return str(refused.value)


@pytest.mark.parametrize("engine", ["eager", "openvino"])
def test_it_answers_as_it_does_in_plain_pytorch(engine: EngineName, tmp_path: Path) -> None:
    loaded = load(CODE, kind="Probabilities")
    images = made_up_images(3, SIDE)
    built = build_engine(
        name=engine, loaded=loaded, mini_batch_size=3, precision="fp32", threads=1, cache_dir=tmp_path / "cache"
    )
    buffer = built.buffer()
    buffer[...] = images
    built.submit(buffer)
    found = built.collect()["probabilities"]

    planes = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.inference_mode():
        wanted = loaded.module(planes).softmax(dim=1)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert loaded.labels == ("ant", "bee", "cat")
    parity = check_parity(built, loaded)
    assert parity.ok, parity.sentence


def test_the_digest_is_that_of_weights_and_code_and_nothing_is_noted(tmp_path: Path) -> None:
    first, second = load(CODE), load(CODE)
    assert first.weights_digest == second.weights_digest, "random weights are the same each time"
    assert load(CODE + "\n# another version\n").weights_digest != first.weights_digest

    state = {name: tensor + 1 for name, tensor in first.module.state_dict().items()}
    torch.save(state, tmp_path / "other.pth")
    other = load(CODE, weights="other.pth")
    assert other.weights_digest != first.weights_digest
    assert torch.equal(other.module.state_dict()["head.bias"], state["head.bias"])

    note_model(Model(name="python/own_network:make"), first, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_another_version_of_what_it_imports_is_converted_again(tmp_path: Path) -> None:
    code = CODE.replace("import torch\n", "import torch\nfrom factor import FACTOR\n", 1).replace(
        "8 * found", "FACTOR * found"
    )
    keys = list[str]()
    for factor in (8, 8, -80):
        sys.modules.pop("factor", None)
        Path("factor.py").write_text(f"FACTOR = {factor}\n")
        loaded = load(code)
        keys.append(network_key(loaded))
        built = build_engine(
            name="openvino", loaded=loaded, mini_batch_size=2, precision="fp32", threads=1, cache_dir=tmp_path / "cache"
        )
        parity = check_parity(built, loaded)
        assert parity.ok, parity.sentence
    assert keys[0] == keys[1] != keys[2]


def test_an_embedding_is_what_goes_into_its_last_layer() -> None:
    loaded = load(CODE, kind="Embedding")
    assert loaded.values == 6
    flat = CODE.replace("self.head(found)", "found[:, :3]").replace("self.head = nn.Linear(6, 3)", "")
    assert load(flat).values == 3
    assert "are not those of body, its last layer, alone; name a layer" in refusal(flat, kind="Embedding")
    untraceable = CODE.replace("found.dim() == 2", "found.sum() == found.sum()")
    assert "body can't be found, because torch.fx can't trace" in refusal(untraceable, kind="Embedding", layer="body")
    bare = flat.replace("nn.Conv2d(3, 6, 3, stride=2)", "nn.MaxPool2d(2)")
    assert "the network has no last layer that could be left out; name a layer" in refusal(bare, kind="Embedding")


def test_how_heavy_it_is_can_be_counted() -> None:
    load(CODE)
    weight = weigh(Model(name="python/own_network:make", image_size=SIDE))
    assert weight.parameters == 3 * 6 * 9 + 6 + 6 * 3 + 3
    assert weight.image_flops > weight.parameters


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(("return self.head", "return self.heads"), "'Own' object has no attribute 'heads'", id="forward"),
        pytest.param(("    return {", "    1 / 0\n    return {"), "ZeroDivisionError: division by zero (", id="make"),
        pytest.param(
            ("    return {", "    exit(3)\n    return {"), "own_network:make failed: SystemExit: 3", id="exit"
        ),
        pytest.param(("import torch\n", "import torch, no_such\n"), "No module named 'no_such'", id="an import"),
        pytest.param(("def make", "def  make("), "can't be imported: SyntaxError", id="no Python"),
        pytest.param(("def make", "def built"), "own_network has no function make", id="no function"),
        pytest.param(('"network": Own(), ', ""), "returned a dict: return {'network': ...", id="no network"),
        pytest.param(('"network": Own()', '"network": 3'), "returned a int as network: return {", id="a number"),
        pytest.param(("    return {", "    return 7\n    return {"), "returned a int: return {'network'", id="no dict"),
        pytest.param(('"Logits"', '"Scores"'), "values: must be one of Logits, Probabilities", id="other values"),
        pytest.param(('"Logits"', '"Probabilities"'), "the values of the network are none: set Logits", id="logits"),
        pytest.param((', "cat"]', "]"), "labels: has 2, but the network has 3 values of an image", id="few labels"),
        pytest.param(('"size": 64', '"sise": 64'), "there is no such field; did you mean size?", id="a field"),
        pytest.param(
            ("self.head(found)", "found.sum()"),
            "returns the shape [] for 2 images: it must return",
            id="a number for all",
        ),
        pytest.param(("self.head(found)", "self.head(found) / 0"), "values that are not finite numbers", id="nan"),
        pytest.param(("nn.Linear(6, 3)", "nn.Linear(7, 3)"), "can't take 2 images of 64 px: RuntimeError", id="shapes"),
    ],
)
def test_what_fails_becomes_a_sentence(change: tuple[str, str], words: str) -> None:
    old, new = change
    assert old in CODE

    said = refusal(CODE.replace(old, new, 1))

    assert words in said
    assert "Traceback" not in said
    assert len(said.splitlines()) == 1


def test_a_module_that_there_is_not_is_refused_with_where_to_put_it() -> None:
    with pytest.raises(Invalid, match="there is no module no_such_one: put it into the folder where dueby runs"):
        load_model(Model(name="python/no_such_one.inner:make"))


def test_a_network_that_can_not_be_converted_is_refused_by_that_engine_alone() -> None:
    loaded = load(
        CODE.replace("return self.head", "assert not torch.jit.is_tracing(), 'not me'\n        return self.head")
    )
    options: dict[str, Any] = {"mini_batch_size": 2, "precision": "fp32", "threads": 1, "cache_dir": None}
    build_engine(name="eager", loaded=loaded, **options)
    with pytest.raises(Invalid, match=r"OpenVINO can't convert python/own_network:make: .*; use the engine eager"):
        build_engine(name="openvino", loaded=loaded, **options)


def test_a_network_that_can_not_be_converted_mutes_nobody() -> None:
    root = logging.getLogger()
    before = root.level, list(root.filters), list(root.handlers)
    loaded = load(CODE.replace("return self.head", "assert not torch.jit.is_tracing()\n        return self.head"))
    with pytest.raises(Invalid, match="OpenVINO can't convert"):
        build_engine(name="openvino", loaded=loaded, mini_batch_size=2, precision="fp32", threads=1, cache_dir=None)
    assert (root.level, root.filters, root.handlers) == before


def test_a_file_does_not_take_the_place_of_a_library() -> None:
    Path("numpy.py").write_text("raise RuntimeError")
    load(CODE)
    assert sys.path[-1] == str(Path.cwd())
