"""What the study's two models answer over N and T, on a pool of devices of the measured class.

    (1)  the fewest devices for N images by T          (2)  the most images by T

Both are solved at confidence 0.5, which is the study's model without a margin, and (1) also at 0.95. Beside them stand
the results of the formulas as printed. In (1) the sum runs over all NGPU devices, so unused ones still add one
mini-batch each, the "+ 1"; in (2) the sum over all devices is multiplied by their number once more.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import JobSpec, Model, Sink
from dueby_api.schema import Spec
from dueby_api.source import Source, Synthetic
from dueby_api.units import MICROS_PER_SECOND
from dueby_planner.deadline_classes import make_plan
from dueby_planner.model.plan import Plan
from dueby_planner.model.problem import Problem
from dueby_planner.profiles.pool import build_pool

DEVICES = 64
# Columns (times) and rows (numbers of images) of the map.
_ACROSS = 48
_DOWN = 36
_MAX_TIME_S = 1800
# Numbers of devices for which model (2) is drawn.
_COUNTS = (1, 8, 64)
# Devices of each class in the pool of two classes.
_OF_EACH = 4


class Map(Spec, frozen=True, kw_only=True):
    """Model (1) on a grid."""

    times_us: tuple[int, ...]
    images: tuple[int, ...]
    fewest: tuple[tuple[int | None, ...], ...]
    """A row for each N, a value for each T; None if not even all devices are enough."""


class Curve(Spec, frozen=True, kw_only=True):
    """Model (2): the most images by T on so many devices, and the mini-batch size that reaches them."""

    devices: int
    times_us: tuple[int, ...]
    images: tuple[int, ...]
    mini_batch_sizes: tuple[int, ...]


class Printed(Spec, frozen=True, kw_only=True):
    """The formulas as printed, beside what is meant."""

    time_us: int
    """T in both models."""
    images: tuple[int, ...]
    fewest: tuple[int | None, ...]
    """(1) as meant, by N."""
    fewest_printed: tuple[int | None, ...]
    """(1) with the mini-batches of unused devices."""
    most: int
    """(2) as meant."""
    most_printed: int
    """(2) with NGPU in front of the sum."""


class MixedShare(Spec, frozen=True, kw_only=True):
    """What the devices of one class do in a plan."""

    device_class: str
    count: int
    mini_batch_size: int
    iterations: int


class Mixed(Spec, frozen=True, kw_only=True):
    """A plan on a pool of two classes."""

    there: dict[str, int]
    """Devices of each class in the pool."""
    images: int
    time_us: int
    shares: tuple[MixedShare, ...]
    proof: str


class Answers(Spec, frozen=True, kw_only=True):
    """All answers of one profile."""

    device_class: str
    devices: int
    exact: Map
    """At confidence 0.5."""
    sure: Map
    """At 0.95."""
    curves: tuple[Curve, ...]
    printed: Printed
    mixed: Mixed | None = None
    """Only if two classes were measured."""
    checked: int
    """Cells of the map that were planned in full, with PuLP's proof."""
    agreed: int
    """Those of them at which PuLP gave the closed form's number."""


