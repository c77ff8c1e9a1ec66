"""What this machine has: its system, PyTorch, the engines, and the profiles that plans are made from."""

import platform
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dueby.doctor.finding import Asked, Finding
from dueby.inputs.files import profile_home, read_profiles
from dueby.inputs.needs import require_linux
from dueby_api.engines import ENGINES, EngineEntry
from dueby_api.errors import Invalid, first_line
from dueby_api.words import counted

if TYPE_CHECKING:
    from dueby_profiler.machine.torch_build import TorchBuild

_INSTALL = "pip install 'dueby[profiler]'"


def check_machine(_: Asked) -> Iterator[Finding]:
    """Yield whether jobs can run on this system, with its cores and memory."""
    python = f"Python {platform.python_version()}"
    try:
        require_linux("run and profile")
    except Invalid as error:
        yield Finding(subject="machine", verdict="absent", sentence=f"{python}; {error}")
        return
    from dueby_profiler.machine.limits import read_limits  # by calls that only Linux has

    limits = read_limits()
    room = f"this process may use: cores {limits.usable:g}, memory {limits.memory_mib:,} MiB"
    yield Finding(subject="machine", verdict="ok", sentence=f"{sys.platform}, {python}; {room}")


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
    if products := _products():
        advice = f"install a build of torch for the driver's CUDA; this one is for {build.cuda or 'CPUs'}"
        sentence = f"the driver has {', '.join(products)}, but torch can't use any"
        return Finding(subject="GPUs", verdict="fails", sentence=sentence, advice=advice)
    return Finding(subject="GPUs", verdict="absent", sentence="there is no NVIDIA GPU with a driver; jobs run on cores")


def _products() -> list[str]:
    """Return the GPUs that the driver knows; none where its library for Python isn't installed."""
    try:
        from dueby_profiler.machine.nvml import read_gpus
    except ModuleNotFoundError:
        return []
    return [gpu.product for gpu in read_gpus()]


def check_engines(_: Asked) -> Iterator[Finding]:
    """Yield for each engine at which precisions it runs here; nothing where PyTorch, of which all are made, is not."""
    if "torch" in sys.modules:  # the check before has loaded it if it could
        for entry in ENGINES.values():
            yield _engine(entry)


def _engine(entry: EngineEntry) -> Finding:
    subject = f"engine {entry.name}"
    try:
        from dueby_worker.engines.build import engine_module

        module = engine_module(entry.name)
        obstacles = {precision: module.find_obstacle(precision) for precision in entry.precisions}
    except (ImportError, OSError) as error:
        return Finding(subject=subject, verdict="absent", sentence=f"it can't be loaded: {first_line(error)}")
    if works := [precision for precision, obstacle in obstacles.items() if obstacle is None]:
        return Finding(subject=subject, verdict="ok", sentence=f"runs at {', '.join(works)}")
    sentence, _, advice = next(obstacle for obstacle in obstacles.values() if obstacle).partition("; ")
    return Finding(subject=subject, verdict="absent", sentence=sentence, advice=advice)


def check_profiles(_: Asked) -> Iterator[Finding]:
    """Yield which models were measured here."""
    try:
        home = profile_home()
        profiles = read_profiles([str(home)]) if home.is_dir() else []
    except Invalid as error:
        yield Finding(subject="profiles", verdict="fails", sentence=str(error), advice="fix or delete that file")
        return
    if not profiles:
        advice = "dueby profile --model MODEL, or let dueby run measure what it needs"
        yield Finding(subject="profiles", verdict="absent", sentence=f"{home} has none", advice=advice)
        return
    models = ", ".join(sorted({profile.spec.model.name for profile in profiles}))
    yield Finding(
        subject="profiles", verdict="ok", sentence=f"{counted(len(profiles), 'profile')} of {models} in {home}"
    )
