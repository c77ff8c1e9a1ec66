"""Place a job of the calendar within its limits, so that it needn't be stopped before it is done if it can't be.

What a job's limits leave of each name of devices is worked out for it alone: where one limit covers several names, that
which does most for its units has what it can, and the others have the rest. At each moment all of it is within it.

Workers that can't be stopped keep their devices until their job is done, so such a job is placed on what is free from
some time until it ends, without a gap. When that is at the latest is tried: by its deadline, and by each time at which
something that is free for it is taken.

A status has room for so many windows. Where devices come free one by one, a job that needs many of them would get more:
it is placed on what is free from one second to the next, or between times that are further apart.

A job that can't be in time is done as soon as possible, or little later on fewer devices. What would give a refused job
its place is a later deadline, or more devices.

Several jobs are placed in the order of deadlines with the fewest devices for each. If a job doesn't fit, it and the m
jobs before it are levelled (place.py), for m = 1, 2, 4, 8, 16. That finds most of the calendars there are, but not all.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from operator import itemgetter

from dueby_api.inference_job import DeadlineClass
from dueby_api.status import MAX_WINDOWS
from dueby_api.units import MICROS_PER_SECOND
from dueby_planner.model.capacity import capacity
from dueby_planner.model.problem import NEVER_US, Problem, find_least_near
from dueby_planner.schedule.calendar_job import CalendarJob, Placement, by_deadline
from dueby_planner.schedule.free_devices import (
    Free,
    FreeDevices,
    Step,
    always_free,
    before,
    combined,
    lasting,
    less,
    rounded,
)
from dueby_planner.schedule.place import free_us, place, suffices, usable
from dueby_planner.schedule.place_by_cost import place_by_cost
from dueby_planner.schedule.reservation import (
    Reservation,
    Window,
    device_us,
    ends_us,
    windows_stored,
)


def place_job(job: CalendarJob, free: Free, *, levelled: bool = False, soon: bool = False) -> Reservation | None:
    """Return what the job holds so that it is in time; None if that can't be. See place() for the rest."""
    time_us = job.problem.time_us
    views = free_for(job, free, time_us)
    reservations = (place_on(job, view, time_us, levelled=levelled, soon=soon) for view in views)
    return next(filter(None, reservations), None)


def place_on(
    job: CalendarJob, view: Free, until_us: int, *, levelled: bool = False, soon: bool = False
) -> Reservation | None:
    """Return what the job holds of what is free in its view so that it is done by then; None if that can't be."""

    def placed(free: Free) -> Reservation | None:
        fewest = place(job.problem, free, until_us=until_us, levelled=levelled, soon=soon)
        if fewest is None or levelled or soon or not job.problem.is_by_cost:
            return fewest
        return place_by_cost(job, free, fewest, until_us=until_us)

    reservation = placed(view)
    if reservation and windows_stored(reservation) > MAX_WINDOWS:
        is_promise = job.deadline_class == "Hard" and not soon
        # What is no promise is placed again in the next pass, where it can't be kept.
        reservation = _in_few_windows(placed, view) or (None if is_promise else reservation)
    return _to_its_end(job, reservation) if reservation and job.stays else reservation


def _in_few_windows(placed: Callable[[Free], Reservation | None], view: Free) -> Reservation | None:
    """Return a reservation of as many windows as are stored; None if the job has no place in so few."""
    unit_us = MICROS_PER_SECOND
    while reservation := placed({name: rounded(steps, unit_us) for name, steps in view.items()}):
        if windows_stored(reservation) <= MAX_WINDOWS:
            return reservation
        unit_us *= 2
    return None


def can_be_done(job: CalendarJob, free: Free, until_us: int) -> bool:
    """Return whether the job can be done by then on what is free."""
    return any(suffices(job.problem, view, until_us) for view in free_for(job, free, until_us))


