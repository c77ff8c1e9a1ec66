"""What would give a refused job its place: a later deadline, or more devices."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dueby_planner.calendar.free_devices import Step, always_free
from dueby_planner.calendar.jobs import CalendarJob
from dueby_planner.calendar.place import suffices
from dueby_planner.calendar.place_job import free_for
from dueby_planner.calendar.pool import Free
from dueby_planner.model.problem import NEVER_US, Problem, find_least_near

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
