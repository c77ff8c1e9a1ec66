"""ONNX Runtime on an NVIDIA GPU: the engine `onnxruntime`, for models in ONNX files.

Streams and slots are those of the engine `cuda`, and so is what comes before and after the network. ONNX Runtime takes
the images where torch has them, in the GPU's memory, computes on torch's stream and leaves its values there.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from dueby_api.engines import Precision
from dueby_api.errors import Invalid, first_line
from dueby_worker.engines import cuda
from dueby_worker.engines.interface import EngineRequest
from dueby_worker.engines.network import Network, RowNetwork
from dueby_worker.models.onnx_network import OnnxGraph, OnnxNetwork
from dueby_worker.models.weights import FIELD

if TYPE_CHECKING:
    from dueby_worker.models.onnx_session import OnnxSession


class BoundNetwork(nn.Module):
    """The network of a session, which reads and writes torch's memory on the session's own device."""

    def __init__(self, graph: OnnxGraph, session: "OnnxSession", values: torch.Tensor) -> None:
        super().__init__()
        self._graph = graph
        self._session = session
        self._values = values

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """Return the values of normalised images. The next call overwrites them."""
        graph = self._graph
        self._session.run_in_place(graph.arranged(planes), graph.input.name, self._values, graph.output)
        return graph.gathered(self._values)


def find_obstacle(precision: Precision) -> str | None:
    """Return why the engine can't run here at that precision; None if it can."""
    if (obstacle := cuda.find_obstacle(precision)) is not None:
        return obstacle
    if precision not in ("fp32", "tf32"):
        return "ONNX files are computed in their own precision; set fp32 or tf32"
    advice = "pip install onnxruntime-gpu, in the worker's image too"
    if find_spec("onnxruntime") is None:
        return f"ONNX Runtime is not installed: {advice}"
    from dueby_worker.models.onnx_session import has_gpu_provider

    return None if has_gpu_provider() else f"this ONNX Runtime computes on CPUs only: {advice}"


def build(request: EngineRequest) -> cuda.CudaEngine:
    """Return the engine `onnxruntime` on the current device. ONNX Runtime keeps nothing."""
    torch.set_num_threads(1)
    loaded, tf32 = request.loaded, request.precision == "tf32"
    module = cast(OnnxNetwork, loaded.module)
    module.graph.require_batch(request.mini_batch_size)
    return cuda.CudaEngine(
        "onnxruntime",
        request,
        RowNetwork(Network(nn.Identity(), loaded.preprocessing), loaded.rule).eval().cuda(),
        prepare=lambda network, shape, stream: bound(network, module, shape, stream=stream.cuda_stream, tf32=tf32),
    )


def bound(
    network: RowNetwork, module: OnnxNetwork, shape: cuda.Shape, *, stream: int | None, tf32: bool = False
) -> RowNetwork:
    """Return the network with the file's own in its middle, loaded for this stream of the GPU; for the CPU if None."""
    from dueby_worker.models.onnx_session import open_session

    try:
        session = open_session(module.source, folder=module.graph.path.parent, stream=stream, tf32=tf32)
    except ValueError as error:
        sentence = f"ONNX Runtime can't load {module.graph.path} on this device: {first_line(error)}"
        raise Invalid(FIELD, sentence) from None
    one = module.values_of_one(side=shape[1])
    values = torch.empty((shape[0], *one.shape[1:]), dtype=one.dtype, device="cpu" if stream is None else "cuda")
    cast(Network, network.network).module = BoundNetwork(module.graph, session, values)
    return network
