"""What a namespace's ResourceQuotas leave for more workers. Pure.

A quota bounds what all pods of a namespace ask for together. Quotas with scopes are taken as if they held for workers,
too: a plan that is a device too careful beats pods that are never created.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

from dueby_api.quantities import Amount, quantity
from dueby_operator.objects.nodes import ResourceQuota

# What a quota calls that which pods ask for. Extended resources are `requests.` and their name.
_NAMES = {
    "cpu": ("cpu", "requests.cpu"),
    "memory": ("memory", "requests.memory"),
    "pods": ("pods", "count/pods"),
    "limits.cpu": ("limits.cpu",),
    "limits.memory": ("limits.memory",),
}
# Sums of floats are not exact.
_ROUNDING = 1e-9


def quota_names(resource: str) -> tuple[str, ...]:
    """Return the names under which a quota bounds the resource."""
    return _NAMES.get(resource, (f"requests.{resource}",))


def room_by_namespace(quotas: Iterable[ResourceQuota]) -> dict[str, dict[str, float]]:
    """Return what is left by namespace and name; where two quotas bound the same, of the tighter one."""
    room: dict[str, dict[str, float]] = defaultdict(dict)
    for quota in quotas:
        left = room[quota.metadata.namespace]
        for name, hard in quota.status.hard.items():
            used = quota.status.used.get(name, 0)
            left[name] = min(left.get(name, math.inf), _left(hard, used))
    return dict(room)


def _left(hard: Amount, used: Amount) -> float:
    """Return what is left; nothing where that can't be read, so that the job waits and says for what."""
    try:
        return quantity(hard) - quantity(used)
    except ValueError:
        return 0.0


def take(room: Mapping[str, float], asked: Mapping[str, float], count: int) -> dict[str, float]:
    """Return what is left of the room after so many pods that ask for this by resource."""
    left = dict(room)
    for resource, value in asked.items():
        for name in quota_names(resource):
            if name in left:
                left[name] -= count * value
    return left


def max_pods(room: Mapping[str, float], asked: Mapping[str, float]) -> float:
    """Return how many pods that ask for this there is room for; infinite if nothing bounds them."""
    return min(
        (
            max(0, math.floor(room[name] / value + _ROUNDING))
            for resource, value in asked.items()
            for name in quota_names(resource)
            if name in room and value
        ),
        default=math.inf,
    )
