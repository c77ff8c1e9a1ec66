"""Devices for whom they are: a device group is devices of one class that the same jobs may use at the same times.

A job's devices over time are counted by group, so that what one job may not use is never promised to it, and what only
one job may use is never kept from it. A limit bounds what some jobs hold of several groups together. What is idle gets
less while workers are started on it, one job after the other.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from dueby_planner.deadline_classes import Promises
from dueby_planner.model.capacity import Provision
from dueby_planner.model.losses import LossRate
from dueby_planner.schedule.job import AbsentKind, JobKey, PromisedJob, ScheduledJob
from dueby_planner.schedule.spans import Spans


@dataclass(frozen=True, kw_only=True)
class DeviceGroup:
    """Devices of one class that the same jobs may use, and that go away and come back together."""

    name: str
    device_class: str
    devices: int
    """All there are, whoever has them now."""
    idle: int
    """Those that nobody has now."""
    leaving: int = 0
    """Those that nobody will have as soon as pods are gone that are being deleted."""
    worked_on: int = 0
    """Those that workers have, whichever job these are of and whatever is known of it."""
    users: frozenset[JobKey]
    """The jobs that may use them."""
    nodes: frozenset[str] = frozenset()
    """Where they are; empty where there are no nodes."""
    away: Spans = ()
    """When they are not there, in times from now."""
    is_announced: bool = False
    """Whether they are on no node yet: it is only said when they will be there."""
    pool: str = ""
    """The pool whose nodes they are on, or would be on: nodes come when they are asked for. Empty: none."""
    provision: Provision | None = None
    """How long it takes until they are there once a worker asks for them; None: nobody needs to ask."""
    losses: LossRate | None = None
    """How often they are taken away; None: they aren't spot devices, and stay."""

    @property
    def is_spot(self) -> bool:
        """Whether they may be taken away at any time."""
        return self.losses is not None

    @property
    def is_on_nodes(self) -> bool:
        """Whether they are there already, or are somewhere where there are no nodes."""
        return not (self.is_announced or self.provision)

    @property
    def asked_pool(self) -> str | None:
        """The pool of which they have to be asked for; None if they needn't be."""
        return self.pool if self.provision else None

    def is_there(self, from_us: int, to_us: int) -> bool:
        """Return whether they are there all the time between two times from now."""
        return all(each.to_us <= from_us or each.from_us >= to_us for each in self.away)

    def comes_us(self, at_us: int) -> int:
        """Return since when they are there at a time at which they are, from now; 0 if they are there now."""
        return max((each.to_us for each in self.away if each.to_us <= at_us), default=0)


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What some jobs, and others that are not known, may hold together at each moment, in units of its own.

    A Kueue queue's quota, a ResourceQuota, a namespace's share: each binds where jobs are placed, watched and stopped.
    `gpus.max` is none, and stays in a job's own problem: there the k devices that do most are chosen exactly, while a
    limit of several classes is divided among them one after the other.
    """

    name: str
    units: int
    """All there are."""
    used: int
    """Those that somebody has now, workers of the jobs among them."""
    others: int | None = None
    """Those that others hold permanently; None: all that are used beside the jobs' workers are."""
    costs: Mapping[JobKey, Mapping[str, int]]
    """By job and device class, how many units a device costs. The jobs are those that it binds."""

    @property
    def has_queue(self) -> bool:
        """Whether jobs wait in a queue for what others use of it."""
        return self.others is None


