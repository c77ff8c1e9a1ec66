"""Start a process group on a layout: what each process is told, and what must be in its environment before it starts.

Thread counts and allocator settings work only if libraries find them in the environment when they are loaded, so they
can't be part of a message.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from dueby_api.engines import EngineName
from dueby_api.inference_job import Model
from dueby_profiler.machine.layouts import Layout
from dueby_profiler.measuring.messages import Setup
from dueby_profiler.measuring.process_group import ProcessGroup
from dueby_worker.engines.host import process_environment


def start_group(
    layout: Layout,
    model_of: Callable[[int], Model],
    engine: EngineName,
    *,
    cache_dir: Path,
    starts_empty: bool = False,
    clock: Callable[[], float],
    status_pages: Sequence[int] = (),
) -> ProcessGroup:
    """Return a context in which one fresh process measures `model_of` the slice on each slice.

    `cache_dir` keeps compiled models. With `starts_empty`, each process builds its first engine as if nothing were in
    there. `status_pages` are as in ProcessGroup.
    """

    def setup(number: int) -> Setup:
        slice_ = layout.slices[number]
        return Setup(
            model=model_of(number),
            engine=engine,
            threads=slice_.threads,
            cores=slice_.cores,
            cache_dir=str(cache_dir),
            starts_empty=starts_empty,
            spawned_us=int(clock() * 1e6),
        )

    environment = process_environment(engine, layout.slices[0].threads)
    return ProcessGroup(layout, setup, environment=environment, clock=clock, status_pages=status_pages)
