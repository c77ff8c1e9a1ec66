"""Choose the layouts to measure and the engines to compare: what the machine has, what was asked for, what time allows.

The engine decides the device, so an engine asked for by name excludes the layouts that it can't run on. Which engines
`auto` compares, and in which order, is in the table `dueby_api.engines`; those whose packages aren't installed are
omitted. Whether an engine really runs shows when a process builds it; finding out here would mean importing torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dueby_api.engines import EngineEntry, EngineName, engines_for
from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_profiler.machine.layouts import Layout
from dueby_profiler.measuring.process_group import Crashed
from dueby_worker.engines.host import missing_packages

# The field that the worker names if a process can't build its engine; then the next engine is tried.
ENGINE_FIELD = "spec.model.engine"


def why_unusable(error: Invalid | Crashed) -> str | None:
    """Return why the engine whose processes raised this is of no use here; None if something else is wrong."""
    if isinstance(error, Crashed):
        return error.brief
    return error.message if error.field == ENGINE_FIELD else None


@dataclass(frozen=True, kw_only=True)
class LayoutChoice:
    """A layout to measure, and the engines to compare on it."""

    layout: Layout
    engines: tuple[EngineName, ...]


def choose(
    layouts: Sequence[Layout], model: Model, classes: Sequence[str], *, gpu_build_s: float = 0.0
) -> list[LayoutChoice]:
    """Return every layout, or those of the named classes, on which an engine may run; raise Invalid if none is left.

    `auto` compares engines that take long to build on GPUs only, and only those that take up to `gpu_build_s` a size.
    """
    by_class = {layout.device_class: layout for layout in layouts}
    for name in classes:
        if name not in by_class:
            raise Invalid("--class", f"this machine has no devices of the class {name}; it has {', '.join(by_class)}")
    wanted = [layout for layout in layouts if not classes or layout.device_class in classes]
    choices = [LayoutChoice(layout=layout, engines=_engines(layout, model, gpu_build_s)) for layout in wanted]
    runnable = [choice for choice in choices if choice.engines]
    if not runnable:
        named = ", ".join(layout.device_class for layout in wanted)
        if not any(_fitting(layout, model) for layout in wanted):
            raise Invalid("--precision", f"no engine has {model.precision} on {named}; choose another precision")
        raise Invalid("--engine", f"{model.engine} doesn't run on {named}")
    return runnable


def shorten(choices: Sequence[LayoutChoice]) -> tuple[list[LayoutChoice], list[LayoutChoice]]:
    """Split the choices into what a quick profile measures and what it omits: all layouts of cores but the first."""
    cpu = [choice for choice in choices if not choice.layout.is_gpu]
    return [choice for choice in choices if choice not in cpu[1:]], cpu[1:]


def _engines(layout: Layout, model: Model, gpu_build_s: float) -> tuple[EngineName, ...]:
    """Return the engines to compare, the likely fastest first, which is the table's order."""
    fitting = _fitting(layout, model)
    if model.engine == "auto":
        most_s = gpu_build_s if layout.is_gpu else 0.0
        return tuple(entry.name for entry in fitting if entry.build_s <= most_s and not missing_packages(entry.name))
    return tuple(entry.name for entry in fitting if entry.name == model.engine)


def _fitting(layout: Layout, model: Model) -> list[EngineEntry]:
    """Return the engines for the layout's kind of device that have the model's precision."""
    kind = "gpu" if layout.is_gpu else "cpu"
    return [entry for entry in engines_for(model.name) if entry.device == kind and model.precision in entry.precisions]
