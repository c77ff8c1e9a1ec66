"""DeviceGroups of a cluster's devices, from its nodes and from what each job's workers ask for. Pure.

Jobs to which the same nodes are open are counted together, whatever words they have for that, so a thousand nodes are
looked at once for all of them. A job may use a node's devices if its workers ask for no more than a device's allotment
(allotments.py). All who may are counted as the one that asks for most, so that any mixture of them fits. Other pods may
leave too little of a node for one of its devices: then it has one less.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from dueby_api.inference_job import Model
from dueby_operator.cluster.allotments import PER_NODE, allotment_of, fits_allotment
from dueby_operator.cluster.nodes import DeviceKind, Node, OpenNodes, kind_on, workers_within
from dueby_operator.cluster.requests import tolerations_of, worker_requests
from dueby_operator.settings import OperatorSettings
from dueby_planner.model.capacity import Provision
from dueby_planner.model.losses import LossRate, loss_rate
from dueby_planner.schedule.devices import DeviceGroup, DeviceGroups
from dueby_planner.schedule.job import Claimant, JobKey
from dueby_planner.schedule.spans import Spans, from_now

_Key = tuple[str, frozenset[JobKey], Spans, str, bool]
"""Device class, the jobs that may use the devices, when the devices are away, their pool, and whether they are spot."""
_Asked = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class _Users:
    """Jobs that may have devices of one class on the same nodes, and what a worker of theirs asks for at most."""

    keys: frozenset[JobKey]
    asked: _Asked


@dataclass(frozen=True, kw_only=True)
class _DevicesHere:
    """Devices of one class on one node."""

    node: str
    devices: int
    idle: int
    spare: int
    """All less those that pods have: below zero where the scheduler has put more workers than there are CPU slices."""
    leaving: int
    worked_on: int


class _Claims:
    """What jobs ask for, by device class and by the nodes that are open to them."""

    def __init__(
        self,
        nodes: Sequence[Node],
        claimants: Iterable[Claimant],
        settings: OperatorSettings,
        memory_of: Callable[[Model, str], str] | None,
    ) -> None:
        self._settings = settings
        self._asked: dict[tuple[str, frozenset[str]], dict[tuple[float, ...], set[JobKey]]] = {}
        """Amounts in the order of PER_NODE, and who asks for them."""
        self._on_node: dict[str, dict[str, list[frozenset[str]]]] = defaultdict(lambda: defaultdict(list))
        """By node and class, the sets of open nodes that it is one of."""
        self._within: dict[object, _Users] = {}
        """Most nodes are alike, so that the same is asked of many of them."""
        open_nodes = OpenNodes(nodes)
        for claimant in claimants:
            spec = claimant.spec
            among = open_nodes.to(tolerations_of(spec), spec.worker.node_selector, spec.spot_use)
            for device_class in claimant.classes:
                memory = memory_of(claimant.spec.model, device_class) if memory_of else None
                requests = worker_requests(claimant.spec, settings, device_class, memory=memory)
                by_amounts = self._asked.setdefault((device_class, among), {})
                by_amounts.setdefault(tuple(requests[name] for name in PER_NODE), set()).add(claimant.key)
        for device_class, among in self._asked:
            for name in among:
                self._on_node[name][device_class].append(among)

    def on(self, node: Node) -> Iterable[tuple[str, _Users]]:
        """Yield each class of devices on the node that a job may use, with all jobs that may."""
        for device_class, groups in sorted(self._on_node.get(node.name, {}).items()):
            allotment = allotment_of(node, device_class, self._settings)
            if allotment and (users := self._users(device_class, groups, allotment)).keys:
                yield device_class, users

    def _users(self, device_class: str, groups: Sequence[frozenset[str]], allotment: _Asked) -> _Users:
        cached = device_class, tuple(map(id, groups)), *allotment.items()
        if cached not in self._within:
            fitting = [
                (amounts, keys)
                for among in groups
                for amounts, keys in self._asked[device_class, among].items()
                if fits_allotment(allotment, dict(zip(PER_NODE, amounts, strict=True)))
            ]
            most = map(max, zip(*(amounts for amounts, _ in fitting), strict=True))
            keys = frozenset[JobKey]().union(*(keys for _, keys in fitting))
            # If none fits, there is nothing asked for.
            self._within[cached] = _Users(keys=keys, asked=dict(zip(PER_NODE, most, strict=False)))
        return self._within[cached]


def find_groups(
    nodes: Iterable[Node],
    claimants: Iterable[Claimant],
    settings: OperatorSettings,
    *,
    now_us: int,
    provision: Mapping[str, Provision],
    memory_of: Callable[[Model, str], str] | None = None,
) -> DeviceGroups:
    """Return the groups of these nodes for these jobs.

    `provision` is how long nodes of each pool take to come. `memory_of` returns what a worker of a model asks for on a
    device class; None: what the settings say.
    """
    nodes = list(nodes)
    claims = _Claims(nodes, claimants, settings, memory_of)
    collected: dict[_Key, list[_DevicesHere]] = defaultdict(list)
    for node in nodes:
        away = from_now(node.absences(now_us), now_us)
        for (device_class, users), here in zip(wanted := list(claims.on(node)), _count(node, wanted), strict=True):
            if here.devices:
                collected[device_class, users.keys, away, node.pool, node.is_spot].append(here)
    names = _names(collected)
    groups = (
        DeviceGroup(
            name=names[key],
            device_class=key[0],
            devices=sum(here.devices for here in on_nodes),
            idle=max(0, min(sum(here.idle for here in on_nodes), sum(here.spare for here in on_nodes))),
            leaving=sum(here.leaving for here in on_nodes),
            worked_on=sum(here.worked_on for here in on_nodes),
            users=key[1],
            nodes=frozenset(here.node for here in on_nodes),
            away=key[2],
            pool=key[3],
            losses=_losses(key[3], settings, provision) if key[4] else None,
        )
        for key, on_nodes in collected.items()
    )
    return DeviceGroups(all=tuple(sorted(groups, key=lambda group: group.name)))


def _losses(name: str, settings: OperatorSettings, provision: Mapping[str, Provision]) -> LossRate:
    """Return how often spot nodes of the pool of this name, or of none, are taken away."""
    pool = next((pool for pool in settings.node_pools if pool.name == name), None)
    return loss_rate(settings.spot, pool, provision[name].late_us if name in provision else None)


def _count(node: Node, wanted: Iterable[tuple[str, _Users]]) -> Iterable[_DevicesHere]:
    """Yield the devices of each class that is wanted on the node.

    What the devices of one class may take isn't there for the next one. All of them fit, but for what other pods have.
    """
    soon = {name: value + node.leaving.get(name, 0.0) for name, value in node.free.items()}
    whole = {name: value + node.workers.get(name, 0.0) for name, value in soon.items()}
    rooms = {"all": dict(node.allocatable), "whole": dict(whole), "soon": dict(soon), "now": dict(node.free)}
    for device_class, users in wanted:
        kind = kind_on(node, device_class) or DeviceKind()
        existing = _take(rooms["whole"], kind.count, users, kind)
        devices = max(existing, _take(rooms["all"], kind.count, users, kind))
        name = kind.resource or ""
        had, kept = (round(whole.get(name, 0.0) - room.get(name, 0.0)) for room in (node.free, soon))
        idle = _take(rooms["now"], existing - had, users, kind)
        free_soon = max(idle, _take(rooms["soon"], existing - kept, users, kind))
        yield _DevicesHere(
            node=node.name,
            devices=devices,
            idle=idle,
            spare=kind.count - had,
            leaving=free_soon - idle,
            worked_on=existing - free_soon,
        )


def _take(room: dict[str, float], most: int, users: _Users, kind: DeviceKind) -> int:
    """Take the room of as many workers with their devices as there is room for, `most` at most; return how many."""
    count = max(0, min(most, workers_within(room, {**users.asked, **kind.request})))
    room.update({name: room.get(name, 0.0) - count * value for name, value in users.asked.items()})
    return count


def _names(keys: Iterable[_Key]) -> dict[_Key, str]:
    """Return a name for each group: its class, with a number if there are several of it."""
    of_class: dict[str, list[_Key]] = defaultdict(list)
    for key in keys:
        of_class[key[0]].append(key)
    return {
        key: name if number == 0 else f"{name}#{number + 1}"
        for name, group in of_class.items()
        for number, key in enumerate(sorted(group, key=lambda key: (-len(key[1]), sorted(key[1]), *key[2:])))
    }
