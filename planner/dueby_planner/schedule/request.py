"""What goes into the schedule and what comes out of it: a request about all jobs, and a reply for each of them."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from dueby_api.conditions import Reason
from dueby_api.status import AlternativesStatus, PlanStatus, WindowStatus
from dueby_planner.deadline_classes import Verdict
from dueby_planner.model.budget import Account
from dueby_planner.schedule.devices import DeviceGroups
from dueby_planner.schedule.job import Assignment, JobKey, PromisedJob, ScheduledJob, StartReason
from dueby_planner.schedule.lag import FRESH, LagMemory


@dataclass(frozen=True, kw_only=True)
class ScheduleRequest:
    """All that the schedule may know. Times of jobs are in microseconds since 1970, those of devices from now."""

    jobs: tuple[ScheduledJob, ...]
    """Those that are ready for workers, or have some."""
    devices: DeviceGroups
    """What these jobs and those of `promised` may use, and the limits that bind them."""
    promised: tuple[PromisedJob, ...] = ()
    """Jobs to which something is promised; of those that are among `jobs`, too, it counts where a decision fails."""
    grace_us: int = 0
    """How long a worker that is told to stop may take to finish the part that it is at."""
    accounts: Mapping[str, Account] = field(default_factory=dict)
    """Budgets by namespace, and what jobs use of them before this schedule."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """Start these workers, beside those that are there."""

    assignments: tuple[Assignment, ...]
    part_size: int
    reason: StartReason
    verdict: Verdict | None = None
    """The verdict of the plan, if it is a whole plan and not an addition."""
    nodes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By device class, the nodes that the plan counts on, if there are others that the job could use."""
    by_windows: PlanStatus | None = None
    """The whole plan, if other jobs' windows are next to its own."""


@dataclass(frozen=True, kw_only=True)
class Reserve:
    """Start nothing yet: the job has windows that begin later."""

    plan: PlanStatus
    starts_us: int
    """When the first window begins, in microseconds since 1970."""


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Start nothing: there is no room for the job yet."""

    message: str


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Stop these workers; others take over what they leave."""

    workers: tuple[str, ...]
    reason: StartReason
    windows: tuple[WindowStatus, ...] | None = None
    """What is reserved for what they would have done; None if the reserved is as it was."""


@dataclass(frozen=True, kw_only=True)
class Refuse:
    """Start nothing: the deadline can't be met, and the deadline class says not to try."""

    verdict: Verdict | None = None
    """Where the job could not be done on all devices alone; None where it doesn't fit beside others."""
    sentence: str = ""
    """Why it can't be done, and what would help, beside others; empty if no other Hard job has devices."""
    alternatives: AlternativesStatus | None = None
    """What could be asked for instead beside others."""
    reason: Reason = Reason.PROMISED_TO_OTHERS
    """Where there is no verdict."""


@dataclass(frozen=True, kw_only=True)
class WorkDecision:
    """What to do now, and what to remember."""

    action: Start | Stop | Reserve | Wait | Refuse | None = None
    lag: LagMemory = FRESH
    waits_for_windows: bool = False
    """Whether its windows don't do any more, and are left as they are for one reading, which may be noise."""
    is_short: bool = False
    """Whether the deadline is out of reach with all the devices that may be used."""
    is_over_cost: bool = False
    """Whether help was left out, since the job would cost more with it than it may."""
    expected_finish_us: int | None = None
    """When what is left will be done, in microseconds since 1970: by the workers that are there or are started now, and
    those for which devices are reserved. None while there are none."""


@dataclass(frozen=True, kw_only=True)
class ScheduleReply:
    """What to do now about each job of a request. One of which nothing is said waits for a device."""

    decided: Mapping[JobKey, tuple[ScheduledJob, WorkDecision]] = field(default_factory=dict)
    """Each job with the devices that it was decided on, and the decision."""
    errors: Mapping[JobKey, Exception] = field(default_factory=dict)
    """What was raised for one job; the others don't notice."""
    joint_errors: tuple[Exception, ...] = ()
    """What was raised for jobs together, and for none of them alone."""
    idle: Mapping[str, int] = field(default_factory=dict)
    """Devices by group that nobody has after this."""


def stoppable(job: ScheduledJob, stop: Stop) -> tuple[str, ...]:
    """Return those of the workers that can be stopped.

    A group that can't shrink is stopped as a whole or not at all. One that hangs is started again in its place.
    """
    if stop.reason == "WorkerLost":
        return stop.workers
    groups: dict[str, set[str]] = defaultdict(set)
    for worker in job.alive:
        groups[worker.group].add(worker.name)
    named = set(stop.workers)
    return tuple(
        worker.name
        for worker in job.alive
        if worker.name in named and (worker.can_shrink or groups[worker.group] <= named)
    )


def without(job: ScheduledJob, stop: Stop) -> ScheduledJob:
    """Return the job once these workers have stopped."""
    gone = stoppable(job, stop)
    return replace(job, workers=tuple(worker for worker in job.workers if worker.name not in gone))
