"""A network of PyTorch's layers as an ONNX file, for engines that read nothing else.

The file is for one mini-batch size and one precision: nothing in it is left open, and it holds the network's own types.

PyTorch has two exporters. This is the older one, which traces, as OpenVINO's conversion does too: it needs no other
library. The newer one needs onnxscript and onnx.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import torch
from torch import nn

from dueby_api.errors import Invalid, first_line
from dueby_worker.engines.tracing import quiet_tracing

INPUT, OUTPUT = "images", "values"
# The first version with layer norms as one operation.
_OPSET = 17


class _OneInput(nn.Module):
    """The network without the optional arguments of its forward, which the exporter would make inputs."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, self.module(images))


def export_onnx(module: nn.Module, *, name: str, images: torch.Tensor, file: Path) -> None:
    """Write the network for normalised images of exactly this shape, type and device. The weights may lie beside it.

    Raise Invalid if the network named `name` can't be exported.
    """
    with quiet_tracing(), torch.no_grad(), _plain_attention():
        # Constants that it can't fold stay in the graph, and the engine folds them.
        warnings.simplefilter("ignore", UserWarning)
        try:
            torch.onnx.export(
                _OneInput(module).eval(),
                (images,),
                file,
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=_OPSET,
                dynamo=False,
            )
        # Of people's own networks the tracer raises anything.
        except Exception as error:
            sentence = f"{name} can't be exported to ONNX: {first_line(error)}; use the engine cudagraph or cuda"
            raise Invalid("spec.model.engine", sentence) from None


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Compute nn.MultiheadAttention by operations that ONNX has, not by one that is PyTorch's own."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
