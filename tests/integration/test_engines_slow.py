"""What takes engines longer: more architectures, torch.compile, and workers that start at the same time."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dueby_api.engines import EngineName
from dueby_api.inference_job import Model
from dueby_api.output import Output
from dueby_worker.engines.build import available_engines, build_engine
from dueby_worker.engines.parity import check_parity, made_up_images
from dueby_worker.models.loading import load_model
from support.models import loaded

SIDE = 64
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


@pytest.mark.skipif("compile" not in available_engines("fp32"), reason="there is no C++ compiler")
@pytest.mark.parametrize(
    ("name", "weights", "output"),
    [
        # Few kernels, which are compiled in seconds.
        # The fewest kernels of all, each of which is compiled for seconds.
        ("alexnet", "none", Output()),
        ("alexnet", "none", Output(kind="Embedding", normalize=True)),
        pytest.param("efficientnet_lite0", "DEFAULT", Output(), marks=pytest.mark.deep),
    ],
)
def test_compiled_code_says_what_plain_fp32_says(
    name: str, weights: str, output: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "elsewhere"))  # the engine sets it: undone afterwards
    model = load_model(Model(name=name, weights=weights, image_size=SIDE), output)
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


@pytest.mark.skipif("openvino" not in available_engines("fp32"), reason="OpenVINO is not installed")
def test_workers_that_start_together_share_one_converted_network(tmp_path: Path) -> None:
    workers = [subprocess.Popen([sys.executable, "-W", "error", "-c", WORKER, str(tmp_path)]) for _ in range(3)]

    assert [worker.wait(timeout=120) for worker in workers] == [0, 0, 0]
    (converted,) = (tmp_path / "openvino").iterdir()
    assert sorted(path.name for path in converted.iterdir()) == ["network.bin", "network.xml"]
