"""ONNX files of a small network, and the same network in PyTorch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import yaml
from onnx import TensorProto, helper, numpy_helper
from torch import nn

LABELS = ["ant", "bee", "cat", "dog", "eel"]
SIDE = 64
FEATURES = 6
DESCRIPTION: dict[str, Any] = {
    "input": {
        "layout": "NCHW",
        "channels": "RGB",
        "size": SIDE,
        "interpolation": "bilinear",
        "divideBy": 255,
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.3, 0.4],
    },
    "values": "Logits",
    "labels": LABELS,
}
TYPES = {
    "float": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "uint8": TensorProto.UINT8,
    "double": TensorProto.DOUBLE,
}


class Network(nn.Module):
    """A convolution, its map's mean, and a linear layer with logits that are far apart."""

    def __init__(self, *, shift: float = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(7)
            self.convolution = nn.Conv2d(3, FEATURES, 3, stride=2)
            self.linear = nn.Linear(FEATURES, len(LABELS))
            self.linear.weight.mul_(8)
            self.convolution.bias.add_(shift)  # type: ignore[union-attr]

    def features(self, planes: torch.Tensor) -> torch.Tensor:
        """What the linear layer takes."""
        found: torch.Tensor = self.convolution(planes).relu().mean((2, 3))
        return found

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """The logits."""
        found: torch.Tensor = self.linear(self.features(planes))
        return found


@dataclass(frozen=True, kw_only=True)
class OnnxModel:
    """A file, and what it computes."""

    path: Path
    network: Network
    """Maps what the file takes to logits."""


def write_model(
    folder: Path,
    *,
    description: dict[str, Any] | None = None,
    shape: tuple[int | str, ...] = ("b", 3, SIDE, SIDE),
    type_name: str = "float",
    softmax: bool = False,
    flat_for: int | None = None,
    external: bool = False,
    inputs: int = 1,
    shown: tuple[str, ...] = ("logits",),
    name: str = "small",
    shift: float = 0,
) -> OnnxModel:
    """Write `small.onnx` and `small.yaml` into the folder.

    `flat_for` writes a number of images into the graph, as careless exports do. `shown` are the graph's outputs, of
    which there are logits, probabilities and the convolution's map.
    """
    made = Network(shift=shift)
    weights: dict[str, Any] = {
        "kernel": made.convolution.weight,
        "bias": made.convolution.bias,
        "matrix": made.linear.weight,
        "offset": made.linear.bias,
    }
    tensors = [numpy_helper.from_array(value.detach().numpy(), key) for key, value in weights.items()]
    tensors.append(numpy_helper.from_array(np.array([flat_for or 0, -1]), "flat"))
    shape_of_input = list(shape)
    is_nhwc = shape[-1] == 3
    nodes = [helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT)]
    planes = "floats"
    if is_nhwc:
        nodes.append(helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]))
        planes = "planes"
    nodes += [
        helper.make_node("Conv", [planes, "kernel", "bias"], ["convolved"], strides=[2, 2]),
        helper.make_node("Relu", ["convolved"], ["map"]),
        helper.make_node("GlobalAveragePool", ["map"], ["means"]),
        helper.make_node("Reshape", ["means", "flat"], ["features"]),
        helper.make_node("Gemm", ["features", "matrix", "offset"], ["logits"], transB=1),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1))
    images = [
        helper.make_tensor_value_info(f"images{number or ''}", TYPES[type_name], shape_of_input)
        for number in range(inputs)
    ]
    for extra in range(1, inputs):
        nodes.append(helper.make_node("Identity", [f"images{extra}"], [f"unused{extra}"]))
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None) for output in shown]
    graph = helper.make_graph(nodes, "small", images, outputs, initializer=tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.onnx"
    onnx.save(model, path, save_as_external_data=external, location=f"{name}.onnx.data", size_threshold=55)
    describe(path, **(description or {}))
    return OnnxModel(path=path, network=made)


def describe(path: Path, **changes: Any) -> None:
    """Write the file beside the model, with other fields; those of `input` are changed one by one."""
    document = DESCRIPTION | changes
    document["input"] = DESCRIPTION["input"] | changes.get("input", {})
    path.with_suffix(".yaml").write_text(yaml.safe_dump(document))
