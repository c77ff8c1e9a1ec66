"""Every engine of this machine gives each kind of output as plain fp32 PyTorch does."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dueby_api.engines import EngineName
from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_api.output import Output, Threshold
from dueby_worker.engines.build import available_engines, build_engine
from dueby_worker.engines.network import Network
from dueby_worker.engines.parity import compare, made_up_images
from dueby_worker.models.columns import Columns
from dueby_worker.models.loading import LoadedModel, load_model

SIDE = 64
# torch.compile has a test of its own, among the slow ones.
ENGINES = [name for name in available_engines("fp32") if name != "compile"]
IMAGES = made_up_images(3, SIDE)
OUTPUTS: dict[str, dict[str, Any]] = {
    "seven classes": {"k": 7},
    "one class and a flag": {"k": 1, "threshold": Threshold(label="golden retriever", above=0.001)},
    "probabilities": {"kind": "Probabilities"},
    "an embedding": {"kind": "Embedding"},
    "a normalized embedding": {"kind": "Embedding", "normalize": True},
    "half an embedding": {"kind": "Embedding", "dtype": "float16"},
    "a layer": {"kind": "Embedding", "layer": "blocks.10"},
}


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def load(**output: Any) -> LoadedModel:
    return loaded(Output(**output))


@cache
def loaded(output: Output) -> LoadedModel:
    """Return the model, loaded once for all tests: engines must not change it."""
    return load_model(Model(name="efficientnet_lite0", image_size=SIDE), output)


def run(name: EngineName, model: LoadedModel, cache_dir: Path, images: np.ndarray = IMAGES) -> Columns:
    engine = build_engine(
        name=name, loaded=model, mini_batch_size=len(images), precision="fp32", threads=1, cache_dir=cache_dir
    )
    buffer = engine.buffer()
    buffer[...] = images
    engine.submit(buffer)
    first = engine.collect()
    kept = {column: values.copy() for column, values in first.items()}
    buffer[...] = images[::-1]
    engine.submit(buffer)
    engine.collect()
    engine.close()
    for column, values in first.items():
        np.testing.assert_array_equal(values, kept[column], err_msg="the next mini-batch changed what was collected")
    return first


@pytest.mark.parametrize("output", OUTPUTS.values(), ids=OUTPUTS)
@pytest.mark.parametrize("name", ENGINES)
def test_each_output_has_its_columns_and_the_values_of_plain_fp32(
    name: EngineName, output: dict[str, Any], cache_dir: Path
) -> None:
    model = load(**output)
    found = run(name, model, cache_dir)

    assert {name: (column.shape, column.dtype) for name, column in found.items()} == {
        name: ((3, column.width), column.dtype) for name, column in model.columns.items()
    }
    parity = compare(IMAGES, found, loaded=model, precision="fp32", threads=1)
    assert parity.ok, parity.sentence
    assert parity.max_difference is not None
    assert parity.max_difference < (1e-3 if output.get("dtype") == "float16" else 2e-5)


@pytest.mark.parametrize("name", ENGINES)
def test_probabilities_and_vectors_are_what_they_are_called(name: EngineName, cache_dir: Path) -> None:
    probabilities = run(name, load(kind="Probabilities"), cache_dir)["probabilities"]
    assert probabilities.shape == (3, 1000)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    best = run(name, load(), cache_dir)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), best["classes"][:, 0])

    vectors = run(name, load(kind="Embedding"), cache_dir)["embedding"]
    normalized = run(name, load(kind="Embedding", normalize=True), cache_dir)["embedding"]
    np.testing.assert_allclose(np.linalg.norm(normalized, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(normalized, vectors / np.linalg.norm(vectors, axis=1)[:, None], atol=1e-5)


@pytest.mark.parametrize("name", ENGINES)
def test_a_threshold_is_of_one_label_wherever_it_ranks(name: EngineName, cache_dir: Path) -> None:
    probabilities = run(name, load(kind="Probabilities"), cache_dir)["probabilities"]
    labels = load().labels
    best = probabilities.argmax(axis=1)
    between = float(np.sort(probabilities[:, best[0]])[-2:].mean())  # one image is above it, and two below

    found = run(name, load(k=1, threshold=Threshold(label=labels[best[0]], above=between)), cache_dir)

    assert found["flagged"][:, 0].tolist() == (probabilities[:, best[0]] > between).tolist()
    assert found["flagged"].sum() == 1
    with pytest.raises(Invalid, match="the model has no label 'golden retreiver'; did you mean golden retriever"):
        load(threshold=Threshold(label="golden retreiver", above=0.5))


@pytest.mark.parametrize(
    ("output", "change", "ok"),
    [
        pytest.param({"kind": "Embedding"}, 5e-5, True, id="rounding"),
        pytest.param({"kind": "Embedding"}, 2e-4, False, id="more than rounding"),
        pytest.param({"kind": "Embedding", "dtype": "float16"}, 5e-4, True, id="float16's rounding"),
        pytest.param({"kind": "Embedding", "dtype": "float16"}, 3e-3, False, id="more than float16's"),
        pytest.param({"kind": "Embedding"}, float("nan"), False, id="no number at all"),
        pytest.param({"kind": "Probabilities"}, 5e-5, True, id="rounding of probabilities"),
        pytest.param({"kind": "Probabilities"}, 2e-3, False, id="other probabilities"),
    ],
)
def test_parity_is_judged_by_what_the_rows_hold(output: dict[str, Any], change: float, ok: bool) -> None:
    model = load(**output)
    with torch.inference_mode():
        values = Network(model.module, model.preprocessing)(torch.from_numpy(IMAGES))
    plain = values.softmax(dim=1).numpy() if output["kind"] == "Probabilities" else values.numpy()
    ((name, column),) = model.columns.items()

    changed = {name: (plain * (1 + change)).astype(column.dtype)}
    parity = compare(IMAGES, changed, loaded=model, precision="fp32", threads=1)

    assert parity.ok is ok, parity.sentence
    assert ("DISAGREES" in parity.sentence) is not ok
    assert (parity.same_top1 is None) is (output["kind"] == "Embedding")
