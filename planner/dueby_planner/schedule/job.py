"""A job as the schedule sees it: its images, the devices it may have, its workers, and what is reserved for it.

Both backends fill it: the local one from processes, the cluster's from Jobs and pods.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import median
from typing import Literal

from dueby_api.agreement import Agreement
from dueby_api.gpu_profile import GPUProfile
from dueby_api.grid import Grid, Share
from dueby_api.inference_job import DeadlineClass, JobSpec
from dueby_api.input_cost import FREE, InputCost
from dueby_api.parts import NONE, Parts, all_parts
from dueby_api.status import WindowStatus
from dueby_api.step_messages import StoreWait, WorkerProgress
from dueby_api.store_limits import StoreLimits
from dueby_api.units import MICROS_PER_SECOND
from dueby_planner.deadline_classes import NO_LIMITS, Promises
from dueby_planner.model.budget import NOTHING, Room, Use
from dueby_planner.model.capacity import DeviceChoice, Provision
from dueby_planner.model.cost import CostLimit, Tariff
from dueby_planner.model.feed import StoreFeed, feed_of
from dueby_planner.model.losses import LossRate
from dueby_planner.model.problem import NEVER_US, Problem
from dueby_planner.profiles.pool import Pool, build_pool
from dueby_planner.schedule.lag import FRESH, LagMemory, OngoingWorker

WorkerState = Literal["queued", "starting", "running", "done", "spent", "lost", "stopped"]
# A worker in one of these does nothing more. `spent`: it has run the iterations that gpus.maxIterations allows.
GONE: frozenset[WorkerState] = frozenset({"done", "spent", "lost", "stopped"})
News = Literal["WorkerLost", "Edited", "Admitted"]
StartReason = Literal[
    "Started",
    "Resumed",
    "WorkerLost",
    "Lagging",
    "Edited",
    "Admitted",
    "Ahead",
    "WindowBegins",
    "SpotCame",
    "GaveWay",
    "NodeDrains",
]
JobKey = tuple[str, str]
"""Namespace and name of a job; the namespace is empty on one machine."""
AbsentKind = tuple[str, bool | None]
"""A device class, and whether its devices are spot; None: of either kind."""
# Steps after which a worker shows how long they take. One worker's may differ from the profile's by so much by noise.
SHOWING_STEPS, NOISE = 8, 0.2
# Workers that a job may have had, those that are gone among them. Each is told the shares of all, which is 400 KB for
# so many, and what it is told may be 1 MiB.
MAX_WORKERS = 20_000


@dataclass(frozen=True, kw_only=True)
class Claimant:
    """A job that may have devices."""

    key: JobKey
    spec: JobSpec
    classes: tuple[str, ...]
    """The device classes that there is a profile of."""


@dataclass(frozen=True, kw_only=True)
class PromisedJob:
    """A job about which nothing is decided in this pass, through no fault of its own: what it was promised is kept."""

    claimant: Claimant
    deadline_class: DeadlineClass
    windows: tuple[WindowStatus, ...]
    """What is reserved for it, as its status says."""
    now_us: int
    feed: StoreFeed | None = None
    """What its source's store gives all its workers together; None: nothing limits it."""

    @property
    def key(self) -> JobKey:
        """Namespace and name."""
        return self.claimant.key


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What one worker is started with. It departs from none of it."""

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
    """Its parts; empty for a helper, which takes parts from the tails of the others at once."""
    until_us: int | None = None
    """When its device is meant for others, in microseconds since 1970; None: it may be kept to the end."""
    pool: str = ""
    """The pool of nodes that it asks for one; empty: it has its device of a node that is there."""
    provision: Provision | None = None
    """How long that node may take to come. It is part of the start of `choice`; None if there is none to wait for."""
    is_spot: bool | None = None
    """Whether it must have a device that may be taken away, or must not; None: the plan doesn't say."""
    read_rate: int | None = None
    """How fast it may read the store, in millionths of an image a second; None: as fast as the store gives."""

    @property
    def number(self) -> int:
        """Its place in the order in which the job's workers were started: 12 of `w12`."""
        return int(self.worker.removeprefix("w"))

    @property
    def may_come_us(self) -> int:
        """How long after it was asked for its node is expected still; what isn't there by then is planned around."""
        return self.provision.late_us if self.provision else 0

    @property
    def start_on_node_us(self) -> int:
        """S + W at the job's confidence, once there is a node."""
        if self.provision is None:
            return self.choice.start_us
        expected_us = self.choice.expected_start_us - self.provision.expected_us
        return max(expected_us, self.choice.start_us - self.provision.late_us)


