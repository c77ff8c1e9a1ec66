"""A calendar while it is made: which jobs have which windows, and what is left beside them.

A Soft job may be placed in front of Hard ones that can wait, since a promise needs device time before its deadline, and
not the earliest. It is placed as if no Hard job with a later deadline had anything reserved. Those whose windows it
takes are placed again, by deadline, beside all others. One that would be late then stays where it is, and it is tried
once more beside that one. So no promise is broken, and nobody else moves.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from dueby_api.inference_job import DeadlineClass
from dueby_planner.schedule.calendar_job import CalendarJob, Placement, by_deadline
from dueby_planner.schedule.free_devices import CalendarPool, Free
from dueby_planner.schedule.place_job import place_job
from dueby_planner.schedule.reservation import Tables, begins_us, ends_us

GIVING_WAY: tuple[DeadlineClass, ...] = ("BestEffort", "Relaxed", "Soft")
"""The tables that a Hard or a Soft job is placed on, in this order: first beside all workers."""
HandingOver = Mapping[str, Sequence[str]]
"""Names of workers by that of their job."""


class Draft:
    """The jobs that are placed so far."""

    def __init__(
        self,
        pool: CalendarPool,
        placed: Iterable[Placement] = (),
        *,
        tight: Iterable[Placement] = (),
        handing_over: HandingOver | None = None,
    ) -> None:
        self.pool = pool
        self.tight = {each.job.name: each for each in tight}
        """Promised Hard jobs that are a little late, or in time with no image to spare. No other one moves them."""
        self.handing_over = handing_over or {}
        """Workers of running jobs that are to stop: the pool is as if they were."""
        self.placed: dict[str, Placement] = {}
        """By the job's name."""
        self._tables = Tables(pool.free)
        for each in (*self.tight.values(), *placed):
            self.add(each)

    @property
    def hard(self) -> list[Placement]:
        """The Hard jobs that are in time, but for those without an image to spare."""
        return [
            each for name, each in self.placed.items() if each.job.deadline_class == "Hard" and name not in self.tight
        ]

    @property
    def free(self) -> Free:
        """What there is for Hard jobs if all that may be moved are placed again."""
        return self.only(()).left("Hard")

    def only(self, placed: Iterable[Placement]) -> "Draft":
        """Return a calendar with these jobs, and those that nobody moves."""
        return Draft(self.pool, placed, tight=self.tight.values(), handing_over=self.handing_over)

    def without(self, *names: str) -> "Draft":
        """Return the calendar without these jobs, which have places or none."""
        gone = self.tight.keys() | names
        return self.only(placed for name, placed in self.placed.items() if name not in gone)

    def left(self, beside: DeadlineClass) -> Free:
        """Return what is left beside the workers of this class and of those above it."""
        return self._tables.left(beside)

    def add(self, placed: Placement) -> None:
        """Give the job its windows, which are left beside the workers of a class and of those above it."""
        self.placed[placed.job.name] = placed
        self._tables.take(placed.claims(change_us=self.pool.change_us))

    def place(self, job: CalendarJob, *tables: DeadlineClass) -> bool:
        """Place the job on the first of these tables on which it is in time; return whether there is one."""
        for beside in tables:
            reservation = place_job(job, self.left(beside))
            if reservation is not None:
                self.add(Placement(job=job, reservation=reservation, beside=beside))
                return True
        return False

    def keep(self, names: Iterable[str]) -> None:
        """Let nobody move these jobs, which have places."""
        self.tight |= {name: self.placed[name] for name in names}


# So many jobs are tried in a pass, each beside all that is reserved. Of more those with the earliest deadlines are.
MAX_TRIED = 8
# How often a Soft job is tried beside one more Hard job that stays: those with the nearest deadlines can't wait.
_MAX_STAYING = 4


def place_in_front(job: CalendarJob, draft: Draft, place: Callable[[Draft], bool]) -> Draft | None:
    """Return the calendar with the Soft job in front of Hard ones that can wait; None if there is no such place.

    `place` gives the job its place in a calendar, and returns whether it is worth it.
    """
    can_wait = {placed.job.name: placed for placed in draft.hard if _may_wait(placed, job)}
    for _ in range(_MAX_STAYING):
        alone = draft.without(job.name, *can_wait)
        if not can_wait or not place(alone):
            return None
        moving = [placed for placed in can_wait.values() if _is_met(placed, alone.placed[job.name], draft)]
        found = draft.without(job.name, *(placed.job.name for placed in moving))
        if not place(found):
            return None
        again = by_deadline(placed.job for placed in moving)
        # The first that would be late stays where it is.
        stays = next((other.name for other in again if not found.place(other, *GIVING_WAY)), None)
        if stays is None:
            return found
        del can_wait[stays]
    return None


def _may_wait(placed: Placement, job: CalendarJob) -> bool:
    """Return whether the Hard job is in time, is due later than the other, and may have devices that this one wants."""
    is_in_time = ends_us(placed.reservation) <= placed.job.problem.time_us
    is_later = placed.job.problem.time_us > job.problem.time_us
    return is_in_time and is_later and bool(placed.job.device_names & job.device_names)


def _is_met(placed: Placement, other: Placement, draft: Draft) -> bool:
    """Return whether windows of both are at the same time, or closer than a device can change hands."""
    change_us = 2 * draft.pool.change_us
    begin_us, end_us = begins_us(other.reservation) - change_us, ends_us(other.reservation) + change_us
    return any(
        window.from_us < end_us and window.to_us > begin_us for lane in placed.reservation for window in lane.windows
    )
