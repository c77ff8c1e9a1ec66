"""Stacks of a cluster's devices, from its nodes and from what each job's workers ask for. Pure.

Jobs to which the same nodes are open are counted together, whatever words they have for that, so a thousand nodes are
looked at once for all of them. Jobs
that ask for different amounts share devices of a node if as many workers of either fit there; any mixture of them fits
then. Else their devices are rivals, like devices of two classes that are made of the same cores. Where jobs ask for
very many different amounts, similar ones count as the largest of them. What fits no node is left out.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dueby_operator.cluster.absences import from_now
from dueby_operator.cluster.merged_requests import Wish, merge_requests
from dueby_operator.cluster.nodes import DeviceKind, Node, OpenNodes, has_slices, workers_within
from dueby_operator.cluster.requests import tolerations_of, worker_requests
from dueby_operator.model.job_snapshot import JobKey
from dueby_operator.model.stacks import Absence, Claimant, Stack, Stacks
from dueby_operator.settings import OperatorSettings

# What bounds workers on a node, besides their device.
PER_NODE = ("cpu", "memory", "pods")
_Key = tuple[str, frozenset[JobKey], tuple[Absence, ...]]
"""Device class, the jobs that may use the devices, and when the devices are away."""
_Asked = Mapping[str, float]
_Room = tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class _Words:
    """What some jobs ask for that may use the same nodes, on devices of one class."""

    device_class: str
    asked: _Asked
    open_nodes: frozenset[str]
    """Names of the nodes that take their pods."""
    users: frozenset[JobKey]
    is_merged: bool = False
    """Whether some of them ask for less."""


@dataclass(frozen=True, kw_only=True)
class _Here:
    """Devices of one class on one node, and the jobs of which as many workers fit there."""

    device_class: str
    users: frozenset[JobKey]
    devices: int
    idle: int
    leaving: int
    held: int
    """Those that workers have, whichever class these asked for."""
    asked: Sequence[_Asked]
    """What a worker may ask for beside such a device."""
    is_merged: bool
    """Whether some workers ask for less than is counted."""


def find_stacks(
    nodes: Iterable[Node], claimants: Iterable[Claimant], settings: OperatorSettings, *, now_us: int
) -> Stacks:
    """Return the stacks of these nodes for these jobs."""
    nodes = list(nodes)
    words_on: dict[str, list[_Words]] = defaultdict(list)
    for words in _all_words(nodes, claimants, settings):
        for name in words.open_nodes:
            words_on[name].append(words)
    collected: dict[_Key, list[tuple[str, _Here]]] = defaultdict(list)
    rivals: dict[tuple[_Key, _Key], int] = {}
    held: dict[_Key, dict[str, int]] = defaultdict(dict)
    harmless: dict[_Key, set[str]] = defaultdict(set)
    for node in nodes:
        away = from_now(node.absences(now_us), now_us)
        there = _here(node, words_on[node.name])
        for here in there:
            collected[here.device_class, here.users, away].append((node.name, here))
            if here.is_merged and here.held:
                held[here.device_class, here.users, away][node.name] = here.held
        for one in there if _are_rivals(node, there) else ():
            key = one.device_class, one.users, away
            others = [other for other in there if other is not one]
            for other in others:
                pair = key, (other.device_class, other.users, away)
                if pair not in rivals:  # it is the same on every node: what they ask for follows from who they are
                    rivals[pair] = _lost(one, other)
            if one.held:
                held[key][node.name] = one.held
            if not any(_harms(node, one, other) for other in others):
                harmless[key].add(node.name)
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
            worked_on=sum(here.held for _, here in found),
            users=key[1],
            held=held[key],
            harmless=frozenset(harmless[key]),
            nodes=frozenset(name for name, _ in found),
            away=key[2],
            is_merged=any(here.is_merged for _, here in found),
        )
        for key, found in collected.items()
    )
    return Stacks(all=tuple(sorted(stacks, key=lambda stack: stack.name)), rivals=by_name)


def _all_words(nodes: Sequence[Node], claimants: Iterable[Claimant], settings: OperatorSettings) -> list[_Words]:
    """Return what is asked for that fits a node, each with the jobs that do."""
    found: dict[Wish, _Words] = {}
    rooms, open_nodes = LargestRooms(nodes, PER_NODE), OpenNodes(nodes)
    for claimant in claimants:
        among = open_nodes.to(tolerations_of(claimant.spec), claimant.spec.worker.node_selector)
        for name in claimant.classes:
            asked = worker_requests(claimant.spec, settings, name)
            words = _Words(
                device_class=name,
                asked={resource: asked[resource] for resource in PER_NODE},
                open_nodes=among,
                users=frozenset([claimant.key]),
            )
            if rooms.has_room(name, words.asked, among=among):
                found[claimant.key, name] = words
    together = classes_together(nodes, {name for _, name in found})
    merged = merge_requests({wish: words.asked for wish, words in found.items()}, together)
    by_words: dict[tuple[str, tuple[float, ...], frozenset[str]], list[_Words]] = defaultdict(list)
    for wish, words in found.items():
        counted = replace(words, asked=merged[wish], is_merged=merged[wish] != words.asked)
        by_words[counted.device_class, _amounts(counted.asked), counted.open_nodes].append(counted)
    return [
        replace(
            same[0],
            users=frozenset().union(*(words.users for words in same)),
            is_merged=any(words.is_merged for words in same),
        )
        for same in by_words.values()
    ]


def _here(node: Node, words: Iterable[_Words]) -> list[_Here]:
    """Return the devices of the node, and who may use them, of those to whom it is open."""
    alike: dict[tuple[str, tuple[float, ...]], list[_Words]] = defaultdict(list)
    for each in words:
        alike[each.device_class, _amounts(each.asked)].append(each)
    soon, whole = _rooms(node)
    found: dict[tuple[str, int, int, int, int], list[_Words]] = defaultdict(list)
    for (device_class, _), same in alike.items():
        kind, asked = node.devices.get(device_class), same[0].asked
        if kind is None and not has_slices(node, device_class):
            continue
        if devices := _count(node.allocatable, asked, kind):
            idle = min(devices, _count(node.free, asked, kind))
            later = min(devices, _count(soon, asked, kind)) - idle if node.leaving else 0
            held = min(devices, _count(whole, asked, kind)) - idle - later if node.workers else 0
            found[device_class, devices, idle, later, held] += same
    of_class = Counter(counts[0] for counts in found)
    groups = [
        (counts, group)
        for counts, all_of in found.items()
        for group in ([all_of] if of_class[counts[0]] == 1 else _alike(all_of))
    ]
    return [
        _Here(
            device_class=device_class,
            users=group[0].users.union(*(each.users for each in group[1:])),
            devices=devices,
            idle=idle,
            leaving=later,
            held=held,
            asked=[each.asked for each in group],
            is_merged=any(each.is_merged for each in group),
        )
        for (device_class, devices, idle, later, held), group in groups
    ]


def _rooms(node: Node) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Return what will be free once leaving pods are gone, and if all workers are gone as well."""
    soon = {name: value + node.leaving.get(name, 0.0) for name, value in node.free.items()}
    return soon, {name: value + node.workers.get(name, 0.0) for name, value in soon.items()}


