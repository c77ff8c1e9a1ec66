"""What is idle in a pass, while workers are started on it one after the other.

A worker takes its device, and something of the devices' rivals. How much of these depends on its node, which the
scheduler chooses: of each rival it counts as the most that it can be. The scheduler may also place the workers of one
pass in any order. So nothing is offered by which those that came before could be left without a device.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from dueby_operator.model.job_snapshot import JobKey
from dueby_operator.model.stacks import Stacks


class IdleDevices:
    """Devices by stack on which workers could be started now, and units of quotas for them; less with each start."""

    def __init__(self, stacks: Stacks) -> None:
        self._stacks = stacks
        self._left = Counter({stack.name: stack.idle for stack in stacks.all if stack.is_there(0, 1)})
        self._left.update({quota.name: quota.units - quota.used for quota in stacks.quotas})
        self._kept: set[str] = set()
        """Stacks of which workers will have devices: what is left of them must not fall below zero."""

    def left(self, name: str) -> int:
        """Return how many devices of the stack nobody has."""
        return max(0, self._left[name])

    def offered(self, key: JobKey, most: Mapping[str, int], among: Iterable[str]) -> dict[str, int]:
        """Return by stack on how many devices workers of the job could be started at once, at most so many of a class.

        `among` are the stacks that it could use. Where they are rivals, it is offered the first one before the others.
        """
        by_class, left, kept, found = Counter(most), self._left.copy(), set(self._kept), dict[str, int]()
        for name in among:
            device_class = self._stacks.class_of(name)
            count = max(0, min(self._without_kept(name, left, kept), by_class[device_class]))
            found[name] = count
            by_class[device_class] -= count
            self._take(name, count, left, kept)
        return self._stacks.within_quotas(key, found, self._left)

    def take(self, key: JobKey, devices: Mapping[str, int]) -> None:
        """Start workers on these devices, of those that were offered to the job."""
        charged = self._stacks.charged(key, devices)
        self._left.subtract({name: count for name, count in charged.items() if name not in devices})
        for name, count in devices.items():
            self._take(name, count, self._left, self._kept)

    def has_started(self, key: JobKey, device_class: str) -> str | None:
        """Return the stack of which a started worker, which is on no node yet, will have a device, and take that.

        None if all are taken: nobody knows then where it will be.
        """
        name = self._largest(key, device_class)
        if name is not None:
            self._take(name, 1, self._left, self._kept)
        return name

    def could_leave_queue(self, key: JobKey, device_class: str) -> str | None:
        """Return the stack of which a queued worker would have a device if it was let start now, and keep that for it.

        None if there is none, or no quota for it.
        """
        name = self._largest(key, device_class)
        if name is None or not self._stacks.within_quotas(key, {name: 1}, self._left)[name]:
            return None
        self._left.subtract(self._stacks.charged(key, {name: 1}))
        return name

    def keep_leaving(self) -> None:
        """Keep the devices that are being given up: workers may have been asked to go for those who wait for them."""
        self._kept.update(stack.name for stack in self._stacks.all if stack.leaving)

    def _largest(self, key: JobKey, device_class: str) -> str | None:
        there = [stack.name for stack in self._stacks.of(key, device_class) if self._left[stack.name] > 0]
        return max(there, key=lambda name: self._left[name], default=None)

    def _without_kept(self, name: str, left: Mapping[str, int], kept: Collection[str]) -> int:
        """Return on how many of the stack's devices workers could be started so that what is kept is left."""
        rivals = self._stacks.rivals.get(name, {})
        return min([left[name], *(left[rival] // lost for rival, lost in rivals.items() if rival in kept)])

    def _take(self, name: str, count: int, left: Counter[str], kept: set[str]) -> None:
        if count:
            left[name] -= count
            left.subtract({rival: lost * count for rival, lost in self._stacks.rivals.get(name, {}).items()})
            kept.add(name)
