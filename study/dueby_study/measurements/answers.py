"""The answers of the study's two models over N and T, on a pool of devices of the class that was measured.

    (1)  the fewest devices for N images by T          (2)  the most images by T

Both at confidence 0.5, which is the study's model without a margin, and (1) also at 0.95. Beside them what the formulas
give as they are printed. In (1) the sum runs over all NGPU devices, so those that aren't used still add their one
mini-batch, the "+ 1"; in (2) the sum over all devices is multiplied by their number once more.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import JobSpec, Model, Sink, Source, Synthetic
from dueby_api.schema import Spec
from dueby_api.units import MICROS_PER_SECOND
from dueby_planner.model.plan import Plan
from dueby_planner.model.problem import Problem
from dueby_planner.objectives import make_plan
from dueby_planner.profiles.pool import build_pool

DEVICES = 64
_ACROSS = 48
"""Times and numbers of images of the map."""
_DOWN = 36
_LONGEST = 1800
"""Seconds."""
_COUNTS = (1, 8, 64)
_OF_EACH = 4
"""Devices of each class in the pool of two."""


class Map(Spec, frozen=True, kw_only=True):
    """Model (1) on a grid."""

    times_us: tuple[int, ...]
    images: tuple[int, ...]
    fewest: tuple[tuple[int | None, ...], ...]
    """A row for each N, a value for each T; None: not even all devices do it."""


class Curve(Spec, frozen=True, kw_only=True):
    """Model (2): the most images by T of so many devices, and the mini-batch size with which."""

    devices: int
    times_us: tuple[int, ...]
    images: tuple[int, ...]
    mini_batch_sizes: tuple[int, ...]


class Printed(Spec, frozen=True, kw_only=True):
    """The formulas as they are printed, beside what is meant."""

    time_us: int
    """T of both."""
    images: tuple[int, ...]
    fewest: tuple[int | None, ...]
    """(1) as it is meant, by N."""
    fewest_printed: tuple[int | None, ...]
    """(1) with the mini-batches of devices that aren't used."""
    most: int
    """(2) as it is meant."""
    most_printed: int
    """(2) with NGPU in front of the sum."""


class Share(Spec, frozen=True, kw_only=True):
    """What the devices of one class do in a plan."""

    device_class: str
    count: int
    mini_batch_size: int
    iterations: int


class Mixed(Spec, frozen=True, kw_only=True):
    """A plan on a pool of two classes."""

    there: dict[str, int]
    """Devices of each class."""
    images: int
    time_us: int
    shares: tuple[Share, ...]
    proof: str


class Answers(Spec, frozen=True, kw_only=True):
    """All of them, of one profile."""

    device_class: str
    devices: int
    exact: Map
    """At confidence 0.5."""
    sure: Map
    """At 0.95."""
    curves: tuple[Curve, ...]
    printed: Printed
    mixed: Mixed | None = None
    """Where two classes were measured."""
    checked: int
    """Cells of the map that were planned in full, with PuLP's proof."""
    agreed: int
    """Of them, those at which PuLP gave the closed form's number."""


