"""What a worker process needs from its host: packages, environment variables set before it starts, cores of its own.

Nothing here imports torch or OpenVINO, so that whatever starts workers can ask without loading either.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from dueby_api.engines import ENGINES, EngineName, Precision

# glibc maps and unmaps every block above 32 MB, and the kernel clears each page again. torch's activations are such
# blocks, in every layer. Keeping them on the heap doubles torch's speed (41 -> 86 images/s as it comes, 58 -> 105 with
# channels_last, at mini-batches of 32) and makes latency linear in the mini-batch size.
_KEEP_HEAP = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(8 * 1024**3),
    "MALLOC_TOP_PAD_": str(256 * 1024**2),
}
# The others gain nothing: OpenVINO reuses its memory by itself, and a GPU's activations are not in the host's memory.
_TORCH_ON_CPU: tuple[EngineName, ...] = ("eager", "compile")


def process_environment(engine: EngineName, threads: int) -> dict[str, str]:
    """Return the variables that a worker's process must start with, because libraries read them when they load."""
    # More threads than cores make latency bimodal and cut throughput to a third (2 threads on a quota of 1 CPU).
    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"]
    if engine in ("compile", "inductor"):
        # By default the compiler keeps a process for each core of the machine.
        names.append("TORCHINDUCTOR_COMPILE_THREADS")
    return dict.fromkeys(names, str(threads)) | (_KEEP_HEAP if engine in _TORCH_ON_CPU else {})


def find_cpu_obstacle(precision: Precision) -> str | None:
    """Return why no engine for CPUs can run at that precision; None if they can."""
    if precision == "fp16":
        return "CPUs compute fp16 slower than fp32, and far less exactly; set precision to fp32 or bf16"
    if precision == "tf32":
        return "CPUs have no tf32; set precision to fp32 or bf16"
    if precision == "int8":
        return "PyTorch's layers aren't quantized; use the engine auto or openvino"
    return None


def missing_packages(engine: EngineName) -> list[str]:
    """Return the packages that the engine needs and that aren't installed here."""
    return [package for package in ENGINES[engine].packages if find_spec(package) is None]


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of these packages; those that aren't installed are omitted."""
    versions = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions


def pin_to_cores(cores: Iterable[int]) -> None:
    """Bind the calling thread, and every thread that it starts from now on, to these cores.

    Workers of one machine must be kept apart: left alone, OpenVINO puts every process on core 0.
    """
    os.sched_setaffinity(0, cores)
