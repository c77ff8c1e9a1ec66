"""What is known right before a fresh process's first mini-batch, and what came of it: the rows of warm-ups."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from dueby_api.inference_job import Model
from dueby_profiler.machine.layouts import Layout
from dueby_profiler.machine.nvml import State
from dueby_profiler.measuring.messages import Built, Point
from dueby_profiler.measuring.process_group import Crew
from dueby_profiler.monitor.board import Board
from dueby_profiler.monitor.columns import FEATURES
from dueby_profiler.monitor.host import Host, Watched
from dueby_profiler.monitor.model_facts import Weight
from dueby_profiler.monitor.samples import Followed, Looks, Row

_BEFORE = ("at_us", "since_previous_us", "slice", "round", "engine", *(feature.name for feature in FEATURES))


@contextmanager
def follow(
    open_crew: Callable[[Sequence[int]], Crew],
    *,
    layout: Layout,
    host: Host,
    ask_gpu: Callable[[str], State],
    clock: Callable[[], float],
    facts: Mapping[str, Any],
) -> Iterator[tuple[Crew, Looks]]:
    """A crew of fresh processes, each with its page, and the looks at it; `facts` are in every row."""
    with ExitStack() as stack:
        boards = [stack.enter_context(closing(Board.new())) for _ in layout.slices]
        crew = stack.enter_context(open_crew([board.descriptor for board in boards]))
        followed = [
            Followed(slice=number, process=Watched(crew.pids[number]), gpu=place.gpu, board=boards[number])
            for number, place in enumerate(layout.slices)
        ]
        yield crew, Looks(followed=followed, host=host, ask_gpu=ask_gpu, clock=clock, facts=facts)


def warmup_row(before: Row, built: Built, point: Point) -> Row:
    """A process's row: the look before its first mini-batch, and W."""
    known = {name: before[name] for name in _BEFORE if name in before}
    return known | {
        "mini_batch_size": point.size,
        "startup_us": built.startup_us,
        "build_us": built.build_us,
        "warmup_us": point.warmup_us,
    }


def known_facts(*, layout: Layout, node: str, model: Model, weight: Weight) -> Row:
    """What is the same in all rows of a layout and a model."""
    return {
        "device_class": layout.device_class,
        "gpu": layout.is_gpu,
        "node": node,
        "slices": len(layout.slices),
        "threads": layout.slices[0].threads,
        "model": model.name,
        "precision": model.precision,
        "parameters": weight.parameters,
        "model_bytes": weight.model_bytes,
        "image_flops": weight.image_flops,
        "image_size": model.image_size,
    }
