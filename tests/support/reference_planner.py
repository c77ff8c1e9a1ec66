"""The planner's model once more, slow and plain, to compare the product with.

It uses nothing of the product. Every GPU stands on its own, searches try every whole number, and the margins are
decimals of 60 digits and more where the product has closed forms in integers. It is only fit for small numbers of
microseconds.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from itertools import chain, combinations_with_replacement, count, product
from statistics import NormalDist
from typing import Any

Z95 = NormalDist().inv_cdf(0.95)


@dataclass(frozen=True, kw_only=True)
class Size:
    """A measured mini-batch size. `warmup` is (p50, p95), or None if it was not measured."""

    batch: int
    latency: int
    warmup: tuple[int, int] | None


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A device class: a profile and how many devices there are."""

    name: str
    count: int
    sizes: tuple[Size, ...]
    max_batch: int | None = None
    startup: tuple[int, int] | None = None
    run: float | None = None
    node: float | None = None
    own_start: float | None = None

    @property
    def usable(self) -> tuple[Size, ...]:
        """The sizes up to MB."""
        return tuple(s for s in self.sizes if self.max_batch is None or s.batch <= self.max_batch)

    def start(self, size: Size, z: float) -> int:
        """S + W at a normal quantile: known at p50 and p95, and on the line through them."""
        median, late = self.start_quantiles(size)
        with localcontext() as context:
            context.prec = 150
            further = Decimal(late - median) * Decimal(z) / Decimal(Z95)
            return max(0, median + int(further.to_integral_value(ROUND_CEILING)))

    def start_quantiles(self, size: Size) -> tuple[int, int]:
        """S + W at p50 and at p95."""
        warmup = next(s.warmup for s in self.sizes if s.batch >= size.batch and s.warmup is not None)
        startup = self.startup or (0, 0)
        return warmup[0] + startup[0], warmup[1] + startup[1]

    @property
    def own_us(self) -> int:
        """How much longer S is at p95 because of what each start has alone."""
        median, late = self.startup or (0, 0)
        return int((late - median) * (self.own_start or 0.0) ** 0.5)

    @property
    def own_images(self) -> float:
        """The images that its fastest size does in that time."""
        return max(self.own_us * size.batch / size.latency for size in self.usable)


@dataclass(frozen=True, kw_only=True)
class Question:
    """N images in `time` microseconds on these devices."""

    kinds: tuple[Kind, ...]
    images: int
    time: int
    confidence: float = 0.95
    most: int | None = None
    reserve: int = 0
    max_iterations: int | None = None
    start_images: float | None = None
    """The rule's spread of starts, if it is not that of the kinds."""

    @property
    def is_exact(self) -> bool:
        """Whether it is the study's own model."""
        return self.confidence == 0.5

    @property
    def allowed(self) -> int:
        """The most GPUs: max, or all there are."""
        there = sum(kind.count for kind in self.kinds)
        return there if self.most is None else min(there, self.most)

    @property
    def spread_run(self) -> float:
        """The largest among the pool's classes, 0.02 where a profile has none."""
        return max(0.02 if kind.run is None else kind.run for kind in self.kinds)

    @property
    def spread_node(self) -> float:
        """The largest among the pool's classes, 0.03 where a profile has none."""
        return max(0.03 if kind.node is None else kind.node for kind in self.kinds)

    @property
    def spread_start(self) -> float:
        """The standard deviation of a device's images by what its start has alone, the least of a kind."""
        if self.start_images is not None:
            return self.start_images
        return min(kind.own_images for kind in self.kinds) / Z95

    @property
    def z(self) -> float:
        """The normal quantile."""
        return NormalDist().inv_cdf(self.confidence)


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU and the most that it can do."""

    images: int
    kind: Kind
    size: Size


def fits(question: Question, kind: Kind, size: Size, iterations: int, time: int, z: float | None = None) -> bool:
    """Return whether that many steady mini-batches end in time.

    At a quantile above the median the rule takes q x of (1 + q) x off again, as the spread between runs. The start is
    late by s and x by q x, and together they are late by the root of the squares.
    """
    at = question.z if z is None else z
    expected, late = kind.start(size, 0), lateness(question, kind, size, at)
    if late <= 0 or not question.spread_run:
        return expected + late + iterations * size.latency <= time
    with localcontext() as context:
        context.prec = 60
        q = Decimal(at) * Decimal(question.spread_run)
        x = iterations * size.latency / (1 + q)
        left = time - expected - x
        return left >= 0 and left * left >= late * late + (q * x) ** 2


def lateness(question: Question, kind: Kind, size: Size, z: float) -> int:
    """Return how late the start is, beside what the rule takes off as each start's own."""
    median, late = kind.start_quantiles(size)
    with localcontext() as context:
        context.prec = 150
        taken = Decimal(Z95) * Decimal(question.spread_start) * size.latency / size.batch
        own = min(kind.own_us, int(taken.to_integral_value(ROUND_FLOOR)))
        common = Decimal((late - median) ** 2 - own**2).sqrt().to_integral_value(ROUND_CEILING)
        return max(-median, int((common * Decimal(z) / Decimal(Z95)).to_integral_value(ROUND_CEILING)))


