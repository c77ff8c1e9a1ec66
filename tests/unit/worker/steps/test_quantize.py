"""The index step of a job at int8: what it keeps of the network's agreement with fp32, and what no job fails of."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from dueby_api.agreement import Agreement
from dueby_api.schema import decode, validate
from dueby_api.step_config import IndexConfig
from dueby_api.step_messages import IndexResult
from dueby_worker.output.quantized import quantized_path
from dueby_worker.steps.index_step import index_source
from support.models import SMALL, trained, written
from support.onnx_files import SIDE, write_model
from support.pictures import write_photos

pytestmark = pytest.mark.skipif(find_spec("nncf") is None, reason="needs NNCF: pip install 'dueby[int8]'")

# A network that can be loaded and quantized, and fails when PyTorch gives it an image alone.
FAILING = """
import torch
from torch import nn

class Failing(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 6, 3, stride=2)

    def forward(self, images):
        if len(images) == 1 and not torch.jit.is_tracing():
            raise LookupError("no such drawer\\nin the second cupboard")
        return self.body(images).relu().mean((2, 3))

def make():
    preparation = {"size": 64, "interpolation": "bilinear", "divideBy": 255, "mean": [0, 0, 0], "std": [1, 1, 1]}
    return {"network": Failing(), "input": preparation, "values": "Logits", "labels": list("abcdef")}
"""


def config(folder: Path, photos: int, **changes: Any) -> IndexConfig:
    """A job at int8 on so many photos, with a network so small that it is quantized at once."""
    if photos:
        write_photos(folder / "photos", photos)
    weights = str(write_model(folder).path)
    model = {"name": "onnx/small", "weights": weights, "imageSize": SIDE, "precision": "int8"}
    document = {
        "job": "catalog",
        "sink": {"uri": str(folder / "rows")},
        "source": {"uri": str(folder / "photos")},
        **changes,
    }
    return validate(IndexConfig, document | {"model": model | changes.get("model", {})})


def kept(folder: Path, found: IndexResult) -> tuple[Path, Path]:
    """The network in the sink, and what is noted of its agreement."""
    network = folder / "rows" / quantized_path(found.fingerprint)
    return network, network.with_suffix(".json")


def test_it_is_measured_once_on_images_that_it_was_not_quantized_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    job = config(tmp_path, 70)
    found = index_source(job)
    assert found.agreement is not None
    # The first 64 that were drawn are for quantizing.
    assert found.agreement.photos == 6
    assert found.agreement.same_top1 is not None
    assert 0 <= found.agreement.same_top1 <= 1
    assert found.agreement.max_difference is not None
    said = capfd.readouterr().err
    assert "quantizing to int8: 64 images\ncomparing int8 with fp32: 6 images\n" in said

    network, noted = kept(tmp_path, found)
    assert decode(Agreement, noted.read_bytes()) == found.agreement
    # A step that is repeated says what is noted, whatever that is, and measures nothing.
    other = found.agreement.replace(same_top1=0.123)
    noted.write_text(json.dumps(other.document()))
    made_ns = network.stat().st_mtime_ns
    assert index_source(job).agreement == other
    assert "int8" not in capfd.readouterr().err
    assert network.stat().st_mtime_ns == made_ns

    # The step that made the network was killed while it compared: whatever killed it is not done again.
    noted.unlink()
    assert index_source(job).agreement is None
    assert "int8" not in capfd.readouterr().err
    noted.write_text("what another version has written")
    assert index_source(job).agreement is None


@pytest.mark.parametrize(
    ("changes", "photos", "reason"),
    [
        pytest.param({"model": {"name": SMALL, "weights": "none"}}, 3, "the weights are random", id="random weights"),
        pytest.param({"source": {"synthetic": {}}, "images": 70}, 0, "there are no photos", id="synthetic images"),
        pytest.param({}, 3, "it was quantized on all images that there are", id="few images"),
    ],
)
def test_where_there_is_nothing_to_compare_the_step_says_so_and_is_done(
    changes: dict[str, Any], photos: int, reason: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = index_source(config(tmp_path, photos, **changes))
    assert found.agreement is None
    assert f"how far int8 is from fp32 is not measured: {reason}\n" in capfd.readouterr().err
    network, noted = kept(tmp_path, found)
    assert network.exists()
    assert not noted.exists()


def test_images_that_can_not_be_read_are_not_counted_and_of_all_probabilities_the_best_one_is_compared(
    tmp_path: Path,
) -> None:
    job = config(tmp_path, 68, output={"kind": "Probabilities"})
    for broken in sorted((tmp_path / "photos").iterdir())[:3]:
        broken.write_bytes(b"no photo")
    found = index_source(job)
    assert found.agreement is not None
    assert found.agreement.photos == 1
    assert "of 1 photo have fp32's best class" in found.agreement.sentence


def test_embeddings_are_compared_by_their_cosines(tmp_path: Path) -> None:
    weights = written(tmp_path / "weights.pt", trained().state_dict())
    model = {"name": SMALL, "weights": weights}
    found = index_source(config(tmp_path, 70, model=model, output={"kind": "Embedding"}))
    assert found.agreement is not None
    assert found.agreement.photos == 6
    assert found.agreement.same_top1 is None
    assert found.agreement.similarity is not None
    assert found.agreement.least_similarity is not None
    assert 0.9 < found.agreement.least_similarity <= found.agreement.similarity <= 1


def test_a_job_whose_network_fails_meanwhile_does_not_fail_of_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    Path("failing_network.py").write_text(FAILING)
    found = index_source(config(tmp_path, 66, model={"name": "python/failing_network:make", "weights": "DEFAULT"}))
    assert found.agreement is None
    reason = "LookupError: no such drawer\n"
    assert f"how far int8 is from fp32 is not measured: {reason}" in capfd.readouterr().err
    assert kept(tmp_path, found)[0].exists()
    sys.modules.pop("failing_network")
