"""What the operator writes into an InferenceJob's status: for `kubectl get`, for people, and to start again from.

Times are RFC 3339 in UTC. The CRDs are made from these classes, and the operator reads and writes with them. Fields
that another version of the operator wrote are ignored.
"""

from typing import Annotated, Literal, TypeVar

from dueby_api.agreement import Agreement
from dueby_api.conditions import ConditionType, Reason, Truth
from dueby_api.input_cost import InputCost
from dueby_api.objectives import ObjectiveName
from dueby_api.parts import PartsText
from dueby_api.plan import CostByCause, PlannedGroup, PlannedStore
from dueby_api.schema import LenientSpec, Meta, Raw, decode_readable, field
from dueby_api.units import parse_time_us

Phase = Literal[
    "Pending",
    "Indexing",
    "Profiling",
    "Planning",
    "Queued",
    "Scheduled",
    "Starting",
    "Running",
    "Finishing",
    "Succeeded",
    "Failed",
]
Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
# Of a condition.
MAX_MESSAGE = 4096
# Of a packed profile, which fits into a pod's termination message; and of classes that a job can name.
MAX_PACKED, MAX_OWN_PROFILES = 4096, 64
MAX_CLASSES = 64
# A status is read and written whole, so it keeps the newest ones.
MAX_REPLANS = 20
# Of a job. A Hard job that would need more windows than this waits for longer ones.
MAX_WINDOWS = 256


class Condition(LenientSpec, frozen=True, kw_only=True):
    """One thing that is or is not true of the object, and since when."""

    type: Annotated[str, Meta(max_length=64)]
    """Indexed, Profiled, Feasible, Admitted, OnTrack, DeadlineMet, Complete or Failed; of a profile Current."""
    status: Truth
    """True, False or Unknown."""
    reason: Annotated[str, Meta(max_length=64)]
    """Why, in one word for programs."""
    message: Annotated[str, Meta(max_length=MAX_MESSAGE)] = ""
    """Why, in a sentence that says what to do."""
    last_transition_time: Moment
    """When the status last changed."""
    observed_generation: int | None = None
    """The generation of the object that this is about."""


class WindowStatus(LenientSpec, frozen=True, kw_only=True):
    """Devices that are reserved for a job from one time to another."""

    device_class: str
    """Device class."""
    engine: str
    """Engine that runs the model on them."""
    from_time: Moment = field(name="from")
    """When their workers are started."""
    to_time: Moment = field(name="to")
    """When they are free again."""
    count: Annotated[int, Meta(ge=1)]
    """Number of devices."""
    mini_batch_size: Annotated[int, Meta(ge=1)]
    """Images in a mini-batch."""
    images: Annotated[int, Meta(ge=0)]
    """What these devices do together, at the job's confidence."""
    announced: bool | None = None
    """True if the devices are on no node yet: they are announced for this time. Otherwise absent."""
    pool: Annotated[str, Meta(max_length=63)] | None = None
    """The pool that is asked for nodes with the devices, when the workers are started; absent: they are there."""
    spot: bool | None = None
    """True if the devices may be taken away at any time. Otherwise absent."""


class HeldStatus(LenientSpec, frozen=True, kw_only=True):
    """Devices that workers of a job have now."""

    device_class: str
    """Device class."""
    count: Annotated[int, Meta(ge=1)]
    """Number of devices."""
    to_time: Moment | None = field(default=None, name="to")
    """When they are meant for others; absent: they may be kept to the job's end."""
    pool: Annotated[str, Meta(max_length=63)] | None = None
    """The pool whose nodes their workers wait for; absent: they are there."""


class PlanStatus(LenientSpec, frozen=True, kw_only=True):
    """Which devices do what, and why no fewer can."""

    revision: int
    """0 while nothing has been started, 1 for the first plan, one more for each addition to it."""
    objective: ObjectiveName | None = None
    """What it was made for; absent of plans that an earlier release made."""
    gpus: int
    """Devices planned, at most at once."""
    lower_bound: int
    """No fewer devices can do it, for the measured sizes, this confidence and this pool."""
    proof: str
    """ClosedForm+CBC if both agree, or the one that had an answer. Calendar if planned together with other jobs."""
    proof_sentence: str = ""
    """Why no fewer can, in a sentence."""
    confidence: float
    """Probability with which the deadline is to be met."""
    probability: float
    """Probability with which the plan meets it."""
    part_size: int
    """Images in a part."""
    solve_micros: int | None = None
    """Microseconds that finding, proving and verifying the plan took. Absent if planned together with other jobs."""
    expected_finish: Moment
    """When to expect the end."""
    finish_at_confidence: Moment
    """When the job is done at its confidence."""
    slack: str
    """The deadline less the finish at the job's confidence."""
    warnings: tuple[str, ...] = ()
    """What makes the plan less sure than it looks."""
    groups: tuple[PlannedGroup, ...] = ()
    """The devices."""
    store: PlannedStore | None = None
    """What the source's store gives them together; absent if nothing is known to limit it."""
    cost: CostByCause | None = None
    """What the plan is expected to cost; absent without prices, or if the price of a class isn't known."""
    windows: Annotated[tuple[WindowStatus, ...], Meta(max_length=MAX_WINDOWS)] = ()
    """What is reserved for the job and has not begun, by time. The operator has no other calendar than these."""


