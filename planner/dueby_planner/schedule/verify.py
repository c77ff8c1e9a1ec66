"""The exact check that every calendar passes before it leaves the planner, from the windows alone.

It shares no intermediate result with the search: what windows hold is counted moment by moment, what they do is
computed again from their lengths, and the acceptance rule is applied to that.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from dueby_planner.model.capacity import capacity
from dueby_planner.model.problem import NEVER_US, Problem
from dueby_planner.model.verify import WrongPlan
from dueby_planner.schedule.calendar import Calendar
from dueby_planner.schedule.calendar_job import Placement
from dueby_planner.schedule.cut import Cut
from dueby_planner.schedule.free_devices import CLASSES, CalendarPool, Free, always_free, least_free
from dueby_planner.schedule.reservation import Costs, Reservation, Window, rule_of, together

Held = tuple[Reservation, Costs]
"""What a job holds, and what that costs of its limits."""


def verify_calendar(calendar: Calendar) -> None:
    """Raise WrongPlan if windows overlap that may not, hold more than there is, or do less than a job needs."""
    for placement in calendar.placements:
        if placement.reservation:
            _verify_job(placement)
    _verify_tables(calendar)
    if calendar.cut is not None:
        _verify_cut(calendar.cut, calendar.pool)


def _verify_job(placement: Placement) -> None:
    job, reservation = placement.job, placement.reservation
    problem, name = job.problem, job.name
    is_hard = job.deadline_class == "Hard" and not job.goes_on
    least = job.least_images if placement.kept else None
    rule = rule_of(reservation, problem)
    rule = rule if least is None else replace(rule, images=least)
    devices = []
    for lane in reservation:
        _require(lane.count >= 1 and len(lane.windows) >= 1, f"{name} has devices without windows")
        choices = {choice for group in problem.groups if group.device_class == lane.group for choice in group.choices}
        _require(all(window.choice in choices for window in lane.windows), f"{name} has a size that was not measured")
        _require(lane.windows[0].from_us >= 0, f"{name} begins in the past")
        _require(
            all(early.to_us <= late.from_us for early, late in pairwise(lane.windows)), f"{name}'s windows overlap"
        )
        until_us = problem.time_us if is_hard else NEVER_US
        images = together((_images(problem, window, until_us) for window in lane.windows), rule.again)
        devices.append((images, lane.count))
    count = sum(lane.count for lane in reservation)
    _require(count <= problem.most, f"{name} has {count} devices, and may have {problem.most}")
    _require(rule.accepts(sorted(devices, reverse=True), count), f"{name} does not do its images")
    ends = {lane.windows[-1].to_us for lane in reservation}
    is_whole = len(ends) == 1 and all(len(lane.windows) == 1 for lane in reservation)
    _require(is_whole or not job.stays, f"{name} would have to be stopped before it is done")
    if is_hard and not placement.kept:
        _require(max(ends) <= job.until_us, f"{name} is promised something beyond the horizon")
        _require(max(ends) <= problem.time_us, f"{name} is Hard and ends after its deadline")
    counts: Counter[str] = Counter()
    for group in problem.groups:
        counts[group.device_class] += group.count
    may_have = {device_class: always_free(count) for device_class, count in counts.items()}
    _verify_held([], [(reservation, {})], may_have, name)


def _images(problem: Problem, window: Window, until_us: int) -> int:
    """Return what the window does until a time, and check what it does in all."""

    def images(to_us: int) -> int:
        return capacity(window.choice, time_us=to_us - window.from_us, max_iterations=problem.max_iterations)

    total = images(window.to_us)
    _require(total == window.images, f"a window does {total} images, and {window.images} are planned")
    return total if window.to_us <= until_us else images(until_us)


def _verify_tables(calendar: Calendar) -> None:
    """Check each table of free devices.

    What was kept fits where it was expected to. What is new on a table, or on that of a class below, fits there beside
    what was kept: wherever a job is placed, it fits beside all those before it.
    """
    pool = calendar.pool

    def held(*, kept: bool, of: Sequence[str]) -> list[Held]:
        placements = (placed for placed in calendar.placements if placed.kept == kept and placed.beside in of)
        return [(placed.reservation, placed.job.limits) for placed in placements]

    kept_hard, kept_soft = held(kept=True, of=["Hard"]), held(kept=True, of=["Soft"])
    _verify_held([], kept_hard, pool.expected["Hard"], "Hard jobs as expected")
    _verify_held(kept_hard, kept_soft, pool.expected["Soft"], "Soft jobs as expected")
    for number, beside in enumerate(CLASSES):
        new = held(kept=False, of=CLASSES[number:])
        _verify_held([*kept_hard, *kept_soft], new, pool.free[beside], f"beside {beside} jobs")


def _verify_held(before: Sequence[Held], own: Sequence[Held], free: Free, where: str) -> None:
    """Check at each moment that what is held here, of devices and of limits, is free beside what was held before."""
    if not own:
        return
    changes: defaultdict[int, list[tuple[Counter[str], str, int]]] = defaultdict(list)
    held_before, held, there = Counter[str](), Counter[str](), Counter[str]()
    for counter, reservations in ((held_before, before), (held, own)):
        for name, from_us, to_us, count in _spans(reservations):
            changes[from_us].append((counter, name, count))
            changes[to_us].append((counter, name, -count))
    for name in {name for name, *_ in _spans(own)}:
        for step in free.get(name, ()):
            changes[step.from_us].append((there, name, step.free))
            changes[step.to_us].append((there, name, -step.free))
    for at_us in sorted(changes):
        touched = set[str]()
        for counter, name, change in changes[at_us]:
            counter[name] += change
            touched.add(name)
        over = [name for name in sorted(touched) if held[name] and held_before[name] + held[name] > there[name]]
        if over:
            counts = f"{there[over[0]]} x {over[0]}, and {held[over[0]]} are held at {at_us} us"
            raise WrongPlan(f"the calendar failed its verification: {where} has {counts}")


def _spans(held: Iterable[Held]) -> Iterator[tuple[str, int, int, int]]:
    """Yield the name of devices or of a limit, from when to when they are held, and how many or how many units."""
    for lane, limits in ((lane, limits) for reservation, limits in held for lane in reservation):
        costs = {limit: of_limit.get(lane.group, 0) for limit, of_limit in limits.items()}
        for window in lane.windows:
            for name, cost in ((lane.group, 1), *costs.items()):
                yield name, window.from_us, window.to_us, cost * lane.count


def _verify_cut(cut: Cut, pool: CalendarPool) -> None:
    """Each interval between deadlines, and times at which devices come or go, is counted once."""
    _require(cut.needed_us > cut.available_us, "the cut leaves enough")
    last_us = max(job.problem.time_us for job in cut.jobs)
    borders = {step.from_us for job in cut.jobs for name in job.device_names for step in pool.whole.get(name, ())}
    borders |= {0, *(job.problem.time_us for job in cut.jobs)}
    times = sorted(at_us for at_us in borders if at_us <= last_us)
    available = 0
    for from_us, to_us in pairwise(times):
        later = [job.problem for job in cut.jobs if job.problem.time_us > from_us]
        names = {group.device_class for problem in later for group in problem.groups}
        may_hold = sum(problem.most for problem in later)
        devices = sum(least_free(pool.whole.get(name, ()), from_us, to_us) for name in names)
        available += (to_us - from_us) * min(may_hold, devices)
    _require(available == cut.available_us, f"{available} us of devices are there, not {cut.available_us}")


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise WrongPlan(f"the calendar failed its verification: {sentence}")
