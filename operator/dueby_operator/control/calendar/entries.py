"""A job as the calendar sees it: what is left of it, what it may have, and what is reserved for it already. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil

from dueby_api.inference_job import DeadlineClass
from dueby_api.status import WindowStatus
from dueby_api.units import parse_time_us
from dueby_operator.control.chain import PolicyInput
from dueby_operator.control.work.watch import ongoing
from dueby_operator.model.job_model import JobModel
from dueby_operator.model.job_snapshot import JobKey
from dueby_operator.model.stacks import Claimant, Stacks
from dueby_planner.calendar.jobs import CalendarJob, StoredWindow
from dueby_planner.model.capacity import DeviceChoice, DeviceGroup
from dueby_planner.model.problem import Problem
from dueby_planner.profiles.pool import Pool, build_pool
from dueby_planner.replan import HYSTERESIS, OngoingWorker


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A job that has come as far as its workers."""

    given: PolicyInput
    model: JobModel
    """With no devices but those of its own workers."""

    @property
    def key(self) -> JobKey:
        """Namespace and name."""
        return self.given.job.key

    @property
    def name(self) -> str:
        """What the calendar calls it."""
        return "/".join(filter(None, self.key))

    @property
    def deadline_class(self) -> DeadlineClass:
        """What is promised to it."""
        return self.given.spec.deadline_class

    @property
    def is_queued(self) -> bool:
        """Whether a queue gives it its devices."""
        return bool(self.given.spec.queue_name)

    @property
    def has_started(self) -> bool:
        """Whether it has or had workers, whose Jobs are still there."""
        return self.model.revision > 0

    @property
    def goes_on(self) -> bool:
        """Whether it had workers before: it is not refused, however late it is."""
        return self.has_started or self.model.has_started

    @property
    def waits_for_devices(self) -> bool:
        """Whether there is nothing to decide for it before it has a device or a place in the calendar."""
        return not self.has_started and not self.model.is_complete and not self.model.must_stop

    @property
    def time_us(self) -> int:
        """The time until its deadline; negative once that has passed."""
        return self.model.deadline_us - self.model.now_us

    @property
    def claimant(self) -> Claimant:
        """The job as one that may have devices."""
        named = self.given.spec.gpus.classes
        classes = tuple(name for name in self.model.counts if not named or name in named)
        return Claimant(key=self.key, spec=self.given.spec, classes=classes)

    @property
    def has_profiles(self) -> bool:
        """Whether anything tells what it could do with a device; while that is gone, its workers go on."""
        return bool(self.model.profiles)

    @cached_property
    def windows(self) -> tuple[WindowStatus, ...]:
        """What is reserved for it, as its status says; nothing while it has no profiles, and it is left alone."""
        return self.given.status.plan.windows if self.given.status.plan and self.has_profiles else ()

    def stored(self, stacks: Stacks) -> tuple[StoredWindow, ...]:
        """Return what is reserved for it, in times from now and on stacks that it may use."""
        return stored_windows(self.key, self.windows, stacks, now_us=self.model.now_us)

    def to_place(self) -> tuple[int, int]:
        """Return the images that its workers won't do by the deadline, or all if it has none, and the least of them.

        More are placed anew than what was placed before has to do: noise must not move it. Workers that wait in a queue
        are taken to be admitted now.
        """
        left = self.model.images_left
        done = sum(worker.images_within(max(0, self.time_us)) for worker in ongoing(self.model, self.model.alive))
        if not self.has_started:
            return left, max(1, ceil(left * (1 - HYSTERESIS)))
        return max(0, ceil(left * (1 + HYSTERESIS)) - done), max(1, left - done)

    def with_more(self, devices: Mapping[str, int]) -> JobModel:
        """Return the job with so many more devices of each class, as far as it may have them."""
        own = self.model.counts
        return replace(self.model, counts={name: own[name] + devices.get(name, 0) for name in own})

    def idle(self, stacks: Stacks, idle: Mapping[str, int]) -> dict[str, int]:
        """Return the devices by stack on which a worker of the job could be started now, of those that are idle."""
        left, found = Counter(self.model.offered), {}
        left.subtract(self.absent)
        for stack in stacks.of(self.key):
            found[stack.name] = max(0, min(idle[stack.name], left[stack.device_class]))
            left[stack.device_class] -= found[stack.name]
        return stacks.within_quotas(self.key, found, idle)

    def usable(self, stacks: Stacks) -> "Usable":
        """Return what the job could do with each of the devices that it may use, free or not.

        Raise Invalid if its profiles can't be planned on.
        """
        there = {stack.name: stack for stack in stacks.of(self.key)}
        counts: Counter[str] = Counter()
        for stack in there.values():
            counts[stack.device_class] += stack.devices
        model = self.model
        most = Counter(model.in_queue) if self.is_queued else counts
        pool = build_pool(
            model.spec,
            model.profiles,
            counts,
            cost=model.cost,
            cpus=model.cpus,
            namespace=model.namespace,
            agreement=model.agreement,
        )
        by_class = {group.device_class: group for group in pool.groups}
        groups = [
            replace(by_class[stack.device_class], device_class=stack.name, count=count)
            for stack in there.values()
            if stack.device_class in by_class and (count := min(stack.devices, most[stack.device_class]))
        ]
        pool = replace(pool, groups=tuple(_without_rivals(groups, stacks)))
        return Usable(entry=self, pool=pool, stacks=stacks)

    @cached_property
    def absent(self) -> Counter[str]:
        """Devices by class that no node has given to a worker, although it looks as if it could.

        The scheduler knows of something that nodes don't show, such as a volume that is bound to another.
        """
        jobs = {worker_job.name: worker_job.assignments for worker_job in self.given.job.worker_jobs}
        absent = ((jobs.get(name, ()), index) for name, index in self.given.job.absent)
        return Counter(there[index].device_class for there, index in absent if index < len(there))