class AlternativesStatus(LenientSpec, frozen=True, kw_only=True):
    """What could be asked for instead of a deadline that can't be met."""

    earliest_deadline: Moment | None = None
    """The earliest deadline that can be met; absent: none with these devices."""
    largest_images: int | None = None
    """The most images that can be done by the deadline."""
    extra_gpus: dict[str, int] | None = field(default=None, name="extraGPUs")
    """How many more devices of each class alone would be enough. Classes of which no number is enough are omitted."""
    possible_confidence: float | None = None
    """The confidence with which the deadline can be met."""
    worker_cores: int | None = None
    """Cores that each GPU's worker would need to decode with; absent: more cores would not be enough."""
    store_images_per_second: float | None = None
    """Images a second that the source's store would have to give; absent: a faster store would not be enough."""
    max_cost: str | None = None
    """The least spec.maxCost that would be enough; absent: money is not the reason."""
    cost_bound: str | None = None
    """What every plan that meets the deadline costs at least, where money is the reason."""


class ProgressStatus(LenientSpec, frozen=True, kw_only=True):
    """How far the job is."""

    images: str
    """Images done of all images, for people: 412k/1M."""
    images_done: int
    """Images that have a row."""
    images_failed: int = 0
    """Images whose row has an error."""
    images_per_second: int = 0
    """Rate of all workers together."""
    expected_finish: Moment | None = None
    """When to expect the end, by what the workers have reported."""
    slack: str | None = None
    """The deadline less the expected finish."""


class ObservedStore(LenientSpec, frozen=True, kw_only=True):
    """What the workers of a namespace got of a store together when it refused those of this job more."""

    store: Annotated[str, Meta(max_length=2048)]
    """The bucket or host, such as s3://photos."""
    requests_per_second: Annotated[float, Meta(ge=0, le=10**12)]
    """Requests a second."""
    workers: Annotated[int, Meta(ge=1)]
    """How many they were, those of other jobs included."""
    time: Moment
    """When that was last seen."""

    def __post_init__(self) -> None:
        # It is read for other jobs, too, whose pass it must not end.
        parse_time_us(self.time)


class Replan(LenientSpec, frozen=True, kw_only=True):
    """A change of the number of workers after the start."""

    time: Moment
    """When it was made."""
    reason: str
    """WorkerLost, Lagging, Edited, Admitted, Ahead, WindowBegins, SpotCame, GaveWay or NodeDrains; Resumed where an
    earlier run is gone on with."""
    before: int = field(name="from")
    """Workers before it."""
    after: int = field(name="to")
    """Workers after it."""
    images_in_sink: int | None = None
    """Images of the parts that were in the sink then."""


class DevicesSince(LenientSpec, frozen=True, kw_only=True):
    """Devices that a job's workers have, and that are paid for since the same time."""

    device_class: str
    """Device class."""
    count: Annotated[int, Meta(ge=1)]
    """Number of devices."""
    since: Moment
    """When their workers were created."""

    def __post_init__(self) -> None:
        # It is read for the namespace's bill, too, which it must not end.
        parse_time_us(self.since)


class SpentStatus(LenientSpec, frozen=True, kw_only=True):
    """What a job's workers did cost."""

    currency: Annotated[str, Meta(max_length=12)]
    """The currency."""
    micro_units: Annotated[int, Meta(ge=0, le=10**18)] = 0
    """What the devices did cost that were given back, in millionths of the currency's unit."""
    device_seconds: Annotated[dict[str, float], Meta(max_length=MAX_CLASSES)] = field(default_factory=dict)
    """For how many device-seconds these were held, by class."""
    unpriced: Annotated[tuple[str, ...], Meta(max_length=MAX_CLASSES)] = ()
    """Classes among them whose price wasn't known. They are not in the cost."""
    held: Annotated[tuple[DevicesSince, ...], Meta(max_length=MAX_WINDOWS)] = ()
    """The devices that its workers have."""


