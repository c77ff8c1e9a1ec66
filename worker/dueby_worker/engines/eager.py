"""PyTorch on the CPU, tuned: channels_last, folded batch norms, inference mode, one thread per core of the slice.

It runs wherever torch does. bf16 means the whole network in bf16, not autocast: that is as accurate and a tenth faster.
On CPUs without bf16 instructions bf16 is twenty times slower than fp32. It is not refused there: the profile shows it,
and an engine computes what the job asks for.
"""

from collections.abc import Callable

import torch

from dueby_api.engines import Precision
from dueby_worker.engines.host import find_cpu_obstacle
from dueby_worker.engines.interface import EngineRequest
from dueby_worker.engines.network import tuned_network
from dueby_worker.engines.synchronous import Run, SynchronousEngine
from dueby_worker.models.columns import Columns
from dueby_worker.models.preprocessing import Pixels


def find_obstacle(precision: Precision) -> str | None:
    """Return why the engine can't run here at that precision; None if it can."""
    return find_cpu_obstacle(precision)


def build(request: EngineRequest) -> SynchronousEngine:
    """Return the engine `eager`. Nothing is converted or compiled, so there is nothing to keep."""
    torch.set_num_threads(request.threads)
    run = run_by_torch(tuned_network(request.loaded, request.precision))
    return SynchronousEngine(name="eager", precision=request.precision, run=run, shape=request.shape)


def run_by_torch(network: Callable[[torch.Tensor], dict[str, torch.Tensor]]) -> Run:
    """Return what runs a network that maps uint8 images to the columns of their rows."""

    def run(batch: Pixels) -> Columns:
        with torch.inference_mode():
            columns = network(torch.from_numpy(batch))
        return {name: column.numpy() for name, column in columns.items()}

    return run
