"""What a worker process needs from its host: environment variables set before it starts, and cores of its own.

Nothing here imports torch or OpenVINO, so that whoever starts workers can ask without loading either.
"""

import os
from collections.abc import Iterable

from dueby_api.engines import EngineName

# glibc maps and unmaps every block above 32 MB, and the kernel clears each page again: activations of torch on every
# layer. Keeping them on the heap doubles torch's speed (41 -> 86 images/s in eager, 58 -> 105 with channels_last, at
# mini-batches of 32), and latency becomes linear in the mini-batch size.
_KEEP_HEAP = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(8 * 1024**3),
    "MALLOC_TOP_PAD_": str(256 * 1024**2),
}


def process_environment(engine: EngineName, threads: int) -> dict[str, str]:
    """Variables that must be there before a worker's process starts: its libraries read them once, when loaded."""
    # More threads than cores make latency bimodal and throughput a third: 2 threads on a quota of 1 CPU.
    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"]
    if engine == "compile":
        names.append("TORCHINDUCTOR_COMPILE_THREADS")  # else it keeps a process for each core of the machine
    # It makes no difference to OpenVINO, which reuses its memory by itself.
    return dict.fromkeys(names, str(threads)) | (_KEEP_HEAP if engine in ("eager", "compile") else {})


def pin_to_cores(cores: Iterable[int]) -> None:
    """Bind the calling thread, and all that it starts from now on, to these cores.

    Several workers on a machine must be told apart: left alone, OpenVINO puts every process on core 0.
    """
    os.sched_setaffinity(0, cores)
