"""What a job could do with the devices that it may use, free or not: each group is a class of its own."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from dueby_api.errors import Invalid
from dueby_api.status import WindowStatus
from dueby_api.units import parse_time_us
from dueby_planner.model.capacity import DeviceChoice, asked_for
from dueby_planner.model.problem import NEVER_US, Problem
from dueby_planner.profiles.pool import Pool
from dueby_planner.schedule.calendar_job import CalendarJob, StoredWindow
from dueby_planner.schedule.devices import DeviceGroup, DeviceGroups, devices_by_class, less_absent
from dueby_planner.schedule.free_devices import CHANGE_US
from dueby_planner.schedule.job import AbsentKind, JobKey, PromisedJob, ScheduledJob, WorkerModel
from dueby_planner.schedule.lag import OngoingWorker, images_within, workers_of_window
from dueby_planner.schedule.stores import StoreUse, store_uses, window_uses, with_stores
from dueby_planner.schedule.watch import ongoing, pause_us


@dataclass(frozen=True, kw_only=True)
class Usable:
    """A job with the devices that it may use, each group a class of its own."""

    job: ScheduledJob
    pool: Pool
    groups: DeviceGroups

    @property
    def devices(self) -> Mapping[str, int]:
        """All of them by group, free or not."""
        return {group.device_class: group.count for group in self.pool.groups}

    @cached_property
    def for_more(self) -> Pool:
        """The devices that more workers of the job could ever have."""
        absent: Counter[AbsentKind] = Counter({(name, None): count for name, count in self.job.absent.items()})
        absent.update(self.job.absent_kinds)
        own: Counter[str] = Counter()
        for worker in self.job.alive:
            group = self._group_of(worker)
            if group is None:  # it is on its way to one of its class
                absent[worker.assignment.device_class, None] += 1
            else:
                own[group.name] += 1
        idle = {name: group.idle if group.is_there(0, 1) else 0 for name, group in self.groups.by_name.items()}
        in_order = sorted(self.pool.groups, key=lambda each: (-idle[each.device_class], each.device_class))
        others = {usable.device_class: max(0, usable.count - own[usable.device_class]) for usable in in_order}
        left = less_absent(others, self.groups, absent)
        for_more = (replace(usable, count=left[usable.device_class]) for usable in self.pool.groups)
        return replace(self.pool, groups=tuple(usable for usable in for_more if usable.count))

    @property
    def least_stay_us(self) -> int:
        """How long a worker that is started now stays, even if it is asked for its device as soon as it may be."""
        choices = [choice for group in self.pool.groups for choice in group.choices]
        return max(1, pause_us(choice.start_us for choice in choices) + CHANGE_US)

    def _group_of(self, worker: WorkerModel) -> DeviceGroup | None:
        """Return the group of the worker's device, or of that which it asks for; None if nobody knows it."""
        device_class, pool = worker.assignment.device_class, worker.assignment.pool
        if worker.node:
            return self.groups.at(self.job.key, device_class, worker.node)
        is_spot = worker.assignment.is_spot
        asked = self.groups.of_pool(self.job.key, device_class, pool, is_spot=is_spot) if pool else []
        return next(iter(asked[::-1]), None)

    def demand(self) -> CalendarJob:
        """Return all that is left of a running job, to be done by the workers that it has and others."""
        job = self.job
        gone = {
            worker.name
            for worker in job.alive
            if worker.node and self.groups.at(job.key, worker.assignment.device_class, worker.node) is None
        }
        workers = ongoing(job, job.alive)
        return CalendarJob(
            name=job.name,
            deadline_class=job.deadline_class,
            problem=self._whole_problem().within_feed(),
            goes_on=True,
            limits=self.groups.costs(job.key),
            at_work=tuple(worker for worker in workers if worker.name not in gone),
            elsewhere=images_within((worker for worker in workers if worker.name in gone), max(0, job.time_us)),
        )

    def to_place(self, *, images: int, least: int | None = None) -> CalendarJob:
        """Return the job as the planner's calendar takes it, with so many images to place."""
        job = self.job
        goes_on = job.goes_on or bool(job.windows)
        return CalendarJob(
            name=job.name,
            deadline_class=job.deadline_class,
            problem=self.problem(images=images),
            stored=stored_windows(job, self.groups),
            goes_on=goes_on,
            least_images=least,
            until_us=job.promises.horizon_us if job.deadline_class == "Hard" and not goes_on else NEVER_US,
            limits=self.groups.costs(job.key),
            classes={name: self.groups.class_of(name) for name in self.devices},
            stays=job.is_queued,
        )

    def problem(self, *, images: int) -> Problem:
        """Return the job's problem on all of these devices, beside the workers that it has."""
        if self.job.feed is None:
            return self._problem(images)
        # How many a store feeds, and at which pace, is said of all devices, those of the job's workers among them.
        whole = replace(self._problem(images), pool=self.pool).within_feed()
        more = {group.device_class: group for group in self.for_more.groups}
        fed = tuple(
            replace(group, count=more[group.device_class].count)
            for group in whole.pool.groups
            if group.device_class in more
        )
        if not fed:
            return replace(self._problem(images), fed=0)
        left = None if whole.fed is None else max(0, whole.fed - len(self.job.alive))
        return replace(whole, pool=replace(self.for_more, groups=fed), fed=left)

    def store_uses(self) -> tuple[StoreUse, ...]:
        """Return what a device of each class takes of the stores that the job shares with others."""

        def by_class(costs: Mapping[str, int]) -> dict[str, int]:
            # Of several groups of a class the largest cost counts: it comes last.
            return {self.groups.class_of(name): cost for name, cost in sorted(costs.items(), key=lambda item: item[1])}

        return tuple(use._replace(costs=by_class(use.costs)) for use in store_uses(self._whole_problem()))

    def _whole_problem(self) -> Problem:
        """Return all that is left of the job, on all devices, those of its workers among them."""
        return replace(self._problem(self.job.images_left), pool=self.pool, max_gpus=self.job.spec.gpus.max)

    def _problem(self, images: int) -> Problem:
        job = self.job
        alone = job.problem(self.for_more, max(1, images))
        if not job.alive:
            return alone
        most = None if job.max_devices is None else max(0, job.max_devices - len(job.alive))
        return replace(alone, max_gpus=most, reserve=0)

    def reserved(self) -> tuple[OngoingWorker, ...]:
        """Return what the devices will do that are reserved for the job from a later time on."""
        choices: dict[tuple[str, str | None, str, int], DeviceChoice] = {
            (group.device_class, group.asked_pool, choice.engine, choice.mini_batch_size): choice
            for group, usable in ((self.groups.by_name[each.device_class], each) for each in self.pool.groups)
            for choice in usable.choices
        }
        stored = zip(self.job.windows, stored_windows(self.job, self.groups), strict=True)
        return tuple(
            worker
            for number, (status, window) in enumerate(stored)
            if (choice := choices.get((status.device_class, status.pool, window.engine, window.mini_batch_size)))
            for worker in workers_of_window(
                number, choice, from_us=window.from_us, to_us=window.to_us, count=window.count
            )
        )


