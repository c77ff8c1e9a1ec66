"""One InferenceJob as it was seen at one moment, parsed: what a decision about it is made from.

On one machine there are no Jobs and pods; what they show is in `workers` and `status` for both backends.

What goes wrong in the operator itself while it handles one job, a bug or input that nobody thought of, is that job's
trouble and nobody else's. So it is caught where the job is handled and becomes a value, a Fault.
"""

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from dueby_api.errors import Invalid
from dueby_api.grid import Grid, Share
from dueby_api.inference_job import InferenceJob
from dueby_api.parts import NONE, Parts, all_parts, parts_of_text
from dueby_api.status import JobStatus
from dueby_api.step_messages import ProfilingProgress, StoreWait, WorkerProgress
from dueby_api.units import MICROS_PER_SECOND
from dueby_operator.model.actions import StepName
from dueby_operator.objects.capacity_requests import CapacityRequest
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.parse import micros_of, parse_indices
from dueby_operator.objects.pods import Pod
from dueby_planner.schedule.job import Assignment, JobKey, WorkerModel
from dueby_planner.schedule.lag import FRESH, LagMemory

Stage = Literal["observing", "deciding", "applying", "clearing", "profiling", "reconciling"]
# Of an error's own words: they may hold a whole document.
MAX_WORDS = 300
NO_SHARE = Share(first=0, end=0)


class TurnedAway(Invalid):
    """What the job asks for isn't read, since its namespace has more jobs than there is room for. It waits."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One exception that nobody expected."""

    stage: Stage
    """What the operator was doing."""
    error: Exception

    @property
    def place(self) -> str:
        """File and line where it was raised; empty if it was never raised."""
        frames = traceback.extract_tb(self.error.__traceback__)
        return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""

    @property
    def sentence(self) -> str:
        """What it was and where, such as `TypeError: 'int' object is not iterable (deciding, plan.py:12)`."""
        words = str(self.error)[:MAX_WORDS]
        where = ", ".join(filter(None, (self.stage, self.place)))
        return f"{type(self.error).__name__}: {words} ({where})" if words else f"{type(self.error).__name__} ({where})"


@dataclass(frozen=True, kw_only=True)
class JobMemory:
    """What the last decision about a job has left for the next. An operator that starts again does without."""

    lag: LagMemory = FRESH
    """Readings of the workers' lag."""
    generation: int | None = None
    """Generation of the spec that was last decided on."""
    waited_for_windows: bool = False
    """Whether its windows did not do then."""
    lost: frozenset[str] = frozenset()
    """Workers that were lost then."""
    lost_all: bool = False
    """Whether it has no worker because one was lost, and none was started since."""
    queued: frozenset[str] = frozenset()
    """Workers that waited in a queue then."""
    promised_us: int | None = None
    """When the running plan expects the end; the status has it to the second."""
    refused_until_us: int = 0
    """Nothing is created before this time, since the API server has forbidden it."""
    left_out: int = 0
    """How many passes in a row had no time for it. The more, the earlier it comes in the next."""
    faults: int = 0
    """How often in a row the operator itself could not handle the job."""
    retry_us: int = 0
    """After such a fault the job is left alone until this time."""


NOTHING = JobMemory()


@dataclass(frozen=True, kw_only=True)
class WorkerJob:
    """A Job of workers: one revision, one device class; of many workers some."""

    job: BatchJob
    revision: int
    assignments: Sequence[Assignment]
    """By index of the Job."""

    @property
    def name(self) -> str:
        return self.job.name

    @cached_property
    def done(self) -> frozenset[int]:
        """Indices that have ended well."""
        return parse_indices(self.job.status.completed_indexes)

    @cached_property
    def given_up(self) -> frozenset[int]:
        """Indices that the Job doesn't start again."""
        return parse_indices(self.job.status.failed_indexes)


