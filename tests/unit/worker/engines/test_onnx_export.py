"""Networks as ONNX files: they compute what PyTorch does, in the types of the precision, for exactly one shape."""

from pathlib import Path
from typing import cast

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from dueby_api.engines import Precision
from dueby_api.errors import Invalid
from dueby_worker.engines.network import DTYPES, Network, tuned_network
from dueby_worker.engines.tensorrt import INPUT, OUTPUT, export_onnx
from dueby_worker.models.loading import LoadedModel
from support.models import load, loaded, trained, written

COUNT = 3
# ONNX's names of the types.
TYPES: dict[Precision, str] = {"fp32": "FLOAT", "fp16": "FLOAT16", "bf16": "BFLOAT16"}


class Attention(nn.Module):
    """nn.MultiheadAttention as torchvision's ViT has it, and an argument that timm's networks have."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, num_heads=2, batch_first=True)

    def forward(self, images: torch.Tensor, is_causal: bool = False) -> torch.Tensor:
        tokens = images.flatten(2)[:, :, :16]
        values: torch.Tensor = self.attention(tokens, tokens, tokens, need_weights=False, is_causal=is_causal)[0]
        return values.mean(1)


class Refuses(nn.Module):
    """A network of somebody's own that fails."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        raise KeyError("no such planes")


def images_of(side: int, precision: Precision = "fp32") -> torch.Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return torch.rand(COUNT, 3, side, side).to(DTYPES[precision])


def export(model: LoadedModel, folder: Path, precision: Precision = "fp32") -> Path:
    """Export the model as the engine for GPUs does, but on the CPU."""
    network = cast(Network, tuned_network(model, precision).network).module
    images = images_of(model.preprocessing.crop_side, precision)
    export_onnx(network, name=model.name, images=images, file=folder / "network.onnx")
    return folder / "network.onnx"


def computed(file: Path, images: torch.Tensor) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    (values,) = session.run([OUTPUT], {INPUT: images.numpy()})
    return np.asarray(values)


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("resnet18", 64),
        ("shufflenet_v2_x0_5", 64),
        ("timm/mobilenetv3_small_050", 64),
        ("timm/test_vit", 160),
    ],
)
def test_a_file_computes_what_the_network_does(name: str, side: int, tmp_path: Path) -> None:
    model = loaded(name, image_size=side)
    images = images_of(side)

    found = computed(export(model, tmp_path), images)

    with torch.inference_mode():
        torch.testing.assert_close(torch.from_numpy(found), model.module(images), atol=1e-5, rtol=1e-4)


def test_a_trained_network_is_exported_with_its_weights(tmp_path: Path) -> None:
    weights = written(tmp_path / "weights.pt", trained("resnet18").state_dict())
    model = load("resnet18", weights=weights)
    images = images_of(64)

    found = torch.from_numpy(computed(export(model, tmp_path), images)).softmax(1)

    with torch.inference_mode():
        torch.testing.assert_close(found, model.module(images).softmax(1), atol=1e-5, rtol=1e-4)
    assert found.std() > 0


@pytest.mark.parametrize("precision", TYPES)
def test_a_file_has_the_types_of_the_precision_and_no_open_axis(precision: Precision, tmp_path: Path) -> None:
    """TensorRT computes in the types that it finds."""
    graph = onnx.load(export(loaded("resnet18"), tmp_path, precision)).graph

    tensors = [value.type.tensor_type for value in (*graph.input, *graph.output)]
    types = {onnx.TensorProto.DataType.Name(tensor.elem_type) for tensor in tensors}
    weights = {onnx.TensorProto.DataType.Name(weight.data_type) for weight in graph.initializer}
    assert types == weights == {TYPES[precision]}
    assert [[axis.dim_value for axis in tensor.shape.dim] for tensor in tensors] == [[COUNT, 3, 64, 64], [COUNT, 1000]]
    assert not [node for node in graph.node if node.op_type == "BatchNormalization"]


def test_halves_are_near_the_network_in_full(tmp_path: Path) -> None:
    model = loaded("resnet18")

    found = torch.from_numpy(computed(export(model, tmp_path, "fp16"), images_of(64, "fp16"))).float().softmax(1)

    with torch.inference_mode():
        torch.testing.assert_close(found, model.module(images_of(64)).softmax(1), atol=0.01, rtol=0)


def test_attention_is_exported_and_pytorch_is_left_as_it_was(tmp_path: Path) -> None:
    network = Attention().eval()
    images = images_of(8)
    before = torch.backends.mha.get_fastpath_enabled()

    export_onnx(network, name="own", images=images, file=tmp_path / "network.onnx")

    assert torch.backends.mha.get_fastpath_enabled() == before
    with torch.inference_mode():
        torch.testing.assert_close(torch.from_numpy(computed(tmp_path / "network.onnx", images)), network(images))


def test_a_network_that_can_not_be_exported_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        Invalid, match=r"own can't be exported to ONNX: .*no such planes.*; use the engine cudagraph"
    ) as error:
        export_onnx(Refuses(), name="own", images=images_of(8), file=tmp_path / "network.onnx")

    assert error.value.field == "spec.model.engine"
