"""A job of the calendar and its place, in which order jobs are placed, and the device time that a job takes at least.

Of a job that runs b images in L at best, N images take at least N L / b of device time. Each start loses at least
S + W - L of it, and no device does more than what it can from now to a time, which says how many starts there are at
least. There is no margin in it: what is impossible here is impossible at every confidence. Workers that are there
already need no start, and may be about to end a mini-batch: those images take no more time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import lcm

from dueby_api.inference_job import DeadlineClass
from dueby_api.units import MICROS_PER_SECOND
from dueby_planner.deadline_classes import Action
from dueby_planner.model.problem import NEVER_US, Problem
from dueby_planner.model.rule import Rule
from dueby_planner.schedule.free_devices import Taken
from dueby_planner.schedule.lag import OngoingWorker
from dueby_planner.schedule.reservation import Reservation, begins_us, claims_of, devices_in, done_by, rule_of

# A window that begins within this time is begun at once on a device that is idle until then.
EARLY_US = 35 * MICROS_PER_SECOND


@dataclass(frozen=True, kw_only=True)
class StoredWindow:
    """Devices that a job was given before, each for a worker. Times count from now."""

    devices: tuple[str, ...]
    """Names among which they are; the first ones are taken if they are free."""
    count: int
    from_us: int
    """Negative if the window has begun and no worker was started in it."""
    to_us: int
    engine: str
    mini_batch_size: int


@dataclass(frozen=True, kw_only=True)
class CalendarJob:
    """One job of several on one pool."""

    name: str
    deadline_class: DeadlineClass
    problem: Problem
    """What is left of the job, alone on all the devices that it could ever have. None of them need be free now."""
    stored: tuple[StoredWindow, ...] = ()
    """What it was given before."""
    goes_on: bool = False
    """Whether the job has or had workers: it is not refused any more, and ends as soon as it can if it is late."""
    least_images: int | None = None
    """What is stored is kept if it does so many images, which may be fewer than a new plan does; None: all of them."""
    until_us: int = NEVER_US
    """Beyond this time nothing is promised to it, and it is placed on nothing."""
    limits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """The limits that bind it, and how many units of each a device of each name costs (devices.py)."""
    classes: Mapping[str, str] = field(default_factory=dict)
    """The device class of each name; of one that is missing here, the name is the class."""
    at_work: tuple[OngoingWorker, ...] = ()
    """The workers that it has, if the problem is all that is left: what these do takes no other start (`needed_us`)."""
    elsewhere: int = 0
    """Images that workers of it do on devices that no table counts, such as those of a node that takes no new pods."""
    stays: bool = False
    """Whether its workers can't be stopped: each keeps its device until the job is done (place_job.py)."""

    @cached_property
    def device_names(self) -> frozenset[str]:
        """The names of the devices that it may use."""
        return frozenset(group.device_class for group in self.problem.groups)

    @cached_property
    def fallback_names(self) -> frozenset[str]:
        """Those of them that it uses only as far as the others don't do."""
        return frozenset(group.device_class for group in self.problem.groups if group.is_fallback)

    def class_of(self, name: str) -> str:
        """Return the device class of a name."""
        return self.classes.get(name, name)

    def rule_for_kept(self, reservation: Reservation) -> Rule:
        """Return the rule that says whether what is stored still does."""
        rule = rule_of(reservation, self.problem)
        return rule if self.least_images is None else replace(rule, images=self.least_images)


@dataclass(frozen=True, kw_only=True)
class Placement:
    """What is done with one job."""

    job: CalendarJob
    reservation: Reservation = ()
    """Empty if the job is refused, or has to wait."""
    kept: bool = False
    """Whether the reservation is the stored one."""
    beside: DeadlineClass = "BestEffort"
    """The class on whose table of free devices the job was placed: in its windows, running workers of the classes below
    that one have to give way. For a reservation that was kept it is the job's own class."""
    is_urgent: bool = False
    """Whether the job is Relaxed and can't wait any longer, and is placed like a Soft one."""
    is_cut: bool = False
    """Whether it is proved that the job and others need more device time than there is."""

    @cached_property
    def is_in_time(self) -> bool:
        """Whether the deadline is met at the job's confidence; what was kept does what it has to do at least."""
        problem = self.job.problem
        rule = self.job.rule_for_kept(self.reservation) if self.kept else rule_of(self.reservation, problem)
        done = done_by(self.reservation, problem.time_us, problem.max_iterations, again=rule.again)
        return bool(done) and rule.accepts(done, devices_in(self.reservation))

    @property
    def begins_soon(self) -> bool:
        """Whether its first window begins now on a device that is idle."""
        return begins_us(self.reservation) <= EARLY_US

    @cached_property
    def action(self) -> Action:
        """What to do now."""
        if self.reservation:
            if not self.is_in_time and self.job.deadline_class != "BestEffort":
                return "StartLate"
            return "Start" if begins_us(self.reservation) == 0 else "Reserve"
        if self.job.deadline_class != "Hard":
            return "Wait"
        return "Refuse" if self.is_cut or self.job.problem.fewest() is None else "Hold"

    def claims(self, *, change_us: int = 0) -> list[tuple[str, Taken]]:
        """Return what it takes of devices and of the job's limits, with the time that devices take to change hands."""
        return claims_of(self.reservation, self.job.limits, change_us=change_us)


def with_images(job: CalendarJob, images: int) -> CalendarJob:
    """Return the job with so many images to place, and no fewer to keep."""
    return replace(job, problem=replace(job.problem, images=images), least_images=None)


def by_deadline(jobs: Iterable[CalendarJob], *classes: DeadlineClass) -> list[CalendarJob]:
    """Return the jobs of these deadline classes, or all of them, the earliest deadline first."""
    found = [job for job in jobs if not classes or job.deadline_class in classes]
    return sorted(found, key=deadline_order)


def deadline_order(job: CalendarJob) -> tuple[int, str]:
    """Return what jobs are sorted by: the deadline, then the name."""
    return job.problem.time_us, job.name


def needed_us(
    problem: Problem, until_us: int | None = None, *, at_work: Sequence[OngoingWorker] = (), elsewhere: int = 0
) -> int | None:
    """Return the device time that the job takes at least; None if no device does anything by then, or the deadline.

    `at_work` are workers that do some of its images; `elsewhere` are images that take none of this time.
    """
    time_us = problem.time_us if until_us is None else until_us
    # Of those that share a store, each could have all of it: that takes the least device time.
    choices = [choice.unpaced or choice for group in problem.groups for choice in group.choices]
    # Where the first mini-batch takes less than the others, nothing is lost, and many starts would be the fastest.
    paces = [(min(each.latency_us, each.expected_start_us), each.mini_batch_size) for each in choices]
    paces += [(worker.latency_us, worker.mini_batch_size) for worker in at_work]
    # Times of one image in a common unit, so that they are integers.
    unit = lcm(*(size for _, size in paces))
    pace = min(latency_us * (unit // size) for latency_us, size in paces)
    lost_us = max(0, min(choice.expected_start_us - choice.latency_us for choice in choices))
    if time_us <= lost_us:
        return None
    work = max(0, problem.images - elsewhere - sum(worker.mini_batch_size for worker in at_work)) * pace
    beside = max(0, work - len(at_work) * time_us * unit)
    starts = max(0 if at_work or not work else 1, _ceil(beside, (time_us - lost_us) * unit))
    return _ceil(work, unit) + starts * lost_us


def _ceil(over: int, under: int) -> int:
    return -(-over // under)
