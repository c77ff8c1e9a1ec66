"""What a study found, in numbers: summary.json, from which the page is written and the documents quote.

Everything in it is worked out from the raw rows and the profiles, never carried over, so it can be made again at any
time. A stage that wasn't measured is absent.
"""

from collections.abc import Sequence
from typing import get_args

from dueby_api.gpu_profile import FitKind, GPUProfile, images_per_second
from dueby_api.schema import Spec
from dueby_planner.profiles.fits import MIN_POINTS, left_out_error
from dueby_planner.profiles.machine_pool import machine_pool
from dueby_profiler.analysis.statistics import fit_line
from dueby_profiler.measuring.memory_map import Cell, MemoryMap
from dueby_study.context import Lab
from dueby_study.measurements import features, memory, models, times, together
from dueby_study.measurements.answers import Answers, answer
from dueby_study.measurements.features import Features
from dueby_study.measurements.models import Line
from dueby_study.measurements.times import Times
from dueby_study.measurements.together import Rate
from dueby_study.presets import REPETITIONS
from dueby_study.settings import Settings, read_settings
from dueby_study.warmup.learn import Learned

FILE = "summary.json"


class Slope(Spec, frozen=True, kw_only=True):
    """Memory over the mini-batch size at one image size."""

    image_size: int
    base_mib: float
    """Of the line through the measured sizes, at no image."""
    image_mib: float
    """What each further image takes."""
    furthest: float | None = None
    """The largest distance of a measured size from the line, relative to it; None: any two lie on one."""


class Memory(Spec, frozen=True, kw_only=True):
    """The memory map."""

    device_class: str
    engine: str
    cells: tuple[Cell, ...]
    slopes: tuple[Slope, ...]


class Latency(Spec, frozen=True, kw_only=True):
    """L over the mini-batch size: how far each kind of curve is off at a size that it wasn't shown."""

    sizes: tuple[int, ...]
    mean_us: tuple[int, ...]
    errors: dict[str, float]
    """By kind."""
    best: FitKind
    spread: float | None = None
    """How much processes of one size differ, relative; None: there was only one of each."""


class InferenceTimes(Spec, frozen=True, kw_only=True):
    """Times with and without the warm-up."""

    device_class: str
    engine: str
    image_size: int
    repetitions: int
    """Over how many mini-batches the study's way takes its mean."""
    sizes: tuple[Times, ...]
    latency: Latency | None = None


class Together(Spec, frozen=True, kw_only=True):
    """Several processes at once."""

    engine: str
    gpu: bool
    rates: tuple[Rate, ...]
    chosen: dict[str, int]
    """The pool that the planner makes of this machine: the fastest layout by its profiles."""
    layouts: dict[str, float]
    """Images a second of each layout's devices together at their best size, by its profile."""


class Summary(Spec, frozen=True, kw_only=True):
    """All that was found."""

    settings: Settings
    busy: bool
    """Whether something else used the machine while any of the profiles was measured."""
    seconds: dict[str, float]
    """What measuring took, by stage."""
    subject: Line | None = None
    memory: Memory | None = None
    times: InferenceTimes | None = None
    answers: Answers | None = None
    models: tuple[Line, ...] = ()
    """The subject first, then the others by their speed."""
    together: Together | None = None
    features: Features | None = None


def summarise(lab: Lab, learned: Learned | None = None) -> Summary:
    """The numbers of what the notebook holds, and of what was learnt from the warm-ups."""
    own = lab.profiles(lab.subject.name)
    first = [profile for profile in own if profile.spec.device_class == lab.layout.device_class]
    others = [p for p in lab.profiles(*lab.models) if p.spec.model.name != lab.subject.name]
    lines = sorted(map(models.line_of, others), key=lambda line: -line.images_per_second)
    subject = models.line_of(first[0]) if first else None
    return Summary(
        settings=read_settings(lab.folder),
        busy=any(profile.spec.busy for profile in [*own, *others]),
        seconds=dict(lab.notebook.seconds()),
        subject=subject,
        memory=_memory(memory.map_of(lab.notebook.rows(memory.STAGE))),
        times=_times(lab),
        answers=answer(first[0], others=own, checked=lab.effort.checked) if first else None,
        models=(subject, *lines) if subject and lines else (),
        together=_together(lab, own),
        features=features.features_of(learned, lab.layout.device_class) if learned else None,
    )


def slope_of(image_size: int, cells: Sequence[Cell]) -> Slope | None:
    """The line through one image size's peaks; None with fewer than two."""
    found = [(cell.mini_batch_size, cell.memory_mib) for cell in cells if cell.memory_mib is not None]
    if len({size for size, _ in found}) < 2:
        return None
    line = fit_line(found)
    furthest = max(abs(mib / line.at(size) - 1) for size, mib in found)
    return Slope(
        image_size=image_size,
        base_mib=round(line.base, 1),
        image_mib=round(line.slope, 3),
        furthest=round(furthest, 4) if len(found) > 2 else None,
    )


def latency_of(found: Sequence[Times], *, spread: float | None = None) -> Latency | None:
    """What the kinds of curves make of it; None with too few sizes to leave one out."""
    points = tuple((seen.mini_batch_size, round(seen.mean_us)) for seen in found)
    if len(points) < MIN_POINTS:
        return None
    errors = {kind: left_out_error(points, kind) for kind in get_args(FitKind)}
    return Latency(
        sizes=tuple(size for size, _ in points),
        mean_us=tuple(mean for _, mean in points),
        errors=errors,
        best=min(errors, key=lambda kind: errors[kind]),
        spread=None if spread is None else round(spread, 4),
    )


def _memory(found: MemoryMap | None) -> Memory | None:
    if found is None:
        return None
    sides = sorted({cell.image_size for cell in found.cells})
    slopes = [slope_of(side, [cell for cell in found.cells if cell.image_size == side]) for side in sides]
    return Memory(
        device_class=found.device_class,
        engine=found.engine,
        cells=found.cells,
        slopes=tuple(slope for slope in slopes if slope),
    )


def _times(lab: Lab) -> InferenceTimes | None:
    rows = lab.notebook.rows(times.STAGE)
    if not rows:
        return None
    found = times.times_of(rows)
    return InferenceTimes(
        device_class=rows[0]["device_class"],
        engine=rows[0]["engine"],
        image_size=rows[0]["image_size"],
        repetitions=REPETITIONS,
        sizes=found,
        latency=latency_of(found, spread=times.spread_of(rows)),
    )


def _together(lab: Lab, profiles: Sequence[GPUProfile]) -> Together | None:
    rows = lab.notebook.rows(together.STAGE)
    if not rows:
        return None
    speeds = {p.spec.device_class: images_per_second(p.spec) * (p.spec.device.slices or 1) for p in profiles}
    return Together(
        engine=rows[0]["engine"],
        gpu=lab.layout.is_gpu,
        rates=together.rates_of(rows),
        chosen=machine_pool(profiles, lab.subject),
        layouts={name: round(speed, 1) for name, speed in speeds.items()},
    )
