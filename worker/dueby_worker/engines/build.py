"""Makes the engine that a plan names, and says which ones this machine has.

An engine is never swapped for another, nor its precision: what can't be had here is refused with the reason.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from dueby_api.engines import EngineName, Precision
from dueby_api.errors import Invalid
from dueby_worker.engines import compiled, cuda, eager, openvino
from dueby_worker.engines.interface import Engine
from dueby_worker.models.loading import LoadedModel

_OBSTACLES: dict[EngineName, Callable[[Precision], str | None]] = {
    "eager": eager.find_obstacle,
    "openvino": openvino.find_obstacle,
    "compile": compiled.find_obstacle,
    "cuda": cuda.find_obstacle,
    "cudagraph": cuda.find_obstacle,
}


def available_engines(precision: Precision) -> tuple[EngineName, ...]:
    """The engines that can run on this machine at that precision."""
    return tuple(name for name, find_obstacle in _OBSTACLES.items() if find_obstacle(precision) is None)


def build_engine(
    *,
    name: EngineName,
    loaded: LoadedModel,
    mini_batch_size: int,
    precision: Precision,
    threads: int,
    cache_dir: Path | None = None,
) -> Engine:
    """The engine, ready for its first mini-batch; Invalid, with the reason, where it can't run here at that precision.

    `threads` is the cores of a CPU's slice. What takes time once (converted networks, compiled code) is kept in
    `cache_dir`, which processes may share. A GPU's memory that is too small raises torch.OutOfMemoryError, here or in
    the first mini-batch.
    """
    if (obstacle := _OBSTACLES[name](precision)) is not None:
        raise Invalid("spec.model.engine", f"{name} at {precision}: {obstacle}")
    makers: dict[EngineName, Callable[..., Engine]] = {
        "eager": partial(eager.build, threads=threads),
        "openvino": partial(openvino.build, threads=threads, cache_dir=cache_dir),
        "compile": partial(compiled.build, threads=threads, cache_dir=cache_dir),
        "cuda": partial(cuda.build, name="cuda"),
        "cudagraph": partial(cuda.build, name="cudagraph"),
    }
    return makers[name](loaded=loaded, mini_batch_size=mini_batch_size, precision=precision)