def capacity(question: Question, kind: Kind, size: Size, time: int, z: float | None = None) -> int:
    """Return cap(b), for the mini-batches that are found to end in time."""
    if not fits(question, kind, size, 0, time, z):
        return 0
    return (max_iterations(question, kind, size, time, z) + 1) * size.batch


def max_iterations(question: Question, kind: Kind, size: Size, time: int, z: float | None = None) -> int:
    """Return the largest t that ends in time and is allowed. L is at least 1, so no t is more than the time."""
    tried = range(time if question.max_iterations is None else min(time, question.max_iterations))
    return bisect_left(tried, True, key=lambda t: not fits(question, kind, size, t + 1, time, z))


def best_gpus(question: Question, time: int) -> list[Gpu]:
    """Return every GPU with its C and the smallest size that reaches it; the largest C first, ties by class name."""
    found = []
    for kind in question.kinds:
        able = [(capacity(question, kind, size, time), size) for size in kind.usable]
        images, size = max(able, key=lambda pair: (pair[0], -pair[1].batch))
        found += [Gpu(images=images, kind=kind, size=size)] * (kind.count if images else 0)
    return sorted(found, key=lambda gpu: (-gpu.images, gpu.kind.name))


def first_loss(images: int, gpus: int) -> int:
    """Return P while no part size is known: 64 a GPU, at most 1 % of N in all, at least an image a GPU."""
    return min(64 * gpus, max(gpus, images // 100))


def is_accepted(question: Question, capacities: list[int], part: int | None = None) -> bool:
    """Return whether the rule accepts GPUs of these capacities, with parts of this size if it is known."""
    counted = sorted(capacities, reverse=True)[question.reserve :]
    if len(counted) < len(capacities) - question.reserve or not counted:
        return False
    if question.is_exact:
        return sum(c // part * part if part else c for c in counted) >= question.images
    gpus = len(counted)
    left = surplus(question, counted, first_loss(question.images, gpus) if part is None else part * gpus)
    return left >= 0 and left - margin(question, counted) >= 0


def surplus(question: Question, counted: list[int], lost: int) -> Decimal:
    """Return sum C - P - N."""
    return Decimal(sum(counted) - lost - question.images)


def margin(question: Question, counted: list[int], z: float | None = None) -> Decimal:
    """Return z sqrt((run N)^2 + node^2 sum C^2 + k start^2)."""
    with localcontext() as context:
        context.prec = 150
        common = Decimal(question.spread_run) * question.images
        own = Decimal(question.spread_node) ** 2 * sum(c * c for c in counted)
        own += Decimal(question.spread_start) ** 2 * len(counted)
        return Decimal(question.z if z is None else z) * (common * common + own).sqrt()


def is_accepted_at(question: Question, gpus: int, time: int, part: int | None = None) -> bool:
    """Return whether the `gpus` largest are accepted."""
    found = best_gpus(question, time)[:gpus]
    return len(found) == gpus and is_accepted(question, [gpu.images for gpu in found], part)


def fewest(question: Question, time: int | None = None) -> int | None:
    """Return the first k that is accepted; None if none is."""
    at = question.time if time is None else time
    return next((k for k in range(1, question.allowed + 1) if is_accepted_at(question, k, at)), None)


def part_size(question: Question, gpus: int) -> int:
    """Return the largest power of two that keeps k accepted, up to 1 % of a share or what is useful, else 1."""
    chosen = best_gpus(question, question.time)[:gpus]
    share = -(-question.images // gpus)
    batch = min(next(2**n for n in range(20) if 2**n >= gpu.size.batch) for gpu in chosen)
    in_two_minutes, in_time = (
        min(time // gpu.size.latency * gpu.size.batch for gpu in chosen)
        for time in (120_000_000, min(5_000_000, question.time // 10))
    )
    useful = min(share, chosen[-1].images / 4, max(batch, in_time))
    bound = min(65_536, in_two_minutes, max(share / 100, useful))
    powers = [2**n for n in range(17) if 2**n <= bound]
    kept = [size for size in powers if is_accepted_at(question, gpus, question.time, size)]
    return max(kept, default=1)


def plan(question: Question) -> dict[str, Any] | None:
    """Return the plan's figures as the command prints them, in microseconds; None if there is no plan."""
    gpus = fewest(question)
    return None if gpus is None else plan_with(question, gpus)


def plan_with(question: Question, gpus: int) -> dict[str, Any]:
    """Return the plan for k GPUs that are known to be enough."""
    part = part_size(question, gpus)
    finish = bisect_left(range(question.time), True, key=lambda t: is_accepted_at(question, gpus, t, part))
    chosen = best_gpus(question, finish)[:gpus]
    iterations = common_iterations(question, chosen)
    return {
        "gpus": gpus,
        "partSize": part,
        "planned": sum((t + 1) * g.size.batch for g, t in zip(chosen, iterations, strict=True)),
        "expected": max(g.kind.start(g.size, 0) + t * g.size.latency for g, t in zip(chosen, iterations, strict=True)),
        "slack": question.time - first_accepted(question, chosen, part),
        "probability": probability(question, chosen, 0 if question.is_exact else part * (gpus - question.reserve)),
        "groups": grouped(chosen, iterations),
    }


def common_iterations(question: Question, chosen: list[Gpu]) -> list[int]:
    """Return t of each GPU at the least common finish, but no more than end by the deadline with S and W as planned.

    A GPU that is not warm by then does its first mini-batch all the same.
    """
    most = [max_iterations(question, gpu.kind, gpu.size, question.time) for gpu in chosen]

    def at(finish: int) -> list[int]:
        ready = [finish - gpu.kind.start(gpu.size, 0) for gpu in chosen]
        return [max(0, min(m, r // g.size.latency)) for g, m, r in zip(chosen, most, ready, strict=True)]

    for finish in count():
        iterations = at(finish)
        if sum((t + 1) * g.size.batch for g, t in zip(chosen, iterations, strict=True)) >= question.images:
            return iterations
    raise AssertionError("count() has no end")


def first_accepted(question: Question, chosen: list[Gpu], part: int) -> int:
    """Return the least T' at which the plan's GPUs and sizes are accepted. At the deadline they are."""

    def holds(time: int) -> bool:
        able = [capacity(question, gpu.kind, gpu.size, time) for gpu in chosen]
        return all(able) and is_accepted(question, able, part)

    return bisect_left(range(question.time), True, key=holds)


def probability(question: Question, chosen: list[Gpu], lost: int) -> float:
    """Return the confidence at which the rule only just accepts the plan's GPUs; 1 if it always does, 0 if never."""

    def holds(z: float) -> bool:
        able = sorted((capacity(question, g.kind, g.size, question.time, z) for g in chosen), reverse=True)
        counted = able[question.reserve :]
        return surplus(question, counted, lost) >= margin(question, counted, z)

    if not holds(-8) or holds(8):
        return float(holds(8))
    low, high = -8.0, 8.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return NormalDist().cdf(low)


def grouped(chosen: list[Gpu], iterations: list[int]) -> list[tuple[str, int, int, int]]:
    """Return (class, count, mini-batch size, iterations), by class name."""
    rows = [(g.kind.name, g.size.batch, t) for g, t in zip(chosen, iterations, strict=True)]
    return sorted((name, rows.count((name, b, t)), b, t) for name, b, t in set(rows))


def brute_force_fewest(question: Question) -> int | None:
    """Return model (1)'s answer from every subset of GPUs, every mini-batch size and every number of iterations."""
    able = [works(question, kind) for kind in question.kinds]
    counts = [range(kind.count + 1) for kind in question.kinds]
    for k in range(1, question.allowed + 1):
        for subset in product(*counts):
            if sum(subset) == k:
                each = [combinations_with_replacement(work, n) for work, n in zip(able, subset, strict=True)]
                if any(is_accepted(question, list(chain(*done))) for done in product(*each)):
                    return k
    return None


def works(question: Question, kind: Kind) -> list[int]:
    """Return what one GPU may do: (t + 1) b for every b and t that end in time."""
    return sorted(set(_works(question, kind)))


def _works(question: Question, kind: Kind) -> Iterator[int]:
    for size in kind.usable:
        for iterations in count():
            late = not fits(question, kind, size, iterations, question.time)
            if late or (question.max_iterations is not None and iterations > question.max_iterations):
                break
            yield (iterations + 1) * size.batch