def free_for(job: CalendarJob, free: Free, until_us: int) -> Iterator[Free]:
    """Yield the job's view of what is free; several if that depends on when it ends, the latest end first."""
    view = within_limits(job, free)
    if job.until_us < until_us:
        view = {name: before(view[name], job.until_us) for name in job.device_names if name in view}
    if not job.stays:
        yield view
        return
    names = job.device_names
    ends = {
        step.from_us
        for name in names
        for earlier, step in pairwise(view.get(name, ()))
        if step.free < earlier.free and step.from_us < until_us
    }
    for end_us in sorted({*ends, until_us}, reverse=True):
        yield {name: lasting(view[name], end_us) for name in names if name in view}


def within_limits(job: CalendarJob, free: Free) -> Free:
    """Return what is free for the job: devices that it may use, as many as its limits have room for."""
    if not job.limits:
        return free
    devices = {group.device_class: free.get(group.device_class, always_free(0)) for group in job.problem.groups}
    images = {capacity.group.device_class: capacity.images for capacity in reversed(job.problem.capacities())}
    for limit, costs in job.limits.items():
        units = free.get(limit, always_free(0))
        names = [name for name in devices if costs.get(name)]
        for name in sorted(names, key=lambda name: (-images.get(name, 0) / costs[name], name)):
            devices[name], units = _within(devices[name], units, costs[name])
    return devices


