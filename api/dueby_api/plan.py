"""A plan as documents spell it: in status.plan, in `dueby plan -o json`, and in the record of a run.

Inside the program a plan is dueby_planner.model.plan.Plan, and a started worker an Assignment of the operator's control
package. They are turned into these types in dueby_planner/answer.py and dueby_operator/model/assignments.py, and
nowhere else.
"""

from collections.abc import Iterable
from typing import Annotated, Any

from dueby_api.engines import EngineName
from dueby_api.schema import LenientSpec, Meta, field, validate
from dueby_api.units import MICROS_PER_SECOND

Micros = Annotated[int, Meta(ge=0, le=10**15)]
Count = Annotated[int, Meta(ge=0, le=10**12)]


class PlannedGroup(LenientSpec, frozen=True, kw_only=True):
    """Devices of one class that do the same."""

    device_class: str
    """Device class."""
    engine: str
    """Engine that runs the model on them."""
    count: int
    """Number of devices."""
    mini_batch_size: int
    """Images in a mini-batch."""
    iterations: int
    """Mini-batches of each device after its first."""
    profile: str | None = None
    """GPUProfile that this was planned with."""
    interpolated: bool | None = None
    """True if the mini-batch size lies between measured ones; the plan's warnings say where its times come from."""
    paced: bool | None = None
    """True if the devices are planned more slowly than they could run, since the store gives no more."""
    cores: int | None = None
    """Cores of each worker beside its GPU, to decode with; absent of CPU slices, and where decoding takes nothing."""


class PlannedStore(LenientSpec, frozen=True, kw_only=True):
    """What the source's store gives all devices of a job together."""

    name: Annotated[str, Meta(max_length=2048)]
    """What limits it: the store's prefix, or spec.source.limits."""
    images_per_second: Annotated[float, Meta(ge=0, le=10**15)]
    """Images a second that it gives."""
    planned_images_per_second: Annotated[float, Meta(ge=0, le=10**15)] | None = None
    """Images a second that the planned devices take together; absent of a plan by windows."""
    least_seconds: Annotated[float, Meta(ge=0, le=10**15)]
    """No number of devices does the images in less time: they are all that the store gives in it."""


class CostOfOthers(LenientSpec, frozen=True, kw_only=True):
    """What the job would cost on other devices than the plan's."""

    device_class: str | None = None
    """The only device class; null: all classes."""
    gpus: int
    """Devices."""
    total: float
    """Cost, in units of the plan's currency."""
    expected_seconds: float
    """When to expect the end."""


class CostByCause(LenientSpec, frozen=True, kw_only=True):
    """What a plan is expected to cost, in units of a currency: in all, and by what causes it."""

    currency: str
    """The currency."""
    total: float
    """All of it."""
    start_up: float
    """Until the devices are warm."""
    work: float
    """The steady mini-batches, as long as the model takes."""
    waiting: float
    """Steps that are longer because images have to come first."""
    idle: float
    """From a device's last mini-batch to the plan's end."""
    rounding: float
    """What is paid for beyond the time that devices are held: begun units, and the least time."""
    lower_bound: float | None = None
    """No plan in time costs less on the devices that it was made for; absent where cost is not the objective."""


class PlannedCost(CostByCause, frozen=True, kw_only=True):
    """The same beside what other plans would cost."""

    cheapest_class: CostOfOthers | None = None
    """The class that does it alone for least; null if none can."""
    all_devices: CostOfOthers | None = None
    """All devices that the job may have; null if a price isn't known."""


class PlannedWorker(LenientSpec, frozen=True, kw_only=True):
    """One device's worker of a plan, with the times that it was planned with."""

    worker: str
    """Name, unique within the job."""
    revision: Count
    """Revision of the plan that it belongs to."""
    device_class: str
    """Device class that it has one device of."""
    engine: EngineName
    """Engine."""
    mini_batch_size: Annotated[int, Meta(ge=1, le=10**6)]
    """Images in a mini-batch."""
    iterations: Count
    """Mini-batches after the first."""
    share: tuple[Count, Count]
    """First part of its share, and the part after its last; both 0 for a helper that takes parts from others."""
    profile: str
    """GPUProfile that it was planned with."""
    latency_us: Micros = field(name="latencyMicros")
    """L with the job's input cost: what a steady mini-batch is expected to take."""
    start_us: Micros = field(name="startMicros")
    """S + W at the job's confidence."""
    expected_start_us: Micros = field(name="expectedStartMicros")
    """S + W as expected."""
    expected_warmup_us: Micros = field(name="expectedWarmupMicros")
    """The W in it."""
    step_ratio: Annotated[float, Meta(gt=0, le=10**12)] = 1.0
    """What the measured L was multiplied with, by what other jobs have shown and for what the store gives."""
    until_us: Annotated[int, Meta(ge=0, le=10**17)] | None = field(default=None, name="untilMicros")
    """When its device is meant for others, in microseconds since 1970; absent: it may be kept to the end."""
    pool: Annotated[str, Meta(max_length=63)] | None = None
    """The pool of nodes that it asks for one; absent: it has its device of a node that is there."""
    provision_us: Micros | None = field(default=None, name="provisionMicros")
    """How long that takes in 19 of 20 cases. It is part of the start; absent: there is nothing to wait for."""
    expected_provision_us: Micros | None = field(default=None, name="expectedProvisionMicros")
    """How long it takes as expected; absent: as long as that."""
    spot: bool | None = None
    """Whether it must be on a spot node, or must not; absent: the plan doesn't say."""

    def __post_init__(self) -> None:
        first, end = self.share
        if first > end:
            raise ValueError(f"share: [{first}, {end}] is not a run of parts")

    @property
    def startup_s(self) -> float:
        """S as expected, in seconds, once there is a node."""
        provision_us = self.expected_provision_us or self.provision_us or 0
        return (self.expected_start_us - self.expected_warmup_us - provision_us) / MICROS_PER_SECOND

    @property
    def warmup_s(self) -> float:
        """W as expected, in seconds."""
        return self.expected_warmup_us / MICROS_PER_SECOND

    @property
    def step_s(self) -> float:
        """L, in seconds."""
        return self.latency_us / MICROS_PER_SECOND

    @property
    def busy_s(self) -> float:
        """S + W + t L as expected, in seconds: from its creation to the end of its planned mini-batches."""
        return (self.expected_start_us + self.iterations * self.latency_us) / MICROS_PER_SECOND