@dataclass(frozen=True, kw_only=True)
class WorkerModel:
    """A worker as it was last seen."""

    assignment: Assignment
    state: WorkerState
    created_us: int
    """When it was started, in microseconds since 1970."""
    open_images: int = 0
    """Images classified in parts that it has not committed yet."""
    batches: int = 0
    """Mini-batches that it has run."""
    step_us: int | None = None
    """Mean of its recent steady mini-batches; None while there were none."""
    last_step_us: int | None = None
    """When its last mini-batch was done, in microseconds since 1970 by the clock of whoever decides."""
    waits_for: StoreWait | None = None
    """The store that it waits for, as it said last; None while it waits for none."""
    answers_since_us: int | None = None
    """Since when it has answered questions, in microseconds since 1970; None while it doesn't."""
    node: str = ""
    """Where its device is; empty while it is on no node, or where there are none."""
    leaves_us: int = NEVER_US
    """When its node goes away, in microseconds since 1970; NEVER_US if it stays."""
    group: str = ""
    """What it was started with and ends with, such as a Job."""
    is_absent: bool = False
    """Whether it has been without a node for so long that the rest is planned without it."""
    can_shrink: bool = True
    """Whether single workers of its group can be stopped. Kueue would kill all pods of an admitted Job."""

    @property
    def name(self) -> str:
        """Its name."""
        return self.assignment.worker

    @property
    def is_gone(self) -> bool:
        """Whether it does nothing more."""
        return self.state in GONE


def worker_model(
    assignment: Assignment,
    state: WorkerState,
    *,
    created_us: int,
    progress: WorkerProgress,
    read_us: int,
    answers_since_us: int | None,
    part_size: int,
    node: str = "",
    group: str = "",
    is_absent: bool = False,
    can_shrink: bool = True,
) -> WorkerModel:
    """Return a worker by its last progress; the default progress where it has reported none yet.

    `read_us` is when the progress was read. Of its last mini-batch a worker says the age and no time, because its
    node's clock may be minutes from this one.
    """
    committed = progress.parts_committed * part_size
    age_s = progress.seconds_since_batch
    return WorkerModel(
        assignment=assignment,
        state=state,
        created_us=created_us,
        open_images=max(0, progress.images_done - committed),
        batches=progress.batches,
        step_us=progress.step_us,
        last_step_us=None if age_s is None else read_us - round(age_s * MICROS_PER_SECOND),
        waits_for=progress.waits_for,
        answers_since_us=answers_since_us,
        node=node,
        group=group,
        is_absent=is_absent,
        can_shrink=can_shrink,
    )


