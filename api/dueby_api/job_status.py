"""What the operator writes into a resource's status: for `kubectl get`, for people, and to start again from.

Times are RFC 3339 in UTC. The names are the resource's own; the CRDs are made from these classes too.
"""

from typing import Annotated, Any, Literal

from dueby_api.schema import Meta, Spec, field

Phase = Literal[
    "Pending",
    "Indexing",
    "Profiling",
    "Planning",
    "Queued",
    "Starting",
    "Running",
    "Finishing",
    "Succeeded",
    "Failed",
]
Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


class Condition(Spec, frozen=True, kw_only=True):
    """One thing that is true of the object, or isn't, and since when."""

    type: Annotated[str, Meta(max_length=64)]
    """Indexed, Profiled, Feasible, Admitted, OnTrack, Complete, DeadlineMet or Failed; of a profile Current."""
    status: Literal["True", "False", "Unknown"]
    """True, False or Unknown."""
    reason: Annotated[str, Meta(max_length=64)]
    """Why, in one word for programs."""
    message: Annotated[str, Meta(max_length=4096)] = ""
    """Why, in a sentence that says what to do."""
    last_transition_time: Moment
    """Since when the status is what it is."""
    observed_generation: int | None = None
    """The generation of the object that this was said about."""


class PlannedGroup(Spec, frozen=True, kw_only=True):
    """Devices of one class that do the same."""

    device_class: str
    """Their class."""
    engine: str
    """What runs the model on them."""
    count: int
    """How many."""
    mini_batch_size: int
    """Images in a mini-batch."""
    iterations: int
    """Mini-batches of each after its first."""
    profile: str | None = None
    """The GPUProfile that this was planned with."""
    interpolated: bool = False
    """Whether the mini-batch size lies between measured ones; the plan's warnings say what its times come from."""


class PlanStatus(Spec, frozen=True, kw_only=True):
    """Who does what, and why no fewer can."""

    revision: int
    """1 for the first plan, one more for each addition to it."""
    gpus: int
    """Devices planned."""
    lower_bound: int
    """No fewer can do it, for the measured sizes, this confidence and this pool."""
    proof: str
    """ClosedForm+CBC where both agree, or the one that had an answer."""
    proof_sentence: str = ""
    """Why no fewer can, in a sentence."""
    confidence: float
    """Probability with which the deadline is to be met."""
    probability: float
    """Probability with which it will be, by the plan."""
    part_size: int
    """Images in a part."""
    solve_micros: int
    """What finding, proving and verifying the plan took."""
    expected_finish: Moment
    """When to expect the end."""
    finish_at_confidence: Moment
    """When it is over at the job's confidence."""
    slack: str
    """The deadline less the finish at the job's confidence."""
    warnings: tuple[str, ...] = ()
    """What makes the plan less sure than it looks."""
    groups: tuple[PlannedGroup, ...] = ()
    """The devices."""


class AlternativesStatus(Spec, frozen=True, kw_only=True):
    """What would do where the deadline can't be met."""

    earliest_deadline: Moment | None = None
    """The earliest deadline that can be met; absent: none with these devices."""
    largest_images: int | None = None
    """The most images that can be done by the deadline."""
    extra_gpus: dict[str, int] | None = field(default=None, name="extraGPUs")
    """How many more of each class alone would do; a class of which no number does is left out."""
    possible_confidence: float | None = None
    """The confidence with which the deadline can be met."""


class ProgressStatus(Spec, frozen=True, kw_only=True):
    """How far the job is."""

    images: str
    """Done of all, for people: 412k/1M."""
    images_done: int
    """Images that have a row."""
    images_failed: int = 0
    """Images whose row has an error."""
    images_per_second: int = 0
    """Of all workers together."""
    expected_finish: Moment | None = None
    """When to expect the end, by what was seen."""
    slack: str | None = None
    """The deadline less the expected finish."""


class Replan(Spec, frozen=True, kw_only=True):
    """A change of the number of workers after the start."""

    time: Moment
    """When."""
    reason: str
    """Why."""
    before: int = field(name="from")
    """Workers before it."""
    after: int = field(name="to")
    """Workers after it."""


class JobStatus(Spec, frozen=True, kw_only=True):
    """What the operator has seen and decided."""

    observed_generation: int | None = None
    """The generation of the spec that all of this is about."""
    phase: Phase = "Pending"
    """Where the job is, for people: made from the conditions."""
    accepted_time: Moment | None = None
    """When the clock of `deadline` began: the object's creation."""
    deadline_time: Moment | None = None
    """T as a time."""
    images: int | None = None
    """N, as the index step counted it."""
    fingerprint: str | None = None
    """What the results depend on: index, weights, model, image size, precision."""
    input_cost: dict[str, Any] | None = None
    """What reading and decoding an image costs, as the index step sampled it."""
    conditions: Annotated[tuple[Condition, ...], Meta(max_length=16)] = ()
    """What is true of the job."""
    plan: PlanStatus | None = None
    """The plan that is being carried out."""
    alternatives: AlternativesStatus | None = None
    """What would do, where the deadline can't be met."""
    progress: ProgressStatus | None = None
    """How far it is."""
    replans: Annotated[tuple[Replan, ...], Meta(max_length=20)] = ()
    """The last 20 changes."""
    message: str | None = None
    """The state in a sentence, for `kubectl get -o wide`."""


class ProfileStatus(Spec, frozen=True, kw_only=True):
    """What the operator has seen of a profile."""

    images_per_second: int | None = None
    """Of one device at its best measured size."""
    conditions: Annotated[tuple[Condition, ...], Meta(max_length=16)] = ()
    """What is true of the profile: whether it is Current, which is what one would measure now."""
