"""What a namespace's ResourceQuotas leave for more workers, now and over time. Pure.

A quota bounds what all pods of a namespace ask for together. What pods of jobs ask for ends with them; what others ask
for counts as taken permanently. Quotas with scopes are taken as if they held for workers, too: a plan that is a device
too careful beats pods that are never created.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from dueby_api.quantities import Amount, quantity
from dueby_operator.cluster.nodes import ROUNDING
from dueby_operator.cluster.quantities import limits_of, requests_of
from dueby_operator.cluster.queue_quotas import THOUSANDTHS, Asked
from dueby_operator.objects.nodes import ResourceQuota
from dueby_operator.objects.pods import Pod, PodSpec
from dueby_planner.schedule.devices import Limit
from dueby_planner.schedule.job import Claimant, JobKey

# What a quota calls that which pods ask for. Extended resources are `requests.` and their name.
_NAMES = {
    "cpu": ("cpu", "requests.cpu"),
    "memory": ("memory", "requests.memory"),
    "pods": ("pods", "count/pods"),
    "limits.cpu": ("limits.cpu",),
    "limits.memory": ("limits.memory",),
}


class Bound(NamedTuple):
    """What the pods of a namespace may ask for of something together."""

    hard: float
    """In all."""
    left: float
    """Less what is asked for now, or will be at once."""
    others: float = 0.0
    """What is asked for by pods that are no job's. Nobody knows until when."""


Room = Mapping[str, Bound]
"""By the name that a quota gives it."""


def quota_names(resource: str) -> tuple[str, ...]:
    """Return the names under which a quota bounds the resource."""
    return _NAMES.get(resource, (f"requests.{resource}",))


def room_by_namespace(quotas: Collection[ResourceQuota], pods: Iterable[Pod]) -> dict[str, Room]:
    """Return what is bounded by namespace and name; where two quotas bound the same, by the tighter one.

    `pods` are those of all jobs.
    """
    requests = {quota.metadata.namespace: Counter[str]() for quota in quotas}
    for pod in pods:
        if pod.metadata.namespace in requests and pod.status.phase not in ("Succeeded", "Failed"):
            requests[pod.metadata.namespace].update(dict(_by_name(asked_by(pod.spec))))
    room: dict[str, dict[str, Bound]] = defaultdict(dict)
    for quota in quotas:
        of_pods, bounds = requests[quota.metadata.namespace], room[quota.metadata.namespace]
        for name, hard in quota.status.hard.items():
            bound = _bound(hard, quota.status.used.get(name, 0), of_pods[name])
            bounds[name] = min(bounds.get(name, bound), bound, key=lambda candidate: (candidate.left, candidate.hard))
    return dict(room)


def _by_name(requests: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Yield what is asked for by resource, by all names that it may have in a quota."""
    for resource, value in requests.items():
        for name in quota_names(resource):
            yield name, value


def asked_by(spec: PodSpec) -> dict[str, float]:
    """Return what a pod asks for and may use, by resource; `pods` is 1."""
    return {**requests_of(spec), **limits_of(spec), "pods": 1.0}


def _bound(hard: Amount, used: Amount, of_pods: float) -> Bound:
    """Return what a quota bounds; nothing is left where that can't be read, so that the job waits and says for what."""
    try:
        total, requested = quantity(hard), quantity(used)
    except ValueError:
        return Bound(hard=0.0, left=0.0)
    return Bound(hard=total, left=total - requested, others=max(0.0, requested - of_pods))


def take(room: Room, requests: Mapping[str, float], count: int) -> Room:
    """Return what is left of the room after so many pods that ask for this by resource."""
    remaining = dict(room)
    for name, value in _by_name(requests):
        if name in remaining:
            remaining[name] = remaining[name]._replace(left=remaining[name].left - count * value)
    return remaining


def max_pods(room: Room, requests: Mapping[str, float]) -> float:
    """Return how many pods that ask for this there is room for; infinite if nothing bounds them."""
    return min(
        (
            max(0, math.floor(room[name].left / value + ROUNDING))
            for name, value in _by_name(requests)
            if name in room and value
        ),
        default=math.inf,
    )


def find_namespace_limits(
    room: Mapping[str, Room], claimants: Iterable[Claimant], requests_on: Asked
) -> tuple[Limit, ...]:
    """Return what ResourceQuotas bound of these jobs, over time."""
    costs: dict[tuple[str, str], dict[JobKey, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for claimant in (claimant for claimant in claimants if claimant.key[0] in room):
        namespace, _ = claimant.key
        for device_class in claimant.classes:
            for name, value in _by_name(requests_on(claimant.spec, device_class)):
                if name in room[namespace] and value:
                    costs[namespace, name][claimant.key][device_class] = round(value * THOUSANDTHS)
    return tuple(
        _limit(f"{name} of namespace {namespace}", room[namespace][name], by_job)
        for (namespace, name), by_job in sorted(costs.items())
    )


def _limit(name: str, bound: Bound, costs: Mapping[JobKey, Mapping[str, int]]) -> Limit:
    hard, unused, others = (round(amount * THOUSANDTHS) for amount in bound)
    return Limit(name=name, units=hard, used=hard - unused, others=others, costs=costs)
