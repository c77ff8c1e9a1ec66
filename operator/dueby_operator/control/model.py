"""What the control loop sees of a job, and what it may do about it: frozen data between gather, decide and apply.

Both backends fill the same view: the local one from processes, the cluster's from Jobs and pods.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dueby_api.gpu_profile import GPUProfile
from dueby_api.grid import Share
from dueby_api.inference_job import JobSpec
from dueby_api.input_cost import FREE, InputCost
from dueby_api.step_messages import WorkerProgress
from dueby_planner.deadline_classes import Verdict
from dueby_planner.model.capacity import DeviceChoice
from dueby_planner.replan import FRESH, LagMemory

WorkerState = Literal["queued", "starting", "running", "done", "lost", "stopped"]
GONE: frozenset[WorkerState] = frozenset({"done", "lost", "stopped"})
Reason = Literal["Started", "Resumed", "WorkerLost", "Lagging", "Edited", "Admitted", "Ahead"]


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What one worker is started with; it departs from none of it."""

    worker: str
    """Name, unique within the job."""
    revision: int
    """Revision of the plan that it belongs to."""
    device_class: str
    choice: DeviceChoice
    """Engine and mini-batch size, with the times that were planned."""
    iterations: int
    """t: mini-batches planned after the first."""
    share: Share
    """Its parts; empty for a helper, which takes from the tails of the others at once."""


@dataclass(frozen=True, kw_only=True)
class WorkerView:
    """A worker as it was last seen."""

    assignment: Assignment
    state: WorkerState
    created_us: int
    """When it was started, in microseconds since 1970."""
    open_images: int = 0
    """Images classified in parts that it hasn't committed yet."""
    step_us: int | None = None
    """Mean of its recent steady steps; None while there were none."""
    last_step_us: int | None = None
    """When its last mini-batch was done, in microseconds since 1970."""


def worker_view(
    assignment: Assignment, state: WorkerState, *, created_us: int, progress: WorkerProgress, part_size: int
) -> WorkerView:
    """Return a worker by its last progress; the default progress where it has reported none yet."""
    committed = progress.parts_committed * part_size
    return WorkerView(
        assignment=assignment,
        state=state,
        created_us=created_us,
        open_images=max(0, progress.images_done - committed),
        step_us=progress.step_us,
        last_step_us=None if progress.last_batch_at is None else round(progress.last_batch_at * 1e6),
    )


@dataclass(frozen=True, kw_only=True)
class JobView:
    """A job, its pool and its workers at one moment."""

    spec: JobSpec
    now_us: int
    deadline_us: int
    """In microseconds since 1970, like now_us."""
    promised_us: int | None = None
    """The finish that the last plan said to expect; None after an edit: whatever is in time will do."""
    images: int
    """N, as it was indexed."""
    cost: InputCost = FREE
    profiles: tuple[GPUProfile, ...]
    counts: Mapping[str, int]
    """Devices that there are of each class, busy with this job's workers or free."""
    most: int | None = None
    """Workers that there may be in all; None where `gpus.max` alone says so."""
    is_one_class: bool = False
    """Whether all workers must have devices of one class, as in a queue that admits a Job whole."""
    cpus: int = 1
    """Cores of a GPU worker."""
    part_size: int | None = None
    """P, once a plan has frozen it."""
    parts_there: frozenset[int] = frozenset()
    """Parts that are in the sink."""
    revision: int = 0
    """Revisions of the plan so far; 0 before the first."""
    workers: tuple[WorkerView, ...] = ()
    """All that were ever started in this run."""
    news: Literal["WorkerLost", "Edited", "Admitted"] | None = None
    """What has happened since the last decision."""
    memory: LagMemory = FRESH


@dataclass(frozen=True, kw_only=True)
class Start:
    """Start these workers, beside those that are there."""

    assignments: tuple[Assignment, ...]
    part_size: int
    reason: Reason
    verdict: Verdict | None = None
    """The verdict of the plan, where it is a whole plan and not an addition."""


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Stop these workers; others take over what they leave."""

    workers: tuple[str, ...]
    reason: Reason


@dataclass(frozen=True, kw_only=True)
class Refuse:
    """Start nothing: the deadline can't be met, and the class says not to try."""

    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class Finish:
    """No more to do: end the workers that are left and close the sink."""

    complete: bool
    """Whether every part is there."""


Action = Start | Stop | Refuse | Finish


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do now, and what to remember."""

    actions: tuple[Action, ...] = ()
    memory: LagMemory = FRESH
    is_short: bool = False
    """Whether the deadline is out of reach with all that may be used."""
    expected_finish_us: int | None = None
    """When the workers will have done what is left, in microseconds since 1970; None while there are none."""
