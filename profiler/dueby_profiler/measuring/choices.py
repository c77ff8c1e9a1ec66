"""Which layouts are measured, with which engines: what the machine has, what was asked for, and what time allows.

The engine decides the device, so an engine asked for by name leaves out the layouts that it can't run on. `auto`
compares all that there are but `compile`, which takes longer to compile than all else here takes together. Whether an
engine can really run shows when a process tries to build it: finding out here would mean to load torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dueby_api.engines import EngineName, runs_on_cpu
from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_profiler.machine.layouts import Layout

# The likely fastest first; where time ends the comparison, it is the one that is taken.
_COMPARED: dict[bool, tuple[EngineName, ...]] = {True: ("cudagraph", "cuda"), False: ("openvino", "eager")}
_ONLY_ON_GPUS = "fp16"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A layout to measure, and the engines to compare on it."""

    layout: Layout
    engines: tuple[EngineName, ...]


def choose(layouts: Sequence[Layout], model: Model, classes: Sequence[str]) -> list[Choice]:
    """Every layout, or those of the named classes, that an engine may run on; Invalid says why there is none."""
    known = {layout.device_class: layout for layout in layouts}
    for name in classes:
        if name not in known:
            raise Invalid("--class", f"this machine has no devices of the class {name}; it has {', '.join(known)}")
    wanted = [layout for layout in layouts if not classes or layout.device_class in classes]
    choices = [Choice(layout=layout, engines=_engines(layout, model)) for layout in wanted]
    runnable = [choice for choice in choices if choice.engines]
    if not runnable:
        named = ", ".join(layout.device_class for layout in wanted)
        if model.precision == _ONLY_ON_GPUS:
            raise Invalid("--precision", f"fp16 is for GPUs; {named} can do fp32, and some CPUs bf16")
        raise Invalid("--engine", f"{model.engine} doesn't run on {named}")
    return runnable


def shorten(choices: Sequence[Choice]) -> tuple[list[Choice], list[Choice]]:
    """What a quick look measures and what it leaves out: of the cores, every layout but that of the smallest slices."""
    cpu = [choice for choice in choices if not choice.layout.is_gpu]
    return [choice for choice in choices if choice not in cpu[1:]], cpu[1:]


def _engines(layout: Layout, model: Model) -> tuple[EngineName, ...]:
    if model.precision == _ONLY_ON_GPUS and not layout.is_gpu:
        return ()
    if model.engine == "auto":
        return _COMPARED[layout.is_gpu]
    return (model.engine,) if runs_on_cpu(model.engine) is not layout.is_gpu else ()
