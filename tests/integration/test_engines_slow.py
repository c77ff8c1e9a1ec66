"""What takes engines longer: more architectures, torch.compile, and workers that start at the same time."""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch
import torch._dynamo
from torch import nn

from dueby_api.engines import EngineName
from dueby_api.inference_job import Model
from dueby_api.output import Output
from dueby_worker.engines.build import available_engines, build_engine
from dueby_worker.engines.compiled import compile_network
from dueby_worker.engines.network import Network, RowNetwork
from dueby_worker.engines.parity import check_parity, made_up_images
from dueby_worker.models.loading import LoadedModel, load_model
from support.killed import killed_with_block
from support.models import SMALL, loaded
from support.run import MAX_WAIT_S

SIDE, VALUES = 64, 8
WORKER = f"""
import sys
from pathlib import Path
from dueby_api.inference_job import Model
from dueby_worker.engines.build import build_engine
from dueby_worker.engines.parity import check_parity
from dueby_worker.models.loading import load_model

model = load_model(Model(name="efficientnet_lite0", image_size={SIDE}))
engine = build_engine(
    name="openvino", loaded=model, mini_batch_size=2, precision="fp32", threads=1, cache_dir=Path(sys.argv[1])
)
sys.exit(0 if check_parity(engine, model).ok else 1)
"""


@pytest.mark.parametrize("name", [name for name in available_engines("fp32") if name in ("eager", "openvino")])
@pytest.mark.parametrize(
    "model",
    [
        "efficientnet_b0",
        "vit_b_32",
        *(pytest.param(name, marks=pytest.mark.deep) for name in ("densenet121", "regnet_y_400mf", "swin_t")),
    ],
)
def test_an_engine_says_what_plain_fp32_says_of_any_architecture(name: EngineName, model: str) -> None:
    given = loaded(model, image_size=SIDE)
    engine = build_engine(name=name, loaded=given, mini_batch_size=3, precision="fp32", threads=1)

    parity = check_parity(engine, given)

    assert parity.ok, parity.sentence


class TinyNetwork(nn.Module):
    """As few kernels as an image classifier can have."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Conv2d(3, VALUES, 3), nn.Linear(VALUES, VALUES)

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """Return VALUES values of each image."""
        values: torch.Tensor = self.head(self.body(planes).relu().mean((2, 3)))
        return values


def tiny(output: Output) -> LoadedModel:
    """Return the tiny network in place of a larger one, each of whose kernels is compiled for seconds."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = TinyNetwork().eval().requires_grad_(False)
    return load_model(Model(name=SMALL, weights="none", image_size=SIDE, classes=VALUES), output).replace(
        module=network
    )


def lite0(output: Output) -> LoadedModel:
    return load_model(Model(name="efficientnet_lite0", weights="DEFAULT", image_size=SIDE), output)


@pytest.mark.skipif("compile" not in available_engines("fp32"), reason="there is no C++ compiler")
@pytest.mark.parametrize(
    ("load", "output"),
    [
        pytest.param(tiny, Output(), id="tiny"),
        pytest.param(tiny, Output(kind="Embedding", normalize=True), id="tiny, embedding"),
        pytest.param(lite0, Output(), id="lite0", marks=pytest.mark.deep),
    ],
)
def test_compiled_code_says_what_plain_fp32_says(
    load: Callable[[Output], LoadedModel], output: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))  # the engine sets it: undone afterwards
    model = load(output)
    engine = build_engine(
        name="compile", loaded=model, mini_batch_size=2, precision="fp32", threads=1, cache_dir=tmp_path
    )

    parity = check_parity(engine, model)

    assert parity.ok, parity.sentence
    assert any((tmp_path / "inductor").rglob("*"))
    buffer = engine.buffer()
    buffer[...] = made_up_images(2, SIDE)
    results = []
    for _ in range(2):
        engine.submit(buffer)
        results.append(engine.collect())
    assert all(np.array_equal(values, results[1][column]) for column, values in results[0].items())


@pytest.mark.skipif("compile" not in available_engines("fp32"), reason="there is no C++ compiler")
@pytest.mark.parametrize("constant_weights", [True, False])
# By default it is the ninth shape that would run as it is, which takes long to reach.
@torch._dynamo.config.patch(recompile_limit=1)  # type: ignore[untyped-decorator]
def test_every_shape_is_compiled_however_many_the_process_has_seen(
    constant_weights: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    model = loaded(image_size=SIDE)
    network = RowNetwork(Network(TinyNetwork(), model.preprocessing), model.rule).eval().requires_grad_(False)

    for size in (2, 3):
        images, folder = torch.from_numpy(made_up_images(size, SIDE)), tmp_path / str(size)
        compiled = compile_network(network, images, cache_dir=folder, constant_weights=constant_weights)
        with torch.inference_mode():
            found, expected = compiled(images), network(images)

        assert any((folder / "inductor").rglob("*.cpp"))
        assert torch.equal(found["classes"], expected["classes"])
        assert torch.allclose(found["scores"], expected["scores"], atol=1e-6)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif("openvino" not in available_engines("fp32"), reason="OpenVINO is not installed")
def test_workers_that_start_together_share_one_converted_network(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", WORKER, str(tmp_path)]
    with ExitStack() as stack:
        workers = [stack.enter_context(killed_with_block(command)) for _ in range(3)]
        assert [worker.wait(MAX_WAIT_S) for worker in workers] == [0, 0, 0]

    (converted,) = (tmp_path / "openvino").iterdir()
    assert sorted(path.name for path in converted.iterdir()) == ["network.bin", "network.xml"]