class JobStatus(LenientSpec, frozen=True, kw_only=True):
    """What the operator has seen and decided."""

    observed_generation: int | None = None
    """The generation of the spec that this status is about."""
    phase: Phase = "Pending"
    """Where the job is, for people. It follows from the conditions."""
    accepted_time: Moment | None = None
    """When the clock of `deadline` began: the object's creation."""
    deadline_time: Moment | None = None
    """T as a time."""
    images: int | None = None
    """N, as the index step counted it."""
    gpus: int | None = None
    """Devices that its workers have now; absent if it has no workers."""
    held: Annotated[tuple[HeldStatus, ...], Meta(max_length=MAX_WINDOWS)] = ()
    """These devices by class, and until when."""
    starts: Moment | None = None
    """When its first workers are to start, or did."""
    workers_seen: Moment | None = None
    """When workers of the job were first seen; absent if it never had any. From then on it goes on, however late."""
    workers_made: Annotated[int, Meta(ge=0)] | None = None
    """Workers that were started so far, numbered from w0. What claims to be another worker isn't believed."""
    cost: str | None = None
    """What the job is expected to cost, such as 12.34 USD; of a job that is over, what it did cost. Absent without
    prices."""
    spent: SpentStatus | None = None
    """What its workers did cost so far; absent without prices, or before it had any."""
    ends: Moment | None = None
    """When to expect the end; of a job that is over, when that was."""
    fingerprint: str | None = None
    """What the results depend on: index, weights, model, image size, precision."""
    input_cost: InputCost | None = None
    """What reading and decoding an image costs, as the index step sampled it."""
    agreement: Agreement | None = None
    """How far the job's int8 network is from fp32, as the index step measured it on the job's images; absent at other
    precisions, and where it was not measured."""
    part_size: int | None = None
    """Images in a part of a sink that was begun before, by another job or run; absent for a new one."""
    parts_there: PartsText | None = None
    """Parts that were in that sink when the job came to it, such as 0-11,40; of very many runs the longest."""
    conditions: Annotated[tuple[Condition, ...], Meta(max_length=16)] = ()
    """What is true of the job."""
    own_profiles: Annotated[
        tuple[Annotated[str, Meta(max_length=MAX_PACKED)], ...], Meta(max_length=MAX_OWN_PROFILES)
    ] = ()
    """Profiles that were measured for this job alone, since it has an image or variables of its own; packed."""
    plan: PlanStatus | None = None
    """The plan that is being carried out."""
    alternatives: AlternativesStatus | None = None
    """What could be asked for instead, where the deadline can't be met."""
    mini_batch_limits: Annotated[dict[str, int], Meta(max_length=MAX_CLASSES)] | None = None
    """By device class, the largest mini-batch that workers of it are planned with since larger ones were OOMKilled. An
    edit of the job lifts them."""
    progress: ProgressStatus | None = None
    """How far the job is."""
    observed_store: ObservedStore | None = None
    """What the images' store gave the workers when it refused more; absent if it never has. The job is planned by it,
    and so are later ones of the namespace that read from there."""
    replans: Annotated[tuple[Replan, ...], Meta(max_length=MAX_REPLANS)] = ()
    """The last 20 changes of the number of workers."""
    message: str | None = None
    """The state in a sentence, for `kubectl get -o wide`."""


def is_asked_again(status: JobStatus, generation: int) -> bool:
    """Return whether the job was refused and has been edited since, so that it is decided on once more."""
    refused = (ConditionType.FAILED, Reason.INFEASIBLE.status, Reason.INFEASIBLE.word)
    return any(
        (condition.type, condition.status, condition.reason) == refused
        and condition.observed_generation is not None
        and condition.observed_generation < generation
        for condition in status.conditions
    )


class ProfileStatus(LenientSpec, frozen=True, kw_only=True):
    """What the operator has seen of a profile."""

    images_per_second: int | None = None
    """Rate of one device at its best measured mini-batch size."""
    devices: Annotated[int, Meta(ge=0)] | None = None
    """Devices of the class that the cluster's nodes have; absent in the profile of one node's device."""
    conditions: Annotated[tuple[Condition, ...], Meta(max_length=16)] = ()
    """What is true of the profile: whether it is Current, that is, whether one would measure the same now."""


Status = TypeVar("Status", JobStatus, ProfileStatus)


def read_status(kind: type[Status], text: Raw) -> Status:
    """Return what can be read of a resource's status as it is stored, as JSON. Raise Invalid if it is no status.

    A field that another version of the operator has written in another way, such as a phase that this one doesn't know,
    is as if it were absent.
    """
    return kind() if bytes(text) == b"null" else decode_readable(kind, text)