def answer(
    profile: GPUProfile, *, others: Sequence[GPUProfile] = (), devices: int = DEVICES, checked: int = 40
) -> Answers:
    """Solve both models on a pool of so many devices of the profile's class, and once on a pool of two classes.

    About `checked` cells of the map, evenly spread over it, are also put to PuLP.
    """
    problem = problem_of([profile], devices=devices)
    # Earlier than the earliest first mini-batch, every cell of the map would be empty.
    start_us = min(choice.start_us for choice in problem.groups[0].choices)
    times = spaced(max(2 * MICROS_PER_SECOND, start_us), _MAX_TIME_S * MICROS_PER_SECOND, _ACROSS)
    most = replace(problem, time_us=times[-1]).largest_images()
    images = spaced(max(100, most // 20_000), max(1000, most), _DOWN)
    exact = fewest_map(problem, times, images)
    solved, agreed = _check(problem, exact, checked)
    return Answers(
        device_class=profile.spec.device_class,
        devices=devices,
        exact=exact,
        sure=fewest_map(replace(problem, confidence=0.95), times, images),
        curves=tuple(most_curve(problem, count, times) for count in _COUNTS if count <= devices),
        printed=as_printed(problem, time_us=_soon_us(problem)),
        mixed=_mixed([profile, *others]),
        checked=solved,
        agreed=agreed,
    )


def problem_of(profiles: Sequence[GPUProfile], *, devices: int) -> Problem:
    """Return the study's model on a pool of so many devices of each profile's class; N and T are still to be set."""
    model = profiles[0].spec.model
    job = JobSpec(
        images=1,
        deadline="1s",
        source=Source(synthetic=Synthetic()),
        sink=Sink(uri="nowhere/"),
        model=Model(name=model.name, image_size=model.image_size, precision=model.precision),
    )
    pool = build_pool(job, profiles, {profile.spec.device_class: devices for profile in profiles})
    return Problem(pool=pool, images=1, time_us=MICROS_PER_SECOND, confidence=0.5)


def fewest_map(problem: Problem, times_us: Sequence[int], images: Sequence[int]) -> Map:
    """Solve model (1) at each N and T in closed form."""
    return Map(
        times_us=tuple(times_us),
        images=tuple(images),
        fewest=tuple(
            tuple(replace(problem, images=count, time_us=time_us).fewest() for time_us in times_us) for count in images
        ),
    )


def most_curve(problem: Problem, devices: int, times_us: Sequence[int]) -> Curve:
    """Solve model (2) at each T."""
    at = [replace(problem, time_us=time_us) for time_us in times_us]
    capacities = [problem_at.capacities() for problem_at in at]
    return Curve(
        devices=devices,
        times_us=tuple(times_us),
        images=tuple(problem_at.largest_images(devices) for problem_at in at),
        mini_batch_sizes=tuple(best[0].choice.mini_batch_size if best else 0 for best in capacities),
    )


def as_printed(problem: Problem, *, time_us: int) -> Printed:
    """Solve both models at this T, literally and as they are meant."""
    at_time = replace(problem, time_us=time_us)
    devices = at_time.most
    capacity = next(iter(at_time.capacities()), None)
    images_each = capacity.images if capacity else 0
    idle = max((c.mini_batch_size for c in at_time.groups[0].choices if c.start_us <= time_us), default=0)
    images = tuple(max(1, images_each * devices * step // 16) for step in range(1, 17))
    return Printed(
        time_us=time_us,
        images=images,
        fewest=tuple(replace(at_time, images=count).fewest() for count in images),
        fewest_printed=tuple(
            _fewest_printed(count, images_each=images_each, idle=idle, devices=devices) for count in images
        ),
        most=at_time.largest_images(),
        most_printed=devices * images_each * devices,
    )


def _mixed(profiles: Sequence[GPUProfile]) -> Mixed | None:
    """Plan three quarters of what two classes together can do in a minute; None with fewer than two classes."""
    two = list({profile.spec.device_class: profile for profile in profiles}.values())[:2]
    if len(two) < 2:
        return None
    problem = replace(problem_of(two, devices=_OF_EACH), time_us=60 * MICROS_PER_SECOND)
    images = max(1, problem.largest_images() * 3 // 4)
    plan = make_plan(replace(problem, images=images))
    if not isinstance(plan, Plan):
        return None
    return Mixed(
        there={profile.spec.device_class: _OF_EACH for profile in two},
        images=images,
        time_us=problem.time_us,
        shares=tuple(
            MixedShare(
                device_class=group.device_class,
                count=group.count,
                mini_batch_size=group.choice.mini_batch_size,
                iterations=group.iterations,
            )
            for group in plan.groups
        ),
        proof=plan.proof,
    )


def _soon_us(problem: Problem) -> int:
    """Return a T that leaves a device time for little more than its first mini-batch, whatever its size."""
    choices = problem.groups[0].choices
    return max(choice.start_us for choice in choices) + 2 * max(choice.latency_us for choice in choices)


def spaced(low: int, high: int, count: int) -> list[int]:
    """Return whole numbers from low to high at equal ratios, without duplicates."""
    ratio = (high / low) ** (1 / (count - 1))
    return sorted({round(low * ratio**step) for step in range(count)})


def edges(values: Sequence[int]) -> list[float]:
    """Return the bounds of cells around the values of a logarithmic scale: one more than there are values."""
    inner = [(before * after) ** 0.5 for before, after in pairwise(values)]
    return [values[0] ** 2 / inner[0], *inner, values[-1] ** 2 / inner[-1]]


def _fewest_printed(images: int, *, images_each: int, idle: int, devices: int) -> int | None:
    """Return the smallest k >= 1 with k C + (NGPU - k) b >= N."""
    return next((k for k in range(1, devices + 1) if k * images_each + (devices - k) * idle >= images), None)


def _check(problem: Problem, grid: Map, wanted: int) -> tuple[int, int]:
    """Plan some cells in full; return how many, and at how many of them PuLP proved the same number."""
    cells = [
        (count, time_us, fewest)
        for count, row in zip(grid.images, grid.fewest, strict=True)
        for time_us, fewest in zip(grid.times_us, row, strict=True)
    ]
    chosen = cells[:: max(1, len(cells) // wanted)]
    agreed = 0
    for count, time_us, fewest in chosen:
        plan = make_plan(replace(problem, images=count, time_us=time_us))
        proved = "CBC" in plan.proof  # PuLP's solver
        agreed += proved and (plan.gpus if isinstance(plan, Plan) else None) == fewest
    return len(chosen), agreed
