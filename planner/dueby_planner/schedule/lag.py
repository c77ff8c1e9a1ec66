"""Re-planning: the same closed form, over the images that are left and the workers that are there already.

The mini-batch size of a running worker is fixed, and its e is the rest of its mini-batch. The e of a starting worker is
the rest of S, plus W. With K_i the images that each of them can still do until the deadline, and h = 0.03:

    too few    sum K_i < N_left                    add the fewest devices with  sum K_i + top_a(C) >= N_left (1 + h)
    too many   the others can do N_left (1 + 2h)   give one back that somebody would gain by

Nothing is gained by a device that is given back within 2 (S + W) of the end: by the time that others could use it, it
is free anyway. So the last workers of a job end together.

Noise must not make workers come and go. So it takes two low readings in a row to add a device, or one after a loss or
an edit, and nothing changes for 2 (S + W) after a change. For "too many" the K_i count only until the promised finish,
not until the deadline, and the others must be accepted at the job's confidence. Without that, every plan with some
slack would give devices back towards its end and use up its margin (simulated, 100 runs each: half of them late without
the rule, none with it).
"""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from heapq import heappop, heappush
from math import ceil, floor, inf

from dueby_planner.model.capacity import Capacity, DeviceChoice, PoolGroup, best_capacities
from dueby_planner.model.problem import NEVER_US, find_least, find_least_near, take_largest
from dueby_planner.model.rule import Rule

HYSTERESIS = Fraction(3, 100)
"""h. A device that was given back would not be asked for at once, because 2 h is more than h."""
ROUNDING = 1e-9
"""Sums of floats are not exact, but to within this share of them."""
READINGS = 2
"""Low readings in a row that it takes to add a device: one alone may be noise."""


@dataclass(frozen=True, kw_only=True)
class OngoingWorker:
    """A worker that is starting or running."""

    name: str
    mini_batch_size: int
    latency_us: int
    """L as observed; as planned until something was observed."""
    rest_us: int
    """e: time until its next mini-batch is done. While it starts, this is the rest of S, plus W."""
    iterations_left: int | None = None
    """Mini-batches that it may still run, including the next one: a worker stops after M + 1. None if unlimited."""

    def images_within(self, time_us: int) -> int:
        """Return K: the images that the worker can still do in this time."""
        spare_us = time_us - self.rest_us
        mini_batches = 0 if spare_us < 0 else spare_us // self.latency_us + 1
        if self.iterations_left is not None:
            # Less than 0 is left if the job's limit was lowered below what the worker has already run.
            mini_batches = min(mini_batches, max(0, self.iterations_left))
        return mini_batches * self.mini_batch_size


def images_within(workers: Iterable[OngoingWorker], time_us: int) -> int:
    """Return the images that these workers can still do in this time."""
    return sum(worker.images_within(time_us) for worker in workers)


