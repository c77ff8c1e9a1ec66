"""What `dueby run` leaves in a run's folder: plan.json, progress.json and summary.json.

The run writes these types and the report reads them. Every field has a default and unknown fields are ignored, since a
run may be killed at any moment, or have been made by another version: a report is made of what is there. All times are
seconds from the run's start, the deadline too; only `startUnixMicros` is a point in time.
"""

from typing import Annotated, Any, Literal

from dueby_api.calendar import PlannedWindow
from dueby_api.curve import CurveAnswer
from dueby_api.inference_job import Model
from dueby_api.input_cost import InputCost
from dueby_api.plan import PlanAnswer, PlannedWorker
from dueby_api.schema import LenientSpec, Meta, field
from dueby_api.start_parts import StartParts
from dueby_api.step_messages import ParityCheck

RunVerdict = Literal["Succeeded", "Late", "Failed", "Interrupted"]


class Revision(LenientSpec, frozen=True, kw_only=True):
    """Workers that were started together, and why.

    The first revision has a whole plan. Helpers that a re-plan adds may have none, and no finish of their own: they
    take what is left. Where other jobs have the devices before or after, the plan is one by windows.
    """

    at_seconds: float = 0.0
    """When they were started."""
    reason: str = "Started"
    """Why they were started."""
    plan: PlanAnswer | None = None
    """The plan; absent for helpers, and for a plan by windows."""
    windows: tuple[PlannedWindow, ...] = ()
    """The plan by windows: those of these workers, and those reserved for later; from these workers' start."""
    input_cost: InputCost | None = None
    """What reading and decoding an image costs, as planned."""
    proof_sentence: str | None = None
    """Why no fewer devices can do it."""
    finish_at_confidence_seconds: float | None = None
    """When these workers are done at the job's confidence, counted from their start."""
    workers: tuple[PlannedWorker, ...] = ()
    """The workers."""

    def finish_s(self, worker: PlannedWorker) -> float | None:
        """Return when the plan expects the worker to be done, from the run's start; None for a helper."""
        return None if self.plan is None else self.at_seconds + worker.busy_s

    @property
    def expected_s(self) -> float | None:
        """When all of these workers should be done, in seconds from the run's start."""
        finishes = [finish for worker in self.workers if (finish := self.finish_s(worker)) is not None]
        if not finishes and self.plan and self.plan.expected_seconds is not None:
            return self.at_seconds + self.plan.expected_seconds
        return max(finishes, default=None)

    @property
    def at_confidence_s(self) -> float | None:
        """When they are done at the job's confidence, in seconds from the run's start."""
        after_s = self.finish_at_confidence_seconds
        return None if after_s is None else self.at_seconds + after_s


class PlanFile(LenientSpec, frozen=True, kw_only=True):
    """plan.json."""

    revisions: tuple[Revision, ...] = ()
    """All that were started, in order."""


class WorkerRecord(LenientSpec, frozen=True, kw_only=True):
    """What one worker did. Times in microseconds are durations."""

    revision: int | None = None
    """Revision of the plan that started it."""
    device_class: str = "?"
    """Device class."""
    engine: str = "?"
    """Engine."""
    mini_batch_size: int = 0
    """Images in a mini-batch."""
    states: tuple[tuple[float, str], ...] = ()
    """When it came into which state."""
    samples: tuple[tuple[float, float], ...] = ()
    """How many images it had done when."""
    step_us: float | None = field(default=None, name="stepMicros")
    """Mean of its recent steady mini-batches."""
    warmup_us: float | None = field(default=None, name="warmupMicros")
    """Its first mini-batch."""
    startup_us: float | None = field(default=None, name="startupMicros")
    """From the process's creation to its first mini-batch, without its wait for the plan."""
    start_parts: StartParts = field(default_factory=dict)
    """What that consists of."""
    parts_committed: int | None = None
    """Parts that it put into the sink."""
    parity: ParityCheck | None = None
    """How far its engine's first results are from plain PyTorch's."""


class ProgressFile(LenientSpec, frozen=True, kw_only=True):
    """progress.json."""

    start_unix_micros: int | None = None
    """The run's start, in microseconds since 1970."""
    deadline_seconds: float | None = None
    """The deadline."""
    samples: tuple[tuple[float, float, float], ...] = ()
    """How many images were done, and how many of them failed, when."""
    workers: dict[str, WorkerRecord] = field(default_factory=dict)
    """By the worker's name."""


class ReplanRecord(LenientSpec, frozen=True, kw_only=True):
    """A change of the number of workers after the start."""

    at_seconds: float = 0.0
    """When it was made."""
    reason: str = "?"
    """Why."""
    before: int | None = field(default=None, name="from")
    """Workers before it."""
    after: int | None = field(default=None, name="to")
    """Workers after it."""
    message: str | None = None
    """The same for people."""


class MachineRecord(LenientSpec, frozen=True, kw_only=True):
    """The machine that the run had."""

    cores: float | None = None
    """Cores that could be used."""
    memory_mib: int | None = field(default=None, name="memoryMiB")
    """Memory that could be used, in MiB."""
    devices: dict[str, int] = field(default_factory=dict)
    """Devices by class."""


class Summary(LenientSpec, frozen=True, kw_only=True):
    """summary.json: the end of a run."""

    job: str | None = None
    """Name of the job."""
    images: int | None = None
    """N."""
    images_done: int | None = None
    """Images that have a row."""
    images_failed: int | None = None
    """Images whose row has an error."""
    images_warned: int | None = None
    """Images whose row has a warning; absent unless every image has a row."""
    unlisted: str | None = None
    """Files in the source's folder that are no images by their endings, such as "3 .txt"."""
    start_unix_micros: int | None = None
    """The run's start, in microseconds since 1970."""
    deadline_seconds: float | None = None
    """The deadline."""
    expected_seconds: float | None = None
    """When the first plan expected the end."""
    finish_at_confidence_seconds: float | None = None
    """When the first plan was done at the job's confidence."""
    actual_seconds: float | None = None
    """When the run ended."""
    in_time: bool | None = None
    """Whether it ended by the deadline."""
    verdict: RunVerdict | None = None
    """How it ended."""
    confidence: Annotated[float, Meta(ge=0, le=1)] | None = None
    """The job's confidence."""
    probability: Annotated[float, Meta(ge=0, le=1)] | None = None
    """Probability with which the plan was to meet the deadline."""
    gpus: int | None = None
    """Devices of the plan; if the run made no plan, the workers that it started."""
    replans: tuple[ReplanRecord, ...] = ()
    """Changes of the number of workers."""
    model: Model | None = None
    """The job's model."""
    weights_warning: str | None = None
    """What is wrong with the weights, if they are random."""
    input_wait: Annotated[float, Meta(ge=0, le=1)] | None = None
    """Share of the workers' time, since each one's warm-up, in which they waited for images."""
    observed_requests_per_second: Annotated[float, Meta(ge=0)] | None = None
    """Requests a second that the images' store gave all workers together when it refused more."""
    software: dict[str, Any] = field(default_factory=dict)
    """Versions of what ran."""
    machine: MachineRecord | None = None
    """The machine."""
    cost: str | None = None
    """What its workers did cost, such as 12.34 USD; absent without prices."""
    curve: CurveAnswer | None = None
    """What the job would have taken by other deadlines, when its first plan was made; absent of a run that was
    interrupted, and of a plan by windows."""
    warnings: tuple[str, ...] = ()
    """What made the plan less sure than it looked."""
