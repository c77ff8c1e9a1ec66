"""Stacks of a cluster's devices, from its nodes and from what each job's workers ask for. Pure.

Jobs that ask in the same words may use the same nodes, so a thousand nodes are looked at once for all of them. Jobs
that ask for different amounts share devices of a node if as many workers of either fit there; any mixture of them fits
then. Else their devices are rivals, like devices of two classes that are made of the same cores.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

from dueby_operator.cluster.absences import from_now
from dueby_operator.cluster.nodes import DeviceKind, Node, has_slices, is_open, workers_within
from dueby_operator.cluster.requests import tolerations_of, worker_requests
from dueby_operator.model.job_snapshot import JobKey
from dueby_operator.model.stacks import Absence, Claimant, Stack, Stacks
from dueby_operator.objects.nodes import Toleration
from dueby_operator.settings import OperatorSettings

# What bounds workers on a node, besides their device.
PER_NODE = ("cpu", "memory", "pods")
_Key = tuple[str, frozenset[JobKey], tuple[Absence, ...]]
"""Device class, the jobs that may use the devices, and when the devices are away."""
_Asked = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class _Words:
    """What some jobs ask for in the same words, on devices of one class."""

    device_class: str
    asked: _Asked
    tolerations: Sequence[Toleration]
    selector: Mapping[str, str]
    users: frozenset[JobKey] = frozenset()


@dataclass(frozen=True, kw_only=True)
class _Here:
    """Devices of one class on one node, and the jobs of which as many workers fit there."""

    device_class: str
    users: frozenset[JobKey]
    devices: int
    idle: int
    leaving: int
    asked: Sequence[_Asked]
    """What a worker may ask for beside such a device."""


def find_stacks(
    nodes: Iterable[Node], claimants: Iterable[Claimant], settings: OperatorSettings, *, now_us: int
) -> Stacks:
    """Return the stacks of these nodes for these jobs."""
    words = _all_words(claimants, settings)
    collected: dict[_Key, list[tuple[str, _Here]]] = defaultdict(list)
    rivals: dict[tuple[_Key, _Key], int] = {}
    for node in nodes:
        away = from_now(node.absences(now_us), now_us)
        there = _here(node, words)
        for here in there:
            collected[here.device_class, here.users, away].append((node.name, here))
        for one, other in _rivals(node, there):
            pair = (one.device_class, one.users, away), (other.device_class, other.users, away)
            if pair not in rivals:  # it is the same on every node: what they ask for follows from who they are
                rivals[pair] = _lost(one, other)
    names = _names(collected)
    by_name: dict[str, dict[str, int]] = defaultdict(dict)
    for (taken, gone), lost in rivals.items():
        by_name[names[taken]][names[gone]] = lost
    stacks = (
        Stack(
            name=names[key],
            device_class=key[0],
            devices=sum(here.devices for _, here in found),
            idle=sum(here.idle for _, here in found),
            leaving=sum(here.leaving for _, here in found),
            users=key[1],
            nodes=frozenset(name for name, _ in found),
            away=key[2],
        )
        for key, found in collected.items()
    )
    return Stacks(all=tuple(sorted(stacks, key=lambda stack: stack.name)), rivals=by_name)


def _all_words(claimants: Iterable[Claimant], settings: OperatorSettings) -> list[_Words]:
    """Return what is asked for, each with the jobs that do."""
    words: dict[str, _Words] = {}
    users: dict[str, set[JobKey]] = defaultdict(set)
    for claimant in claimants:
        for device_class in claimant.classes:
            asked = worker_requests(claimant.spec, settings, device_class)
            found = _Words(
                device_class=device_class,
                asked={name: asked[name] for name in PER_NODE},
                tolerations=tolerations_of(claimant.spec),
                selector=claimant.spec.worker.node_selector or {},
            )
            key = repr((device_class, found.asked, found.tolerations, sorted(found.selector.items())))
            words[key] = found
            users[key].add(claimant.key)
    return [replace(found, users=frozenset(users[key])) for key, found in words.items()]


def _here(node: Node, words: Iterable[_Words]) -> list[_Here]:
    """Return the devices of the node, and who may use them."""
    soon = {name: value + node.leaving.get(name, 0.0) for name, value in node.free.items()}
    found: dict[tuple[str, int, int, int], list[_Words]] = defaultdict(list)
    for each in words:
        kind = node.devices.get(each.device_class)
        if kind is None and not has_slices(node, each.device_class):
            continue
        if not is_open(node, tolerations=each.tolerations, selector=each.selector):
            continue
        if devices := _count(node.allocatable, each.asked, kind):
            idle = min(devices, _count(node.free, each.asked, kind))
            later = min(devices, _count(soon, each.asked, kind)) - idle if node.leaving else 0
            found[each.device_class, devices, idle, later].append(each)
    return [
        _Here(
            device_class=device_class,
            users=group[0].users.union(*(each.users for each in group[1:])),
            devices=devices,
            idle=idle,
            leaving=later,
            asked=[each.asked for each in group],
        )
        for (device_class, devices, idle, later), group in found.items()
    ]


def _count(room: Mapping[str, float], asked: _Asked, kind: DeviceKind | None) -> int:
    count = workers_within(room, asked)
    return count if kind is None else min(count, workers_within(room, kind.request))


def _rivals(node: Node, there: Sequence[_Here]) -> Iterable[tuple[_Here, _Here]]:
    """Return the pairs of which the one's workers may take the other's room.

    There are none if the node has room for a worker on each of its devices at once, whatever else is on it.
    """
    classes = {here.device_class for here in there}
    if len(there) < 2 or (
        len(classes) == len(there)
        and _has_room(node.allocatable, [(here.devices, here.asked) for here in there])
        and _has_room(node.free, [(here.idle, here.asked) for here in there])
    ):
        return ()
    return permutations(there, 2)


def _has_room(room: Mapping[str, float], wanted: Sequence[tuple[int, Sequence[_Asked]]]) -> bool:
    return all(
        sum(count * max(each[name] for each in asked) for count, asked in wanted) <= room.get(name, 0.0)
        for name in PER_NODE
    )


def _lost(one: _Here, other: _Here) -> int:
    """Return how many of the other's devices are gone with one of the first, wherever that is.

    A device less on its node for each part of one: workers may be spread over the nodes.
    """
    return max(
        math.ceil(taken[name] / value)
        for taken in one.asked
        for beside in other.asked
        for name, value in beside.items()
        if value
    )


def _names(keys: Iterable[_Key]) -> dict[_Key, str]:
    """Return a name for each stack: its class, with a number if there are several of it."""
    of_class: dict[str, list[_Key]] = defaultdict(list)
    for key in keys:
        of_class[key[0]].append(key)
    return {
        key: name if number == 0 else f"{name}#{number + 1}"
        for name, group in of_class.items()
        for number, key in enumerate(sorted(group, key=lambda key: (-len(key[1]), sorted(key[1]), key[2])))
    }
