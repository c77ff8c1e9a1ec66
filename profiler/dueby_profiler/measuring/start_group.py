"""Starting a crew on a layout: what each process is told, and what must stand in its environment before it starts."""

from collections.abc import Callable, Sequence
from pathlib import Path

from dueby_api.engines import EngineName
from dueby_api.inference_job import Model
from dueby_profiler.machine.layouts import Layout
from dueby_profiler.measuring.messages import Setup
from dueby_profiler.measuring.process_group import Crew
from dueby_worker.engines.host import process_environment


def start_crew(
    layout: Layout,
    model_of: Callable[[int], Model],
    engine: EngineName,
    *,
    cache_dir: Path,
    clock: Callable[[], float],
    boards: Sequence[int] = (),
) -> Crew:
    """A context in which one fresh process measures `model_of` the slice on each slice.

    `cache_dir` keeps compiled models; `boards` are the descriptors of the pages of a monitor, as Crew takes them.
    """

    def setup(number: int) -> Setup:
        place = layout.slices[number]
        return Setup(
            model=model_of(number),
            engine=engine,
            threads=place.threads,
            cores=place.cores,
            cache_dir=str(cache_dir),
            spawned_us=int(clock() * 1e6),
        )

    environment = process_environment(engine, layout.slices[0].threads)
    return Crew(layout, setup, environment=environment, clock=clock, boards=boards)