@dataclass(frozen=True, kw_only=True)
class ScheduledJob:
    """A job, its devices and its workers at one moment."""

    key: JobKey = ("", "")
    spec: JobSpec
    now_us: int
    deadline_us: int
    """In microseconds since 1970, like now_us."""
    promised_us: int | None = None
    """When the last plan expected the end; None after an edit, when any finish in time is as good."""
    images: int
    """N, as it was indexed."""
    cost: InputCost = FREE
    agreement: Agreement | None = None
    """How far its int8 network is from fp32; None if that isn't known."""
    profiles: tuple[GPUProfile, ...]
    counts: Mapping[str, int]
    """Devices of each class, free or busy with this job's workers."""
    offered: Mapping[str, int] = field(default_factory=dict)
    """Devices of each class that are free and that its quota has room for, whoever else they are meant for."""
    in_queue: Mapping[str, int] = field(default_factory=dict)
    """Devices of each class that its queue gives it at most, whoever has them now; empty if it is in no queue."""
    max_workers: int | None = None
    """The most workers that there may be at once, those that are there among them; None: only `gpus.max` says so."""
    warnings: tuple[str, ...] = ()
    """What makes `counts` less sure than they look."""
    promises: Promises = NO_LIMITS
    """What may be promised to it."""
    has_quota: bool = False
    """Whether a ResourceQuota limits its namespace."""
    absent: Mapping[str, int] = field(default_factory=dict)
    """Devices by class that no node has given to a worker, although it looks as if it could.

    The scheduler knows of something that nodes don't show, such as a volume that is bound to another.
    """
    losses: Mapping[str, LossRate] = field(default_factory=dict)
    """Of each class of which it has spot devices, or could have some now, how often they are taken away."""
    absent_kinds: Mapping[AbsentKind, int] = field(default_factory=dict)
    """The same of workers that must have a device which is spot, or one which isn't: the others are there for more."""
    cores: Mapping[str, int] = field(default_factory=dict)
    """Cores that a GPU's worker may have, by class."""
    stores: tuple[StoreLimits, ...] = ()
    """What is said of stores, to all jobs."""
    tariff: Tariff | None = None
    """What devices cost; None: nobody has said it."""
    max_cost: CostLimit | None = None
    """What the job may cost, and what of it was spent for devices that it has no more; None: no limit."""
    spent: Use = NOTHING
    """What it used for devices that it has no more, while its namespace has a budget."""
    room: Room | None = None
    """What it may have of that budget; None: there is none, or the job's part of it is promised to it."""
    observed_requests: float | None = None
    """Requests a second that its store gave its workers, or those of a job before it, when it refused more."""
    grace_s: int = 0
    """How long a worker that is told to stop may take to finish the part that it is at."""
    part_size: int | None = None
    """P, once a plan has frozen it."""
    parts_there: Parts = NONE
    """Parts that are in the sink."""
    least_done: int = 0
    """Images that were done before this operator began; 0 once a worker has told it which parts are in the sink."""
    revision: int = 0
    """The last revision of which there are workers; 0 if there are none."""
    had_workers: bool = False
    """Whether it had workers before, whether or not these are still there."""
    misses_capacity: bool = False
    """Whether it waits, or is late, since devices that were announced for now are not there: they may come yet."""
    workers: tuple[WorkerModel, ...] = ()
    """All workers that were ever started in this run, in the order of their start."""
    news: News | None = None
    """What has happened since the last decision."""
    lost_all: bool = False
    """Whether it has no worker because one was lost, and none was started since."""
    gave_way_at: int | None = None
    """Images in its sink when its workers last gave way; None if they never did."""
    windows: tuple[WindowStatus, ...] = ()
    """What is reserved for it, as its status says; nothing while it has no profiles, and it is left alone."""
    is_in_time: bool = False
    """Whether it is in time, at its confidence, with what is reserved for it, as its status says."""
    may_wait: bool = False
    """Whether windows that no longer do may be kept for one reading: that has not been done in the last pass."""
    unwanted: frozenset[str] = frozenset()
    """Workers whose devices nobody would gain by, if they were given back."""
    on_fallbacks: frozenset[str] = frozenset()
    """Workers on devices that it uses only as far as others don't do: on demand, for a job that prefers spot."""
    reserved: tuple[OngoingWorker, ...] = ()
    """What the devices will do that are reserved for it from a later time on."""
    lag: LagMemory = FRESH
    """What earlier readings of the workers' lag have left."""

    @property
    def name(self) -> str:
        """What the calendar calls it."""
        return "/".join(filter(None, self.key))

    @cached_property
    def feed(self) -> StoreFeed | None:
        """What its source's store gives all its workers together; None: nothing limits it."""
        return feed_of(self.spec, self.cost, stores=self.stores, observed=self.observed_requests)

    @cached_property
    def cost_limit(self) -> CostLimit | None:
        """What the job may cost, by its maxCost or by what is left of its namespace's budget, whichever is less."""
        by_budget = self.room.cost_limit if self.room else None
        limits = [limit for limit in (self.max_cost, by_budget) if limit is not None]
        return min(limits, key=lambda limit: limit.unspent, default=None)

    @property
    def deadline_class(self) -> DeadlineClass:
        """What is promised to it."""
        return self.spec.deadline_class

    @property
    def is_queued(self) -> bool:
        """Whether a queue gives it its devices, which are of one class then: it admits a Job whole."""
        return bool(self.spec.queue_name)

    @property
    def has_started(self) -> bool:
        """Whether it has or had workers, whose Jobs are still there."""
        return self.revision > 0

    @property
    def goes_on(self) -> bool:
        """Whether it had workers before, or was to have some by now: it is not refused, however late it is."""
        return self.has_started or self.had_workers or self.misses_capacity

    @property
    def waits_for_devices(self) -> bool:
        """Whether there is nothing to decide for it before it has a device or a place in the calendar."""
        return not self.has_started and not self.is_complete and not self.must_stop

    @property
    def had_spot(self) -> bool:
        """Whether a worker of it was planned on a device that may be taken away, and on no other."""
        return any(worker.assignment.is_spot for worker in self.workers)

    @property
    def could_use_devices(self) -> bool:
        """Whether there is anything left that more devices could do for it."""
        return not (self.is_complete or self.must_stop or self.max_workers == 0)

    @property
    def has_profiles(self) -> bool:
        """Whether anything tells what it could do with a device; while that is gone, its workers go on."""
        return bool(self.profiles)

    @property
    def max_devices(self) -> int | None:
        """NGPU, the most devices that the job may have at once; None: all that there are."""
        return min((most for most in (self.spec.gpus.max, self.max_workers) if most is not None), default=None)

    @property
    def time_us(self) -> int:
        """The time until its deadline; negative once that has passed."""
        return self.deadline_us - self.now_us

    @property
    def claimant(self) -> Claimant:
        """The job as one that may have devices."""
        named = self.spec.gpus.classes
        return Claimant(key=self.key, spec=self.spec, classes=tuple(n for n in self.counts if not named or n in named))

    @property
    def could_have(self) -> Mapping[str, int]:
        """How many more devices of each class nodes have for it, as far as they show."""
        could_have = Counter(self.offered)
        could_have.subtract(self.absent)
        return could_have

    def with_more(self, devices: Mapping[str, int], losses: Mapping[str, LossRate]) -> "ScheduledJob":
        """Return the job with so many more devices of each class, as far as it may have them.

        `losses` says of the classes with spot devices among them how often these are taken away.
        """
        counts = {name: count + devices.get(name, 0) for name, count in self.counts.items()}
        return replace(self, counts=counts, losses={**self.losses, **losses})

    @cached_property
    def missing_parts(self) -> Parts:
        """Parts that are not in the sink."""
        grid = Grid(images=self.images, part_size=self.part_size or self.images)
        return all_parts(grid.parts) - self.parts_there

    @property
    def next_number(self) -> int:
        """The number of the next worker, which no worker that is there has or had before it."""
        return 1 + max((worker.assignment.number for worker in self.workers), default=-1)

    @property
    def is_complete(self) -> bool:
        """Whether every part is in the sink."""
        return bool(self.part_size) and not self.missing_parts

    @property
    def must_stop(self) -> bool:
        """Whether the deadline has passed and the job says to stop then."""
        return self.now_us >= self.deadline_us and self.spec.on_deadline == "Stop"

    @cached_property
    def images_left(self) -> int:
        """N_left: images that are neither in the sink nor classified in a worker's open parts."""
        if not self.part_size:
            return self.images
        opened = sum(worker.open_images for worker in self.alive)
        left = max(0, self.images - self.images_in_sink - opened)
        # Some of it may have been lost with its worker, so that something is left to be looked after.
        return min(left, max(1, self.images - self.least_done)) if self.least_done else left

    @property
    def images_in_sink(self) -> int:
        """Images of the parts that are in the sink."""
        return Grid(images=self.images, part_size=self.part_size or self.images).images_in(self.parts_there)

    @property
    def images_done(self) -> int:
        """Images in the sink or classified in a worker's open parts."""
        return self.images - self.images_left

    @cached_property
    def alive(self) -> tuple[WorkerModel, ...]:
        """The workers that still do something, or will."""
        return tuple(worker for worker in self.workers if not worker.is_gone)

    @property
    def admitted(self) -> tuple[WorkerModel, ...]:
        """Those of them that don't wait in a queue."""
        return tuple(worker for worker in self.alive if worker.state != "queued")

    @cached_property
    def shown_ratios(self) -> Mapping[str, float]:
        """By device class, the factor for the measured L that its own workers show: where the profile was wrong."""
        ratios: dict[str, list[float]] = defaultdict(list)
        for worker in self.alive:
            if worker.step_us and worker.batches >= SHOWING_STEPS:
                choice = worker.assignment.choice
                ratios[worker.assignment.device_class].append(worker.step_us * choice.step_ratio / choice.latency_us)
        return {name: shown for name, of_class in ratios.items() if abs((shown := median(of_class)) - 1) > NOISE}

    def step_us(self, worker: WorkerModel) -> int:
        """Return the time of the worker's steps: as it shows it, or as others of its class do, or as planned."""
        choice, shown = worker.assignment.choice, self.shown_ratios.get(worker.assignment.device_class)
        return worker.step_us or (choice.latency_us if shown is None else choice.at_ratio(shown).latency_us)

    def pool(self, counts: Mapping[str, int]) -> Pool:
        """Return what it would be planned on with so many devices of each class. Raise Invalid if it can't be.

        What its own workers show of a class is believed rather than the profile.
        """
        pool = build_pool(
            self.spec,
            self.profiles,
            counts,
            cost=self.cost,
            cores=self.cores,
            # Whose jobs are believed about the profiles: on one's own machine everybody's.
            namespace=self.key[0] or None,
            agreement=self.agreement,
        )
        shown = self.shown_ratios
        groups = (
            replace(group, choices=tuple(choice.at_ratio(shown[group.device_class]) for choice in group.choices))
            if group.device_class in shown
            else group
            for group in pool.groups
        )
        groups = (replace(group, losses=self.losses.get(group.device_class)) for group in groups)
        return replace(pool, groups=tuple(groups)) if shown or self.losses else pool

    def problem(self, pool: Pool, images: int) -> Problem:
        """Return the problem of so many images on these devices."""
        return Problem(
            pool=pool,
            images=images,
            time_us=self.time_us,
            confidence=self.spec.planned_confidence,
            objective=self.spec.objective,
            max_gpus=self.max_devices,
            reserve=self.spec.gpus.reserve,
            max_iterations=self.spec.gpus.max_iterations,
            part_size=self.part_size,
            max_part=self.spec.output.max_part,
            feed=self.feed,
            tariff=self.tariff,
            cost_limit=self.cost_limit,
        )