class RevisionPlan(LenientSpec, frozen=True, kw_only=True):
    """plan.json of a ConfigMap of workers: workers of one device class, in the order of the Job's indices."""

    common: dict[str, Any] = field(default_factory=dict)
    """Fields of all workers, said once: they are the larger part, and a ConfigMap has room for 1 MiB."""
    assignments: Annotated[tuple[dict[str, Any], ...], Meta(max_length=100_000)]
    """The other fields of each worker."""

    @classmethod
    def of(cls, workers: Iterable[PlannedWorker]) -> "RevisionPlan":
        """Return the plan of these workers."""
        documents = [worker.document() for worker in workers]
        first = documents[0] if documents else {}
        common = {
            name: value for name, value in first.items() if all(worker.get(name) == value for worker in documents[1:])
        }
        varying = tuple({name: value for name, value in worker.items() if name not in common} for worker in documents)
        return cls(common=common, assignments=varying)

    def workers(self, *, origin: str) -> list[PlannedWorker]:
        """Return the workers. Raise Invalid, with the origin, if one makes no sense."""
        return [validate(PlannedWorker, {**self.common, **varying}, origin=origin) for varying in self.assignments]


class PlanAlternatives(LenientSpec, frozen=True, kw_only=True):
    """What could be asked for instead of a deadline that can't be met. Times count from now."""

    earliest_deadline_seconds: float | None = None
    """The earliest deadline that can be met; null: none with these devices."""
    largest_images: int | None = None
    """The most images that can be done by the deadline."""
    extra_gpus: dict[str, int | None] | None = field(default=None, name="extraGPUs")
    """Of each class, how many more devices of it alone would be enough; null: no number would."""
    possible_confidence: float | None = None
    """The confidence with which the deadline can be met; null: none."""
    worker_cores: int | None = None
    """Cores that each GPU's worker would need to decode with; absent: more cores would not be enough."""
    store_images_per_second: float | None = None
    """Images a second that the source's store would have to give; null: a faster store would not be enough."""
    max_cost: str | None = None
    """The least maxCost that would be enough; absent: money is not the reason."""
    cost_bound: str | None = None
    """What every plan that meets the deadline costs at least, where money is the reason."""


class PlanAnswer(LenientSpec, frozen=True, kw_only=True):
    """What `dueby plan -o json` prints, and what a run's record keeps of its plans. Times count from now."""

    feasible: bool = True
    """Whether the deadline can be met."""
    gpus: int | None = None
    """Devices planned."""
    lower_bound: int | None = None
    """No fewer devices can do it."""
    proof: str | None = None
    """ClosedForm+CBC if both agree, or the one that had an answer."""
    confidence: float | None = None
    """Probability with which the deadline is to be met."""
    probability: float | None = None
    """Probability with which the plan meets it."""
    part_size: int | None = None
    """Images in a part."""
    images: int | None = None
    """N."""
    planned: int | None = None
    """Images that the planned mini-batches hold, at least N."""
    expected_seconds: float | None = None
    """When to expect the end."""
    slack_seconds: float | None = None
    """The deadline less the finish at the confidence."""
    groups: tuple[PlannedGroup, ...] = ()
    """The devices."""
    store: PlannedStore | None = None
    """What the source's store gives them together; null if nothing is known to limit it."""
    cost: PlannedCost | None = None
    """What the plan is expected to cost; null if a price isn't known."""
    alternatives: PlanAlternatives | None = None
    """What could be asked for instead; null if the deadline can be met."""
    warnings: tuple[str, ...] = ()
    """What makes the plan less sure than it looks."""
