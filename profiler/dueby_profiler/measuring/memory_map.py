"""Measure peak memory over image size and mini-batch size, each pair in a fresh process: `dueby profile --memory-map`.

A pair takes a warm-up and a step. Slices don't touch each other's memory, so each slice takes an image size of its own.
A pair that would not fit, by the line through smaller ones, is not tried; one whose process is killed has found the
limit. The map has no number for either.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dueby_api.classifiers import plain_name
from dueby_api.engines import EngineName
from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_api.schema import Spec, field
from dueby_api.words import counted
from dueby_profiler.analysis.memory import fitting_size
from dueby_profiler.machine.layouts import Layout
from dueby_profiler.machine.machine import Machine, software_versions
from dueby_profiler.measuring.choices import choose, why_unusable
from dueby_profiler.measuring.process_group import Crashed, OutOfMemory, start_group
from dueby_profiler.progress_listener import ProgressListener, ProgressUpdate
from dueby_worker.system.temporary_files import scratch_folder

# Enough for a line in each direction, within 3 minutes.
IMAGE_SIZES = (128, 224, 320)
MINI_BATCH_SIZES = (1, 8, 32, 64)


class Cell(Spec, frozen=True, kw_only=True):
    """One pair of sizes."""

    image_size: int
    mini_batch_size: int
    memory_mib: int | None = field(default=None, name="memoryMiB")
    """Peak of a fresh process; absent if the pair does not fit."""


class MemoryMap(Spec, frozen=True, kw_only=True):
    """The map of one model with one engine on one machine."""

    model: str
    precision: str
    engine: str
    device_class: str
    software: dict[str, str]
    cells: tuple[Cell, ...]

    @property
    def name(self) -> str:
        """Name for a file."""
        return f"memory-{self.device_class}-{plain_name(self.model)}-{self.precision}-{self.engine}"


def map_memory(
    *,
    model: Model,
    machine: Machine,
    classes: Sequence[str] = (),
    image_sizes: Sequence[int] = IMAGE_SIZES,
    mini_batch_sizes: Sequence[int] = MINI_BATCH_SIZES,
    known: Sequence[Cell] = (),
    listener: ProgressListener | None = None,
) -> MemoryMap:
    """Map the machine's first layout with the first of its engines that runs; raise Invalid if none does.

    `known` are cells of the same engine that need not be measured again.
    """
    choice = choose(machine.layouts, model, classes)[0]
    with scratch_folder("memory") as cache:
        mapper = _MemoryMapper(
            model=model,
            machine=machine,
            layout=choice.layout,
            cache_dir=cache,
            known={(cell.image_size, cell.mini_batch_size): cell.memory_mib for cell in known},
            listener=listener or ProgressListener(),
        )
        return mapper.map(choice.engines, image_sizes, mini_batch_sizes)


@dataclass(frozen=True, kw_only=True)
class _MemoryMapper:
    """Measures one map."""

    model: Model
    machine: Machine
    layout: Layout
    cache_dir: Path
    known: Mapping[tuple[int, int], int | None]
    """Peaks measured before, by image size and mini-batch size; None means that the pair did not fit."""
    listener: ProgressListener

    def map(self, engines: Sequence[EngineName], image_sizes: Sequence[int], sizes: Sequence[int]) -> MemoryMap:
        """Return the map with the first engine that runs."""
        try:
            cells = self._cells(engines[0], image_sizes, sorted(sizes))
        except (Invalid, Crashed) as error:
            if (reason := why_unusable(error)) is None or len(engines) == 1:
                raise
            self.listener.on_message(f"{engines[0]} is left out: {reason}.")
            return self.map(engines[1:], image_sizes, sizes)
        return MemoryMap(
            model=self.model.name,
            precision=self.model.precision,
            engine=engines[0],
            device_class=self.layout.device_class,
            software=software_versions(),
            cells=tuple(cells),
        )

    def _cells(self, engine: EngineName, image_sizes: Sequence[int], sizes: Sequence[int]) -> list[Cell]:
        """Return every pair, the smaller mini-batches first, as many image sizes at a time as there are slices."""
        width = len(self.layout.slices)
        groups = [image_sizes[start : start + width] for start in range(0, len(image_sizes), width)]
        rounds = [(size, group) for size in sizes for group in groups]
        peaks: dict[int, dict[int, int]] = defaultdict(dict)
        for (side, size), mib in self.known.items():
            if mib is not None:
                peaks[side][size] = mib
        # A guess for the time left, until the first round has been measured.
        took_s = 10.0
        for number, (size, group) in enumerate(rounds):
            new = [side for side in group if (side, size) not in self.known]
            sides = [side for side in new if self._may_fit(size, peaks[side])]
            doing = f"mini-batches of {counted(size, 'image')} of {', '.join(map(str, sides))} px"
            self.listener.on_progress(ProgressUpdate(doing=doing, left_s=took_s * (len(rounds) - number)))
            began_s = self.machine.clock()
            for side, peak in zip(sides, self._peaks(engine, size, sides), strict=True):
                if peak is not None:
                    peaks[side][size] = peak
            took_s = self.machine.clock() - began_s
        return [
            Cell(image_size=side, mini_batch_size=size, memory_mib=peaks[side].get(size))
            for side in image_sizes
            for size in sizes
        ]

    def _may_fit(self, size: int, peaks: dict[int, int]) -> bool:
        fitting = fitting_size(peaks, self.machine.usable_mib(self.layout))
        return fitting is None or size <= fitting

    def _peaks(self, engine: EngineName, size: int, sides: Sequence[int]) -> list[int | None]:
        """Return the peaks of fresh processes side by side; each alone if together they don't fit."""
        if not sides:
            return []
        layout = replace(self.layout, slices=self.layout.slices[: len(sides)])

        group = start_group(
            layout,
            lambda number: self.model.replace(image_size=sides[number]),
            engine,
            cache_dir=self.cache_dir,
            clock=self.machine.clock,
        )
        try:
            with group:
                group.build(size)
                # The warm-up and one step are enough for the peak.
                return [point.device_mib for point in group.run(0)]
        except OutOfMemory:
            # Which of several processes ran out of memory is unknown, so each is tried alone.
            if len(sides) == 1:
                return [None]
            return [peak for side in sides for peak in self._peaks(engine, size, [side])]
