"""Inference time over mini-batch size, with and without the warm-up, which is the study's second figure.

Each size is measured in fresh processes, since only the first mini-batch of a process is a warm-up. The study's way of
measuring, the mean of some repetitions including the first, is computed from the same processes.
"""

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean, median

from dueby_api.gpu_profile import ProfileSpec
from dueby_api.schema import Spec
from dueby_profiler.analysis.points import while_all_busy
from dueby_profiler.analysis.statistics import pooled_spread, quantile
from dueby_profiler.measuring.process_group import OutOfMemory
from dueby_profiler.progress_listener import ProgressListener, ProgressUpdate
from dueby_study.context import StudyContext
from dueby_study.measurements.profiles import SUBJECT_COLUMNS, subject_facts
from dueby_study.presets import REPETITIONS, StudyPreset
from dueby_study.row_store import Row, RowColumn

STAGE = "times"
COLUMNS = (
    *SUBJECT_COLUMNS,
    RowColumn(name="round", type="int64", doc="number of the group of fresh processes at this size"),
    RowColumn(name="slice", type="int64", doc="number of the device among those side by side"),
    RowColumn(name="mini_batch_size", type="int64", doc="images in a mini-batch"),
    RowColumn(name="startup_us", type="int64", doc="from the process's start until the engine was built"),
    RowColumn(name="warmup_us", type="int64", doc="W: the process's first mini-batch"),
    RowColumn(name="steps_us", type="int64s", doc="steady steps, one after the other, while all devices were busy"),
)


class SizeTimes(Spec, frozen=True, kw_only=True):
    """What the processes of one size show, in microseconds."""

    mini_batch_size: int
    processes: int
    steps: int
    warmup_us: int
    """W: the median over processes."""
    warmup_mean_us: float
    """The mean over processes, which is part of the study's way of measuring."""
    mean_us: float
    """L: the mean over processes of each one's mean steady step."""
    p5_us: int
    """Quantiles over all steady steps."""
    p50_us: int
    p95_us: int
    repeated_us: float
    """The study's way: the mean of REPETITIONS mini-batches of a fresh process, including the warm-up."""

    @property
    def too_long(self) -> float:
        """By which share the study's way exceeds the steady mean."""
        return self.repeated_us / self.mean_us - 1

    @property
    def images_per_second(self) -> float:
        """Throughput of one device."""
        return self.mini_batch_size * 1e6 / self.mean_us


def points(context: StudyContext) -> list[str]:
    """Return each size in each round; a round goes through all sizes before the next one begins."""
    spec = context.profile().spec
    sizes = steady_sizes(spec, context.preset)
    return [_name(size, number) for number in range(context.preset.rounds) for size in sizes]


def steady_sizes(spec: ProfileSpec, preset: StudyPreset) -> list[int]:
    """Return the sizes that fit into memory and whose repetitions don't take too long."""
    fitting = spec.max_mini_batch_size or spec.steps[-1].mini_batch_size
    return [
        size
        for size in preset.sizes
        if size <= fitting and REPETITIONS * expected_us(spec, size) <= 1e6 * preset.max_point_s
    ]


def expected_us(spec: ProfileSpec, size: int) -> float:
    """Return about how long a step takes, at the rate of the nearest measured size."""
    nearest = min(spec.steps, key=lambda step: abs(step.mini_batch_size - size))
    return nearest.latency_micros.mean * size / nearest.mini_batch_size


def measure(context: StudyContext, point: str, listener: ProgressListener) -> None:
    """Measure fresh processes at one size."""
    spec = context.profile().spec
    size, number = _parse(point)
    listener.on_progress(ProgressUpdate(doing=f"fresh processes with mini-batches of {size}", left_s=0.0))
    rows: list[Row] = []
    try:
        with context.group(context.layout, spec.engine) as group:
            built = group.build(size)
            processes = group.run(max(context.preset.point_s, REPETITIONS * expected_us(spec, size) / 1e6))
    except OutOfMemory as error:
        # Kept as a point without rows, so that it is not tried again.
        listener.on_message(f"{error}. The size is left out.")
    else:
        steps = while_all_busy(processes)
        rows = [
            {
                **subject_facts(spec),
                "round": number,
                "slice": place,
                "mini_batch_size": size,
                "startup_us": built[place].startup_us,
                "warmup_us": seen.warmup_us,
                "steps_us": list(steps[place]),
            }
            for place, seen in enumerate(processes)
        ]
    context.keep(STAGE, point, rows, COLUMNS)


def times_of(rows: Sequence[Row]) -> tuple[SizeTimes, ...]:
    """Return what the rows show, by size."""
    sizes: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        sizes[row["mini_batch_size"]].append(row)
    return tuple(_times(size, sizes[size]) for size in sorted(sizes))


def spread_of(rows: Sequence[Row]) -> float | None:
    """Return how much processes of one size differ: the relative standard deviation of their means, pooled over
    sizes.
    """
    means: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        means[row["mini_batch_size"]].append(fmean(row["steps_us"]))
    return pooled_spread(means)


def repeated_mean_us(warmup_us: float, steady_us: float, repetitions: int = REPETITIONS) -> float:
    """Return the mean of so many mini-batches of which the first is a warm-up and the others are steady."""
    return (warmup_us + (repetitions - 1) * steady_us) / repetitions


def _times(size: int, rows: Sequence[Row]) -> SizeTimes:
    steps = [step for row in rows for step in row["steps_us"]]
    means = [fmean(row["steps_us"]) for row in rows]
    warmups = [row["warmup_us"] for row in rows]
    return SizeTimes(
        mini_batch_size=size,
        processes=len(rows),
        steps=len(steps),
        warmup_us=round(median(warmups)),
        warmup_mean_us=fmean(warmups),
        mean_us=fmean(means),
        p5_us=quantile(steps, 0.05),
        p50_us=quantile(steps, 0.5),
        p95_us=quantile(steps, 0.95),
        repeated_us=repeated_mean_us(fmean(warmups), fmean(means)),
    )


def _name(size: int, number: int) -> str:
    return f"{number:02d}-{size:05d}"


def _parse(point: str) -> tuple[int, int]:
    """Return a point's size and round."""
    number, size = point.split("-")
    return int(size), int(number)
