"""What a study found, in numbers: summary.json, from which the page is written and which documents quote.

Everything in it is computed from the raw rows and the profiles and never carried over, so it can be made again at any
time. Stages that were not measured are absent.
"""

from collections.abc import Sequence
from statistics import linear_regression
from typing import get_args

from dueby_api.gpu_profile import FitKind, GPUProfile, images_per_second
from dueby_api.schema import Spec
from dueby_planner.profiles.fits import MIN_POINTS, left_out_error
from dueby_planner.profiles.machine_pool import machine_pool
from dueby_profiler.measuring.memory_map import Cell, MemoryMap
from dueby_study.answers import Answers, answer
from dueby_study.context import StudyContext
from dueby_study.measurements import features, memory, models, times, together
from dueby_study.measurements.features import FeatureRanking
from dueby_study.measurements.models import ModelRow
from dueby_study.measurements.times import SizeTimes
from dueby_study.measurements.together import Rate
from dueby_study.presets import REPETITIONS
from dueby_study.settings import StudySettings, read_settings
from dueby_study.warmup.learning.learn import LearnedWarmups

FILE = "summary.json"


class Slope(Spec, frozen=True, kw_only=True):
    """Memory over the mini-batch size at one image size."""

    image_size: int
    base_mib: float
    """Where the line through the measured sizes meets 0 images."""
    image_mib: float
    """What each additional image takes."""
    furthest: float | None = None
    """Largest relative distance of a measured size from the line; None with two sizes, which always lie on one."""


class MemorySummary(Spec, frozen=True, kw_only=True):
    """The memory map."""

    device_class: str
    engine: str
    cells: tuple[Cell, ...]
    slopes: tuple[Slope, ...]


class LatencyCurves(Spec, frozen=True, kw_only=True):
    """L over the mini-batch size: how far each kind of curve is off at a size that was left out."""

    sizes: tuple[int, ...]
    mean_us: tuple[int, ...]
    errors: dict[str, float]
    """By kind of curve."""
    best: FitKind
    spread: float | None = None
    """Relative spread between processes at one size; None if each size was measured by one process."""


class InferenceTimes(Spec, frozen=True, kw_only=True):
    """Times with and without the warm-up."""

    device_class: str
    engine: str
    image_size: int
    repetitions: int
    """How many mini-batches the study's way takes its mean of."""
    sizes: tuple[SizeTimes, ...]
    latency: LatencyCurves | None = None


class Together(Spec, frozen=True, kw_only=True):
    """Several processes at once."""

    engine: str
    gpu: bool
    rates: tuple[Rate, ...]
    chosen: dict[str, int]
    """The pool that the planner makes of this machine: the fastest layout by its profiles."""
    layouts: dict[str, float]
    """Images per second of each layout's devices together at their best size, by its profile."""


class StudySummary(Spec, frozen=True, kw_only=True):
    """Everything that was found."""

    settings: StudySettings
    busy: bool
    """Whether another program used the machine while any of the profiles was measured."""
    seconds: dict[str, float]
    """How long measuring took, by stage."""
    subject: ModelRow | None = None
    memory: MemorySummary | None = None
    times: InferenceTimes | None = None
    answers: Answers | None = None
    models: tuple[ModelRow, ...] = ()
    """The subject first, then the others, the fastest first."""
    together: Together | None = None
    features: FeatureRanking | None = None


def summarise(context: StudyContext, learned: LearnedWarmups | None = None) -> StudySummary:
    """Return the numbers of what the row store holds, and of what was learnt from the warm-ups."""
    profiles = context.profiles(context.subject.name)
    first = [profile for profile in profiles if profile.spec.device_class == context.layout.device_class]
    others = [p for p in context.profiles(*context.models) if p.spec.model.name != context.subject.name]
    lines = sorted(map(models.model_row, others), key=lambda line: -line.images_per_second)
    subject = models.model_row(first[0]) if first else None
    return StudySummary(
        settings=read_settings(context.folder),
        busy=any(profile.spec.busy for profile in [*profiles, *others]),
        seconds=dict(context.row_store.seconds()),
        subject=subject,
        memory=_memory(memory.map_of(context.row_store.rows(memory.STAGE))),
        times=_times(context),
        answers=answer(first[0], others=profiles, checked=context.preset.checked) if first else None,
        # A table of the subject alone would say nothing new.
        models=(subject, *lines) if subject and lines else (),
        together=_together(context, profiles),
        features=features.rank_features(learned, context.layout.device_class) if learned else None,
    )


def slope_of(image_size: int, cells: Sequence[Cell]) -> Slope | None:
    """Return the line through one image size's peaks; None with fewer than two."""
    points = [(cell.mini_batch_size, cell.memory_mib) for cell in cells if cell.memory_mib is not None]
    if len({size for size, _ in points}) < 2:
        return None
    slope, base = linear_regression(*zip(*points, strict=True))
    furthest = max(abs(mib / (base + slope * size) - 1) for size, mib in points)
    return Slope(
        image_size=image_size,
        base_mib=round(base, 1),
        image_mib=round(slope, 3),
        furthest=round(furthest, 4) if len(points) > 2 else None,
    )


def latency_of(times: Sequence[SizeTimes], *, spread: float | None = None) -> LatencyCurves | None:
    """Return how well the kinds of curves fit; None with too few sizes to leave one out."""
    points = tuple((seen.mini_batch_size, round(seen.mean_us)) for seen in times)
    if len(points) < MIN_POINTS:
        return None
    errors = {kind: left_out_error(points, kind) for kind in get_args(FitKind)}
    return LatencyCurves(
        sizes=tuple(size for size, _ in points),
        mean_us=tuple(mean for _, mean in points),
        errors=errors,
        best=min(errors, key=lambda kind: errors[kind]),
        spread=None if spread is None else round(spread, 4),
    )


def _memory(memory_map: MemoryMap | None) -> MemorySummary | None:
    if memory_map is None:
        return None
    sides = sorted({cell.image_size for cell in memory_map.cells})
    slopes = [slope_of(side, [cell for cell in memory_map.cells if cell.image_size == side]) for side in sides]
    return MemorySummary(
        device_class=memory_map.device_class,
        engine=memory_map.engine,
        cells=memory_map.cells,
        slopes=tuple(slope for slope in slopes if slope),
    )


def _times(context: StudyContext) -> InferenceTimes | None:
    rows = context.row_store.rows(times.STAGE)
    if not rows:
        return None
    sizes = times.times_of(rows)
    return InferenceTimes(
        device_class=rows[0]["device_class"],
        engine=rows[0]["engine"],
        image_size=rows[0]["image_size"],
        repetitions=REPETITIONS,
        sizes=sizes,
        latency=latency_of(sizes, spread=times.spread_of(rows)),
    )


def _together(context: StudyContext, profiles: Sequence[GPUProfile]) -> Together | None:
    rows = context.row_store.rows(together.STAGE)
    if not rows:
        return None
    speeds = {p.spec.device_class: images_per_second(p.spec) * (p.spec.device.slices or 1) for p in profiles}
    return Together(
        engine=rows[0]["engine"],
        gpu=context.layout.is_gpu,
        rates=together.rates_of(rows),
        chosen=machine_pool(profiles, context.subject),
        layouts={name: round(speed, 1) for name, speed in speeds.items()},
    )
