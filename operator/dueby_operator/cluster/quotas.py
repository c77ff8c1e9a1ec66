"""What a namespace's ResourceQuotas leave for more workers. Pure.

A quota bounds what all pods of a namespace ask for together. Quotas with scopes are taken as if they held for workers
too: a plan that is a device too careful beats pods that are never created.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from dueby_operator.cluster.nodes import quantity

Document = Mapping[str, Any]
# How a quota calls what pods ask for; extended resources are `requests.` and their name.
_NAMES = {
    "cpu": ("cpu", "requests.cpu"),
    "memory": ("memory", "requests.memory"),
    "pods": ("pods", "count/pods"),
}


def quota_names(resource: str) -> tuple[str, ...]:
    """The names under which a quota bounds the resource."""
    return _NAMES.get(resource, (f"requests.{resource}",))


def room_by_namespace(quotas: Iterable[Document]) -> dict[str, dict[str, float]]:
    """What is left by namespace and name; of two quotas of a namespace that bound the same the tighter one."""
    room: dict[str, dict[str, float]] = defaultdict(dict)
    for quota in quotas:
        status = quota.get("status", {})
        left = room[quota["metadata"]["namespace"]]
        for name, hard in (status.get("hard") or {}).items():
            used = (status.get("used") or {}).get(name, 0)
            left[name] = min(left.get(name, math.inf), quantity(hard) - quantity(used))
    return room


def take(room: dict[str, float], asked: Mapping[str, float], count: int) -> None:
    """Take what so many pods ask for, by resource, from what is left."""
    for resource, value in asked.items():
        for name in quota_names(resource):
            if name in room:
                room[name] -= count * value


def most_pods(room: Mapping[str, float], asked: Mapping[str, float]) -> float:
    """How many pods that ask for this are left room for; infinite where nothing bounds them."""
    return min(
        (
            max(0, math.floor(room[name] / value + 1e-9))
            for resource, value in asked.items()
            for name in quota_names(resource)
            if name in room and value
        ),
        default=math.inf,
    )
