"""Build the engine that a plan names, and list those that this machine has, by the table in dueby_api/engines.py.

An engine is never swapped for another one, nor its precision for another: what is not available here is refused with
the reason. A module is imported when its engine is asked for, so that a worker loads no library of another engine.
"""

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from dueby_api.engines import ENGINES, EngineName, Precision, engines_for, unsuited
from dueby_api.errors import Invalid
from dueby_worker.engines.interface import Engine, EngineModule, EngineRequest, KeepingModule
from dueby_worker.engines.kept_network import KeptNetwork
from dueby_worker.system.cache_folder import usable_cache

if TYPE_CHECKING:
    from dueby_worker.models.loading import LoadedModel


def available_engines(precision: Precision, model: str = "efficientnet_b0") -> tuple[EngineName, ...]:
    """Return the engines that can run such a model on this machine at that precision, in the order of the table."""
    names = [entry.name for entry in engines_for(model)]
    return tuple(name for name in names if engine_module(name).find_obstacle(precision) is None)


def build_engine(
    *,
    name: EngineName,
    loaded: "LoadedModel",
    mini_batch_size: int,
    precision: Precision,
    threads: int,
    cache_dir: Path | None = None,
) -> Engine:
    """Return the engine, ready for its first mini-batch. Raise Invalid, with the reason, if it can't run here.

    The arguments are those of EngineRequest. A GPU with too little memory raises torch.OutOfMemoryError, here or
    in the first mini-batch.
    """
    folder = usable_cache(cache_dir)
    if folder is not None:
        # For GPUs that are newer than PyTorch the driver compiles, and reads this when CUDA starts.
        os.environ.setdefault("CUDA_CACHE_PATH", str(folder / "cuda"))
    require_engine(name, loaded.name, precision)
    request = EngineRequest(
        loaded=loaded, mini_batch_size=mini_batch_size, precision=precision, threads=threads, cache_dir=folder
    )
    return engine_module(name).build(request)


def reopen_engine(
    network: KeptNetwork, *, name: EngineName, mini_batch_size: int, precision: Precision, threads: int
) -> Engine:
    """Return the engine of a network that it keeps, ready for its first mini-batch."""
    require_engine(name, network.model.name, precision)
    return keeping_module(name).reopen(
        network.entry,
        model=network.model,
        mini_batch_size=mini_batch_size,
        precision=precision,
        threads=threads,
    )


def keeping_module(name: EngineName) -> KeepingModule:
    """Return the module of an engine that keeps networks (kept_network.py), imported now."""
    return cast(KeepingModule, engine_module(name))


def require_engine(name: EngineName, model: str, precision: Precision) -> None:
    """Raise Invalid, with the reason, if the engine can't run such a model on this machine at that precision."""
    if (wrong := unsuited(name, model)) is not None:
        raise Invalid("spec.model.engine", wrong)
    if (obstacle := engine_module(name).find_obstacle(precision)) is not None:
        raise Invalid("spec.model.engine", f"{name} at {precision}: {obstacle}")


def engine_module(name: EngineName) -> EngineModule:
    """Return the engine's module, imported now."""
    return cast(EngineModule, import_module(ENGINES[name].module))
