"""torch.compile on the CPU: it needs a C++ compiler, and half a minute at start if the cache folder is empty.

It pays after some 10,000 images per worker. The compiled code is kept in the cache folder, so that only the first
worker of a machine waits for it, once for each mini-batch size.
"""

import atexit
import os
import shutil
import warnings
from contextlib import ExitStack
from pathlib import Path

import torch

from dueby_api.engines import Precision
from dueby_worker.engines import eager
from dueby_worker.engines.network import tuned_network
from dueby_worker.models.loading import LoadedModel
from dueby_worker.system.scratch import scratch_folder

_FOLDER = "TORCHINDUCTOR_CACHE_DIR"


def find_obstacle(precision: Precision) -> str | None:
    """Return why the engine can't run here at that precision; None if it can."""
    # torch looks for the compiler in the same way.
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        return f"there is no C++ compiler ({compiler}) here; install one, or use the engine eager or openvino"
    return eager.find_obstacle(precision)


def build(
    *, loaded: LoadedModel, mini_batch_size: int, precision: Precision, threads: int, cache_dir: Path | None
) -> eager.SynchronousEngine:
    """Return the engine `compile`, compiled for this mini-batch size."""
    torch.set_num_threads(threads)
    # torch offers no other way to choose the folder.
    if cache_dir is not None:
        os.environ[_FOLDER] = str(cache_dir / "inductor")
    elif _FOLDER not in os.environ:
        os.environ[_FOLDER] = _temporary()
    side = loaded.preprocessing.crop_side
    with warnings.catch_warnings(), torch.inference_mode():
        # Compiling imports parts of torch that warn of torch.jit's deprecation, here and in the first call.
        warnings.simplefilter("ignore", DeprecationWarning)
        # freezing makes the weights constants in oneDNN's own layout, which is 1.4 times as fast. dynamic=False,
        # because shapes never change.
        network = torch.compile(tuned_network(loaded, precision), dynamic=False, options={"freezing": True})
        network(torch.zeros(mini_batch_size, side, side, 3, dtype=torch.uint8))
    return eager.SynchronousEngine(
        name="compile", precision=precision, network=network, mini_batch_size=mini_batch_size, side=side
    )


def _temporary() -> str:
    """Return a folder of this process's own. What torch would choose is a name in /tmp that anybody may have taken."""
    stack = ExitStack()
    atexit.register(stack.close)
    return str(stack.enter_context(scratch_folder("compiled")))
