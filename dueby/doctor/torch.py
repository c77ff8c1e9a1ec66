"""PyTorch, which all models run by, and the GPUs that it sees."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dueby.doctor.finding import Asked, Finding
from dueby_api.errors import first_line

if TYPE_CHECKING:
    from dueby_profiler.machine.torch_build import TorchBuild

_INSTALL = "pip install 'dueby[profiler]'"


def check_torch(_: Asked) -> Iterator[Finding]:
    """Yield whether PyTorch is there and loads, and whether it sees the GPUs that the driver has."""
    try:
        from dueby_profiler.machine.torch_build import read_torch

        build = read_torch()
    except ModuleNotFoundError as error:
        is_absent = error.name == "torch"
        sentence = "it is not installed" if is_absent else f"it needs {error.name}, which is not installed"
        sentence += "; plan and calendar work without it, run and profile don't"
        yield Finding(subject="torch", verdict="absent" if is_absent else "fails", sentence=sentence, advice=_INSTALL)
        return
    # OSError: a library of its own that is missing or broken.
    except (ImportError, OSError) as error:
        sentence = f"it can't be loaded: {first_line(error)}"
        yield Finding(subject="torch", verdict="fails", sentence=sentence, advice="install it again")
        return
    yield Finding(subject="torch", verdict="ok", sentence=f"version {build.version}")
    yield _gpus(build)


def _gpus(build: "TorchBuild") -> Finding:
    if build.gpus:
        return Finding(subject="GPUs", verdict="ok", sentence=", ".join(build.gpus))
    if there := _products():
        advice = f"install a build of torch for the driver's CUDA; this one is for {build.cuda or 'CPUs'}"
        sentence = f"the driver has {', '.join(there)}, but torch can't use any"
        return Finding(subject="GPUs", verdict="fails", sentence=sentence, advice=advice)
    return Finding(subject="GPUs", verdict="absent", sentence="there is no NVIDIA GPU with a driver; jobs run on cores")


def _products() -> list[str]:
    """Return the GPUs that the driver knows; none where its library for Python isn't installed."""
    try:
        from dueby_profiler.machine.nvml import read_gpus
    except ModuleNotFoundError:
        return []
    return [gpu.product for gpu in read_gpus()]
