"""torch.compile on the CPU: it needs a C++ compiler, and half a minute at start if the cache folder is empty.

It pays after some 10,000 images per worker.

`compile_network` serves the engine `inductor`, on GPUs, too. The code is for one shape of images. It is kept in the
cache folder, with what Triton makes of it for GPUs, so that only the first worker of a machine waits for the compiler,
once for each mini-batch size.
"""

import atexit
import os
import shutil
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch

from dueby_api.engines import Precision
from dueby_worker.engines import eager
from dueby_worker.engines.interface import EngineRequest
from dueby_worker.engines.network import RowNetwork, tuned_network
from dueby_worker.engines.synchronous import SynchronousEngine
from dueby_worker.system.temporary_files import scratch_folder

_INDUCTOR, _TRITON = "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"
Compiled = Callable[[torch.Tensor], dict[str, torch.Tensor]]


def find_obstacle(precision: Precision) -> str | None:
    """Return why the engine can't run here at that precision; None if it can."""
    # torch looks for the compiler in the same way.
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        return f"there is no C++ compiler ({compiler}) here; install one, or use the engine eager or openvino"
    return eager.find_obstacle(precision)


def build(request: EngineRequest) -> SynchronousEngine:
    """Return the engine `compile`, compiled for this mini-batch size."""
    torch.set_num_threads(request.threads)
    images = torch.zeros(request.shape, dtype=torch.uint8)
    network = tuned_network(request.loaded, request.precision)
    # Weights in oneDNN's own layout make it 1.4 times as fast.
    compiled = compile_network(network, images, cache_dir=request.cache_dir, constant_weights=True)
    run = eager.run_by_torch(compiled)
    return SynchronousEngine(name="compile", precision=request.precision, run=run, shape=request.shape)


def compile_network(
    network: RowNetwork, images: torch.Tensor, *, cache_dir: Path | None, constant_weights: bool
) -> Compiled:
    """Return the network as code for images of this shape on their device. It has computed these once.

    With `constant_weights` the code holds a copy of the weights in a layout of its own.
    """
    _keep_in(cache_dir)
    # The compiler remembers eight shapes of the same layers in a process, and runs a ninth without compiling it.
    torch.compiler.reset()
    with warnings.catch_warnings(), torch.inference_mode():
        # Compiling imports parts of torch that warn of torch.jit's deprecation, here and in the first call.
        warnings.simplefilter("ignore", DeprecationWarning)
        # dynamic=False, because shapes never change.
        compiled: Compiled = torch.compile(network, dynamic=False, options={"freezing": constant_weights})
        compiled(images)
    return compiled


def _keep_in(cache_dir: Path | None) -> None:
    """Let inductor and Triton keep their code there, or in a folder that goes with this process."""
    # There is no other way to choose the folders.
    if cache_dir is not None:
        os.environ[_INDUCTOR], os.environ[_TRITON] = str(cache_dir / "inductor"), str(cache_dir / "triton")
        return
    for variable in (_INDUCTOR, _TRITON):
        if variable not in os.environ:
            os.environ[variable] = _temporary()


def _temporary() -> str:
    """Return a folder of this process's own. What torch would choose is a name in /tmp that anybody may have taken."""
    stack = ExitStack()
    atexit.register(stack.close)
    return str(stack.enter_context(scratch_folder("compiled")))
