"""What is idle in a pass, while workers are started on it one after the other. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping

from dueby_operator.model.job_snapshot import JobKey
from dueby_operator.model.stacks import Stacks


class IdleDevices:
    """Devices by stack on which workers could be started now, and units of quotas for them; less with each start."""

    def __init__(self, stacks: Stacks) -> None:
        self._stacks = stacks
        self._left = Counter({stack.name: stack.idle for stack in stacks.all if stack.is_there(0, 1)})
        self._left.update({quota.name: quota.units - quota.used for quota in stacks.quotas})

    def left(self, name: str) -> int:
        """Return how many devices of the stack nobody has."""
        return max(0, self._left[name])

    def offered(self, key: JobKey, most: Mapping[str, int], among: Iterable[str]) -> dict[str, int]:
        """Return by stack on how many devices workers of the job could be started at once, at most so many of a class.

        `among` are the stacks that it could use.
        """
        by_class, counts = Counter(most), dict[str, int]()
        for name in among:
            device_class = self._stacks.class_of(name)
            counts[name] = max(0, min(self._left[name], by_class[device_class]))
            by_class[device_class] -= counts[name]
        return self._stacks.within_quotas(key, counts, self._left)

    def take(self, key: JobKey, devices: Mapping[str, int]) -> None:
        """Start workers on these devices, of those that were offered to the job."""
        self._left.subtract(self._stacks.charged(key, devices))

    def has_started(self, key: JobKey, device_class: str) -> str | None:
        """Return the stack of which a started worker, which is on no node yet, will have a device, and take that.

        None if all are taken: nobody knows then where it will be.
        """
        name = self._largest(key, device_class)
        if name is not None:
            self._left[name] -= 1
        return name

    def could_leave_queue(self, key: JobKey, device_class: str) -> str | None:
        """Return the stack of which a queued worker would have a device if it was let start now, and keep that for it.

        None if there is none, or no quota for it.
        """
        name = self._largest(key, device_class)
        if name is None or not self._stacks.within_quotas(key, {name: 1}, self._left)[name]:
            return None
        self.take(key, {name: 1})
        return name

    def _largest(self, key: JobKey, device_class: str) -> str | None:
        idle = [stack.name for stack in self._stacks.of(key, device_class) if self._left[stack.name] > 0]
        return max(idle, key=lambda name: self._left[name], default=None)
