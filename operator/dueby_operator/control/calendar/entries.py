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
from dueby_planner.calendar.jobs import StoredWindow
from dueby_planner.replan import HYSTERESIS


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
    def could_use_devices(self) -> bool:
        """Whether there is anything left that more devices could do for it."""
        model = self.model
        return not (model.is_complete or model.must_stop or model.limit == 0)

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

        More are placed again than what was placed before has to do: noise must not move it. Workers that wait in a
        queue are taken to be admitted now.
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

    @property
    def could_have(self) -> Mapping[str, int]:
        """How many more devices of each class nodes have for it, as far as they show."""
        left = Counter(self.model.offered)
        left.subtract(self.absent)
        return left

    @cached_property
    def absent(self) -> Counter[str]:
        """Devices by class that no node has given to a worker, although it looks as if it could.

        The scheduler knows of something that nodes don't show, such as a volume that is bound to another.
        """
        jobs = {worker_job.name: worker_job.assignments for worker_job in self.given.job.worker_jobs}
        absent = ((jobs.get(name, ()), index) for name, index in self.given.job.absent)
        return Counter(there[index].device_class for there, index in absent if index < len(there))


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
