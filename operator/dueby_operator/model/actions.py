"""What a decision does about a job, whichever backend carries it out.

In a cluster an action becomes Jobs and ConfigMaps (control/render.py), on one machine processes (dueby/local).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from dueby_api.grid import Share
from dueby_planner.deadline_classes import Verdict
from dueby_planner.schedule.job import Assignment, StartReason

StepName = Literal["index", "finish"]
# Jobs of one job that are stopped in one pass, which waits for each of them. Anybody may make thousands for a job of
# theirs; the others are stopped in the passes after it.
MAX_STOPPED = 100


@dataclass(frozen=True, kw_only=True)
class StartStep:
    """Start a step that there is once for a job, in the place of its Job if there is one."""

    step: StepName


@dataclass(frozen=True, kw_only=True)
class StartWorkers:
    """Start these workers, beside those that are there."""

    assignments: tuple[Assignment, ...]
    before: tuple[Share, ...] = ()
    """The shares of all workers that were started before, by their numbers."""
    revision: int
    """A number that no revision of this job has had, not even of workers that are gone."""
    images: int
    """N."""
    part_size: int
    fingerprint: str | None
    """None without an index step: the first worker's decides."""
    reason: StartReason
    verdict: Verdict | None = None
    """The verdict of the plan, if it is a whole plan and not an addition."""
    nodes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By device class, the nodes that the plan counts on, if there are others that the job could use."""


@dataclass(frozen=True, kw_only=True)
class AskForNodes:
    """Ask for the nodes that the workers of these Jobs wait for, by an object of each Job's name."""

    jobs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class LetStart:
    """Have these Jobs begin, whose workers have awaited nodes, and ask for none by other objects any more."""

    jobs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class StopWorkers:
    """Stop these workers. Others take over what they leave; where one hangs, the backend may start it again."""

    workers: tuple[str, ...]
    reason: StartReason


@dataclass(frozen=True, kw_only=True)
class StopEverything:
    """Stop every worker, and all measuring for the job: in a cluster MAX_STOPPED of their Jobs."""


@dataclass(frozen=True, kw_only=True)
class MeasureClass:
    """Measure the job's model on a free device of this class."""

    device_class: str
    for_everybody: bool = False
    """Whether it is measured in the operator's namespace, so that all jobs may use it."""
    in_place_of: str = ""
    """The uid of the Job that has done so before, if what it has measured was lost."""
    attempt: int = 1


@dataclass(frozen=True, kw_only=True)
class StopMeasuring:
    """Stop these Jobs that measure for the job, MAX_STOPPED of them."""

    jobs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class StopJobs:
    """Stop these Jobs, of steps or workers, of which nothing will come; each stays until its pods are gone."""

    jobs: tuple[str, ...]


WorkersAction = StartWorkers | AskForNodes | LetStart | StopWorkers
Action = StartStep | WorkersAction | StopEverything | StopJobs | MeasureClass | StopMeasuring
# Those by which something is made.
MAKING = (StartStep, StartWorkers, AskForNodes, LetStart, MeasureClass)
