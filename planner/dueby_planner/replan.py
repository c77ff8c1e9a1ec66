"""Re-planning: the same closed form, over what is left and the workers that are already there.

A running worker's size is fixed and its e is the rest of its mini-batch; a starting one's is the rest of S, plus W.
With K_i what each of them still does until the deadline, and h = 0.03:

    too few    sum K_i < N_left                  add the fewest devices with  sum K_i + top_a(C) >= N_left (1 + h)
    too many   the others do N_left (1 + 2h)     give one back

Noise must not make workers come and go, so it takes two low readings in a row (one is enough after a loss or an edit),
and after a change nothing changes for 2 (S + W). For "too many" the K_i count until the finish that was promised, not
until the deadline, and the others must be accepted at the job's confidence: otherwise every plan with some slack gives
devices back towards its end and uses up its margin (simulated, 100 runs each: half of them late, none with this rule).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from dueby_planner.model.capacity import Capacity, Group, best_capacities
from dueby_planner.model.problem import least, take
from dueby_planner.model.rule import Rule

HYSTERESIS = Fraction(3, 100)
READINGS = 2
_NEVER_US = 10**18


@dataclass(frozen=True, kw_only=True)
class Ongoing:
    """A worker that is there: starting or running."""

    name: str
    mini_batch_size: int
    latency_us: int
    """L, as observed; as planned while nothing was observed."""
    rest_us: int
    """e: time until its next mini-batch is done; while it starts, the rest of S plus W."""

    def images_within(self, time_us: int) -> int:
        """K: images that it still does in the time."""
        spare_us = time_us - self.rest_us
        return 0 if spare_us < 0 else (spare_us // self.latency_us + 1) * self.mini_batch_size


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What is remembered between two readings; the only state of the control loop besides what it can see."""

    low_readings: int = 0
    """Readings in a row in which the workers were too few."""
    quiet_until_us: int = 0
    """No change before this time."""


FRESH = Memory()


@dataclass(frozen=True, kw_only=True)
class Change:
    """What to change about the workers now; usually nothing."""

    add: tuple[tuple[Capacity, int], ...] = ()
    """Devices to start a worker on, as (how, count)."""
    give_back: str | None = None
    """The worker to stop."""
    is_short: bool = False
    """Whether the deadline is out of reach even with what is added."""
    memory: Memory = FRESH
    """To be handed to the next reading."""


def read_lag(
    ongoing: Sequence[Ongoing],
    free: Sequence[Group],
    *,
    rule: Rule,
    time_us: int,
    promised_us: int,
    most_more: int,
    now_us: int,
    pause_us: int,
    memory: Memory,
    at_once: bool,
    max_iterations: int | None = None,
) -> Change:
    """The change that this reading asks for.

    `free` are the devices that no worker has, `most_more` how many of them may be used; `rule` is the acceptance rule
    for the images that are left, `time_us` the time until the deadline, `promised_us` until the promised finish, and
    `pause_us` the 2 (S + W) between changes. `at_once`: after a loss or an edit one low reading is enough, even if
    that comes within the pause. `max_iterations` is M, of each device that is added.
    """
    quiet = Memory(quiet_until_us=now_us + pause_us)
    left = rule.images
    able = sum(worker.images_within(time_us) for worker in ongoing)
    if able < left:
        lows = memory.low_readings + 1
        remembered = Memory(low_readings=lows, quiet_until_us=memory.quiet_until_us)
        if not at_once and (lows < READINGS or now_us < memory.quiet_until_us):
            return Change(memory=remembered)
        chosen, is_short = _additions(
            ongoing, free, left=left, time_us=time_us, most_more=most_more, max_iterations=max_iterations
        )
        return Change(add=tuple(chosen), is_short=is_short, memory=quiet if chosen else remembered)
    calm = Memory(quiet_until_us=memory.quiet_until_us)
    least_able = _spare(ongoing, rule, promised_us)
    if least_able and now_us >= memory.quiet_until_us:
        return Change(give_back=least_able, memory=quiet)
    return Change(memory=calm)


def _spare(ongoing: Sequence[Ongoing], rule: Rule, promised_us: int) -> str | None:
    """The worker without which the others still keep the promise; None where there is none."""
    able = sorted(((worker.images_within(promised_us), worker.name) for worker in ongoing), reverse=True)
    others = [(images, 1) for images, _ in able[:-1]]
    enough = sum(images for images, _ in others) >= rule.images * (1 + 2 * HYSTERESIS)
    return able[-1][1] if others and enough and rule.accepts(others, len(others)) else None


def finish_us(ongoing: Sequence[Ongoing], left: int) -> int | None:
    """Time until the workers have done what is left; None where there is no worker."""
    if left <= 0:
        return 0
    if not ongoing:
        return None
    return least(lambda t: sum(worker.images_within(t) for worker in ongoing) >= left, 0, _NEVER_US)


def _additions(
    ongoing: Sequence[Ongoing],
    free: Sequence[Group],
    *,
    left: int,
    time_us: int,
    most_more: int,
    max_iterations: int | None,
) -> tuple[list[tuple[Capacity, int]], bool]:
    """The fewest devices that close the gap, False; where none do, all those that make the end come earlier, True."""
    missing = left * (1 + HYSTERESIS) - sum(worker.images_within(time_us) for worker in ongoing)
    capacities = best_capacities(free, time_us=time_us, max_iterations=max_iterations)
    most = min(most_more, sum(c.group.count for c in capacities))

    def suffice(count: int) -> bool:
        return sum(c.images * n for c, n in take(capacities, count)) >= missing

    if suffice(most):
        return take(capacities, least(suffice, 0, most)), False
    end_us = finish_us(ongoing, left)
    by_then_us = _NEVER_US if end_us is None else max(time_us, end_us)
    helpful = best_capacities(free, time_us=by_then_us, max_iterations=max_iterations)
    return take(helpful, most_more), True
