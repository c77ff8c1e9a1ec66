"""PyTorch on an NVIDIA GPU with its operations fused: the engine `inductor`.

cuDNN adds the bias of a convolution, into which a batch norm is folded, in a pass of its own over the result, and the
activation function is another. Inductor makes one Triton kernel of them. What it has compiled is captured as one graph,
as in `cudagraph`, by us: torch.compile's own mode for that, reduce-overhead, keeps its inputs and results in buffers of
its own, and ours are those of the slots.

Compiling takes tens of seconds for each mini-batch size, if the cache folder hasn't it; it is part of a worker's
start-up.
"""

import os
import shutil
import sysconfig
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch

from dueby_api.engines import Precision
from dueby_worker.engines import cuda, cudagraph
from dueby_worker.engines.compiled import compile_network
from dueby_worker.engines.interface import EngineRequest
from dueby_worker.engines.network import RowNetwork

# Compute capability 7.0, Volta.
_OLDEST_FOR_TRITON = 7
_ELSE = "or use the engine cudagraph"


def find_obstacle(precision: Precision) -> str | None:
    """Return why the engine can't run here at that precision; None if it can."""
    if (obstacle := cuda.find_obstacle(precision)) is not None:
        return obstacle
    if torch.cuda.get_device_capability()[0] < _OLDEST_FOR_TRITON:
        return f"Triton has no code for {torch.cuda.get_device_name()}, which is older than Volta; use cudagraph"
    return find_compiler_obstacle()


def find_compiler_obstacle() -> str | None:
    """Return what is missing here to compile for a GPU, whichever there is; None if nothing is."""
    if find_spec("triton") is None:
        return f"Triton is not installed, which PyTorch's own wheels for CUDA bring: pip install triton, {_ELSE}"
    # Triton looks for a compiler in the same way. It compiles what starts its kernels.
    compilers = [os.environ["CC"]] if "CC" in os.environ else ["gcc", "clang"]
    if not any(map(shutil.which, compilers)):
        return f"there is no C compiler ({' or '.join(compilers)}) here, which Triton needs; install one, {_ELSE}"
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.is_file():
        return f"Python's headers aren't here ({header}), which Triton needs; install python3-dev, {_ELSE}"
    return None


def build(request: EngineRequest) -> cuda.CudaEngine:
    """Return the engine `inductor` on the current device, compiled for this mini-batch size."""
    # The compiler's threads are in the process's environment (host.py).
    return cuda.make_engine("inductor", request, prepare=partial(compile_and_capture, cache_dir=request.cache_dir))


def compile_and_capture(
    network: RowNetwork, shape: cuda.Shape, stream: torch.cuda.Stream, *, cache_dir: Path | None
) -> cuda.RunOnGPU:
    """Return the network, compiled for mini-batches of this shape on the stream's device, as a graph."""
    images = torch.zeros(shape, dtype=torch.uint8, device=stream.device)
    # The weights stay as they are: they are in the layout that convolutions want, with batch norms folded into them.
    compiled = compile_network(network, images, cache_dir=cache_dir, constant_weights=False)
    return cudagraph.capture(compiled, shape, stream)
