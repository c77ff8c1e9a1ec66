"""Measure first mini-batches: for each point fresh processes, what is known right before, and W.

Only the first mini-batch of a process is a warm-up, so each row costs a start of several seconds. The rows are in a
journal as they come, and points that are in it are not measured again.
"""

import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from statistics import fmean
from typing import Any

from dueby_api.errors import Invalid
from dueby_profiler.machine import nvml
from dueby_profiler.machine.layouts import Layout
from dueby_profiler.machine.machine import Machine
from dueby_profiler.measuring.budget import Budget
from dueby_profiler.measuring.process_group import Crew, OutOfMemory
from dueby_profiler.measuring.start_group import start_crew
from dueby_profiler.monitor.first_look import follow, known_facts, warmup_row
from dueby_profiler.monitor.host import Host
from dueby_profiler.monitor.model_facts import weigh
from dueby_profiler.monitor.samples import Row
from dueby_profiler.monitor.sampling import sampling
from dueby_profiler.monitor.schedule import MIN_S, Schedule
from dueby_profiler.monitor.tables import warmup_table
from dueby_profiler.progress_listener import Audience, Progress
from dueby_study.warmup.points import KEY, WarmupPoint
from dueby_study.warmup.rows import WarmupJournal

__all__ = ["WarmupPoint", "collect_warmups"]

_weigh = lru_cache(weigh)


def collect_warmups(
    points: Sequence[WarmupPoint],
    *,
    machine: Machine,
    journal: Path,
    seconds: float | None = None,
    audience: Audience | None = None,
    cache_dir: Path | None = None,
) -> Any:
    """Measure the points that the journal lacks, until the time is over; all of the journal's rows, as a table.

    `seconds` None: however long it takes. `cache_dir` keeps compiled models; by default it goes away afterwards.
    Points on device classes that this machine lacks are Invalid.
    """
    audience = audience or Audience()
    layouts = {layout.device_class: layout for layout in machine.layouts}
    strangers = sorted({point.device_class for point in points} - layouts.keys())
    if strangers:
        raise Invalid("points", f"this machine has no devices of the class {strangers[0]}; it has {', '.join(layouts)}")
    kept = WarmupJournal(journal)
    there = {tuple(row[name] for name in KEY) for row in kept.read()}
    waiting = [point for point in points if point.key not in there]
    if len(waiting) < len(points):
        audience.tell(f"{len(points) - len(waiting):,} of {len(points):,} points are in {journal} already.")
    with ExitStack() as stack:
        collector = _Collector(
            machine=machine,
            layouts=layouts,
            cache_dir=cache_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dueby-warmup-"))),
            host=Host(),
            ask_gpu=stack.enter_context(nvml.observe()),
        )
        _measure_all(waiting, collector, kept, audience=audience, seconds=seconds)
    return warmup_table(kept.read())


def _measure_all(
    waiting: Sequence[WarmupPoint],
    collector: "_Collector",
    kept: WarmupJournal,
    *,
    audience: Audience,
    seconds: float | None,
) -> None:
    """One after the other, while there is time for one more."""
    clock = collector.machine.clock
    budget = Budget.starting(seconds if seconds is not None else float("inf"), clock)
    took_s: list[float] = []
    without: set[tuple[str, str]] = set()
    for number, point in enumerate(waiting):
        left_s = fmean(took_s or [_GUESS_S]) * (len(waiting) - number)
        if budget.left_s < fmean(took_s[-_LATELY:] or [0.0]):
            audience.tell(f"There is no time for {len(waiting) - number:,} points; they are left for another time.")
            return
        if (point.device_class, point.engine) in without:
            continue
        audience.progress(Progress(doing=_describe(point), left_s=min(left_s, budget.left_s)))
        began_s = clock()
        try:
            kept.append(collector.measure(point))
        except OutOfMemory as error:
            audience.tell(f"{_describe(point)} is left out: {error}.")
        except Invalid as error:
            if error.field != "spec.model.engine":
                raise
            without.add((point.device_class, point.engine))
            audience.tell(f"{point.device_class}: {point.engine} is left out: {error.message}.")
        took_s.append(clock() - began_s)


# What a point takes, as long as none has been measured; and how many of the last say what the next will take.
_GUESS_S = 6.0
_LATELY = 20


@dataclass(frozen=True, kw_only=True)
class _Collector:
    """What measuring a point takes."""

    machine: Machine
    layouts: dict[str, Layout]
    cache_dir: Path
    host: Host
    ask_gpu: Any

    def measure(self, point: WarmupPoint) -> list[Row]:
        """A row for each process."""
        layout, clock = self.layouts[point.device_class], self.machine.clock
        weight = _weigh(point.model)
        lock = threading.Lock()
        facts = {"engine": point.engine, "round": point.round}
        follow_crew = follow(
            partial(self._open, point),
            layout=layout,
            host=self.host,
            ask_gpu=self.ask_gpu,
            clock=clock,
            facts=facts,
        )
        with follow_crew as (crew, looks):

            def look() -> list[Row]:
                with lock:
                    return looks.take()

            # Rates are over the last quarter of a second; nobody looks during the mini-batch itself.
            with sampling(look, Schedule(first_s=clock(), period_s=MIN_S), clock):
                built = crew.build(point.mini_batch_size)
                before = look()
            points = crew.run(0)
        known = known_facts(layout=layout, node=self.machine.node, model=point.model, weight=weight)
        return [known | row for row in map(warmup_row, before, built, points)]

    def _open(self, point: WarmupPoint, boards: Sequence[int]) -> Crew:
        return start_crew(
            self.layouts[point.device_class],
            lambda _: point.model,
            point.engine,
            cache_dir=self.cache_dir,
            clock=self.machine.clock,
            boards=boards,
        )


def _describe(point: WarmupPoint) -> str:
    model = point.model
    return (
        f"{point.device_class}: first mini-batch of {point.mini_batch_size}, {model.name}, {model.image_size} px, "
        f"{point.engine}"
    )
