"""Place a job of the calendar: within its quotas, and so that it needn't be stopped before it is done if it can't be.

Workers that can't be stopped keep their devices until their job is done, so such a job is placed on what is free from
some time until it ends, without a gap. When that is at the latest is tried: by its deadline, and by each time at which
something that is free for it is taken.

A status has room for so many windows. Where devices come free one by one, a job that needs many of them would get more:
it is placed on what is free from one second to the next, or between times that are further apart.

A job that can't be in time is done as soon as possible, or little later on fewer devices. What would give a refused job
its place is a later deadline, or more devices.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from dueby_api.status import MAX_WINDOWS
from dueby_api.units import MICROS_PER_SECOND
from dueby_planner.model.capacity import capacity
from dueby_planner.model.problem import NEVER_US, Problem, find_least_near
from dueby_planner.schedule.calendar_job import CalendarJob
from dueby_planner.schedule.free_devices import Free, Step, always_free, before, lasting, rounded
from dueby_planner.schedule.place import place, suffices
from dueby_planner.schedule.reservation import Reservation, Window, ends_us, windows_stored
from dueby_planner.schedule.tables import within_quotas


def place_job(job: CalendarJob, free: Free, *, levelled: bool = False, soon: bool = False) -> Reservation | None:
    """Return what the job holds so that it is in time; None if that can't be. See place() for the rest."""
    time_us = job.problem.time_us
    found = (place_on(job, left, time_us, levelled=levelled, soon=soon) for left in free_for(job, free, time_us))
    return next(filter(None, found), None)


def place_on(
    job: CalendarJob, left: Free, until_us: int, *, levelled: bool = False, soon: bool = False
) -> Reservation | None:
    """Return what the job holds of what is free for it so that it is done by then; None if that can't be."""

    def placed(free: Free) -> Reservation | None:
        return place(job.problem, free, until_us=until_us, levelled=levelled, soon=soon)

    found = placed(left)
    if found and windows_stored(found) > MAX_WINDOWS:
        is_promise = job.deadline_class == "Hard" and not soon
        # What is no promise is placed again in the next pass, where it can't be kept.
        found = _in_few_windows(placed, left) or (None if is_promise else found)
    return _to_its_end(job, found) if found and job.stays else found


def _in_few_windows(placed: Callable[[Free], Reservation | None], left: Free) -> Reservation | None:
    """Return a reservation of as many windows as are stored; None if the job has no place in so few."""
    unit_us = MICROS_PER_SECOND
    while found := placed({name: rounded(steps, unit_us) for name, steps in left.items()}):
        if windows_stored(found) <= MAX_WINDOWS:
            return found
        unit_us *= 2
    return None


def can_be_done(job: CalendarJob, free: Free, until_us: int) -> bool:
    """Return whether the job can be done by then on what is free."""
    return any(suffices(job.problem, left, until_us) for left in free_for(job, free, until_us))


def free_for(job: CalendarJob, free: Free, until_us: int) -> Iterator[Free]:
    """Yield what is free for the job; more than once if that depends on when it ends, the latest end first."""
    left = within_quotas(job, free)
    if job.until_us < until_us:
        left = {name: before(left[name], job.until_us) for name in job.device_names if name in left}
    if not job.stays:
        yield left
        return
    names = job.device_names
    ends = {
        step.from_us
        for name in names
        for earlier, step in pairwise(left.get(name, ()))
        if step.free < earlier.free and step.from_us < until_us
    }
    for end_us in sorted({*ends, until_us}, reverse=True):
        yield {name: lasting(left[name], end_us) for name in names if name in left}


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
    for left in reversed([*free_for(job, free, NEVER_US)]):
        if (soonest_us := earliest_us(job.problem, left, nearly=_NEARLY)) is not None:
            return place_on(job, left, soonest_us + max(1, soonest_us // later), soon=True)
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


class Advices(Mapping[str, Advice]):
    """Advice for jobs by name, made when it is asked for: that can take longer than the calendar."""

    def __init__(self, jobs: Mapping[str, CalendarJob], free: Free) -> None:
        """`free` is what others leave."""
        self._jobs, self._free = jobs, free
        self._made: dict[str, Advice] = {}

    def __getitem__(self, name: str) -> Advice:
        if name not in self._made:
            self._made[name] = advise(self._jobs[name], self._free)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)


def advise(job: CalendarJob, free: Free) -> Advice:
    """Return what would be enough beside what others hold. `free` is what they leave."""
    problem = job.problem
    lefts = [*free_for(job, free, NEVER_US)]
    # What ends first is free for most: where a job that can't be stopped has a place in it, that is the earliest.
    soonest = next((left for left in reversed(lefts) if suffices(problem, left, NEVER_US)), lefts[0])
    # Whom a quota binds would have no use for more devices.
    names = [] if job.quotas else dict.fromkeys(group.device_class for group in problem.groups)
    more = {name: _more(problem, lefts[0], name) for name in names}
    return Advice(
        earliest_us=earliest_us(problem, soonest), more_devices={name: count for name, count in more.items() if count}
    )


def earliest_us(problem: Problem, free: Free, *, nearly: int | None = None) -> int | None:
    """Return the earliest time by which the job can be done on what is free; None if never.

    With `nearly` it is less by up to such a part, as of `find_least`.
    """

    def is_enough(time_us: int) -> bool:
        return suffices(problem, free, time_us)

    return find_least_near(is_enough, 0, near=max(1, problem.time_us), most=NEVER_US, nearly=nearly)


def _more(problem: Problem, free: Free, name: str) -> int | None:
    def enough(count: int) -> bool:
        more = tuple(Step(step.from_us, step.to_us, step.free + count) for step in free.get(name, always_free(0)))
        return suffices(problem.with_more(name, count), {**free, name: more}, problem.time_us)

    return find_least_near(enough, 1, near=1, most=_MAX_MORE)
