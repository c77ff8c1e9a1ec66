"""Stacks of a cluster's devices, from its nodes and from what each job's workers ask for. Pure.

Jobs that ask in the same words may use the same nodes, so a thousand nodes are looked at once for all of them.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dueby_operator.cluster.nodes import Node, free_devices
from dueby_operator.cluster.requests import tolerations_of, worker_requests
from dueby_operator.model.job_snapshot import JobKey
from dueby_operator.model.stacks import Claimant, Stack, Stacks
from dueby_operator.objects.nodes import Toleration
from dueby_operator.settings import OperatorSettings

# What bounds workers on a node, besides their device.
PER_NODE = ("cpu", "memory", "pods")


_Key = tuple[str, frozenset[JobKey]]
"""Device class, and the jobs that may use the devices."""


@dataclass(frozen=True, kw_only=True)
class _Words:
    """What some jobs ask for in the same words, on devices of one class."""

    device_class: str
    asked: Mapping[str, float]
    tolerations: Sequence[Toleration]
    selector: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class _Here:
    """Devices of one class on one node."""

    users: frozenset[JobKey]
    devices: int
    idle: int
    asked: Mapping[str, float]
    """The most that one of the users asks for with a device."""


def find_stacks(nodes: Iterable[Node], claimants: Iterable[Claimant], settings: OperatorSettings) -> Stacks:
    """Return the stacks of these nodes for these jobs."""
    words: dict[str, _Words] = {}
    users: dict[str, set[JobKey]] = defaultdict(set)
    for claimant in claimants:
        for device_class in claimant.classes:
            key, found = _words_of(claimant, device_class, settings)
            words[key] = found
            users[key].add(claimant.key)
    collected: dict[_Key, list[tuple[str, _Here]]] = defaultdict(list)
    rivals: dict[tuple[_Key, _Key], int] = {}
    for node in nodes:
        there = _here(node, words, users)
        for device_class, here in there.items():
            collected[device_class, here.users].append((node.name, here))
        for one, other, lost in _rivals(node, there):
            pair = (one, there[one].users), (other, there[other].users)
            rivals[pair] = max(lost, rivals.get(pair, 0))
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
            users=key[1],
            nodes=frozenset(name for name, _ in found),
        )
        for key, found in collected.items()
    )
    return Stacks(all=tuple(sorted(stacks, key=lambda stack: stack.name)), rivals=by_name)


def _words_of(claimant: Claimant, device_class: str, settings: OperatorSettings) -> tuple[str, _Words]:
    asked = worker_requests(claimant.spec, settings, device_class)
    found = _Words(
        device_class=device_class,
        asked={name: asked[name] for name in PER_NODE},
        tolerations=tolerations_of(claimant.spec),
        selector=claimant.spec.worker.node_selector or {},
    )
    return repr((device_class, found.asked, found.tolerations, sorted(found.selector.items()))), found


def _here(node: Node, words: Mapping[str, _Words], users: Mapping[str, set[JobKey]]) -> dict[str, _Here]:
    """Return by class the devices of the node, and who may use them."""
    whole = replace(node, free=node.allocatable)
    found: dict[str, list[tuple[_Words, set[JobKey], int, int]]] = defaultdict(list)
    for key, asked in words.items():
        if devices := _count(whole, asked):
            found[asked.device_class].append((asked, users[key], devices, _count(node, asked)))
    return {
        name: _Here(
            users=frozenset[JobKey]().union(*(keys for _, keys, _, _ in group)),
            devices=max(devices for _, _, devices, _ in group),
            idle=max(idle for _, _, _, idle in group),
            asked=_most(each.asked for each, _, _, _ in group),
        )
        for name, group in found.items()
    }


def _count(node: Node, words: _Words) -> int:
    return free_devices(
        [node],
        words.device_class,
        asked=words.asked,
        tolerations=words.tolerations,
        selector=words.selector,
    )


def _most(asked: Iterable[Mapping[str, float]]) -> dict[str, float]:
    most: dict[str, float] = {}
    for each in asked:
        for name, value in each.items():
            most[name] = max(value, most.get(name, 0.0))
    return most


def _rivals(node: Node, there: Mapping[str, _Here]) -> Iterable[tuple[str, str, int]]:
    """Yield class, other class and how many of the other's devices are gone with one of the first.

    There are none if the node has room for a worker on each of its devices at once.
    """
    asked = [name for here in there.values() for name in here.asked]
    together = {name: sum(here.devices * here.asked.get(name, 0.0) for here in there.values()) for name in asked}
    if len(there) < 2 or all(value <= node.allocatable.get(name, 0.0) for name, value in together.items()):
        return
    for one, here in there.items():
        for other, beside in there.items():
            shares = [here.asked[name] / value for name, value in beside.asked.items() if value and name in here.asked]
            if one != other:
                # A device less on a node for each part of one: workers may be spread over the nodes.
                yield one, other, max((math.ceil(share) for share in shares), default=1)


def _names(keys: Iterable[_Key]) -> dict[_Key, str]:
    """Return a name for each stack: its class, with a number if there are several of it."""
    of_class: dict[str, list[frozenset[JobKey]]] = defaultdict(list)
    for name, users in keys:
        of_class[name].append(users)
    return {
        (name, users): name if number == 0 else f"{name}#{number + 1}"
        for name, groups in of_class.items()
        for number, users in enumerate(sorted(groups, key=lambda group: (-len(group), sorted(group))))
    }