@dataclass(frozen=True, kw_only=True)
class DeviceGroups:
    """All devices that any of the jobs may use."""

    all: tuple[DeviceGroup, ...]
    limits: tuple[Limit, ...] = ()

    def of(self, key: JobKey, device_class: str | None = None) -> list[DeviceGroup]:
        """Return the groups that the job may use, of one class or of all."""
        return [group for group in self._by_user.get(key, ()) if device_class in (None, group.device_class)]

    def at(self, key: JobKey, device_class: str, node: str) -> DeviceGroup | None:
        """Return the group that a worker of the job has its device of; None if it has none of any."""
        groups = (group for group in self.of(key, device_class) if group.is_on_nodes)
        return next((group for group in groups if node in group.nodes or not group.nodes), None)

    def fallbacks(self, job: ScheduledJob) -> frozenset[str]:
        """Return the names of the groups that the job uses only as far as others don't do, and as late as they do.

        Those are devices on demand, for a job that prefers spot devices and has some, or had some.
        """
        groups = self.of(job.key)
        if job.spec.spot_use != "Prefer" or not (job.had_spot or any(group.is_spot for group in groups)):
            return frozenset()
        return frozenset(group.name for group in groups if not group.is_spot)

    def of_pool(self, key: JobKey, device_class: str, pool: str, *, is_spot: bool | None = None) -> list[DeviceGroup]:
        """Return the groups of which a worker will have a device that asks for one of a pool, those on nodes first.

        Without a pool, those that need not be asked for. `is_spot` is the worker's.
        """
        groups = [group for group in self.of(key, device_class) if is_spot in (None, group.is_spot)]
        if not pool:
            return [group for group in groups if not group.provision]
        return sorted((group for group in groups if group.pool == pool), key=lambda group: not group.is_on_nodes)

    def class_of(self, name: str) -> str:
        """Return the device class of a group."""
        return self.by_name[name].device_class

    def losses_among(self, names: Iterable[str]) -> dict[str, LossRate]:
        """Return of each class with spot devices in these groups how often they are taken away: the highest rate."""
        spot = [(group.device_class, group.losses) for name in names if (group := self.by_name[name]).losses]
        return dict(sorted(spot, key=lambda pair: (pair[1].per_hour, pair[1].replaced_us)))

    def nodes_among(self, key: JobKey, taken: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
        """Return by class the nodes of these devices of the job; of a class of which it takes all groups, none."""
        preferred: dict[str, tuple[str, ...]] = {}
        for device_class in sorted({self.class_of(name) for name in taken}):
            groups = [group for group in self.of(key, device_class) if group.is_on_nodes]
            wanted = [group for group in groups if taken.get(group.name)]
            if len(wanted) < len(groups) and (nodes := {node for group in wanted for node in group.nodes}):
                preferred[device_class] = tuple(sorted(nodes))
        return preferred

    def costs(self, key: JobKey) -> Mapping[str, Mapping[str, int]]:
        """Return by limit that binds the job how many units a device of each group costs."""
        return {
            limit.name: {group.name: limit.costs[key].get(group.device_class, 0) for group in self.of(key)}
            for limit in self.limits
            if key in limit.costs
        }

    def charged(self, key: JobKey, devices: Mapping[str, int]) -> Counter[str]:
        """Return these devices of the job by group, and what they cost by limit."""
        taken = Counter(devices)
        for limit, costs in self.costs(key).items():
            taken[limit] = sum(costs[name] * count for name, count in devices.items())
        return taken

    def within_limits(self, key: JobKey, devices: Mapping[str, int], room: Mapping[str, int]) -> dict[str, int]:
        """Return as many of these devices by group as the room by limit covers."""
        found = dict(devices)
        for limit, costs in self.costs(key).items():
            left = room[limit]
            for name, cost in costs.items():
                if cost and name in found:
                    found[name] = max(0, min(found[name], left // cost))
                    left -= cost * found[name]
        return found

    @cached_property
    def have_nodes(self) -> bool:
        """Whether devices are on nodes, now or once they are asked for; False on one machine."""
        return any(group.nodes or group.provision for group in self.all)

    @cached_property
    def by_name(self) -> Mapping[str, DeviceGroup]:
        """Each group by its name."""
        return {group.name: group for group in self.all}

    @cached_property
    def _by_user(self) -> Mapping[JobKey, list[DeviceGroup]]:
        found: dict[JobKey, list[DeviceGroup]] = {}
        for group in self.all:
            for key in group.users:
                found.setdefault(key, []).append(group)
        return found


def less_absent(counts: Mapping[str, int], groups: DeviceGroups, absent: Mapping[AbsentKind, int]) -> dict[str, int]:
    """Return these devices by group without those that no node has given to a worker, taken from the first groups."""
    gone, left = Counter(absent), dict[str, int]()
    for name, count in counts.items():
        group = groups.by_name[name]
        left[name] = count
        for kind in ((group.device_class, None), (group.device_class, group.is_spot)):
            taken = 0 if group.provision else min(left[name], gone[kind])
            gone[kind] -= taken
            left[name] -= taken
    return left


def devices_by_class(groups: Iterable[DeviceGroup]) -> Counter[str]:
    """Return how many devices of each class these groups have together."""
    devices: Counter[str] = Counter()
    for group in groups:
        devices[group.device_class] += group.devices
    return devices


def with_shares(groups: DeviceGroups, jobs: Iterable[ScheduledJob | PromisedJob], promises: Promises) -> DeviceGroups:
    """Return the groups with a limit for the Hard jobs of each namespace on each device class."""
    if promises.max_share >= 1:
        return groups
    keys: dict[str, list[JobKey]] = defaultdict(list)
    used: Counter[tuple[str, str]] = Counter()
    for job in jobs:
        if job.deadline_class == "Hard":
            keys[job.key[0]].append(job.key)
            if isinstance(job, ScheduledJob):
                used.update((job.key[0], worker.assignment.device_class) for worker in job.alive)
    devices = devices_by_class(groups.all)
    shares = [
        Limit(
            name=f"share/{namespace}/{name}",
            units=share_of(count, promises),
            used=used[namespace, name],
            others=0,
            costs={key: {name: 1} for key in own},
        )
        for namespace, own in keys.items()
        for name, count in devices.items()
    ]
    return replace(groups, limits=(*groups.limits, *shares))


def share_of(devices: int, promises: Promises) -> int:
    """Return how many of a class's devices may be promised to one namespace: one at least."""
    return max(1, math.floor(promises.max_share * devices + 1e-9))


class IdleDevices:
    """Devices by group on which workers could be started now, and units of limits for them; less with each start."""

    def __init__(self, groups: DeviceGroups) -> None:
        self._groups = groups
        self._left = Counter({group.name: group.idle for group in groups.all if group.is_there(0, 1)})
        self._left.update({limit.name: limit.units - limit.used for limit in groups.limits})

    def left(self, name: str) -> int:
        """Return how many devices of the group nobody has."""
        return max(0, self._left[name])

    def offered(self, key: JobKey, most: Mapping[str, int], among: Iterable[str]) -> dict[str, int]:
        """Return by group on how many devices workers of the job could be started at once, at most so many of a class.

        `among` are the groups that it could use.
        """
        by_class, counts = Counter(most), dict[str, int]()
        for name in among:
            group = self._groups.by_name[name]
            if group.provision:  # they are none of those that nodes have
                counts[name] = max(0, self._left[name])
            else:
                counts[name] = max(0, min(self._left[name], by_class[group.device_class]))
                by_class[group.device_class] -= counts[name]
        return self._groups.within_limits(key, counts, self._left)

    def take(self, key: JobKey, devices: Mapping[str, int]) -> None:
        """Start workers on these devices, of those that were offered to the job."""
        self._left.subtract(self._groups.charged(key, devices))

    def has_started(self, key: JobKey, device_class: str, pool: str = "", *, is_spot: bool | None = None) -> str | None:
        """Return the group of which a started worker, which is on no node yet, will have a device, and take that.

        `pool` is the one that it has asked for a node, if it has, and `is_spot` is the worker's. None if all are taken:
        nobody knows then where it will be.
        """
        name = self._first(key, device_class, pool, is_spot=is_spot)
        if name is not None:
            self._left[name] -= 1
        return name

    def could_leave_queue(
        self, key: JobKey, device_class: str, pool: str = "", *, is_spot: bool | None = None
    ) -> str | None:
        """Return the group of which a queued worker would have a device if it was let start now, and keep that for it.

        None if there is none, or no limit for it.
        """
        name = self._first(key, device_class, pool, is_spot=is_spot)
        if name is None or not self._groups.within_limits(key, {name: 1}, self._left)[name]:
            return None
        self.take(key, {name: 1})
        return name

    def _first(self, key: JobKey, device_class: str, pool: str, *, is_spot: bool | None) -> str | None:
        groups = self._groups.of_pool(key, device_class, pool, is_spot=is_spot)
        idle = [group.name for group in groups if self._left[group.name] > 0]
        if pool:  # one whose node has come is about to have it
            return next(iter(idle), None)
        return max(idle, key=lambda name: self._left[name], default=None)