def _within(devices: FreeDevices, units: FreeDevices, cost: int) -> tuple[FreeDevices, FreeDevices]:
    """Return the devices for which there are units, and the units that are left beside these."""
    paid_for = combined(devices, units, lambda count, budget: min(count, budget // cost))
    return paid_for, combined(units, paid_for, lambda budget, count: budget - cost * count)


def ends_together(reservation: Reservation) -> bool:
    """Return whether each device is held for one window, until the same time."""
    return all(len(lane.windows) == 1 and lane.windows[0].to_us == ends_us(reservation) for lane in reservation)


def _to_its_end(job: CalendarJob, reservation: Reservation) -> Reservation:
    """Return the reservation with every device held until the job is done, and the device that gives time back, too."""
    end_us = ends_us(reservation)

    def until_end(window: Window) -> Window:
        most = job.problem.max_iterations
        images = capacity(window.choice, time_us=end_us - window.from_us, max_iterations=most)
        return window._replace(to_us=end_us, images=images)

    return tuple(replace(lane, windows=tuple(map(until_end, lane.windows))) for lane in reservation)


# The earliest end is sought to within this part of it: to the microsecond would take three times as long, and late jobs
# are many where there are some.
_NEARLY = 1024


def reserve_soon(job: CalendarJob, free: Free, *, later: int = _NEARLY) -> Reservation | None:
    """Return the fewest devices that end little later than all that are free would; None if that is never.

    Later by at most one in `later` of the time until then.
    """
    for view in reversed([*free_for(job, free, NEVER_US)]):
        if (soonest_us := earliest_us(job.problem, view, nearly=_NEARLY)) is not None:
            return place_on(job, view, soonest_us + max(1, soonest_us // later), soon=True)
    return None


# Nobody adds more devices than this to a pool.
_MAX_MORE = 2**16


@dataclass(frozen=True, kw_only=True)
class Advice:
    """Each of these alone would be enough, beside the jobs that have their place."""

    earliest_us: int | None
    """The earliest deadline that can be met, from now; None: none."""
    more_devices: Mapping[str, int]
    """By class; a class of which no number would do is left out."""


def advise(job: CalendarJob, free: Free) -> Advice:
    """Return what would be enough beside what others hold. `free` is what they leave."""
    problem = job.problem
    views = [*free_for(job, free, NEVER_US)]
    # What ends first is free for most: where a job that can't be stopped has a place in it, that is the earliest.
    soonest = next((view for view in reversed(views) if suffices(problem, view, NEVER_US)), views[0])
    # Whom a limit binds would have no use for more devices.
    names = [] if job.limits else dict.fromkeys(group.device_class for group in problem.groups)
    more_devices = {name: count for name in names if (count := _more(problem, views[0], name))}
    return Advice(earliest_us=earliest_us(problem, soonest), more_devices=more_devices)


def earliest_us(problem: Problem, free: Free, *, nearly: int | None = None) -> int | None:
    """Return the earliest time by which the job can be done on what is free; None if never.

    With `nearly` it is less by up to such a part, as of `find_least`.
    """

    def is_enough(time_us: int) -> bool:
        return suffices(problem, free, time_us)

    return find_least_near(is_enough, 0, near=max(1, problem.time_us), most=NEVER_US, nearly=nearly)


def _more(problem: Problem, free: Free, name: str) -> int | None:
    def enough(count: int) -> bool:
        steps = tuple(Step(step.from_us, step.to_us, step.free + count) for step in free.get(name, always_free(0)))
        return suffices(problem.with_more(name, count), {**free, name: steps}, problem.time_us)

    return find_least_near(enough, 1, near=1, most=_MAX_MORE)


# So many jobs are levelled at most: where that finds a place at all, more are hardly ever needed.
_MAX_LEVELLED = 16


def place_set(
    jobs: Iterable[CalendarJob],
    free: Free,
    *,
    beside: DeadlineClass = "Hard",
    change_us: int = 0,
    optional: Collection[str] = (),
    at_least: int = 0,
) -> list[Placement] | None:
    """Return placements on what is `free` beside a class with which the jobs are in time; None if none were found.

    None as well if they would be fewer than `at_least`. `change_us` is what a device takes to change hands.

    The `optional` jobs, by name, are left out where no place is found for them, or where one of the others finds none
    beside them. Once no place has been found for one although jobs were levelled, none are levelled for another one:
    where one job finds no place, others seldom do, and to try it for each takes long.

    Where the cheapest devices for some leave others without a place, all are tried on the fewest devices.
    """
    queue = by_deadline(jobs)
    placements = _place_queue(queue, free, beside, change_us, optional, at_least)
    if len(placements or ()) == len(queue) or not any(job.problem.is_by_cost for job in queue):
        return placements
    by_fewest = [replace(job, problem=job.problem.without_prices) for job in queue]
    fewest = _place_queue(by_fewest, free, beside, change_us, optional, at_least)
    if len(fewest or ()) <= len(placements or ()):
        return placements
    by_name = {job.name: job for job in queue}
    return [replace(placement, job=by_name[placement.job.name]) for placement in fewest or ()]


def _place_queue(
    queue: list[CalendarJob],
    free: Free,
    beside: DeadlineClass,
    change_us: int,
    optional: Collection[str],
    at_least: int,
) -> list[Placement] | None:
    """Return placements of the jobs, in this order, as `place_set`."""
    names = frozenset[str]().union(*(job.device_names for job in queue))
    row = _Row(free, beside, change_us)
    may_level, leave_out, at = True, 1, 0
    while len(row.placed) + len(queue) - at >= at_least:
        if at == len(queue):
            return row.placed
        job, is_optional = queue[at], queue[at].name in optional
        at += 1
        if row.add(job):
            continue
        # To level jobs moves device time, and makes none.
        may_try = may_level or not is_optional
        if may_try and time_alone_us(job) <= free_us(row.free[-1], job.problem.time_us, names):
            if row.level(job):
                continue
            may_level = may_level and not is_optional
        if not is_optional:
            # Go back to before the last optional jobs, and on without them; each time it is twice as many.
            first = _latest(row.placed, optional, leave_out)
            if first is None:
                return None
            began = queue.index(row.placed[first].job)
            row.cut(first)
            queue[began:at] = [queued for queued in queue[began:at] if queued.name not in optional]
            at, leave_out = began, 2 * leave_out
    return None


class _Row:
    """Jobs that are placed one after the other."""

    def __init__(self, free: Free, beside: DeadlineClass, change_us: int) -> None:
        self._beside, self._change_us = beside, change_us
        self.placed: list[Placement] = []
        self.free = [free]
        """What is free beside the first 0, 1, 2, ... of them."""

    def add(self, job: CalendarJob, *, levelled: bool = False) -> bool:
        """Place the job on what is free; return whether it has a place there."""
        reservation = place_job(job, self.free[-1], levelled=levelled)
        if reservation is None:
            return False
        self.placed.append(Placement(job=job, reservation=reservation, beside=self._beside))
        self.free.append(less(self.free[-1], self.placed[-1].claims(change_us=self._change_us)))
        return True

    def cut(self, first: int) -> tuple[list[Placement], list[Free]]:
        """Take the jobs away from that place on; return what was there."""
        tail = self.placed[first:], self.free[first + 1 :]
        del self.placed[first:], self.free[first + 1 :]
        return tail

    def level(self, job: CalendarJob) -> bool:
        """Level the job and as many before it as are needed; return whether that gives it a place."""
        before = 1
        while before <= _MAX_LEVELLED:
            first = max(0, len(self.placed) - before)
            placed, free = self.cut(first)
            if all(self.add(again, levelled=True) for again in (*(placement.job for placement in placed), job)):
                return True
            self.placed[first:], self.free[first + 1 :] = placed, free
            if not first:
                return False
            before *= 2
        return False


def _latest(placed: Sequence[Placement], optional: Collection[str], count: int) -> int | None:
    """Return where the last `count` optional jobs begin, or all of them if they are fewer; None if there are none."""
    at = [index for index, placement in enumerate(placed) if placement.job.name in optional]
    return at[-count:][0] if at else None


def time_alone_us(job: CalendarJob) -> int:
    """Return the device time that the job takes on idle devices; NEVER_US if it can't be done."""
    idle = {name: always_free(count) for name, count in usable(job.problem).items()}
    alone = place(job.problem, idle)
    return NEVER_US if alone is None else device_us(alone)


# Jobs that are placed again may take less than they did, but in benchmarks/calendar_speed.py by less than this part.
_AND_SAVED = 1.01


class DeviceTime:
    """What is left beside jobs and the device time that each takes."""

    def __init__(self, takes: Iterable[tuple[CalendarJob, int]], free: Free) -> None:
        self._takes = sorted(takes, key=lambda take: take[0].problem.time_us)
        self._free = free
        self._left: dict[frozenset[str], Callable[[int], float]] = {}
        """By names of devices, the least that is left by a time and by each later deadline."""

    def left_us(self, from_us: int, names: frozenset[str]) -> float:
        """Return the least that is left by that time and by each later deadline, of devices of these names.

        Jobs that may have other devices, too, are not counted.
        """
        if names not in self._left:
            self._left[names] = self._least_left(names)
        return self._left[names](from_us)

    def _least_left(self, names: frozenset[str]) -> Callable[[int], float]:
        takes = [(job.problem.time_us, job_us) for job, job_us in self._takes if job.device_names <= names]
        tables = [
            (steps, [0, *accumulate((step.to_us - step.from_us) * step.free for step in steps)])
            for name in names
            if (steps := self._free.get(name, ()))
        ]
        deadlines = [until_us for until_us, _ in takes]
        taken_us = [0, *accumulate(job_us for _, job_us in takes)]

        def left_us(until_us: int) -> float:
            total_us = 0
            for steps, totals in tables:
                at = max(0, bisect_left(steps, until_us, key=itemgetter(0)) - 1)
                total_us += totals[at] + (until_us - steps[at].from_us) * steps[at].free
            return _AND_SAVED * total_us - taken_us[bisect_right(deadlines, until_us)]

        # By each deadline and by all later ones.
        least = [*accumulate(map(left_us, reversed(deadlines)), min)][::-1]
        return lambda from_us: min([left_us(from_us), *least[bisect_right(deadlines, from_us) :][:1]])
