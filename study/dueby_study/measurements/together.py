"""Several processes at once on a device that one could have for itself: the study's question of concurrency, and
energy.

On cores: every way to cut them, from a process for each core to one process with all of them. On a GPU: one process,
and two that share it. The arrangements take turns within a round, so that disturbances of the machine affect all of
them alike.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median

from dueby_api.schema import Spec
from dueby_api.words import counted
from dueby_profiler.analysis.points import while_all_busy
from dueby_profiler.machine import nvml
from dueby_profiler.machine.layouts import Layout
from dueby_profiler.machine.nvml import GpuState
from dueby_profiler.measuring.process_group import OutOfMemory
from dueby_profiler.progress_listener import ProgressListener, ProgressUpdate
from dueby_study.context import StudyContext
from dueby_study.measurements.profiles import SUBJECT_COLUMNS, subject_facts
from dueby_study.row_store import Row, RowColumn

STAGE = "together"
COLUMNS = (
    *SUBJECT_COLUMNS,
    RowColumn(name="arrangement", type="string", doc="name of the arrangement: which processes ran side by side"),
    RowColumn(name="processes", type="int64", doc="how many processes ran side by side"),
    RowColumn(name="threads", type="int64", doc="threads that the model of each process computes with"),
    RowColumn(name="round", type="int64", doc="number of the group of fresh processes"),
    RowColumn(name="mini_batch_size", type="int64", doc="images in a mini-batch"),
    RowColumn(name="images_per_second", type="float64", doc="steady throughput of all processes together"),
    RowColumn(name="images", type="int64", doc="images classified while the energy was counted"),
    RowColumn(name="seconds", type="float64", doc="how long it was counted"),
    RowColumn(name="gpu_energy_j", type="float64", doc="joules of the GPUs; null: there is no counter"),
    RowColumn(name="cpu_energy_j", type="float64", doc="joules of the processor; null: there is no counter"),
)
# How many processes share a GPU.
_ON_A_GPU = (1, 2)
_POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Counters at one moment, in joules."""

    gpu: Mapping[str, float]
    """By the GPU's UUID."""
    cpu: Mapping[str, tuple[float, float]]
    """By package: the counter, and the value at which it starts again."""


@dataclass(frozen=True, kw_only=True)
class Energy:
    """Energy used between two readings."""

    gpu_j: float | None
    """By all the GPUs together; None if they have no counter."""
    cpu_j: float | None
    """By all packages of the processor together; None if their counters can't be read."""


class Meter:
    """Reads the counters of some GPUs and of the processor."""

    def __init__(self, gpus: Sequence[str], *, read_gpu: Callable[[str], GpuState], powercap: Path = _POWERCAP) -> None:
        self._gpus, self._read_gpu, self._powercap = sorted(set(gpus)), read_gpu, powercap

    def read(self) -> Reading:
        """Return the counters now."""
        states = {uuid: self._read_gpu(uuid).values for uuid in self._gpus}
        return Reading(
            gpu={uuid: values["energy_j"] for uuid, values in states.items() if "energy_j" in values},
            cpu=dict(_packages(self._powercap)),
        )


def used(before: Reading, after: Reading) -> Energy:
    """Return the energy between two readings, of the counters that were read both times."""
    gpu = [after.gpu[uuid] - before.gpu[uuid] for uuid in before.gpu.keys() & after.gpu.keys()]
    # A counter that is lower than before has started again at its maximum.
    cpu = [
        now - was if now >= was else now - was + most
        for name, (was, most) in before.cpu.items()
        if name in after.cpu
        for now, _ in [after.cpu[name]]
    ]
    return Energy(gpu_j=sum(gpu) if gpu else None, cpu_j=sum(cpu) if cpu else None)


def _packages(powercap: Path) -> list[tuple[str, tuple[float, float]]]:
    """Return the counters of whole packages: intel-rapl:0 and not intel-rapl:0:0. AMD's have the same names."""
    counters = []
    for folder in sorted(powercap.glob("intel-rapl:*")):
        if folder.name.count(":") == 1:
            try:
                energy, most = (int((folder / name).read_text()) / 1e6 for name in ("energy_uj", "max_energy_range_uj"))
            except (OSError, ValueError):
                continue
            counters.append((folder.name, (energy, most)))
    return counters


@dataclass(frozen=True, kw_only=True)
class Arrangement:
    """Processes that run side by side."""

    name: str
    words: str
    layout: Layout


class Rate(Spec, frozen=True, kw_only=True):
    """What an arrangement reaches at one size, over its rounds."""

    arrangement: str
    processes: int
    threads: int
    mini_batch_size: int
    rounds: int
    images_per_second: float
    """The median over rounds."""
    least: float
    most: float
    gpu_j: float | None = None
    """Joules per image, the median; None if they can't be counted."""
    cpu_j: float | None = None