def answer(
    profile: GPUProfile, *, others: Sequence[GPUProfile] = (), devices: int = DEVICES, checked: int = 40
) -> Answers:
    """On a pool of so many devices of the profile's class, and once on one that has some of another class, too.

    About `checked` cells of the map, evenly over it, are also put to PuLP.
    """
    problem = problem_of([profile], devices=devices)
    start_us = min(choice.start_us for choice in problem.groups[0].choices)
    times = spaced(max(2 * MICROS_PER_SECOND, start_us), _LONGEST * MICROS_PER_SECOND, _ACROSS)
    most = replace(problem, time_us=times[-1]).largest_images()
    images = spaced(max(100, most // 20_000), max(1000, most), _DOWN)
    exact = fewest_map(problem, times, images)
    asked, agreed = _check(problem, exact, checked)
    return Answers(
        device_class=profile.spec.device_class,
        devices=devices,
        exact=exact,
        sure=fewest_map(replace(problem, confidence=0.95), times, images),
        curves=tuple(most_curve(problem, count, times) for count in _COUNTS if count <= devices),
        printed=as_printed(problem, time_us=_soon_us(problem)),
        mixed=_mixed([profile, *others]),
        checked=asked,
        agreed=agreed,
    )


def problem_of(profiles: Sequence[GPUProfile], *, devices: int) -> Problem:
    """The study's model on a pool of so many devices of each profile's class; N and T are yet to be given."""
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
    """Model (1) at each N and T, in closed form."""
    return Map(
        times_us=tuple(times_us),
        images=tuple(images),
        fewest=tuple(
            tuple(replace(problem, images=count, time_us=time_us).fewest() for time_us in times_us) for count in images
        ),
    )


def most_curve(problem: Problem, devices: int, times_us: Sequence[int]) -> Curve:
    """Model (2) at each T."""
    at = [replace(problem, time_us=time_us) for time_us in times_us]
    found = [asked.capacities() for asked in at]
    return Curve(
        devices=devices,
        times_us=tuple(times_us),
        images=tuple(asked.largest_images(devices) for asked in at),
        mini_batch_sizes=tuple(best[0].choice.mini_batch_size if best else 0 for best in found),
    )


def as_printed(problem: Problem, *, time_us: int) -> Printed:
    """Both models at this T, to the letter and as they are meant."""
    asked = replace(problem, time_us=time_us)
    devices = asked.most
    capacity = next(iter(asked.capacities()), None)
    each = capacity.images if capacity else 0
    idle = max((c.mini_batch_size for c in asked.groups[0].choices if c.start_us <= time_us), default=0)
    images = tuple(max(1, each * devices * step // 16) for step in range(1, 17))
    return Printed(
        time_us=time_us,
        images=images,
        fewest=tuple(replace(asked, images=count).fewest() for count in images),
        fewest_printed=tuple(_fewest_printed(count, each=each, idle=idle, devices=devices) for count in images),
        most=asked.largest_images(),
        most_printed=devices * each * devices,
    )


def _mixed(profiles: Sequence[GPUProfile]) -> Mixed | None:
    """Three quarters of what two classes together can do in a minute, planned on both."""
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
            Share(
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
    """A T at which a device has time for little more than its first mini-batch, whatever its size."""
    choices = problem.groups[0].choices
    return max(choice.start_us for choice in choices) + 2 * max(choice.latency_us for choice in choices)


def spaced(low: int, high: int, count: int) -> list[int]:
    """Whole numbers from low to high, each the same number of times the one before, without doubles."""
    ratio = (high / low) ** (1 / (count - 1))
    return sorted({round(low * ratio**step) for step in range(count)})


def edges(values: Sequence[int]) -> list[float]:
    """Bounds of cells around the values of a scale by ratios: one more than there are values."""
    inner = [(before * after) ** 0.5 for before, after in pairwise(values)]
    return [values[0] ** 2 / inner[0], *inner, values[-1] ** 2 / inner[-1]]


def _fewest_printed(images: int, *, each: int, idle: int, devices: int) -> int | None:
    """The least k with k C + (NGPU - k) b >= N, at least 1."""
    return next((k for k in range(1, devices + 1) if k * each + (devices - k) * idle >= images), None)


def _check(problem: Problem, found: Map, wanted: int) -> tuple[int, int]:
    """Plan some cells in full: how many, and at how many of them PuLP proved the same number."""
    cells = [
        (count, time_us, fewest)
        for count, row in zip(found.images, found.fewest, strict=True)
        for time_us, fewest in zip(found.times_us, row, strict=True)
    ]
    chosen = cells[:: max(1, len(cells) // wanted)]
    agreed = 0
    for count, time_us, fewest in chosen:
        plan = make_plan(replace(problem, images=count, time_us=time_us))
        proved = "CBC" in plan.proof
        agreed += proved and (plan.gpus if isinstance(plan, Plan) else None) == fewest
    return len(chosen), agreed
