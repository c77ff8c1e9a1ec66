"""Measure first mini-batches: for each point fresh processes, what is known right before, and W.

Only the first mini-batch of a process is a warm-up, so each row costs a start of several seconds. Rows go into a
journal as they come, and points that are in it are not measured again.
"""

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
from dueby_profiler.measuring.choices import why_unusable
from dueby_profiler.measuring.process_group import OutOfMemory, ProcessGroup, start_group
from dueby_profiler.monitor.journal import sampling
from dueby_profiler.monitor.readers.host import Host
from dueby_profiler.monitor.sampler import Row
from dueby_profiler.monitor.schedule import MIN_PERIOD_S, Schedule
from dueby_profiler.monitor.tables import warmup_table
from dueby_profiler.monitor.warmup_rows import known_facts, open_sampled_group, warmup_row, weigh
from dueby_profiler.progress_listener import ProgressListener, ProgressUpdate
from dueby_study.warmup.collecting.points import KEY, WarmupPoint
from dueby_study.warmup.collecting.rows import WarmupJournal
from dueby_worker.system.temporary_files import scratch_folder

# How long a point takes until one has been measured, and how many of the last points predict the next one.
_GUESS_S = 6.0
_LATELY = 20
# A model is weighed once; it occurs at many points.
_weigh = lru_cache(weigh)


def collect_warmups(
    points: Sequence[WarmupPoint],
    *,
    machine: Machine,
    journal: Path,
    seconds: float | None = None,
    listener: ProgressListener | None = None,
    cache_dir: Path | None = None,
) -> Any:
    """Measure the points that the journal lacks until the time is over; return all of the journal's rows as a table.

    `seconds` None means without a limit. `cache_dir` keeps compiled models; the default is a folder that is deleted
    afterwards. Raise Invalid for points on device classes that this machine lacks.
    """
    listener = listener or ProgressListener()
    layouts = {layout.device_class: layout for layout in machine.layouts}
    unknown = sorted({point.device_class for point in points} - layouts.keys())
    if unknown:
        raise Invalid("points", f"this machine has no devices of the class {unknown[0]}; it has {', '.join(layouts)}")
    kept = WarmupJournal(journal)
    measured = {tuple(row[name] for name in KEY) for row in kept.read()}
    waiting = [point for point in points if point.key not in measured]
    if len(waiting) < len(points):
        listener.on_message(f"{len(points) - len(waiting):,} of {len(points):,} points are in {journal} already.")
    with ExitStack() as stack:
        collector = _Collector(
            machine=machine,
            layouts=layouts,
            cache_dir=cache_dir or stack.enter_context(scratch_folder("warmup")),
            host=Host(),
            read_gpu=stack.enter_context(nvml.observe_gpus()),
        )
        _measure_all(waiting, collector, kept, listener=listener, seconds=seconds)
    return warmup_table(kept.read())


def _measure_all(
    waiting: Sequence[WarmupPoint],
    collector: "_Collector",
    kept: WarmupJournal,
    *,
    listener: ProgressListener,
    seconds: float | None,
) -> None:
    """Measure the points one after the other, while there is time for one more."""
    clock = collector.machine.clock
    budget = Budget.starting(seconds if seconds is not None else float("inf"), clock)
    took_s: list[float] = []
    without: set[tuple[str, str]] = set()
    for number, point in enumerate(waiting):
        left_s = fmean(took_s or [_GUESS_S]) * (len(waiting) - number)
        if budget.left_s < fmean(took_s[-_LATELY:] or [0.0]):
            listener.on_message(
                f"There was no time for {len(waiting) - number:,} points; the same command measures them next time."
            )
            return
        if (point.device_class, point.engine) in without:
            continue
        listener.on_progress(ProgressUpdate(doing=_describe(point), left_s=min(left_s, budget.left_s)))
        began_s = clock()
        try:
            kept.append(collector.measure(point))
        except OutOfMemory as error:
            listener.on_message(f"{_describe(point)} is left out: {error}.")
        except Invalid as error:
            if (reason := why_unusable(error)) is None:
                raise
            # The engine doesn't run on this class: none of its other points would either.
            without.add((point.device_class, point.engine))
            listener.on_message(f"{point.device_class}: {point.engine} is left out: {reason}.")
        took_s.append(clock() - began_s)


@dataclass(frozen=True, kw_only=True)
class _Collector:
    """What is needed to measure a point."""

    machine: Machine
    layouts: dict[str, Layout]
    cache_dir: Path
    host: Host
    read_gpu: Any

    def measure(self, point: WarmupPoint) -> list[Row]:
        """Measure the point; return a row for each process."""
        layout, clock = self.layouts[point.device_class], self.machine.clock
        weight = _weigh(point.model)
        lock = threading.Lock()
        facts = {"engine": point.engine, "round": point.round}
        sampled_group = open_sampled_group(
            partial(self._open, point),
            layout=layout,
            host=self.host,
            read_gpu=self.read_gpu,
            clock=clock,
            facts=facts,
        )
        with sampled_group as (group, sampler):

            def take_sample() -> list[Row]:
                with lock:
                    return sampler.take()

            # Samples are taken up to the first mini-batch, so that its row's rates are over the last quarter of a
            # second. None is taken during the mini-batch itself, which would cost time.
            with sampling(take_sample, Schedule(first_s=clock(), period_s=MIN_PERIOD_S), clock):
                built = group.build(point.mini_batch_size)
                before = take_sample()
            points = group.run(0)
        common = known_facts(layout=layout, node=self.machine.node, model=point.model, weight=weight)
        return [common | row for row in map(warmup_row, before, built, points)]

    def _open(self, point: WarmupPoint, status_pages: Sequence[int]) -> ProcessGroup:
        return start_group(
            self.layouts[point.device_class],
            lambda _: point.model,
            point.engine,
            cache_dir=self.cache_dir,
            clock=self.machine.clock,
            status_pages=status_pages,
        )


def _describe(point: WarmupPoint) -> str:
    model = point.model
    return (
        f"{point.device_class}: first mini-batch of {point.mini_batch_size}, {model.name}, {model.image_size} px, "
        f"{point.engine}"
    )
