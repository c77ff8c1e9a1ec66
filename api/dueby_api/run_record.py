"""What `dueby run` leaves in a run's folder, as values: plan.json, progress.json and summary.json.

Every field may be missing and unknown ones are ignored, since a run may be killed at any moment and a report is made of
what is there. All times are seconds from the run's start, the deadline too; only `startUnixMicros` is a point in time.
"""

from typing import Any

from dueby_api.schema import Spec, field


class Record(Spec, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A part of a run's files."""


class Group(Record, frozen=True, kw_only=True):
    """Devices of one class that do the same."""

    device_class: str = "?"
    engine: str = "?"
    count: int = 0
    mini_batch_size: int = 0
    iterations: int = 0


class Alternatives(Record, frozen=True, kw_only=True):
    """What would be feasible."""

    earliest_deadline_seconds: float | None = None
    largest_images: int | None = None
    extra_gpus: dict[str, int | None] | None = field(default=None, name="extraGPUs")
    possible_confidence: float | None = None


class Plan(Record, frozen=True, kw_only=True):
    """What `dueby plan -o json` prints."""

    feasible: bool = True
    gpus: int | None = None
    lower_bound: int | None = None
    proof: str | None = None
    confidence: float | None = None
    probability: float | None = None
    part_size: int | None = None
    images: int | None = None
    planned: int | None = None
    expected_seconds: float | None = None
    slack_seconds: float | None = None
    groups: tuple[Group, ...] = ()
    alternatives: Alternatives | None = None
    warnings: tuple[str, ...] = ()


class InputTerms(Record, frozen=True, kw_only=True):
    """What reading and decoding an image costs, as sampled by the index step."""

    decode_micros: float | None = None
    get_micros: float | None = None
    bytes_per_image: float | None = None
    bandwidth_bytes_per_second: float | None = None


class Expected(Record, frozen=True, kw_only=True):
    """What the plan says of one worker; `finishSeconds` counts from the run's start."""

    startup_seconds: float | None = None
    warmup_seconds: float | None = None
    step_seconds: float | None = None
    finish_seconds: float | None = None


class PlannedWorker(Record, frozen=True, kw_only=True):
    """One device of a plan."""

    name: str
    device_class: str = "?"
    engine: str = "?"
    mini_batch_size: int = 0
    iterations: int = 0
    share: tuple[int, int] = (0, 0)
    expected: Expected = Expected()


class Revision(Record, frozen=True, kw_only=True):
    """Workers that were started together, and why. The first revision has a whole plan; helpers that a re-plan adds may
    have none, and no finish of their own: they take what is left."""

    at_seconds: float = 0.0
    reason: str = "Started"
    plan: Plan | None = None
    input_terms: InputTerms | None = None
    proof_sentence: str | None = None
    finish_at_confidence_seconds: float | None = None
    workers: tuple[PlannedWorker, ...] = ()

    @property
    def expected_s(self) -> float | None:
        """When all of these workers should be done, in seconds from the run's start."""
        finishes = [w.expected.finish_seconds for w in self.workers if w.expected.finish_seconds is not None]
        if not finishes and self.plan and self.plan.expected_seconds is not None:
            return self.at_seconds + self.plan.expected_seconds
        return max(finishes, default=None)

    @property
    def at_confidence_s(self) -> float | None:
        """When they are done at the job's confidence, in seconds from the run's start."""
        after_s = self.finish_at_confidence_seconds
        return None if after_s is None else self.at_seconds + after_s


class PlanFile(Record, frozen=True, kw_only=True):
    """plan.json."""

    revisions: tuple[Revision, ...] = ()


class WorkerProgress(Record, frozen=True, kw_only=True):
    """What one worker did; times in microseconds are durations."""

    revision: int | None = None
    device_class: str = "?"
    engine: str = "?"
    mini_batch_size: int = 0
    states: tuple[tuple[float, str], ...] = ()
    samples: tuple[tuple[float, float], ...] = ()
    step_micros: float | None = None
    warmup_micros: float | None = None
    startup_micros: float | None = None
    parts_committed: int | None = None
    parity: dict[str, Any] | None = None


class ProgressFile(Record, frozen=True, kw_only=True):
    """progress.json."""

    start_unix_micros: int | None = None
    deadline_seconds: float | None = None
    samples: tuple[tuple[float, float, float], ...] = ()
    workers: dict[str, WorkerProgress] = field(default_factory=dict)


class Replan(Record, frozen=True, kw_only=True):
    """A change of plan."""

    at_seconds: float = 0.0
    reason: str = "?"
    before: int | None = field(default=None, name="from")
    after: int | None = field(default=None, name="to")
    message: str | None = None


class Summary(Record, frozen=True, kw_only=True):
    """summary.json: the end of a run."""

    job: str | None = None
    images: int | None = None
    images_done: int | None = None
    images_failed: int | None = None
    start_unix_micros: int | None = None
    deadline_seconds: float | None = None
    expected_seconds: float | None = None
    finish_at_confidence_seconds: float | None = None
    actual_seconds: float | None = None
    in_time: bool | None = None
    verdict: str | None = None
    confidence: float | None = None
    probability: float | None = None
    gpus: int | None = None
    replans: tuple[Replan, ...] = ()
    model: dict[str, Any] = field(default_factory=dict)
    weights_warning: str | None = None
    labels: int | None = None
    software: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