def workers_of_window(
    number: int, choice: DeviceChoice, *, from_us: int, to_us: int, count: int
) -> list[OngoingWorker]:
    """Return what the workers will do that have the job's window of this number, whether it begins now or later."""
    rest_us = max(0, from_us) + choice.expected_start_us
    return [
        OngoingWorker(
            name=f"window-{number}-{device}",
            mini_batch_size=choice.mini_batch_size,
            latency_us=choice.latency_us,
            rest_us=rest_us,
            iterations_left=max(0, (to_us - rest_us) // choice.latency_us + 1),
        )
        for device in range(count)
    ]


@dataclass(frozen=True, kw_only=True)
class LagMemory:
    """What is remembered from one reading to the next. The control loop can see everything else again."""

    low_readings: int = 0
    """Readings in a row at which the workers were too few."""
    quiet_until_us: int = 0
    """Nothing changes before this time."""


FRESH = LagMemory()


@dataclass(frozen=True, kw_only=True)
class WorkerChange:
    """What to change about the workers now; usually nothing."""

    add: tuple[tuple[Capacity, int], ...] = ()
    """Devices to start workers on, as (what each does, count)."""
    give_back: str | None = None
    """Name of the worker to stop."""
    is_short: bool = False
    """Whether the deadline is out of reach even with the added devices."""
    memory: LagMemory = FRESH
    """What to pass to the next reading."""


def read_lag(
    ongoing: Sequence[OngoingWorker],
    free: Sequence[PoolGroup],
    *,
    rule: Rule,
    time_us: int,
    promised_us: int,
    max_added: int,
    now_us: int,
    pause_us: int,
    memory: LagMemory,
    at_once: bool,
    max_iterations: int | None = None,
    unwanted: Container[str] = (),
) -> WorkerChange:
    """Return the change that this reading of the workers asks for.

    `free` are the devices without a worker, and `max_added` is how many of them may be used. `rule` is the acceptance
    rule for the images that are left. `time_us` is the time until the deadline, `promised_us` the time until the
    promised finish, and `pause_us` the 2 (S + W) between changes and before the end. With `at_once`, after a loss or an
    edit, one low reading is enough, even within the pause. `max_iterations` is M, for the devices that are added.
    `unwanted` are workers that are not stopped for being too many, because nobody would gain by their devices.
    """
    left, quiet = rule.images, LagMemory(quiet_until_us=now_us + pause_us)
    if images_within(ongoing, time_us) >= left:
        spare = _spare(ongoing, rule, promised_us, unwanted)
        if spare and now_us >= memory.quiet_until_us and images_within(ongoing, pause_us) < left:
            return WorkerChange(give_back=spare, memory=quiet)
        return WorkerChange(memory=LagMemory(quiet_until_us=memory.quiet_until_us))
    lows = memory.low_readings + 1
    remembered = LagMemory(low_readings=lows, quiet_until_us=memory.quiet_until_us)
    if not at_once and (lows < READINGS or now_us < memory.quiet_until_us):
        return WorkerChange(memory=remembered)
    chosen, is_short = _additions(
        ongoing, free, left=left, time_us=time_us, max_added=max_added, max_iterations=max_iterations
    )
    # A pause after nothing was added would only delay the help once a device comes free.
    return WorkerChange(add=tuple(chosen), is_short=is_short, memory=quiet if chosen else remembered)


def finish_us(ongoing: Sequence[OngoingWorker], left: int) -> int | None:
    """Return the time until the workers have done what is left; None if together they never do.

    They never do if there is no worker, or if the iterations that they may still run are too few.
    """
    if left <= 0:
        return 0

    def suffices(time_us: int) -> bool:
        return images_within(ongoing, time_us) >= left

    # With r the rate of all, each starts after its rest and does a mini-batch more than its rate at most.
    rate = sum(worker.mini_batch_size / worker.latency_us for worker in ongoing)
    if not rate:
        return None
    ahead = sum(worker.mini_batch_size for worker in ongoing)
    low_us = max(0, floor((left - ahead) / rate * (1 - ROUNDING)) - 1)
    near_us = ceil(left / rate) + max(worker.rest_us for worker in ongoing) + 1
    return find_least_near(suffices, low_us, near=near_us, most=NEVER_US)


def finish_by_parts_us(
    ongoing: Sequence[OngoingWorker], opened: Sequence[int], *, parts: int, part_size: int
) -> int | None:
    """Return the time until the workers have done what they have open and so many whole parts; None if they never do.

    `opened` is how many images each of them has left of its open part. Whoever is done first takes the next part, and
    a part is begun only by a worker that may run all of its mini-batches. It takes O(parts log workers).
    """
    free: list[tuple[int, int]] = []
    may_run: list[float] = []
    end_us = 0
    for number, (worker, left) in enumerate(zip(ongoing, opened, strict=True)):
        mini_batches = -(-left // worker.mini_batch_size)
        free_us = worker.rest_us + (mini_batches - 1) * worker.latency_us
        end_us = max(end_us, free_us if left else 0)
        most = inf if worker.iterations_left is None else worker.iterations_left
        may_run.append(most - mini_batches)
        heappush(free, (free_us, number))
    while parts and free:
        free_us, number = heappop(free)
        mini_batches = -(-part_size // ongoing[number].mini_batch_size)
        if may_run[number] < mini_batches:
            continue
        may_run[number] -= mini_batches
        free_us += mini_batches * ongoing[number].latency_us
        end_us, parts = max(end_us, free_us), parts - 1
        heappush(free, (free_us, number))
    return None if parts else end_us


def _spare(ongoing: Sequence[OngoingWorker], rule: Rule, promised_us: int, unwanted: Container[str]) -> str | None:
    """Return the wanted worker that does least, if the others keep the promise without it; None otherwise."""
    able = sorted(((worker.images_within(promised_us), worker.name) for worker in ongoing), reverse=True)
    spare = next((name for _, name in reversed(able) if name not in unwanted), None)
    others = [(images, 1) for images, name in able if name != spare]
    enough = sum(images for images, _ in others) >= rule.images * (1 + 2 * HYSTERESIS)
    return spare if others and enough and rule.accepts(others, len(others)) else None


def _additions(
    ongoing: Sequence[OngoingWorker],
    free: Sequence[PoolGroup],
    *,
    left: int,
    time_us: int,
    max_added: int,
    max_iterations: int | None,
) -> tuple[list[tuple[Capacity, int]], bool]:
    """Return the fewest devices that close the gap, and False; if none do, all that bring the end forward, and True."""
    missing = left * (1 + HYSTERESIS) - images_within(ongoing, time_us)
    capacities = best_capacities(free, time_us=time_us, max_iterations=max_iterations)
    most = min(max_added, sum(c.group.count for c in capacities))

    def suffice(count: int) -> bool:
        return sum(c.images * n for c, n in take_largest(capacities, count)) >= missing

    if suffice(most):
        return take_largest(capacities, find_least(suffice, 0, most)), False
    # A device helps if it does anything before the workers would end without it. If they never end, any device helps.
    end_us = finish_us(ongoing, left)
    by_then_us = NEVER_US if end_us is None else max(time_us, end_us)
    helpful = best_capacities(free, time_us=by_then_us, max_iterations=max_iterations)
    return take_largest(helpful, max_added), True
