"""The images that one device can do by a given time, and its best mini-batch size for that.

For a device that is free at `a`, has started after S and is warm after W(b), with R the time left:

    e = a + S + W(b)
    cap(b) = 0 if e > R, else (min(M, floor((R - e) / L(b))) + 1) * b           C = max over the measured b <= MB

This is the study's formula. With S and W at p50 it gives what to expect. The + 1 is the warm-up mini-batch, which does
useful work. The guard for e > R is needed because the formula is negative there and would corrupt every sum.

At a confidence, S + W takes s longer, and steps that should take x take q x longer, with q = z run. Both are seldom
late at once, so they are combined as independent errors. With Y = R - e, still at p50, the steps that end by R satisfy

    x + sqrt(s^2 + (q x)^2) = Y,  hence  (1 + q) x = (1 + q) (Y^2 - s^2) / (Y + sqrt(q^2 (Y^2 - s^2) + s^2))

and (1 + q) x replaces R - e. It lies between Y - s, where both margins are added, and Y. The q in it is taken off
again by the acceptance rule (rule.py), as the spread between runs.

The rule also takes off what each start has alone, as far as its `start` images go. A device that is late by w does
w b / L images less, so that is w = z start L / b, and at most what is the start's own. Of s^2, w^2 is not counted here.

cap is a saw-tooth in b, and the largest size is the best one in only 33-93 % of cases. So every measured size is tried,
and with `interpolate` also the sizes between them. The L of an interpolated size is planned longer by z standard errors
of its fit. That error is common to all devices of a class. It is added to the other margins rather than to their
squares, which leaves the acceptance rule unchanged: more choices never need more devices.

All times are integer microseconds, because floats lose a mini-batch in 8-25 % of boundary cases.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, hypot, isqrt
from typing import Protocol

from dueby_api.engines import EngineName
from dueby_api.units import format_duration
from dueby_planner.model.input_cost import GPUStep
from dueby_planner.model.losses import LossRate
from dueby_planner.model.rule import quantile
from dueby_planner.small_samples import Z95

BILLION = 10**9
"""The unit of a common margin: q is an integer number of billionths, so that no float enters a capacity."""


@dataclass(frozen=True, kw_only=True)
class Provision:
    """How long it takes until a device is there that has to be asked for."""

    expected_us: int
    """At p50."""
    late_us: int
    """At p95: what is not there by then is planned around."""

    @property
    def words(self) -> str:
        """Both, for people: `4m00s`, or `4m00s (p95 10m00s)` if they differ."""
        expected, late = format_duration(self.expected_us), format_duration(self.late_us)
        return expected if expected == late else f"{expected} (p95 {late})"


@dataclass(frozen=True, kw_only=True)
class DeviceChoice:
    """One way to run a device: an engine and a mini-batch size, with their times for this job."""

    engine: EngineName
    mini_batch_size: int
    latency_us: int
    """L: the expected time of a steady mini-batch, including the job's input cost."""
    start_us: int
    """S + W at the job's confidence: the start ends by then if nothing else is late."""
    expected_start_us: int
    """S + W at p50: what to expect, and what the study's exact mode plans with."""
    expected_warmup_us: int
    """The W that is part of expected_start_us."""
    profile: str
    """Name of the profile that the times come from."""
    start_spread_us: int = 0
    """How much longer S + W is at p95 than at p50."""
    own_start_us: int = 0
    """How much of that each start has alone: its square is a part of that one's square."""
    spared_us: int = 0
    """How much of start_us the acceptance rule takes off, as what each start has alone."""
    latency_error_us: int = 0
    """Standard error of an L that was interpolated; 0 if it was measured."""
    latency_margin_us: int = 0
    """How much longer a step is planned than expected, because of that error."""
    common_margin: int = 0
    """q = z run, in billionths: the margin that the acceptance rule takes off again."""
    step_ratio: float = 1.0
    """Factor that finished jobs have shown for the measured L; latency_us includes it."""
    interpolation: str | None = None
    """How the times were interpolated; None if this size was measured."""
    cores: int = 0
    """Cores of a GPU's worker: those of its share with which the GPU waits least; 0: a CPU slice has its own."""
    beside: GPUStep | None = None
    """What a mini-batch takes a GPU and its worker; None on a CPU slice."""
    unpaced: "DeviceChoice | None" = None
    """What this would be if the store gave the device all that it can take; None if it does (feed.py)."""

    @property
    def is_bound_by_serial_work(self) -> bool:
        """Whether L is what a GPU's worker does for one image at a time, however many cores it has."""
        return self.unpaced is None and self.beside is not None and self.beside.is_bound_by_serial_work(self.cores)

    @property
    def planned_latency_us(self) -> int:
        """L to plan with."""
        return self.latency_us + self.latency_margin_us

    def at_ratio(self, step_ratio: float) -> "DeviceChoice":
        """Return the choice where steps take so many times the measured L."""
        longer = step_ratio / self.step_ratio
        return replace(
            self,
            latency_us=max(1, round(self.latency_us * longer)),
            beside=self.beside and self.beside.longer(longer),
            step_ratio=step_ratio,
            unpaced=None,
        )

    def asked_for(self, provision: Provision) -> "DeviceChoice":
        """Return the choice on a device that has to be asked for: a start takes so much longer, and varies with it.

        Nodes that are asked for together come late together, so no start has any of that alone.
        """
        return replace(
            self,
            start_us=self.start_us + provision.late_us,
            expected_start_us=self.expected_start_us + provision.expected_us,
            start_spread_us=self.start_spread_us + provision.late_us - provision.expected_us,
            unpaced=self.unpaced and self.unpaced.asked_for(provision),
        )

    @property
    def late_us(self) -> int:
        """s: how much longer S + W is planned than expected, beside what the acceptance rule takes off."""
        return self.start_us - self.expected_start_us - self.spared_us


