"""What one device can do by a given time, and which of its mini-batch sizes does most.

For a device that is free at `a`, started in S and warm after W(b), with R the time left:

    e = a + S + W(b)
    cap(b) = 0 if e > R, else (min(M, floor((R - e) / L(b))) + 1) * b           C = max over the measured b <= MB

That is the study's, and with S and W at p50 it is what one should see. At a confidence, S + W is late by s, and steps
that are to take x are late by q x, with q = z run. It is seldom that both are: with Y = R - e, still at p50, the steps
that are done by R are those with

    x + sqrt(s^2 + (q x)^2) = Y,  hence  (1 + q) x = (1 + q) (Y^2 - s^2) / (Y + sqrt(q^2 (Y^2 - s^2) + s^2))

and (1 + q) x takes the place of R - e: the acceptance rule takes q off again, as the spread between runs (margin.py).
It is between Y - s, where both margins are added, and Y.

The warm-up mini-batch does useful work, hence the + 1; without the guard the formula goes negative for W > R and
corrupts every sum. cap is a saw-tooth in b: the largest size is the best one in only 33-93 % of cases, so all measured
sizes are tried, and with `interpolate` those between them. Their L is planned longer by z standard errors of its fit:
the error is common to all devices of a class, and added to the other spreads rather than to their squares it leaves
the acceptance rule as it is, by which more choices never take more devices.

Everything is in integer microseconds, since floats lose a mini-batch in 8-25 % of boundary cases.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import ceil, isqrt

from dueby_api.engines import EngineName
from dueby_planner.model.rule import quantile
from dueby_planner.small_samples import Z95

BILLION = 10**9
"""What a common margin counts in."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One way to run a device: an engine and a mini-batch size, with its times for this job."""

    engine: EngineName
    mini_batch_size: int
    latency_us: int
    """L: a steady mini-batch, the job's input cost included; what one should see."""
    start_us: int
    """S + W at the job's confidence, which it ends by were nothing else late."""
    expected_start_us: int
    """S + W at p50: what one should see, and what the study's exact mode plans with."""
    expected_warmup_us: int
    """The W in it."""
    profile: str
    """Name of the profile that it comes from."""
    start_spread_us: int = 0
    """By how much S + W is longer at p95 than at p50."""
    latency_error_us: int = 0
    """Standard error of an L that was not measured."""
    latency_margin_us: int = 0
    """Its share of the margin: how much longer a step is planned than expected."""
    common_margin: int = 0
    """q = z run, which the acceptance rule takes off, in billionths."""
    step_ratio: float = 1.0
    """What L was multiplied with, by what other jobs have shown; that is in latency_us."""
    filled_in: str | None = None
    """How its times were filled in, where the size was not measured."""

    @property
    def planned_latency_us(self) -> int:
        """L to plan with."""
        return self.latency_us + self.latency_margin_us

    @property
    def late_us(self) -> int:
        """By how much S + W is planned longer than expected."""
        return self.start_us - self.expected_start_us


@dataclass(frozen=True, kw_only=True)
class Group:
    """Interchangeable devices of the pool."""

    device_class: str
    count: int
    choices: tuple[Choice, ...]
    """Ascending in mini-batch size, then by engine."""
    available_us: int = 0
    """a: time until these devices are free."""

    @cached_property
    def rows(self) -> tuple[tuple[int, int, int, int, int, Choice], ...]:
        """(a + S + W, s, q, L, b, choice) of each, the largest first: what the planner's inner loop reads."""
        return tuple(
            (
                self.available_us + c.expected_start_us,
                c.late_us,
                c.common_margin,
                c.planned_latency_us,
                c.mini_batch_size,
                c,
            )
            for c in reversed(self.choices)
        )


class Margins:
    """By how much starts and steps are planned longer than expected, at a normal quantile."""

    def __init__(self, z: float, *, run: float) -> None:
        """`run` is the spread between runs that an acceptance rule takes off what devices do; 0 where none does."""
        self._z = z
        self._of_spread = Fraction(z) / Fraction(Z95)
        self._common = max(0, ceil(Fraction(z) * Fraction(run) * BILLION))

    def on(self, choice: Choice) -> Choice:
        """The choice with its start and its L; S + W is known at p50 and p95, a line is between."""
        late_us = -(-self._of_spread.numerator * choice.start_spread_us // self._of_spread.denominator)
        return replace(
            choice,
            start_us=max(0, choice.expected_start_us + late_us) if choice.start_spread_us else choice.start_us,
            latency_margin_us=max(1 - choice.latency_us, ceil(self._z * choice.latency_error_us)),
            common_margin=self._common,
        )


def at_confidence(groups: Sequence[Group], confidence: float, *, run: float) -> tuple[Group, ...]:
    """The groups with S and W, and L at sizes that were not measured, as long as the confidence asks for.

    `run` is the spread between runs that an acceptance rule will take off what they do; 0 where none does.
    """
    margins = Margins(quantile(confidence), run=run)
    return tuple(replace(group, choices=tuple(map(margins.on, group.choices))) for group in groups)


@dataclass(frozen=True, slots=True)
class Capacity:
    """The most images that each device of a group can do, and how."""

    images: int
    """C."""
    group: Group
    choice: Choice


def capacity(choice: Choice, *, time_us: int, available_us: int = 0, max_iterations: int | None = None) -> int:
    """cap(b): images that one device does in `time_us` with this choice."""
    left_us = time_us - available_us - choice.expected_start_us
    if left_us < choice.late_us:
        return 0
    return (iterations_within(choice, left_us, max_iterations) + 1) * choice.mini_batch_size


def iterations_within(choice: Choice, left_us: int, max_iterations: int | None) -> int:
    """t: steady mini-batches that fit into the time that is left after an expected start (Y), at most M."""
    fit = max(0, _steps_us(left_us, choice.late_us, choice.common_margin) // choice.planned_latency_us)
    return fit if max_iterations is None else min(max_iterations, fit)


def _steps_us(left_us: int, late_us: int, common_margin: int) -> int:
    """(1 + q) x for Y, s and q; Y - s where one of them is no margin, or where Y is less than s."""
    if late_us <= 0 or not common_margin or left_us <= late_us:
        return left_us - late_us
    squares = (left_us - late_us) * (left_us + late_us)
    root = 1 + isqrt(common_margin * common_margin * squares + (BILLION * late_us) ** 2)
    return squares * (BILLION + common_margin) // (BILLION * left_us + root)


def best_capacities(groups: Sequence[Group], *, time_us: int, max_iterations: int | None = None) -> list[Capacity]:
    """C of every group that can do anything by then, the largest first, ties by class name.

    Within a group the smallest of the equally good mini-batch sizes is taken.
    """
    limit = max_iterations if max_iterations is not None else time_us
    best = []
    for group in groups:
        if not group.count:
            continue
        images, chosen = 0, None
        for start_us, late_us, common_margin, latency_us, size, choice in group.rows:
            left_us = time_us - start_us
            # Without s it would do no fewer, and most sizes need no more than that.
            if left_us >= late_us and (late_us < 0 or (left_us // latency_us + 1) * size >= images):
                fit = _steps_us(left_us, late_us, common_margin) // latency_us
                done = (fit + 1 if fit < limit else limit + 1) * size
                if done >= images:
                    images, chosen = done, choice
        if chosen:
            best.append(Capacity(images, group, chosen))
    best.sort(key=lambda c: (-c.images, c.group.device_class, c.group.available_us))
    return best
