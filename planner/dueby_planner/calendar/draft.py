"""A calendar while it is made: which jobs have which windows, and what is left beside them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from dueby_api.inference_job import DeadlineClass
from dueby_planner.calendar.jobs import CalendarJob
from dueby_planner.calendar.place_job import place_job
from dueby_planner.calendar.pool import CalendarPool, Free
from dueby_planner.calendar.reservation import Reservation
from dueby_planner.calendar.tables import Tables

GIVING_WAY: tuple[DeadlineClass, ...] = ("BestEffort", "Relaxed", "Soft")
"""The tables that a Hard or a Soft job is placed on, in this order: first beside all workers."""
HandingOver = Mapping[str, Sequence[str]]
"""Names of workers by that of their job."""


class Placed(NamedTuple):
    """What one job has, and on which table it was placed."""

    job: CalendarJob
    reservation: Reservation
    beside: DeadlineClass
    kept: bool


class Draft:
    """The jobs that are placed so far."""

    def __init__(
        self,
        pool: CalendarPool,
        placed: Iterable[Placed] = (),
        *,
        tight: Iterable[Placed] = (),
        handing_over: HandingOver | None = None,
    ) -> None:
        self.pool = pool
        self.tight = {each.job.name: each for each in tight}
        """Promised Hard jobs that are a little late, or in time with no image to spare. No other one moves them."""
        self.handing_over = handing_over or {}
        """Workers of running jobs that are to stop: the pool is as if they were."""
        self.placed: dict[str, Placed] = {}
        """By the job's name."""
        self._tables = Tables(pool.free, change_us=pool.change_us)
        for each in (*self.tight.values(), *placed):
            self.copy(each)

    @property
    def hard(self) -> list[Placed]:
        """The Hard jobs that are in time, but for those without an image to spare."""
        return [
            each for name, each in self.placed.items() if each.job.deadline_class == "Hard" and name not in self.tight
        ]

    @property
    def free(self) -> Free:
        """What there is for Hard jobs if all that may be moved are placed again."""
        return self.only(()).left("Hard")

    def only(self, placed: Iterable[Placed]) -> "Draft":
        """Return a calendar with these jobs, and those that nobody moves."""
        return Draft(self.pool, placed, tight=self.tight.values(), handing_over=self.handing_over)

    def without(self, *names: str) -> "Draft":
        """Return the calendar without these jobs, which have places or none."""
        gone = self.tight.keys() | names
        return self.only(placed for name, placed in self.placed.items() if name not in gone)

    def left(self, beside: DeadlineClass) -> Free:
        """Return what is left beside the workers of this class and of those above it."""
        return self._tables.left(beside)

    def add(self, job: CalendarJob, reservation: Reservation, *, beside: DeadlineClass, kept: bool = False) -> None:
        """Give the job its windows, which are left beside the workers of this class and of those above it."""
        self.copy(Placed(job, reservation, beside, kept))

    def place(self, job: CalendarJob, *tables: DeadlineClass) -> bool:
        """Place the job on the first of these tables on which it is in time; return whether there is one."""
        for beside in tables:
            reservation = place_job(job, self.left(beside))
            if reservation is not None:
                self.add(job, reservation, beside=beside)
                return True
        return False

    def keep(self, names: Iterable[str]) -> None:
        """Let nobody move these jobs, which have places."""
        self.tight |= {name: self.placed[name] for name in names}

    def copy(self, placed: Placed) -> None:
        """Give the job what it has in another calendar."""
        self.placed[placed.job.name] = placed
        self._tables.take(placed.reservation, placed.job.quotas)