@dataclass(frozen=True, kw_only=True)
class Usable:
    """A job with the devices that it may use, each stack a class of its own."""

    entry: Entry
    pool: Pool
    stacks: Stacks

    @property
    def devices(self) -> Mapping[str, int]:
        """All of them by class, free or not."""
        counts: Counter[str] = Counter()
        for group in self.pool.groups:
            counts[self.stacks.class_of(group.device_class)] += group.count
        return counts

    @cached_property
    def for_more(self) -> Pool:
        """The devices that more workers of the job could ever have."""
        gone, own, groups = Counter(self.entry.absent), Counter[str](), []
        for worker in self.entry.model.alive:
            device_class = worker.assignment.device_class
            stack = self.stacks.at(self.entry.key, device_class, worker.node) if worker.node else None
            if stack is None:  # it is on its way to one of its class
                gone[device_class] += 1
            else:
                own[stack.name] += 1
        idle = {stack.name: stack.idle for stack in self.stacks.all}
        for group in sorted(self.pool.groups, key=lambda group: (-idle[group.device_class], group.device_class)):
            device_class = self.stacks.class_of(group.device_class)
            there = max(0, group.count - own[group.device_class])
            taken = min(there, gone[device_class])
            gone[device_class] -= taken
            if there > taken:
                groups.append(replace(group, count=there - taken))
        return replace(self.pool, groups=tuple(sorted(groups, key=lambda group: group.device_class)))

    def demand(self) -> CalendarJob:
        """Return all that is left of a running job, as if it had no workers."""
        entry, model = self.entry, self.entry.model
        problem = replace(self.problem(images=model.images_left), pool=self.pool, max_gpus=model.spec.gpus.max)
        gone = {
            worker.name
            for worker in model.alive
            if worker.node and self.stacks.at(entry.key, worker.assignment.device_class, worker.node) is None
        }
        workers = ongoing(model, model.alive)
        return CalendarJob(
            name=entry.name,
            deadline_class=entry.deadline_class,
            problem=problem,
            goes_on=True,
            at_work=tuple(worker for worker in workers if worker.name not in gone),
            elsewhere=sum(worker.images_within(max(0, entry.time_us)) for worker in workers if worker.name in gone),
        )

    def job(self, *, images: int, least: int | None = None) -> CalendarJob:
        """Return the job as the planner's calendar takes it, with so many images to place."""
        entry = self.entry
        return CalendarJob(
            name=entry.name,
            deadline_class=entry.deadline_class,
            problem=self.problem(images=images),
            stored=entry.stored(self.stacks),
            goes_on=entry.goes_on or bool(entry.windows),
            least_images=least,
            quotas=self.stacks.costs(entry.key),
            stays=entry.is_queued,
        )

    def problem(self, *, images: int) -> Problem:
        """Return the job's problem on all of these devices."""
        model = self.entry.model
        gpus = model.spec.gpus
        limit = min((most for most in (gpus.max, model.limit) if most is not None), default=None)
        return Problem(
            pool=self.for_more,
            images=max(1, images),
            time_us=self.entry.time_us,
            confidence=model.spec.planned_confidence,
            max_gpus=None if limit is None else max(0, limit - len(model.alive)),
            reserve=0 if model.alive else gpus.reserve,
            max_iterations=gpus.max_iterations,
            part_size=model.part_size,
            max_part=model.spec.output.max_part,
        )

    def reserved(self) -> tuple[OngoingWorker, ...]:
        """Return what the devices will do that are reserved for the job from a later time on."""
        choices: dict[tuple[str, str, int], DeviceChoice] = {
            (self.stacks.class_of(group.device_class), choice.engine, choice.mini_batch_size): choice
            for group in self.pool.groups
            for choice in group.choices
        }
        found: list[OngoingWorker] = []
        for number, window in enumerate(self.entry.windows):
            choice = choices.get((window.device_class, window.engine, window.mini_batch_size))
            if choice is not None:
                found += self._workers(number, window, choice)
        return tuple(found)

    def _workers(self, number: int, window: WindowStatus, choice: DeviceChoice) -> list[OngoingWorker]:
        now_us = self.entry.model.now_us
        rest_us = max(0, parse_time_us(window.from_time) - now_us) + choice.expected_start_us
        spare_us = parse_time_us(window.to_time) - now_us - rest_us
        return [
            OngoingWorker(
                name=f"window-{number}-{device}",
                mini_batch_size=choice.mini_batch_size,
                latency_us=choice.latency_us,
                rest_us=rest_us,
                iterations_left=max(0, spare_us // choice.latency_us + 1),
            )
            for device in range(window.count)
        ]


def stored_windows(
    key: JobKey, windows: Sequence[WindowStatus], stacks: Stacks, *, now_us: int
) -> tuple[StoredWindow, ...]:
    """Return a job's windows as its status says them, in times from now and on stacks that it may use."""
    return tuple(
        StoredWindow(
            devices=tuple(stack.name for stack in stacks.of(key, window.device_class)),
            count=window.count,
            from_us=parse_time_us(window.from_time) - now_us,
            to_us=parse_time_us(window.to_time) - now_us,
            engine=window.engine,
            mini_batch_size=window.mini_batch_size,
        )
        for window in windows
    )


def _without_rivals(groups: Sequence[DeviceGroup], stacks: Stacks) -> list[DeviceGroup]:
    """Return groups of which none is taken by taking of another: those that do most together, first."""
    kept: list[DeviceGroup] = []
    for group in sorted(groups, key=lambda group: (-_rate(group), group.device_class)):
        others = {name for one in kept for name in stacks.rivals.get(one.device_class, ())}
        if group.device_class not in others:
            kept.append(group)
    return sorted(kept, key=lambda group: group.device_class)


def _rate(group: DeviceGroup) -> float:
    """Return images a second of all devices of the group, at the best size."""
    return group.count * max(
        (choice.mini_batch_size / choice.latency_us for choice in group.choices if choice.latency_us), default=0.0
    )
