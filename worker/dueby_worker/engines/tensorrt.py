"""TensorRT on an NVIDIA GPU: the engine `tensorrt`, for networks of PyTorch and for ONNX files.

TensorRT tries kernels for every layer at exactly the mini-batch size and keeps the fastest, as a plan. That takes from
seconds to minutes for each size, so plans stay in the cache folder, under a name that changes with everything that they
depend on. Workers of one machine may write it at the same time.

A network of PyTorch is exported in the job's precision. Streams and slots are those of the engine `cuda`; the
mini-batch is replayed as one graph, as in `cudagraph`; and what is before and after the network is PyTorch's, in fp32.

The ONNX file of a network of PyTorch's layers is for one mini-batch size and one precision: nothing in it is left open,
and it holds the network's own types. PyTorch has two exporters. This is the older one, which traces, as OpenVINO's
conversion does too: it needs no other library. The newer one needs onnxscript and onnx.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from dueby_api.engines import Precision
from dueby_api.errors import Invalid, first_line
from dueby_worker.engines import cuda, cudagraph
from dueby_worker.engines.cache import cache_name, cached_file
from dueby_worker.engines.interface import EngineRequest
from dueby_worker.engines.network import DTYPES, Network, RowNetwork, quiet_tracing, tuned_network
from dueby_worker.engines.tensorrt_plan import PlanNetwork, find_package_obstacle, load_plan, make_plan, version
from dueby_worker.models.loading import LoadedModel
from dueby_worker.models.onnx_network import OnnxNetwork
from dueby_worker.system.temporary_files import scratch_folder

INPUT, OUTPUT = "images", "values"
# The first version with layer norms as one operation.
_OPSET = 17


def find_obstacle(precision: Precision) -> str | None:
    """Return why the engine can't run here at that precision; None if it can."""
    return cuda.find_obstacle(precision) or find_package_obstacle()


def build(request: EngineRequest) -> cuda.CudaEngine:
    """Return the engine `tensorrt` on the current device."""
    loaded, mini_batch_size, precision = request.loaded, request.mini_batch_size, request.precision
    torch.set_num_threads(1)
    require_fit(loaded, mini_batch_size, precision)
    make = partial(_make_plan, loaded, mini_batch_size, precision)
    if request.cache_dir is None:
        plan = make()
    else:
        name = plan_name(loaded, mini_batch_size, precision, machine=_machine())
        plan = cached_file(request.cache_dir / "tensorrt" / name, make)
    graph = loaded.module.graph if isinstance(loaded.module, OnnxNetwork) else None
    network = PlanNetwork(
        load_plan(plan),
        _input_shape(loaded, mini_batch_size),
        arrange=graph.arranged if graph else torch.Tensor.contiguous,
        gather=graph.gathered if graph else lambda values: values,
    )
    whole = RowNetwork(Network(network, loaded.preprocessing, DTYPES[precision]), loaded.rule).eval().cuda()
    return cuda.CudaEngine("tensorrt", request, whole, prepare=cudagraph.capture)


def require_fit(loaded: LoadedModel, mini_batch_size: int, precision: Precision) -> None:
    """Raise Invalid if it is an ONNX file that can't be computed in that precision, or so many images at once."""
    if not isinstance(loaded.module, OnnxNetwork):
        return
    graph = loaded.module.graph
    if precision not in ("fp32", "tf32"):
        raise Invalid("spec.model.precision", "TensorRT computes ONNX files in their own precision; set fp32 or tf32")
    graph.require_batch(mini_batch_size)


def _input_shape(loaded: LoadedModel, mini_batch_size: int) -> tuple[int, ...]:
    side = loaded.preprocessing.crop_side
    is_nhwc = isinstance(loaded.module, OnnxNetwork) and loaded.module.graph.is_nhwc
    return (mini_batch_size, side, side, 3) if is_nhwc else (mini_batch_size, 3, side, side)


def _make_plan(loaded: LoadedModel, mini_batch_size: int, precision: Precision) -> Any:
    shape, tf32 = _input_shape(loaded, mini_batch_size), precision == "tf32"
    if isinstance(loaded.module, OnnxNetwork):
        graph = loaded.module.graph
        return make_plan(loaded.module.source, origin=graph.path, output=graph.output, shape=shape, tf32=tf32)
    with scratch_folder("onnx") as folder:
        file = folder / "network.onnx"
        # On the GPU, because a large mini-batch takes long on the CPU.
        network = cast(Network, tuned_network(loaded, precision).network.cuda()).module
        images = torch.zeros(shape, dtype=DTYPES[precision], device="cuda")
        export_onnx(network, name=loaded.name, images=images, file=file)
        # TensorRT asks CUDA for memory, and finds what PyTorch keeps for itself missing.
        del network, images
        cuda.release_memory()
        return make_plan(file, shape=shape, tf32=tf32)


def plan_name(loaded: LoadedModel, mini_batch_size: int, precision: Precision, *, machine: Mapping[str, Any]) -> str:
    """Return a file name that changes with everything that the plan depends on; some of it is the machine's."""
    shape = _input_shape(loaded, mini_batch_size)
    return f"{cache_name(loaded, shape=shape, precision=precision, **machine)}.plan"


def _machine() -> dict[str, Any]:
    gpu = torch.cuda.get_device_properties(torch.cuda.current_device())
    return {
        # An instance of MIG has the name of its GPU, and less of it.
        "gpu": [gpu.name, gpu.major, gpu.minor, gpu.multi_processor_count, gpu.total_memory],
        "versions": [version(), torch.__version__, distribution_version("torchvision")],
    }


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