def _alike(words: Iterable[_Words]) -> list[list[_Words]]:
    """Return them by what they ask for. Beside rivals, what fits as often now may not when some of these are gone."""
    found: dict[tuple[float, ...], list[_Words]] = defaultdict(list)
    for each in words:
        found[_amounts(each.asked)].append(each)
    return list(found.values())


def _amounts(asked: _Asked) -> tuple[float, ...]:
    return tuple(asked[name] for name in PER_NODE)


def _count(room: Mapping[str, float], asked: _Asked, kind: DeviceKind | None) -> int:
    count = workers_within(room, asked)
    return count if kind is None else min(count, workers_within(room, kind.request))


def _are_rivals(node: Node, there: Sequence[_Here]) -> bool:
    """Return whether the one's workers may take the other's room.

    They don't if the node has room for a worker on each of its devices at once, whatever else is on it.
    """
    classes = {here.device_class for here in there}
    return len(there) > 1 and not (
        len(classes) == len(there)
        and _has_room(node.allocatable, [(here.devices, here.asked) for here in there])
        and _has_room(node.free, [(here.idle, here.asked) for here in there])
    )


def _has_room(room: Mapping[str, float], wanted: Sequence[tuple[int, Sequence[_Asked]]]) -> bool:
    return all(
        sum(count * max(each[name] for each in asked) for count, asked in wanted) <= room.get(name, 0.0)
        for name in PER_NODE
    )


def _harms(node: Node, one: _Here, other: _Here) -> bool:
    """Return whether one more worker of the first leaves fewer devices of the other, now or if all others are gone."""
    rooms = _rooms(node)
    kind, lost_kind = (node.devices.get(each.device_class) for each in (one, other))

    def count(room: Mapping[str, float]) -> int:
        return min(_count(room, asked, lost_kind) for asked in other.asked)

    def less(room: Mapping[str, float], asked: _Asked) -> dict[str, float]:
        taken = {**asked, **(kind.request if kind else {})}
        return {name: value - taken.get(name, 0.0) for name, value in room.items()}

    return any(count(less(room, asked)) < count(room) for room in rooms for asked in one.asked)


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


class LargestRooms:
    """The largest empty nodes of each device class that pods may use, by the nodes that are open to these.

    What fits no node uses none, so nothing needs to be told apart from it. Without that, one namespace's jobs that can
    never run would make the operator count everybody else's less exactly.
    """

    def __init__(self, nodes: Sequence[Node], names: Sequence[str]) -> None:
        """`names` are the resources that requests name."""
        self._nodes = {node.name: node for node in nodes}
        self._names = names
        self._found: dict[tuple[str, frozenset[str]], list[dict[str, float]]] = {}

    def has_room(self, device_class: str, asked: Mapping[str, float], *, among: frozenset[str]) -> bool:
        """Return whether a pod that asks for this beside a device of the class fits one of these, if it is empty."""
        key = device_class, among
        if key not in self._found:
            rooms = (
                tuple(node.allocatable.get(name, 0.0) for name in self._names)
                for node in map(self._nodes.__getitem__, among)
                if _has_device(node, device_class)
            )
            self._found[key] = [dict(zip(self._names, room, strict=True)) for room in _largest(rooms)]
        return any(workers_within(room, asked) for room in self._found[key])


def classes_together(nodes: Iterable[Node], classes: Collection[str]) -> list[frozenset[str]]:
    """Return the classes in groups: classes that are on the same node are in the same group."""
    groups: list[frozenset[str]] = []
    for on_node in {frozenset(name for name in classes if _has_device(node, name)) for node in nodes}:
        joined = [group for group in groups if group & on_node]
        groups = [group for group in groups if group not in joined] + [on_node.union(*joined)]
    return [group for group in groups if group]


def _has_device(node: Node, device_class: str) -> bool:
    kind = node.devices.get(device_class)
    return has_slices(node, device_class) if kind is None else workers_within(node.allocatable, kind.request) > 0


def _largest(rooms: Iterable[_Room]) -> list[_Room]:
    """Return those that aren't smaller than another in every resource."""
    found: list[_Room] = []
    for room in sorted(set(rooms), reverse=True):
        if not any(all(value <= other for value, other in zip(room, larger, strict=True)) for larger in found):
            found.append(room)
    return found