@dataclass(frozen=True, kw_only=True)
class PoolGroup:
    """Interchangeable devices of the pool."""

    device_class: str
    count: int
    choices: tuple[DeviceChoice, ...]
    """Ascending by mini-batch size, then by engine."""
    available_us: int = 0
    """a: time until these devices are free."""
    is_fallback: bool = False
    """Whether they are used only as far as the job's other devices don't do. Only a calendar looks at it (place.py)."""
    losses: LossRate | None = None
    """How often they are taken away; None: they stay."""

    @cached_property
    def rows(self) -> tuple[tuple[int, int, int, int, int, DeviceChoice], ...]:
        """(a + S + W, s, q, L, b, choice) of each choice, the largest size first.

        The planner's innermost loop reads these plain tuples: looking up attributes would take it twice as long.
        """
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


def asked_for(group: PoolGroup, provision: Provision | None) -> PoolGroup:
    """Return the group of devices that are there so long after a worker asks for them; None: nobody needs to ask."""
    if provision is None:
        return group
    return replace(group, choices=tuple(choice.asked_for(provision) for choice in group.choices))


class Margins:
    """How much longer starts and steps are planned than expected, at one normal quantile z.

    S + W is known at p50 and at p95. At any other quantile it is on the straight line through these two.
    """

    def __init__(self, z: float, *, run: float, start: float = 0.0) -> None:
        """`run` and `start` are the spreads that an acceptance rule takes off the capacities; 0 if none does."""
        self._z = z
        # Exact ratios of integers: z / Z95, and q = z run rounded up to billionths.
        (z_over, z_under), (z95_over, z95_under) = z.as_integer_ratio(), Z95.as_integer_ratio()
        run_over, run_under = run.as_integer_ratio()
        self._spreads_over, self._spreads_under = z_over * z95_under, z_under * z95_over
        start_over, start_under = start.as_integer_ratio()
        self._own_over, self._own_under = z95_over * start_over, z95_under * start_under
        self.again = max(0, ceil(z * start))
        """What the rule of this quantile takes off for each start of a device after its first (Rule.again)."""
        self._common = max(0, -(-z_over * run_over * BILLION // (z_under * run_under)))

    def of(self, choice: DeviceChoice) -> tuple[int, int, int]:
        """Return (s, L, q) of the choice: how late its start is planned, its planned step and its common margin."""
        late_us = self._late_us(choice, self._common_spread_us(choice)) if choice.start_spread_us else choice.late_us
        return late_us, max(1, choice.latency_us + ceil(self._z * choice.latency_error_us)), self._common

    def _late_us(self, choice: DeviceChoice, spread_us: int) -> int:
        # Below the median the line may lead to a start before time 0.
        return max(-choice.expected_start_us, -(-self._spreads_over * spread_us // self._spreads_under))

    def _common_spread_us(self, choice: DeviceChoice) -> int:
        """Return what is left of the spread of S + W beside what the rule takes off, rounded up."""
        if not choice.own_start_us or not self._own_over:
            return choice.start_spread_us
        taken_us = self._own_over * choice.latency_us // (self._own_under * choice.mini_batch_size)
        square = choice.start_spread_us**2 - min(taken_us, choice.own_start_us) ** 2
        root = isqrt(square)
        return root + (root * root < square)

    def apply(self, choice: DeviceChoice) -> DeviceChoice:
        """Return the choice with these margins."""
        late_us, latency_us, common = self.of(choice)
        whole_us = self._late_us(choice, choice.start_spread_us) if choice.start_spread_us else late_us
        # dataclasses.replace() takes a quarter longer, and a plan makes hundreds of choices.
        return DeviceChoice(
            **vars(choice)
            | {
                "start_us": choice.expected_start_us + whole_us,
                "spared_us": whole_us - late_us,
                "latency_margin_us": latency_us - choice.latency_us,
                "common_margin": common,
            }
        )


def at_confidence(
    groups: Sequence[PoolGroup], confidence: float, *, run: float, start: float = 0.0
) -> tuple[PoolGroup, ...]:
    """Return the groups with their starts, and their steps at interpolated sizes, as long as the confidence asks for.

    `run` and `start` are the spreads that an acceptance rule will take off the capacities; 0 if none will.
    """
    margins = Margins(quantile(confidence), run=run, start=start)
    return tuple(replace(group, choices=tuple(map(margins.apply, group.choices))) for group in groups)


class ChosenDevices(Protocol):
    """Devices of a plan that do the same, as far as what they can do is asked."""

    @property
    def choice(self) -> DeviceChoice: ...
    @property
    def available_us(self) -> int: ...
    @property
    def count(self) -> int: ...


class PlannedDevices(ChosenDevices, Protocol):
    """The same with what each does."""

    @property
    def device_class(self) -> str: ...
    @property
    def iterations(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Capacity:
    """The most images that each device of a group can do, and how it does them."""

    images: int
    """C."""
    group: PoolGroup
    choice: DeviceChoice


def capacity(
    choice: DeviceChoice,
    *,
    time_us: int,
    available_us: int = 0,
    max_iterations: int | None = None,
    margins: Margins | None = None,
) -> int:
    """Return cap(b): the images that one device does in `time_us` with this choice.

    `margins` replace those that the choice was made with.
    """
    if margins:
        late_us, latency_us, common_margin = margins.of(choice)
    else:
        late_us, latency_us, common_margin = choice.late_us, choice.planned_latency_us, choice.common_margin
    left_us = time_us - available_us - choice.expected_start_us
    if left_us < late_us:
        return 0
    fit = _steps_us(left_us, late_us, common_margin) // latency_us
    return ((fit if max_iterations is None else min(max_iterations, fit)) + 1) * choice.mini_batch_size


def iterations_within(choice: DeviceChoice, left_us: int, max_iterations: int | None) -> int:
    """Return t, at most M: the steady mini-batches that fit into `left_us`, the time after the expected start (Y)."""
    fit = max(0, _steps_us(left_us, choice.late_us, choice.common_margin) // choice.planned_latency_us)
    return fit if max_iterations is None else min(max_iterations, fit)


def _steps_us(left_us: int, late_us: int, common_margin: int) -> int:
    """Return (1 + q) x for Y, s and q, rounded down."""
    # With only one of the two margins there is nothing to combine. Below s the root has no meaning.
    if late_us <= 0 or not common_margin or left_us <= late_us:
        return left_us - late_us
    squares = (left_us - late_us) * (left_us + late_us)
    # The root is rounded up, so that the quotient is never too large.
    root = 1 + isqrt(common_margin * common_margin * squares + (BILLION * late_us) ** 2)
    return squares * (BILLION + common_margin) // (BILLION * left_us + root)


def best_capacities(groups: Sequence[PoolGroup], *, time_us: int, max_iterations: int | None = None) -> list[Capacity]:
    """Return C of every group that can do anything by then, the largest first, ties by class name.

    Among equally good mini-batch sizes of a group the smallest is taken.
    """
    # Every L is at least 1 us, so `time_us` never limits anything.
    limit = max_iterations if max_iterations is not None else time_us
    best = []
    for group in groups:
        if not group.count:
            continue
        images, chosen = 0, None
        for start_us, late_us, common_margin, latency_us, size, choice in group.rows:
            left_us = time_us - start_us
            # A size that would lose even without s needs no root. That rules out most sizes.
            if left_us >= late_us and (late_us < 0 or (left_us // latency_us + 1) * size >= images):
                fit = _steps_us(left_us, late_us, common_margin) // latency_us
                done = (fit + 1 if fit < limit else limit + 1) * size
                # Not > : the sizes descend, and of equally good ones the smallest is wanted.
                if done >= images:
                    images, chosen = done, choice
        if chosen:
            best.append(Capacity(images, group, chosen))
    best.sort(key=lambda c: (-c.images, c.group.device_class, c.group.available_us))
    return best


def time_near_us(group: PoolGroup, images: int) -> int:
    """Return in about which time one device does so many images: to within some microseconds, unless M limits it.

    It is the inverse of C in floats, for who seeks the least time around it.
    """
    times = []
    for start_us, late_us, common_margin, latency_us, size, _ in group.rows:
        steps_us = (-(-images // size) - 1) * latency_us
        q = common_margin / BILLION if late_us > 0 else 0.0
        x = steps_us / (1 + q)
        times.append(start_us + (x + hypot(late_us, q * x) if q else steps_us + late_us))
    return ceil(min(times))
