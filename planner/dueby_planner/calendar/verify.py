"""The exact check that every calendar passes before it leaves the planner, from the windows alone.

It shares no intermediate result with the search: what windows hold is counted moment by moment, what they do is
computed again from their lengths, and the acceptance rule is applied to that.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise

from dueby_planner.calendar.calendar import Calendar, Placement
from dueby_planner.calendar.cut import Cut
from dueby_planner.calendar.reservation import Reservation, Window
from dueby_planner.model.capacity import capacity
from dueby_planner.model.problem import Problem
from dueby_planner.model.verify import WrongPlan


def verify_calendar(calendar: Calendar) -> None:
    """Raise WrongPlan if windows overlap that may not, hold more than there is, or do less than a job needs."""
    placed = [found for found in calendar.placements if found.reservation]
    for found in placed:
        _verify_job(found)
    _verify_counts((found.reservation for found in placed), calendar.pool, "the pool")
    if calendar.cut is not None:
        _verify_cut(calendar.cut, calendar.pool)


def _verify_job(found: Placement) -> None:
    problem, name = found.job.problem, found.job.name
    able = []
    for lane in found.reservation:
        _require(lane.count >= 1 and len(lane.windows) >= 1, f"{name} has devices without windows")
        choices = {
            choice for group in problem.groups if group.device_class == lane.device_class for choice in group.choices
        }
        _require(all(window.choice in choices for window in lane.windows), f"{name} has a size that was not measured")
        _require(lane.windows[0].from_us >= 0, f"{name} begins in the past")
        _require(all(one.to_us <= other.from_us for one, other in pairwise(lane.windows)), f"{name}'s windows overlap")
        able.append((sum(_images(problem, window) for window in lane.windows), lane.count))
    count = sum(lane.count for lane in found.reservation)
    _require(count <= problem.most, f"{name} has {count} devices, and may have {problem.most}")
    _require(problem.rule.accepts(sorted(able, reverse=True), count), f"{name} does not do its images")
    ends_us = max(lane.windows[-1].to_us for lane in found.reservation)
    if found.job.deadline_class == "Hard":
        _require(ends_us <= problem.time_us, f"{name} is Hard and ends after its deadline")
    _verify_counts([found.reservation], {group.device_class: group.count for group in problem.groups}, name)


def _images(problem: Problem, window: Window) -> int:
    images = capacity(window.choice, time_us=window.to_us - window.from_us, max_iterations=problem.max_iterations)
    _require(images == window.images, f"a window does {images} images, and {window.images} are planned")
    return images


def _verify_counts(reservations: Iterable[Reservation], pool: Mapping[str, int], where: str) -> None:
    changes: dict[str, Counter[int]] = {name: Counter() for name in pool}
    for lane in (lane for reservation in reservations for lane in reservation):
        for window in lane.windows:
            changes[lane.device_class][window.from_us] += lane.count
            changes[lane.device_class][window.to_us] -= lane.count
    for name, of_class in changes.items():
        held = 0
        for at_us in sorted(of_class):
            held += of_class[at_us]
            _require(held <= pool[name], f"{where} has {pool[name]} x {name}, and {held} are held at {at_us} us")


def _verify_cut(cut: Cut, pool: Mapping[str, int]) -> None:
    """Devices that are always there: each interval between deadlines is counted once."""
    _require(cut.needed_us > cut.available_us, "the cut leaves enough")
    times = [0, *sorted({job.problem.time_us for job in cut.jobs})]
    available = 0
    for from_us, to_us in pairwise(times):
        later = [job.problem for job in cut.jobs if job.problem.time_us > from_us]
        names = {group.device_class for problem in later for group in problem.groups}
        may_hold = sum(problem.most for problem in later)
        available += (to_us - from_us) * min(may_hold, sum(pool[name] for name in names))
    _require(available == cut.available_us, f"{available} us of devices are there, not {cut.available_us}")


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise WrongPlan(f"the calendar failed its verification: {sentence}")