class Usables:
    """What each job of a pass could do with the devices there are, found once."""

    def __init__(self, groups: DeviceGroups) -> None:
        self._groups = groups
        self._found: dict[JobKey, Usable] = {}

    def of(self, job: ScheduledJob) -> Usable:
        """Return what the job could do. Raise Invalid if its profiles can't be planned on."""
        if job.key not in self._found:
            self._found[job.key] = _find_usable(job, self._groups)
        return self._found[job.key]

    def with_stores(self, jobs: Collection[ScheduledJob], promised: Iterable[PromisedJob]) -> DeviceGroups:
        """Return the devices with the limits of the stores that several jobs read, for all jobs that are found here."""
        uses = {job.key: window_uses(job) for job in promised}
        uses |= {job.key: self.of(job).store_uses() for job in jobs}
        working = {job.key: [worker.assignment.device_class for worker in job.admitted] for job in jobs}
        self._groups = with_stores(self._groups, uses, working)
        self._found = {key: replace(usable, groups=self._groups) for key, usable in self._found.items()}
        return self._groups

    def are_there(self, job: ScheduledJob) -> bool:
        """Return whether there are devices that the job may have.

        There are none for a job that goes on if it can't be planned on them: its workers are not to blame for that.
        """
        if not job.has_profiles or not self._groups.of(job.key):
            return False
        try:
            self.of(job)
        except Invalid:
            return not job.goes_on
        return True


def _find_usable(job: ScheduledJob, groups: DeviceGroups) -> Usable:
    """Return what the job could do with each of the devices that it may use, free or not.

    Raise Invalid if its profiles can't be planned on.
    """
    there = {group.name: group for group in groups.of(job.key)}
    counts = devices_by_class(there.values())
    most = Counter(job.in_queue) if job.is_queued else counts
    pool = job.pool(counts)
    by_class = {each.device_class: each for each in pool.groups}
    fallbacks = groups.fallbacks(job)
    usable = [
        asked_for(
            replace(
                by_class[group.device_class],
                device_class=group.name,
                count=count,
                is_fallback=group.name in fallbacks,
                losses=group.losses,
            ),
            group.provision,
        )
        for group in there.values()
        if group.device_class in by_class and (count := min(group.devices, most[group.device_class]))
    ]
    pool = replace(pool, groups=tuple(sorted(usable, key=lambda each: each.device_class)))
    return Usable(job=job, pool=pool, groups=groups)


def stored_windows(job: ScheduledJob | PromisedJob, groups: DeviceGroups) -> tuple[StoredWindow, ...]:
    """Return what is reserved for a job by its status, in times from now and on groups that it may use.

    Those of the same kind come first: on spot nodes, or on others.
    """

    def names(window: WindowStatus) -> tuple[str, ...]:
        found = groups.of(job.key, window.device_class)
        return tuple(group.name for group in sorted(found, key=lambda group: group.is_spot != bool(window.spot)))

    return tuple(
        StoredWindow(
            devices=names(window),
            count=window.count,
            from_us=parse_time_us(window.from_time) - job.now_us,
            to_us=parse_time_us(window.to_time) - job.now_us,
            engine=window.engine,
            mini_batch_size=window.mini_batch_size,
        )
        for window in job.windows
    )