def arrangements(layouts: Sequence[Layout]) -> list[Arrangement]:
    """Return all layouts of cores, or one and two processes on each GPU of the first product."""
    first = layouts[0]
    if not first.is_gpu:
        return [_cores(layout) for layout in layouts]
    return [_on_gpus(first, count) for count in _ON_A_GPU]


def points(context: StudyContext) -> list[str]:
    """Return each arrangement in each round."""
    names = [arrangement.name for arrangement in arrangements(context.layouts)]
    return [f"{number:02d}-{name}" for number in range(context.preset.together_rounds) for name in names]


def measure(context: StudyContext, point: str, listener: ProgressListener) -> None:
    """Measure fresh processes of one arrangement, one size after the other."""
    spec = context.profile().spec
    number, _, name = point.partition("-")
    arrangement = next(candidate for candidate in arrangements(context.layouts) if candidate.name == name)
    layout = arrangement.layout
    rows: list[Row] = []
    with nvml.observe_gpus() as read_gpu, context.group(layout, spec.engine) as group:
        meter = Meter([slice_.gpu for slice_ in layout.slices if slice_.gpu], read_gpu=read_gpu)
        for size in context.preset.together_sizes:
            listener.on_progress(ProgressUpdate(doing=f"{arrangement.words}, mini-batches of {size}", left_s=0.0))
            try:
                group.build(size)
                group.run(0)  # not counted: the warm-up, and the check of the very first results
                before, began_s = meter.read(), context.machine.clock()
                processes = group.run(context.preset.together_s)
                energy, seconds = used(before, meter.read()), context.machine.clock() - began_s
            except OutOfMemory as error:
                # Larger sizes would not fit either.
                listener.on_message(f"{arrangement.words}: {error}.")
                break
            steady = while_all_busy(processes)
            rows.append(
                {
                    **subject_facts(spec),
                    "arrangement": name,
                    "processes": len(layout.slices),
                    "threads": layout.slices[0].threads,
                    "round": int(number),
                    "mini_batch_size": size,
                    "images_per_second": sum(size * 1e6 / fmean(steps) for steps in steady),
                    "images": sum(size * (1 + len(seen.ended_us)) for seen in processes),
                    "seconds": seconds,
                    "gpu_energy_j": energy.gpu_j,
                    "cpu_energy_j": energy.cpu_j,
                }
            )
    context.keep(STAGE, point, rows, COLUMNS)


def rates_of(rows: Sequence[Row]) -> tuple[Rate, ...]:
    """Return the rates by arrangement, the most processes first, and by size."""
    groups: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["arrangement"], row["mini_batch_size"]].append(row)
    rates = [_rate(rows_of_one) for rows_of_one in groups.values()]
    return tuple(sorted(rates, key=lambda rate: (-rate.processes, rate.arrangement, rate.mini_batch_size)))


def words_of(processes: int, threads: int, *, gpu: bool) -> str:
    """Describe the arrangement for people."""
    many = counted(processes, "process", "processes")
    if gpu:
        return f"{many} on a GPU"
    cores = counted(threads, "core")
    return f"{many} of {cores}" if processes == 1 else f"{many} of {cores} each"


def _rate(rows: Sequence[Row]) -> Rate:
    first, rates = rows[0], [row["images_per_second"] for row in rows]
    return Rate(
        arrangement=first["arrangement"],
        processes=first["processes"],
        threads=first["threads"],
        mini_batch_size=first["mini_batch_size"],
        rounds=len(rows),
        images_per_second=median(rates),
        least=min(rates),
        most=max(rates),
        gpu_j=_an_image(rows, "gpu_energy_j"),
        cpu_j=_an_image(rows, "cpu_energy_j"),
    )


def _an_image(rows: Sequence[Row], column: str) -> float | None:
    values = [row[column] / row["images"] for row in rows if row[column] is not None]
    return median(values) if values else None


def _cores(layout: Layout) -> Arrangement:
    words = words_of(len(layout.slices), layout.slices[0].threads, gpu=False)
    return Arrangement(name=layout.device_class, words=words, layout=layout)


def _on_gpus(layout: Layout, count: int) -> Arrangement:
    """Return so many processes on each GPU, which share the host's cores of that GPU."""
    slices = tuple(
        replace(slice_, threads=max(1, slice_.threads // count)) for slice_ in layout.slices for _ in range(count)
    )
    return Arrangement(name=f"{count}-a-gpu", words=words_of(count, 1, gpu=True), layout=replace(layout, slices=slices))