@dataclass(frozen=True, kw_only=True)
class JobSnapshot:
    """All that was seen of one InferenceJob."""

    namespace: str
    name: str
    uid: str
    generation: int = 1
    resource_version: str = ""
    created_us: int
    """When it was made, in microseconds since 1970."""
    is_deleting: bool = False
    is_restored: bool = False
    """Whether it comes from a backup, without the uid and the status that it had."""
    unreadable: str = ""
    """Why it could not be observed; empty if it was. It is left alone meanwhile."""
    is_under_way: bool = False
    """Whether what was decided about it in an earlier pass is still being written. It is left alone meanwhile."""
    forbidden: str = ""
    """What the API server has said against observing it; empty if nothing."""
    fault: Fault | None = None
    """What the operator itself did wrong when it observed the job."""
    manifest: InferenceJob | Invalid
    """What is asked for, or what is wrong with it."""
    status: JobStatus = field(default_factory=JobStatus)
    """As the last pass left it."""
    time_to_live_us: int | None = None
    """How long it is kept once it is over; None if it doesn't say so."""
    memory: JobMemory = NOTHING
    workers: tuple[WorkerModel, ...] = ()
    """Every worker that was ever started, in the order of its start."""
    parts_there: Parts = NONE
    """Parts in the sink, as the workers know."""
    is_told_parts: bool = True
    """Whether a worker has said which parts there are since this operator began."""
    steps: Mapping[StepName, BatchJob] = field(default_factory=dict)
    """The Jobs of the steps that there are once."""
    outdated_steps: Mapping[StepName, Sequence[BatchJob]] = field(default_factory=dict)
    """Jobs of those steps that were made of the job before an edit."""
    without_config: Sequence[BatchJob] = ()
    """Jobs whose ConfigMap is gone, or isn't theirs: pods that start again never do, or nobody knows what they do."""
    worker_jobs: Sequence[WorkerJob] = ()
    requests: Mapping[str, CapacityRequest] = field(default_factory=dict)
    """Those by which nodes are asked for, by the name of the Job whose workers wait for them, which is theirs, too."""
    profiling: Sequence[BatchJob] = ()
    """The Jobs that measure device classes for it."""
    pods: Sequence[Pod] = ()
    """Of all those Jobs."""
    progress: Mapping[str, WorkerProgress] = field(default_factory=dict)
    """What workers reported last, by pod."""
    step_waits: Mapping[str, StoreWait] = field(default_factory=dict)
    """The stores that pods of those steps wait for, by pod."""
    profiling_progress: Mapping[str, ProfilingProgress] = field(default_factory=dict)
    """What profiling pods reported last, by pod."""
    absent: frozenset[tuple[str, int]] = frozenset()
    """Workers that have had no node for so long that the rest is planned without them, by Job and index."""

    @property
    def accepted_us(self) -> int:
        """When its clock began, in microseconds since 1970: recorded once, whatever clocks have done since."""
        recorded = micros_of(self.status.accepted_time)
        # The status has it to the second.
        if recorded is None or abs(recorded - self.created_us) < MICROS_PER_SECOND:
            return self.created_us
        return recorded

    @property
    def key(self) -> JobKey:
        return self.namespace, self.name

    @property
    def has_workers(self) -> bool:
        """Whether a worker still does something, or will."""
        return any(not worker.is_gone for worker in self.workers)

    @property
    def revision(self) -> int:
        """The last revision of which there are workers; 0 if there are none."""
        return max((worker.assignment.revision for worker in self.workers), default=0)

    @property
    def shares(self) -> tuple[Share, ...]:
        """The shares of all workers, each in the place of its number; empty in the places of those that are gone."""
        by_number = {worker.assignment.number: worker.assignment.share for worker in self.workers}
        return tuple(by_number.get(number, NO_SHARE) for number in range(max(by_number, default=-1) + 1))


def begun_grid(status: JobStatus) -> Grid | None:
    """Return the grid of a sink that was begun before; None for a new one, or while N isn't known."""
    if status.part_size is None or status.images is None:
        return None
    return Grid(images=status.images, part_size=status.part_size)


def begun_parts(status: JobStatus) -> Parts:
    """Return the parts that were in the sink when the job came to it."""
    grid = begun_grid(status)
    return NONE if grid is None else parts_of_text(status.parts_there or "", of=grid.parts)


def part_size_of(status: JobStatus) -> int | None:
    """Return the images of a part: of the plan that was started, or of a sink begun before; None before both."""
    return status.plan.part_size if status.plan and status.plan.revision else status.part_size


def is_full(status: JobStatus, parts_there: Parts) -> bool:
    """Return whether every part is in the sink, so that only its rows are left to be counted."""
    images, part_size = status.images, part_size_of(status)
    if images is None or part_size is None:
        return False
    return not all_parts(Grid(images=images, part_size=part_size).parts) - (parts_there | begun_parts(status))
