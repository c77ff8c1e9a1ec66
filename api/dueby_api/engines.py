"""The table of engines: what runs a model, on which device, at which precisions.

An engine is one entry here, one module of the worker and its test. The module has two functions: `find_obstacle`, which
says why the engine can't run on this machine, and `build`, which makes it (see dueby_worker/engines/interface.py). It
is named as text, since this package imports no other of ours and most machines never load most engines.

The engine decides the kind of device it runs on, never the name of the device class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Precision = Literal["fp32", "bf16", "fp16"]
EngineName = Literal["cudagraph", "cuda", "openvino", "eager", "compile"]
DeviceKind = Literal["cpu", "gpu"]


@dataclass(frozen=True, kw_only=True)
class EngineEntry:
    """What is known of an engine without loading it."""

    name: EngineName
    device: DeviceKind
    precisions: tuple[Precision, ...]
    """Precisions that it has on some machine; whether it has them on this one, `find_obstacle` says."""
    module: str
    """The worker's module that builds it."""
    packages: tuple[str, ...] = ()
    """Python packages that it needs besides PyTorch."""
    is_compared: bool = True
    """Whether `engine: auto` measures it. False for an engine that takes longer to build than a profile may take."""


# The likely fastest comes first: `auto` compares in this order, and takes the best so far when its time is up.
ENGINES: Mapping[EngineName, EngineEntry] = {
    entry.name: entry
    for entry in (
        EngineEntry(
            name="cudagraph",
            device="gpu",
            precisions=("fp32", "bf16", "fp16"),
            module="dueby_worker.engines.cudagraph",
        ),
        EngineEntry(name="cuda", device="gpu", precisions=("fp32", "bf16", "fp16"), module="dueby_worker.engines.cuda"),
        EngineEntry(
            name="openvino",
            device="cpu",
            precisions=("fp32", "bf16"),
            module="dueby_worker.engines.openvino",
            packages=("openvino",),
        ),
        EngineEntry(name="eager", device="cpu", precisions=("fp32", "bf16"), module="dueby_worker.engines.eager"),
        EngineEntry(
            name="compile",
            device="cpu",
            precisions=("fp32", "bf16"),
            module="dueby_worker.engines.compiled",
            # It writes C++ and compiles it for half a minute for every mini-batch size.
            is_compared=False,
        ),
    )
}


def runs_on(engine: str) -> DeviceKind | None:
    """Return the kind of device that the engine runs on; None for `auto` and for names that are no engine."""
    entry = ENGINES.get(engine)  # type: ignore[call-overload]
    return entry.device if entry else None


def runs_on_cpu(engine: str) -> bool:
    """Return whether the engine is one for CPUs."""
    return runs_on(engine) == "cpu"
